#include "chassis/token.h"
#include "base/json.h"

#define TOKEN_TYPE STR("at+jwt")
#define TOKEN_ALGORITHM STR("EdDSA")

enum { EPOCH_DAYS_MAX = 2932896 }; /* the last day of the year 9999 */

/* ---- Making a token ---- */

static const struct {
    unsigned bit;
    str word;
} ROLES[] = {
    { ROLE_BIT_CUSTOMER, { "customer", 8 } },
    { ROLE_BIT_STAFF, { "staff", 5 } },
    { ROLE_BIT_ADMIN, { "admin", 5 } },
};
enum { ROLES_COUNT = sizeof ROLES / sizeof ROLES[0] };

static void add_text(struct text *out, bool *first, str name, str value)
{
    json_add_name(out, first, name);
    json_add_string(out, value);
}

static void add_int(struct text *out, bool *first, str name, int64_t value)
{
    json_add_name(out, first, name);
    text_add_int(out, value);
}

static void add_roles(struct text *out, bool *first, unsigned roles)
{
    json_add_name(out, first, STR("roles"));
    text_add_byte(out, '[');
    bool first_role = true;
    for (size_t i = 0; i < ROLES_COUNT; i++) {
        if (!(roles & ROLES[i].bit))
            continue;
        if (!first_role)
            text_add_byte(out, ',');
        first_role = false;
        json_add_string(out, ROLES[i].word);
    }
    text_add_byte(out, ']');
}

static str header_json(struct arena *arena, str kid)
{
    struct text out = text_init(arena, 96);
    bool first = true;
    text_add_byte(&out, '{');
    add_text(&out, &first, STR("alg"), TOKEN_ALGORITHM);
    add_text(&out, &first, STR("typ"), TOKEN_TYPE);
    add_text(&out, &first, STR("kid"), kid);
    text_add_byte(&out, '}');
    return text_str(&out);
}

static str claims_json(struct arena *arena, str issuer, str audience,
                       const struct token_claims *claims)
{
    struct text out = text_init(arena, 384);
    bool first = true;
    text_add_byte(&out, '{');
    add_text(&out, &first, STR("iss"), issuer);
    add_text(&out, &first, STR("aud"), audience);
    add_text(&out, &first, STR("sub"), uuid_text(arena, claims->user));
    add_text(&out, &first, STR("sid"), uuid_text(arena, claims->session));
    add_int(&out, &first, STR("ver"), claims->version);
    add_roles(&out, &first, claims->roles);
    if (claims->email_verified) { /* OpenID Connect's name for it */
        json_add_name(&out, &first, STR("email_verified"));
        text_add(&out, STR("true"));
    }
    add_int(&out, &first, STR("iat"), claims->issued_at / TIME_SECOND);
    add_int(&out, &first, STR("exp"), claims->expires_at / TIME_SECOND);
    text_add_byte(&out, '}');
    return text_str(&out);
}

str token_make(struct arena *arena, str kid, const struct ed25519_key *key, str issuer,
               str audience, const struct token_claims *claims)
{
    ASSERT(arena && key && claims);
    ASSERT(kid.len > 0 && kid.len <= JWT_KID_MAX);

    struct text token = text_init(arena, 640);
    text_add(&token, base64url(arena, header_json(arena, kid)));
    text_add_byte(&token, '.');
    text_add(&token, base64url(arena, claims_json(arena, issuer, audience, claims)));

    uint8_t signature[ED25519_SIGNATURE_BYTES];
    ed25519_sign(key, text_str(&token), signature);
    text_add_byte(&token, '.');
    text_add(&token, base64url(arena, str_of(signature, sizeof signature)));
    ASSERT(token.len <= TOKEN_BYTES_MAX);
    return text_str(&token);
}

/* ---- Reading a token ---- */

static err read_object(struct arena *arena, str bytes, const struct json **out)
{
    const struct json *object;
    err error = json_read(arena, bytes, &object);
    if (error != OK)
        return fail_over(arena, TOKEN_INVALID, error, "the token does not hold JSON");
    if (json_kind_of(object) != JSON_OBJECT)
        return fail(arena, TOKEN_INVALID, "the token does not hold an object");
    *out = object;
    return OK;
}

/* A member that is a text, or an absent one. */
static str member_text(const struct json *object, str name)
{
    const struct json *value = json_member(object, name);
    return value && json_kind_of(value) == JSON_STRING ? json_string(value) : STR_NONE;
}

/* A present text that is equal; an absent one is not equal to an empty one here. */
static bool member_is(const struct json *object, str name, str expected)
{
    str text = member_text(object, name);
    return text.ptr && str_equal(text, expected);
}

/* One algorithm, one type: what the header asks for is compared, never followed. */
static err header_check(struct arena *arena, str header, str *kid)
{
    const struct json *object;
    TRY(read_object(arena, header, &object));

    if (!member_is(object, STR("alg"), TOKEN_ALGORITHM))
        return fail(arena, TOKEN_INVALID, "the algorithm is another");
    if (!member_is(object, STR("typ"), TOKEN_TYPE))
        return fail(arena, TOKEN_INVALID, "it is another type of token");
    if (json_member(object, STR("crit")))
        return fail(arena, TOKEN_INVALID, "it asks for an extension");

    *kid = member_text(object, STR("kid"));
    if (kid->len == 0 || kid->len > JWT_KID_MAX)
        return fail(arena, TOKEN_INVALID, "it names no key");
    return OK;
}

err token_split(struct arena *arena, str token, struct token_parts *out)
{
    ASSERT(arena && out);

    if (token.len > TOKEN_BYTES_MAX)
        return fail(arena, TOKEN_INVALID, "it is longer than %d bytes", TOKEN_BYTES_MAX);
    str rest = token, header;
    str first = str_cut(&rest, '.');
    str second = rest.ptr ? str_cut(&rest, '.') : STR_NONE;
    if (!rest.ptr || str_find_byte(rest, '.') >= 0)
        return fail(arena, TOKEN_INVALID, "it does not have three parts");

    struct token_parts parts = { .signed_part = str_slice(token, 0, first.len + 1 + second.len) };
    if (!base64url_parse(arena, first, &header))
        return fail(arena, TOKEN_INVALID, "the header is not base64url");
    if (!base64url_parse(arena, second, &parts.payload))
        return fail(arena, TOKEN_INVALID, "the payload is not base64url");
    if (!base64url_parse(arena, rest, &parts.signature) ||
        parts.signature.len != ED25519_SIGNATURE_BYTES)
        return fail(arena, TOKEN_INVALID, "the signature has another length");
    TRY(header_check(arena, header, &parts.kid));
    *out = parts;
    return OK;
}

static bool claim_uuid(const struct json *object, str name, struct uuid *out)
{
    return uuid_parse(member_text(object, name), out) && !uuid_is_nil(*out);
}

static bool claim_int(const struct json *object, str name, int64_t *out)
{
    const struct json *value = json_member(object, name);
    return value && json_kind_of(value) == JSON_NUMBER && json_int64(value, out);
}

static bool claim_time(const struct json *object, str name, time_us *out)
{
    int64_t seconds;
    if (!claim_int(object, name, &seconds) || seconds < 0 || seconds / 86400 > EPOCH_DAYS_MAX)
        return false;
    *out = seconds * TIME_SECOND;
    return true;
}

/* A role that this version does not know gives nothing. */
static bool claim_roles(const struct json *object, unsigned *out)
{
    const struct json *roles = json_member(object, STR("roles"));
    if (!roles || json_kind_of(roles) != JSON_ARRAY)
        return false;

    *out = 0;
    struct json_walk walk = json_walk_of(roles);
    while (json_next(&walk)) {
        if (json_kind_of(walk.value) != JSON_STRING)
            return false;
        for (size_t i = 0; i < ROLES_COUNT; i++)
            if (str_equal(json_string(walk.value), ROLES[i].word))
                *out |= ROLES[i].bit;
    }
    return true;
}

static err claims_read(struct arena *arena, const struct json *object, struct token_claims *out,
                       time_us *not_before)
{
    if (!claim_uuid(object, STR("sub"), &out->user) ||
        !claim_uuid(object, STR("sid"), &out->session))
        return fail(arena, TOKEN_INVALID, "it names no account or no session");
    if (!claim_int(object, STR("ver"), &out->version) || out->version < 1)
        return fail(arena, TOKEN_INVALID, "it has no version");
    if (!claim_roles(object, &out->roles))
        return fail(arena, TOKEN_INVALID, "it has no roles");
    const struct json *verified = json_member(object, STR("email_verified"));
    out->email_verified = verified && json_kind_of(verified) == JSON_BOOL && json_bool(verified);
    if (!claim_time(object, STR("iat"), &out->issued_at) ||
        !claim_time(object, STR("exp"), &out->expires_at))
        return fail(arena, TOKEN_INVALID, "it does not say how long it holds");

    *not_before = out->issued_at;
    if (json_member(object, STR("nbf")) && !claim_time(object, STR("nbf"), not_before))
        return fail(arena, TOKEN_INVALID, "its nbf cannot be read");
    return OK;
}

err token_check_expiry(struct arena *arena, time_us expires_at, time_us now)
{
    if (now > expires_at + AUTH_LEEWAY_S * TIME_SECOND)
        return fail(arena, TOKEN_EXPIRED, "it expired at %" STR_F,
                    STR_A(time_text(arena, expires_at)));
    return OK;
}

static err times_check(struct arena *arena, const struct token_claims *claims, time_us not_before,
                       time_us now)
{
    time_us latest = now + AUTH_LEEWAY_S * TIME_SECOND;
    if (claims->issued_at > latest || not_before > latest)
        return fail(arena, TOKEN_INVALID, "it does not hold yet");
    if (claims->expires_at < claims->issued_at ||
        claims->expires_at - claims->issued_at > TOKEN_LIFE_MAX_S * TIME_SECOND)
        return fail(arena, TOKEN_INVALID, "it holds for longer than any token of ours");
    return token_check_expiry(arena, claims->expires_at, now);
}

err token_verify(struct arena *arena, const struct token_parts *parts,
                 const uint8_t public[ED25519_PUBLIC_BYTES], str issuer, str audience, time_us now,
                 struct token_claims *out)
{
    ASSERT(arena && parts && public && out);

    /* First of all: what nobody of us signed is not even read. */
    if (!ed25519_verify(public, parts->signed_part, parts->signature))
        return fail(arena, TOKEN_INVALID, "the signature is wrong");

    const struct json *object;
    TRY(read_object(arena, parts->payload, &object));
    if (!member_is(object, STR("iss"), issuer))
        return fail(arena, TOKEN_INVALID, "another issuer made it");
    if (!member_is(object, STR("aud"), audience))
        return fail(arena, TOKEN_INVALID, "it is meant for another audience");

    struct token_claims claims;
    time_us not_before;
    TRY(claims_read(arena, object, &claims, &not_before));
    TRY(times_check(arena, &claims, not_before, now));
    *out = claims;
    return OK;
}
