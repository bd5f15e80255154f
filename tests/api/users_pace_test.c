/* Many wrong passwords: who is slowed down by them, and who is not. */
#include "tests/api/users_shop.h"

static struct answer_seen log_in_from(struct users_shop *shop, const char *address,
                                      const char *email, const char *password)
{
    str kept = shop->anyone.address;
    shop->anyone.address = str_of_z(address);
    struct answer_seen answer = users_shop_try_login(shop, email, password);
    shop->anyone.address = kept;
    return answer;
}

static struct users_shop *shop_of_three_tries(struct test *t)
{
    struct users_shop *shop =
        users_shop_open(t, (const char *const[]){ "LOGIN_FAILURES=3", "MAIL_URL=none", NULL });
    users_shop_register(shop, "amina@example.com");
    return shop;
}

static void fail_from(struct test *t, struct users_shop *shop, const char *address,
                      const char *email, int times)
{
    for (int i = 0; i < times; i++)
        CHECK_PROBLEM(log_in_from(shop, address, email, "not this one"), 401,
                      "auth.credentials_invalid");
}

TEST(too_many_wrong_passwords_slow_down_whoever_tries_from_wherever)
{
    struct users_shop *shop = shop_of_three_tries(t);
    fail_from(t, shop, "198.51.100.1", "amina@example.com", 2);
    fail_from(t, shop, "198.51.100.2", "AMINA@example.com", 1);
    struct answer_seen answer =
        log_in_from(shop, "198.51.100.3", "amina@example.com", "not this one");
    CHECK_PROBLEM(answer, 429, "rate.exceeded");
    CHECK(inline_header(&answer, "retry-after").len > 0);
    CHECK_PROBLEM(log_in_from(shop, "198.51.100.3", "amina@example.com", PASSWORD), 429,
                  "rate.exceeded"); /* a right guess does not tell itself */

    users_shop_register(shop, "bashir@example.com");
    CHECK_STATUS(log_in_from(shop, "198.51.100.1", "bashir@example.com", PASSWORD), 200);
}

TEST(the_owner_is_not_kept_out_from_where_the_owner_was_before)
{
    struct users_shop *shop = shop_of_three_tries(t);
    CHECK_STATUS(log_in_from(shop, "192.0.2.7", "amina@example.com", PASSWORD), 200);
    fail_from(t, shop, "198.51.100.1", "amina@example.com", 3);
    CHECK_PROBLEM(log_in_from(shop, "198.51.100.1", "amina@example.com", PASSWORD), 429,
                  "rate.exceeded");
    CHECK_STATUS(log_in_from(shop, "192.0.2.7", "amina@example.com", PASSWORD), 200);
}

TEST(who_was_there_before_may_not_try_for_ever_either)
{
    struct users_shop *shop = shop_of_three_tries(t);
    CHECK_STATUS(log_in_from(shop, "192.0.2.7", "amina@example.com", PASSWORD), 200);
    fail_from(t, shop, "192.0.2.7", "amina@example.com", 3);
    CHECK_PROBLEM(log_in_from(shop, "192.0.2.7", "amina@example.com", PASSWORD), 429,
                  "rate.exceeded");
}

TEST(an_address_without_an_account_is_slowed_down_alike)
{
    struct users_shop *shop = shop_of_three_tries(t);
    fail_from(t, shop, "198.51.100.1", "nobody@example.com", 3);
    struct answer_seen unknown =
        log_in_from(shop, "198.51.100.1", "nobody@example.com", "not this one");
    CHECK_PROBLEM(unknown, 429, "rate.exceeded");
    fail_from(t, shop, "198.51.100.1", "amina@example.com", 3);
    struct answer_seen known =
        log_in_from(shop, "198.51.100.1", "amina@example.com", "not this one");
    CHECK_PROBLEM(known, 429, "rate.exceeded");
    CHECK_STR(inline_text(t, &known, "/detail"), inline_text(t, &unknown, "/detail"));
    fail_from(t, shop, "198.51.100.1", "no address", 3);
    CHECK_PROBLEM(log_in_from(shop, "198.51.100.1", "no address", "x"), 429, "rate.exceeded");
}

TEST(sessions_go_on_and_the_old_password_is_not_guessed_through_them)
{
    struct users_shop *shop = shop_of_three_tries(t);
    struct tokens tokens = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, tokens.access);
    static const char wrong[] =
        "{\"old_password\":\"not this one\",\"password\":\"incorrect zebra battery\"}";
    for (int i = 0; i < 3; i++)
        CHECK_PROBLEM(inline_put(&client, "/users/me/password", wrong), 422, "password.wrong");
    CHECK_PROBLEM(inline_put(&client, "/users/me/password", wrong), 429, "rate.exceeded");
    CHECK_STATUS(inline_get(&client, "/users/me"), 200);
    users_shop_refresh(shop, tokens.refresh);
    CHECK_STATUS(users_shop_try_login(shop, "amina@example.com", PASSWORD), 200);
}
