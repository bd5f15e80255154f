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
    str status, payment, reason;
    int64_t total_minor, captured_minor, refunded_minor;
    struct orders_book_line *lines; /* by SKU */
    size_t lines_count;
};

/* A page of orders behind `after` (nil: from the first), by id. */
err orders_read_books(struct db_reader *reader, struct arena *arena, struct uuid after,
                      int32_t rows_max, struct orders_book **out, size_t *count);
