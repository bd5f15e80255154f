/* API keys: what a server of the shop's owner shows instead of a person's token.
 *
 * The secret of a key is "duka_", 32 random bytes in lower-case hexadecimal, and the CRC-32 of what
 * stands before it, so that programs that look for lost secrets find it and are not misled. What is
 * kept is its SHA-256: with 256 random bits there is nothing to guess, so a slow hash would protect
 * nothing. The table here is what a process knows of the keys that Users has, as of its last
 * question; it also notes when each was shown last, in steps of API_KEY_USED_STEP_S. */
#pragma once
#include "base/crypto.h"
#include "base/time.h"
#include "base/uuid.h"

enum {
    API_KEYS_MAX = 256, /* of a shop */
    API_KEY_RANDOM_BYTES = 32,
    API_KEY_PREFIX_BYTES = 13, /* of a secret, by which people tell keys apart */
    API_KEY_USED_STEP_S = 600
};

/* A key that was not revoked. */
struct api_key_known {
    struct uuid id;
    struct sha256 digest;
    unsigned scopes;    /* scope_bit of each */
    time_us expires_at; /* 0: it does not */
};

struct api_key_use {
    struct uuid id;
    time_us at; /* the beginning of its step */
};

/* The secret for 32 random bytes. */
str api_key_secret(struct arena *arena, const uint8_t bytes[API_KEY_RANDOM_BYTES]);

/* Whether a token is meant as an API key: it begins as one. */
bool api_key_is_meant(str token);

/* What is kept of a secret. Fails with TOKEN_INVALID: it is none, or its checksum does not hold. */
err api_key_digest(struct arena *arena, str secret, struct sha256 *out);

struct api_keys;

/* Knows nothing yet. The caller closes; NULL is accepted. */
struct api_keys *api_keys_open(void);
void api_keys_close(struct api_keys *keys);

/* Replaces all that is known; at most API_KEYS_MAX. `mark` names this state of Users. Thread-safe,
 * like all below. */
void api_keys_set(struct api_keys *keys, const struct api_key_known *known, size_t count,
                  struct uuid mark);

/* Whether anything was heard, and then the mark of the last state. */
bool api_keys_mark(struct api_keys *keys, struct uuid *mark);

/* The key of a digest, which is in use `now`. Fails with AUTH_UNAVAILABLE (nothing was heard of
 * Users yet), TOKEN_INVALID (unknown or revoked), TOKEN_EXPIRED. */
err api_keys_find(struct api_keys *keys, struct arena *arena, const struct sha256 *digest,
                  time_us now, struct api_key_known *out);

/* Takes the uses that nobody took yet: at most one a key and step. `out` has room for API_KEYS_MAX.
 */
size_t api_keys_take_uses(struct api_keys *keys, struct api_key_use *out);
