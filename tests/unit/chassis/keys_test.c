#include "chassis/keys.h"
#include "os/clock.h"
#include "os/disk.h"
#include "tests/lib/test.h"
#include <sys/stat.h>

static const time_us NOW = 3000000 * TIME_SECOND;

static str folder_of(struct test *t)
{
    crypto_init();
    return str_of_z(test_folder(t));
}

static void put(struct test *t, str folder, const char *name, const char *content)
{
    str path = str_format(t->arena, "%" STR_F "/%s", STR_A(folder), name);
    CHECK_OK(disk_write(t->arena, path, str_of_z(content), 0600));
}

/* Puts a key whose seed is filled with a number. */
static struct ed25519_key put_key(struct test *t, str folder, const char *name, uint8_t number)
{
    uint8_t seed[ED25519_SEED_BYTES];
    memset(seed, number, sizeof seed);
    put(t, folder, name, str_z(t->arena, base64url(t->arena, str_of(seed, sizeof seed))));
    return ed25519_of_seed(seed);
}

static void drop_keys(void *keys) { keys_close(keys); }

static struct keys *open_keys(struct test *t, str folder)
{
    struct keys *keys;
    CHECK_OK(keys_open(t->arena, folder, false, &keys));
    arena_defer(t->arena, drop_keys, keys);
    return keys;
}

static err try_open(struct test *t, str folder)
{
    struct keys *keys;
    err error = keys_open(t->arena, folder, false, &keys);
    if (error == OK)
        keys_close(keys);
    return error;
}

TEST(the_first_start_makes_a_key_that_later_starts_find)
{
    str folder = str_format(t->arena, "%" STR_F "/a/keys", STR_A(folder_of(t)));
    struct keys *keys;
    CHECK_OK(keys_open(t->arena, folder, true, &keys));
    struct signing_key first = keys_newest(keys, NOW);
    keys_close(keys);

    str *names;
    size_t count;
    CHECK_OK(disk_list(t->arena, folder, &names, &count));
    CHECK_INT(count, 1);
    CHECK_STR(names[0], first.kid);
    struct stat stat_;
    CHECK_INT(stat(str_z(t->arena, str_format(t->arena, "%" STR_F "/%s", STR_A(folder), first.kid)),
                   &stat_),
              0);
    CHECK_INT(stat_.st_mode & 0777, 0600);

    CHECK_OK(keys_open(t->arena, folder, true, &keys));
    struct signing_key again = keys_newest(keys, NOW);
    keys_close(keys);
    CHECK_STR(again.kid, first.kid);
    CHECK_BYTES(again.pair.public, first.pair.public, ED25519_PUBLIC_BYTES);
}

TEST(a_named_folder_without_a_key_is_an_error_that_says_what_to_do)
{
    str folder = folder_of(t);
    err error = try_open(t, folder);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("KEYS_DIR=")) == 0);
    CHECK(str_find(error->detail, STR("holds no key")) > 0);

    error = try_open(t, str_format(t->arena, "%" STR_F "/nowhere", STR_A(folder)));
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("does not exist")) > 0);
}

TEST(the_greatest_name_signs_and_all_verify)
{
    str folder = folder_of(t);
    struct ed25519_key old = put_key(t, folder, "2026-01", 1);
    struct ed25519_key new = put_key(t, folder, "2026-02", 2);
    struct keys *keys = open_keys(t, folder);

    struct signing_key key = keys_newest(keys, NOW);
    CHECK_STR(key.kid, "2026-02");
    CHECK_BYTES(key.pair.public, new.public, ED25519_PUBLIC_BYTES);

    struct auth_key verifying[AUTH_KEYS_MAX];
    CHECK_INT(keys_verifying(keys, verifying), 2);
    CHECK_STR(verifying[0].kid, "2026-01");
    CHECK_BYTES(verifying[0].public, old.public, ED25519_PUBLIC_BYTES);
    CHECK_STR(verifying[1].kid, "2026-02");
}

TEST(white_space_around_a_seed_is_allowed_and_hidden_files_are_not_looked_at)
{
    str folder = folder_of(t);
    put(t, folder, "k1", "  AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n");
    put(t, folder, ".half-written", "not a key");
    struct keys *keys = open_keys(t, folder);
    struct auth_key verifying[AUTH_KEYS_MAX];
    CHECK_INT(keys_verifying(keys, verifying), 1);
}

TEST(a_bad_key_file_is_an_error_that_names_it)
{
    static const char *const bad[] = {
        "",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "-----BEGIN PRIVATE KEY-----",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        str folder = folder_of(t);
        put_key(t, folder, "good", 1);
        put(t, folder, "rotten", bad[i]);
        err error = try_open(t, folder);
        CHECK_ERR(error, SETTING_INVALID);
        CHECK(str_find(error->detail, STR("/rotten")) > 0);
    }
}

TEST(a_name_that_is_no_kid_is_an_error_that_names_it)
{
    str folder = folder_of(t);
    put_key(t, folder, "my key", 1);
    err error = try_open(t, folder);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("/my key")) > 0);
}

TEST(there_are_at_most_sixteen_keys)
{
    str folder = folder_of(t);
    for (int i = 0; i < AUTH_KEYS_MAX; i++)
        put_key(t, folder, str_z(t->arena, str_format(t->arena, "k%02d", i)), (uint8_t)i);
    CHECK_OK(try_open(t, folder));
    put_key(t, folder, "one-more", 99);
    CHECK_ERR(try_open(t, folder), SETTING_INVALID);
}

TEST(a_new_key_is_told_at_once_and_signs_a_little_later)
{
    str folder = folder_of(t);
    put_key(t, folder, "k1", 1);
    struct keys *keys = open_keys(t, folder);
    put_key(t, folder, "k2", 2);
    CHECK_OK(keys_reload(keys, t->arena, NOW));

    struct auth_key verifying[AUTH_KEYS_MAX];
    CHECK_INT(keys_verifying(keys, verifying), 2);
    CHECK_STR(keys_newest(keys, NOW).kid, "k1");
    CHECK_STR(keys_newest(keys, NOW + KEYS_GRACE_S * TIME_SECOND - 1).kid, "k1");
    CHECK_OK(keys_reload(keys, t->arena, NOW + 5 * TIME_SECOND)); /* does not begin anew */
    CHECK_STR(keys_newest(keys, NOW + KEYS_GRACE_S * TIME_SECOND).kid, "k2");
}

TEST(a_key_that_was_removed_is_gone_and_what_remains_signs)
{
    str folder = folder_of(t);
    put_key(t, folder, "k1", 1);
    put_key(t, folder, "k2", 2);
    struct keys *keys = open_keys(t, folder);
    CHECK_OK(disk_remove(t->arena, str_format(t->arena, "%" STR_F "/k2", STR_A(folder))));
    CHECK_OK(keys_reload(keys, t->arena, NOW));
    CHECK_STR(keys_newest(keys, NOW).kid, "k1");

    put_key(t, folder, "k3", 3);
    CHECK_OK(disk_remove(t->arena, str_format(t->arena, "%" STR_F "/k1", STR_A(folder))));
    CHECK_OK(keys_reload(keys, t->arena, NOW));
    CHECK_STR(keys_newest(keys, NOW).kid, "k3"); /* there is no other to wait with */
}

TEST(after_a_failed_reload_the_keys_are_those_from_before)
{
    str folder = folder_of(t);
    put_key(t, folder, "k1", 1);
    struct keys *keys = open_keys(t, folder);

    put(t, folder, "k2", "rotten");
    CHECK_ERR(keys_reload(keys, t->arena, NOW), SETTING_INVALID);
    CHECK_STR(keys_newest(keys, NOW).kid, "k1");

    CHECK_OK(disk_remove(t->arena, str_format(t->arena, "%" STR_F "/k1", STR_A(folder))));
    CHECK_OK(disk_remove(t->arena, str_format(t->arena, "%" STR_F "/k2", STR_A(folder))));
    CHECK_ERR(keys_reload(keys, t->arena, NOW), SETTING_INVALID);
    CHECK_STR(keys_newest(keys, NOW).kid, "k1");
}

/* ---- rotation ---- */

static size_t kids_of(struct keys *keys)
{
    struct auth_key verifying[AUTH_KEYS_MAX];
    return keys_verifying(keys, verifying);
}

static struct keys *open_made(struct test *t, str folder)
{
    struct keys *keys;
    CHECK_OK(
        keys_open(t->arena, str_format(t->arena, "%" STR_F "/made", STR_A(folder)), true, &keys));
    arena_defer(t->arena, drop_keys, keys);
    return keys;
}

TEST(a_rotation_tells_a_key_that_signs_later_and_the_old_one_outlives_its_last_token)
{
    struct keys *keys = open_made(t, folder_of(t));
    time_us now = clock_wall_us();
    struct signing_key old = keys_newest(keys, now), made;
    size_t removed;
    CHECK_OK(keys_rotate(keys, t->arena, false, now, &made));
    CHECK_INT(kids_of(keys), 2);
    CHECK_STR(keys_newest(keys, now).kid, old.kid);
    CHECK_STR(keys_newest(keys, now + KEYS_GRACE_S * TIME_SECOND).kid, made.kid);

    CHECK_OK(keys_retire(keys, t->arena, now + TOKEN_LIFE_MAX_S * TIME_SECOND, &removed));
    CHECK_INT(removed, 0);
    CHECK_INT(kids_of(keys), 2);
    CHECK_OK(keys_retire(keys, t->arena, now + (KEYS_RETIRED_S + 2) * TIME_SECOND, &removed));
    CHECK_INT(removed, 1);
    CHECK_INT(kids_of(keys), 1);
    CHECK_STR(keys_newest(keys, now).kid, made.kid);
    CHECK_OK(keys_retire(keys, t->arena, now + 100 * KEYS_RETIRED_S * TIME_SECOND, &removed));
    CHECK_INT(removed, 0); /* the newest stays for ever */
}

TEST(rotations_in_one_second_follow_one_another_and_there_are_at_most_sixteen)
{
    struct keys *keys = open_made(t, folder_of(t));
    time_us now = clock_wall_us();
    struct signing_key made, last = keys_newest(keys, now);
    CHECK_OK(keys_rotate(keys, t->arena, false, now + TIME_SECOND, &made));
    CHECK(strcmp(made.kid, last.kid) > 0);
    last = made;
    CHECK_OK(keys_rotate(keys, t->arena, false, now + TIME_SECOND, &made));
    CHECK(strcmp(made.kid, last.kid) > 0);
    for (int i = 3; i < AUTH_KEYS_MAX; i++)
        CHECK_OK(keys_rotate(keys, t->arena, false, now + i * TIME_SECOND, &made));
    CHECK_INT(kids_of(keys), AUTH_KEYS_MAX);
    time_us later = now + 100 * TIME_SECOND;
    CHECK_ERR(keys_rotate(keys, t->arena, false, later, &made), SETTING_INVALID);
    CHECK_OK(keys_rotate(keys, t->arena, true, later, &made)); /* drops the others */
    CHECK_INT(kids_of(keys), 1);
    CHECK_STR(keys_newest(keys, later).kid, made.kid);
}

TEST(keys_that_an_operator_named_stay_and_none_is_made_that_would_not_sign)
{
    str folder = folder_of(t);
    put_key(t, folder, "a", 1);
    put_key(t, folder, "20200101T000000Z-00000001", 2);
    struct keys *keys = open_keys(t, folder);
    struct signing_key made;
    size_t removed;
    CHECK_OK(keys_retire(keys, t->arena, clock_wall_us(), &removed));
    CHECK_INT(removed, 0);
    CHECK_ERR(keys_rotate(keys, t->arena, false, clock_wall_us(), &made), SETTING_INVALID);
    CHECK_OK(disk_remove(t->arena, str_format(t->arena, "%" STR_F "/a", STR_A(folder))));
    CHECK_OK(keys_rotate(keys, t->arena, false, clock_wall_us(), &made));
    CHECK_INT(kids_of(keys), 2);
}
