/* The gateway: the public door. Routes, authentication and roles by route, rate limits, request ids, the access log. No business
 * code, no database. The one header of this service that apps/ may include. */
#pragma once
#include "chassis/http.h"
#include "chassis/service.h"

/* Where a route may lead: a service of this process, by name ("local:orders"). */
struct gateway_local {
    const char *name;
    struct service *service;
};

struct gateway;

/* Reads the routes (ROUTES_FILE, or the built-in ones). Fails with SETTING_INVALID: file, line, what is allowed. */
err gateway_open(struct arena *arena, const struct house *house, struct loop *loop, const struct gateway_local *locals,
                 int locals_count, struct gateway **out);

/* Opens the public door (LISTEN_ADDR). Fails with ADDRESS_TAKEN. */
err gateway_listen(struct gateway *self, struct arena *arena);

/* Reads the routes again; on a mistake the old ones stay and the error says why. */
err gateway_reload(struct gateway *self, struct arena *arena);

struct http_server *gateway_server(struct gateway *self);

/* The handler of the public door, for tests without a socket. */
void gateway_handle(struct gateway *self, struct request *request);
void gateway_close(struct gateway *self); /* accepts NULL */
