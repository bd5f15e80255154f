/* What staff, neighbours and the operator do with accounts. */
#include "chassis/client.h"
#include "chassis/message.h"
#include "gen/users_client.h"
#include "tests/api/users_shop.h"

/* A shop with an admin, a member of staff and a customer. */
struct people {
    struct users_shop *shop;
    struct uuid admin_id, staff_id, customer_id;
    struct inline_client admin, staff, customer;
};

static struct people people_of(struct test *t)
{
    struct people people = { .shop = users_shop_open(t, NULL) };
    struct users_shop *shop = people.shop;
    people.admin_id = users_shop_create(shop, "admin@example.com", "\"admin\"");
    people.staff_id = users_shop_create(shop, "staff@example.com", "\"staff\"");
    people.customer_id = users_shop_register(shop, "amina@example.com");
    people.admin = users_shop_client_of(shop, "admin@example.com");
    people.staff = users_shop_client_of(shop, "staff@example.com");
    people.customer = users_shop_client_of(shop, "amina@example.com");
    return people;
}

static struct answer_seen suspend(struct people *people, struct inline_client *by, struct uuid id)
{
    return inline_post(by, users_shop_path(people->shop, "/users/%s/suspend", id),
                       "{\"reason\":\"test\"}");
}

static struct answer_seen restore(struct people *people, struct inline_client *by, struct uuid id)
{
    return inline_post(by, users_shop_path(people->shop, "/users/%s/restore", id), NULL);
}

static struct answer_seen set_roles(struct people *people, struct inline_client *by, struct uuid id,
                                    const char *roles)
{
    str body = str_format(people->shop->t->arena, "{\"roles\":[%s]}", roles);
    return inline_put(by, users_shop_path(people->shop, "/users/%s/roles", id),
                      str_z(people->shop->t->arena, body));
}

/* ---- looking accounts up ---- */

TEST(staff_look_accounts_up_and_customers_do_not)
{
    struct people people = people_of(t);
    const char *path = users_shop_path(people.shop, "/users/%s", people.customer_id);
    struct answer_seen answer = inline_get(&people.staff, path);
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/email"), "amina@example.com");
    CHECK_STR(inline_header(&answer, "etag"), "\"v1\"");
    CHECK_STATUS(inline_get(&people.admin, path), 200);
    CHECK_PROBLEM(inline_get(&people.customer, path), 403, "auth.role_missing");
    CHECK_PROBLEM(inline_get(&people.shop->anyone, path), 401, "auth.token_missing");
    CHECK_PROBLEM(inline_get(&people.customer, "/users"), 403, "auth.role_missing");
    CHECK_PROBLEM(inline_get(&people.staff, "/users/00000000-0000-7000-8000-000000000000"), 404,
                  "not_found");
    CHECK_STATUS(inline_get(&people.staff, "/users/not-an-id"), 422);
}

TEST(accounts_are_listed_newest_first_a_page_at_a_time)
{
    struct people people = people_of(t);
    struct answer_seen answer = inline_get(&people.staff, "/users");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/items"), "3");
    CHECK_STR(inline_text(t, &answer, "/items/0/email"), "amina@example.com");
    CHECK_STR(inline_text(t, &answer, "/items/2/email"), "admin@example.com");
    CHECK(!inline_text(t, &answer, "/next").ptr);

    static const char *const expected[] = { "amina@example.com", "staff@example.com",
                                            "admin@example.com" };
    str after = STR("");
    for (int i = 0; i < 3; i++) {
        str target = str_format(t->arena, "/users?limit=1%s%" STR_F, after.len ? "&after=" : "",
                                STR_A(after));
        answer = inline_get(&people.staff, str_z(t->arena, target));
        CHECK_STATUS(answer, 200);
        CHECK_STR(inline_text(t, &answer, "/items"), "1");
        CHECK_STR(inline_text(t, &answer, "/items/0/email"), expected[i]);
        after = inline_text(t, &answer, "/next");
        CHECK_INT(after.ptr != NULL, i < 2);
    }
}

TEST(accounts_are_filtered_by_address_role_and_status)
{
    struct people people = people_of(t);
    CHECK_STATUS(suspend(&people, &people.staff, people.customer_id), 200);

    static const struct {
        const char *target, *count, *first;
    } cases[] = {
        { "/users?email=AMINA@example.com", "1", "amina@example.com" },
        { "/users?email=nobody@example.com", "0", NULL },
        { "/users?email=nobody", "0", NULL },
        { "/users?role=staff", "1", "staff@example.com" },
        { "/users?role=admin", "1", "admin@example.com" },
        { "/users?role=customer", "1", "amina@example.com" },
        { "/users?status=suspended", "1", "amina@example.com" },
        { "/users?status=active", "2", "staff@example.com" },
        { "/users?status=suspended&role=staff", "0", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer_seen answer = inline_get(&people.staff, cases[i].target);
        CHECK_STATUS(answer, 200);
        CHECK_STR(inline_text(t, &answer, "/items"), cases[i].count);
        if (cases[i].first)
            CHECK_STR(inline_text(t, &answer, "/items/0/email"), cases[i].first);
    }
    CHECK_STATUS(inline_get(&people.staff, "/users?role=king"), 422);
    CHECK_STATUS(inline_get(&people.staff, "/users?limit=101"), 422);
    CHECK_PROBLEM(inline_get(&people.staff, "/users?name=x"), 400, "query.malformed");
}

TEST(a_cursor_of_another_list_or_a_changed_one_is_refused)
{
    struct people people = people_of(t);
    struct answer_seen answer = inline_get(&people.staff, "/users?limit=1");
    str next = inline_text(t, &answer, "/next");
    CHECK_STATUS(inline_get(&people.staff,
                            str_z(t->arena, str_format(t->arena, "/users?limit=2&after=%" STR_F,
                                                       STR_A(next)))),
                 200);
    CHECK_PROBLEM(inline_get(&people.staff,
                             str_z(t->arena, str_format(t->arena, "/users?role=staff&after=%" STR_F,
                                                        STR_A(next)))),
                  400, "cursor.invalid");
    CHECK_PROBLEM(
        inline_get(
            &people.staff,
            str_z(t->arena, str_format(t->arena, "/users?limit=1&after=%" STR_F "A", STR_A(next)))),
        400, "cursor.invalid");
    CHECK_PROBLEM(inline_get(&people.staff, "/users?limit=1&after=AAAA"), 400, "cursor.invalid");
}

/* ---- suspending and restoring ---- */

TEST(a_suspended_account_can_do_nothing_until_it_is_restored)
{
    struct people people = people_of(t);
    struct users_shop *shop = people.shop;
    struct tokens tokens = users_shop_login(shop, "amina@example.com");
    struct answer_seen answer = suspend(&people, &people.staff, people.customer_id);
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/status"), "suspended");
    CHECK_STR(inline_text(t, &answer, "/version"), "2");

    CHECK_PROBLEM(users_shop_try_login(shop, "amina@example.com", PASSWORD), 403, "user.suspended");
    CHECK_PROBLEM(users_shop_try_login(shop, "amina@example.com", "wrong password"), 401,
                  "auth.credentials_invalid");
    CHECK_PROBLEM(users_shop_try_refresh(shop, tokens.refresh), 401, "auth.refresh_invalid");
    users_shop_wait_revoked(shop, tokens.access);
    users_shop_wait_revoked(shop, people.customer.token);

    answer = restore(&people, &people.staff, people.customer_id);
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/status"), "active");
    CHECK_PROBLEM(users_shop_try_refresh(shop, tokens.refresh), 401, "auth.refresh_invalid");
    struct inline_client again = users_shop_client_of(shop, "amina@example.com");
    CHECK_STATUS(inline_get(&again, "/users/me"), 200);
}

TEST(an_account_is_suspended_once_and_restored_once)
{
    struct people people = people_of(t);
    CHECK_PROBLEM(restore(&people, &people.staff, people.customer_id), 409, "user.state");
    CHECK_STATUS(suspend(&people, &people.staff, people.customer_id), 200);
    CHECK_PROBLEM(suspend(&people, &people.staff, people.customer_id), 409, "user.state");
    CHECK_STATUS(restore(&people, &people.staff, people.customer_id), 200);
    CHECK_PROBLEM(suspend(&people, &people.customer, people.customer_id), 403, "auth.role_missing");
}

TEST(staff_accounts_are_suspended_by_admins_only)
{
    struct people people = people_of(t);
    CHECK_PROBLEM(suspend(&people, &people.staff, people.staff_id), 403, "auth.role_missing");
    CHECK_PROBLEM(suspend(&people, &people.staff, people.admin_id), 403, "auth.role_missing");
    CHECK_STATUS(suspend(&people, &people.admin, people.staff_id), 200);
    CHECK_STATUS(restore(&people, &people.admin, people.staff_id), 200);
}

TEST(the_last_admin_stays)
{
    struct people people = people_of(t);
    CHECK_PROBLEM(suspend(&people, &people.admin, people.admin_id), 409, "user.state");
    CHECK_PROBLEM(set_roles(&people, &people.admin, people.admin_id, "\"staff\""), 409,
                  "user.state");

    struct uuid second = users_shop_create(people.shop, "second@example.com", "\"admin\"");
    CHECK_STATUS(suspend(&people, &people.admin, second), 200);
    CHECK_PROBLEM(suspend(&people, &people.admin, people.admin_id), 409, "user.state");
    CHECK_STATUS(restore(&people, &people.admin, second), 200);
    CHECK_STATUS(set_roles(&people, &people.admin, second, "\"staff\""), 200);
    CHECK_PROBLEM(set_roles(&people, &people.admin, people.admin_id, "\"customer\""), 409,
                  "user.state");
}

TEST(two_admins_cannot_suspend_each_other_at_once)
{
    struct people people = people_of(t);
    struct users_shop *shop = people.shop;
    struct uuid second_id = users_shop_create(shop, "second@example.com", "\"admin\"");
    struct inline_client second = users_shop_client_of(shop, "second@example.com");
    struct inline_pending *a =
        inline_send(&people.admin, "POST", users_shop_path(shop, "/users/%s/suspend", second_id),
                    NULL, STR("{}"));
    struct inline_pending *b =
        inline_send(&second, "POST", users_shop_path(shop, "/users/%s/suspend", people.admin_id),
                    NULL, STR("{}"));
    int statuses = inline_wait(a).status + inline_wait(b).status;
    CHECK(statuses == 200 + 409 ||
          statuses == 200 + 401); /* 401: the first has taken effect before */
}

/* ---- roles ---- */

TEST(admins_set_roles_and_tokens_with_the_old_ones_end)
{
    struct people people = people_of(t);
    struct users_shop *shop = people.shop;
    struct tokens tokens = users_shop_login(shop, "amina@example.com");
    struct inline_client amina = users_shop_client(shop, tokens.access);
    CHECK_PROBLEM(inline_get(&amina, "/users"), 403, "auth.role_missing");

    struct answer_seen answer =
        set_roles(&people, &people.admin, people.customer_id, "\"customer\",\"staff\"");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/roles"), "2");
    CHECK_STR(inline_text(t, &answer, "/version"), "2");
    users_shop_wait_revoked(shop, tokens.access);

    tokens = users_shop_refresh(shop, tokens.refresh); /* the session lives, with the new roles */
    amina.token = tokens.access;
    CHECK_STATUS(inline_get(&amina, "/users"), 200);

    CHECK_STATUS(set_roles(&people, &people.admin, people.customer_id, "\"customer\""), 200);
    users_shop_wait_revoked(shop, tokens.access);
    amina.token = users_shop_refresh(shop, tokens.refresh).access;
    CHECK_PROBLEM(inline_get(&amina, "/users"), 403, "auth.role_missing");
}

TEST(roles_are_for_admins_and_one_at_least)
{
    struct people people = people_of(t);
    CHECK_PROBLEM(set_roles(&people, &people.staff, people.staff_id, "\"admin\""), 403,
                  "auth.role_missing");
    CHECK_PROBLEM(set_roles(&people, &people.customer, people.customer_id, "\"admin\""), 403,
                  "auth.role_missing");
    CHECK_STATUS(set_roles(&people, &people.admin, people.customer_id, ""), 422);
    CHECK_STATUS(set_roles(&people, &people.admin, people.customer_id, "\"king\""), 422);
    struct answer_seen answer =
        set_roles(&people, &people.admin, people.customer_id, "\"customer\"");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/version"), "1"); /* the same as before: no change */
}

/* ---- the operator ---- */

TEST(the_operator_s_calls_are_not_there_for_others)
{
    struct people people = people_of(t);
    CHECK_STATUS(inline_post(&people.admin, "/operator/users",
                             "{\"email\":\"x@y.de\",\"password\":\"" PASSWORD
                             "\",\"roles\":[\"admin\"]}"),
                 404);
    CHECK_STATUS(inline_put(&people.shop->anyone, "/operator/users/password",
                            "{\"email\":\"amina@example.com\",\"password\":\"" PASSWORD "\"}"),
                 404);
}

TEST(the_operator_makes_accounts_by_the_rules_of_their_roles)
{
    struct users_shop *shop = users_shop_open(t, NULL);
    users_shop_create(shop, "admin@example.com", "\"customer\",\"admin\"");
    CHECK_PROBLEM(inline_post(&shop->operator_, "/operator/users",
                              "{\"email\":\"Admin@example.com\",\"password\":\"" PASSWORD
                              "\",\"roles\":[\"admin\"]}"),
                  409, "email.taken");
    CHECK_PROBLEM(inline_post(&shop->operator_, "/operator/users",
                              "{\"email\":\"s@example.com\",\"password\":\"kq7#vbpx\","
                              "\"roles\":[\"staff\"]}"),
                  422, "password.weak");
    CHECK_STATUS(inline_post(&shop->operator_, "/operator/users",
                             "{\"email\":\"c@example.com\",\"password\":\"kq7#vbpx\","
                             "\"roles\":[\"customer\"]}"),
                 201);
}

TEST(the_operator_sets_a_password_which_ends_sessions_and_restores)
{
    struct people people = people_of(t);
    struct users_shop *shop = people.shop;
    struct tokens tokens = users_shop_login(shop, "amina@example.com");
    CHECK_STATUS(suspend(&people, &people.staff, people.customer_id), 200);

    struct answer_seen answer =
        inline_put(&shop->operator_, "/operator/users/password",
                   "{\"email\":\"AMINA@example.com\",\"password\":\"another good one\"}");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/status"), "active");
    CHECK_PROBLEM(users_shop_try_login(shop, "amina@example.com", PASSWORD), 401,
                  "auth.credentials_invalid");
    CHECK_STATUS(users_shop_try_login(shop, "amina@example.com", "another good one"), 200);
    CHECK_PROBLEM(users_shop_try_refresh(shop, tokens.refresh), 401, "auth.refresh_invalid");
    users_shop_wait_revoked(shop, tokens.access);

    CHECK_PROBLEM(
        inline_put(&shop->operator_, "/operator/users/password",
                   "{\"email\":\"nobody@example.com\",\"password\":\"another good one\"}"),
        404, "not_found");
    CHECK_PROBLEM(inline_put(&shop->operator_, "/operator/users/password",
                             "{\"email\":\"staff@example.com\",\"password\":\"kq7#vbpx\"}"),
                  422, "password.weak");
}

/* ---- neighbours ---- */

static void close_client(void *client) { client_close(client); }

static void close_job(void *job) { service_job_close(job); }

static struct client *neighbour_of(struct test *t, struct users_shop *shop, struct call **caller)
{
    struct client *client = client_open_inline(users_service(shop->users));
    arena_defer(t->arena, close_client, client);
    *caller = service_job_open(users_service(shop->users), "neighbour");
    arena_defer(t->arena, close_job, *caller);
    return client;
}

TEST(neighbours_find_an_address_of_its_account_only)
{
    struct people people = people_of(t);
    struct answer_seen added = inline_post(&people.customer, "/users/me/addresses",
                                           "{\"name\":\"Amina\",\"line1\":\"Moi 12\","
                                           "\"city\":\"Nairobi\",\"country\":\"KE\"}");
    struct call *caller;
    struct client *client = neighbour_of(t, people.shop, &caller);
    Users__FindAddressRequest *in = message_new(t->arena, &users_find_address_request_spec);
    in->user_id = field_of_uuid(t->arena, people.customer_id);
    in->address_id = field_of(inline_text(t, &added, "/id"));
    const Users__SavedAddress *out;
    CHECK_OK(users_client_find_address(client, caller, in, &out));
    CHECK_STR(text_of(out->address->line1), "Moi 12");

    in->user_id = field_of_uuid(t->arena, people.staff_id);
    CHECK_ERR(users_client_find_address(client, caller, in, &out), NOT_FOUND);
}

TEST(neighbours_hear_what_was_revoked_since_a_position_and_the_keys)
{
    struct people people = people_of(t);
    struct call *caller;
    struct client *client = neighbour_of(t, people.shop, &caller);
    Users__ChangesSinceRequest *in = message_new(t->arena, &users_changes_since_request_spec);
    const Users__Changes *out;
    CHECK_OK(users_client_changes_since(client, caller, in, &out));
    CHECK_INT(out->n_revocations, 0);
    CHECK_INT(out->n_keys, 1);

    CHECK_STATUS(inline_post(&people.customer, "/users/logout", NULL), 204);
    CHECK_STATUS(suspend(&people, &people.staff, people.customer_id), 200);
    CHECK_OK(users_client_changes_since(client, caller, in, &out));
    CHECK_INT(out->n_revocations, 2);
    CHECK(uuid_equal(uuid_of_field(out->revocations[0]->user_id), people.customer_id));
    CHECK(out->revocations[0]->session_id.len > 0);
    CHECK_INT(out->revocations[1]->session_id.len, 0);
    CHECK_INT(out->revocations[1]->version_min, 2);

    in->position = out->position;
    CHECK_OK(users_client_changes_since(client, caller, in, &out));
    CHECK_INT(out->n_revocations, 0);
    CHECK_INT(out->position, in->position);

    in->position += 1000; /* from before a restore: all again */
    CHECK_OK(users_client_changes_since(client, caller, in, &out));
    CHECK_INT(out->n_revocations, 2);
}
