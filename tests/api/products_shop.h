/* Products alone, inline, for its api tests: a fresh database, clients for anyone, a customer and
 * staff, a bus that takes the events of Orders from the test and shows it what Products announces.
 */
#pragma once
#include "gen/orders.h"
#include "gen/products.h"
#include "services/products/service.h"
#include "tests/lib/inline.h"

enum { ANNOUNCED_MAX = 4096 };

struct announced {
    str type, key, payload;
    int64_t number;
};

struct products_shop {
    struct test *t;
    struct house *house;
    struct products *products;
    struct inline_client anyone, customer, staff;
    struct lock lock; /* over what follows: the bus has threads of its own */
    struct arena *arena;
    struct announced *announced;
    size_t announced_count, acked_count;
};

/* Opens Products with settings ("NAME=value", ended by NULL, or NULL). Closed when the test ends.
 */
struct products_shop *products_shop_open(struct test *t, const char *const *settings);

/* The same without a bus that runs: it can be restarted. */
struct products_shop *products_shop_open_alone(struct test *t, const char *const *settings);

/* Closes and opens it again on the same data, as a restart does. */
void products_shop_restart(struct products_shop *shop);

/* Closes it before the test ends, so that another can open the same data. */
void products_shop_close(struct products_shop *shop);

/* Makes a product of JSON as staff; must succeed. */
struct answer_seen products_shop_create(struct products_shop *shop, const char *json);

/* An active product with one variant: the handle is its SKU. */
void products_shop_stock(struct products_shop *shop, const char *sku, int on_hand);

/* PATCH and DELETE with the ETag that GET gives now. */
struct answer_seen products_shop_patch(struct products_shop *shop, const char *target,
                                       const char *json);
struct answer_seen products_shop_delete(struct products_shop *shop, const char *target);

/* ---- events ---- */

struct line_of_order {
    const char *sku;
    int quantity;
};

/* Messages of Orders; lines end with a SKU that is NULL. */
Orders__OrderPlaced *order_placed(struct test *t, struct uuid order, int64_t number,
                                  const struct line_of_order *lines);
Orders__OrderClosed *order_closed(struct test *t, struct uuid order, int64_t number);
Orders__OrderShipped *order_shipped(struct test *t, struct uuid order, int64_t number,
                                    const struct line_of_order *lines);
Orders__OrderReturned *order_returned(struct test *t, struct uuid order, int64_t number,
                                      const struct line_of_order *lines);

struct sent_event {
    const struct event_spec *spec;
    const void *message;
};

/* Publishes events at once and waits until Products has acked them all. */
void products_shop_send(struct products_shop *shop, const struct sent_event *events, size_t count);
void products_shop_send_one(struct products_shop *shop, const struct event_spec *spec,
                            const void *message);

/* The same for an event that was announced at that time. */
void products_shop_send_old(struct products_shop *shop, const struct sent_event *event, time_us at);

/* Waits for what Products announces under a key with a number; its message. */
const void *products_shop_hears(struct products_shop *shop, const struct event_spec *spec, str key,
                                int64_t number);

/* Whether it was announced by now. */
bool products_shop_heard(struct products_shop *shop, const struct event_spec *spec, str key,
                         int64_t number);

/* ---- stock ---- */

struct units {
    int64_t on_hand, reserved, available;
};
struct units products_shop_units(struct products_shop *shop, const char *sku);

/* Checks on_hand = the sum of the ledger, and each entry's on_hand_after. */
void products_shop_check_ledger(struct products_shop *shop, const char *sku);
