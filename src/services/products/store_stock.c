/* Stock, ledger and reservations in tables. */
#include "base/planted.h"
#include "gen/products.sql.h"
#include "services/products/store.h"
#include "services/products/view.h"
#include <stdlib.h>

/* ---- levels: read for a batch, written back as deltas ---- */

static struct stock_level level_of(str sku, const struct sql_stock_lock_row *row, bool found)
{
    if (!found)
        return (struct stock_level){ .sku = sku };
    return stock_level_of(sku, (struct stock_units){ row->on_hand, row->reserved, row->version });
}

err store_read_level(struct tx *tx, str sku, struct stock_level *out)
{
    struct sql_stock_lock_row row;
    bool found;

    TRY(sql_tx_stock_lock(tx, &(struct sql_stock_lock){ sku }, &row, &found));
    *out = level_of(sku, &row, found);
    return OK;
}

/* In SKU order, each once: the order that rows are locked in. */
static err read_levels(struct tx *tx, str *skus, size_t count, struct stock_levels *out)
{
    out->count = stock_sort_skus(skus, count);
    out->levels = arena_array(tx->arena, struct stock_level, out->count + 1);
    struct sql_stock_lock *asked = arena_array(tx->arena, struct sql_stock_lock, out->count);
    struct sql_stock_lock_row *rows = arena_array(tx->arena, struct sql_stock_lock_row, out->count);
    bool *found = arena_array(tx->arena, bool, out->count);
    for (size_t i = 0; i < out->count; i++)
        asked[i] = (struct sql_stock_lock){ skus[i] };
    TRY(sql_tx_stock_lock_each(tx, asked, out->count, rows, found));
    for (size_t i = 0; i < out->count; i++)
        out->levels[i] = level_of(skus[i], &rows[i], found[i]);
    return OK;
}

static err show_level(struct tx *tx, const struct stock_level *level, int64_t low)
{
    int64_t before = level->before.on_hand - level->before.reserved;
    enum availability shown = stock_availability(before, low);
    enum availability now = stock_availability(stock_available(level), low);

    return shown == now ? OK : store_show_availability(tx, level->sku, now);
}

static bool is_sold_out(const struct stock_level *level)
{
    return level->before.on_hand > level->before.reserved && stock_available(level) == 0;
}

static err write_levels(struct tx *tx, const struct stock_levels *stock, int64_t low,
                        int32_t *stock_outs)
{
    *stock_outs = 0;
    struct sql_stock_change *changes =
        arena_array(tx->arena, struct sql_stock_change, stock->count);
    size_t changes_count = 0;
    for (size_t i = 0; i < stock->count; i++) {
        const struct stock_level *level = &stock->levels[i];
        if (!stock_is_changed(level))
            continue;
        *stock_outs += is_sold_out(level);
        changes[changes_count++] =
            (struct sql_stock_change){ .sku = level->sku,
                                       .on_hand = level->now.on_hand - level->before.on_hand,
                                       .reserved = level->now.reserved - level->before.reserved,
                                       .changes = level->now.version - level->before.version,
                                       .updated_at = tx->now };
    }
    TRY(sql_stock_change_many(tx, changes, changes_count, NULL));
    for (size_t i = 0; i < stock->count; i++)
        if (stock_is_changed(&stock->levels[i]))
            TRY(show_level(tx, &stock->levels[i], low));
    return OK;
}

/* ---- reservations: read for a batch, each once ---- */

struct book {
    struct reservation *reservations; /* by order id */
    size_t count;
    struct stock_levels stock;
    struct sql_ledger_add *entries;
    size_t entries_count;
};

static int compare_orders(const void *a, const void *b)
{
    return uuid_compare(*(const struct uuid *)a, *(const struct uuid *)b);
}

static enum reservation_state state_of(str word)
{
    if (str_equal(word, STR("reserved")))
        return RESERVATION_HELD;
    return str_equal(word, STR("refused")) ? RESERVATION_REFUSED : RESERVATION_CLOSED;
}

static str word_of(enum reservation_state state)
{
    ASSERT(state != RESERVATION_NONE);
    if (state == RESERVATION_HELD)
        return STR("reserved");
    return state == RESERVATION_REFUSED ? STR("refused") : STR("closed");
}

/* The reservations of those orders that have one already. */
static err read_states(struct tx *tx, struct book *book)
{
    struct sql_reservation_by_order *asked =
        arena_array(tx->arena, struct sql_reservation_by_order, book->count);
    struct sql_reservation_by_order_row *rows =
        arena_array(tx->arena, struct sql_reservation_by_order_row, book->count);
    bool *found = arena_array(tx->arena, bool, book->count);
    for (size_t i = 0; i < book->count; i++)
        asked[i] = (struct sql_reservation_by_order){ book->reservations[i].order };
    TRY(sql_tx_reservation_by_order_each(tx, asked, book->count, rows, found));
    for (size_t i = 0; i < book->count; i++) {
        if (!found[i])
            continue;
        book->reservations[i].state = state_of(rows[i].state);
        book->reservations[i].number = rows[i].number;
    }
    return OK;
}

static struct hold *holds_of_rows(struct tx *tx, const struct sql_holds_of_row *rows, size_t count)
{
    struct hold *holds = arena_array(tx->arena, struct hold, count + 1);
    for (size_t i = 0; i < count; i++)
        holds[i] = (struct hold){ .sku = rows[i].sku,
                                  .quantity = rows[i].quantity,
                                  .shipped = rows[i].shipped,
                                  .returned = rows[i].returned,
                                  .released = rows[i].released };
    return holds;
}

/* What they hold. */
static err read_holds(struct tx *tx, struct book *book)
{
    struct sql_holds_of *asked = arena_array(tx->arena, struct sql_holds_of, book->count);
    size_t *counts = arena_array(tx->arena, size_t, book->count), asked_count = 0;
    struct sql_holds_of_row *rows;
    for (size_t i = 0; i < book->count; i++)
        if (book->reservations[i].state != RESERVATION_NONE)
            asked[asked_count++] = (struct sql_holds_of){ book->reservations[i].order };
    TRY(sql_tx_holds_of_each(tx, asked, asked_count, &rows, counts));
    asked_count = 0;
    for (size_t i = 0; i < book->count; i++) {
        struct reservation *reservation = &book->reservations[i];
        if (reservation->state == RESERVATION_NONE)
            continue;
        reservation->holds_count = counts[asked_count++];
        reservation->holds = holds_of_rows(tx, rows, reservation->holds_count);
        rows += reservation->holds_count;
    }
    return OK;
}

static err read_reservations(struct tx *tx, struct write *const *writes, size_t count,
                             struct book *out)
{
    struct uuid *orders = arena_array(tx->arena, struct uuid, count + 1);

    for (size_t i = 0; i < count; i++)
        orders[i] = ((const struct stock_move_of_order *)writes[i]->subject)->order;
    if (count > 1)
        qsort(orders, count, sizeof(*orders), compare_orders);
    out->reservations = arena_array(tx->arena, struct reservation, count + 1);
    out->count = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || !uuid_equal(orders[i - 1], orders[i]))
            out->reservations[out->count++] = (struct reservation){ .order = orders[i] };
    TRY(read_states(tx, out));
    return read_holds(tx, out);
}

static struct reservation *find_reservation(struct book *book, struct uuid order)
{
    size_t from = 0, to = book->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int side = uuid_compare(order, book->reservations[middle].order);
        if (side == 0)
            return &book->reservations[middle];
        if (side < 0)
            to = middle;
        else
            from = middle + 1;
    }
    panic(ERR_PLACE, "the batch has read it", __func__);
}

/* The levels of every SKU that the moves name or their orders hold. */
static err read_book(struct tx *tx, struct write *const *writes, size_t count, struct book *out)
{
    size_t skus_count = 0, lines_count = 0;

    *out = (struct book){ 0 };
    TRY(read_reservations(tx, writes, count, out));
    for (size_t i = 0; i < count; i++)
        lines_count += ((const struct stock_move_of_order *)writes[i]->subject)->lines_count;
    for (size_t i = 0; i < out->count; i++)
        skus_count += out->reservations[i].holds_count;
    out->entries = arena_array(tx->arena, struct sql_ledger_add, lines_count + 1);

    str *skus = arena_array(tx->arena, str, skus_count + lines_count + 1);
    skus_count = 0;
    for (size_t i = 0; i < out->count; i++)
        for (size_t j = 0; j < out->reservations[i].holds_count; j++)
            skus[skus_count++] = out->reservations[i].holds[j].sku;
    for (size_t i = 0; i < count; i++) {
        const struct stock_move_of_order *move = writes[i]->subject;
        for (size_t j = 0; j < move->lines_count; j++)
            skus[skus_count++] = move->lines[j].sku;
    }
    return read_levels(tx, skus, skus_count, &out->stock);
}

/* ---- moves of orders ---- */

static void place(struct tx *tx, struct write *write, struct book *book,
                  struct reservation *reservation)
{
    struct stock_move_of_order *move = write->subject;
    struct stock_order order;

    switch (reservation_place(tx->arena, reservation, &book->stock, move->lines, move->lines_count,
                              &order)) {
    case RESERVATION_SAYS_NOTHING: break;
    case RESERVATION_SAYS_RESERVED:
        move->became = STOCK_RESERVED;
        write_announce(write, &products_event_stock_reserved,
                       stock_reserved_of(tx->arena, move->order));
        break;
    case RESERVATION_SAYS_REFUSED:
        move->became = STOCK_REFUSED;
        write_announce(write, &products_event_stock_refused,
                       stock_refused_of(tx->arena, move->order, &order));
        break;
    }
}

static void add_entries(struct tx *tx, struct book *book, const struct stock_move_of_order *move)
{
    int sign = move->kind == STOCK_SHIP ? -1 : 1;

    for (size_t i = 0; i < move->lines_count; i++) {
        const struct stock_level *level =
            stock_find(book->stock.levels, book->stock.count, move->lines[i].sku);
        book->entries[book->entries_count++] = (struct sql_ledger_add){
            .id = move->entry_ids[i],
            .sku = level->sku,
            .kind = move->kind == STOCK_SHIP ? STR("shipped") : STR("returned"),
            .delta = sign * move->lines[i].quantity,
            .on_hand_after = level->now.on_hand,
            .order_id = move->order,
            .at = tx->now,
        };
    }
}

static err move_one(struct tx *tx, struct write *write, struct book *book)
{
    struct stock_move_of_order *move = write->subject;
    struct reservation *reservation = find_reservation(book, move->order);
    bool applied = false;
    bool is_held = reservation->state == RESERVATION_HELD;

    move->became = STOCK_AS_IT_WAS;
    move->stock_outs = 0;

    switch (move->kind) {
    case STOCK_PLACE: place(tx, write, book, reservation); return OK;
    case STOCK_CLOSE:
        if (!PLANTED(compensation_lost))
            reservation_close(reservation, &book->stock);
        if (is_held && reservation->state == RESERVATION_CLOSED)
            move->became = STOCK_CLOSED;
        return OK;
    case STOCK_SHIP:
        TRY(reservation_ship(write->arena, reservation, &book->stock, move->lines,
                             move->lines_count, &applied));
        break;
    case STOCK_RETURN:
        TRY(reservation_return(write->arena, reservation, &book->stock, move->lines,
                               move->lines_count, &applied));
        break;
    }
    if (applied)
        add_entries(tx, book, move);
    return OK;
}

/* The rows of all reservations that have changed; each kind goes to the engine in one piece. */
struct book_rows {
    struct sql_reservation_save *reservations;
    struct sql_hold_add *added;
    struct sql_hold_save *saved;
    size_t reservations_count, added_count, saved_count;
};

static struct book_rows rows_for(struct tx *tx, const struct book *book)
{
    size_t holds = 0;
    for (size_t i = 0; i < book->count; i++)
        holds += book->reservations[i].holds_count;
    return (struct book_rows){
        .reservations = arena_array(tx->arena, struct sql_reservation_save, book->count),
        .added = arena_array(tx->arena, struct sql_hold_add, holds),
        .saved = arena_array(tx->arena, struct sql_hold_save, holds),
    };
}

static void add_holds(struct book_rows *rows, const struct reservation *reservation)
{
    for (size_t i = 0; i < reservation->holds_count; i++) {
        const struct hold *hold = &reservation->holds[i];
        if (hold->is_new)
            rows->added[rows->added_count++] =
                (struct sql_hold_add){ reservation->order, hold->sku, hold->quantity };
        if (hold->is_changed)
            rows->saved[rows->saved_count++] =
                (struct sql_hold_save){ reservation->order, hold->sku, hold->shipped,
                                        hold->returned, hold->released };
    }
}

static err write_book(struct tx *tx, const struct book *book, struct stock_move_of_order *first)
{
    struct book_rows rows = rows_for(tx, book);
    TRY(write_levels(tx, &book->stock, first->stock_low, &first->stock_outs));
    for (size_t i = 0; i < book->count; i++) {
        const struct reservation *reservation = &book->reservations[i];
        if (reservation->is_changed)
            rows.reservations[rows.reservations_count++] =
                (struct sql_reservation_save){ reservation->order, word_of(reservation->state),
                                               reservation->number, tx->now };
        add_holds(&rows, reservation);
    }
    TRY(sql_reservation_save_many(tx, rows.reservations, rows.reservations_count, NULL));
    TRY(sql_hold_add_many(tx, rows.added, rows.added_count, NULL));
    TRY(sql_hold_save_many(tx, rows.saved, rows.saved_count, NULL));
    return sql_ledger_add_many(tx, book->entries, book->entries_count, NULL);
}

err store_move_stock(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    ASSERT(count > 0);

    struct stock_move_of_order *first = writes[0]->subject;
    struct book book;
    TRY(read_book(tx, writes, count, &book));
    for (size_t i = 0; i < count; i++)
        outcomes[i] = move_one(tx, writes[i], &book);
    return write_book(tx, &book, first);
}

/* ---- by hand ---- */

static err adjust_one(struct tx *tx, struct write *write, struct stock_levels *stock,
                      struct sql_ledger_add *entry)
{
    struct stock_change *change = write->subject;
    change->stock_outs = 0;
    struct stock_level *level = stock_find(stock->levels, stock->count, change->sku);
    int64_t delta;

    ASSERT(level);
    if (!level->known)
        return fail(write->arena, NOT_FOUND, "no such SKU");
    TRY(stock_adjust(write->arena, level, &change->adjustment, &delta));
    change->units = level->now;
    change->at = tx->now;
    *entry = (struct sql_ledger_add){ .id = change->entry_id,
                                      .sku = change->sku,
                                      .kind = STR("adjusted"),
                                      .delta = delta,
                                      .on_hand_after = level->now.on_hand,
                                      .reason = change->reason,
                                      .note = change->note,
                                      .actor = change->actor,
                                      .at = tx->now };
    return OK;
}

err store_adjust_stock(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    ASSERT(count > 0);

    struct stock_change *first = writes[0]->subject;
    str *skus = arena_array(tx->arena, str, count);
    for (size_t i = 0; i < count; i++)
        skus[i] = ((const struct stock_change *)writes[i]->subject)->sku;

    struct stock_levels stock;
    TRY(read_levels(tx, skus, count, &stock));
    struct sql_ledger_add *entries = arena_array(tx->arena, struct sql_ledger_add, count);
    size_t entries_count = 0;
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = adjust_one(tx, writes[i], &stock, &entries[entries_count]);
        entries_count += outcomes[i] == OK;
    }
    TRY(write_levels(tx, &stock, first->stock_low, &first->stock_outs));
    return entries_count > 0 ? sql_ledger_add_many(tx, entries, entries_count, NULL) : OK;
}

/* ---- opening ---- */

err store_open_stock(struct tx *tx, const struct product_variant *variant)
{
    struct sql_stock_insert row = { variant->sku, variant->on_hand, tx->now };

    TRY(sql_stock_insert(tx, &row, NULL));
    if (variant->on_hand == 0)
        return OK;
    struct sql_ledger_add entry = { .id = variant->opening_id,
                                    .sku = variant->sku,
                                    .kind = STR("initial"),
                                    .delta = variant->on_hand,
                                    .on_hand_after = variant->on_hand,
                                    .at = tx->now };
    return sql_ledger_add(tx, &entry, NULL);
}

/* ---- reading ---- */

err store_find_stock(struct db_reader *reader, struct arena *arena, str sku,
                     struct stock_units *units, time_us *updated_at)
{
    struct sql_stock_by_sku_row row;
    bool found;

    TRY(sql_stock_by_sku(reader, arena, &(struct sql_stock_by_sku){ sku }, &row, &found));
    if (!found)
        return fail(arena, NOT_FOUND, "no such SKU");
    *units = (struct stock_units){ row.on_hand, row.reserved, row.version };
    *updated_at = row.updated_at;
    return OK;
}

static Products__LedgerKind kind_of(str word)
{
    if (str_equal(word, STR("initial")))
        return PRODUCTS__LEDGER_KIND__LEDGER_KIND_INITIAL;
    if (str_equal(word, STR("adjusted")))
        return PRODUCTS__LEDGER_KIND__LEDGER_KIND_ADJUSTED;
    if (str_equal(word, STR("shipped")))
        return PRODUCTS__LEDGER_KIND__LEDGER_KIND_SHIPPED;
    return PRODUCTS__LEDGER_KIND__LEDGER_KIND_RETURNED;
}

static Products__LedgerEntry *entry_view(struct arena *arena, const struct sql_ledger_page_row *row)
{
    Products__LedgerEntry *out = message_new(arena, &products_ledger_entry_spec);

    out->id = field_of_uuid(arena, row->id);
    out->kind = kind_of(row->kind);
    out->delta = row->delta;
    out->on_hand_after = row->on_hand_after;
    out->reason = field_of(row->reason);
    out->note = field_of(row->note);
    if (!uuid_is_nil(row->order_id))
        out->order_id = field_of_uuid(arena, row->order_id);
    if (!uuid_is_nil(row->actor))
        out->actor_id = field_of_uuid(arena, row->actor);
    out->at = field_of_time(arena, row->at);
    return out;
}

err store_list_ledger(struct db_reader *reader, struct arena *arena, str sku, str position,
                      int32_t rows_max, Products__LedgerList *out, str *next)
{
    struct sql_ledger_page page = { .sku = sku, .number = INT64_MAX, .rows_max = rows_max + 1 };
    struct sql_ledger_page_row *rows;
    struct stock_units units;
    time_us updated_at;
    size_t count;

    if (position.ptr && !str_to_int64(position, 1, INT64_MAX, &page.number))
        return fail(arena, CURSOR_INVALID, "it names no entry");
    TRY(store_find_stock(reader, arena, sku, &units, &updated_at));
    TRY(sql_ledger_page(reader, arena, &page, &rows, &count));
    bool has_more = count > (size_t)rows_max;
    out->n_items = has_more ? (size_t)rows_max : count;
    out->items = arena_array(arena, Products__LedgerEntry *, out->n_items + 1);
    for (size_t i = 0; i < out->n_items; i++)
        out->items[i] = entry_view(arena, &rows[i]);
    *next =
        has_more ? str_format(arena, "%lld", (long long)rows[out->n_items - 1].number) : STR_NONE;
    return OK;
}
