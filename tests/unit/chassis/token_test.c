#include "chassis/token.h"
#include "tests/lib/test.h"

/* Each attack stands beside what is allowed: GOOD_HEADER and GOOD_CLAIMS, signed with the same key,
 * pass. */
#define GOOD_HEADER "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}"
#define GOOD_CLAIMS                                                                        \
    "{\"iss\":\"duka\",\"aud\":\"shop\",\"sub\":\"01890000-0000-7000-8000-000000000001\"," \
    "\"sid\":\"01890000-0000-7000-8000-000000000002\",\"ver\":3,\"roles\":[\"customer\"]," \
    "\"iat\":1000000,\"exp\":1000600}"

static const time_us NOW = 1000100 * TIME_SECOND;

static struct ed25519_key key_of(uint8_t number)
{
    uint8_t seed[ED25519_SEED_BYTES] = { number };
    crypto_init();
    return ed25519_of_seed(seed);
}

/* A token over any header and claims, rightly signed with key 1. */
static str signed_with_key(struct test *t, const char *header, const char *claims)
{
    struct ed25519_key key = key_of(1);
    str signed_part =
        str_format(t->arena, "%" STR_F ".%" STR_F, STR_A(base64url(t->arena, str_of_z(header))),
                   STR_A(base64url(t->arena, str_of_z(claims))));
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    ed25519_sign(&key, signed_part, signature);
    return str_format(t->arena, "%" STR_F ".%" STR_F, STR_A(signed_part),
                      STR_A(base64url(t->arena, str_of(signature, sizeof signature))));
}

static err read_at(struct test *t, str token, time_us now, struct token_claims *claims)
{
    struct token_parts parts;
    TRY(token_split(t->arena, token, &parts));
    return token_verify(t->arena, &parts, key_of(1).public, STR("duka"), STR("shop"), now, claims);
}

static err read_token(struct test *t, str token)
{
    struct token_claims claims;
    return read_at(t, token, NOW, &claims);
}

/* The good header with one piece of text replaced by another. */
static const char *with(struct test *t, const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    CHECK(at);
    return str_z(t->arena,
                 str_format(t->arena, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)));
}

static err read_header(struct test *t, const char *old, const char *new)
{
    return read_token(t, signed_with_key(t, with(t, GOOD_HEADER, old, new), GOOD_CLAIMS));
}

static err read_claims(struct test *t, const char *old, const char *new)
{
    return read_token(t, signed_with_key(t, GOOD_HEADER, with(t, GOOD_CLAIMS, old, new)));
}

TEST(a_token_that_was_made_says_what_was_put_in)
{
    struct ed25519_key key = key_of(1);
    struct token_claims in = { .version = 7,
                               .roles = ROLE_BIT_CUSTOMER | ROLE_BIT_ADMIN,
                               .issued_at = NOW,
                               .expires_at = NOW + 600 * TIME_SECOND };
    CHECK(uuid_parse(STR("01890000-0000-7000-8000-00000000000a"), &in.user));
    CHECK(uuid_parse(STR("01890000-0000-7000-8000-00000000000b"), &in.session));
    str token = token_make(t->arena, STR("k1"), &key, STR("duka"), STR("shop"), &in);

    struct token_parts parts;
    CHECK_OK(token_split(t->arena, token, &parts));
    CHECK_STR(parts.kid, "k1");

    struct token_claims out;
    CHECK_OK(read_at(t, token, NOW, &out));
    CHECK(uuid_equal(out.user, in.user));
    CHECK(uuid_equal(out.session, in.session));
    CHECK_INT(out.version, 7);
    CHECK_INT(out.roles, ROLE_BIT_CUSTOMER | ROLE_BIT_ADMIN);
    CHECK_INT(out.issued_at, in.issued_at);
    CHECK_INT(out.expires_at, in.expires_at);
}

TEST(the_good_token_of_these_tests_is_good)
{
    CHECK_OK(read_token(t, signed_with_key(t, GOOD_HEADER, GOOD_CLAIMS)));
}

TEST(issuer_and_audience_are_escaped_when_written)
{
    struct ed25519_key key = key_of(1);
    struct token_claims in = { .version = 1, .issued_at = NOW, .expires_at = NOW };
    in.user.bytes[0] = in.session.bytes[0] = 1;
    str odd = STR("a \"quoted\"\\ name");
    str token = token_make(t->arena, STR("k\"1"), &key, odd, odd, &in);

    struct token_parts parts;
    struct token_claims out;
    CHECK_OK(token_split(t->arena, token, &parts));
    CHECK_STR(parts.kid, "k\"1");
    CHECK_OK(token_verify(t->arena, &parts, key.public, odd, odd, NOW, &out));
}

TEST(no_algorithm_but_ed_dsa_is_taken)
{
    CHECK_ERR(read_header(t, "\"EdDSA\"", "\"none\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"EdDSA\"", "\"None\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"EdDSA\"", "\"HS256\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"EdDSA\"", "\"ES256\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"EdDSA\"", "\"eddsa\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"EdDSA\"", "\"\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"EdDSA\"", "\"EdDSA\\u0000\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"EdDSA\"", "[\"EdDSA\"]"), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"EdDSA\"", "null"), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"alg\"", "\"Alg\""), TOKEN_INVALID);
}

TEST(a_token_without_a_signature_is_refused)
{
    str header = base64url(t->arena, STR("{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}"));
    str honest = base64url(t->arena, STR(GOOD_HEADER));
    str claims = base64url(t->arena, STR(GOOD_CLAIMS));

    CHECK_ERR(
        read_token(t, str_format(t->arena, "%" STR_F ".%" STR_F ".", STR_A(header), STR_A(claims))),
        TOKEN_INVALID);
    CHECK_ERR(
        read_token(t, str_format(t->arena, "%" STR_F ".%" STR_F ".", STR_A(honest), STR_A(claims))),
        TOKEN_INVALID);
    CHECK_ERR(
        read_token(t, str_format(t->arena, "%" STR_F ".%" STR_F, STR_A(honest), STR_A(claims))),
        TOKEN_INVALID);
}

TEST(our_public_key_as_the_secret_of_an_hmac_forges_nothing)
{
    struct ed25519_key key = key_of(1);
    str public = str_of(key.public, sizeof key.public);
    const char *const headers[] = { "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}",
                                    GOOD_HEADER };
    for (size_t i = 0; i < 2; i++) {
        str signed_part = str_format(t->arena, "%" STR_F ".%" STR_F,
                                     STR_A(base64url(t->arena, str_of_z(headers[i]))),
                                     STR_A(base64url(t->arena, STR(GOOD_CLAIMS))));
        struct sha256 mac = hmac_sha256(public, signed_part);
        uint8_t twice[ED25519_SIGNATURE_BYTES]; /* once as it is, once as long as a signature */
        memcpy(twice, mac.bytes, sizeof mac.bytes);
        memcpy(twice + sizeof mac.bytes, mac.bytes, sizeof mac.bytes);
        for (size_t len = sizeof mac.bytes; len <= sizeof twice; len *= 2) {
            str token = str_format(t->arena, "%" STR_F ".%" STR_F, STR_A(signed_part),
                                   STR_A(base64url(t->arena, str_of(twice, len))));
            CHECK_ERR(read_token(t, token), TOKEN_INVALID);
        }
    }
}

TEST(a_signature_of_another_key_is_refused)
{
    struct token_parts parts;
    struct token_claims claims;
    CHECK_OK(token_split(t->arena, signed_with_key(t, GOOD_HEADER, GOOD_CLAIMS), &parts));
    CHECK_OK(
        token_verify(t->arena, &parts, key_of(1).public, STR("duka"), STR("shop"), NOW, &claims));
    CHECK_ERR(
        token_verify(t->arena, &parts, key_of(2).public, STR("duka"), STR("shop"), NOW, &claims),
        TOKEN_INVALID);
}

TEST(only_the_type_of_access_tokens_is_taken)
{
    CHECK_ERR(read_header(t, "\"at+jwt\"", "\"JWT\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"at+jwt\"", "\"at+JWT\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, ",\"typ\":\"at+jwt\"", ""), TOKEN_INVALID);
}

TEST(a_header_that_asks_for_an_extension_is_refused)
{
    CHECK_ERR(read_header(t, "{", "{\"crit\":[\"b64\"],\"b64\":false,"), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "{", "{\"crit\":[],"), TOKEN_INVALID);
    CHECK_OK(read_header(t, "{", "{\"new\":true,"));
}

TEST(a_key_inside_the_header_is_not_followed)
{
    struct ed25519_key own = key_of(9);
    str header = str_format(t->arena,
                            "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"k1\","
                            "\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%" STR_F "\"}}",
                            STR_A(base64url(t->arena, str_of(own.public, sizeof own.public))));
    str signed_part = str_format(t->arena, "%" STR_F ".%" STR_F, STR_A(base64url(t->arena, header)),
                                 STR_A(base64url(t->arena, STR(GOOD_CLAIMS))));
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    ed25519_sign(&own, signed_part, signature);
    str token = str_format(t->arena, "%" STR_F ".%" STR_F, STR_A(signed_part),
                           STR_A(base64url(t->arena, str_of(signature, sizeof signature))));
    CHECK_ERR(read_token(t, token), TOKEN_INVALID);
}

TEST(a_header_names_one_key)
{
    CHECK_ERR(read_header(t, ",\"kid\":\"k1\"", ""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"k1\"", "\"\""), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "\"k1\"", "1"), TOKEN_INVALID);
    CHECK_OK(read_header(t, "\"k1\"",
                         "\"0123456789012345678901234567890123456789012345678901234567890123\""));
    CHECK_ERR(read_header(t, "\"k1\"",
                          "\"01234567890123456789012345678901234567890123456789012345678901234\""),
              TOKEN_INVALID);
}

TEST(issuer_and_audience_must_be_ours)
{
    CHECK_ERR(read_claims(t, "\"duka\"", "\"other\""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"duka\"", "\"dukaa\""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"iss\":\"duka\",", ""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"shop\"", "\"other\""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"shop\"", "[\"shop\"]"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"aud\":\"shop\",", ""), TOKEN_INVALID);
}

TEST(every_claim_is_needed_and_has_its_form)
{
    CHECK_ERR(read_claims(t, "\"sub\"", "\"sux\""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "01890000-0000-7000-8000-000000000001", "amina"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "01890000-0000-7000-8000-000000000001",
                          "00000000-0000-0000-0000-000000000000"),
              TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"sid\"", "\"six\""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"ver\":3,", ""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"ver\":3", "\"ver\":\"3\""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"ver\":3", "\"ver\":0"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"roles\":[\"customer\"]", "\"roles\":\"admin\""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "[\"customer\"]", "[1]"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, ",\"exp\":1000600", ""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "1000600", "\"1000600\""), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "1000600", "1000600.5"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "1000600", "-1"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "1000600", "9223372036854775807"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "\"iat\":1000000,", ""), TOKEN_INVALID);
}

TEST(a_role_that_we_do_not_know_gives_nothing)
{
    struct token_claims claims;
    str token =
        signed_with_key(t, GOOD_HEADER, with(t, GOOD_CLAIMS, "\"customer\"", "\"root\",\"staff\""));
    CHECK_OK(read_at(t, token, NOW, &claims));
    CHECK_INT(claims.roles, ROLE_BIT_STAFF);
}

TEST(a_token_holds_from_its_time_to_its_expiry_with_thirty_seconds_of_leeway)
{
    struct token_claims claims;
    str token = signed_with_key(t, GOOD_HEADER, GOOD_CLAIMS);

    CHECK_ERR(read_at(t, token, (1000000 - 31) * TIME_SECOND, &claims), TOKEN_INVALID);
    CHECK_OK(read_at(t, token, (1000000 - 30) * TIME_SECOND, &claims));
    CHECK_OK(read_at(t, token, (1000600 + 30) * TIME_SECOND, &claims));
    CHECK_ERR(read_at(t, token, (1000600 + 31) * TIME_SECOND, &claims), TOKEN_EXPIRED);
}

TEST(not_before_is_heeded_where_it_is_there)
{
    CHECK_OK(read_claims(t, "{", "{\"nbf\":1000130,"));
    CHECK_ERR(read_claims(t, "{", "{\"nbf\":1000131,"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "{", "{\"nbf\":\"soon\","), TOKEN_INVALID);
}

TEST(a_life_longer_than_any_of_ours_is_refused)
{
    CHECK_OK(read_claims(t, "1000600", "1003600"));
    CHECK_ERR(read_claims(t, "1000600", "1003601"), TOKEN_INVALID);
    CHECK_ERR(read_claims(t, "1000600", "999999"), TOKEN_INVALID);
}

TEST(a_member_that_is_there_twice_is_refused)
{
    CHECK_ERR(read_claims(t, "{", "{\"sub\":\"01890000-0000-7000-8000-000000000009\","),
              TOKEN_INVALID);
    CHECK_ERR(read_header(t, "{", "{\"alg\":\"none\","), TOKEN_INVALID);
    CHECK_ERR(read_header(t, "{", "{\"\\u0061lg\":\"none\","), TOKEN_INVALID);
}

TEST(what_is_not_json_is_refused)
{
    CHECK_ERR(read_token(t, signed_with_key(t, GOOD_HEADER, "")), TOKEN_INVALID);
    CHECK_ERR(read_token(t, signed_with_key(t, GOOD_HEADER, "[]")), TOKEN_INVALID);
    CHECK_ERR(read_token(t, signed_with_key(t, GOOD_HEADER, GOOD_CLAIMS "{}")), TOKEN_INVALID);
    CHECK_ERR(read_token(t, signed_with_key(t, "\"EdDSA\"", GOOD_CLAIMS)), TOKEN_INVALID);
}

TEST(a_changed_byte_anywhere_is_refused)
{
    str token = signed_with_key(t, GOOD_HEADER, GOOD_CLAIMS);
    for (size_t i = 0; i < token.len; i++) {
        char *changed = arena_copy(t->arena, token.ptr, token.len);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        err error = read_token(t, str_of(changed, token.len));
        if (!err_is(error, TOKEN_INVALID))
            FAIL("byte %zu can be changed", i);
    }
}

TEST(the_form_is_exact)
{
    str good = signed_with_key(t, GOOD_HEADER, GOOD_CLAIMS);
    const char *const forms[] = {
        "%s.", ".%s", "%s.AA", "%s=", "%s\n", " %s", "%s ", "%s==", "%s,", "\"%s\"", "%sA", "%s..",
    };
    const char *token = str_z(t->arena, good);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t at = (size_t)(strstr(forms[i], "%s") - forms[i]);
        str text = str_format(t->arena, "%.*s%s%s", (int)at, forms[i], token, forms[i] + at + 2);
        if (!err_is(read_token(t, text), TOKEN_INVALID))
            FAIL("form %zu is taken", i);
    }
    CHECK_OK(read_token(t, good));
    CHECK_ERR(read_token(t, STR("")), TOKEN_INVALID);
    CHECK_ERR(read_token(t, STR("..")), TOKEN_INVALID);
    CHECK_ERR(read_token(t, STR(".")), TOKEN_INVALID);
    CHECK_ERR(read_token(t, STR("a.b.c")), TOKEN_INVALID);
}

TEST(base64_of_the_other_alphabet_is_refused)
{
    /* A signature's text nearly always holds one of '-' and '_'; where it does, its old forms '+'
     * and '/' must not pass. */
    str token = signed_with_key(t, GOOD_HEADER, GOOD_CLAIMS);
    char *changed = arena_copy(t->arena, token.ptr, token.len);
    bool any = false;
    for (size_t i = 0; i < token.len; i++) {
        any = any || changed[i] == '-' || changed[i] == '_';
        changed[i] = changed[i] == '-' ? '+' : changed[i] == '_' ? '/' : changed[i];
    }
    CHECK(any);
    CHECK_ERR(read_token(t, str_of(changed, token.len)), TOKEN_INVALID);
}

TEST(a_token_has_a_longest_length)
{
    for (int extra = 0; extra < 2; extra++) {
        /* Filled up to the limit by a claim nobody reads; base64url makes four of three. */
        str token = STR("");
        for (size_t fill = 2400; token.len < TOKEN_BYTES_MAX + (size_t)extra && fill < 2900;
             fill++) {
            str filler = str_format(t->arena, "{\"x\":\"%0*d\",", (int)fill, 0);
            token =
                signed_with_key(t, GOOD_HEADER, with(t, GOOD_CLAIMS, "{", str_z(t->arena, filler)));
        }
        if (token.len <= TOKEN_BYTES_MAX)
            CHECK_OK(read_token(t, token));
        else
            CHECK_ERR(read_token(t, token), TOKEN_INVALID);
    }
}
