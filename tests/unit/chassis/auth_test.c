#include "chassis/auth.h"
#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"

static const time_us NOW = 2000000 * TIME_SECOND;

static struct ed25519_key key_of(uint8_t number)
{
    uint8_t seed[ED25519_SEED_BYTES] = { number };
    crypto_init();
    return ed25519_of_seed(seed);
}

static struct auth_key auth_key_of(uint8_t number, char name)
{
    struct auth_key key = { .kid = { 'k', name } };
    struct ed25519_key pair = key_of(number);
    memcpy(key.public, pair.public, sizeof key.public);
    return key;
}

static void close_auth(void *auth) { auth_close(auth); }

static struct auth *auth_of(struct test *t, int tokens_max)
{
    struct auth *auth = auth_open(&(struct auth_config){
        .issuer = STR("duka"), .audience = STR("shop"), .tokens_max = tokens_max });
    arena_defer(t->arena, close_auth, auth);
    struct auth_key key = auth_key_of(1, '1');
    auth_set_keys(auth, &key, 1);
    return auth;
}

static struct uuid id_of(uint32_t number)
{
    struct uuid id = { { 1 } };
    memcpy(id.bytes + 12, &number, sizeof number);
    return id;
}

static struct token_claims claims_of(uint32_t user, uint32_t session, int64_t version,
                                     unsigned roles)
{
    return (struct token_claims){ .user = id_of(user),
                                  .session = id_of(session),
                                  .version = version,
                                  .roles = roles,
                                  .issued_at = NOW,
                                  .expires_at = NOW + 600 * TIME_SECOND };
}

static str bearer_by(struct arena *arena, uint8_t key_number, const char *kid,
                     struct token_claims claims)
{
    struct ed25519_key key = key_of(key_number);
    str token = token_make(arena, str_of_z(kid), &key, STR("duka"), STR("shop"), &claims);
    return str_format(arena, "Bearer %" STR_F, STR_A(token));
}

static str bearer(struct arena *arena, struct token_claims claims)
{
    return bearer_by(arena, 1, "k1", claims);
}

static err check(struct test *t, struct auth *auth, str authorization)
{
    struct identity who;
    return auth_check(auth, t->arena, authorization, NOW, &who);
}

TEST(nobody_calls_where_no_header_came)
{
    struct identity who = { .known = true };
    CHECK_OK(auth_check(auth_of(t, 0), t->arena, STR_NONE, NOW, &who));
    CHECK(!who.known);
}

TEST(a_good_token_tells_who_calls_the_first_time_and_again)
{
    struct auth *auth = auth_of(t, 0);
    str header = bearer(t->arena, claims_of(1, 2, 3, ROLE_BIT_STAFF));
    for (int i = 0; i < 3; i++) {
        struct identity who;
        CHECK_OK(auth_check(auth, t->arena, header, NOW, &who));
        CHECK(who.known && !who.neighbour && !who.operator_);
        CHECK(uuid_equal(who.user, id_of(1)));
        CHECK(uuid_equal(who.session, id_of(2)));
        CHECK_INT(who.version, 3);
        CHECK_INT(who.roles, ROLE_BIT_STAFF);
        CHECK_INT(who.expires_at, NOW + 600 * TIME_SECOND);
    }
}

TEST(the_header_is_bearer_and_one_token)
{
    struct auth *auth = auth_of(t, 0);
    str good = bearer(t->arena, claims_of(1, 2, 3, 0));
    str token = str_slice(good, 7, good.len);

    CHECK_OK(check(t, auth, str_format(t->arena, "bEARER %" STR_F, STR_A(token))));
    CHECK_ERR(check(t, auth, STR("")), TOKEN_INVALID);
    CHECK_ERR(check(t, auth, STR("Bearer")), TOKEN_INVALID);
    CHECK_ERR(check(t, auth, STR("Bearer ")), TOKEN_INVALID);
    CHECK_ERR(check(t, auth, token), TOKEN_INVALID);
    CHECK_ERR(check(t, auth, str_format(t->arena, "Basic %" STR_F, STR_A(token))), TOKEN_INVALID);
    CHECK_ERR(check(t, auth, str_format(t->arena, "Bearer  %" STR_F, STR_A(token))), TOKEN_INVALID);
    CHECK_ERR(check(t, auth, str_format(t->arena, "%" STR_F ", Bearer x", STR_A(good))),
              TOKEN_INVALID);
}

TEST(a_huge_header_is_refused_before_it_is_hashed)
{
    struct auth *auth = auth_of(t, 0);
    CHECK_ERR(check(t, auth, str_format(t->arena, "Bearer %0*d", 10000, 0)), TOKEN_INVALID);
}

TEST(a_token_of_an_unknown_key_is_refused)
{
    struct auth *auth = auth_of(t, 0);
    struct token_claims claims = claims_of(1, 2, 3, 0);
    CHECK_ERR(check(t, auth, bearer_by(t->arena, 1, "k2", claims)), TOKEN_INVALID);
    CHECK_ERR(check(t, auth, bearer_by(t->arena, 2, "k1", claims)), TOKEN_INVALID);
    CHECK_OK(check(t, auth, bearer_by(t->arena, 1, "k1", claims)));
}

TEST(several_keys_verify_at_once_and_one_that_is_gone_does_not)
{
    struct auth *auth = auth_of(t, 0);
    struct auth_key keys[] = { auth_key_of(1, '1'), auth_key_of(2, '2') };
    auth_set_keys(auth, keys, 2);
    str old = bearer_by(t->arena, 1, "k1", claims_of(1, 2, 3, 0));
    str new = bearer_by(t->arena, 2, "k2", claims_of(1, 2, 3, 0));
    CHECK_OK(check(t, auth, old));
    CHECK_OK(check(t, auth, new));

    auth_set_keys(auth, keys + 1, 1);
    CHECK_ERR(check(t, auth, old), TOKEN_INVALID);
    CHECK_OK(check(t, auth, new));

    auth_set_keys(auth, NULL, 0);
    CHECK_ERR(check(t, auth, new), TOKEN_INVALID);

    auth_set_keys(auth, keys, 2);
    CHECK_OK(check(t, auth, old));
}

TEST(a_key_that_changed_under_its_name_does_not_verify_what_it_did)
{
    struct auth *auth = auth_of(t, 0);
    str header = bearer(t->arena, claims_of(1, 2, 3, 0));
    CHECK_OK(check(t, auth, header));

    struct auth_key other = auth_key_of(2, '1');
    auth_set_keys(auth, &other, 1);
    CHECK_ERR(check(t, auth, header), TOKEN_INVALID);
}

TEST(a_remembered_token_expires_too)
{
    struct auth *auth = auth_of(t, 0);
    struct identity who;
    str header = bearer(t->arena, claims_of(1, 2, 3, 0));
    CHECK_OK(check(t, auth, header));
    CHECK_OK(auth_check(auth, t->arena, header, NOW + 630 * TIME_SECOND, &who));
    CHECK_ERR(auth_check(auth, t->arena, header, NOW + 631 * TIME_SECOND, &who), TOKEN_EXPIRED);
}

TEST(a_revoked_session_is_refused_and_the_user_s_other_sessions_are_not)
{
    struct auth *auth = auth_of(t, 0);
    str ended = bearer(t->arena, claims_of(1, 2, 3, 0));
    str other = bearer(t->arena, claims_of(1, 4, 3, 0));
    CHECK_OK(check(t, auth, ended));
    CHECK_OK(check(t, auth, other));

    auth_revoke(auth, id_of(1), id_of(2), 0, NOW);
    CHECK_ERR(check(t, auth, ended), TOKEN_REVOKED);
    CHECK_ERR(check(t, auth, ended), TOKEN_REVOKED);
    CHECK_OK(check(t, auth, other));
}

TEST(a_session_can_be_revoked_before_its_token_was_ever_seen)
{
    struct auth *auth = auth_of(t, 0);
    auth_revoke(auth, id_of(1), id_of(2), 0, NOW);
    str header = bearer(t->arena, claims_of(1, 2, 3, 0));
    CHECK_ERR(check(t, auth, header), TOKEN_REVOKED);
    CHECK_ERR(check(t, auth, header), TOKEN_REVOKED);
}

TEST(tokens_below_the_least_version_of_their_user_are_refused)
{
    struct auth *auth = auth_of(t, 0);
    auth_revoke(auth, id_of(1), (struct uuid){ 0 }, 4, NOW);
    CHECK_ERR(check(t, auth, bearer(t->arena, claims_of(1, 2, 3, 0))), TOKEN_REVOKED);
    CHECK_OK(check(t, auth, bearer(t->arena, claims_of(1, 2, 4, 0))));
    CHECK_OK(check(t, auth, bearer(t->arena, claims_of(5, 2, 3, 0))));

    auth_revoke(auth, id_of(1), (struct uuid){ 0 }, 6, NOW);
    CHECK_ERR(check(t, auth, bearer(t->arena, claims_of(1, 2, 4, 0))), TOKEN_REVOKED);
    CHECK_OK(check(t, auth, bearer(t->arena, claims_of(1, 2, 6, 0))));

    auth_revoke(auth, id_of(1), (struct uuid){ 0 }, 2, NOW); /* an older one that comes late */
    CHECK_ERR(check(t, auth, bearer(t->arena, claims_of(1, 2, 4, 0))), TOKEN_REVOKED);
}

TEST(a_session_and_a_user_with_the_same_id_are_two_things)
{
    struct auth *auth = auth_of(t, 0);
    auth_revoke(auth, id_of(7), (struct uuid){ 0 }, 9, NOW);
    CHECK_OK(check(t, auth, bearer(t->arena, claims_of(1, 7, 3, 0))));
    auth_revoke(auth, id_of(1), id_of(8), 0, NOW);
    CHECK_OK(check(t, auth, bearer(t->arena, claims_of(8, 2, 3, 0))));
}

TEST(more_revocations_than_there_is_room_for_refuse_more_and_never_less)
{
    struct auth *auth = auth_of(t, 0);
    struct token_claims claims = claims_of(1, 2, 3, 0);
    claims.issued_at = NOW - 5 * TIME_SECOND;
    str victim = bearer(t->arena, claims);
    claims.session = id_of(3);
    str bystander = bearer(t->arena, claims);
    auth_revoke(auth, id_of(1), id_of(2), 0, NOW - 2 * TIME_SECOND);
    CHECK_OK(check(t, auth, bystander));

    for (uint32_t i = 0; i < 65536; i++) /* the most that are kept */
        auth_revoke(auth, id_of(100), id_of(1000 + i), 0, NOW - TIME_SECOND);

    CHECK_ERR(check(t, auth, victim), TOKEN_REVOKED);
    CHECK_ERR(check(t, auth, bystander), TOKEN_REVOKED); /* made before: must refresh */
    claims.issued_at = NOW;
    CHECK_OK(check(t, auth, bearer(t->arena, claims)));
}

TEST(revocations_make_room_once_their_last_token_has_expired)
{
    struct auth *auth = auth_of(t, 0);
    for (uint32_t i = 0; i < 3 * 65536; i++)
        auth_revoke(auth, id_of(100), id_of(1000 + i), 0, NOW + (time_us)i * TIME_SECOND);

    struct identity who;
    struct token_claims claims = claims_of(1, 2, 3, 0);
    CHECK_OK(auth_check(auth, t->arena, bearer(t->arena, claims), NOW, &who));
}

TEST(the_token_used_longest_ago_is_forgotten_and_verified_again)
{
    struct auth *auth = auth_of(t, 4);
    str headers[12];
    for (uint32_t i = 0; i < 12; i++)
        headers[i] = bearer(t->arena, claims_of(1, 100 + i, 3, 0));
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 12; i++) {
            struct identity who;
            CHECK_OK(auth_check(auth, t->arena, headers[i], NOW, &who));
            CHECK(uuid_equal(who.session, id_of(100 + i)));
            CHECK_OK(check(t, auth, headers[0]));
        }
    auth_revoke(auth, id_of(1), id_of(105), 0, NOW);
    for (uint32_t i = 0; i < 12; i++)
        if (i != 5)
            CHECK_OK(check(t, auth, headers[i]));
    CHECK_ERR(check(t, auth, headers[5]), TOKEN_REVOKED);
}

static struct identity who_of(unsigned roles)
{
    return (struct identity){ .known = true, .roles = roles };
}

TEST(each_access_lets_in_those_it_names)
{
    struct auth *auth = auth_of(t, 0);
    struct identity nobody = { .known = false };
    struct identity customer = who_of(ROLE_BIT_CUSTOMER), staff = who_of(ROLE_BIT_STAFF);
    struct identity admin = who_of(ROLE_BIT_ADMIN);
    struct identity neighbour = { .neighbour = true }, operator_ = { .operator_ = true };

    CHECK_OK(auth_allow(auth, t->arena, ACCESS_ANYONE, NULL, &nobody));
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_CUSTOMER, NULL, &nobody), TOKEN_MISSING);
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_CUSTOMER, NULL, &customer));
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_CUSTOMER, NULL, &staff));
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_STAFF, NULL, &nobody), TOKEN_MISSING);
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_STAFF, NULL, &customer), ROLE_MISSING);
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_STAFF, NULL, &staff));
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_STAFF, NULL, &admin));
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_ADMIN, NULL, &staff), ROLE_MISSING);
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_ADMIN, NULL, &admin));
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_NEIGHBOUR, NULL, &admin), NOT_FOUND);
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_NEIGHBOUR, NULL, &neighbour));
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_OPERATOR, NULL, &admin), NOT_FOUND);
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_OPERATOR, NULL, &neighbour), NOT_FOUND);
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_OPERATOR, NULL, &operator_));
}

/* ---- API keys ---- */

enum { READ_SCOPE = 3, OTHER_SCOPE = 5 };
static const struct call_spec READ_CALL = { .scope = READ_SCOPE, .scope_word = "stock_read" };
static const struct call_spec PEOPLES_CALL = { .scope = 0 };

/* The header of a key that `auth` knows, with the scope READ_SCOPE. */
static str key_header(struct test *t, struct auth *auth)
{
    const uint8_t bytes[API_KEY_RANDOM_BYTES] = { 1, 2, 3 };
    struct api_key_known known = { .id = id_of(77), .scopes = scope_bit(READ_SCOPE) };
    str secret = api_key_secret(t->arena, bytes);
    CHECK_OK(api_key_digest(t->arena, secret, &known.digest));
    api_keys_set(auth_api_keys(auth), &known, 1, id_of(1));
    return str_format(t->arena, "Bearer %" STR_F, STR_A(secret));
}

TEST(an_api_key_is_known_by_its_header_as_nobodys_account)
{
    struct auth *auth = auth_of(t, 0);
    struct identity who;
    str header = key_header(t, auth);
    CHECK_OK(auth_check(auth, t->arena, header, NOW, &who));
    CHECK(who.known && who.is_key && uuid_equal(who.user, id_of(77)));
    CHECK(who.roles == 0 && who.scopes == scope_bit(READ_SCOPE) && uuid_is_nil(who.session));

    CHECK_ERR(check(t, auth, str_slice(header, 0, header.len - 1)), TOKEN_INVALID);
    api_keys_set(auth_api_keys(auth), NULL, 0, id_of(2));
    CHECK_ERR(check(t, auth, header), TOKEN_INVALID);
}

TEST(an_api_key_may_make_the_calls_of_its_scopes_and_no_other)
{
    struct auth *auth = auth_of(t, 0);
    struct identity key = { .known = true, .is_key = true, .scopes = scope_bit(READ_SCOPE) };
    struct identity other = { .known = true, .is_key = true, .scopes = scope_bit(OTHER_SCOPE) };
    struct identity all = { .known = true, .is_key = true, .scopes = ~0u };

    CHECK_OK(auth_allow(auth, t->arena, ACCESS_ANYONE, &READ_CALL, &other));
    for (int access = ACCESS_CUSTOMER; access <= ACCESS_STAFF; access++) {
        enum access of = (enum access)access;
        CHECK_OK(auth_allow(auth, t->arena, of, &READ_CALL, &key));
        CHECK_ERR(auth_allow(auth, t->arena, of, &READ_CALL, &other), SCOPE_MISSING);
        CHECK_ERR(auth_allow(auth, t->arena, of, &PEOPLES_CALL, &all), SCOPE_MISSING);
        CHECK_ERR(auth_allow(auth, t->arena, of, NULL, &all), SCOPE_MISSING);
    }
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_ADMIN, &READ_CALL, &all), SCOPE_MISSING);
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_NEIGHBOUR, &READ_CALL, &all), NOT_FOUND);
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_OPERATOR, &READ_CALL, &all), NOT_FOUND);
}

TEST(an_api_key_is_of_the_staff_in_a_call_of_its_scopes_only)
{
    struct identity key = { .known = true, .is_key = true, .scopes = scope_bit(READ_SCOPE) };
    auth_take_scope(&key, &READ_CALL);
    CHECK(key.roles == ROLE_BIT_STAFF);
    auth_take_scope(&key, &PEOPLES_CALL);
    CHECK(key.roles == 0);

    struct identity person = who_of(ROLE_BIT_CUSTOMER);
    auth_take_scope(&person, &READ_CALL);
    CHECK(person.roles == ROLE_BIT_CUSTOMER);
}

static int64_t fake_mono_us;
static int64_t fake_mono(void) { return fake_mono_us; }
static time_us fake_wall(void) { return NOW; }

static void use_machine_clock(void *unused)
{
    (void)unused;
    clock_use(&clock_machine);
}

TEST(staff_calls_fail_closed_when_users_has_been_silent_for_a_minute_and_customers_go_on)
{
    static const struct clock_ops fake = { fake_mono, fake_wall };
    arena_defer(t->arena, use_machine_clock, NULL);
    clock_use(&fake);
    fake_mono_us = 5000 * TIME_SECOND;
    struct auth *auth = auth_of(t, 0);
    struct identity staff = who_of(ROLE_BIT_STAFF), admin = who_of(ROLE_BIT_ADMIN);

    fake_mono_us += 60 * TIME_SECOND;
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_STAFF, NULL, &staff));
    fake_mono_us += 1;
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_STAFF, NULL, &staff), AUTH_UNAVAILABLE);
    struct identity key = { .known = true, .is_key = true, .scopes = scope_bit(READ_SCOPE) };
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_CUSTOMER, &READ_CALL, &key), AUTH_UNAVAILABLE);
    CHECK_ERR(auth_allow(auth, t->arena, ACCESS_ADMIN, NULL, &admin), AUTH_UNAVAILABLE);
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_CUSTOMER, NULL, &staff));

    auth_reached(auth);
    CHECK_OK(auth_allow(auth, t->arena, ACCESS_STAFF, NULL, &staff));
}

/* ---- Many threads at once: for ThreadSanitizer, and for what must hold whatever the order is ----
 */

enum { CROWD = 4, CROWD_ROUNDS = 2000, CROWD_TOKENS = 40 };

struct crowd {
    struct auth *auth;
    str headers[CROWD_TOKENS];
    int wrong[CROWD];
};

struct member {
    struct crowd *crowd;
    int number;
};

static void member_run(void *subject)
{
    struct member *member = subject;
    struct crowd *crowd = member->crowd;
    struct arena *arena = arena_open(1024 * 1024);
    for (int round = 0; round < CROWD_ROUNDS; round++) {
        uint32_t which = (uint32_t)(round * (member->number + 1)) % CROWD_TOKENS;
        struct identity who;
        err error = auth_check(crowd->auth, arena, crowd->headers[which], NOW, &who);
        if (error == OK && !uuid_equal(who.session, id_of(100 + which)))
            crowd->wrong[member->number]++;
        if (error != OK && !err_is(error, TOKEN_REVOKED))
            crowd->wrong[member->number]++;
        if (member->number == 0 && round % 100 == 99)
            auth_revoke(crowd->auth, id_of(1), id_of(100 + (uint32_t)round / 100 % 20), 0, NOW);
        if (member->number == 1 && round % 500 == 0) {
            struct auth_key keys[] = { auth_key_of(1, '1'), auth_key_of(2, '2') };
            auth_set_keys(crowd->auth, keys, 1 + (size_t)(round / 500) % 2);
            auth_reached(crowd->auth);
        }
        arena_reset(arena);
    }
    arena_close(arena);
}

TEST(many_threads_check_while_others_revoke_and_change_keys)
{
    struct crowd crowd = { .auth = auth_of(t, 16) };
    for (uint32_t i = 0; i < CROWD_TOKENS; i++)
        crowd.headers[i] = bearer(t->arena, claims_of(1, 100 + i, 3, 0));

    struct member members[CROWD];
    struct thread *threads[CROWD];
    for (int i = 0; i < CROWD; i++) {
        members[i] = (struct member){ &crowd, i };
        threads[i] = thread_start("crowd", member_run, &members[i]);
    }
    for (int i = 0; i < CROWD; i++)
        thread_join(threads[i]);

    for (int i = 0; i < CROWD; i++)
        CHECK_INT(crowd.wrong[i], 0);
    for (uint32_t i = 0; i < CROWD_TOKENS; i++) {
        err error = check(t, crowd.auth, crowd.headers[i]);
        if (i < 20)
            CHECK_ERR(error, TOKEN_REVOKED);
        else
            CHECK_OK(error);
    }
}

/* ---- inner identities ---- */

static struct auth *vouching_auth_of(struct test *t, const char *key)
{
    crypto_init();
    struct auth *auth = auth_open(&(struct auth_config){ .issuer = STR("duka"),
                                                         .audience = STR("shop"),
                                                         .name = STR("gateway"),
                                                         .inner = { .key = str_of_z(key) } });
    arena_defer(t->arena, close_auth, auth);
    return auth;
}

static struct identity customer_of(uint32_t user)
{
    return (struct identity){ .known = true,
                              .user = id_of(user),
                              .session = id_of(user + 1000),
                              .version = 1,
                              .roles = ROLE_BIT_CUSTOMER,
                              .expires_at = clock_wall_us() + 600 * TIME_SECOND };
}

/* Who asks Orders with this header. */
static struct identity who_shows(struct test *t, struct auth *auth, str inner, str *address)
{
    struct header header = { STR(INNER_HEADER), inner };
    struct request request = { .arena = t->arena, .headers = &header, .headers_count = 1 };
    struct identity who = { 0 };
    CHECK_OK(auth_identify(auth, &request, STR("orders"), clock_wall_us(), &who));
    *address = request.client_address;
    return who;
}

TEST(each_is_vouched_for_as_who_it_is_however_many_come_again_and_again)
{
    enum { PEOPLE = 300, TURNS = 3 };
    struct auth *gateway = vouching_auth_of(t, "0123456789abcdef0123456789abcdef");
    struct auth *orders = vouching_auth_of(t, "0123456789abcdef0123456789abcdef");
    str address;
    for (uint32_t i = 0; i < PEOPLE * TURNS; i++) {
        struct identity customer = customer_of(i % PEOPLE);
        str from = i % 2 ? STR("192.0.2.1") : STR("2001:db8::1");
        str token = auth_vouch(gateway, t->arena, STR("orders"), &customer, from);
        struct identity who = who_shows(t, orders, token, &address);
        CHECK(who.known && uuid_equal(who.user, customer.user));
        CHECK(uuid_equal(who.session, customer.session) && who.roles == customer.roles);
        CHECK_STR(address, i % 2 ? "192.0.2.1" : "2001:db8::1");
    }
}

TEST(a_token_that_was_believed_is_still_for_one_service_and_of_its_time)
{
    struct auth *gateway = vouching_auth_of(t, "0123456789abcdef0123456789abcdef");
    struct auth *orders = vouching_auth_of(t, "0123456789abcdef0123456789abcdef");
    struct identity customer = customer_of(1), who = { 0 };
    str address, token = auth_vouch(gateway, t->arena, STR("orders"), &customer, STR("192.0.2.1"));
    CHECK(who_shows(t, orders, token, &address).known);

    struct header header = { STR(INNER_HEADER), token };
    struct request request = { .arena = t->arena, .headers = &header, .headers_count = 1 };
    time_us now = clock_wall_us();
    time_us late = now + (INNER_LIFE_S + AUTH_LEEWAY_S + 1) * TIME_SECOND;
    CHECK_OK(auth_identify(orders, &request, STR("users"), now, &who));
    CHECK(!who.known);
    CHECK_OK(auth_identify(orders, &request, STR("orders"), late, &who));
    CHECK(!who.known);
    CHECK(who_shows(t, orders, token, &address).known);
}

TEST(who_has_changed_is_vouched_for_anew)
{
    struct auth *auth = vouching_auth_of(t, "0123456789abcdef0123456789abcdef");
    struct identity customer = customer_of(1);
    str address, as_customer = auth_vouch(auth, t->arena, STR("orders"), &customer, STR(""));
    customer.roles |= ROLE_BIT_STAFF;
    str as_staff = auth_vouch(auth, t->arena, STR("orders"), &customer, STR(""));
    CHECK(who_shows(t, auth, as_customer, &address).roles == ROLE_BIT_CUSTOMER);
    CHECK(who_shows(t, auth, as_staff, &address).roles == (ROLE_BIT_CUSTOMER | ROLE_BIT_STAFF));
}

TEST(what_a_stranger_signed_is_not_believed_however_often_it_comes)
{
    struct auth *stranger = vouching_auth_of(t, "fedcba9876543210fedcba9876543210");
    struct auth *orders = vouching_auth_of(t, "0123456789abcdef0123456789abcdef");
    struct identity customer = customer_of(1);
    str address, forged = auth_vouch(stranger, t->arena, STR("orders"), &customer, STR(""));
    CHECK(who_shows(t, stranger, forged, &address).known);
    CHECK(!who_shows(t, orders, forged, &address).known);
    CHECK(!who_shows(t, orders, forged, &address).known);
}
