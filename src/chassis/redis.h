/* Redis: one script over one connection, many calls at a time; the protocol is hiredis's, which
 * lives here only, the connection fetch_pipe's. Blocking; for a thread of its own. */
#pragma once
#include "base/err.h"

enum { REDIS_ARGUMENTS_MAX = 4, REDIS_NUMBERS_MAX = 3, REDIS_CALLS_MAX = 128 };

struct redis_config {
    str url;            /* redis(s)://[user[:password]@]host[:port][/database] */
    str user, password; /* win over those in the URL; empty: none */
    str ca, cert, key;  /* paths of PEM files; empty: the system's CAs, no certificate of ours */
    int timeout_ms;     /* for a connection, and for all calls of a time */
    const char *script; /* Lua; each call gives an array of REDIS_NUMBERS_MAX integers */
};

/* A call of the script with one key. */
struct redis_call {
    str key;
    int64_t arguments[REDIS_ARGUMENTS_MAX];
    int64_t numbers[REDIS_NUMBERS_MAX]; /* what it gave */
};

struct redis;

/* Nothing is connected yet. Fails with SETTING_INVALID where the URL cannot be read. The
 * configuration is copied; the caller closes. */
err redis_open(struct arena *arena, const struct redis_config *config, struct redis **out);

/* Makes all calls (at most REDIS_CALLS_MAX; none: only sees that it is there), connecting where it
 * is not connected. Fails with UPSTREAM_UNAVAILABLE: the connection is closed, and what the calls
 * did is not known. */
err redis_run(struct redis *redis, struct arena *arena, struct redis_call *calls, size_t count);

void redis_close(struct redis *redis); /* accepts NULL */
