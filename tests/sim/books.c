#include "tests/sim/books.h"
#include "base/err.h"
#include "tests/sim/crash_disk.h"
#include <stdio.h>
#include <string.h>

static const char *const files[][2] = {
    { "main", "orders" },
    { "products", "products" },
    { "bank", "payments-simulator" },
    { "users", "users" },
};
enum { FILES_COUNT = sizeof files / sizeof files[0] };

/* ---- a thin face over the engine ---- */

static void must(sqlite3 *db, int code, const char *what)
{
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
        return;
    panic(ERR_PLACE, what, sqlite3_errmsg(db));
}

sqlite3_stmt *books_prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    must(db, sqlite3_prepare_v2(db, sql, -1, &statement, NULL), sql);
    return statement;
}

sqlite3 *books_connect(const char *folder)
{
    sqlite3 *db;
    char sql[600];
    snprintf(sql, sizeof sql, "file:%s/%s.db?mode=ro", folder, files[0][1]);
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
    must(NULL, sqlite3_open_v2(sql, &db, flags, crash_disk_below()), sql); /* past its faults */
    for (int i = 1; i < FILES_COUNT; i++) {
        snprintf(sql, sizeof sql, "attach 'file:%s/%s.db?mode=ro' as %s", folder, files[i][1],
                 files[i][0]);
        must(db, sqlite3_exec(db, sql, NULL, NULL, NULL), sql);
    }
    return db;
}

const char *books_text(sqlite3_stmt *row, int i)
{
    const char *text = (const char *)sqlite3_column_text(row, i);
    return text ? text : "";
}

static bool next_row(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    must(sqlite3_db_handle(statement), code, sqlite3_sql(statement));
    return code == SQLITE_ROW;
}

static struct uuid uuid_at(sqlite3_stmt *row, int i)
{
    struct uuid id = { { 0 } };
    if (sqlite3_column_bytes(row, i) == (int)sizeof id.bytes)
        memcpy(id.bytes, sqlite3_column_blob(row, i), sizeof id.bytes);
    return id;
}

#define COPY(field, row, i) snprintf((field), sizeof(field), "%s", books_text((row), (i)))

static int64_t number_of(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = books_prepare(db, sql);
    int64_t number = next_row(statement) ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return number;
}

/* Those that are asked for each order, until all is read. */
static struct {
    const char *sql;
    sqlite3_stmt *statement;
} asked[16];

static sqlite3_stmt *ask_again(sqlite3 *db, const char *sql)
{
    size_t i = 0;
    while (asked[i].sql && asked[i].sql != sql)
        i++;
    ASSERT(i < sizeof asked / sizeof asked[0] - 1);
    if (!asked[i].sql)
        asked[i].statement = books_prepare(db, sql);
    asked[i].sql = sql;
    return asked[i].statement;
}

static void ask_no_more(void)
{
    for (size_t i = 0; asked[i].sql; i++)
        sqlite3_finalize(asked[i].statement);
    memset(asked, 0, sizeof asked);
}

/* Binds the order's id as bytes; to be reset. */
static sqlite3_stmt *of_order(sqlite3 *db, const char *sql, const char *id)
{
    struct uuid uuid;
    bool is_id = uuid_parse(str_of_z(id), &uuid);
    ASSERT(is_id);
    sqlite3_stmt *statement = ask_again(db, sql);
    sqlite3_bind_blob(statement, 1, uuid.bytes, sizeof uuid.bytes, SQLITE_TRANSIENT);
    return statement;
}

/* ---- one order ---- */

static void read_lines(struct arena *arena, sqlite3 *db, struct book_order *order)
{
    sqlite3_stmt *row = of_order(db,
                                 "select sku, quantity, shipped, unit_minor from order_lines"
                                 " where order_id = ?1 order by position",
                                 order->id);
    order->lines = arena_array(arena, struct book_line, 16);
    while (next_row(row)) {
        struct book_line *line = &order->lines[order->lines_count++];
        COPY(line->sku, row, 0);
        line->quantity = sqlite3_column_int64(row, 1);
        line->shipped = sqlite3_column_int64(row, 2);
        line->unit = sqlite3_column_int64(row, 3);
        ASSERT(order->lines_count < 16);
    }
    sqlite3_reset(row);
}

static void read_steps(struct arena *arena, sqlite3 *db, struct book_order *order)
{
    enum { STEPS_MAX = 64 };
    sqlite3_stmt *row = of_order(db,
                                 "select version, at, what, actor, reason from timeline"
                                 " where order_id = ?1 order by version, position",
                                 order->id);
    order->steps = arena_array(arena, struct book_step, STEPS_MAX);
    while (next_row(row)) {
        struct book_step *step = &order->steps[order->steps_count++];
        step->version = sqlite3_column_int64(row, 0);
        step->at = sqlite3_column_int64(row, 1);
        COPY(step->what, row, 2);
        COPY(step->actor, row, 3);
        COPY(step->reason, row, 4);
        ASSERT(order->steps_count < STEPS_MAX);
    }
    sqlite3_reset(row);
}

static int64_t head_of(sqlite3 *db, const char *sql, const char *key)
{
    sqlite3_stmt *row = ask_again(db, sql);
    sqlite3_bind_text(row, 1, key, -1, SQLITE_TRANSIENT);
    int64_t head = next_row(row) ? sqlite3_column_int64(row, 0) : 0;
    sqlite3_reset(row);
    return head;
}

static void read_holds(struct arena *arena, sqlite3 *db, struct book_order *order)
{
    sqlite3_stmt *row =
        of_order(db,
                 "select h.sku, h.quantity, h.shipped, h.returned, h.released,"
                 " (select coalesce(-sum(delta), 0) from products.ledger l where l.order_id = ?1"
                 "   and l.sku = h.sku and l.kind = 'shipped'),"
                 " (select coalesce(sum(delta), 0) from products.ledger l where l.order_id = ?1"
                 "   and l.sku = h.sku and l.kind = 'returned')"
                 " from products.holds h where h.order_id = ?1 order by h.sku",
                 order->id);
    order->holds = arena_array(arena, struct book_hold, 16);
    while (next_row(row)) {
        struct book_hold *hold = &order->holds[order->holds_count++];
        COPY(hold->sku, row, 0);
        hold->quantity = sqlite3_column_int64(row, 1);
        hold->shipped = sqlite3_column_int64(row, 2);
        hold->returned = sqlite3_column_int64(row, 3);
        hold->released = sqlite3_column_int64(row, 4);
        hold->ledger_shipped = sqlite3_column_int64(row, 5);
        hold->ledger_returned = sqlite3_column_int64(row, 6);
        ASSERT(order->holds_count < 16);
    }
    sqlite3_reset(row);
}

static void read_neighbours(sqlite3 *db, struct book_order *order)
{
    sqlite3_stmt *row = of_order(
        db, "select state, number from products.reservations where order_id = ?1", order->id);
    if (next_row(row)) {
        COPY(order->reservation, row, 0);
        order->reservation_number = sqlite3_column_int64(row, 1);
    }
    sqlite3_reset(row);
    row = of_order(db, "select known, amount_minor from bank.payments where id = ?1", order->id);
    order->bank_known = next_row(row) ? sqlite3_column_int64(row, 0) : -1;
    order->bank_amount = order->bank_known < 0 ? 0 : sqlite3_column_int64(row, 1);
    sqlite3_reset(row);
    row = of_order(db, "select count(*) from fulfilments where order_id = ?1", order->id);
    order->parcels_count = next_row(row) ? sqlite3_column_int(row, 0) : 0;
    sqlite3_reset(row);
    order->inbox_head =
        head_of(db, "select number from main.inbox_heads where topic = 'products.v1' and key = ?1",
                order->id);
    order->products_head = head_of(
        db, "select number from products.inbox_heads where topic = 'orders.v1' and key = ?1",
        order->id);
}

static void read_orders(struct arena *arena, sqlite3 *db, struct books *books)
{
    int64_t count = number_of(db, "select count(*) from orders");
    books->orders = arena_array(arena, struct book_order, (size_t)count + 1);
    sqlite3_stmt *row =
        books_prepare(db, "select id, customer, status, payment, fulfilment, provider,"
                          " payment_token, reason, total_minor, captured_minor, refunded_minor,"
                          " event_number, version, hold_until, forgotten from orders order by id");
    while (next_row(row)) {
        struct book_order *order = &books->orders[books->orders_count++];
        uuid_write(uuid_at(row, 0), order->id);
        order->customer = uuid_at(row, 1);
        COPY(order->status, row, 2);
        COPY(order->payment, row, 3);
        COPY(order->fulfilment, row, 4);
        COPY(order->provider, row, 5);
        COPY(order->token, row, 6);
        COPY(order->reason, row, 7);
        order->total = sqlite3_column_int64(row, 8);
        order->captured = sqlite3_column_int64(row, 9);
        order->refunded = sqlite3_column_int64(row, 10);
        order->event_number = sqlite3_column_int64(row, 11);
        order->version = sqlite3_column_int64(row, 12);
        order->hold_until = sqlite3_column_int64(row, 13);
        order->forgotten = sqlite3_column_int(row, 14);
        read_lines(arena, db, order);
        read_steps(arena, db, order);
        read_holds(arena, db, order);
        read_neighbours(db, order);
    }
    ask_no_more();
    sqlite3_finalize(row);
}

/* ---- stock, keys, counts ---- */

static void read_skus(struct arena *arena, sqlite3 *db, struct books *books)
{
    books->skus = arena_array(arena, struct book_sku, 64);
    sqlite3_stmt *row = books_prepare(
        db, "select k.sku, k.on_hand, k.reserved,"
            " coalesce(sum(delta) filter (where kind = 'initial'), 0),"
            " coalesce(sum(delta) filter (where kind = 'adjusted'), 0),"
            " coalesce(-sum(delta) filter (where kind = 'shipped'), 0),"
            " coalesce(sum(delta) filter (where kind = 'returned'), 0),"
            " (select number from products.variants v where v.sku = k.sku),"
            " (select price_minor from products.variants v where v.sku = k.sku),"
            " (select number from main.prices p where p.sku = k.sku),"
            " (select unit_minor from main.prices p where p.sku = k.sku),"
            " (select number from main.inbox_heads where topic = 'products.v1' and key = k.sku)"
            " from products.stock k left join products.ledger l on l.sku = k.sku"
            " group by k.sku order by k.sku");
    while (next_row(row)) {
        struct book_sku *sku = &books->skus[books->skus_count++];
        COPY(sku->sku, row, 0);
        sku->on_hand = sqlite3_column_int64(row, 1);
        sku->reserved = sqlite3_column_int64(row, 2);
        sku->initial = sqlite3_column_int64(row, 3);
        sku->adjusted = sqlite3_column_int64(row, 4);
        sku->shipped = sqlite3_column_int64(row, 5);
        sku->returned = sqlite3_column_int64(row, 6);
        sku->number = sqlite3_column_int64(row, 7);
        sku->price = sqlite3_column_int64(row, 8);
        sku->copied_number = sqlite3_column_int64(row, 9);
        sku->copied_price = sqlite3_column_int64(row, 10);
        sku->head = sqlite3_column_int64(row, 11);
        ASSERT(books->skus_count < 64);
    }
    sqlite3_finalize(row);
}

struct books books_read(struct arena *arena, sqlite3 *db)
{
    struct books books = { 0 };
    read_orders(arena, db, &books);
    read_skus(arena, db, &books);
    books.keys_count = number_of(db, "select (select count(*) from main.once) +"
                                     " (select count(*) from products.once)");
    books.keys_open =
        number_of(db, "select (select count(*) from main.once where answered_at is null) +"
                      " (select count(*) from products.once where answered_at is null)");
    books.payments_count = number_of(db, "select count(*) from bank.payments");
    books.reservations_count = number_of(db, "select count(*) from products.reservations");
    books.outbox = number_of(db, "select (select count(*) from main.outbox) +"
                                 " (select count(*) from products.outbox) +"
                                 " (select count(*) from users.outbox)");
    books.held = number_of(db, "select (select count(*) from main.inbox_held) +"
                               " (select count(*) from products.inbox_held)");
    books.dead_letters = number_of(db, "select (select count(*) from main.dead_letters) +"
                                       " (select count(*) from products.dead_letters)");
    books.jobs = number_of(db, "select count(*) from main.payment_jobs");
    books.callbacks = number_of(db, "select count(*) from bank.callbacks");
    return books;
}

/* ---- the digest ---- */

static void digest_table(struct text *digests, struct arena *arena, sqlite3 *db, const char *schema,
                         const char *table)
{
    char sql[200];
    snprintf(sql, sizeof sql, "select * from %s.\"%s\"", schema, table);
    sqlite3_stmt *row = books_prepare(db, sql);
    struct text all = text_init(arena, 64 * 1024);
    while (next_row(row))
        for (int i = 0; i < sqlite3_column_count(row); i++) {
            const void *bytes = sqlite3_column_blob(row, i);
            text_add_format(&all, "|%d:", sqlite3_column_type(row, i));
            if (bytes)
                text_add(&all, str_of(bytes, (size_t)sqlite3_column_bytes(row, i)));
        }
    sqlite3_finalize(row);
    struct sha256 digest = sha256_of(text_str(&all));
    text_add_format(digests, "%s.%s", schema, table);
    text_add(digests, str_of(digest.bytes, sizeof digest.bytes));
}

struct sha256 books_digest(struct arena *arena, sqlite3 *db)
{
    struct text digests = text_init(arena, 4096);
    for (int i = 0; i < FILES_COUNT; i++) {
        char sql[200];
        snprintf(sql, sizeof sql,
                 "select name from %s.sqlite_schema where type = 'table' and sql not like"
                 " 'create virtual%%' order by name",
                 files[i][0]);
        sqlite3_stmt *row = books_prepare(db, sql);
        while (next_row(row))
            digest_table(&digests, arena, db, files[i][0], books_text(row, 0));
        sqlite3_finalize(row);
    }
    return sha256_of(text_str(&digests));
}
