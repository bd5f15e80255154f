/* The inside of Orders, for service.c, api.c, reactions.c and jobs.c. Nobody else includes this. */
#pragma once
#include "chassis/lanes.h"
#include "chassis/obs.h"
#include "chassis/recent.h"
#include "chassis/sweeper.h"
#include "services/orders/providers/simulator.h"
#include "services/orders/service.h"
#include "services/orders/store.h"

enum {
    PROVIDERS_MAX = 4,
    ORDER_BYTES_MAX = 2048, /* of an order, and of a price, that is kept in memory */
    PRICE_BYTES_MAX = 512,
};

struct orders {
    struct arena *arena;
    const struct house *house;
    struct service *service;
    struct client *users, *products;
    struct provider providers[PROVIDERS_MAX];
    int providers_count;
    struct simulator *simulator;
    struct recent *recent; /* orders that were saved last */
    struct recent *prices; /* that were read last */
    struct lanes *lanes;
    struct timer *payments;
    int64_t hold_us, payment_timeout_us, forget_again_us, return_us;
    struct swept swept[3];
    bool capture_at_confirm;
    bool needs_verified_email;
    time_us swept_to; /* how far payments without an order have been looked for */
    struct series *reached[ORDER_CANCELLED + 1];
    struct series *settle_time, *holds_expired;
    struct series *asked_time[PROVIDERS_MAX];
    struct series *answered[PROVIDERS_MAX][KNOWN_REFUNDED + 1]; /* by provider, by what it said */
};

/* The provider of that name; NULL for "manual" and for one that the shop does not have. */
const struct provider *orders_provider(const struct orders *self, str name);

/* Reads an order to move it. Fails with NOT_FOUND. */
err orders_load(struct orders *self, struct call *call, struct uuid id, struct order_save *out);

/* The same for reactions and payment jobs, from what was saved last where that is at hand
 * (chassis/recent.h). */
err orders_load_recent(struct orders *self, struct call *call, struct uuid id,
                       struct order_save *out);

/* Hands a moved order over: its rows, the events that it announces, the payment job that is due,
 * and the answer of the call that placed it, if it has settled. Without moves nothing but the
 * callback's id is written. */
err orders_hand_over(struct orders *self, struct call *call, struct order_save *save,
                     write_batch *batch);

/* The order as it stands, with its parcels: for answers. */
err orders_view(struct call *call, const struct order *order, const void **message);

/* ---- jobs.c ---- */

/* What a payment lane does with an order: asks the provider for what is due, and saves what the
 * payment is. */
err orders_run_payment(void *self, struct call *call, struct uuid order);

/* Timers: see service.c. */
err orders_give_due_payments(void *self, struct call *call);
err orders_expire_holds(void *self, struct call *call);
err orders_send_callbacks(void *self, struct call *call);
err orders_sweep_orphans(void *self, struct call *call);
err orders_forget_people(void *self, struct call *call);
