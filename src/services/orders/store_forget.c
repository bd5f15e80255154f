/* People who are to be forgotten: what the books do not need of their orders goes. */
#include "base/planted.h"
#include "gen/orders.sql.h"
#include "services/orders/store.h"

err store_find_erasures(struct db_reader *reader, struct arena *arena, time_us now,
                        int32_t count_max, struct erasure **out, size_t *count, time_us *next_at)
{
    struct sql_erasures_due_row *rows;
    struct sql_erasures_due params = { now, count_max };
    struct sql_erasures_next_row first;
    TRY(sql_erasures_due(reader, arena, &params, &rows, count));
    TRY(sql_erasures_next(reader, arena, &first));
    *next_at = first.due_at ? first.due_at : INT64_MAX;
    *out = arena_array(arena, struct erasure, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct erasure){ .customer = rows[i].customer, .asked_at = rows[i].asked_at };
    return OK;
}

err store_find_forgettable(struct db_reader *reader, struct arena *arena, struct erasure *erasure)
{
    struct sql_orders_to_forget_row *rows;
    struct sql_orders_to_forget params = { erasure->customer, FORGET_COUNT };
    size_t count;
    TRY(sql_orders_to_forget(reader, arena, &params, &rows, &count));
    erasure->orders = arena_array(arena, struct uuid, count);
    erasure->orders_count = 0;
    for (size_t i = 0; i < count && rows[i].ready; i++)
        erasure->orders[erasure->orders_count++] = rows[i].id;
    erasure->is_rest_open = erasure->orders_count < count;
    return once_find_about(reader, arena, uuid_text(arena, erasure->customer), FORGET_COUNT,
                           &erasure->answers, &erasure->answers_count);
}

err store_add_erasures(struct tx *tx, struct write *const *writes, size_t writes_count,
                       err *outcomes)
{
    for (size_t i = 0; i < writes_count; i++) {
        const struct erasure *erasure = writes[i]->subject;
        outcomes[i] = OK;
        TRY(sql_erasure_insert(tx, &(struct sql_erasure_insert){ erasure->customer, tx->now },
                               NULL));
    }
    return OK;
}

static err forget(struct tx *tx, const struct erasure *erasure)
{
    for (size_t i = 0; i < erasure->orders_count; i++) {
        struct uuid id = erasure->orders[i];
        TRY(sql_order_forget(tx, &(struct sql_order_forget){ id, STR("") }, NULL));
        TRY(sql_steps_forget(tx, &(struct sql_steps_forget){ id }, NULL));
        TRY(sql_fulfilments_forget(tx, &(struct sql_fulfilments_forget){ id }, NULL));
    }
    if (!PLANTED(erasure_forgets_table))
        TRY(once_forget(tx, erasure->answers, erasure->answers_count));
    if (erasure->due_at == 0)
        return sql_erasure_drop(tx, &(struct sql_erasure_drop){ erasure->customer }, NULL);
    return sql_erasure_put_off(
        tx, &(struct sql_erasure_put_off){ erasure->customer, erasure->due_at }, NULL);
}

err store_forget_orders(struct tx *tx, struct write *const *writes, size_t writes_count,
                        err *outcomes)
{
    for (size_t i = 0; i < writes_count; i++) {
        outcomes[i] = OK;
        TRY(forget(tx, writes[i]->subject));
    }
    return OK;
}
