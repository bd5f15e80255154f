/* Products' domain in tables and back: reads on a snapshot, writes as batch functions. Decides
 * nothing that a pure file can; what many share is decided by them inside the batch.
 *
 *   store_catalog.c  products, variants, prices        store_categories.c
 *   store_stock.c    stock, ledger, reservations       store_lists.c, store_imports.c */
#pragma once
#include "chassis/call.h"
#include "gen/products.h"
#include "services/products/csv.h"
#include "services/products/product.h"
#include "services/products/reservation.h"

/* ---- products: store_catalog.c ---- */

struct product_found {
    struct uuid id;
    bool is_active;
    int64_t version;
    str document; /* Products__Product, packed */
};

/* A product by id or handle. Fails with NOT_FOUND. */
err store_find_product(struct db_reader *reader, struct arena *arena, str id_or_handle,
                       struct product_found *out);

/* A product to be saved: subject of store_save_products. */
struct product_save {
    struct product *product;      /* as it shall be; the batch fills what its variants show */
    const struct product *before; /* as the decision was taken on it; NULL: a new one */
    int64_t stock_low;
    bool refuses_unknown_categories;    /* else those that are gone are dropped */
    bool refuses_quantities_of_stocked; /* else a quantity counts for new SKUs only */
    const Products__Product *document;  /* made by the batch */
};

/* Saves products with their variants, announces what they cost now, opens stock for SKUs that are
 * new. Outcomes: HANDLE_TAKEN, SKU_TAKEN, PRODUCT_INVALID, VERSION_CONFLICT. */
err store_save_products(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* The same for one, inside a batch of another kind: `*outcome` is set, no row written, where a rule
 * refuses it. What is announced goes with `write`. */
err store_save_product(struct tx *tx, struct write *write, struct product_save *save, err *outcome);

/* Shows a SKU as available as it is by now: where that has changed its product gets a new version.
 */
err store_show_availability(struct tx *tx, str sku, enum availability availability);

/* ---- categories: store_categories.c ---- */

/* A category to be made or changed; a member without bytes of its own (STR_NONE) stays. */
struct category_save {
    struct uuid id;
    bool is_new;
    str handle, name, parent;        /* parent: a handle; empty: none */
    const Products__Category *saved; /* made by the batch */
};

/* Outcomes: NOT_FOUND, CATEGORY_TAKEN, FIELD_INVALID (an unknown parent, or one below itself). */
err store_save_categories(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* Subjects are ids (struct uuid). Outcomes: NOT_FOUND, CATEGORY_IN_USE. */
err store_delete_categories(struct tx *tx, struct write *const *writes, size_t count,
                            err *outcomes);

/* All of them. */
err store_list_categories(struct db_reader *reader, struct arena *arena,
                          Products__CategoryList *out);

/* ---- lists: store_lists.c ---- */

enum product_sort {
    PRODUCT_BY_NEWEST,
    PRODUCT_BY_TITLE,
    PRODUCT_BY_PRICE,
    PRODUCT_BY_PRICE_DESCENDING,
    PRODUCT_BY_RELEVANCE,
};

struct product_list {
    enum product_sort sort;
    enum product_status status;
    str category;                   /* handle; none: all */
    str tag, vendor, type;          /* none: all */
    int64_t price_min, price_max;   /* minor units */
    enum availability availability; /* 0: any */
    str query;                      /* of FTS5; none: all */
    str position;                   /* behind which the page begins; none: the first page */
    int32_t rows_max;
};

/* A page of documents; `*next` is the position behind it, none where it is the last. Fails with
 * CURSOR_INVALID for a position that is none. */
err store_list_products(struct db_reader *reader, struct arena *arena,
                        const struct product_list *list, Products__ProductList *out, str *next);

/* ---- prices ---- */

/* What a SKU costs now; *known is false where nobody knows it. */
err store_quote(struct db_reader *reader, struct arena *arena, str sku, Products__Quoted **out,
                bool *known);

/* ---- stock: store_stock.c ---- */

enum stock_move_kind { STOCK_PLACE, STOCK_CLOSE, STOCK_SHIP, STOCK_RETURN };

/* What an order does to stock: subject of store_move_stock. */
/* What a move has done to the order's wish for stock. */
enum stock_outcome { STOCK_AS_IT_WAS, STOCK_RESERVED, STOCK_REFUSED, STOCK_CLOSED, STOCK_OUTCOMES };

struct stock_move_of_order {
    enum stock_move_kind kind;
    struct uuid order;
    const struct stock_line *lines; /* one a SKU: stock_sum */
    size_t lines_count;
    struct uuid *entry_ids; /* of ledger entries, one a line, where units come or go */
    int64_t stock_low;
    enum stock_outcome became; /* by the batch */
    int32_t stock_outs;        /* SKUs that the batch has sold out; told by its first member */
};

/* Takes moves of many orders in turn, under the lock: reads what they touch, lets the pure rules
 * decide, writes one delta a SKU, the holds, the ledger, and announces the answers. Outcomes:
 * TRANSITION_NOT_YET, FULFILMENT_INVALID. */
err store_move_stock(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* A change by hand: subject of store_adjust_stock. */
struct stock_change {
    str sku;
    struct stock_adjustment adjustment;
    str reason, note;
    struct uuid entry_id, actor;
    int64_t stock_low;
    int32_t stock_outs;       /* as in struct stock_move_of_order */
    struct stock_units units; /* as the change left it; by the batch */
    time_us at;
};

/* Outcomes: NOT_FOUND, STOCK_CONFLICT, STOCK_NEGATIVE, FIELD_INVALID. */
err store_adjust_stock(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* The units of a SKU inside a batch; not known where nobody ever stocked it. */
err store_read_level(struct tx *tx, str sku, struct stock_level *out);

/* Opens the stock of a SKU that is not known, with what is on hand at first. */
err store_open_stock(struct tx *tx, const struct product_variant *variant);

/* Units of a SKU. Fails with NOT_FOUND. */
err store_find_stock(struct db_reader *reader, struct arena *arena, str sku,
                     struct stock_units *units, time_us *updated_at);

/* A page of a SKU's ledger, newest first, from behind a position. Fails as store_find_stock and
 * store_list_products do. */
err store_list_ledger(struct db_reader *reader, struct arena *arena, str sku, str position,
                      int32_t rows_max, Products__LedgerList *out, str *next);

/* ---- imports: store_imports.c ---- */

/* A file that begins to be imported: subject of store_start_imports, which keeps its spool. */
struct import_start {
    struct uuid id; /* of the spool, too */
    int64_t bytes;
    struct currency currency;
    time_us now;
};
err store_start_imports(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* An import that is not over. */
struct import_found {
    struct uuid id;
    struct currency currency;
    int64_t bytes;
    struct csv_place place; /* of its next product; byte 0: the header was not read yet */
};

/* The oldest one; *found is false where there is none. */
err store_find_import(struct db_reader *reader, struct arena *arena, struct import_found *out,
                      bool *found);

/* A page of the catalog, behind product `*number`, which moves on; without what was put away.
 * `quantities[i]` has what may be sold of each variant of `products[i]`. */
struct export_page {
    int64_t number;
    Products__Product **products;
    int64_t **quantities;
    size_t count;
};
err store_read_export(struct db_reader *reader, struct arena *arena, int32_t rows_max,
                      struct export_page *page);

/* Part of its file, from the chunk of `from` on: about `bytes` of it. */
err store_read_file(struct db_reader *reader, struct arena *arena,
                    const struct import_found *import, int64_t from, int64_t bytes,
                    struct csv_window *out);

/* The line at which the same import had a handle before; 0: nowhere. */
err store_find_import_line(struct db_reader *reader, struct arena *arena, struct uuid import,
                           str handle, int32_t *line);

/* What becomes of one product of the file. */
struct import_item {
    struct csv_place place; /* where it begins */
    int32_t line;
    str handle;
    Products__ImportOutcome outcome;
    struct product_save *save; /* where it is created or changed */
    err refused;
};

/* A piece of an import: subject of store_advance_imports. */
struct import_piece {
    struct uuid id;
    int64_t position_before; /* compare-and-swap: a piece is taken once */
    struct import_item *items;
    size_t items_count;
    struct csv_place place; /* behind it */
    bool is_last;
    err failed; /* why the import ends here; or OK */
};

/* Saves the products of a piece, their report and the position, all or none. A product that others
 * changed meanwhile ends the piece before it. Outcome: VERSION_CONFLICT (read again). */
err store_advance_imports(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* An import as it stands, with a page of its report. Fails with NOT_FOUND, CURSOR_INVALID. */
err store_read_import(struct db_reader *reader, struct arena *arena, struct uuid id, str position,
                      int32_t rows_max, Products__Import *out, str *next);

/* ---- what jobs keep in order: store_jobs.c ---- */

/* Products whose documents must be made anew. */
struct stale_products {
    int64_t *numbers;
    size_t count;
    int64_t stock_low;
};
err store_find_stale(struct db_reader *reader, struct arena *arena, int32_t rows_max,
                     struct stale_products *out);

/* Makes them anew: handles of categories, what their variants show. Subject: stale_products. */
err store_redraw_products(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* Notes what documents are made with; all become stale where it is another STOCK_LOW than before.
 * Subject: int64_t. */
err store_note_stock_low(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* Whether documents are made with this STOCK_LOW. */
err store_has_stock_low(struct db_reader *reader, struct arena *arena, int64_t stock_low,
                        bool *out);

/* For chassis/sweeper.h: reports of imports, a few lines at a time; reservations of orders that are
 * over, with their holds and the head of the order's events. */
err store_sweep_imports(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);
err store_sweep_reservations(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);

/* The same: imports, reservations, import_lines, holds, stale_products. */
err store_products_rows(struct db_reader *reader, struct arena *arena, int64_t *rows);
err store_products_due(struct db_reader *reader, struct arena *arena, const time_us *before,
                       bool *due);
