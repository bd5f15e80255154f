/* Calls to a neighbour: inline through its dispatch in one process (deadline and authorization
 * included), by gRPC over an upstream apart. Generated clients (gen/X_client.h) put types on this.
 */
#pragma once
#include "chassis/call.h"

struct client;
struct header;
struct upstream;

/* A client of a service in this process. The caller closes it. */
struct client *client_open_inline(struct service *neighbour);

enum { CLIENT_ADDED_MAX = 8 };

struct client_remote {
    struct upstream *upstream; /* stays while the client is open */
    int calls_max;             /* at once: half the workers, so that the rest can do without it */
    int waiting_max;           /* calls without a worker that wait for one of those to end */
    /* Headers that tell who calls: names in lower case, strings in `arena`. On the caller's thread.
     * May be NULL. */
    int (*add_headers)(void *self, const struct call *caller, struct arena *arena,
                       struct header added[CLIENT_ADDED_MAX]);
    void *self;
};

/* A client of a service in other processes. The caller closes it, when nobody calls any more. */
struct client *client_open_remote(const struct client_remote *remote);

/* The way to a service that a simulator makes: `call` is client_call. */
struct client_way {
    void *self;
    err (*call)(void *self, struct call *caller, const struct call_spec *spec, const void *in,
                const void **out);
};
struct client *client_open_way(const struct client_way *way);

void client_close(struct client *client); /* accepts NULL */

/* What a test does to inline calls: it may also sleep on the way. Nothing here is for programs. */
enum client_fate { CLIENT_GOES, CLIENT_AWAY, CLIENT_ANSWER_LOST };
struct client_faults {
    void *self;
    enum client_fate (*fate)(void *self, const struct call_spec *spec);
};

/* From now on, for all clients of this process; NULL takes them back. */
void client_use_faults(const struct client_faults *faults);

/* Calls and waits for the answer, at most until the caller's deadline; a snapshot that the caller
 * has ends before, if it is to wait. `*out` lives in the caller's arena. Fails with the neighbour's
 * error, CALL_DEADLINE, UPSTREAM_UNAVAILABLE (nobody could be asked, or too many wait for it
 * already; a request's call then waits for its turn without a thread, and runs again: see places.h)
 * or UPSTREAM_FAILED. Only calls that read; never inside a transaction, nor on a loop. */
err client_call(struct client *client, struct call *caller, const struct call_spec *spec,
                const void *in, const void **out);
