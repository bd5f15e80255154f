/* Who calls: access tokens (JWT, RFC 7519; EdDSA, RFC 8037; checked as RFC 8725 says), remembered and revoked.
 *
 * Each service holds one `struct auth`. A verified token is remembered by its SHA-256 (bounded) and checked on each hit against
 * a small set of revocations, tailed from Users by a poll every second (auth_poll): log-out, suspension, change of roles take
 * effect everywhere within 5 seconds. If Users has been unreachable for over 60 s, staff calls fail closed (AUTH_UNAVAILABLE),
 * customers go on. */
#pragma once
#include "base/crypto.h"
#include "chassis/call.h"

enum { JWT_KID_MAX = 64, AUTH_LEEWAY_S = 30, ACCESS_TOKEN_S = 600 };

/* A key that verifies. */
struct auth_key {
    char kid[JWT_KID_MAX + 1];
    uint8_t public[ED25519_PUBLIC_BYTES];
};

/* What an access token says. */
struct token_claims {
    struct uuid user, session;
    int64_t version;
    unsigned roles;
    time_us issued_at, expires_at;
};

/* Makes a signed access token. */
str token_make(struct arena *arena, str kid, const struct ed25519_key *key, str issuer, str audience,
               const struct token_claims *claims);

struct auth_config {
    str issuer, audience;
    int tokens_max; /* remembered; 0: 16384 */
};

struct auth;
struct auth *auth_open(const struct auth_config *config);
void auth_close(struct auth *auth); /* accepts NULL */

/* Replaces the keys that verify. Thread-safe, like all below. */
void auth_set_keys(struct auth *auth, const struct auth_key *keys, size_t count);

/* Refuses tokens: of the session (not nil), or of the user with a version below `version_min`. Kept until the last token that it
 * concerns has expired. */
void auth_revoke(struct auth *auth, struct uuid user, struct uuid session, int64_t version_min, time_us at);

/* Told at each successful poll of Users. */
void auth_reached(struct auth *auth, int64_t mono_us);

/* Checks the value of an Authorization header. Absent: OK, `who->known` false. Fails with TOKEN_INVALID, TOKEN_EXPIRED,
 * TOKEN_REVOKED. */
err auth_check(struct auth *auth, struct arena *arena, str authorization, time_us now, struct identity *who);

/* Checks that the caller may make a call of this access: TOKEN_MISSING, ROLE_MISSING, AUTH_UNAVAILABLE; NOT_FOUND for neighbour and
 * operator calls from outside. */
err auth_allow(struct auth *auth, struct arena *arena, enum access access, const struct identity *who);
