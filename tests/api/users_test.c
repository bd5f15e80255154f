/* Signing in and out: accounts, tokens, sessions. What staff, neighbours and the operator do is in
 * users_staff_test.c. */
#include "base/crypto.h"
#include "chassis/keys.h"
#include "gen/users.h"
#include "os/clock.h"
#include "os/disk.h"
#include "services/users/jobs.h"
#include "services/users/store.h"
#include "tests/api/users_shop.h"

/* ---- registering and logging in ---- */

TEST(a_customer_registers_logs_in_and_sees_the_account)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    struct answer_seen answer =
        inline_post(&shop->anyone, "/users",
                    "{\"email\":\"Amina@Example.com\",\"password\":\"" PASSWORD
                    "\",\"name\":\"Amina\",\"phone\":\"+254 20 1\"}");
    CHECK_STATUS(answer, 201);
    CHECK_STR(inline_header(&answer, "location"), "/users/me");
    CHECK_STR(inline_header(&answer, "etag"), "\"v1\"");
    CHECK_STR(inline_text(t, &answer, "/email"), "Amina@Example.com");
    CHECK_STR(inline_text(t, &answer, "/roles/0"), "customer");
    CHECK_STR(inline_text(t, &answer, "/roles"), "1");
    CHECK_STR(inline_text(t, &answer, "/status"), "active");
    CHECK(str_find(answer.body, STR("argon2")) < 0);

    struct inline_client amina = users_shop_client_of(shop, "amina@example.COM");
    struct answer_seen me = inline_get(&amina, "/users/me");
    CHECK_STATUS(me, 200);
    CHECK_STR(me.body, answer.body);
    CHECK_STR(inline_header(&me, "etag"), "\"v1\"");
}

TEST(an_address_has_one_account_however_it_is_written)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "ren\u00e9@example.com");
    CHECK_PROBLEM(inline_post(&shop->anyone, "/users",
                              "{\"email\":\"Rene\u0301@EXAMPLE.com\",\"password\":\"" PASSWORD
                              "\"}"),
                  409, "email.taken");
}

TEST(of_many_who_register_one_address_at_once_one_wins)
{
    enum { CROWD = 6 };
    struct users_shop *shop = users_shop_open(t, NULL);
    struct inline_pending *pending[CROWD];
    for (int i = 0; i < CROWD; i++)
        pending[i] =
            inline_send(&shop->anyone, "POST", "/users", NULL,
                        STR("{\"email\":\"amina@example.com\",\"password\":\"" PASSWORD "\"}"));
    int won = 0;
    for (int i = 0; i < CROWD; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        won += answer.status == 201;
        if (answer.status != 201)
            CHECK_PROBLEM(answer, 409, "email.taken");
    }
    CHECK_INT(won, 1);
}

TEST(what_cannot_be_registered_is_refused_with_its_field)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    struct answer_seen answer =
        inline_post(&shop->anyone, "/users", "{\"email\":\"a@b.de\",\"password\":\"Password123\"}");
    CHECK_PROBLEM(answer, 422, "password.weak");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/password");

    answer = inline_post(&shop->anyone, "/users",
                         "{\"email\":\"a b@c.de\",\"password\":\"" PASSWORD "\"}");
    CHECK_STATUS(answer, 422);
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/email");

    CHECK_STATUS(inline_post(&shop->anyone, "/users", "{\"password\":\"" PASSWORD "\"}"), 422);
    CHECK_STATUS(inline_post(&shop->anyone, "/users",
                             "{\"email\":\"a@b.de\",\"password\":\"" PASSWORD
                             "\",\"roles\":[\"admin\"]}"),
                 422);
    CHECK_PROBLEM(users_shop_try_login(shop, "a@b.de", PASSWORD), 401, "auth.credentials_invalid");
}

TEST(a_wrong_password_and_an_unknown_address_are_answered_alike)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct answer_seen wrong = users_shop_try_login(shop, "amina@example.com", "wrong password");
    struct answer_seen unknown = users_shop_try_login(shop, "nobody@example.com", PASSWORD);
    struct answer_seen no_address = users_shop_try_login(shop, "nobody", PASSWORD);
    CHECK_PROBLEM(wrong, 401, "auth.credentials_invalid");
    CHECK_PROBLEM(unknown, 401, "auth.credentials_invalid");
    CHECK_PROBLEM(no_address, 401, "auth.credentials_invalid");
    CHECK_STR(inline_text(t, &wrong, "/detail"), inline_text(t, &unknown, "/detail"));
    CHECK_STR(inline_text(t, &wrong, "/title"), inline_text(t, &unknown, "/title"));
}

TEST(a_password_works_in_either_form_of_its_letters)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    CHECK_STATUS(inline_post(&shop->anyone, "/users",
                             "{\"email\":\"a@b.de\",\"password\":\"caf\u00e9 caf\u00e9\"}"),
                 201);
    CHECK_STATUS(users_shop_try_login(shop, "a@b.de", "cafe\u0301 cafe\u0301"), 200);
    CHECK_STATUS(users_shop_try_login(shop, "a@b.de", "cafe cafe"), 401);
}

TEST(a_stale_token_does_not_keep_anyone_from_logging_in)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    shop->anyone.token = STR("not.a.token");
    CHECK_STATUS(users_shop_try_login(shop, "amina@example.com", PASSWORD), 200);
    CHECK_PROBLEM(inline_get(&shop->anyone, "/users/me"), 401, "auth.token_invalid");
    shop->anyone.token = STR_NONE;
    CHECK_PROBLEM(inline_get(&shop->anyone, "/users/me"), 401, "auth.token_missing");
}

TEST(the_keys_that_verify_are_public)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct answer_seen answer = inline_get(&shop->anyone, "/users/.well-known/jwks.json");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/keys"), "1");
    CHECK_STR(inline_text(t, &answer, "/keys/0/alg"), "EdDSA");

    struct token_parts parts;
    struct token_claims claims;
    str public;
    CHECK_OK(token_split(t->arena, users_shop_login(shop, "amina@example.com").access, &parts));
    CHECK_STR(inline_text(t, &answer, "/keys/0/kid"), parts.kid);
    CHECK(base64url_parse(t->arena, inline_text(t, &answer, "/keys/0/x"), &public));
    CHECK_OK(token_verify(t->arena, &parts, (const uint8_t *)public.ptr, STR("duka"), STR("duka"),
                          clock_wall_us(), &claims));
    CHECK_INT(claims.roles, ROLE_BIT_CUSTOMER);
    CHECK_INT(claims.version, 1);
    CHECK_INT(claims.expires_at - claims.issued_at, 600 * TIME_SECOND);
}

TEST(a_bad_key_file_stops_the_start_and_is_named)
{
    struct house *house = inline_house(t, NULL);
    str folder =
        str_format(t->arena, "%" STR_F "/keys", STR_A(conf_text(house->conf, CONF_DATA_DIR)));
    str path = str_format(t->arena, "%" STR_F "/rotten", STR_A(folder));
    struct users *users;
    CHECK_OK(disk_make_dirs(t->arena, folder));
    CHECK_OK(disk_write(t->arena, path, STR("nonsense"), 0600));
    err error = users_open(t->arena, house, &users);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, path) >= 0);
}

/* ---- refresh tokens ---- */

TEST(a_refresh_token_is_traded_for_new_tokens)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens first = users_shop_login(shop, "amina@example.com");
    struct tokens second = users_shop_refresh(shop, first.refresh);
    CHECK(!str_equal(first.refresh, second.refresh));

    struct inline_client old = users_shop_client(shop, first.access);
    struct inline_client new = users_shop_client(shop, second.access);
    CHECK_STATUS(inline_get(&old, "/users/me"), 200);
    CHECK_STATUS(inline_get(&new, "/users/me"), 200);
    users_shop_refresh(shop, second.refresh);
}

TEST(a_refresh_token_that_comes_again_ends_its_session_and_no_other)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens first = users_shop_login(shop, "amina@example.com");
    struct tokens other = users_shop_login(shop, "amina@example.com");
    struct tokens second = users_shop_refresh(shop, first.refresh);

    CHECK_PROBLEM(users_shop_try_refresh(shop, first.refresh), 401, "auth.refresh_invalid");
    CHECK_PROBLEM(users_shop_try_refresh(shop, second.refresh), 401, "auth.refresh_invalid");
    users_shop_wait_revoked(shop, second.access);
    users_shop_wait_revoked(shop, first.access);

    struct inline_client still = users_shop_client(shop, other.access);
    CHECK_STATUS(inline_get(&still, "/users/me"), 200);
    users_shop_refresh(shop, other.refresh);
}

TEST(a_refresh_token_shown_many_times_at_once_works_at_most_once)
{
    enum { CROWD = 8 };
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    str refresh = users_shop_login(shop, "amina@example.com").refresh;
    str body = str_format(t->arena, "{\"refresh_token\":\"%" STR_F "\"}", STR_A(refresh));

    struct inline_pending *pending[CROWD];
    for (int i = 0; i < CROWD; i++)
        pending[i] = inline_send(&shop->anyone, "POST", "/users/refresh", NULL, body);
    int won = 0;
    str next = STR_NONE;
    for (int i = 0; i < CROWD; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        won += answer.status == 200;
        if (answer.status == 200)
            next = inline_text(t, &answer, "/refresh_token");
        else
            CHECK_PROBLEM(answer, 401, "auth.refresh_invalid");
    }
    CHECK_INT(won, 1);
    CHECK_PROBLEM(users_shop_try_refresh(shop, next), 401, "auth.refresh_invalid");
}

TEST(what_is_no_refresh_token_is_refused)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    CHECK_PROBLEM(users_shop_try_refresh(shop, STR("x")), 401, "auth.refresh_invalid");
    CHECK_PROBLEM(users_shop_try_refresh(shop, STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
                  401, "auth.refresh_invalid");
    CHECK_STATUS(inline_post(&shop->anyone, "/users/refresh", "{\"refresh_token\":\"\"}"), 422);
}

TEST(an_account_keeps_a_hundred_sessions)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    struct uuid user = users_shop_register(shop, "amina@example.com");
    struct tokens first = users_shop_login(shop, "amina@example.com");
    struct tokens second = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, first.access);
    CHECK_STATUS(inline_get(&client, "/users/me"), 200);

    struct call *job = service_job_open(users_service(shop->users), "test");
    for (int i = 0; i < SESSIONS_MAX - 1; i++) {
        struct session_adding adding = { .user_version = 1 };
        adding.session = session_begin(call_new_id(job), user, clock_wall_us(), TIME_SECOND);
        call_random(job, adding.refresh.bytes, sizeof adding.refresh.bytes);
        CHECK_OK(job_write(job, write_new(job->arena, store_add_sessions, &adding)));
    }
    service_job_close(job);
    CHECK_PROBLEM(users_shop_try_refresh(shop, first.refresh), 401, "auth.refresh_invalid");
    users_shop_wait_revoked(shop, first.access);
    users_shop_refresh(shop, second.refresh);
    client.token = second.access;
    CHECK_STATUS(inline_get(&client, "/users/me"), 200);
}

TEST(sessions_that_have_ended_do_not_push_out_those_that_live)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    struct uuid user = users_shop_register(shop, "amina@example.com");
    str first = users_shop_login(shop, "amina@example.com").refresh;

    struct call *job = service_job_open(users_service(shop->users), "test");
    for (int i = 0; i < SESSIONS_MAX + 5; i++) {
        struct session_adding adding = { .user_version = 1 };
        adding.session = session_begin(call_new_id(job), user, clock_wall_us(), TIME_SECOND);
        call_random(job, adding.refresh.bytes, sizeof adding.refresh.bytes);
        CHECK_OK(job_write(job, write_new(job->arena, store_add_sessions, &adding)));
        struct session_ending ending = { adding.session.id, user };
        CHECK_OK(job_write(job, write_new(job->arena, store_end_sessions, &ending)));
    }
    service_job_close(job);
    users_shop_refresh(shop, first);
}

/* ---- logging out ---- */

TEST(after_a_log_out_its_tokens_are_refused_and_other_sessions_go_on)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens here = users_shop_login(shop, "amina@example.com");
    struct tokens there = users_shop_login(shop, "amina@example.com");

    struct inline_client client = users_shop_client(shop, here.access);
    struct answer_seen answer = inline_post(&client, "/users/logout", NULL);
    CHECK_STATUS(answer, 204);
    CHECK_INT(answer.body.len, 0);
    CHECK_PROBLEM(users_shop_try_refresh(shop, here.refresh), 401, "auth.refresh_invalid");
    users_shop_wait_revoked(shop, here.access);

    client.token = there.access;
    CHECK_STATUS(inline_get(&client, "/users/me"), 200);
    CHECK_PROBLEM(inline_post(&shop->anyone, "/users/logout", NULL), 401, "auth.token_missing");
}

TEST(a_restart_forgets_nobody_and_nothing_that_was_revoked)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens gone = users_shop_login(shop, "amina@example.com");
    struct tokens kept = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, gone.access);
    CHECK_STATUS(inline_post(&client, "/users/logout", NULL), 204);

    /* A new process has a new memory of tokens. */
    users_stop(shop->users);
    users_close(shop->users);
    shop->users = NULL;
    auth_close(shop->house->auth);
    shop->house->auth =
        auth_open(&(struct auth_config){ .issuer = STR("duka"), .audience = STR("duka") });
    users_shop_restart(shop);

    client = users_shop_client(shop, gone.access);
    CHECK_PROBLEM(inline_get(&client, "/users/me"), 401, "auth.token_revoked");
    client.token = kept.access;
    CHECK_STATUS(inline_get(&client, "/users/me"), 200);
    users_shop_refresh(shop, kept.refresh);
}

/* ---- time ---- */

static int64_t wall_offset_us;

static time_us wall_later(void)
{
    return clock_machine.wall_us() + __atomic_load_n(&wall_offset_us, __ATOMIC_RELAXED);
}

static void use_machine_clock(void *unused)
{
    (void)unused;
    clock_use(&clock_machine);
}

/* A shop whose wall clock can be moved on. */
static struct users_shop *open_with_clock(struct test *t)
{
    static struct clock_ops ops;
    ops = (struct clock_ops){ clock_machine.mono_us, wall_later };
    wall_offset_us = 0;
    arena_defer(t->arena, use_machine_clock, NULL);
    clock_use(&ops);
    return users_shop_open(t, NULL);
}

static void move_on(int64_t seconds)
{
    __atomic_add_fetch(&wall_offset_us, seconds * TIME_SECOND, __ATOMIC_RELAXED);
}

TEST(an_access_token_expires_and_a_refresh_token_lives_on)
{
    struct users_shop *shop = open_with_clock(t);
    users_shop_register(shop, "amina@example.com");
    struct tokens tokens = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, tokens.access);
    CHECK_STATUS(inline_get(&client, "/users/me"), 200);

    move_on(600 + AUTH_LEEWAY_S + 2);
    CHECK_PROBLEM(inline_get(&client, "/users/me"), 401, "auth.token_expired");
    tokens = users_shop_refresh(shop, tokens.refresh);
    move_on(29 * 86400);
    tokens = users_shop_refresh(shop, tokens.refresh);
    move_on(30 * 86400 + 1);
    CHECK_PROBLEM(users_shop_try_refresh(shop, tokens.refresh), 401, "auth.refresh_invalid");
}

static int64_t rows_of(struct users_shop *shop, int table)
{
    int64_t rows[SWEEP_TABLES_MAX];
    struct swept tables[USERS_SWEPT_COUNT];
    struct swept_room room = store_users_swept(tables, TIME_SECOND);
    struct db_reader *reader;
    struct arena *arena = arena_open(1024 * 1024);
    CHECK_OK(db_read_begin(service_db(users_service(shop->users)), arena, &reader));
    CHECK_OK(room.count_rows(reader, arena, rows));
    db_read_end(reader);
    arena_close(arena);
    return rows[table];
}

TEST(what_has_expired_is_swept_away)
{
    struct users_shop *shop = open_with_clock(t);
    struct uuid user = users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    CHECK_STATUS(inline_post(&client, "/users/logout", NULL), 204);
    struct call *job = service_job_open(users_service(shop->users), "test");
    for (int i = 0; i < SWEEP_ROWS_MAX + 10; i++) { /* more than one round */
        struct session_adding adding = { .user_version = 1 };
        adding.session = session_begin(call_new_id(job), user, clock_wall_us(), TIME_SECOND);
        call_random(job, adding.refresh.bytes, sizeof adding.refresh.bytes);
        CHECK_OK(job_write(job, write_new(job->arena, store_add_sessions, &adding)));
    }
    service_job_close(job);

    move_on(31 * 86400);
    job = service_job_open(users_service(shop->users), "test");
    CHECK_OK(sweeper_run(NULL, job));
    service_job_close(job);
    for (int table = 0; table < 4; table++) /* tokens, sessions, links, revocations */
        CHECK_INT(rows_of(shop, table), 0);
    users_shop_login(shop, "amina@example.com"); /* the account stays */
}

/* ---- the profile ---- */

static struct answer_seen patch_me(struct inline_client *client, const char *if_match,
                                   const char *json)
{
    const char *headers[] = { if_match, NULL };
    return inline_request(client, "PATCH", "/users/me", headers, str_of_z(json));
}

TEST(a_profile_changes_by_the_members_that_are_sent)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");

    struct answer_seen answer = patch_me(&client, "If-Match: \"v1\"", "{\"name\":\"Amina\"}");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/name"), "Amina");
    CHECK_STR(inline_text(t, &answer, "/version"), "2");
    CHECK_STR(inline_header(&answer, "etag"), "\"v2\"");

    answer = patch_me(&client, "If-Match: \"v2\"", "{\"phone\":\"+254\"}");
    CHECK_STR(inline_text(t, &answer, "/name"), "Amina");
    CHECK_STR(inline_text(t, &answer, "/phone"), "+254");

    answer = patch_me(&client, "If-Match: \"v3\"", "{\"name\":\"\"}");
    CHECK_STR(inline_text(t, &answer, "/name"), "");
    CHECK_STR(inline_text(t, &answer, "/phone"), "+254");

    answer = patch_me(&client, "If-Match: \"v4\"", "{\"phone\":null}");
    CHECK_STATUS(answer, 200);
    CHECK(!inline_text(t, &answer, "/phone").ptr);
    CHECK_STR(inline_text(t, &answer, "/version"), "5");

    answer = inline_get(&client, "/users/me");
    CHECK_STR(inline_header(&answer, "etag"), "\"v5\"");
}

TEST(a_patch_that_changes_nothing_makes_no_new_version)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    CHECK_STATUS(patch_me(&client, "If-Match: \"v1\"", "{}"), 200);
    struct answer_seen answer = patch_me(&client, "If-Match: \"v1\"", "{\"name\":\"\"}");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/version"), "1");
}

TEST(a_patch_needs_the_etag_that_was_read)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    CHECK_PROBLEM(patch_me(&client, NULL, "{\"name\":\"A\"}"), 428, "version.required");
    CHECK_PROBLEM(patch_me(&client, "If-Match: \"v2\"", "{\"name\":\"A\"}"), 412, "version.stale");
    CHECK_STATUS(patch_me(&client, "If-Match: \"v1\"", "{\"email\":\"x@y.de\"}"), 422);
    CHECK_STATUS(patch_me(&client, "If-Match: \"v1\"", "{\"name\":1}"), 422);
    CHECK_STATUS(patch_me(&client, "If-Match: \"v1\"", "{\"name\":"), 400);
}

TEST(of_two_patches_over_one_version_one_is_stale)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    const char *const headers[] = { "If-Match: \"v1\"", NULL };
    struct inline_pending *a =
        inline_send(&client, "PATCH", "/users/me", headers, STR("{\"name\":\"A\"}"));
    struct inline_pending *b =
        inline_send(&client, "PATCH", "/users/me", headers, STR("{\"name\":\"B\"}"));
    struct answer_seen seen[] = { inline_wait(a), inline_wait(b) };
    CHECK_INT(seen[0].status + seen[1].status, 200 + 412);

    struct answer_seen me = inline_get(&client, "/users/me");
    CHECK_STR(me.body, seen[seen[0].status == 200 ? 0 : 1].body);
}

TEST(a_changed_profile_leaves_its_tokens_good)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens tokens = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, tokens.access);
    CHECK_STATUS(patch_me(&client, "If-Match: \"v1\"", "{\"name\":\"A\"}"), 200);
    users_shop_refresh(shop, tokens.refresh);
    CHECK_STATUS(inline_get(&client, "/users/me"), 200);
}

/* ---- addresses ---- */

#define ADDRESS \
    "{\"name\":\"Amina\",\"line1\":\"Moi Avenue 12\",\"city\":\"Nairobi\",\"country\":\"KE\"}"

static struct uuid add_address(struct inline_client *client)
{
    struct test *t = client->t;
    struct uuid id;
    struct answer_seen answer = inline_post(client, "/users/me/addresses", ADDRESS);
    CHECK_STATUS(answer, 201);
    CHECK(uuid_parse(inline_text(t, &answer, "/id"), &id));
    return id;
}

TEST(addresses_are_added_read_replaced_and_removed)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    struct answer_seen answer = inline_get(&client, "/users/me/addresses");
    CHECK_STR(answer.body, "{\"items\":[]}");

    answer = inline_post(&client, "/users/me/addresses", ADDRESS);
    CHECK_STATUS(answer, 201);
    CHECK_STR(inline_text(t, &answer, "/address/line1"), "Moi Avenue 12");
    str location = inline_header(&answer, "location");
    CHECK_STR(location, str_format(t->arena, "/users/me/addresses/%" STR_F,
                                   STR_A(inline_text(t, &answer, "/id"))));
    const char *path = str_z(t->arena, location);
    CHECK_STR(inline_get(&client, path).body, answer.body);

    add_address(&client);
    answer = inline_get(&client, "/users/me/addresses");
    CHECK_STR(inline_text(t, &answer, "/items"), "2");

    answer = inline_put(&client, path,
                        "{\"name\":\"Amina N\",\"line1\":\"Moi 1\",\"city\":\"Nairobi\","
                        "\"country\":\"KE\",\"postal_code\":\"00100\"}");
    CHECK_STATUS(answer, 200);
    struct answer_seen again = inline_get(&client, path);
    CHECK_STR(again.body, answer.body);
    CHECK_STR(inline_text(t, &again, "/address/postal_code"), "00100");

    CHECK_STATUS(inline_delete(&client, path), 204);
    CHECK_PROBLEM(inline_get(&client, path), 404, "not_found");
    CHECK_PROBLEM(inline_delete(&client, path), 404, "not_found");
    CHECK_PROBLEM(inline_put(&client, path, ADDRESS), 404, "not_found");
    answer = inline_get(&client, "/users/me/addresses");
    CHECK_STR(inline_text(t, &answer, "/items"), "1");
}

TEST(addresses_of_others_are_not_there)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    users_shop_register(shop, "omar@example.com");
    struct inline_client amina = users_shop_client_of(shop, "amina@example.com");
    struct inline_client omar = users_shop_client_of(shop, "omar@example.com");
    const char *path = users_shop_path(shop, "/users/me/addresses/%s", add_address(&amina));

    CHECK_PROBLEM(inline_get(&omar, path), 404, "not_found");
    CHECK_PROBLEM(inline_put(&omar, path, ADDRESS), 404, "not_found");
    CHECK_PROBLEM(inline_delete(&omar, path), 404, "not_found");
    struct answer_seen answer = inline_get(&omar, "/users/me/addresses");
    CHECK_STR(inline_text(t, &answer, "/items"), "0");
    CHECK_STATUS(inline_get(&amina, path), 200);
}

TEST(an_account_keeps_fifty_addresses)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    struct inline_pending *pending[ADDRESSES_MAX + 3];
    for (int i = 0; i < ADDRESSES_MAX + 3; i++)
        pending[i] = inline_send(&client, "POST", "/users/me/addresses", NULL, STR(ADDRESS));
    int added = 0;
    for (int i = 0; i < ADDRESSES_MAX + 3; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        added += answer.status == 201;
        if (answer.status != 201)
            CHECK_PROBLEM(answer, 409, "addresses.too_many");
    }
    CHECK_INT(added, ADDRESSES_MAX);
}

TEST(an_address_without_what_it_needs_is_refused)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    CHECK_STATUS(inline_post(&client, "/users/me/addresses", "{}"), 422);
    CHECK_STATUS(
        inline_post(&client, "/users/me/addresses",
                    "{\"name\":\"A\",\"line1\":\"B\",\"city\":\"C\",\"country\":\"Kenya\"}"),
        422);
    CHECK_PROBLEM(inline_post(&shop->anyone, "/users/me/addresses", ADDRESS), 401,
                  "auth.token_missing");
}
