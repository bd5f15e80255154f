/* The whole shop without its doors: users, products, orders, their bus, workers and token checks.
 * What the programs, the api tests and the simulator open; sockets and signals are duka.c's. */
#pragma once
#include "services/orders/service.h"
#include "services/products/service.h"
#include "services/users/service.h"

struct shop {
    struct arena *arena;
    struct house house;
    struct users *users;
    struct products *products;
    struct orders *orders;
    bool started;
};

/* Opens everything on DATA_DIR, in order; nothing runs yet but workers and writers. `faults` (may
 * be NULL) are the bus's, for tests. Fails with what the services' opens fail with. The settings
 * must live as long as the shop. */
err shop_open(struct arena *arena, const struct conf *conf, const struct bus_faults *faults,
              struct shop **out);

/* How many migrations each service's database has got. */
struct migrated {
    int users, products, orders;
};

/* Brings the databases of all services up to what this program knows. */
err shop_migrate(struct arena *arena, const struct conf *conf, struct migrated *out);

/* Makes what all services need at the broker that BUS_URL names. Fails with BUS_UNAVAILABLE,
 * BUS_REFUSED, or SETTING_INVALID. */
err shop_bus_setup(struct arena *arena, const struct conf *conf);

/* Starts the bus, relays, timers and lanes. */
void shop_start(struct shop *shop);

/* Answers waiting calls as things stand and stops all that runs by itself. Calls under way still
 * end. */
void shop_stop(struct shop *shop);

/* After shop_stop, and after the last call was answered. Accepts NULL, and a shop that was never
 * started. */
void shop_close(struct shop *shop);

/* The service of that name ("users", "products", "orders"), or NULL. */
struct service *shop_service(struct shop *shop, str name);
