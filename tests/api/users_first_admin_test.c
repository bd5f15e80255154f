/* The admin whom BOOTSTRAP_ADMIN_EMAIL and BOOTSTRAP_ADMIN_PASSWORD name. */
#include "tests/api/users_shop.h"

#define ADMIN "root@example.com"
#define ADMIN_PASSWORD "a long word for the first of all"

static const char *const BOTH[] = { "BOOTSTRAP_ADMIN_EMAIL=" ADMIN,
                                    "BOOTSTRAP_ADMIN_PASSWORD=" ADMIN_PASSWORD, NULL };

static struct inline_client admin_of(struct users_shop *shop)
{
    struct answer_seen answer = users_shop_try_login(shop, ADMIN, ADMIN_PASSWORD);
    CHECK_STATUS(answer, 200);
    return users_shop_client(shop, inline_text(shop->t, &answer, "/access_token"));
}

static str accounts(struct test *t, struct inline_client *admin)
{
    struct answer_seen answer = inline_get(admin, "/users");
    CHECK_STATUS(answer, 200);
    return inline_text(t, &answer, "/items");
}

TEST(the_first_admin_is_there_at_the_start_and_the_trail_tells_by_which_setting)
{
    struct users_shop *shop = users_shop_open(t, BOTH);
    struct inline_client admin = admin_of(shop);
    struct answer_seen me = inline_get(&admin, "/users/me");
    CHECK_STATUS(me, 200);
    CHECK_STR(inline_text(t, &me, "/roles/0"), "admin");

    struct answer_seen audit = inline_get(&admin, "/users/audit");
    CHECK_STATUS(audit, 200);
    CHECK_STR(inline_text(t, &audit, "/items"), "1");
    CHECK_STR(inline_text(t, &audit, "/items/0/actor"), "operator");
    CHECK_STR(inline_text(t, &audit, "/items/0/call"), "BOOTSTRAP_ADMIN_EMAIL");
    CHECK_STR(inline_text(t, &audit, "/items/0/subject"), inline_text(t, &me, "/id"));
}

TEST(without_the_setting_nobody_is_made)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    CHECK_STATUS(users_shop_try_login(shop, ADMIN, ADMIN_PASSWORD), 401);
    users_shop_create(shop, ADMIN, "\"admin\"");
    struct inline_client admin = users_shop_client_of(shop, ADMIN);
    CHECK_STR(accounts(t, &admin), "1");
}

TEST(a_restart_makes_nobody_again_and_a_changed_password_stays)
{
    struct users_shop *shop = users_shop_open(t, BOTH);
    struct inline_client admin = admin_of(shop);
    CHECK_STATUS(inline_put(&admin, "/users/me/password",
                            "{\"old_password\":\"" ADMIN_PASSWORD
                            "\",\"password\":\"another word for the same one\"}"),
                 204);
    users_shop_restart(shop);
    CHECK_STATUS(users_shop_try_login(shop, ADMIN, ADMIN_PASSWORD), 401);
    CHECK_STATUS(users_shop_try_login(shop, ADMIN, "another word for the same one"), 200);
}
