/* The books of a shop that has come to rest, held against what its clients know: per order, per
 * SKU, per key. */
#include "tests/sim/check.h"
#include "tests/sim/deeds.h"
#include "tests/sim/story.h"
#include <stdio.h>

enum bank {
    BANK_NONE = -1,
    BANK_AUTHORIZED = 2,
    BANK_CAPTURED,
    BANK_DECLINED,
    BANK_VOIDED,
    BANK_REFUNDED
};

enum { PROMPT_US = 500 * 1000 };

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* ---- the timeline explains the state ---- */

struct told {
    const char *status, *payment;
    int shipments;
    bool is_delivered, is_returned;
};

static bool may_pay(const char *from, const char *to)
{
    static const char *const moves[][2] = {
        { "none", "pending" },       { "pending", "unknown" },     { "pending", "authorized" },
        { "pending", "captured" },   { "pending", "declined" },    { "pending", "voided" },
        { "unknown", "authorized" }, { "unknown", "captured" },    { "unknown", "declined" },
        { "unknown", "voided" },     { "authorized", "captured" }, { "authorized", "voiding" },
        { "captured", "refunding" }, { "captured", "refunded" },   { "voiding", "voided" },
        { "voiding", "captured" },   { "refunding", "refunded" },
    };
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++)
        if (is(moves[i][0], from) && is(moves[i][1], to))
            return true;
    return false;
}

static bool is_money_back(const char *payment)
{
    return is(payment, "none") || is(payment, "declined") || is(payment, "voided") ||
           is(payment, "refunded");
}

static bool has_money(const char *payment)
{
    return is(payment, "authorized") || is(payment, "captured");
}

/* Whether the order may take this step from what was told so far. */
static bool may_step(const struct told *told, const char *what)
{
    const char *status = told->status, *payment = told->payment;
    bool is_open = is(status, "placed") || is(status, "reserved") || is(status, "confirmed");
    if (is(what, "placed"))
        return is(status, "");
    if (is(what, "reserved"))
        return is(status, "placed");
    if (is(what, "confirmed"))
        return is(status, "reserved") && has_money(payment);
    if (is(what, "rejected"))
        return is(status, "placed") || (is(status, "reserved") && is(payment, "declined"));
    if (is(what, "cancelling"))
        return is_open && told->shipments == 0;
    if (is(what, "cancelled"))
        return is(status, "cancelling") && is_money_back(payment);
    if (is(what, "completed"))
        return is(status, "confirmed") && told->shipments > 0 &&
               (is(payment, "captured") || is(payment, "refunded"));
    if (is(what, "shipped"))
        return is(status, "confirmed") && has_money(payment) && !told->is_returned;
    if (is(what, "delivered"))
        return told->shipments > 0 && !told->is_delivered && !told->is_returned;
    if (is(what, "returned"))
        return told->shipments > 0 && is(payment, "captured");
    return strncmp(what, "payment.", 8) == 0 && may_pay(payment, what + 8);
}

static void take_step(struct told *told, const char *what)
{
    if (is(what, "shipped"))
        told->shipments++;
    else if (is(what, "delivered"))
        told->is_delivered = true;
    else if (is(what, "returned"))
        told->is_returned = true;
    else if (strncmp(what, "payment.", 8) == 0)
        told->payment = what + 8;
    else
        told->status = what;
}

/* A hold ends by time only after its time, and never while nobody knows whether money came. */
static void check_expiry(const struct book_order *order, const struct book_step *step,
                         const struct told *told, int64_t slack_us)
{
    static const char rule[] = "a hold lasts its time, and longer while the payment is unknown";
    if (!is(step->what, "cancelling") || !is(step->reason, "hold.expired"))
        return;
    RULE(is(step->actor, "system") && is(told->payment, "pending"), rule,
         "order %s was given up by %s while its payment was %s", order->id, step->actor,
         told->payment);
    RULE(step->at + slack_us >= order->hold_until, rule, "order %s was given up %lld us too early",
         order->id, (long long)(order->hold_until - step->at));
}

static void check_timeline(const struct book_order *order, const struct model *model)
{
    const struct plan *plan = model->plan;
    static const char rule[] = "the timeline explains the state";
    struct told told = { .status = "", .payment = "none" };
    int64_t versions = 0;
    bool is_gap_seen = false;
    for (int i = 0; i < order->steps_count; i++) {
        const struct book_step *step = &order->steps[i];
        bool is_next = i == 0 || step->version != order->steps[i - 1].version;
        versions += is_next;
        if (order->forgotten && !is_gap_seen && step->version == versions + 1) {
            is_gap_seen = true; /* what was forgotten is a version without a step */
            versions++;
        }
        RULE(step->version == versions, rule, "order %s: version %lld follows %lld", order->id,
             (long long)step->version, (long long)versions);
        RULE(!plan_has_one_clock(plan) || i == 0 || step->at >= order->steps[i - 1].at, rule,
             "order %s goes back in time at \"%s\"", order->id, step->what);
        RULE(may_step(&told, step->what), rule, "order %s is %s/%s and cannot be \"%s\" next",
             order->id, told.status, told.payment, step->what);
        check_expiry(order, step, &told, 2 * plan->drift_us + model_put_back_us(model, step->at));
        if (is(told.status, "cancelling") && is(step->what, "payment.authorized"))
            deed(DEED_BANK_YES_AFTER_CANCEL);
        take_step(&told, step->what);
    }
    RULE(is(told.status, order->status) && is(told.payment, order->payment), rule,
         "order %s is %s/%s, its timeline ends with %s/%s", order->id, order->status,
         order->payment, told.status, told.payment);
    RULE(versions + (order->forgotten && !is_gap_seen) == order->version, rule,
         "order %s is at version %lld, its timeline at %lld", order->id, (long long)order->version,
         (long long)versions);
    RULE(told.shipments == order->parcels_count, rule, "order %s: %d parcels, %d told", order->id,
         order->parcels_count, told.shipments);
    RULE(told.is_returned == is(order->fulfilment, "returned") &&
             (told.is_delivered && !told.is_returned) == is(order->fulfilment, "delivered"),
         rule, "order %s is %s", order->id, order->fulfilment);
}

/* ---- an order against what its clients know ---- */

static void check_lines(const struct model *model, const struct book_order *order,
                        const struct model_order *known)
{
    static const char rule[] = "an order is what was asked for";
    RULE(uuid_equal(order->customer, known->customer), rule, "order %s: the buyer", order->id);
    RULE(order->lines_count == known->lines_count, rule, "order %s: %d lines", order->id,
         order->lines_count);
    int64_t total = 0;
    for (int i = 0; i < order->lines_count; i++) {
        const struct book_line *line = &order->lines[i];
        int sku = known->lines[i].sku;
        RULE(is(line->sku, model->skus[sku].sku) && line->quantity == known->lines[i].quantity,
             rule, "order %s: line %d", order->id, i);
        total += line->quantity * line->unit;
    }
    const char *token = is(order->provider, "manual") ? "manual" : order->token;
    RULE(total == order->total && (order->forgotten || is(token, known->token)), rule,
         "order %s: total or payment", order->id);
}

static void check_shipments(const struct model *model, const struct book_order *order,
                            const struct model_order *known)
{
    static const char rule[] = "each parcel that was answered left once";
    RULE(order->parcels_count == known->parcels_count ||
             (known->is_uncertain && order->parcels_count > known->parcels_count),
         rule, "order %s: %d parcels, %d answered", order->id, order->parcels_count,
         known->parcels_count);
    int64_t open = 0, all = 0;
    for (int sku = 0; sku < model->skus_count; sku++) {
        int64_t shipped = 0;
        for (int i = 0; i < order->lines_count; i++)
            if (is(order->lines[i].sku, model->skus[sku].sku)) {
                shipped += order->lines[i].shipped;
                open += order->lines[i].quantity - order->lines[i].shipped;
            }
        all += shipped;
        RULE(shipped == model_shipped(known, sku) || known->is_uncertain, rule,
             "order %s: %lld of %s shipped, %lld told", order->id, (long long)shipped,
             model->skus[sku].sku, (long long)model_shipped(known, sku));
    }
    const char *fulfilment = all == 0 ? "none" : open == 0 ? "fulfilled" : "partial";
    bool is_later = (all > 0 && is(order->fulfilment, "returned")) ||
                    (open == 0 && is(order->fulfilment, "delivered"));
    RULE(is(order->fulfilment, fulfilment) || is_later, rule,
         "order %s is %s with %lld shipped, %lld open", order->id, order->fulfilment,
         (long long)all, (long long)open);
    RULE(is(order->fulfilment, "returned") == known->restocked || known->is_uncertain, rule,
         "order %s is %s", order->id, order->fulfilment);
    RULE(!known->delivered || known->restocked || known->is_uncertain ||
             is(order->fulfilment, "delivered"),
         rule, "order %s arrived, and is %s", order->id, order->fulfilment);
}

static void check_promises(const struct book_order *order, const struct model_order *known)
{
    static const char rule[] = "what was answered came true";
    bool declines = str_ends(str_of_z(known->token), STR("decline"));
    RULE(!known->cancelled || is(order->status, "cancelled"), rule,
         "order %s was cancelled, and is %s", order->id, order->status);
    RULE(!known->refunded || is(order->payment, "refunded"), rule,
         "order %s was refunded, its payment is %s", order->id, order->payment);
    if (known->is_uncertain)
        return;
    if (is(order->provider, "manual"))
        RULE(known->paid_by_hand == (order->captured > 0), rule, "order %s: paid by hand",
             order->id);
    if (is(order->payment, "refunded"))
        RULE(known->refunded || known->cancelled, rule, "nobody asked to refund order %s",
             order->id);
    if (is(order->status, "cancelled"))
        RULE(known->refunded || known->cancelled || is(order->reason, "hold.expired"), rule,
             "nobody asked to cancel order %s (%s)", order->id, order->reason);
    if (is(order->reason, "payment.declined"))
        RULE(declines, rule, "order %s was declined with %s", order->id, known->token);
    RULE(!declines || !is(order->status, "confirmed"), rule, "order %s", order->id);
}

static void check_settled(const struct book_order *order)
{
    RULE(is(order->status, "confirmed") || is(order->status, "completed") ||
             is(order->status, "rejected") || is(order->status, "cancelled"),
         "every order settles", "order %s is %s/%s", order->id, order->status, order->payment);
    RULE(!is(order->status, "cancelled") || is_money_back(order->payment),
         "cancelled only with the money back", "order %s: %s", order->id, order->payment);
}

/* ---- an order against the bank ---- */

static void check_money(const struct book_order *order, bool captures_at_confirm)
{
    static const char rule[] = "orders and the bank agree";
    static const struct {
        const char *payment;
        enum bank known;
    } rests[] = {
        { "none", BANK_NONE },     { "captured", BANK_CAPTURED }, { "declined", BANK_DECLINED },
        { "voided", BANK_VOIDED }, { "refunded", BANK_REFUNDED }, { "authorized", BANK_AUTHORIZED },
    };
    bool took = is(order->payment, "captured") || is(order->payment, "refunded");
    RULE(order->captured == (took ? order->total : 0), rule, "order %s: captured %lld", order->id,
         (long long)order->captured);
    RULE(order->refunded == (is(order->payment, "refunded") ? order->total : 0), rule,
         "order %s: refunded %lld", order->id, (long long)order->refunded);
    if (is(order->provider, "manual")) {
        RULE(order->bank_known == BANK_NONE, rule, "order %s is paid by hand", order->id);
        return;
    }
    RULE(!is(order->payment, "authorized") ||
             (!captures_at_confirm && is(order->fulfilment, "none")),
         rule, "order %s: its money was never captured", order->id);
    for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++)
        if (is(rests[i].payment, order->payment)) {
            RULE((int64_t)rests[i].known == order->bank_known, rule,
                 "order %s is %s, the bank says %lld", order->id, order->payment,
                 (long long)order->bank_known);
            RULE(order->bank_known == BANK_NONE || order->bank_amount == order->total, rule,
                 "order %s: another amount", order->id);
            return;
        }
    story_violated(rule, "order %s comes to rest with its payment %s", order->id, order->payment);
}

/* ---- an order against the stock ---- */

static void check_hold(const struct book_order *order, const struct book_hold *hold, bool is_closed)
{
    static const char rule[] = "holds and ledger equal the order's lines";
    int64_t quantity = 0, shipped = 0;
    for (int i = 0; i < order->lines_count; i++)
        if (is(order->lines[i].sku, hold->sku)) {
            quantity += order->lines[i].quantity;
            shipped += order->lines[i].shipped;
        }
    int64_t returned = is(order->fulfilment, "returned") ? shipped : 0;
    RULE(hold->quantity == quantity, rule, "order %s: %lld of %s held, %lld ordered", order->id,
         (long long)hold->quantity, hold->sku, (long long)quantity);
    RULE(hold->shipped == shipped && hold->ledger_shipped == shipped, rule,
         "order %s: %s shipped %lld, held as %lld, in the ledger %lld", order->id, hold->sku,
         (long long)shipped, (long long)hold->shipped, (long long)hold->ledger_shipped);
    RULE(hold->returned == returned && hold->ledger_returned == returned, rule,
         "order %s: %s returned %lld, held as %lld, in the ledger %lld", order->id, hold->sku,
         (long long)returned, (long long)hold->returned, (long long)hold->ledger_returned);
    RULE(hold->released == (is_closed ? quantity - shipped : 0), rule,
         "order %s: %lld of %s released", order->id, (long long)hold->released, hold->sku);
}

static int skus_of(const struct book_order *order)
{
    int count = 0;
    for (int i = 0; i < order->lines_count; i++) {
        bool is_new = true;
        for (int j = 0; j < i; j++)
            is_new = is_new && !is(order->lines[i].sku, order->lines[j].sku);
        count += is_new;
    }
    return count;
}

static void check_stock_of(const struct book_order *order)
{
    static const char rule[] = "holds and ledger equal the order's lines";
    bool has_open = false;
    for (int i = 0; i < order->lines_count; i++)
        has_open = has_open || order->lines[i].shipped < order->lines[i].quantity;
    bool is_closed = is(order->status, "rejected") || is(order->status, "cancelled") ||
                     (is(order->payment, "refunded") && has_open);
    RULE(is(order->reservation, is_closed ? "closed" : "reserved"), rule,
         "order %s is %s/%s, its reservation \"%s\"", order->id, order->status, order->payment,
         order->reservation);
    bool may_hold_nothing =
        is(order->reason, "stock.insufficient") || is(order->status, "cancelled");
    if (order->holds_count == 0 && may_hold_nothing)
        return;
    RULE(!is(order->reason, "stock.insufficient"), rule, "order %s was refused, and holds units",
         order->id);
    RULE(order->holds_count == skus_of(order), rule, "order %s holds %d SKUs", order->id,
         order->holds_count);
    for (int i = 0; i < order->holds_count; i++)
        check_hold(order, &order->holds[i], is_closed);
}

/* ---- events ---- */

static void check_numbers(const struct world *world, const char *topic, const char *key,
                          int64_t announced, int64_t taken)
{
    static const char rule[] = "each event is announced once and applied once, in order";
    int count;
    int64_t greatest;
    announced_of(&world->announced, str_of_z(topic), str_of_z(key), &count, &greatest);
    RULE(announced == taken, rule, "%s %s: %lld announced, %lld applied", topic, key,
         (long long)announced, (long long)taken);
    RULE(count == announced && greatest == announced, rule,
         "%s %s: %lld announced, %d seen on the bus, the greatest %lld", topic, key,
         (long long)announced, count, (long long)greatest);
}

/* ---- SKUs and keys ---- */

static void check_sku(const struct books *books, const struct model *model,
                      const struct world *world, int index)
{
    static const char rule[] = "on hand = initial + adjusted + returned - shipped";
    const struct model_sku *known = &model->skus[index];
    const struct book_sku *sku = NULL;
    for (int i = 0; i < books->skus_count; i++)
        if (is(books->skus[i].sku, known->sku))
            sku = &books->skus[i];
    RULE(sku, rule, "%s is gone", known->sku);
    int64_t open = 0, shipped = 0, returned = 0;
    for (int i = 0; i < books->orders_count; i++)
        for (int j = 0; j < books->orders[i].holds_count; j++) {
            const struct book_hold *hold = &books->orders[i].holds[j];
            if (!is(hold->sku, known->sku))
                continue;
            open += hold->quantity - hold->shipped - hold->released;
            shipped += hold->shipped;
            returned += hold->returned;
        }
    RULE(sku->initial == known->initial && sku->adjusted == known->adjusted, rule,
         "%s: the ledger has %lld + %lld, clients know of %lld + %lld", known->sku,
         (long long)sku->initial, (long long)sku->adjusted, (long long)known->initial,
         (long long)known->adjusted);
    RULE(sku->shipped == shipped && sku->returned == returned && sku->reserved == open, rule,
         "%s: ledger %lld shipped, %lld returned; orders %lld, %lld; %lld reserved of %lld",
         known->sku, (long long)sku->shipped, (long long)sku->returned, (long long)shipped,
         (long long)returned, (long long)sku->reserved, (long long)open);
    RULE(sku->on_hand == sku->initial + sku->adjusted + returned - shipped, rule, "%s: %lld",
         known->sku, (long long)sku->on_hand);
    RULE(sku->copied_number == sku->number && sku->copied_price == sku->price,
         "prices reach Orders", "%s: %lld (number %lld), Orders has %lld (%lld)", known->sku,
         (long long)sku->price, (long long)sku->number, (long long)sku->copied_price,
         (long long)sku->copied_number);
    check_numbers(world, "products.v1", known->sku, sku->number, sku->head);
}

/* Once there is an answer, nobody who asks with this key waits any more. */
static void check_times(const struct plan *plan, const struct model_key *key)
{
    int64_t since_us = key->first_us > key->slowest_sent_us ? key->first_us : key->slowest_sent_us;
    RULE(key->slowest_at_us <= since_us + PROMPT_US + plan_slack_us(plan),
         "who waits hears at once",
         "a repeat of key %s waited %lld us for an answer that was there", key->key,
         (long long)(key->slowest_at_us - since_us));
}

static void check_keys(const struct books *books, const struct model *model)
{
    static const char rule[] = "a key is kept where it has an answer";
    int concluded = 0;
    for (int i = 0; i < model->keys_count; i++) {
        const struct model_key *known = &model->keys[i];
        concluded += known->is_concluded;
        check_times(model->plan, known);
        RULE(!known->is_concluded || known->unmarked == 1 || known->was_late, "once",
             "all answers under key %s are marked as replays", known->key);
    }
    RULE(books->keys_open == 0, rule, "%lld wait for their answer", (long long)books->keys_open);
    RULE(books->keys_count >= concluded && books->keys_count <= concluded + model->keys_uncertain,
         rule, "%lld are kept, %d were answered, of %d nobody knows", (long long)books->keys_count,
         concluded, model->keys_uncertain);
}

/* ---- people who asked to be forgotten ---- */

/* An order that is still to be shipped keeps its address until it is, and so may an answer about it
 * that was given since Orders looked last: it looks again. */
static const char *may_stay(const char *schema, const char *table, const char *column)
{
    if (is(schema, "main") && is(table, "orders") && is(column, "address"))
        return " and not (status = 'confirmed' and fulfilment in ('none', 'partial'))";
    if (is(schema, "main") && is(table, "once") && is(column, "answer"))
        return " and not exists (select 1 from main.orders o join main.erasures e using (customer)"
               " where o.status = 'confirmed' and o.fulfilment in ('none', 'partial')"
               " and instr(answer, cast(lower(substr(hex(o.id), 1, 8) || '-'"
               " || substr(hex(o.id), 9, 4) || '-' || substr(hex(o.id), 13, 4) || '-'"
               " || substr(hex(o.id), 17, 4) || '-' || substr(hex(o.id), 21)) as blob)) > 0)";
    return "";
}

static void check_erased_column(sqlite3 *db, const char *schema, const char *table,
                                const char *column, const char *datum)
{
    char sql[1000];
    snprintf(sql, sizeof sql,
             "select count(*) from %s.\"%s\" where instr(cast(\"%s\" as blob), cast(?1 as blob))"
             " > 0%s",
             schema, table, column, may_stay(schema, table, column));
    sqlite3_stmt *row = books_prepare(db, sql);
    sqlite3_bind_text(row, 1, datum, -1, SQLITE_TRANSIENT);
    int code = sqlite3_step(row);
    ASSERT(code == SQLITE_ROW);
    RULE(sqlite3_column_int64(row, 0) == 0, "no personal datum after an erasure",
         "\"%s\" stands in %s.%s.%s", datum, schema, table, column);
    sqlite3_finalize(row);
}

static void check_erased(sqlite3 *db, const struct model *model)
{
    if (!model->is_erased)
        return;
    static const char *const schemas[] = { "main", "products", "users", "bank" };
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        char sql[300];
        snprintf(sql, sizeof sql,
                 "select t.name, c.name from %s.sqlite_schema t, pragma_table_info(t.name, '%s') c"
                 " where t.type = 'table' and t.sql not like 'create virtual%%'",
                 schemas[i], schemas[i]);
        sqlite3_stmt *column = books_prepare(db, sql);
        while (sqlite3_step(column) == SQLITE_ROW)
            for (int j = 0; model_account[j]; j++)
                check_erased_column(db, schemas[i], books_text(column, 0), books_text(column, 1),
                                    model_account[j]);
        sqlite3_finalize(column);
    }
}

/* ---- all of it ---- */

static void check_empty(const struct books *books, int orders_known)
{
    static const char rule[] = "nothing is on its way any more";
    RULE(books->outbox == 0 && books->held == 0 && books->dead_letters == 0, rule,
         "outbox %lld, held %lld, dead letters %lld", (long long)books->outbox,
         (long long)books->held, (long long)books->dead_letters);
    RULE(books->jobs == 0 && books->callbacks == 0, rule, "payment jobs %lld, callbacks %lld",
         (long long)books->jobs, (long long)books->callbacks);
    RULE(books->orders_count == orders_known, "each answered order exists once",
         "%d in the books, %d answered", books->orders_count, orders_known);
    RULE(books->reservations_count == books->orders_count, rule, "%lld reservations for %d orders",
         (long long)books->reservations_count, books->orders_count);
}

static void check_order(const struct model *model, const struct world *world,
                        const struct book_order *order)
{
    const struct model_order *known =
        model_order_of((struct model *)(uintptr_t)model, str_of_z(order->id));
    RULE(known, "each answered order exists once", "nobody was told of order %s", order->id);
    check_settled(order);
    check_lines(model, order, known);
    check_timeline(order, model);
    check_shipments(model, order, known);
    check_promises(order, known);
    check_money(order, model->plan->captures_at_confirm);
    check_stock_of(order);
    check_numbers(world, "orders.v1", order->id, order->event_number, order->products_head);
    check_numbers(world, "products.v1", order->id, order->reservation_number, order->inbox_head);
}

void check_rest(struct arena *arena, const struct model *model, const struct world *world,
                str folder)
{
    sqlite3 *db = books_connect(str_z(arena, folder));
    check_moments(db);
    check_erased(db, model);
    struct books books = books_read(arena, db);
    int code = sqlite3_close(db);
    ASSERT(code == SQLITE_OK);
    check_empty(&books, model->orders_count);
    for (int i = 0; i < books.orders_count; i++)
        check_order(model, world, &books.orders[i]);
    for (int i = 0; i < model->skus_count; i++)
        check_sku(&books, model, world, i);
    check_keys(&books, model);
}
