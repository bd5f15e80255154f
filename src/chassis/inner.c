#include "chassis/inner.h"

#include "base/arena.h"

/* The payload: these fields in this order, with '|' between them. None of them can hold one. */
enum field {
    FIELD_AUDIENCE,
    FIELD_CALLER,
    FIELD_KIND, /* a letter: nobody, user, API key, neighbour */
    FIELD_USER, /* or the key's id */
    FIELD_SESSION,
    FIELD_VERSION,
    FIELD_ROLES, /* of a key: its scopes */
    FIELD_VERIFIED,
    FIELD_WHO_EXPIRES,
    FIELD_ADDRESS,
    FIELD_EXPIRES,
    FIELDS_COUNT
};

#define PREFIX STR("v1.")
enum { KIND_NOBODY = '-', KIND_USER = 'u', KIND_KEY = 'k', KIND_NEIGHBOUR = 'n' };
enum { ROLES_ALL = ROLE_BIT_CUSTOMER | ROLE_BIT_STAFF | ROLE_BIT_ADMIN, SCOPES_ALL = INT32_MAX };

err inner_keys_check(struct arena *arena, const struct inner_keys *keys)
{
    ASSERT(arena && keys);
    if (keys->key.len == 0 && keys->second.len > 0)
        return fail(arena, SETTING_INVALID, "INNER_KEY_SECOND is set, but INNER_KEY is not");
    if (keys->key.len > 0 && keys->key.len < INNER_KEY_BYTES_MIN)
        return fail(arena, SETTING_INVALID, "INNER_KEY has %zu bytes; give at least %d random ones",
                    keys->key.len, INNER_KEY_BYTES_MIN);
    if (keys->second.len > 0 && keys->second.len < INNER_KEY_BYTES_MIN)
        return fail(arena, SETTING_INVALID,
                    "INNER_KEY_SECOND has %zu bytes; give at least %d random ones",
                    keys->second.len, INNER_KEY_BYTES_MIN);
    return OK;
}

/* ---- Making one ---- */

static char kind_of(const struct identity *who)
{
    if (who->neighbour)
        return KIND_NEIGHBOUR;
    if (who->is_key)
        return KIND_KEY;
    return who->known ? KIND_USER : KIND_NOBODY;
}

str inner_payload(struct arena *arena, const struct inner_claims *claims)
{
    ASSERT(arena && claims);
    ASSERT(!claims->who.operator_); /* that is nobody's to vouch for */
    const struct identity *who = &claims->who;
    struct text out = text_init(arena, 256);
    text_add(&out, claims->audience);
    text_add_byte(&out, '|');
    text_add(&out, claims->caller);
    text_add_byte(&out, '|');
    text_add_byte(&out, kind_of(who));
    text_add_byte(&out, '|');
    text_add(&out, uuid_text(arena, who->user));
    text_add_byte(&out, '|');
    text_add(&out, uuid_text(arena, who->session));
    text_add_byte(&out, '|');
    text_add_int(&out, who->version);
    text_add_byte(&out, '|');
    text_add_int(&out, who->is_key ? who->scopes : who->roles);
    text_add_byte(&out, '|');
    text_add_int(&out, who->email_verified);
    text_add_byte(&out, '|');
    text_add_int(&out, who->expires_at / TIME_SECOND);
    text_add_byte(&out, '|');
    text_add(&out, claims->client_address);
    text_add_byte(&out, '|');
    text_add_int(&out, claims->expires_at / TIME_SECOND);
    return text_str(&out);
}

str inner_claims_key(struct arena *arena, const struct inner_claims *claims)
{
    ASSERT(arena && claims);
    const struct identity *who = &claims->who;
    const int64_t numbers[] = { who->version,
                                who->expires_at,
                                claims->expires_at,
                                who->roles,
                                who->scopes,
                                kind_of(who),
                                who->email_verified,
                                (int64_t)claims->audience.len,
                                (int64_t)claims->caller.len };
    struct text out = text_init(arena, 256);
    text_add(&out, str_of(numbers, sizeof numbers));
    text_add(&out, str_of(who->user.bytes, sizeof who->user.bytes));
    text_add(&out, str_of(who->session.bytes, sizeof who->session.bytes));
    text_add(&out, claims->audience);
    text_add(&out, claims->caller);
    text_add(&out, claims->client_address);
    return text_str(&out);
}

static str mac_of(struct arena *arena, str key, str signed_part)
{
    struct sha256 mac = hmac_sha256(key, signed_part);
    return base64url(arena, str_of(mac.bytes, sizeof mac.bytes));
}

str inner_sign(struct arena *arena, const struct inner_keys *keys, str payload)
{
    ASSERT(arena && keys);
    ASSERT(keys->key.len >= INNER_KEY_BYTES_MIN);

    struct text token = text_init(arena, 512);
    text_add(&token, PREFIX);
    text_add(&token, base64url(arena, payload));
    str mac = mac_of(arena, keys->key, text_str(&token));
    text_add_byte(&token, '.');
    text_add(&token, mac);
    return text_str(&token);
}

/* ---- Reading one ---- */

static err token_fail(struct arena *arena, const char *why)
{
    return fail(arena, TOKEN_INVALID, "the inner identity %s", why);
}

static bool is_signed_by(struct arena *arena, str key, str signed_part, str mac)
{
    return key.len > 0 && secret_equal(mac_of(arena, key, signed_part), mac);
}

static bool fields_split(str payload, str fields[FIELDS_COUNT])
{
    str rest = payload;
    int count = 0;
    while (rest.ptr && count < FIELDS_COUNT)
        fields[count++] = str_cut(&rest, '|');
    return count == FIELDS_COUNT && !rest.ptr;
}

static bool kind_read(str field, char *kind)
{
    if (field.len != 1)
        return false;
    *kind = field.ptr[0];
    return *kind == KIND_NOBODY || *kind == KIND_USER || *kind == KIND_KEY ||
           *kind == KIND_NEIGHBOUR;
}

static bool who_read(const str fields[FIELDS_COUNT], struct identity *out)
{
    char kind;
    int64_t version, roles, verified, expires_s;
    struct identity who = { 0 };
    if (!kind_read(fields[FIELD_KIND], &kind) || !uuid_parse(fields[FIELD_USER], &who.user) ||
        !uuid_parse(fields[FIELD_SESSION], &who.session) ||
        !str_to_int64(fields[FIELD_VERSION], 0, INT64_MAX, &version) ||
        !str_to_int64(fields[FIELD_ROLES], 0, kind == KIND_KEY ? SCOPES_ALL : ROLES_ALL, &roles) ||
        !str_to_int64(fields[FIELD_VERIFIED], 0, 1, &verified) ||
        !str_to_int64(fields[FIELD_WHO_EXPIRES], 0, INT64_MAX / TIME_SECOND, &expires_s))
        return false;

    who.known = kind != KIND_NOBODY;
    who.neighbour = kind == KIND_NEIGHBOUR;
    who.version = version;
    who.is_key = kind == KIND_KEY;
    *(who.is_key ? &who.scopes : &who.roles) = (unsigned)roles;
    who.email_verified = verified != 0;
    who.expires_at = expires_s * TIME_SECOND;
    *out = who;
    return true;
}

err inner_read(struct arena *arena, str payload, str audience, time_us now,
               struct inner_claims *out)
{
    ASSERT(arena && out);
    str fields[FIELDS_COUNT];
    int64_t expires_s;
    struct inner_claims claims = { 0 };
    if (!fields_split(payload, fields) || !who_read(fields, &claims.who) ||
        !str_to_int64(fields[FIELD_EXPIRES], 0, INT64_MAX / (2 * TIME_SECOND), &expires_s))
        return token_fail(arena, "does not say what it should");
    if (!str_equal(fields[FIELD_AUDIENCE], audience))
        return token_fail(arena, "is for another service");

    claims.expires_at = expires_s * TIME_SECOND;
    if (claims.expires_at + AUTH_LEEWAY_S * TIME_SECOND < now)
        return fail(arena, TOKEN_EXPIRED, "the inner identity has expired");
    if (claims.expires_at > now + (INNER_LIFE_S + AUTH_LEEWAY_S) * TIME_SECOND)
        return token_fail(arena, "would live for too long");
    claims.audience = fields[FIELD_AUDIENCE];
    claims.caller = fields[FIELD_CALLER];
    claims.client_address = fields[FIELD_ADDRESS];
    *out = claims;
    return OK;
}

err inner_open(struct arena *arena, const struct inner_keys *keys, str token, str *payload)
{
    ASSERT(arena && keys && payload);

    if (token.len > INNER_BYTES_MAX || !str_starts(token, PREFIX))
        return token_fail(arena, "is not one");
    str rest = str_slice(token, PREFIX.len, token.len), encoded = str_cut(&rest, '.');
    str signed_part = str_of(token.ptr, PREFIX.len + encoded.len);
    if (!rest.ptr || (!is_signed_by(arena, keys->key, signed_part, rest) &&
                      !is_signed_by(arena, keys->second, signed_part, rest)))
        return token_fail(arena, "was signed by nobody whom we know");
    if (!base64url_parse(arena, encoded, payload))
        return token_fail(arena, "is not one");
    return OK;
}
