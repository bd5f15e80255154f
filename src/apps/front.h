/* The public door of a shop as its other doors see it: the gateway in a table, so that a program
 * without one links nothing of it, and a change of the gateway is none of the services' programs.
 */
#pragma once
#include "apps/shop.h"

struct flights;
struct gateway;
struct http_server;
struct upstream;

struct front {
    /* Opens it for the services of the shop, here or elsewhere, at LISTEN_ADDR. Fails with
     * ADDRESS_TAKEN or SETTING_INVALID; `out` may be set then, and is to be closed. */
    err (*open)(struct arena *arena, struct shop *shop, struct loop *loop, struct gateway **out);
    /* The rest is what services/gateway/service.h tells of each. */
    struct http_server *(*server)(struct gateway *self);
    err (*reload)(struct gateway *self, struct arena *arena);
    void (*drain)(struct gateway *self);
    void (*stop)(struct gateway *self, uint32_t grace_ms, void (*closed)(void *subject),
                 void *subject);
    void (*close)(struct gateway *self);
    struct flights *(*flights)(struct gateway *self);
    const struct upstream *(*way)(const struct gateway *self, int nth);
};

/* The gateway: named by the programs that have it. */
extern const struct front front_gateway;
