#include "chassis/auth.h"
#include "chassis/obs.h"
#include "chassis/recent.h"
#include "os/clock.h"
#include "os/sync.h"

enum {
    TOKENS_MAX = 16384,
    REVOCATIONS_MAX = 65536,
    REVOCATIONS_BUCKETS = 4096,
    USERS_AWAY_MAX_S = 60,
    VOUCHED_MAX = 128,
    VOUCHED_BYTES_MAX = 640, /* of an inner token together with what it says */
    VOUCHED_STEP_S = 5       /* tokens of one step that say the same are the same */
};

/* A token that was verified, by its SHA-256. In a chain of its bucket, and in the order of use. */
struct remembered {
    struct sha256 hash;
    struct identity who;
    time_us issued_at;
    int64_t keys_seen, revocations_seen; /* the counts under which it was found good */
    struct remembered *next, *newer, *older;
};

/* A session, or a user with a least version, whose tokens are refused. Oldest first in a queue. */
struct revocation {
    struct uuid subject;
    bool is_session;
    int64_t version_min;
    time_us at;
    struct revocation *next, *younger;
};

struct auth {
    struct lock lock; /* over all below but the configuration and the API keys */
    struct arena *arena;
    str issuer, audience, name;
    struct inner_keys inner;
    struct recent *vouched, *believed; /* inner tokens made, and checked, a moment ago */
    struct api_keys *api_keys;

    struct auth_key keys[AUTH_KEYS_MAX];
    size_t keys_count;
    int64_t keys_changes;

    struct remembered **buckets;
    size_t buckets_mask, tokens_count, tokens_max;
    struct remembered *newest, *oldest;

    struct revocation *revoked[REVOCATIONS_BUCKETS];
    struct revocation *revoked_first, *revoked_last, *revoked_free;
    size_t revoked_count;
    int64_t revocations_changes;
    time_us issued_after; /* tokens made until then are refused: their revocations had no room */

    int64_t reached_us;
};

/* ---- Revocations. All under the lock ---- */

static size_t uuid_bucket(struct uuid id)
{
    return (size_t)str_hash(str_of(id.bytes, sizeof id.bytes)) % REVOCATIONS_BUCKETS;
}

static struct revocation *revocation_find(struct auth *auth, struct uuid subject, bool is_session)
{
    struct revocation *at = auth->revoked[uuid_bucket(subject)];
    while (at && (at->is_session != is_session || !uuid_equal(at->subject, subject)))
        at = at->next;
    return at;
}

static void revocation_drop_oldest(struct auth *auth)
{
    struct revocation *oldest = auth->revoked_first;
    struct revocation **link = &auth->revoked[uuid_bucket(oldest->subject)];
    while (*link != oldest)
        link = &(*link)->next;
    *link = oldest->next;

    auth->revoked_first = oldest->younger;
    if (!auth->revoked_first)
        auth->revoked_last = NULL;
    auth->revoked_count--;
    oldest->next = auth->revoked_free;
    auth->revoked_free = oldest;
}

/* Drops what concerns no token any more; and, where there is no room, the oldest one together with
 * all tokens of its time: their owners refresh them, whoever was revoked cannot. */
static void revocations_make_room(struct auth *auth, time_us at)
{
    time_us gone = at - (TOKEN_LIFE_MAX_S + 2 * AUTH_LEEWAY_S) * TIME_SECOND;
    while (auth->revoked_first && auth->revoked_first->at < gone)
        revocation_drop_oldest(auth);

    if (auth->revoked_count == REVOCATIONS_MAX) {
        if (auth->issued_after < auth->revoked_first->at)
            auth->issued_after = auth->revoked_first->at;
        revocation_drop_oldest(auth);
    }
}

static void revocation_add(struct auth *auth, const struct revocation *new)
{
    struct revocation *node = auth->revoked_free;
    if (node)
        auth->revoked_free = node->next;
    else
        node = arena_new(auth->arena, struct revocation);

    struct revocation **bucket = &auth->revoked[uuid_bucket(new->subject)];
    *node = *new;
    node->next = *bucket;
    node->younger = NULL;
    *bucket = node;

    if (auth->revoked_last)
        auth->revoked_last->younger = node;
    else
        auth->revoked_first = node;
    auth->revoked_last = node;
    auth->revoked_count++;
}

void auth_revoke(struct auth *auth, struct uuid user, struct uuid session, int64_t version_min,
                 time_us at)
{
    ASSERT(auth);

    struct revocation new = { .subject = session, .is_session = true, .at = at };
    if (uuid_is_nil(session))
        new = (struct revocation){ .subject = user, .version_min = version_min, .at = at };

    lock_take(&auth->lock);
    auth->revocations_changes++;
    struct revocation *old = revocation_find(auth, new.subject, new.is_session);
    if (old) {
        old->at = old->at > at ? old->at : at;
        old->version_min = old->version_min > version_min ? old->version_min : version_min;
    } else {
        revocations_make_room(auth, at);
        revocation_add(auth, &new);
    }
    lock_drop(&auth->lock);
}

static bool is_revoked(struct auth *auth, const struct identity *who, time_us issued_at)
{
    if (issued_at <= auth->issued_after)
        return true;
    if (revocation_find(auth, who->session, true))
        return true;
    const struct revocation *user = revocation_find(auth, who->user, false);
    return user && who->version < user->version_min;
}

/* ---- Remembered tokens. All under the lock ---- */

static struct remembered **token_bucket(struct auth *auth, const struct sha256 *hash)
{
    uint64_t bits;
    memcpy(&bits, hash->bytes, sizeof bits);
    return &auth->buckets[bits & auth->buckets_mask];
}

static struct remembered *token_find(struct auth *auth, const struct sha256 *hash)
{
    struct remembered *at = *token_bucket(auth, hash);
    while (at && memcmp(at->hash.bytes, hash->bytes, sizeof hash->bytes) != 0)
        at = at->next;
    return at;
}

static void token_unlink_use(struct auth *auth, struct remembered *token)
{
    *(token->newer ? &token->newer->older : &auth->newest) = token->older;
    *(token->older ? &token->older->newer : &auth->oldest) = token->newer;
}

static void token_link_newest(struct auth *auth, struct remembered *token)
{
    token->newer = NULL;
    token->older = auth->newest;
    *(auth->newest ? &auth->newest->newer : &auth->oldest) = token;
    auth->newest = token;
}

/* A place for one more: a new one, or that of the token that was used longest ago. */
static struct remembered *token_place(struct auth *auth)
{
    if (auth->tokens_count < auth->tokens_max) {
        auth->tokens_count++;
        return arena_new(auth->arena, struct remembered);
    }
    struct remembered *oldest = auth->oldest;
    struct remembered **link = token_bucket(auth, &oldest->hash);
    while (*link != oldest)
        link = &(*link)->next;
    *link = oldest->next;
    token_unlink_use(auth, oldest);
    return oldest;
}

static void token_remember(struct auth *auth, const struct remembered *new)
{
    struct remembered *place = token_place(auth);
    struct remembered **bucket = token_bucket(auth, &new->hash);
    *place = *new;
    place->next = *bucket;
    *bucket = place;
    token_link_newest(auth, place);
}

enum token_known { TOKEN_UNKNOWN, TOKEN_GOOD, TOKEN_REFUSED };

/* Looks a token up; whether it was revoked is only asked again after something was. */
static enum token_known token_look_up(struct auth *auth, const struct sha256 *hash,
                                      struct identity *who)
{
    enum token_known known = TOKEN_UNKNOWN;
    lock_take(&auth->lock);
    struct remembered *token = token_find(auth, hash);
    if (token && token->keys_seen == auth->keys_changes) {
        *who = token->who;
        known = TOKEN_GOOD;
        if (token->revocations_seen != auth->revocations_changes) {
            if (is_revoked(auth, &token->who, token->issued_at))
                known = TOKEN_REFUSED;
            else
                token->revocations_seen = auth->revocations_changes;
        }
        if (auth->newest != token) {
            token_unlink_use(auth, token);
            token_link_newest(auth, token);
        }
    }
    lock_drop(&auth->lock);
    return known;
}

/* Remembers a token that has just been verified under the keys of `keys_seen`; tells whether it was
 * revoked. */
static enum token_known token_settle(struct auth *auth, struct remembered *new)
{
    lock_take(&auth->lock);
    bool revoked = is_revoked(auth, &new->who, new->issued_at);
    struct remembered *other = token_find(auth, &new->hash);
    if (other) {
        other->keys_seen = new->keys_seen;
    } else if (!revoked) {
        new->revocations_seen = auth->revocations_changes;
        token_remember(auth, new);
    }
    lock_drop(&auth->lock);
    return revoked ? TOKEN_REFUSED : TOKEN_GOOD;
}

static int64_t keys_changes_now(struct auth *auth)
{
    lock_take(&auth->lock);
    int64_t changes = auth->keys_changes;
    lock_drop(&auth->lock);
    return changes;
}

/* `*any` tells whether keys were ever told. */
static bool key_find(struct auth *auth, str kid, struct auth_key *out, bool *any)
{
    lock_take(&auth->lock);
    bool found = false;
    *any = auth->keys_changes > 0;
    for (size_t i = 0; i < auth->keys_count && !found; i++) {
        found = str_equal(str_of_z(auth->keys[i].kid), kid);
        if (found)
            *out = auth->keys[i];
    }
    lock_drop(&auth->lock);
    return found;
}

/* Verifies a token that nobody has shown before. Outside the lock: a signature takes some 40
 * microseconds. */
static err token_read(struct auth *auth, struct arena *arena, str token, time_us now,
                      struct token_claims *out)
{
    struct token_parts parts;
    struct auth_key key;
    bool any;
    TRY(token_split(arena, token, &parts));
    bool found = key_find(auth, parts.kid, &key, &any);
    if (!any)
        return fail(arena, AUTH_UNAVAILABLE, "no key was heard of from Users yet");
    if (!found)
        return fail(arena, TOKEN_INVALID, "its key is not one of ours");
    return token_verify(arena, &parts, key.public, auth->issuer, auth->audience, now, out);
}

/* ---- The face ---- */

/* A power of two that is at least the number of tokens. */
static size_t buckets_for(size_t tokens_max)
{
    size_t count = 64;
    while (count < tokens_max)
        count *= 2;
    return count;
}

struct auth *auth_open(const struct auth_config *config)
{
    ASSERT(config && config->tokens_max >= 0);
    ASSERT(config->issuer.len > 0 && config->audience.len > 0);
    ASSERT(config->inner.key.len == 0 || config->name.len > 0);

    size_t tokens_max = config->tokens_max ? (size_t)config->tokens_max : TOKENS_MAX;
    size_t buckets = buckets_for(tokens_max);
    struct arena *arena = arena_open(
        sizeof(struct auth) + config->issuer.len + config->audience.len + config->name.len +
        config->inner.key.len + config->inner.second.len + buckets * sizeof(void *) + 4096 +
        tokens_max * sizeof(struct remembered) + REVOCATIONS_MAX * sizeof(struct revocation));
    struct auth *auth = arena_new(arena, struct auth);
    lock_init(&auth->lock);
    auth->arena = arena;
    auth->issuer = str_copy(arena, config->issuer);
    auth->audience = str_copy(arena, config->audience);
    auth->name = str_copy(arena, config->name);
    auth->inner = (struct inner_keys){ .key = str_copy(arena, config->inner.key),
                                       .second = str_copy(arena, config->inner.second) };
    auth->buckets = arena_array(arena, struct remembered *, buckets);
    auth->buckets_mask = buckets - 1;
    auth->tokens_max = tokens_max;
    auth->reached_us = clock_mono_us();
    auth->api_keys = api_keys_open();
    struct recent_limits limits = { VOUCHED_MAX, VOUCHED_BYTES_MAX, INNER_LIFE_S * TIME_SECOND };
    auth->vouched = recent_open(limits);
    auth->believed = recent_open(limits);
    return auth;
}

void auth_close(struct auth *auth)
{
    if (!auth)
        return;
    recent_close(auth->believed);
    recent_close(auth->vouched);
    api_keys_close(auth->api_keys);
    lock_done(&auth->lock);
    arena_close(auth->arena);
}

static bool keys_equal(const struct auth_key *a, const struct auth_key *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!str_equal(str_of_z(a[i].kid), str_of_z(b[i].kid)) ||
            memcmp(a[i].public, b[i].public, ED25519_PUBLIC_BYTES) != 0)
            return false;
    return true;
}

void auth_set_keys(struct auth *auth, const struct auth_key *keys, size_t count)
{
    ASSERT(auth && (keys || count == 0));
    ASSERT(count <= AUTH_KEYS_MAX);

    lock_take(&auth->lock);
    if (count != auth->keys_count || !keys_equal(auth->keys, keys, count)) {
        for (size_t i = 0; i < count; i++)
            auth->keys[i] = keys[i];
        auth->keys_count = count;
        auth->keys_changes++; /* tokens of a key that is gone are verified again, and refused */
    }
    lock_drop(&auth->lock);
}

void auth_reached(struct auth *auth)
{
    ASSERT(auth);
    int64_t now_us = clock_mono_us();
    lock_take(&auth->lock);
    auth->reached_us = now_us;
    lock_drop(&auth->lock);
}

/* The token of an Authorization header (RFC 6750). */
static err bearer_of(struct arena *arena, str authorization, str *token)
{
    str rest = authorization;
    str scheme = str_cut(&rest, ' ');
    if (!str_equal_fold(scheme, STR("Bearer")) || rest.len == 0)
        return fail(arena, TOKEN_INVALID, "the Authorization header is not \"Bearer TOKEN\"");
    if (rest.len > TOKEN_BYTES_MAX)
        return fail(arena, TOKEN_INVALID, "the token is longer than %d bytes", TOKEN_BYTES_MAX);
    *token = rest;
    return OK;
}

static struct identity identity_of(const struct token_claims *claims)
{
    return (struct identity){ .known = true,
                              .user = claims->user,
                              .session = claims->session,
                              .version = claims->version,
                              .roles = claims->roles,
                              .email_verified = claims->email_verified,
                              .expires_at = claims->expires_at };
}

struct api_keys *auth_api_keys(struct auth *auth)
{
    ASSERT(auth);
    return auth->api_keys;
}

static err api_key_check(struct auth *auth, struct arena *arena, str secret, time_us now,
                         struct identity *who)
{
    struct sha256 digest;
    struct api_key_known key;
    TRY(api_key_digest(arena, secret, &digest));
    TRY(api_keys_find(auth->api_keys, arena, &digest, now, &key));
    *who = (struct identity){ .known = true,
                              .is_key = true,
                              .user = key.id,
                              .scopes = key.scopes,
                              .expires_at = key.expires_at };
    return OK;
}

err auth_check(struct auth *auth, struct arena *arena, str authorization, time_us now,
               struct identity *who)
{
    ASSERT(auth && arena && who);

    if (!authorization.ptr) {
        *who = (struct identity){ .known = false };
        return OK;
    }
    str token;
    TRY(bearer_of(arena, authorization, &token));
    if (api_key_is_meant(token))
        return api_key_check(auth, arena, token, now, who);

    struct identity found;
    struct sha256 hash = sha256_of(token);
    enum token_known known = token_look_up(auth, &hash, &found);
    if (known == TOKEN_UNKNOWN) {
        struct remembered new = { .hash = hash, .keys_seen = keys_changes_now(auth) };
        struct token_claims claims;
        TRY(token_read(auth, arena, token, now, &claims));
        found = new.who = identity_of(&claims);
        new.issued_at = claims.issued_at;
        known = token_settle(auth, &new);
    }
    TRY(token_check_expiry(arena, found.expires_at, now));
    if (known == TOKEN_REFUSED)
        return fail(arena, TOKEN_REVOKED, "its session has ended, or its account has changed");
    *who = found;
    return OK;
}

/* inner_open, once for a token that is shown again and again. */
static err open_inner(struct auth *auth, struct arena *arena, str token, str *payload)
{
    *payload = recent_look_text(auth->believed, arena, token);
    if (payload->ptr)
        return OK;
    TRY(inner_open(arena, &auth->inner, token, payload));
    recent_put_text(auth->believed, arena, token, *payload);
    return OK;
}

/* Tells whether another of our programs vouches for who makes the request. Where it only says
 * whence that comes, the client has to show a token itself, and hears what is wrong with it. */
static bool is_vouched_for(struct auth *auth, struct request *request, str audience, time_us now,
                           struct identity *who)
{
    str token = request_header(request, STR(INNER_HEADER));
    struct inner_claims claims;
    if (!token.ptr || auth->inner.key.len == 0)
        return false;
    str payload;
    err error = open_inner(auth, request->arena, token, &payload);
    if (error == OK)
        error = inner_read(request->arena, payload, audience, now, &claims);
    if (error != OK) {
        LOG(LOG_WARN, "inner.refused", LOG_TEXT("peer", request->peer_address),
            LOG_TEXT("error", err_describe(request->arena, error)));
        return false;
    }
    if (claims.client_address.len > 0)
        request->client_address = claims.client_address;
    *who = claims.who;
    return who->known;
}

err auth_identify(struct auth *auth, struct request *request, str audience, time_us now,
                  struct identity *who)
{
    ASSERT(auth && request && who);
    err error = is_vouched_for(auth, request, audience, now, who)
                    ? OK
                    : auth_check(auth, request->arena,
                                 request_header(request, STR("authorization")), now, who);
    if (who->known && !who->neighbour && !request->user_hash[0])
        request_note_user(request, who->user);
    return error;
}

bool auth_vouches(const struct auth *auth)
{
    ASSERT(auth);
    return auth->inner.key.len > 0;
}

str auth_vouch(struct auth *auth, struct arena *arena, str audience, const struct identity *who,
               str client_address)
{
    ASSERT(auth && arena && who);
    if (auth->inner.key.len == 0)
        return STR_NONE;
    time_us now = clock_wall_us(), step = now - now % (VOUCHED_STEP_S * TIME_SECOND);
    struct inner_claims claims = { .audience = audience,
                                   .caller = auth->name,
                                   .who = *who,
                                   .client_address = client_address,
                                   .expires_at = step + INNER_LIFE_S * TIME_SECOND };
    str said = inner_claims_key(arena, &claims);
    str token = recent_look_text(auth->vouched, arena, said);
    if (!token.ptr) {
        token = inner_sign(arena, &auth->inner, inner_payload(arena, &claims));
        recent_put_text(auth->vouched, arena, said, token);
    }
    return token;
}

/* Nothing known of Users for so long that a role may have been taken away unheard. */
static err staff_check(struct auth *auth, struct arena *arena)
{
    int64_t now_us = clock_mono_us();
    lock_take(&auth->lock);
    int64_t away_us = now_us - auth->reached_us;
    lock_drop(&auth->lock);

    if (away_us > USERS_AWAY_MAX_S * TIME_SECOND)
        return fail(arena, AUTH_UNAVAILABLE, "nothing has been heard of Users for %lld s",
                    (long long)(away_us / TIME_SECOND));
    return OK;
}

struct auth_state auth_state_of(struct auth *auth)
{
    ASSERT(auth);
    int64_t now_us = clock_mono_us();
    lock_take(&auth->lock);
    struct auth_state state = {
        .keys = (int)auth->keys_count,
        .vouches = auth_vouches(auth),
        .is_stale = now_us - auth->reached_us > USERS_AWAY_MAX_S * TIME_SECOND,
    };
    lock_drop(&auth->lock);
    return state;
}

static err role_check(struct auth *auth, struct arena *arena, const struct identity *who,
                      unsigned roles)
{
    if (who->operator_)
        return OK;
    if (!who->known)
        return fail(arena, TOKEN_MISSING, "the call came without an access token");
    if (!(who->roles & roles))
        return fail(arena, ROLE_MISSING, "the account does not have the role");
    return staff_check(auth, arena);
}

static bool has_scope(const struct identity *who, const struct call_spec *call)
{
    return call && call->scope != 0 && (who->scopes & scope_bit(call->scope)) != 0;
}

void auth_take_scope(struct identity *who, const struct call_spec *call)
{
    ASSERT(who && call);
    if (who->is_key)
        who->roles = has_scope(who, call) ? ROLE_BIT_STAFF : 0;
}

/* A key is nobody's customer, and no admin. */
static err scope_check(struct auth *auth, struct arena *arena, enum access access,
                       const struct call_spec *call, const struct identity *who)
{
    if (!call || call->scope == 0 || access == ACCESS_ADMIN)
        return fail(arena, SCOPE_MISSING, "no API key may make this call: it is for people");
    if (!has_scope(who, call))
        return fail(arena, SCOPE_MISSING, "the API key does not have the scope %s",
                    call->scope_word);
    return staff_check(auth, arena);
}

err auth_allow(struct auth *auth, struct arena *arena, enum access access,
               const struct call_spec *call, const struct identity *who)
{
    ASSERT(auth && arena && who);

    bool is_for_people =
        access == ACCESS_CUSTOMER || access == ACCESS_STAFF || access == ACCESS_ADMIN;
    if (who->is_key && is_for_people)
        return scope_check(auth, arena, access, call, who);
    switch (access) {
    case ACCESS_ANYONE: return OK;
    case ACCESS_CUSTOMER:
        if (!who->known)
            return fail(arena, TOKEN_MISSING, "the call came without an access token");
        return OK;
    case ACCESS_STAFF: return role_check(auth, arena, who, ROLE_BIT_STAFF | ROLE_BIT_ADMIN);
    case ACCESS_ADMIN: return role_check(auth, arena, who, ROLE_BIT_ADMIN);
    case ACCESS_NEIGHBOUR:
        if (!who->neighbour)
            return fail(arena, NOT_FOUND, "this call is for neighbours");
        return OK;
    case ACCESS_OPERATOR:
        if (!who->operator_)
            return fail(arena, NOT_FOUND, "this call is for the operator");
        return OK;
    }
    panic(ERR_PLACE, "an access that the contract does not have", __func__);
}
