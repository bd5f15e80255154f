/* Products: catalog and inventory. The one header of this service that apps/ may include. */
#pragma once
#include "chassis/service.h"

struct products;

/* Brings its database up to what this program knows; `*applied` is how many migrations that took.
 */
err products_migrate(struct arena *arena, const struct conf *conf, int *applied);

/* Opens the database. Fails with what db_open fails with. */
err products_open(struct arena *arena, const struct house *house, struct products **out);
struct service *products_service(struct products *self);
void products_start(struct products *self);
void products_stop(struct products *self);
void products_close(struct products *self); /* accepts NULL */

/* ---- the books, as their rows say them: for dukactl check ---- */

struct products_book_hold {
    str sku;
    int64_t quantity, shipped, returned, released;
};
struct products_book {
    struct uuid order_id;
    str state;                        /* reserved, refused, closed */
    struct products_book_hold *holds; /* by SKU */
    size_t holds_count;
};

/* A page of reservations behind `after` (nil: from the first), by order. */
err products_read_books(struct db_reader *reader, struct arena *arena, struct uuid after,
                        int32_t rows_max, struct products_book **out, size_t *count);

/* What is known of one order's wish for stock, if anything is. */
err products_read_book(struct db_reader *reader, struct arena *arena, struct uuid order,
                       struct products_book *out, bool *found);

struct products_stock_book {
    str sku;
    int64_t on_hand, reserved, ledger_sum, ledger_last;
};

/* A page of stock behind `after` (empty: from the first), by SKU. */
err products_read_stock_books(struct db_reader *reader, struct arena *arena, str after,
                              int32_t rows_max, struct products_stock_book **out, size_t *count);

struct products_open_hold {
    str sku;
    int64_t units; /* held and not shipped */
};

/* What is held of each SKU, by SKU. */
err products_read_open_holds(struct db_reader *reader, struct arena *arena,
                             struct products_open_hold **out, size_t *count);
