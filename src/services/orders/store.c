#include "services/orders/store.h"
#include "base/arena.h"
#include "base/planted.h"
#include "gen/orders.sql.h"

static const char *const job_words[] = { [JOB_NONE] = "",
                                         [JOB_AUTHORIZE] = "authorize",
                                         [JOB_CAPTURE] = "capture",
                                         [JOB_VOID] = "void",
                                         [JOB_REFUND] = "refund" };

static enum payment_job job_of(str word)
{
    for (int i = JOB_AUTHORIZE; i <= JOB_REFUND; i++)
        if (str_equal(str_of_z(job_words[i]), word))
            return (enum payment_job)i;
    return JOB_NONE;
}

static str present(str s) { return s.ptr ? s : STR(""); }

/* ---- reading ---- */

static struct order order_of_row(const struct sql_order_by_id_row *row)
{
    return (struct order){ .id = row->id,
                           .customer = row->customer,
                           .status = order_status_of(row->status),
                           .payment = payment_status_of(row->payment),
                           .fulfilment = fulfilment_status_of(row->fulfilment),
                           .total = { .minor = row->total_minor, .currency = row->currency },
                           .captured_minor = row->captured_minor,
                           .refunded_minor = row->refunded_minor,
                           .provider = row->provider,
                           .payment_token = row->payment_token,
                           .traceparent = row->traceparent,
                           .address = row->address,
                           .reason = row->reason,
                           .hold_until = row->hold_until,
                           .created_at = row->created_at,
                           .updated_at = row->updated_at,
                           .version = row->version,
                           .event_number = row->event_number };
}

static void set_lines(struct arena *arena, struct order *order,
                      const struct sql_lines_of_order_row *rows, size_t count)
{
    order->lines = arena_array(arena, struct order_line, count);
    order->lines_count = count;
    for (size_t i = 0; i < count; i++)
        order->lines[i] =
            (struct order_line){ .sku = rows[i].sku,
                                 .title = rows[i].title,
                                 .variant_title = rows[i].variant_title,
                                 .quantity = rows[i].quantity,
                                 .shipped = rows[i].shipped,
                                 .unit_price = { .minor = rows[i].unit_minor,
                                                 .currency = order->total.currency } };
    order_assert(order);
}

/* Orders by their ids, which are there, in the order of the ids. */
static err find_orders(struct db_reader *reader, struct arena *arena, const struct uuid *ids,
                       size_t count, struct order *out)
{
    struct sql_order_by_id *asked = arena_array(arena, struct sql_order_by_id, count);
    struct sql_order_by_id_row *rows = arena_array(arena, struct sql_order_by_id_row, count);
    struct sql_lines_of_order *of = arena_array(arena, struct sql_lines_of_order, count);
    struct sql_lines_of_order_row *lines;
    size_t *counts = arena_array(arena, size_t, count);
    bool *found = arena_array(arena, bool, count);
    for (size_t i = 0; i < count; i++) {
        asked[i] = (struct sql_order_by_id){ .id = ids[i] };
        of[i] = (struct sql_lines_of_order){ .order_id = ids[i] };
    }
    TRY(sql_order_by_id_each(reader, arena, asked, count, rows, found));
    TRY(sql_lines_of_order_each(reader, arena, of, count, &lines, counts));
    for (size_t i = 0; i < count; i++) {
        if (!found[i])
            return fail(arena, NOT_FOUND, "no such order");
        out[i] = order_of_row(&rows[i]);
        set_lines(arena, &out[i], lines, counts[i]);
        lines += counts[i];
    }
    return OK;
}

err store_find_order(struct db_reader *reader, struct arena *arena, struct uuid id,
                     struct order *out)
{
    return find_orders(reader, arena, &id, 1, out);
}

err store_has_order(struct db_reader *reader, struct arena *arena, struct uuid id, bool *found)
{
    struct sql_order_version_row row;
    return sql_order_version(reader, arena, &(struct sql_order_version){ .id = id }, &row, found);
}

err store_is_event_taken(struct db_reader *reader, struct arena *arena, str provider, str event_id,
                         bool *taken)
{
    struct sql_payment_event_find_row row;
    return sql_payment_event_find(
        reader, arena, &(struct sql_payment_event_find){ provider, event_id }, &row, taken);
}

err store_find_fulfilments(struct db_reader *reader, struct arena *arena, struct uuid order,
                           const struct fulfilment **fulfilments, size_t *count)
{
    struct sql_fulfilments_of_order_row *rows;
    TRY(sql_fulfilments_of_order(
        reader, arena, &(struct sql_fulfilments_of_order){ .order_id = order }, &rows, count));
    struct fulfilment *out = arena_array(arena, struct fulfilment, *count);
    for (size_t i = 0; i < *count; i++) {
        out[i] = (struct fulfilment){ .id = rows[i].id,
                                      .carrier = rows[i].carrier,
                                      .tracking = rows[i].tracking,
                                      .created_at = rows[i].created_at };
        TRY(view_unpack_shipment(arena, rows[i].lines, &out[i].lines, &out[i].lines_count));
    }
    *fulfilments = out;
    return OK;
}

err store_find_steps(struct db_reader *reader, struct arena *arena, struct uuid order,
                     struct past_step **steps, size_t *count)
{
    struct sql_steps_of_order_row *rows;
    TRY(sql_steps_of_order(reader, arena, &(struct sql_steps_of_order){ .order_id = order }, &rows,
                           count));
    *steps = arena_array(arena, struct past_step, *count);
    for (size_t i = 0; i < *count; i++)
        (*steps)[i] = (struct past_step){ .at = rows[i].at,
                                          .what = rows[i].what,
                                          .actor = rows[i].actor,
                                          .actor_id = rows[i].actor_id,
                                          .reason = rows[i].reason };
    return OK;
}

static struct price price_of_row(const struct sql_price_by_sku_row *row)
{
    return (struct price){ .sku = row->sku,
                           .title = row->title,
                           .variant_title = row->variant_title,
                           .product = row->product_id,
                           .unit = { .minor = row->unit_minor, .currency = row->currency },
                           .number = row->number,
                           .known = true,
                           .for_sale = row->for_sale };
}

err store_find_prices(struct db_reader *reader, struct arena *arena, const str *skus, size_t count,
                      struct price *out)
{
    struct sql_price_by_sku *asked = arena_array(arena, struct sql_price_by_sku, count);
    struct sql_price_by_sku_row *rows = arena_array(arena, struct sql_price_by_sku_row, count);
    bool *found = arena_array(arena, bool, count);
    for (size_t i = 0; i < count; i++)
        asked[i] = (struct sql_price_by_sku){ .sku = skus[i] };
    db_read_alone(reader);
    TRY(sql_price_by_sku_each(reader, arena, asked, count, rows, found));
    for (size_t i = 0; i < count; i++)
        out[i] = found[i] ? price_of_row(&rows[i]) : (struct price){ 0 };
    return OK;
}

static err list_ids(struct db_reader *reader, struct arena *arena, const struct order_page *page,
                    struct uuid **ids, size_t *count)
{
    if (uuid_is_nil(page->customer)) {
        struct sql_orders_of_all_row *rows;
        struct sql_orders_of_all asked = { .before = page->before,
                                           .before_id = page->before_id,
                                           .status = page->status,
                                           .count = page->count };
        TRY(sql_orders_of_all(reader, arena, &asked, &rows, count));
        *ids = arena_array(arena, struct uuid, *count);
        for (size_t i = 0; i < *count; i++)
            (*ids)[i] = rows[i].id;
        return OK;
    }
    struct sql_orders_of_customer_row *rows;
    struct sql_orders_of_customer asked = { .customer = page->customer,
                                            .before = page->before,
                                            .before_id = page->before_id,
                                            .status = page->status,
                                            .count = page->count };
    TRY(sql_orders_of_customer(reader, arena, &asked, &rows, count));
    *ids = arena_array(arena, struct uuid, *count);
    for (size_t i = 0; i < *count; i++)
        (*ids)[i] = rows[i].id;
    return OK;
}

err store_list_orders(struct db_reader *reader, struct arena *arena, const struct order_page *page,
                      struct order **orders, size_t *count)
{
    struct uuid *ids = NULL;
    TRY(list_ids(reader, arena, page, &ids, count));
    *orders = arena_array(arena, struct order, *count);
    return find_orders(reader, arena, ids, *count, *orders);
}

err store_find_expired(struct db_reader *reader, struct arena *arena, time_us now,
                       int32_t count_max, struct uuid **ids, size_t *count)
{
    struct sql_orders_on_hold_until_row *rows;
    TRY(sql_orders_on_hold_until(
        reader, arena, &(struct sql_orders_on_hold_until){ .now = now, .count = count_max }, &rows,
        count));
    *ids = arena_array(arena, struct uuid, *count);
    for (size_t i = 0; i < *count; i++)
        (*ids)[i] = rows[i].id;
    return OK;
}

err store_find_due_jobs(struct db_reader *reader, struct arena *arena, time_us now,
                        int32_t count_max, struct due_job **jobs, size_t *count)
{
    struct sql_jobs_due_row *rows;
    struct sql_jobs_due params = { .now = now, .beyond = now + JOB_ASTRAY_US, .count = count_max };
    TRY(sql_jobs_due(reader, arena, &params, &rows, count));
    *jobs = arena_array(arena, struct due_job, *count);
    for (size_t i = 0; i < *count; i++)
        (*jobs)[i] = (struct due_job){ rows[i].order_id, job_of(rows[i].kind), rows[i].tries };
    return OK;
}

err store_find_next_job(struct db_reader *reader, struct arena *arena, time_us *due_at)
{
    struct sql_job_due_next_row row;
    TRY(sql_job_due_next(reader, arena, &row));
    *due_at = row.due_at ? row.due_at : INT64_MAX;
    return OK;
}

err store_find_next_expiry(struct db_reader *reader, struct arena *arena, time_us *ends_at)
{
    struct sql_hold_ends_next_row row;
    TRY(sql_hold_ends_next(reader, arena, &row));
    *ends_at = row.hold_until ? row.hold_until : INT64_MAX;
    return OK;
}

/* ---- writing ---- */

/* Rows that several orders of a batch add; each kind goes to the engine in one piece. */
struct added_rows {
    struct sql_line_insert *lines;
    struct sql_line_ship *ships;
    struct sql_step_insert *steps;
    struct sql_job_save *jobs;
    struct sql_job_drop *jobs_over;
    struct sql_job_postpone *jobs_late;
    size_t lines_count, ships_count, steps_count, jobs_count, jobs_over_count, jobs_late_count;
};

static struct added_rows rows_for(struct tx *tx, struct write *const *writes, size_t writes_count)
{
    size_t lines = 0;
    for (size_t i = 0; i < writes_count; i++)
        lines += ((const struct order_save *)writes[i]->subject)->order.lines_count;
    return (struct added_rows){
        .lines = arena_array(tx->arena, struct sql_line_insert, lines),
        .ships = arena_array(tx->arena, struct sql_line_ship, lines),
        .steps = arena_array(tx->arena, struct sql_step_insert, writes_count * ORDER_STEPS_MAX),
        .jobs = arena_array(tx->arena, struct sql_job_save, writes_count),
        .jobs_over = arena_array(tx->arena, struct sql_job_drop, writes_count),
        .jobs_late = arena_array(tx->arena, struct sql_job_postpone, writes_count)
    };
}

static void add_steps(struct added_rows *rows, const struct order *order, int64_t version,
                      time_us now)
{
    for (int i = 0; i < order->steps_count; i++)
        rows->steps[rows->steps_count++] =
            (struct sql_step_insert){ .order_id = order->id,
                                      .version = version,
                                      .position = i,
                                      .at = now,
                                      .what = str_of_z(order->steps[i].what),
                                      .actor = str_of_z(actor_word(order->steps[i].actor.kind)),
                                      .actor_id = order->steps[i].actor.id,
                                      .reason = present(order->steps[i].reason) };
}

static void add_lines(struct added_rows *rows, const struct order *order)
{
    for (size_t i = 0; i < order->lines_count; i++)
        rows->lines[rows->lines_count++] =
            (struct sql_line_insert){ .order_id = order->id,
                                      .position = (int32_t)i,
                                      .sku = order->lines[i].sku,
                                      .title = present(order->lines[i].title),
                                      .variant_title = present(order->lines[i].variant_title),
                                      .quantity = order->lines[i].quantity,
                                      .unit_minor = order->lines[i].unit_price.minor };
}

static struct sql_order_insert order_row_of(const struct order *order)
{
    return (struct sql_order_insert){ .id = order->id,
                                      .customer = order->customer,
                                      .status = str_of_z(order_status_word(order->status)),
                                      .payment = str_of_z(payment_status_word(order->payment)),
                                      .fulfilment =
                                          str_of_z(fulfilment_status_word(order->fulfilment)),
                                      .total_minor = order->total.minor,
                                      .currency = order->total.currency,
                                      .provider = order->provider,
                                      .payment_token = present(order->payment_token),
                                      .traceparent = order->traceparent,
                                      .address = present(order->address),
                                      .reason = present(order->reason),
                                      .hold_until = order->hold_until,
                                      .event_number = order->event_number,
                                      .created_at = order->created_at };
}

/* The numbers that the prices of all these orders have now, one after the other; 0: none. */
static err find_numbers(struct tx *tx, struct write *const *writes, size_t writes_count,
                        int64_t **numbers)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < writes_count; i++)
        count += ((const struct order_save *)writes[i]->subject)->prices_count;
    struct sql_price_number *asked = arena_array(tx->arena, struct sql_price_number, count);
    struct sql_price_number_row *rows = arena_array(tx->arena, struct sql_price_number_row, count);
    bool *found = arena_array(tx->arena, bool, count);
    *numbers = arena_array(tx->arena, int64_t, count);
    for (size_t i = 0; i < writes_count; i++) {
        const struct order_save *save = writes[i]->subject;
        for (size_t j = 0; j < save->prices_count; j++)
            asked[at++] = (struct sql_price_number){ save->prices[j].sku };
    }
    TRY(sql_tx_price_number_each(tx, asked, count, rows, found));
    for (size_t i = 0; i < count; i++)
        (*numbers)[i] = found[i] ? rows[i].number : 0;
    return OK;
}

/* An order that was priced from memory stands where these are the prices still; else its call runs
 * again, and reads them. */
static err check_prices(struct tx *tx, struct write *const *writes, size_t writes_count,
                        err *outcomes)
{
    int64_t *number;
    TRY(find_numbers(tx, writes, writes_count, &number));
    for (size_t i = 0; i < writes_count; i++) {
        const struct order_save *save = writes[i]->subject;
        outcomes[i] = OK;
        for (size_t j = 0; j < save->prices_count; j++, number++) {
            if (*number == save->prices[j].number)
                continue;
            recent_put(save->prices_kept, recent_id_of_text(save->prices[j].sku), NULL, 0);
            outcomes[i] = fail(writes[i]->arena, VERSION_CONFLICT, "a price has changed");
        }
    }
    return OK;
}

err store_place_orders(struct tx *tx, struct write *const *writes, size_t writes_count,
                       err *outcomes)
{
    struct sql_order_insert *orders = arena_array(tx->arena, struct sql_order_insert, writes_count);
    struct added_rows rows = rows_for(tx, writes, writes_count);
    size_t count = 0;
    TRY(check_prices(tx, writes, writes_count, outcomes));
    for (size_t i = 0; i < writes_count; i++) {
        const struct order_save *save = writes[i]->subject;
        if (outcomes[i] != OK)
            continue;
        orders[count++] = order_row_of(&save->order);
        add_lines(&rows, &save->order);
        add_steps(&rows, &save->order, 1, tx->now);
    }
    TRY(sql_order_insert_many(tx, orders, count, NULL));
    TRY(sql_line_insert_many(tx, rows.lines, rows.lines_count, NULL));
    return sql_step_insert_many(tx, rows.steps, rows.steps_count, NULL);
}

static struct sql_order_update update_row_of(const struct order *order)
{
    return (struct sql_order_update){ .id = order->id,
                                      .version = order->version,
                                      .status = str_of_z(order_status_word(order->status)),
                                      .payment = str_of_z(payment_status_word(order->payment)),
                                      .fulfilment =
                                          str_of_z(fulfilment_status_word(order->fulfilment)),
                                      .captured_minor = order->captured_minor,
                                      .refunded_minor = order->refunded_minor,
                                      .reason = present(order->reason),
                                      .hold_until = order->hold_until,
                                      .event_number = order->event_number,
                                      .updated_at = order->updated_at };
}

static err save_fulfilment(struct tx *tx, struct added_rows *rows, const struct order_save *save)
{
    const struct fulfilment *parcel = save->fulfilment;
    if (!parcel)
        return OK;
    for (size_t i = 0; i < save->order.lines_count; i++)
        rows->ships[rows->ships_count++] =
            (struct sql_line_ship){ .order_id = save->order.id,
                                    .position = (int32_t)i,
                                    .shipped = save->order.lines[i].shipped };
    struct sql_fulfilment_insert row = { .id = parcel->id,
                                         .order_id = save->order.id,
                                         .carrier = present(parcel->carrier),
                                         .tracking = present(parcel->tracking),
                                         .lines = view_pack_shipment(tx->arena, parcel->lines,
                                                                     parcel->lines_count),
                                         .created_at = parcel->created_at };
    return sql_fulfilment_insert(tx, &row, NULL);
}

/* An order is moved once in a batch, so no two of these rows are of one job. */
static void add_job(struct tx *tx, struct added_rows *rows, const struct order_save *save)
{
    str kind = str_of_z(job_words[save->job]);
    if (save->job == save->job_was && save->ask_again)
        rows->jobs_late[rows->jobs_late_count++] =
            (struct sql_job_postpone){ .order_id = save->order.id,
                                       .kind = kind,
                                       .now = save->at,
                                       .wait_us_min = JOB_WAIT_US_MIN,
                                       .wait_us_max = JOB_WAIT_US_MAX };
    else if (save->job != save->job_was && save->job == JOB_NONE)
        rows->jobs_over[rows->jobs_over_count++] =
            (struct sql_job_drop){ .order_id = save->order.id };
    else if (save->job != save->job_was)
        rows->jobs[rows->jobs_count++] = (struct sql_job_save){ .order_id = save->order.id,
                                                                .kind = kind,
                                                                .due_at = tx->now + JOB_GRACE_US,
                                                                .now = tx->now };
}

static err save_jobs(struct tx *tx, const struct added_rows *rows)
{
    TRY(sql_job_postpone_many(tx, rows->jobs_late, rows->jobs_late_count, NULL));
    TRY(sql_job_drop_many(tx, rows->jobs_over, rows->jobs_over_count, NULL));
    return sql_job_save_many(tx, rows->jobs, rows->jobs_count, NULL);
}

/* Which callbacks that told this were taken meanwhile. */
static err find_events(struct tx *tx, struct write *const *writes, size_t writes_count, bool *taken)
{
    struct sql_payment_event_find *asked =
        arena_array(tx->arena, struct sql_payment_event_find, writes_count);
    struct sql_payment_event_find_row *rows =
        arena_array(tx->arena, struct sql_payment_event_find_row, writes_count);
    bool *found = arena_array(tx->arena, bool, writes_count);
    size_t *places = arena_array(tx->arena, size_t, writes_count), count = 0;
    for (size_t i = 0; i < writes_count; i++) {
        const struct order_save *save = writes[i]->subject;
        taken[i] = false;
        if (save->event_id.len == 0)
            continue;
        places[count] = i;
        asked[count++] = (struct sql_payment_event_find){ save->event_provider, save->event_id };
    }
    TRY(sql_tx_payment_event_find_each(tx, asked, count, rows, found));
    for (size_t i = 0; i < count; i++)
        taken[places[i]] = found[i];
    return OK;
}

static err take_event(struct tx *tx, const struct order_save *save)
{
    struct sql_payment_event_insert row = { .provider = save->event_provider,
                                            .event_id = save->event_id,
                                            .at = tx->now };
    return save->event_id.len ? sql_payment_event_insert(tx, &row, NULL) : OK;
}

static err conflict_of(struct write *write)
{
    return fail(write->arena, VERSION_CONFLICT, "the order was changed at the same time");
}

/* A planted bug: whatever the order has become meanwhile, this move is written over it. */
static err forget_version(struct tx *tx, struct order_save *save)
{
    struct sql_order_version_row row;
    bool found;
    TRY(sql_tx_order_version(tx, &(struct sql_order_version){ .id = save->order.id }, &row,
                             &found));
    save->order.version = found ? row.version : save->order.version;
    return OK;
}

/* Moves all orders of the batch, in one piece: where the version is another by now, or the callback
 * was taken meanwhile, the outcome is a conflict. */
static err move_orders(struct tx *tx, struct write *const *writes, size_t writes_count,
                       err *outcomes)
{
    struct sql_order_update *rows = arena_array(tx->arena, struct sql_order_update, writes_count);
    size_t *places = arena_array(tx->arena, size_t, writes_count), count = 0;
    int64_t *changed = arena_array(tx->arena, int64_t, writes_count);
    bool *taken = arena_array(tx->arena, bool, writes_count);
    TRY(find_events(tx, writes, writes_count, taken));
    for (size_t i = 0; i < writes_count; i++) {
        const struct order_save *save = writes[i]->subject;
        bool moved = save->order.steps_count > 0;
        outcomes[i] = moved && taken[i] ? conflict_of(writes[i]) : OK;
        if (!moved || taken[i])
            continue;
        if (PLANTED(version_check_gone))
            TRY(forget_version(tx, writes[i]->subject));
        rows[count] = update_row_of(&save->order);
        places[count++] = i;
    }
    TRY(sql_order_update_many(tx, rows, count, changed));
    for (size_t i = 0; i < count; i++)
        if (changed[i] == 0)
            outcomes[places[i]] = conflict_of(writes[places[i]]);
    return OK;
}

/* What goes with an order that was moved. */
static err save_rest(struct tx *tx, const struct order_save *save, struct added_rows *rows)
{
    TRY(take_event(tx, save));
    add_steps(rows, &save->order, save->order.version + 1, tx->now);
    add_job(tx, rows, save);
    return save_fulfilment(tx, rows, save);
}

err store_save_orders(struct tx *tx, struct write *const *writes, size_t writes_count,
                      err *outcomes)
{
    struct added_rows rows = rows_for(tx, writes, writes_count);
    TRY(move_orders(tx, writes, writes_count, outcomes));
    for (size_t i = 0; i < writes_count; i++)
        if (outcomes[i] == OK)
            TRY(save_rest(tx, writes[i]->subject, &rows));
    TRY(save_jobs(tx, &rows));
    TRY(sql_line_ship_many(tx, rows.ships, rows.ships_count, NULL));
    return sql_step_insert_many(tx, rows.steps, rows.steps_count, NULL);
}

err store_save_prices(struct tx *tx, struct write *const *writes, size_t writes_count,
                      err *outcomes)
{
    struct sql_price_save *rows = arena_array(tx->arena, struct sql_price_save, writes_count);
    for (size_t i = 0; i < writes_count; i++) {
        const struct price *price = writes[i]->subject;
        rows[i] = (struct sql_price_save){ .sku = price->sku,
                                           .number = price->number,
                                           .product_id = price->product,
                                           .title = present(price->title),
                                           .variant_title = present(price->variant_title),
                                           .unit_minor = price->unit.minor,
                                           .currency = price->unit.currency,
                                           .for_sale = price->for_sale };
        outcomes[i] = OK;
    }
    return sql_price_save_many(tx, rows, writes_count, NULL);
}

/* ---- retention ---- */

err store_sweep_payment_events(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    ASSERT(tx && rows_max > 0);
    return sql_payment_events_sweep(tx, &(struct sql_payment_events_sweep){ before, rows_max },
                                    dropped);
}

err store_orders_rows(struct db_reader *reader, struct arena *arena, int64_t *rows)
{
    ASSERT(reader && rows);
    struct sql_orders_sweep_counts_row row;
    TRY(sql_orders_sweep_counts(reader, arena, &row));
    rows[0] = row.events_count;
    rows[1] = row.jobs_count;
    rows[2] = row.erasures_count;
    return OK;
}

err store_orders_due(struct db_reader *reader, struct arena *arena, const time_us *before,
                     bool *due)
{
    ASSERT(reader && before && due);
    struct sql_orders_sweep_due_row row;
    TRY(sql_orders_sweep_due(reader, arena, &(struct sql_orders_sweep_due){ before[0] }, &row));
    due[0] = row.events_due;
    return OK;
}
