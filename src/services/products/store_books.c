/* The books of Products, for dukactl check: reads of rows as they lie. */
#include "gen/products.sql.h"
#include "services/products/service.h"

static err read_holds(struct db_reader *reader, struct arena *arena, struct products_book *book)
{
    struct sql_book_holds_row *rows;
    TRY(sql_book_holds(reader, arena, &(struct sql_book_holds){ book->order_id }, &rows,
                       &book->holds_count));
    book->holds = arena_array(arena, struct products_book_hold, book->holds_count + 1);
    for (size_t i = 0; i < book->holds_count; i++)
        book->holds[i] =
            (struct products_book_hold){ rows[i].sku, rows[i].quantity, rows[i].shipped,
                                         rows[i].returned, rows[i].released };
    return OK;
}

err products_read_books(struct db_reader *reader, struct arena *arena, struct uuid after,
                        int32_t rows_max, struct products_book **out, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && out && count);
    struct sql_book_reservations_row *rows;
    TRY(sql_book_reservations(reader, arena, &(struct sql_book_reservations){ after, rows_max },
                              &rows, count));
    *out = arena_array(arena, struct products_book, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        (*out)[i] = (struct products_book){ .order_id = rows[i].order_id, .state = rows[i].state };
        TRY(read_holds(reader, arena, &(*out)[i]));
    }
    return OK;
}

err products_read_book(struct db_reader *reader, struct arena *arena, struct uuid order,
                       struct products_book *out, bool *found)
{
    ASSERT(reader && arena && out && found);
    struct sql_reservation_by_order_row row;
    TRY(sql_reservation_by_order(reader, arena, &(struct sql_reservation_by_order){ order }, &row,
                                 found));
    if (!*found)
        return OK;
    *out = (struct products_book){ .order_id = order, .state = row.state };
    return read_holds(reader, arena, out);
}

err products_read_stock_books(struct db_reader *reader, struct arena *arena, str after,
                              int32_t rows_max, struct products_stock_book **out, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && out && count);
    struct sql_book_stock_row *rows;
    TRY(sql_book_stock(reader, arena, &(struct sql_book_stock){ after, rows_max }, &rows, count));
    *out = arena_array(arena, struct products_stock_book, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct products_stock_book){ rows[i].sku, rows[i].on_hand, rows[i].reserved,
                                                  rows[i].ledger_sum, rows[i].ledger_last };
    return OK;
}

err products_read_open_holds(struct db_reader *reader, struct arena *arena,
                             struct products_open_hold **out, size_t *count)
{
    ASSERT(reader && arena && out && count);
    struct sql_book_open_holds_row *rows;
    TRY(sql_book_open_holds(reader, arena, &rows, count));
    *out = arena_array(arena, struct products_open_hold, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct products_open_hold){ rows[i].sku, rows[i].units };
    return OK;
}
