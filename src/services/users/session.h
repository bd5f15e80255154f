/* A session: a log-in and the chain of refresh tokens that keeps it alive. Pure.
 *
 * A refresh token is 32 random bytes that only the client keeps; we keep their SHA-256. Each is
 * used once: it is spent for the next one. One that comes again was stolen, by whoever came first
 * or by whoever comes now; the session ends. */
#pragma once
#include "base/crypto.h"
#include "base/time.h"
#include "base/uuid.h"

enum {
    REFRESH_TOKEN_BYTES = 32,
    SESSIONS_MAX = 100, /* of one account; a new one ends the oldest */
    SESSION_AGENT_BYTES_MAX = 200,
};

struct session {
    struct uuid id, user;
    str user_agent; /* of the log-in; empty where there was none */
    time_us created_at;
    time_us used_at;    /* the log-in or the latest refresh */
    time_us expires_at; /* without a refresh */
};

/* What is known of a refresh token that was shown. */
struct refresh {
    struct uuid session, user;
    time_us expires_at;
    time_us spent_at;         /* 0: not yet */
    time_us session_ended_at; /* 0: not yet */
};

enum refresh_verdict {
    REFRESH_GOOD,
    REFRESH_GONE,   /* expired, or its session has ended: refused */
    REFRESH_REUSED, /* spent before: refused, and the session ends */
};

/* Tokens of the session, or where it is nil of the user below version_min, are refused. */
struct revocation {
    int64_t position; /* each has a greater one than those before */
    struct uuid user, session;
    int64_t version_min;
    time_us at;
};

/* What is kept of a User-Agent header: its beginning; nothing of what is no text. */
str session_agent_of(str header);

/* A session that begins now. */
struct session session_begin(struct uuid id, struct uuid user, time_us now, time_us ttl);

/* What a refresh token is worth now. */
enum refresh_verdict refresh_judge(const struct refresh *refresh, time_us now);

/* The text of a refresh token for its bytes. */
str refresh_token_of(struct arena *arena, const uint8_t bytes[REFRESH_TOKEN_BYTES]);

/* What is kept of a token that was shown; false if it is none. */
bool refresh_token_hash(struct arena *arena, str token, struct sha256 *out);
