#include "chassis/message.h"
#include "services/users/view.h"
#include "tests/lib/test.h"

static const time_us NOW = 1000 * TIME_SECOND;

static struct user user_of(unsigned roles)
{
    struct user_new new = { .email = { STR("Amina@example.com"), STR("amina@example.com") },
                            .name = STR("Amina"),
                            .phone = STR("+254 1"),
                            .roles = roles,
                            .password_hash = STR("$argon2id$secret") };
    new.id.bytes[15] = 1;
    return user_make(&new, NOW);
}

static str json_of(struct test *t, const struct message_spec *spec, const void *message)
{
    struct text text = text_init(t->arena, 1024);
    message_to_json(&text, spec, message);
    return text_str(&text);
}

TEST(an_account_is_shown_whole_but_for_its_password)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER | ROLE_BIT_ADMIN);
    CHECK_STR(json_of(t, &users_user_spec, user_view(t->arena, &user)),
              "{\"id\":\"00000000-0000-0000-0000-000000000001\",\"email\":\"Amina@example.com\","
              "\"name\":\"Amina\",\"phone\":\"+254 1\",\"roles\":[\"customer\",\"admin\"],"
              "\"status\":\"active\",\"version\":1,\"created_at\":\"1970-01-01T00:16:40Z\","
              "\"updated_at\":\"1970-01-01T00:16:40Z\",\"email_verified\":false}");
}

TEST(a_suspended_account_says_so)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER);
    user.status = USER_STATUS_SUSPENDED;
    CHECK_INT(user_view(t->arena, &user)->status, USERS__USER_STATUS__USER_STATUS_SUSPENDED);
}

TEST(a_page_names_its_next_one_only_where_there_is_one)
{
    struct user users[] = { user_of(ROLE_BIT_CUSTOMER), user_of(ROLE_BIT_STAFF) };
    str last = json_of(t, &users_user_list_spec, user_list_view(t->arena, users, 0, STR("")));
    CHECK_STR(last, "{\"items\":[]}");

    Users__UserList *list = user_list_view(t->arena, users, 2, STR("abc"));
    CHECK_INT(list->n_items, 2);
    CHECK_INT(list->items[1]->roles[0], USERS__ROLE__ROLE_STAFF);
    CHECK_STR(text_of(list->next), "abc");
}

TEST(roles_are_bits_and_back)
{
    const Users__Role all[] = { USERS__ROLE__ROLE_ADMIN, USERS__ROLE__ROLE_CUSTOMER,
                                USERS__ROLE__ROLE_ADMIN };
    unsigned bits;
    CHECK_OK(roles_of(t->arena, all, 3, &bits));
    CHECK_INT(bits, ROLE_BIT_ADMIN | ROLE_BIT_CUSTOMER);
    CHECK_OK(roles_of(t->arena, NULL, 0, &bits));
    CHECK_INT(bits, 0);
    CHECK_INT(role_bit_of(USERS__ROLE__ROLE_STAFF), ROLE_BIT_STAFF);
    CHECK_INT(role_bit_of(USERS__ROLE__ROLE_UNSPECIFIED), 0);
}

TEST(a_role_that_there_is_not_is_refused_where_it_stands)
{
    const Users__Role roles[] = { USERS__ROLE__ROLE_ADMIN, (Users__Role)9 };
    unsigned bits;
    err error = roles_of(t->arena, roles, 2, &bits);
    CHECK_ERR(error, ROLE_INVALID);
    CHECK_STR(error->fields[0].pointer, "/roles/1");
}

TEST(tokens_are_bearer_tokens_with_their_seconds)
{
    Users__Tokens *tokens = tokens_view(t->arena, STR("access"), STR("refresh"), 600 * TIME_SECOND);
    CHECK_STR(json_of(t, &users_tokens_spec, tokens),
              "{\"access_token\":\"access\",\"token_type\":\"Bearer\",\"expires_in\":600,"
              "\"refresh_token\":\"refresh\"}");
}

TEST(a_list_of_sessions_says_which_one_asks)
{
    struct session sessions[] = {
        session_begin((struct uuid){ { 1 } }, (struct uuid){ { 9 } }, 1, 2),
        session_begin((struct uuid){ { 2 } }, (struct uuid){ { 9 } }, 1, 2)
    };
    sessions[1].user_agent = STR("Phone");
    sessions[1].used_at = 0; /* from before this was kept */
    Users__SessionList *list = session_list_view(t->arena, sessions, 2, sessions[1].id);
    CHECK_INT(list->n_items, 2);
    CHECK(!list->items[0]->current && list->items[1]->current);
    CHECK(list->items[0]->used_at && !list->items[1]->used_at);
    CHECK_STR(text_of(list->items[1]->user_agent), "Phone");
}

TEST(a_key_is_shown_as_a_jwk)
{
    struct auth_key key = { .kid = "k1", .public = { 255 } };
    CHECK_STR(json_of(t, &users_key_set_spec, key_set_view(t->arena, &key, 1)),
              "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"alg\":\"EdDSA\","
              "\"kid\":\"k1\",\"x\":\"_wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}");
}

TEST(an_address_comes_back_as_it_went)
{
    struct address in = { .name = STR("Amina"),
                          .company = STR("Duka"),
                          .line1 = STR("Moi 12"),
                          .line2 = STR("B"),
                          .city = STR("Nairobi"),
                          .region = STR("N"),
                          .postal_code = STR("1"),
                          .country = STR("KE"),
                          .phone = STR("+254"),
                          .created_at = NOW,
                          .updated_at = NOW + 1 };
    in.id.bytes[0] = 7;
    Users__SavedAddress *message = address_view(t->arena, &in);
    CHECK(uuid_equal(uuid_of_field(message->id), in.id));
    CHECK_INT(time_of_field(message->updated_at), NOW + 1);

    struct address out = address_of(message->address, in.id, in.user, NOW);
    CHECK_STR(out.name, in.name);
    CHECK_STR(out.company, in.company);
    CHECK_STR(out.line1, in.line1);
    CHECK_STR(out.line2, in.line2);
    CHECK_STR(out.city, in.city);
    CHECK_STR(out.region, in.region);
    CHECK_STR(out.postal_code, in.postal_code);
    CHECK_STR(out.country, in.country);
    CHECK_STR(out.phone, in.phone);
    CHECK_INT(out.created_at, NOW);
    CHECK_INT(address_list_view(t->arena, &in, 1)->n_items, 1);
}

TEST(a_revocation_names_a_session_or_a_least_version)
{
    struct revocation revocations[] = { { .position = 1, .version_min = 4, .at = NOW },
                                        { .position = 2, .at = NOW } };
    revocations[0].user.bytes[0] = revocations[1].user.bytes[0] = 1;
    revocations[1].session.bytes[0] = 2;
    Users__Revocation **views = revocations_view(t->arena, revocations, 2);
    CHECK_INT(views[0]->session_id.len, 0);
    CHECK_INT(views[0]->version_min, 4);
    CHECK_INT(views[1]->session_id.len, UUID_TEXT_LEN);
}

TEST(an_export_is_whole_and_names_what_is_elsewhere)
{
    struct user user = user_of(ROLE_BIT_CUSTOMER);
    struct account_step steps[] = { { NOW, STR("suspended"), STR("charged back") },
                                    { NOW, STR("registered"), STR("") } };
    struct export_parts parts = { .user = &user, .steps = steps, .steps_count = 2 };
    str json = json_of(t, &users_export_spec, export_view(t->arena, &parts, NOW));
    CHECK(str_find(json, STR("Amina@example.com")) > 0);
    CHECK(str_find(json, STR("\"what\":\"suspended\",\"reason\":\"charged back\"")) > 0);
    CHECK(str_find(json, STR("\"addresses\":[],\"sessions\":[]")) > 0);
    CHECK(str_find(json, STR("\"elsewhere\":[\"/orders?limit=100\"]")) > 0);
    CHECK(str_find(json, STR("argon2")) < 0);
}
