/* Who calls: access tokens (JWT, RFC 7519; EdDSA, RFC 8037; checked as RFC 8725 says), remembered
 * and revoked.
 *
 * A verified token is remembered by its SHA-256 (bounded) and checked on each hit against a small
 * set of revocations, tailed from Users every second: log-out, suspension, change of roles take
 * effect everywhere within 5 seconds. If Users has been unreachable for over 60 s, calls of staff
 * and of API keys fail closed (AUTH_UNAVAILABLE), customers go on.
 *
 * A server shows an API key in the token's place (api_keys.h). It is nobody's account: a key may
 * make the calls of its scopes, as staff would, and no other. */
#pragma once
#include "chassis/api_keys.h"
#include "chassis/inner.h"
#include "chassis/request.h"
#include "chassis/token.h"

enum { AUTH_KEYS_MAX = 16 };

/* A key that verifies. */
struct auth_key {
    char kid[JWT_KID_MAX + 1];
    uint8_t public[ED25519_PUBLIC_BYTES];
};

struct auth_config {
    str issuer, audience;
    int tokens_max; /* remembered; 0: 16384 */
    str name;       /* of this program, for what it vouches for; needed where `inner` has a key */
    struct inner_keys inner;
};

struct auth;

/* Knows no key yet. The caller closes; NULL is accepted. */
struct auth *auth_open(const struct auth_config *config);
void auth_close(struct auth *auth);

/* Replaces the keys that verify. Thread-safe, like all below. */
void auth_set_keys(struct auth *auth, const struct auth_key *keys, size_t count);

/* Refuses tokens: of the session (not nil), or of the user with a version below `version_min`. Kept
 * until the last token that it concerns has expired. */
void auth_revoke(struct auth *auth, struct uuid user, struct uuid session, int64_t version_min,
                 time_us at);

/* The API keys that are good, as Users tells of them. */
struct api_keys *auth_api_keys(struct auth *auth);

/* Told at each successful poll of Users. */
void auth_reached(struct auth *auth);

/* How it stands, for probes. */
struct auth_state {
    int keys;      /* that verify tokens */
    bool vouches;  /* as auth_vouches */
    bool is_stale; /* Users has not been reached for so long that staff is refused */
};
struct auth_state auth_state_of(struct auth *auth);

/* Checks the value of an Authorization header: a token's, or an API key's. Absent: OK, `who->known`
 * false. Fails with TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_REVOKED, or AUTH_UNAVAILABLE while no key
 * is known. */
err auth_check(struct auth *auth, struct arena *arena, str authorization, time_us now,
               struct identity *who);

/* Who makes a request to the service `audience`: as one of our programs vouches for by INNER_HEADER
 * (then its client's address is told in request->client_address, too), else by Authorization, as
 * auth_check does. An inner identity that does not hold is logged and counts for nothing. */
err auth_identify(struct auth *auth, struct request *request, str audience, time_us now,
                  struct identity *who);

/* Whether there is a key to vouch with. */
bool auth_vouches(const struct auth *auth);

/* The value of INNER_HEADER by which this program vouches towards the service `audience` for who
 * calls (a neighbour: itself) and whence; STR_NONE where there is no key. */
str auth_vouch(struct auth *auth, struct arena *arena, str audience, const struct identity *who,
               str client_address);

/* Checks that the caller may make a call of this access: TOKEN_MISSING, ROLE_MISSING,
 * AUTH_UNAVAILABLE; NOT_FOUND for neighbour and operator calls from outside. An API key needs the
 * scope of `call` instead (NULL: it has none): SCOPE_MISSING. */
err auth_allow(struct auth *auth, struct arena *arena, enum access access,
               const struct call_spec *call, const struct identity *who);

/* What an API key is in this call: one of the staff where it has its scope, else nobody's. */
void auth_take_scope(struct identity *who, const struct call_spec *call);
