/* A change of password, and sessions seen and ended one by one. */
#include "tests/api/users_shop.h"

#define PASSWORD_NEW "incorrect zebra battery"

static const char CHANGE[] =
    "{\"old_password\":\"" PASSWORD "\",\"password\":\"" PASSWORD_NEW "\"}";

static struct answer_seen change(struct inline_client *client, const char *body)
{
    return inline_put(client, "/users/me/password", body);
}

/* ---- the password ---- */

TEST(a_change_of_password_ends_the_other_sessions_and_keeps_this_one)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens there = users_shop_login(shop, "amina@example.com");
    struct tokens here = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, here.access);

    struct answer_seen answer = change(&client, CHANGE);
    CHECK_STATUS(answer, 204);
    CHECK_PROBLEM(users_shop_try_refresh(shop, there.refresh), 401, "auth.refresh_invalid");
    users_shop_wait_revoked(shop, there.access);

    CHECK_STATUS(inline_get(&client, "/users/me"), 200);
    users_shop_refresh(shop, here.refresh);
    CHECK_PROBLEM(users_shop_try_login(shop, "amina@example.com", PASSWORD), 401,
                  "auth.credentials_invalid");
    CHECK_STATUS(users_shop_try_login(shop, "amina@example.com", PASSWORD_NEW), 200);
}

TEST(a_change_of_password_that_is_refused_changes_nothing)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens there = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");

    struct answer_seen answer =
        change(&client, "{\"old_password\":\"not this one\",\"password\":\"" PASSWORD_NEW "\"}");
    CHECK_PROBLEM(answer, 422, "password.wrong");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/old_password");
    answer = change(&client, "{\"old_password\":\"" PASSWORD "\",\"password\":\"password123\"}");
    CHECK_PROBLEM(answer, 422, "password.weak");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/password");
    CHECK_PROBLEM(change(&client, "{\"password\":\"" PASSWORD_NEW "\"}"), 422, "field.invalid");
    CHECK_PROBLEM(change(&shop->anyone, CHANGE), 401, "auth.token_missing");

    users_shop_refresh(shop, there.refresh);
    CHECK_STATUS(users_shop_try_login(shop, "amina@example.com", PASSWORD), 200);
    CHECK_STATUS(change(&client, CHANGE), 204);
}

TEST(whoever_is_suspended_does_not_come_back_by_a_new_password)
{
    struct users_shop *shop = users_shop_open_still(t); /* no timer tells of the suspension */
    users_shop_create(shop, "staff@example.com", "\"staff\"");
    struct inline_client staff = users_shop_client_of(shop, "staff@example.com");
    struct uuid user = users_shop_register(shop, "amina@example.com");
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");
    CHECK_STATUS(inline_post(&staff, users_shop_path(shop, "/users/%s/suspend", user), "{}"), 200);

    CHECK_PROBLEM(change(&client, CHANGE), 403, "user.suspended");
    CHECK_PROBLEM(users_shop_try_login(shop, "amina@example.com", PASSWORD), 403, "user.suspended");
}

TEST(staff_change_to_long_passwords_only)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_create(shop, "staff@example.com", "\"staff\"");
    struct inline_client staff = users_shop_client_of(shop, "staff@example.com");
    CHECK_PROBLEM(change(&staff, "{\"old_password\":\"" PASSWORD "\",\"password\":\"short one\"}"),
                  422, "password.weak");
    CHECK_STATUS(change(&staff, CHANGE), 204);
}

/* ---- sessions ---- */

static struct answer_seen log_in_with(struct users_shop *shop, const char *agent)
{
    const char *headers[] = { agent, NULL };
    return inline_request(&shop->anyone, "POST", "/users/login", headers,
                          STR("{\"email\":\"amina@example.com\",\"password\":\"" PASSWORD "\"}"));
}

static const char *path_of(struct test *t, struct answer_seen *list, const char *pointer)
{
    str path =
        str_format(t->arena, "/users/me/sessions/%" STR_F, STR_A(inline_text(t, list, pointer)));
    return str_z(t->arena, path);
}

TEST(sessions_are_listed_newest_first_with_what_they_are_known_by)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct answer_seen phone = log_in_with(shop, "User-Agent: Phone/1.0");
    CHECK_STATUS(phone, 200);
    struct inline_client client = users_shop_client_of(shop, "amina@example.com");

    struct answer_seen list = inline_get(&client, "/users/me/sessions");
    CHECK_STATUS(list, 200);
    CHECK_STR(inline_text(t, &list, "/items"), "2");
    CHECK_STR(inline_text(t, &list, "/items/0/current"), "true");
    CHECK(!inline_text(t, &list, "/items/0/user_agent").ptr);
    CHECK_STR(inline_text(t, &list, "/items/1/current"), "false");
    CHECK_STR(inline_text(t, &list, "/items/1/user_agent"), "Phone/1.0");
    CHECK_STR(inline_text(t, &list, "/items/1/used_at"),
              inline_text(t, &list, "/items/1/created_at"));

    users_shop_refresh(shop, inline_text(t, &phone, "/refresh_token"));
    list = inline_get(&client, "/users/me/sessions");
    CHECK(str_compare(inline_text(t, &list, "/items/1/used_at"),
                      inline_text(t, &list, "/items/1/created_at")) > 0);
    CHECK_PROBLEM(inline_get(&shop->anyone, "/users/me/sessions"), 401, "auth.token_missing");
}

TEST(a_session_of_mine_ends_and_the_others_go_on)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    struct tokens lost = users_shop_login(shop, "amina@example.com");
    struct tokens kept = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, kept.access);
    struct answer_seen list = inline_get(&client, "/users/me/sessions");
    const char *path = path_of(t, &list, "/items/1/id");

    CHECK_STATUS(inline_delete(&client, path), 204);
    CHECK_PROBLEM(users_shop_try_refresh(shop, lost.refresh), 401, "auth.refresh_invalid");
    users_shop_wait_revoked(shop, lost.access);
    CHECK_PROBLEM(inline_delete(&client, path), 404, "not_found");
    users_shop_refresh(shop, kept.refresh);
    list = inline_get(&client, "/users/me/sessions");
    CHECK_STR(inline_text(t, &list, "/items"), "1");
}

TEST(a_session_of_somebody_else_is_not_there)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_register(shop, "amina@example.com");
    users_shop_register(shop, "bashir@example.com");
    struct tokens amina = users_shop_login(shop, "amina@example.com");
    struct inline_client client = users_shop_client(shop, amina.access);
    struct inline_client bashir = users_shop_client_of(shop, "bashir@example.com");
    struct answer_seen list = inline_get(&client, "/users/me/sessions");
    const char *path = path_of(t, &list, "/items/0/id");

    CHECK_PROBLEM(inline_delete(&bashir, path), 404, "not_found");
    users_shop_refresh(shop, amina.refresh);
    CHECK_STATUS(inline_delete(&client, path), 204); /* her own, as a log-out */
    users_shop_wait_revoked(shop, amina.access);
}
