/* Inner identity tokens: what one of our programs vouches for towards another, so that a request
 * that the gateway has judged is not judged again, and a neighbour is known as one. Pure: the keys
 * and the time are given.
 *
 * A token is "v1.PAYLOAD.MAC": the payload in base64url, HMAC-SHA-256 (RFC 2104) over what stands
 * before the last dot. It names its audience, so one service's cannot be shown to another, and
 * lives for INNER_LIFE_S. It travels in the header INNER_HEADER, which the gateway drops from
 * whatever comes from outside. Any of two keys is believed, so that keys can be changed without a
 * pause: give the new one as the old one's second everywhere, then swap them, then drop the old. */
#pragma once
#include "chassis/token.h"

enum { INNER_KEY_BYTES_MIN = 32, INNER_LIFE_S = 30, INNER_BYTES_MAX = 1024 };

/* The header that carries it. */
#define INNER_HEADER "x-duka-identity"

/* Keys of at least INNER_KEY_BYTES_MIN; none: nothing is vouched for and nothing believed. */
struct inner_keys {
    str key;    /* signs and is believed */
    str second; /* is believed as well */
};

struct inner_claims {
    str audience;        /* "users": whom it is for */
    str caller;          /* "gateway", "orders": whose word it is; letters and digits */
    struct identity who; /* neighbour: the caller itself asks */
    str client_address;  /* whom the request comes from, as far as is known */
    time_us expires_at;  /* whole seconds */
};

/* Checks a pair of keys: INNER_KEY_BYTES_MIN at least, no second without a first. Fails with
 * SETTING_INVALID naming the setting. */
err inner_keys_check(struct arena *arena, const struct inner_keys *keys);

/* What a token says, as its payload. */
str inner_payload(struct arena *arena, const struct inner_claims *claims);

/* The same as bytes that are quickly made, to find the token of: equal claims have equal ones, and
 * others have others. */
str inner_claims_key(struct arena *arena, const struct inner_claims *claims);

/* Makes the token of a payload; there is a key. */
str inner_sign(struct arena *arena, const struct inner_keys *keys, str payload);

/* The payload of a token, if one of the keys signed it: whether it holds is not said yet. It lies
 * in the arena. Fails with TOKEN_INVALID. */
err inner_open(struct arena *arena, const struct inner_keys *keys, str token, str *payload);

/* What a payload says, if it is for that audience and holds at `now` (with AUTH_LEEWAY_S, and at
 * most INNER_LIFE_S ahead). Strings point into the payload. Fails with TOKEN_INVALID or
 * TOKEN_EXPIRED. */
err inner_read(struct arena *arena, str payload, str audience, time_us now,
               struct inner_claims *out);
