/* Mails with links: verifying an address, choosing a new password. The mailer of development writes
 * them as files; what a real server says to them stands in tests/e2e/test_mail.py. */
#include "os/clock.h"
#include "os/disk.h"
#include "tests/api/users_shop.h"

#define PASSWORD_NEW "incorrect zebra battery"

/* The token in the link of a mail. */
static str token_of(str mail)
{
    ptrdiff_t at = str_find(mail, STR("#token=3D"));
    CHECK(at > 0);
    str token = str_slice(mail, (size_t)at + 9, 43);
    CHECK_INT(token.len, 43);
    return token;
}

static struct answer_seen send(struct users_shop *shop, const char *path, const char *member,
                               str value)
{
    str body = str_format(shop->t->arena, "{\"%s\":\"%" STR_F "\"}", member, STR_A(value));
    return inline_post(&shop->anyone, path, str_z(shop->t->arena, body));
}

static struct answer_seen verify(struct users_shop *shop, str token)
{
    return send(shop, "/users/email/verify", "token", token);
}

static struct answer_seen forgot(struct users_shop *shop, const char *email)
{
    return send(shop, "/users/password/forgot", "email", str_of_z(email));
}

static struct answer_seen reset(struct users_shop *shop, str token, const char *password)
{
    str body = str_format(shop->t->arena, "{\"token\":\"%" STR_F "\",\"password\":\"%s\"}",
                          STR_A(token), password);
    return inline_post(&shop->anyone, "/users/password/reset", str_z(shop->t->arena, body));
}

/* ---- verifying ---- */

TEST(whoever_registers_gets_a_mail_whose_link_verifies_the_address_once)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "Amina@Example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    struct answer_seen me = inline_get(&client, "/users/me");
    CHECK_STR(inline_text(t, &me, "/email_verified"), "false");

    str mail = users_shop_mail(shop, 1);
    CHECK(str_find(mail, STR("To: <Amina@Example.com>\r\n")) >= 0);
    CHECK(str_find(mail, STR("http://127.0.0.1:3000/verify-email#token=3D")) > 0);
    CHECK(str_find(mail, STR("text/html")) > 0);

    CHECK_PROBLEM(verify(shop, STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")), 422,
                  "link.invalid");
    CHECK_PROBLEM(verify(shop, STR("short")), 422, "link.invalid");
    CHECK_PROBLEM(reset(shop, token_of(mail), PASSWORD_NEW), 422, "link.invalid");
    CHECK_STATUS(verify(shop, token_of(mail)), 204);
    me = inline_get(&client, "/users/me");
    CHECK_STR(inline_text(t, &me, "/email_verified"), "true");
    CHECK_PROBLEM(verify(shop, token_of(mail)), 422, "link.invalid");
    CHECK(inline_until(users_shop_is_all_sent, shop));
}

TEST(another_verification_mail_is_sent_until_the_address_is_verified)
{
    struct users_shop *shop =
        users_shop_open(t, (const char *const[]){ "MAILS_AN_ADDRESS=2", NULL });
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    str first = token_of(users_shop_mail(shop, 1));
    CHECK_STATUS(inline_post(&client, "/users/me/email/verification", NULL), 204);
    str second = token_of(users_shop_mail(shop, 2));
    CHECK(!str_equal(first, second));
    CHECK_STATUS(inline_post(&client, "/users/me/email/verification", NULL), 204);
    struct answer_seen answer = inline_post(&client, "/users/me/email/verification", NULL);
    CHECK_PROBLEM(answer, 429, "rate.exceeded");
    CHECK(inline_header(&answer, "retry-after").len > 0);
    CHECK_PROBLEM(inline_post(&shop->anyone, "/users/me/email/verification", NULL), 401,
                  "auth.token_missing");

    CHECK_STATUS(verify(shop, first), 204); /* whichever mail is opened */
    CHECK_PROBLEM(verify(shop, second), 422, "link.invalid");
    CHECK_PROBLEM(inline_post(&client, "/users/me/email/verification", NULL), 409, "user.state");
}

TEST(what_the_operator_makes_is_verified_and_gets_no_mail)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_create(shop, "staff@example.com", "\"staff\"");
    struct inline_client staff = users_shop_client_of(shop, "staff@example.com");
    struct answer_seen me = inline_get(&staff, "/users/me");
    CHECK_STR(inline_text(t, &me, "/email_verified"), "true");
    CHECK(users_shop_is_all_sent(shop));
    CHECK_INT(users_shop_mails_count(shop), 0);
}

TEST(a_token_says_whether_the_address_is_verified)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens tokens = users_shop_login(shop, "amina@example.com");
    struct identity who;
    struct auth *auth = shop->house->auth;
    str bearer = str_format(t->arena, "Bearer %" STR_F, STR_A(tokens.access));
    CHECK_OK(auth_check(auth, t->arena, bearer, clock_wall_us(), &who));
    CHECK(!who.email_verified);

    CHECK_STATUS(verify(shop, token_of(users_shop_mail(shop, 1))), 204);
    tokens = users_shop_refresh(shop, tokens.refresh);
    bearer = str_format(t->arena, "Bearer %" STR_F, STR_A(tokens.access));
    CHECK_OK(auth_check(auth, t->arena, bearer, clock_wall_us(), &who));
    CHECK(who.email_verified);
}

/* ---- a forgotten password ---- */

/* A shop with one customer whose first mail has come. */
static struct users_shop *shop_with_amina(struct test *t, const char *setting)
{
    struct users_shop *shop = users_shop_open(t, (const char *const[]){ setting, NULL });
    users_shop_register(shop, "amina@example.com");
    users_shop_mail(shop, 1);
    return shop;
}

TEST(a_forgotten_password_is_replaced_by_the_link_of_a_mail)
{
    struct users_shop *shop = shop_with_amina(t, NULL);
    struct tokens before = users_shop_login(shop, "amina@example.com");
    CHECK_STATUS(forgot(shop, "AMINA@example.com"), 204);
    str mail = users_shop_mail(shop, 2);
    str token = token_of(mail);
    CHECK(str_find(mail, STR("http://127.0.0.1:3000/reset-password#token=3D")) > 0);

    CHECK_PROBLEM(reset(shop, token, "password123"), 422, "password.weak");
    CHECK_PROBLEM(verify(shop, token), 422, "link.invalid");
    CHECK_STATUS(users_shop_try_login(shop, "amina@example.com", PASSWORD), 200);
    CHECK_STATUS(reset(shop, token, PASSWORD_NEW), 204);

    CHECK_PROBLEM(users_shop_try_refresh(shop, before.refresh), 401, "auth.refresh_invalid");
    users_shop_wait_revoked(shop, before.access);
    CHECK_PROBLEM(users_shop_try_login(shop, "amina@example.com", PASSWORD), 401,
                  "auth.credentials_invalid");
    CHECK_STATUS(users_shop_try_login(shop, "amina@example.com", PASSWORD_NEW), 200);
    CHECK_PROBLEM(reset(shop, token, PASSWORD), 422, "link.invalid");
}

TEST(a_used_link_ends_all_others_and_verifies_the_address)
{
    struct users_shop *shop = shop_with_amina(t, NULL);
    CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    str first = token_of(users_shop_mail(shop, 2));
    CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    str second = token_of(users_shop_mail(shop, 3));
    CHECK_STATUS(reset(shop, second, PASSWORD_NEW), 204);
    CHECK_PROBLEM(reset(shop, first, PASSWORD), 422, "link.invalid");
    struct answer_seen login = users_shop_try_login(shop, "amina@example.com", PASSWORD_NEW);
    struct inline_client client = users_shop_client(shop, inline_text(t, &login, "/access_token"));
    struct answer_seen me = inline_get(&client, "/users/me");
    CHECK_STR(inline_text(t, &me, "/email_verified"), "true");
}

TEST(of_many_who_use_one_link_at_once_one_wins)
{
    enum { CROWD = 6 };
    struct users_shop *shop = shop_with_amina(t, NULL);
    CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    str body = str_format(t->arena, "{\"token\":\"%" STR_F "\",\"password\":\"" PASSWORD_NEW "\"}",
                          STR_A(token_of(users_shop_mail(shop, 2))));
    struct inline_pending *pending[CROWD];
    for (int i = 0; i < CROWD; i++)
        pending[i] = inline_send(&shop->anyone, "POST", "/users/password/reset", NULL, body);
    int won = 0;
    for (int i = 0; i < CROWD; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        won += answer.status == 204;
        if (answer.status != 204)
            CHECK_PROBLEM(answer, 422, "link.invalid");
    }
    CHECK_INT(won, 1);
}

TEST(an_unknown_address_is_answered_alike_and_gets_no_mail)
{
    struct users_shop *shop = shop_with_amina(t, NULL);
    struct answer_seen unknown = forgot(shop, "nobody@example.com");
    CHECK_STATUS(unknown, 204);
    CHECK_INT(unknown.body.len, 0);
    struct answer_seen known = forgot(shop, "amina@example.com");
    CHECK_STATUS(known, 204);
    CHECK_INT(unknown.headers_count, known.headers_count);
    users_shop_mail(shop, 2);
    CHECK(inline_until(users_shop_is_all_sent, shop));
    CHECK_INT(users_shop_mails_count(shop), 2);
    CHECK_STATUS(forgot(shop, "no address"), 422);
}

TEST(more_mails_than_an_address_may_get_are_not_sent_and_that_does_not_show)
{
    struct users_shop *shop = shop_with_amina(t, "MAILS_AN_ADDRESS=2");
    for (int i = 0; i < 6; i++)
        CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    users_shop_mail(shop, 3);
    CHECK(inline_until(users_shop_is_all_sent, shop));
    CHECK_INT(users_shop_mails_count(shop), 3);
}

TEST(whoever_is_suspended_is_not_let_in_by_a_link)
{
    struct users_shop *shop = shop_with_amina(t, NULL);
    users_shop_create(shop, "staff@example.com", "\"staff\"");
    struct inline_client staff = users_shop_client_of(shop, "staff@example.com");
    struct answer_seen list = inline_get(&staff, "/users?email=amina@example.com");
    struct uuid id;
    CHECK(uuid_parse(inline_text(t, &list, "/items/0/id"), &id));
    CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    str token = token_of(users_shop_mail(shop, 2));
    CHECK_STATUS(inline_post(&staff, users_shop_path(shop, "/users/%s/suspend", id), "{}"), 200);

    CHECK_PROBLEM(reset(shop, token, PASSWORD_NEW), 422, "link.invalid");
    CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    CHECK(inline_until(users_shop_is_all_sent, shop));
    CHECK_INT(users_shop_mails_count(shop), 2);
    CHECK_STATUS(inline_post(&staff, users_shop_path(shop, "/users/%s/restore", id), NULL), 200);
    CHECK_STATUS(reset(shop, token, PASSWORD_NEW), 204);
}

TEST(a_link_works_for_its_time_only)
{
    struct users_shop *shop = shop_with_amina(t, "PASSWORD_RESET_TTL=1s");
    CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    str token = token_of(users_shop_mail(shop, 2));
    int64_t until_us = clock_mono_us() + 1100 * TIME_MS;
    while (clock_mono_us() < until_us)
        usleep(10000);
    CHECK_PROBLEM(reset(shop, token, PASSWORD_NEW), 422, "link.invalid");
    CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    CHECK_STATUS(reset(shop, token_of(users_shop_mail(shop, 3)), PASSWORD_NEW), 204);
}

TEST(no_token_is_kept_but_its_digest)
{
    struct users_shop *shop = shop_with_amina(t, NULL);
    str token = token_of(users_shop_mail(shop, 1)), raw, bytes;
    CHECK(inline_until(users_shop_is_all_sent, shop));
    CHECK(base64url_parse(t->arena, token, &raw));
    str data = conf_text(shop->house->conf, CONF_DATA_DIR);
    struct sha256 hash = sha256_of(raw);
    bool digest_is_there = false;
    static const char *const files[] = { "users.db", "users.db-wal" };
    for (int i = 0; i < 2; i++) {
        str path = str_format(t->arena, "%" STR_F "/%s", STR_A(data), files[i]);
        CHECK_OK(disk_read(t->arena, path, 50000000, &bytes));
        CHECK(str_find(bytes, token) < 0 && str_find(bytes, raw) < 0);
        digest_is_there |= str_find(bytes, str_of(hash.bytes, sizeof hash.bytes)) >= 0;
    }
    CHECK(digest_is_there); /* so that the search can find something */
}

/* ---- settings ---- */

TEST(templates_of_a_folder_take_the_place_of_those_built_in)
{
    const char *folder = test_folder(t);
    CHECK_OK(disk_write(t->arena, str_format(t->arena, "%s/verify.txt", folder),
                        STR("Subject: Karibu {{shop}}\n\nHabari {{name}}: {{url}}\n"), 0600));
    str setting = str_format(t->arena, "MAIL_TEMPLATES_DIR=%s", folder);
    struct users_shop *shop = users_shop_open(
        t, (const char *const[]){ str_z(t->arena, setting), "SHOP_NAME=Mugs", NULL });
    users_shop_register(shop, "amina@example.com");
    str mail = users_shop_mail(shop, 1);
    CHECK(str_find(mail, STR("Subject: Karibu Mugs\r\n")) >= 0);
    CHECK(str_find(mail, STR("Habari amina@example.com: http")) > 0);
    CHECK(str_find(mail, STR("Confirm my e-mail address")) > 0); /* the HTML is still ours */

    CHECK_OK(disk_write(t->arena, str_format(t->arena, "%s/reset.txt", folder),
                        STR("Subject: x\n\n{{nothing}}\n"), 0600));
    struct users *users;
    users_stop(shop->users);
    users_close(shop->users);
    shop->users = NULL;
    CHECK_ERR(users_open(t->arena, shop->house, &users), SETTING_INVALID);
}

TEST(without_a_way_for_mail_people_register_and_nothing_piles_up)
{
    struct users_shop *shop = users_shop_open(t, (const char *const[]){ "MAIL_URL=none", NULL });
    users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    CHECK_STATUS(forgot(shop, "amina@example.com"), 204);
    CHECK_STATUS(inline_post(&client, "/users/me/email/verification", NULL), 204);
    CHECK(users_shop_is_all_sent(shop));
}

TEST(what_a_crash_left_is_sent_after_the_restart)
{
    struct users_shop *shop = users_shop_open_still(t); /* no lane sends */
    users_shop_register(shop, "amina@example.com");
    CHECK_INT(users_shop_mails_count(shop), 0);
    shop->is_still = false;
    users_shop_restart(shop);
    users_shop_mail(shop, 1);
    CHECK(inline_until(users_shop_is_all_sent, shop));
}
