/* What the jobs keep in order: documents that must be made anew, and what can be forgotten. */
#include "chassis/inbox.h"
#include "gen/orders.h"
#include "gen/products.sql.h"
#include "services/products/store.h"
#include "services/products/view.h"

static const str STOCK_LOW = { "stock_low", 9 };

/* ---- documents made anew ---- */

err store_find_stale(struct db_reader *reader, struct arena *arena, int32_t rows_max,
                     struct stale_products *out)
{
    struct sql_stale_next_row *rows;

    TRY(sql_stale_next(reader, arena, &(struct sql_stale_next){ rows_max }, &rows, &out->count));
    out->numbers = arena_array(arena, int64_t, out->count + 1);
    for (size_t i = 0; i < out->count; i++)
        out->numbers[i] = rows[i].product;
    return OK;
}

static err redraw_categories(struct tx *tx, int64_t number, Products__Product *document)
{
    struct sql_product_categories_of_row *rows;
    size_t count;

    TRY(sql_tx_product_categories_of(tx, &(struct sql_product_categories_of){ number }, &rows,
                                     &count));
    document->n_categories = count;
    document->categories = arena_array(tx->arena, ProtobufCBinaryData, count + 1);
    for (size_t i = 0; i < count; i++)
        document->categories[i] = field_of(rows[i].handle);
    return OK;
}

static err redraw_variants(struct tx *tx, int64_t low, Products__Product *document)
{
    for (size_t i = 0; i < document->n_variants; i++) {
        str sku = text_of(document->variants[i]->sku);
        struct stock_level level;
        TRY(store_read_level(tx, sku, &level));
        document_set_availability(document, sku, stock_availability(stock_available(&level), low));
    }
    return OK;
}

static err redraw(struct tx *tx, int64_t number, int64_t low)
{
    struct sql_product_by_number_row row;
    void *unpacked;
    bool found;

    TRY(sql_stale_drop(tx, &(struct sql_stale_drop){ number }, NULL));
    TRY(sql_tx_product_by_number(tx, &(struct sql_product_by_number){ number }, &row, &found));
    ASSERT(found);
    TRY(message_unpack(tx->arena, row.document, &products_product_spec, &unpacked));
    Products__Product *document = unpacked;
    if (document->status != PRODUCTS__PRODUCT_STATUS__PRODUCT_STATUS_ARCHIVED)
        TRY(redraw_categories(tx, number, document));
    TRY(redraw_variants(tx, low, document));
    if (str_equal(message_pack(tx->arena, document), row.document))
        return OK;
    document->version++;
    tx_note_change(tx, row.id);
    struct sql_product_redraw redrawn = { row.id, document_availability_bits(document),
                                          document->version, message_pack(tx->arena, document) };
    return sql_product_redraw(tx, &redrawn, NULL);
}

err store_redraw_products(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_catalog_lock_row locked;
    TRY(sql_tx_catalog_lock(tx, &locked));
    for (size_t i = 0; i < count; i++) {
        const struct stale_products *stale = writes[i]->subject;
        outcomes[i] = OK;
        for (size_t j = 0; j < stale->count; j++)
            TRY(redraw(tx, stale->numbers[j], stale->stock_low));
    }
    return OK;
}

err store_has_stock_low(struct db_reader *reader, struct arena *arena, int64_t stock_low, bool *out)
{
    struct sql_fact_by_name_row row;
    bool found;

    TRY(sql_fact_by_name(reader, arena, &(struct sql_fact_by_name){ STOCK_LOW }, &row, &found));
    *out = found && row.number == stock_low;
    return OK;
}

err store_note_stock_low(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_catalog_lock_row locked;
    TRY(sql_tx_catalog_lock(tx, &locked));
    for (size_t i = 0; i < count; i++) {
        int64_t low = *(const int64_t *)writes[i]->subject;
        outcomes[i] = OK;
        TRY(sql_fact_save(tx, &(struct sql_fact_save){ STOCK_LOW, low }, NULL));
        TRY(sql_stale_add_all(tx, NULL));
    }
    return OK;
}

/* ---- forgetting ---- */

err store_sweep_imports(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    ASSERT(tx && rows_max > 0 && dropped);
    struct sql_imports_old query = { before, rows_max };
    struct sql_imports_old_row *rows;
    size_t count;

    TRY(sql_tx_imports_old(tx, &query, &rows, &count));
    for (size_t i = 0; i < count; i++) {
        struct sql_import_line_drop line = { rows[i].import, rows[i].line };
        TRY(sql_import_line_drop(tx, &line, NULL));
    }
    *dropped = (int64_t)count;
    struct sql_imports_drop_empty empty = { before, rows_max };
    return count == 0 ? sql_imports_drop_empty(tx, &empty, dropped) : OK;
}

/* The head of the order's events goes with what is known of it: while there is a reservation, no
 * event is applied twice, and one that is still to come is next. */
err store_sweep_reservations(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    ASSERT(tx && rows_max > 0 && dropped);
    struct sql_reservations_over query = { before, rows_max };
    struct sql_reservations_over_row *rows;
    size_t count;

    TRY(sql_tx_reservations_over(tx, &query, &rows, &count));
    for (size_t i = 0; i < count; i++) {
        struct uuid order = rows[i].order_id;
        TRY(sql_holds_forget(tx, &(struct sql_holds_forget){ order }, NULL));
        TRY(sql_reservation_forget(tx, &(struct sql_reservation_forget){ order }, NULL));
        TRY(inbox_forget(tx, str_of_z(orders_event_order_placed.topic),
                         uuid_text(tx->arena, order)));
    }
    *dropped = (int64_t)count;
    return OK;
}

err store_products_rows(struct db_reader *reader, struct arena *arena, int64_t *rows)
{
    ASSERT(reader && rows);
    struct sql_products_sweep_counts_row row;
    TRY(sql_products_sweep_counts(reader, arena, &row));
    const int64_t counts[] = { row.imports_count, row.reservations_count, row.lines_count,
                               row.holds_count, row.stale_count };
    memcpy(rows, counts, sizeof counts);
    return OK;
}

err store_products_due(struct db_reader *reader, struct arena *arena, const time_us *before,
                       bool *due)
{
    ASSERT(reader && before && due);
    struct sql_products_sweep_due_row row;
    TRY(sql_products_sweep_due(reader, arena,
                               &(struct sql_products_sweep_due){ before[0], before[1] }, &row));
    due[0] = row.imports_due;
    due[1] = row.reservations_due;
    return OK;
}
