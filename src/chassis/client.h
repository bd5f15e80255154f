/* Calls to a neighbour: inline through its dispatch in one process (deadline and authorization
 * included), by gRPC apart. Generated clients (gen/X_client.h) put types on this. */
#pragma once
#include "chassis/call.h"

struct client;

/* A client of a service in this process. The caller closes it. */
struct client *client_open_inline(struct service *neighbour);
void client_close(struct client *client); /* accepts NULL */

/* What a test does to inline calls: it may also sleep on the way. Nothing here is for programs. */
enum client_fate { CLIENT_GOES, CLIENT_AWAY, CLIENT_ANSWER_LOST };
struct client_faults {
    void *self;
    enum client_fate (*fate)(void *self, const struct call_spec *spec);
};

/* From now on, for all clients of this process; NULL takes them back. */
void client_use_faults(const struct client_faults *faults);

/* Calls and waits for the answer, at most until the caller's deadline. `*out` lives in the caller's
 * arena. Fails with the neighbour's error, CALL_DEADLINE or UPSTREAM_UNAVAILABLE. Only calls that
 * read. */
err client_call(struct client *client, struct call *caller, const struct call_spec *spec,
                const void *in, const void **out);
