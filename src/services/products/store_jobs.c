/* What the jobs keep in order: documents that must be made anew, and what can be forgotten. */
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

static err sweep_imports(struct tx *tx, const struct sweep *sweep)
{
    struct sql_imports_old query = { sweep->imports_before, sweep->rows_max };
    struct sql_imports_old_row *rows;
    size_t count;

    TRY(sql_tx_imports_old(tx, &query, &rows, &count));
    for (size_t i = 0; i < count; i++) {
        struct sql_import_line_drop line = { rows[i].import, rows[i].line };
        TRY(sql_import_line_drop(tx, &line, NULL));
    }
    struct sql_imports_drop_empty empty = { sweep->imports_before };
    return count == 0 ? sql_imports_drop_empty(tx, &empty, NULL) : OK;
}

static err sweep_reservations(struct tx *tx, const struct sweep *sweep)
{
    struct sql_reservations_over query = { sweep->reservations_before, sweep->rows_max };
    struct sql_reservations_over_row *rows;
    size_t count;

    TRY(sql_tx_reservations_over(tx, &query, &rows, &count));
    for (size_t i = 0; i < count; i++) {
        TRY(sql_holds_forget(tx, &(struct sql_holds_forget){ rows[i].order_id }, NULL));
        TRY(sql_reservation_forget(tx, &(struct sql_reservation_forget){ rows[i].order_id }, NULL));
    }
    return OK;
}

err store_sweep_products(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct sweep *sweep = writes[i]->subject;
        outcomes[i] = OK;
        TRY(sweep_imports(tx, sweep));
        TRY(sweep_reservations(tx, sweep));
    }
    return OK;
}
