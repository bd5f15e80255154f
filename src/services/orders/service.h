/* Orders: placing, paying, shipping, cancelling, history. The one header of this service that apps/
 * may include. */
#pragma once
#include "chassis/service.h"

struct orders;

/* Brings its database up to what this program knows; `*applied` is how many migrations that took.
 */
err orders_migrate(struct arena *arena, const struct conf *conf, int *applied);

/* Opens the database and the payment providers. `users` and `products` are asked for addresses and
 * unknown prices; orders owns them from then on. Fails with what db_open fails with. */
err orders_open(struct arena *arena, const struct house *house, struct client *users,
                struct client *products, struct orders **out);
struct service *orders_service(struct orders *self);

/* The database of the simulated payment provider: for backups. */
struct db *orders_simulator_db(struct orders *self);
void orders_start(struct orders *self);
void orders_stop(struct orders *self);
void orders_close(struct orders *self); /* accepts NULL */

/* ---- the books, as their rows say them: for dukactl check ---- */

struct orders_book_line {
    str sku; /* lines of one SKU together */
    int64_t quantity, shipped, total_minor;
};
struct orders_book {
    struct uuid id;
    str status, payment, provider, reason;
    int64_t total_minor, captured_minor, refunded_minor;
    bool job_due;                   /* a call to the provider is */
    struct orders_book_line *lines; /* by SKU */
    size_t lines_count;
};

/* A page of orders behind `after` (nil: from the first), by id. */
err orders_read_books(struct db_reader *reader, struct arena *arena, struct uuid after,
                      int32_t rows_max, struct orders_book **out, size_t *count);

/* The call to a provider that is due for an order, if one is. */
struct orders_job_book {
    str kind;
    int32_t tries;
    time_us due_at, since;
};
err orders_read_job(struct db_reader *reader, struct arena *arena, struct uuid order,
                    struct orders_job_book *out, bool *found);

/* What there is to tell of one order: messages of orders_order_spec and orders_timeline_spec,
 * without its buyer's and the staff's names, addresses and words. */
struct orders_life {
    const void *order, *timeline;
    str trace_id; /* where it was placed; empty where spans were not recorded */
};
err orders_read_life(struct db_reader *reader, struct arena *arena, struct uuid id,
                     struct orders_life *out, bool *found);

/* Whether there is such an order. */
err orders_has(struct db_reader *reader, struct arena *arena, struct uuid id, bool *found);

/* ---- the simulated provider's own books (of orders_simulator_schema) ---- */

struct orders_payment_book {
    struct uuid id; /* the order's */
    int64_t amount_minor;
    str state; /* authorized, captured, declined, voided, refunded, pending, unknown */
};

/* What the provider knows of a payment. */
err orders_read_payment(struct db_reader *reader, struct arena *arena, struct uuid id,
                        struct orders_payment_book *out, bool *found);

/* A page of the payments that hold money, behind `after` (nil: from the first), by id. */
err orders_read_payments_held(struct db_reader *reader, struct arena *arena, struct uuid after,
                              int32_t rows_max, struct orders_payment_book **out, size_t *count);
