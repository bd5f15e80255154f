#include "chassis/api_keys.h"
#include "tests/lib/test.h"

static const time_us NOW = 2000000 * TIME_SECOND;
static const struct uuid MARK = { { 7 } };

static void close_keys(void *keys) { api_keys_close(keys); }

static struct api_keys *keys_of(struct test *t)
{
    crypto_init();
    struct api_keys *keys = api_keys_open();
    arena_defer(t->arena, close_keys, keys);
    return keys;
}

static str secret_of(struct test *t, uint8_t number)
{
    uint8_t bytes[API_KEY_RANDOM_BYTES] = { number };
    crypto_init();
    return api_key_secret(t->arena, bytes);
}

static struct api_key_known known_of(struct test *t, uint8_t number)
{
    struct api_key_known known = { .id = { { number } }, .scopes = 1u << number };
    CHECK_OK(api_key_digest(t->arena, secret_of(t, number), &known.digest));
    return known;
}

static err find(struct test *t, struct api_keys *keys, uint8_t number, time_us now,
                struct api_key_known *out)
{
    struct api_key_known known = known_of(t, number);
    return api_keys_find(keys, t->arena, &known.digest, now, out);
}

TEST(a_secret_has_a_prefix_and_a_checksum_that_scanners_can_know)
{
    str secret = secret_of(t, 5);
    CHECK(secret.len == 5 + 72);
    CHECK_STR(secret, "duka_05000000000000000000000000000000000000000000000000000000000000"
                      "006f3a018c");
    CHECK(api_key_is_meant(secret) && !api_key_is_meant(STR("eyJhbGciOi")));
}

TEST(a_secret_with_any_byte_changed_or_missing_is_none)
{
    struct sha256 digest;
    str secret = secret_of(t, 5);
    CHECK_OK(api_key_digest(t->arena, secret, &digest));
    for (size_t i = 0; i < secret.len; i++) {
        str changed = str_copy(t->arena, secret);
        ((char *)(uintptr_t)changed.ptr)[i] ^= 1;
        CHECK_ERR(api_key_digest(t->arena, changed, &digest), TOKEN_INVALID);
        CHECK_ERR(api_key_digest(t->arena, str_slice(secret, 0, i), &digest), TOKEN_INVALID);
    }
    str longer = str_format(t->arena, "%" STR_F "0", STR_A(secret));
    CHECK_ERR(api_key_digest(t->arena, longer, &digest), TOKEN_INVALID);
}

TEST(before_users_was_heard_of_nobody_can_say_which_keys_are_good)
{
    struct uuid mark;
    struct api_key_known found;
    struct api_keys *keys = keys_of(t);
    CHECK(!api_keys_mark(keys, &mark));
    CHECK_ERR(find(t, keys, 1, NOW, &found), AUTH_UNAVAILABLE);
    api_keys_set(keys, NULL, 0, MARK);
    CHECK(api_keys_mark(keys, &mark) && uuid_equal(mark, MARK));
    CHECK_ERR(find(t, keys, 1, NOW, &found), TOKEN_INVALID);
}

TEST(a_key_is_known_until_it_is_revoked_or_expires)
{
    struct api_key_known found, known[2] = { known_of(t, 1), known_of(t, 2) };
    struct api_keys *keys = keys_of(t);
    known[1].expires_at = NOW + 1;
    api_keys_set(keys, known, 2, MARK);
    CHECK_OK(find(t, keys, 1, NOW, &found));
    CHECK(uuid_equal(found.id, known[0].id) && found.scopes == 1u << 1);
    CHECK_OK(find(t, keys, 2, NOW, &found));
    CHECK_ERR(find(t, keys, 2, NOW + 1, &found), TOKEN_EXPIRED);
    CHECK_ERR(find(t, keys, 3, NOW, &found), TOKEN_INVALID);

    api_keys_set(keys, known + 1, 1, MARK);
    CHECK_ERR(find(t, keys, 1, NOW, &found), TOKEN_INVALID);
    CHECK_OK(find(t, keys, 2, NOW, &found));
}

TEST(as_many_keys_as_a_shop_may_have_are_all_known)
{
    struct api_key_known found, known[API_KEYS_MAX];
    struct api_keys *keys = keys_of(t);
    for (size_t i = 0; i < API_KEYS_MAX; i++)
        known[i] =
            (struct api_key_known){ .id = { { 1, (uint8_t)i } }, .digest = { { (uint8_t)i } } };
    api_keys_set(keys, known, API_KEYS_MAX, MARK);
    for (size_t i = 0; i < API_KEYS_MAX; i++) {
        CHECK_OK(api_keys_find(keys, t->arena, &known[i].digest, NOW, &found));
        CHECK(uuid_equal(found.id, known[i].id));
    }
}

TEST(a_use_is_told_once_a_step_and_only_of_a_key_that_was_good)
{
    struct api_key_use uses[API_KEYS_MAX];
    struct api_key_known found, known[2] = { known_of(t, 1), known_of(t, 2) };
    struct api_keys *keys = keys_of(t);
    known[1].expires_at = NOW;
    api_keys_set(keys, known, 2, MARK);
    CHECK(api_keys_take_uses(keys, uses) == 0);

    CHECK_OK(find(t, keys, 1, NOW, &found));
    CHECK_OK(find(t, keys, 1, NOW + TIME_SECOND, &found));
    CHECK_ERR(find(t, keys, 2, NOW, &found), TOKEN_EXPIRED);
    CHECK(api_keys_take_uses(keys, uses) == 1 && uuid_equal(uses[0].id, known[0].id));
    CHECK(uses[0].at <= NOW && uses[0].at > NOW - API_KEY_USED_STEP_S * TIME_SECOND);
    CHECK_OK(find(t, keys, 1, NOW + 2 * TIME_SECOND, &found));
    CHECK(api_keys_take_uses(keys, uses) == 0);

    /* What was told of it is not forgotten when others are made. */
    api_keys_set(keys, known, 2, MARK);
    CHECK(api_keys_take_uses(keys, uses) == 0);
    CHECK_OK(find(t, keys, 1, NOW + API_KEY_USED_STEP_S * TIME_SECOND, &found));
    CHECK(api_keys_take_uses(keys, uses) == 1);
}
