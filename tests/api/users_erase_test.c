/* An account that is erased, as far as Users knows of it; what Orders forgets stands in
 * tests/e2e/test_erasure.py. */
#include "tests/api/users_shop.h"

static struct users_shop *shop_without_mail(struct test *t)
{
    return users_shop_open(t, (const char *const[]){ "MAIL_URL=none", NULL });
}

/* Until the revocation is known the account is just not there. */
static bool is_refused(void *client)
{
    struct answer_seen answer = inline_get(client, "/users/me");
    return answer.status == 401;
}

TEST(whoever_erases_the_account_is_gone_at_once_and_everywhere_within_five_seconds)
{
    struct users_shop *shop = shop_without_mail(t);
    users_shop_create(shop, "staff@example.com", "\"staff\"");
    struct inline_client staff = users_shop_client_of(shop, "staff@example.com");
    struct uuid id = users_shop_register(shop, "amina@example.com");
    struct uuid other = users_shop_register(shop, "bashir@example.com");
    struct tokens tokens = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, tokens.access);
    CHECK_STATUS(inline_post(&client, "/users/me/addresses",
                             "{\"name\":\"A\",\"line1\":\"1\",\"city\":\"N\",\"country\":\"KE\"}"),
                 201);

    CHECK_PROBLEM(inline_delete(&shop->anyone, "/users/me"), 401, "auth.token_missing");
    struct answer_seen answer = inline_delete(&client, "/users/me");
    CHECK_STATUS(answer, 204);
    CHECK_PROBLEM(users_shop_try_refresh(shop, tokens.refresh), 401, "auth.refresh_invalid");
    CHECK_PROBLEM(users_shop_try_login(shop, "amina@example.com", PASSWORD), 401,
                  "auth.credentials_invalid");
    CHECK_PROBLEM(inline_get(&staff, users_shop_path(shop, "/users/%s", id)), 404, "not_found");
    CHECK(inline_until(is_refused, &client));
    CHECK_PROBLEM(inline_get(&client, "/users/me"), 401, "auth.token_revoked");

    CHECK_STATUS(inline_get(&staff, users_shop_path(shop, "/users/%s", other)), 200);
    users_shop_register(shop, "amina@example.com"); /* the address is free again */
    users_shop_login(shop, "amina@example.com");
}

TEST(the_last_admin_who_can_log_in_stays)
{
    struct users_shop *shop = shop_without_mail(t);
    users_shop_create(shop, "admin@example.com", "\"admin\"");
    struct inline_client admin = users_shop_client_of(shop, "admin@example.com");
    CHECK_PROBLEM(inline_delete(&admin, "/users/me"), 409, "user.state");
    CHECK_STATUS(inline_get(&admin, "/users/me"), 200);

    users_shop_create(shop, "other@example.com", "\"admin\"");
    CHECK_STATUS(inline_delete(&admin, "/users/me"), 204);
    CHECK_PROBLEM(users_shop_try_login(shop, "admin@example.com", PASSWORD), 401,
                  "auth.credentials_invalid");
}
