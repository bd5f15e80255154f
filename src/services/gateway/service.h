/* The gateway: the public door. Routes, authentication and roles by route, rate limits, request
 * ids, the access log, the pages of the API's documentation. No business code, no database. The one
 * header of this service that apps/ may include.
 *
 * All on the loop's thread. */
#pragma once
#include "chassis/flights.h"
#include "chassis/http.h"
#include "chassis/service.h"
#include "chassis/upstream.h"

/* Where a route may lead: a service by name ("orders" for "service:orders"), in this process or in
 * others. One gateway has all of its services in its process, or none. */
struct gateway_target {
    const char *name;
    struct service *service;   /* NULL: it is elsewhere */
    struct upstream *upstream; /* then: the way there, which vouches for the struct identity that it
                                  finds in request->call */
    const struct call_spec *const *calls;
    int calls_count;
};

struct gateway;

/* Reads the routes (ROUTES_FILE, or the built-in ones) and TRUSTED_PROXIES. Fails with
 * SETTING_INVALID: file, line, what is allowed; with OS_FAILED where the file cannot be read. */
err gateway_open(struct arena *arena, const struct house *house, struct loop *loop,
                 const struct gateway_target *targets, int targets_count, struct gateway **out);

/* Opens the public door (LISTEN_ADDR). Fails with ADDRESS_TAKEN. */
err gateway_listen(struct gateway *self, struct arena *arena);

/* Reads the routes again; on a mistake the old ones stay and the error says why. */
err gateway_reload(struct gateway *self, struct arena *arena);

/* The public door, for draining, ports and counts; NULL before gateway_listen and after its end. */
struct http_server *gateway_server(struct gateway *self);

/* Not ready any more: every answer ends its connection, and who watches its health hears so. */
void gateway_drain(struct gateway *self);

/* Closes the public door as http_close does; `closed` is told on the loop. Where it was never
 * opened, it is told at once. */
void gateway_stop(struct gateway *self, uint32_t grace_ms, void (*closed)(void *subject),
                  void *subject);

/* The handler of the public door, for tests without a socket. */
void gateway_handle(struct gateway *self, struct request *request);

/* For the operators' pages: what it has passed on to other processes and has no answer to yet (what
 * stays in this one is told by its services), and the nth of the ways that its routes name by URL,
 * NULL where there are no more. */
struct flights *gateway_flights(struct gateway *self);
const struct upstream *gateway_way(const struct gateway *self, int nth);

/* Frees it, after gateway_stop. Accepts NULL. */
void gateway_close(struct gateway *self);
