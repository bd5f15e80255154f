/* A service in other processes: requests go to it over HTTP/2 as service_handle would take them in
 * this one.
 *
 * An upstream has one connection to each address that its hosts' names have (asked of DNS again and
 * again), spreads requests over them, and leaves out for a while those that fail. A request that
 * has surely not begun anywhere is sent again; one that has, only where that does no harm (GET,
 * HEAD, an Idempotency-Key, request->repeatable), and of those only so many as the budget allows.
 *
 * It belongs to a loop. All on the loop's thread, but for upstream_forward, which any may call. */
#pragma once
#include "chassis/conf.h"
#include "chassis/request.h"
#include "chassis/upstream_fields.h"
#include "os/dns.h"

struct upstream;
struct loop;
struct tls_context;

struct upstream_config {
    const char *name;        /* of logs and metrics: "orders"; copied */
    str url;                 /* see upstream_url.h; copied */
    const char *setting;     /* that has it, for errors */
    const struct conf *conf; /* UPSTREAM_…; stays while the upstream is open */
    struct tls_context *tls; /* by tls_files_open_client; shared; NULL: no https */
    /* Headers that are to be sent besides (who calls): at most UPSTREAM_ADDED_MAX, names in lower
     * case, strings in the request's arena. On the loop, before each sending. May be NULL. */
    int (*add_headers)(void *self, const struct request *request,
                       struct header added[UPSTREAM_ADDED_MAX]);
    void *self;
};

/* Opens it; nobody is asked before the first request. Fails with SETTING_INVALID. */
err upstream_open(struct arena *arena, struct loop *loop, const struct upstream_config *config,
                  struct upstream **out);

/* Closes its connections. Requests under way are answered with UPSTREAM_UNAVAILABLE. On the loop,
 * or when that runs no more. Accepts NULL. */
void upstream_close(struct upstream *upstream);

/* New connections are made under this context from now on (shared). */
void upstream_use_tls(struct upstream *upstream, struct tls_context *tls);

/* Sends a request that is complete (request_identify was called), and answers it by
 * request_respond: with the service's answer (in pieces where it is long), or with
 *     UPSTREAM_UNAVAILABLE (503, Retry-After): nobody could be asked,
 *     UPSTREAM_FAILED (502): whoever was asked broke off, or answered what cannot be read,
 *     CALL_DEADLINE (504): nothing came until request->deadline_us (UPSTREAM_TIMEOUT where none was
 *     said; grpc-timeout, where it is sooner).
 * Of gRPC, status, words and details are those of the answer. Any thread, but for a request whose
 * transport takes answers in pieces: then its transport runs on the upstream's loop. */
void upstream_forward(struct upstream *upstream, struct request *request);

/* The head of a request is there, and a long body will come: it goes on piece by piece from now on
 * (sets request->stream); upstream_forward, when all of it has come, tells the answer. Never sent
 * twice. On the loop's thread, which is the transport's. */
void upstream_stream(struct upstream *upstream, struct request *request);

/* The request's body goes to an upstream piece by piece (upstream_stream). */
bool upstream_has_stream(const struct request *request);

/* No request of it is under way. */
bool upstream_is_idle(const struct upstream *upstream);

/* The loop that it belongs to. */
struct loop *upstream_loop(const struct upstream *upstream);

/* Somebody could be asked now: a connection stands, or none was wanted yet. For probes. Any thread.
 */
bool upstream_ready(const struct upstream *upstream);

/* How it stands, for pages: on the loop. */
struct upstream_state {
    const char *name;
    int requests, waiting; /* under way; and those of them that have no connection yet */
};
struct upstream_peer_state {
    const char *address;
    int connections, failures; /* failures in a row */
    int64_t paused_ms;         /* for how long it is left alone from now on; 0: it is not */
};

/* Fills in the addresses that DNS names, at most `max`; gives how many. They are borrowed. */
int upstream_state_of(const struct upstream *upstream, struct upstream_state *state,
                      struct upstream_peer_state *peers, int max);
