#include "apps/books.h"

#include "chassis/conf.h"
#include "chassis/dead_letters.h"
#include "chassis/outbox.h"
#include "gen/orders.sql.h"
#include "gen/orders_simulator.sql.h"
#include "gen/products.sql.h"
#include "gen/users.sql.h"
#include "services/orders/service.h"
#include "services/products/service.h"

#include "os/disk.h"

#include <stdarg.h>
#include <stdio.h>

enum { PAGE_ROWS = 200, EVENTS_MAX = 50 };

struct checking {
    const struct books *books;
    struct books_found *found;
    struct db_reader *products, *orders, *payments; /* payments: NULL without a simulator */
    struct arena *arena;                            /* of a page */
};

__attribute__((format(printf, 2, 3))) static void fault(struct checking *checking,
                                                        const char *format, ...)
{
    char line[400];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    checking->found->faults++;
    if (checking->books->fault)
        checking->books->fault(checking->books->self, str_of_z(line));
}

static bool is(str word, const char *wanted) { return str_equal(word, str_of_z(wanted)); }

static bool is_over(const struct orders_book *order)
{
    return is(order->status, "rejected") || is(order->status, "cancelled");
}

/* ---- one order ---- */

static void check_money(struct checking *checking, const struct orders_book *order, const char *id)
{
    int64_t total = 0;
    for (size_t i = 0; i < order->lines_count; i++)
        total += order->lines[i].total_minor;
    if (total != order->total_minor)
        fault(checking, "order %s: its total is %lld, its lines make %lld", id,
              (long long)order->total_minor, (long long)total);
    if (is_over(order) && order->captured_minor != order->refunded_minor)
        fault(checking, "order %s is %.*s and keeps %lld", id, STR_A(order->status),
              (long long)(order->captured_minor - order->refunded_minor));
    if (is_over(order) && !is(order->payment, "none") && !is(order->payment, "declined") &&
        !is(order->payment, "voided") && !is(order->payment, "refunded"))
        fault(checking, "order %s is %.*s and its payment %.*s", id, STR_A(order->status),
              STR_A(order->payment));
    if (is(order->payment, "captured") && order->captured_minor != order->total_minor)
        fault(checking, "order %s: its payment is captured, %lld of %lld", id,
              (long long)order->captured_minor, (long long)order->total_minor);
}

static const struct products_book_hold *hold_of(const struct products_book *held, str sku)
{
    for (size_t i = 0; held && i < held->holds_count; i++)
        if (str_equal(held->holds[i].sku, sku))
            return &held->holds[i];
    return NULL;
}

static void check_line(struct checking *checking, const struct orders_book_line *line,
                       const struct products_book *held, const char *id)
{
    const struct products_book_hold *hold = hold_of(held, line->sku);
    if (!hold)
        fault(checking, "order %s: nothing of %.*s is held for it", id, STR_A(line->sku));
    else if (hold->quantity != line->quantity)
        fault(checking, "order %s: %lld of %.*s are held, %lld were ordered", id,
              (long long)hold->quantity, STR_A(line->sku), (long long)line->quantity);
    else if (hold->shipped != line->shipped)
        fault(checking, "order %s: %lld of %.*s left the stock, %lld were shipped", id,
              (long long)hold->shipped, STR_A(line->sku), (long long)line->shipped);
}

/* `held` is NULL where Products knows nothing of it. */
static void check_stock_of(struct checking *checking, const struct orders_book *order,
                           const struct products_book *held, const char *id)
{
    bool wants = is(order->status, "reserved") || is(order->status, "confirmed");
    bool has_holds = held && held->holds_count > 0;
    if (is(order->status, "placed"))
        fault(checking, "order %s waits for its stock, and no event is under way", id);
    if (wants && !has_holds)
        fault(checking, "order %s is %.*s and holds nothing", id, STR_A(order->status));
    if (has_holds && !is(order->status, "placed"))
        for (size_t i = 0; i < order->lines_count; i++)
            check_line(checking, &order->lines[i], held, id);
    if (has_holds && held->holds_count != order->lines_count)
        fault(checking, "order %s: it holds what it did not order", id);
    for (size_t i = 0; has_holds && i < held->holds_count; i++) {
        const struct products_book_hold *hold = &held->holds[i];
        int64_t open = hold->quantity - hold->shipped - hold->released;
        if ((is_over(order) || is(order->status, "cancelling")) && open > 0)
            fault(checking, "order %s is %.*s and still holds %lld of %.*s", id,
                  STR_A(order->status), (long long)open, STR_A(hold->sku));
    }
}

/* ---- one order beside its provider ---- */

static bool holds_money(const struct orders_payment_book *payment)
{
    return is(payment->state, "authorized") || is(payment->state, "captured");
}

/* Where a call to the provider is due, or its callback is waited for, they may differ. */
static err check_payment(struct checking *checking, const struct orders_book *order, const char *id)
{
    struct orders_payment_book payment = { .state = STR("nothing") };
    bool found, kept = is(order->payment, "authorized") || is(order->payment, "captured");
    bool settled = kept || is(order->payment, "none") || is(order->payment, "declined") ||
                   is(order->payment, "voided") || is(order->payment, "refunded");
    if (!checking->payments || !is(order->provider, "simulator"))
        return OK;
    TRY(orders_read_payment(checking->payments, checking->arena, order->id, &payment, &found));
    if (found && payment.amount_minor != order->total_minor)
        fault(checking, "order %s costs %lld, its provider was asked for %lld", id,
              (long long)order->total_minor, (long long)payment.amount_minor);
    if (order->job_due || !settled)
        return OK;
    if (kept ? !str_equal(payment.state, order->payment) : holds_money(&payment))
        fault(checking, "order %s: its payment is %.*s, its provider says %.*s", id,
              STR_A(order->payment), STR_A(payment.state));
    return OK;
}

/* Money that a provider holds for no order. */
static err check_orphans(struct checking *checking)
{
    struct orders_payment_book *payments;
    struct uuid after = { { 0 } };
    size_t count = PAGE_ROWS;
    while (checking->payments && count == PAGE_ROWS) {
        arena_reset(checking->arena);
        TRY(orders_read_payments_held(checking->payments, checking->arena, after, PAGE_ROWS,
                                      &payments, &count));
        for (size_t i = 0; i < count; i++) {
            bool found;
            after = payments[i].id;
            checking->found->payments++;
            TRY(orders_has(checking->orders, checking->arena, after, &found));
            if (!found)
                fault(checking, "the provider holds %lld for order %.*s, which does not exist",
                      (long long)payments[i].amount_minor,
                      STR_A(uuid_text(checking->arena, after)));
        }
    }
    return OK;
}

/* ---- one order and all of them ---- */

static err is_under_way(struct checking *checking, str key, bool *out)
{
    struct db_reader *readers[] = { checking->products, checking->orders };
    *out = false;
    for (int i = 0; i < 2 && !*out; i++) {
        struct event_known *events;
        size_t count;
        TRY(events_of_key(readers[i], checking->arena, key, EVENTS_MAX, &events, &count));
        for (size_t j = 0; j < count; j++)
            *out = *out || !(is(events[j].place, "applied") || is(events[j].place, "skipped"));
    }
    return OK;
}

static err check_order(struct checking *checking, const struct orders_book *order,
                       const struct products_book *held)
{
    str key = uuid_text(checking->arena, order->id);
    const char *id = str_z(checking->arena, key);
    bool under_way;
    checking->found->orders++;
    check_money(checking, order, id);
    TRY(is_under_way(checking, key, &under_way));
    if (!under_way)
        check_stock_of(checking, order, held, id);
    return check_payment(checking, order, id);
}

static err check_stray(struct checking *checking, const struct products_book *held)
{
    str key = uuid_text(checking->arena, held->order_id);
    bool under_way;
    if (!is(held->state, "reserved"))
        return OK;
    TRY(is_under_way(checking, key, &under_way));
    if (!under_way)
        fault(checking, "stock is held for order %.*s, which does not exist", STR_A(key));
    return OK;
}

/* ---- all orders beside all reservations, both by id ---- */

/* A page of reservations in hand, in an arena of its own. */
struct held_page {
    struct arena *arena;
    struct products_book *items;
    size_t at, count;
    struct uuid last;
    bool is_end;
};

static err next_held(struct checking *checking, struct held_page *page,
                     const struct products_book **out)
{
    if (page->at == page->count && !page->is_end) {
        arena_reset(page->arena);
        TRY(products_read_books(checking->products, page->arena, page->last, PAGE_ROWS,
                                &page->items, &page->count));
        page->at = 0;
        page->is_end = page->count < PAGE_ROWS;
        if (page->count > 0)
            page->last = page->items[page->count - 1].order_id;
    }
    *out = page->at < page->count ? &page->items[page->at] : NULL;
    return OK;
}

static err check_page(struct checking *checking, const struct orders_book *orders, size_t count,
                      struct held_page *page)
{
    for (size_t i = 0; i < count; i++) {
        const struct products_book *held;
        TRY(next_held(checking, page, &held));
        while (held && uuid_compare(held->order_id, orders[i].id) < 0) {
            TRY(check_stray(checking, held));
            page->at++;
            TRY(next_held(checking, page, &held));
        }
        bool is_its = held && uuid_equal(held->order_id, orders[i].id);
        TRY(check_order(checking, &orders[i], is_its ? held : NULL));
        page->at += is_its;
    }
    return OK;
}

static err check_orders(struct checking *checking, struct held_page *page)
{
    struct uuid after = { { 0 } };
    const struct products_book *held;
    struct orders_book *orders;
    size_t count;
    do {
        arena_reset(checking->arena);
        TRY(orders_read_books(checking->orders, checking->arena, after, PAGE_ROWS, &orders,
                              &count));
        TRY(check_page(checking, orders, count, page));
        if (count > 0)
            after = orders[count - 1].id;
        if (checking->books->progress)
            checking->books->progress(checking->books->self, checking->found->orders);
    } while (count == PAGE_ROWS);
    for (;;) {
        TRY(next_held(checking, page, &held));
        if (!held)
            return OK;
        TRY(check_stray(checking, held));
        page->at++;
    }
}

/* ---- stock ---- */

static void check_level(struct checking *checking, const struct products_stock_book *stock,
                        int64_t held)
{
    checking->found->skus++;
    if (stock->on_hand != stock->ledger_sum || stock->on_hand != stock->ledger_last)
        fault(checking, "%.*s: %lld on hand, its ledger says %lld and ends with %lld",
              STR_A(stock->sku), (long long)stock->on_hand, (long long)stock->ledger_sum,
              (long long)stock->ledger_last);
    if (stock->reserved != held)
        fault(checking, "%.*s: %lld reserved, orders hold %lld", STR_A(stock->sku),
              (long long)stock->reserved, (long long)held);
    if (stock->reserved < 0 || stock->on_hand < stock->reserved)
        fault(checking, "%.*s: %lld on hand, %lld reserved", STR_A(stock->sku),
              (long long)stock->on_hand, (long long)stock->reserved);
}

static err check_stock(struct arena *arena, struct checking *checking)
{
    struct products_open_hold *holds;
    struct products_stock_book *stock;
    size_t holds_count, at = 0, count;
    str after = STR("");
    TRY(products_read_open_holds(checking->products, arena, &holds, &holds_count));
    do {
        TRY(products_read_stock_books(checking->products, arena, after, PAGE_ROWS, &stock, &count));
        for (size_t i = 0; i < count; i++) {
            bool is_held = at < holds_count && str_equal(holds[at].sku, stock[i].sku);
            check_level(checking, &stock[i], is_held ? holds[at].units : 0);
            at += is_held;
            after = stock[i].sku;
        }
    } while (count == PAGE_ROWS);
    if (at < holds_count)
        fault(checking, "%.*s is held and has no stock", STR_A(holds[at].sku));
    return OK;
}

/* ---- the whole ---- */

static err count_events(struct arena *arena, struct db *db, struct books_found *found)
{
    struct backlog outbox, held, dead;
    struct db_reader *reader;
    TRY(db_read_begin(db, arena, &reader));
    err error = outbox_backlog(reader, arena, &outbox);
    if (error == OK)
        error = inbox_held_backlog(reader, arena, &held);
    if (error == OK)
        error = dead_letters_backlog(reader, arena, &dead);
    db_read_end(reader);
    TRY(error);
    found->pending += outbox.rows_count + held.rows_count;
    found->dead += dead.rows_count;
    return OK;
}

static err check_files(struct arena *arena, struct checking *checking)
{
    const struct books *books = checking->books;
    struct db *dbs[] = { books->users, books->products, books->orders };
    for (int i = 0; i < 3; i++) {
        if (!dbs[i])
            continue;
        err error = db_check(dbs[i], arena);
        if (err_is(error, DB_CORRUPT))
            fault(checking, "a database is damaged: %.*s", STR_A(error->detail));
        else
            TRY(error);
        TRY(count_events(arena, dbs[i], checking->found));
    }
    return OK;
}

static err check_all(struct arena *arena, struct checking *checking, struct held_page *page)
{
    const struct books *books = checking->books;
    TRY(check_files(arena, checking));
    if (books->products)
        TRY(db_read_begin(books->products, arena, &checking->products));
    if (books->orders)
        TRY(db_read_begin(books->orders, arena, &checking->orders));
    if (books->payments)
        TRY(db_read_begin(books->payments, arena, &checking->payments));
    if (books->products && books->orders)
        TRY(check_orders(checking, page));
    if (books->orders)
        TRY(check_orphans(checking));
    return books->products ? check_stock(arena, checking) : OK;
}

err books_check(struct arena *arena, const struct books *books, struct books_found *out)
{
    ASSERT(arena && books && out);
    *out = (struct books_found){ 0 };
    struct checking checking = { .books = books,
                                 .found = out,
                                 .arena = arena_open(ARENA_CHUNK_BYTES * 256) };
    struct held_page page = { .arena = arena_open(ARENA_CHUNK_BYTES * 256) };
    err error = check_all(arena, &checking, &page);
    error = error == OK ? OK : err_copy(arena, error);
    db_read_end(checking.products);
    db_read_end(checking.orders);
    db_read_end(checking.payments);
    arena_close(page.arena);
    arena_close(checking.arena);
    return error;
}

/* ---- opening ---- */

static err open_one(struct arena *arena, str given, str folder, const struct db_schema *schema,
                    struct db **out)
{
    struct db_config config = { .url = given, .readers_max = 2, .durable = true };
    if (given.len == 0)
        config.url = str_format(arena, "sqlite:%" STR_F "/%s.db", STR_A(folder), schema->service);
    return db_open(arena, &config, schema, out);
}

/* The simulated provider's: a file of its own, or beside Orders' tables. A shop may have none. */
static err open_payments(struct arena *arena, str orders_url, str folder, struct db **out)
{
    str path = str_format(arena, "%" STR_F "/payments-simulator.db", STR_A(folder));
    bool is_shared = str_starts(orders_url, STR("postgres"));
    if (!is_shared && !disk_exists(arena, path))
        return OK;
    str url = is_shared ? orders_url : str_format(arena, "sqlite:%" STR_F, STR_A(path));
    return open_one(arena, url, folder, &orders_simulator_schema, out);
}

err books_open(struct arena *arena, const struct conf *conf, str folder, struct books *out)
{
    ASSERT(arena && conf && out);
    *out = (struct books){ 0 };
    err error = open_one(arena, conf_text(conf, CONF_DATABASE_URL_USERS), folder, &users_schema,
                         &out->users);
    if (error == OK)
        error = open_one(arena, conf_text(conf, CONF_DATABASE_URL_PRODUCTS), folder,
                         &products_schema, &out->products);
    if (error == OK)
        error = open_one(arena, conf_text(conf, CONF_DATABASE_URL_ORDERS), folder, &orders_schema,
                         &out->orders);
    if (error == OK)
        error =
            open_payments(arena, conf_text(conf, CONF_DATABASE_URL_ORDERS), folder, &out->payments);
    if (error != OK)
        books_close(out);
    return error;
}

err books_open_part(struct arena *arena, str folder, struct books *out)
{
    ASSERT(arena && folder.len > 0 && out);
    *out = (struct books){ 0 };
    const struct {
        const struct db_schema *schema;
        struct db **db;
    } parts[] = { { &users_schema, &out->users },
                  { &products_schema, &out->products },
                  { &orders_schema, &out->orders } };
    err error = OK;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && error == OK; i++) {
        str file = str_format(arena, "%" STR_F "/%s.db", STR_A(folder), parts[i].schema->service);
        if (disk_exists(arena, file))
            error = open_one(arena, STR_NONE, folder, parts[i].schema, parts[i].db);
    }
    if (error == OK)
        error = open_payments(arena, STR_NONE, folder, &out->payments);
    if (error != OK)
        books_close(out);
    return error;
}

void books_close(struct books *books)
{
    db_close(books->users);
    db_close(books->products);
    db_close(books->orders);
    db_close(books->payments);
    books->users = books->products = books->orders = books->payments = NULL;
}
