/* Calls over HTTP to others, by libcurl (its only room): blocking, several at once, connections
 * kept. For what is rare or has a thread of its own: brokers that speak HTTP, pushes. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

enum { FETCH_HEADERS_MAX = 20, FETCH_AT_ONCE_MAX = 16, FETCH_BODY_BYTES_MAX = 16 * 1024 * 1024 };

struct fetch_header {
    const char *name;
    str value; /* without CR and LF */
};

struct fetch_request {
    const char *method; /* "POST" */
    str url;
    struct fetch_header headers[FETCH_HEADERS_MAX];
    int headers_count;
    str body;
    int timeout_ms; /* for all of it */
};

struct fetch_answer {
    int status; /* 0: there was none, and error says why */
    str body;
    err error;
};

/* Where nothing is set: the system's CAs, no certificate of our own. */
struct fetch_config {
    const char *ca, *cert, *key;    /* paths of PEM files, or NULL */
    bool (*give_up)(void *subject); /* asked every 200 ms at least; NULL: never */
    void *subject;
};

/* What libcurl needs once in a process. */
void fetch_prepare(void);

struct fetch;

/* One for each thread. */
struct fetch *fetch_open(const struct fetch_config *config);
void fetch_close(struct fetch *fetch); /* accepts NULL */

/* Asks all at once and waits for all answers: of those that got none error is UPSTREAM_UNAVAILABLE
 * with the reason. No redirects are followed. */
void fetch_all(struct fetch *fetch, struct arena *arena, const struct fetch_request *requests,
               struct fetch_answer *answers, size_t count);

/* Asks one. Fails with UPSTREAM_UNAVAILABLE. */
err fetch_one(struct fetch *fetch, struct arena *arena, const struct fetch_request *request,
              struct fetch_answer *out);
