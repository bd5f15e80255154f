/* The books of Orders, for dukactl check: reads of rows as they lie. */
#include "gen/orders.sql.h"
#include "services/orders/service.h"

static err read_lines(struct db_reader *reader, struct arena *arena, struct orders_book *book)
{
    struct sql_book_lines_row *rows;
    TRY(sql_book_lines(reader, arena, &(struct sql_book_lines){ book->id }, &rows,
                       &book->lines_count));
    book->lines = arena_array(arena, struct orders_book_line, book->lines_count + 1);
    for (size_t i = 0; i < book->lines_count; i++)
        book->lines[i] = (struct orders_book_line){ rows[i].sku, rows[i].quantity, rows[i].shipped,
                                                    rows[i].total_minor };
    return OK;
}

err orders_read_books(struct db_reader *reader, struct arena *arena, struct uuid after,
                      int32_t rows_max, struct orders_book **out, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && out && count);
    struct sql_book_orders_row *rows;
    TRY(sql_book_orders(reader, arena, &(struct sql_book_orders){ after, rows_max }, &rows, count));
    *out = arena_array(arena, struct orders_book, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        (*out)[i] = (struct orders_book){ .id = rows[i].id,
                                          .status = rows[i].status,
                                          .payment = rows[i].payment,
                                          .reason = rows[i].reason,
                                          .total_minor = rows[i].total_minor,
                                          .captured_minor = rows[i].captured_minor,
                                          .refunded_minor = rows[i].refunded_minor };
        TRY(read_lines(reader, arena, &(*out)[i]));
    }
    return OK;
}
