#include "chassis/inner.h"
#include "chassis/token.h"
#include "tests/lib/test.h"

static const time_us NOW = 2000000 * TIME_SECOND;

static const struct inner_keys KEYS = { .key = STR("0123456789abcdef0123456789abcdef") };
static const struct inner_keys OTHER_KEYS = { .key = STR("fedcba9876543210fedcba9876543210") };

static struct inner_claims claims_of_customer(void)
{
    return (struct inner_claims){ .audience = STR("orders"),
                                  .caller = STR("gateway"),
                                  .who = { .known = true,
                                           .user = { { 1, 2, 3 } },
                                           .session = { { 4, 5, 6 } },
                                           .version = 7,
                                           .roles = ROLE_BIT_CUSTOMER | ROLE_BIT_STAFF,
                                           .email_verified = true,
                                           .expires_at = NOW + 500 * TIME_SECOND },
                                  .client_address = STR("2001:db8::1"),
                                  .expires_at = NOW + INNER_LIFE_S * TIME_SECOND };
}

static str token_of(struct test *t, const struct inner_claims *claims)
{
    crypto_init();
    return inner_sign(t->arena, &KEYS, inner_payload(t->arena, claims));
}

/* All that is asked of a token. */
static err check(struct arena *arena, const struct inner_keys *keys, str token, str audience,
                 time_us now, struct inner_claims *out)
{
    str payload;
    TRY(inner_open(arena, keys, token, &payload));
    return inner_read(arena, payload, audience, now, out);
}

static bool says(struct test *t, err error, const char *words)
{
    return error != OK && str_find(err_describe(t->arena, error), str_of_z(words)) >= 0;
}

TEST(what_is_vouched_for_is_read_back)
{
    struct inner_claims made = claims_of_customer(), read = { 0 };
    str token = token_of(t, &made);
    CHECK_OK(check(t->arena, &KEYS, token, STR("orders"), NOW, &read));
    CHECK(uuid_equal(read.who.user, made.who.user) &&
          uuid_equal(read.who.session, made.who.session));
    CHECK(read.who.known && !read.who.neighbour && !read.who.operator_);
    CHECK(read.who.version == 7 && read.who.roles == made.who.roles && read.who.email_verified);
    CHECK(read.who.expires_at == made.who.expires_at && read.expires_at == made.expires_at);
    CHECK(str_equal(read.caller, STR("gateway")));
    CHECK(str_equal(read.client_address, STR("2001:db8::1")));
}

static bool has_same_key(struct test *t, const struct inner_claims *a, const struct inner_claims *b)
{
    return str_equal(inner_claims_key(t->arena, a), inner_claims_key(t->arena, b));
}

TEST(equal_claims_are_found_again_and_one_that_differs_in_anything_is_not)
{
    struct inner_claims made = claims_of_customer(), same = claims_of_customer();
    CHECK(has_same_key(t, &made, &same));

    enum { CHANGES = 14 };
    struct inner_claims others[CHANGES];
    for (int i = 0; i < CHANGES; i++)
        others[i] = claims_of_customer();
    others[0].audience = STR("users");
    others[1].caller = STR("products");
    others[2].client_address = STR("2001:db8::2");
    others[3].expires_at += TIME_SECOND;
    others[4].who.known = false;
    others[5].who.neighbour = true;
    others[6].who.is_key = true;
    others[7].who.user.bytes[15] = 1;
    others[8].who.session.bytes[15] = 1;
    others[9].who.version = 8;
    others[10].who.roles = ROLE_BIT_CUSTOMER;
    others[11].who.scopes = 1;
    others[12].who.email_verified = false;
    others[13].who.expires_at += TIME_SECOND;
    for (int i = 0; i < CHANGES; i++)
        for (int j = -1; j < i; j++)
            CHECK(!has_same_key(t, &others[i], j < 0 ? &made : &others[j]));

    /* What stands side by side is told apart by how long it is. */
    struct inner_claims one = claims_of_customer(), other = claims_of_customer();
    one.audience = STR("ab"), one.caller = STR("c");
    other.audience = STR("a"), other.caller = STR("bc");
    CHECK(!has_same_key(t, &one, &other));
}

TEST(nobody_and_a_neighbour_are_told_apart)
{
    struct inner_claims nobody = claims_of_customer(), neighbour = nobody, read = { 0 };
    nobody.who = (struct identity){ 0 };
    neighbour.who = (struct identity){ .known = true, .neighbour = true };
    CHECK_OK(check(t->arena, &KEYS, token_of(t, &nobody), STR("orders"), NOW, &read));
    CHECK(!read.who.known && !read.who.neighbour);
    CHECK_OK(check(t->arena, &KEYS, token_of(t, &neighbour), STR("orders"), NOW, &read));
    CHECK(read.who.known && read.who.neighbour);
}

TEST(a_token_for_another_service_is_refused)
{
    struct inner_claims made = claims_of_customer(), read = { 0 };
    str token = token_of(t, &made);
    CHECK(says(t, check(t->arena, &KEYS, token, STR("users"), NOW, &read), "another service"));
    CHECK_OK(check(t->arena, &KEYS, token, STR("orders"), NOW, &read));
}

TEST(a_token_holds_for_its_time_only)
{
    struct inner_claims made = claims_of_customer(), read = { 0 };
    str token = token_of(t, &made);
    time_us last = made.expires_at + AUTH_LEEWAY_S * TIME_SECOND;
    CHECK_OK(check(t->arena, &KEYS, token, STR("orders"), last, &read));
    CHECK_ERR(check(t->arena, &KEYS, token, STR("orders"), last + 1, &read), TOKEN_EXPIRED);
    made.expires_at = NOW + 3600 * TIME_SECOND;
    CHECK(
        says(t, check(t->arena, &KEYS, token_of(t, &made), STR("orders"), NOW, &read), "too long"));
}

TEST(either_of_two_keys_is_believed_and_no_third)
{
    struct inner_claims made = claims_of_customer(), read = { 0 };
    str token = token_of(t, &made);
    struct inner_keys both = { .key = OTHER_KEYS.key, .second = KEYS.key }, none = { 0 };
    CHECK_OK(check(t->arena, &both, token, STR("orders"), NOW, &read));
    CHECK_ERR(check(t->arena, &OTHER_KEYS, token, STR("orders"), NOW, &read), TOKEN_INVALID);
    CHECK_ERR(check(t->arena, &none, token, STR("orders"), NOW, &read), TOKEN_INVALID);
}

TEST(a_token_with_any_byte_changed_is_refused)
{
    struct inner_claims made = claims_of_customer(), read = { 0 };
    str token = token_of(t, &made);
    for (size_t i = 0; i < token.len; i++) {
        str changed = str_copy(t->arena, token);
        ((char *)changed.ptr)[i] ^= 1;
        CHECK(check(t->arena, &KEYS, changed, STR("orders"), NOW, &read) != OK);
        CHECK(check(t->arena, &KEYS, str_slice(token, 0, i), STR("orders"), NOW, &read) != OK);
    }
}

TEST(keys_that_are_short_or_alone_are_refused)
{
    struct inner_keys keys = { 0 };
    CHECK_OK(inner_keys_check(t->arena, &keys));
    CHECK_OK(inner_keys_check(t->arena, &KEYS));
    keys.second = KEYS.key;
    CHECK(says(t, inner_keys_check(t->arena, &keys), "INNER_KEY is not"));
    keys = (struct inner_keys){ .key = STR("short") };
    CHECK(says(t, inner_keys_check(t->arena, &keys), "INNER_KEY has 5 bytes"));
    keys = (struct inner_keys){ .key = KEYS.key, .second = STR("short") };
    CHECK(says(t, inner_keys_check(t->arena, &keys), "INNER_KEY_SECOND has 5 bytes"));
}

TEST(an_api_key_is_vouched_for_with_its_scopes_and_never_as_a_person)
{
    struct inner_claims made = claims_of_customer(), read = { 0 };
    made.who = (struct identity){
        .known = true, .is_key = true, .user = { { 9 } }, .scopes = 1u << 3 | 1u << 30
    };
    CHECK_OK(check(t->arena, &KEYS, token_of(t, &made), STR("orders"), NOW, &read));
    CHECK(read.who.known && read.who.is_key && uuid_equal(read.who.user, made.who.user));
    CHECK(read.who.scopes == made.who.scopes && read.who.roles == 0 && !read.who.neighbour);

    /* The roles that it had for one call here do not travel. */
    made.who.roles = ROLE_BIT_STAFF | ROLE_BIT_ADMIN;
    CHECK_OK(check(t->arena, &KEYS, token_of(t, &made), STR("orders"), NOW, &read));
    CHECK(read.who.roles == 0 && read.who.scopes == made.who.scopes);

    made = claims_of_customer();
    made.who.scopes = 1u << 3;
    CHECK_OK(check(t->arena, &KEYS, token_of(t, &made), STR("orders"), NOW, &read));
    CHECK(!read.who.is_key && read.who.scopes == 0 && read.who.roles == made.who.roles);
}
