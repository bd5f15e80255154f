/* Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037), made and read as RFC 8725 advises.
 * Pure: the keys and the time are given. Whether a token was revoked is auth's to know. */
#pragma once
#include "base/crypto.h"
#include "chassis/call.h"

enum {
    JWT_KID_MAX = 64,
    TOKEN_BYTES_MAX = 4096,
    TOKEN_LIFE_MAX_S = 3600, /* the longest ACCESS_TOKEN_TTL; a token that claims more is refused */
    AUTH_LEEWAY_S = 30,      /* between the clocks of two machines */
};

/* What an access token says. */
struct token_claims {
    struct uuid user, session;
    int64_t version;
    unsigned roles;
    bool email_verified;
    time_us issued_at, expires_at; /* kept in whole seconds */
};

/* Makes a signed access token. */
str token_make(struct arena *arena, str kid, const struct ed25519_key *key, str issuer,
               str audience, const struct token_claims *claims);

/* A token taken apart; its header is checked, but nothing is believed yet. */
struct token_parts {
    str kid;
    str signed_part; /* header, dot, payload, as they came */
    str payload, signature;
};

/* Takes a token apart: three strict base64url parts, alg exactly EdDSA, typ exactly at+jwt, no
 * crit, a kid. Fails with TOKEN_INVALID. */
err token_split(struct arena *arena, str token, struct token_parts *out);

/* What a token says, if this key signed it, for this issuer and audience, and it holds now (with
 * AUTH_LEEWAY_S). Fails with TOKEN_INVALID or TOKEN_EXPIRED. */
err token_verify(struct arena *arena, const struct token_parts *parts,
                 const uint8_t public[ED25519_PUBLIC_BYTES], str issuer, str audience, time_us now,
                 struct token_claims *out);

/* Fails with TOKEN_EXPIRED after the time, with leeway. */
err token_check_expiry(struct arena *arena, time_us expires_at, time_us now);
