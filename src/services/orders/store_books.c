/* The books of Orders, for dukactl check: reads of rows as they lie. */
#include "gen/orders.sql.h"
#include "gen/orders_simulator.sql.h"
#include "services/orders/order.h"
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
                                          .provider = rows[i].provider,
                                          .job_due = rows[i].job_due,
                                          .reason = rows[i].reason,
                                          .total_minor = rows[i].total_minor,
                                          .captured_minor = rows[i].captured_minor,
                                          .refunded_minor = rows[i].refunded_minor };
        TRY(read_lines(reader, arena, &(*out)[i]));
    }
    return OK;
}

err orders_read_job(struct db_reader *reader, struct arena *arena, struct uuid order,
                    struct orders_job_book *out, bool *found)
{
    ASSERT(reader && arena && out && found);
    struct sql_book_job_row row;
    TRY(sql_book_job(reader, arena, &(struct sql_book_job){ order }, &row, found));
    if (*found)
        *out = (struct orders_job_book){ row.kind, row.tries, row.due_at, row.since };
    return OK;
}

err orders_has(struct db_reader *reader, struct arena *arena, struct uuid id, bool *found)
{
    ASSERT(reader && arena && found);
    struct sql_book_has_order_row row;
    return sql_book_has_order(reader, arena, &(struct sql_book_has_order){ id }, &row, found);
}

/* ---- the simulated provider ---- */

static str known_word(int32_t known)
{
    static const char *const words[] = { "unknown",  "pending", "authorized", "captured",
                                         "declined", "voided",  "refunded" };
    ASSERT(known >= KNOWN_UNKNOWN && known <= KNOWN_REFUNDED);
    return str_of_z(words[known]);
}

err orders_read_payment(struct db_reader *reader, struct arena *arena, struct uuid id,
                        struct orders_payment_book *out, bool *found)
{
    ASSERT(reader && arena && out && found);
    struct sql_book_payment_row row;
    TRY(sql_book_payment(reader, arena, &(struct sql_book_payment){ id }, &row, found));
    if (*found)
        *out = (struct orders_payment_book){ id, row.amount_minor, known_word(row.known) };
    return OK;
}

err orders_read_payments_held(struct db_reader *reader, struct arena *arena, struct uuid after,
                              int32_t rows_max, struct orders_payment_book **out, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && out && count);
    struct sql_book_payments_held query = { after, rows_max };
    struct sql_book_payments_held_row *rows;
    TRY(sql_book_payments_held(reader, arena, &query, &rows, count));
    *out = arena_array(arena, struct orders_payment_book, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct orders_payment_book){ rows[i].id, rows[i].amount_minor,
                                                  known_word(rows[i].known) };
    return OK;
}
