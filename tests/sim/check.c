#include "tests/sim/check.h"
#include "os/clock.h"
#include "tests/sim/story.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- at every moment ---- */

/* The books that are looked at; their bits. */
enum { AT_REST = 0, ORDERS = 1, PRODUCTS = 2, BANK = 4, USERS = 8, BOOKS_LOOKED_AT = 4 };

static const char never_negative[] = "stock is never negative";
static const char reserved_is_held[] = "reserved is the sum of the open holds";
static const char on_hand_is_ledger[] = "on hand is the sum of the ledger";

/* A rule as a query over some of the books: each row that it gives is a violation, told by its
 * first column. One about each order by itself says which column has the order's id: then only
 * orders that have moved are looked at. */
struct moment {
    unsigned books;
    const char *rule, *sql, *id;
};

static const struct moment moments[] = {
    { AT_REST, never_negative,
      "select sku || ': on hand ' || on_hand || ', reserved ' || reserved from products.stock"
      " where reserved < 0 or on_hand < reserved",
      NULL },
    { AT_REST, reserved_is_held,
      "select k.sku || ': reserved ' || k.reserved || ', held '"
      " || coalesce(sum(h.quantity - h.shipped - h.released), 0)"
      " from products.stock k left join products.holds h on h.sku = k.sku"
      " and h.quantity <> h.shipped + h.released group by k.sku"
      " having k.reserved <> coalesce(sum(h.quantity - h.shipped - h.released), 0)",
      NULL },
    { AT_REST, on_hand_is_ledger,
      "select k.sku || ': on hand ' || k.on_hand || ', ledger ' || coalesce(sum(l.delta), 0)"
      " from products.stock k left join products.ledger l on l.sku = k.sku group by k.sku"
      " having k.on_hand <> coalesce(sum(l.delta), 0)",
      NULL },
    { PRODUCTS, "only open reservations hold units",
      "select lower(hex(h.order_id)) || ' ' || coalesce(r.state, 'none') || ' ' || h.sku"
      " from products.holds h left join products.reservations r on r.order_id = h.order_id"
      " where (r.state is null or r.state = 'refused'"
      " or (r.state = 'closed' and h.quantity <> h.shipped + h.released)"
      " or (r.state = 'reserved' and h.released <> 0))",
      "h.order_id" },
    { ORDERS | BANK, "no money without an order",
      "select lower(hex(b.id)) from bank.payments b left join main.orders o on o.id = b.id"
      " where (o.id is null or o.provider <> 'simulator' or o.total_minor <> b.amount_minor)",
      "b.id" },
    { ORDERS | BANK, "money is captured only after the order was confirmed",
      "select lower(hex(b.id)) from bank.payments b where b.known in (3, 6) and not exists"
      " (select 1 from main.timeline t where t.order_id = b.id and t.what = 'confirmed')",
      "b.id" },
    { ORDERS | BANK, "an order that is over keeps no money",
      "select lower(hex(o.id)) || ' ' || o.status || ', the bank says ' || b.known"
      " from main.orders o join bank.payments b on b.id = o.id"
      " where o.status in ('rejected', 'cancelled') and b.known not in (4, 5, 6)",
      "b.id" },
    { ORDERS | BANK, "an order claims no more than the bank knows",
      "select lower(hex(o.id)) || ' ' || o.payment || ', the bank says '"
      " || coalesce(b.known, 'nothing') from main.orders o"
      " left join bank.payments b on b.id = o.id where o.provider = 'simulator' and"
      " case o.payment when 'none' then b.known is not null"
      "  when 'authorized' then coalesce(b.known, 0) not in (2, 3)"
      "  when 'captured' then coalesce(b.known, 0) <> 3"
      "  when 'declined' then coalesce(b.known, 0) <> 4"
      "  when 'voiding' then coalesce(b.known, 0) not in (2, 3, 5)"
      "  when 'voided' then coalesce(b.known, 0) <> 5"
      "  when 'refunding' then coalesce(b.known, 0) not in (3, 6)"
      "  when 'refunded' then coalesce(b.known, 0) <> 6 else 0 end",
      "o.id" },
    { ORDERS, "what an order took and gave back follows its payment",
      "select lower(hex(id)) || ' ' || payment || ' ' || captured_minor || ' ' || refunded_minor"
      " from main.orders where (captured_minor <>"
      " (case when payment in ('captured', 'refunding', 'refunded') then total_minor else 0 end)"
      " or refunded_minor <> (case when payment = 'refunded' then captured_minor else 0 end))",
      "id" },
    { ORDERS | PRODUCTS | USERS, "no event is a dead letter but one that was refused",
      "select type || ' ' || key || ' ' || error from (select * from main.dead_letters union all"
      " select * from products.dead_letters union all select * from users.dead_letters)"
      " where instr(error, 'a test refuses it') = 0",
      NULL },
};
enum { MOMENTS_COUNT = sizeof moments / sizeof moments[0] };

/* What the engine calls the version of each: another one where somebody has committed. What was in
 * order is not looked through again before. */
static const char *const versions_sql[BOOKS_LOOKED_AT] = { "pragma main.data_version",
                                                           "pragma products.data_version",
                                                           "pragma bank.data_version",
                                                           "pragma users.data_version" };

/* What an order, its payment at the bank and its reservation had come to when it was last looked
 * at. */
static const struct {
    unsigned books;
    const char *sql;
} moves[] = { { ORDERS, "select id, version from main.orders" },
              { BANK, "select id, known from bank.payments" },
              { PRODUCTS, "select order_id, updated_at from products.reservations" } };
enum { MOVES_COUNT = sizeof moves / sizeof moves[0], SEEN_MAX = 4096 };

/* What the ledger and the holds come to: of the ledger, which only grows, its new rows are read. */
static const char ledger_sql[] =
    "select sku, delta, number from products.ledger where number > ?1 order by number";
static const char holds_sql[] = "select sku, quantity - shipped - released from products.holds"
                                " where quantity <> shipped + released";
static const char stock_sql[] = "select sku, on_hand, reserved from products.stock";
enum { SKUS_MAX = 64, SKU_BYTES = 64 };

struct sum {
    char sku[SKU_BYTES];
    int64_t ledger, held;
};

struct seen {
    struct uuid id;
    int64_t number;
    bool is_used;
};

/* Between settling and the answer, by the virtual clock: some steps. */
enum { PROMPT_US = 250 * 1000 };

struct check {
    struct model *model;
    const struct world *world;
    sqlite3 *db;
    sqlite3_stmt *moments[MOMENTS_COUNT], *order, *settled, *bank, *moving;
    sqlite3_stmt *versions[BOOKS_LOOKED_AT], *moves[MOVES_COUNT], *ledger, *holds, *stock;
    struct sum sums[SKUS_MAX];
    int sums_count;
    int64_t ledger_read;                /* up to this row */
    struct seen *seen[MOVES_COUNT];     /* by id, open addressing */
    struct uuid *moved;                 /* orders; SEEN_MAX */
    int64_t looked_at[BOOKS_LOOKED_AT]; /* the versions of the books that were in order */
    bool planted_early;
};

static void look(sqlite3_stmt *statement, const char *rule)
{
    int code = sqlite3_step(statement);
    RULE(code != SQLITE_ROW, rule, "%s", books_text(statement, 0));
    ASSERT(code == SQLITE_DONE);
    sqlite3_reset(statement);
}

struct check *check_make(struct arena *arena, struct model *model, const struct world *world)
{
    struct check *check = arena_new(arena, struct check);
    *check = (struct check){ .model = model, .world = world };
    for (int i = 0; i < MOVES_COUNT; i++)
        check->seen[i] = arena_array(arena, struct seen, SEEN_MAX);
    check->moved = arena_array(arena, struct uuid, SEEN_MAX);
    return check;
}

static const char moving_sql[] =
    "select (select count(*) from main.outbox), (select count(*) from products.outbox),"
    " (select count(*) from users.outbox),"
    " (select count(*) from main.inbox_held), (select count(*) from products.inbox_held),"
    " (select count(*) from main.payment_jobs), (select count(*) from bank.callbacks),"
    " (select count(*) from main.orders where status in ('placed', 'reserved', 'cancelling')),"
    " (select count(*) from main.once where answered_at is null),"
    " (select count(*) from main.dead_letters) + (select count(*) from products.dead_letters)"
    "   + (select count(*) from users.dead_letters),"
    " (select count(*) from main.erasures e where e.due_at <= e.asked_at + 10000000"
    "   or not exists (select 1 from main.orders o where o.customer = e.customer"
    "     and o.status = 'confirmed' and o.fulfilment in ('none', 'partial'))"
    "   or exists (select 1 from main.orders o where o.customer = e.customer and o.forgotten = 0"
    "     and (o.status in ('rejected', 'cancelled', 'completed') or (o.status = 'confirmed'"
    "       and o.fulfilment not in ('none', 'partial')))))";

static sqlite3_stmt *prepare_moment(sqlite3 *db, const struct moment *moment)
{
    char sql[1200];
    int len = snprintf(sql, sizeof sql, "%s%s%s%s", moment->sql, moment->id ? " and " : "",
                       moment->id ? moment->id : "", moment->id ? " = ?1" : "");
    ASSERT(len < (int)sizeof sql);
    return books_prepare(db, sql);
}

void check_open(struct check *check)
{
    struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
    check->db = books_connect(str_z(arena, check->world->folder));
    arena_close(arena);
    for (int i = 0; i < MOMENTS_COUNT; i++)
        check->moments[i] = prepare_moment(check->db, &moments[i]);
    check->ledger = books_prepare(check->db, ledger_sql);
    check->holds = books_prepare(check->db, holds_sql);
    check->stock = books_prepare(check->db, stock_sql);
    check->sums_count = 0;
    check->ledger_read = 0;
    for (int i = 0; i < MOVES_COUNT; i++) {
        check->moves[i] = books_prepare(check->db, moves[i].sql);
        memset(check->seen[i], 0, sizeof *check->seen[i] * SEEN_MAX);
    }
    check->order =
        books_prepare(check->db, "select status, version, customer from main.orders where id = ?1");
    check->settled = books_prepare(
        check->db, "select min(t.at) from main.timeline t join main.orders o on o.id = t.order_id"
                   " where t.order_id = ?1 and (t.what in ('confirmed', 'rejected', 'cancelling')"
                   " or (t.what = 'reserved' and o.provider = 'manual'))");
    check->bank = books_prepare(check->db, "select known from bank.payments where id = ?1");
    check->moving = books_prepare(check->db, moving_sql);
    for (int i = 0; i < BOOKS_LOOKED_AT; i++) {
        check->versions[i] = books_prepare(check->db, versions_sql[i]);
        check->looked_at[i] = -1;
    }
}

void check_close(struct check *check)
{
    if (!check->db)
        return;
    for (int i = 0; i < MOMENTS_COUNT; i++)
        sqlite3_finalize(check->moments[i]);
    sqlite3_finalize(check->order);
    sqlite3_finalize(check->settled);
    sqlite3_finalize(check->bank);
    sqlite3_finalize(check->moving);
    for (int i = 0; i < BOOKS_LOOKED_AT; i++)
        sqlite3_finalize(check->versions[i]);
    for (int i = 0; i < MOVES_COUNT; i++)
        sqlite3_finalize(check->moves[i]);
    sqlite3_finalize(check->ledger);
    sqlite3_finalize(check->holds);
    sqlite3_finalize(check->stock);
    int code = sqlite3_close(check->db);
    ASSERT(code == SQLITE_OK);
    check->db = NULL;
}

static unsigned changed_books(struct check *check)
{
    unsigned changed = 0;
    for (int i = 0; i < BOOKS_LOOKED_AT; i++) {
        int code = sqlite3_step(check->versions[i]);
        ASSERT(code == SQLITE_ROW);
        int64_t version = sqlite3_column_int64(check->versions[i], 0);
        if (version != check->looked_at[i])
            changed |= 1u << i;
        check->looked_at[i] = version;
        sqlite3_reset(check->versions[i]);
    }
    return changed;
}

/* The dead may hold what a reader of their books would wait for. */
static bool can_look(const struct check *check)
{
    return check->db && world_is_whole(check->world);
}

/* By the last bytes of the id, which are random. */
static bool has_moved(struct seen *seen, struct uuid id, int64_t number)
{
    uint64_t hash;
    memcpy(&hash, id.bytes + 8, sizeof hash);
    size_t i = hash % SEEN_MAX;
    while (seen[i].is_used && !uuid_equal(seen[i].id, id))
        i = (i + 1) % SEEN_MAX;
    if (seen[i].is_used && seen[i].number == number)
        return false;
    seen[i] = (struct seen){ id, number, true };
    return true;
}

static struct sum *sum_of(struct check *check, const char *sku)
{
    int i = 0;
    while (i < check->sums_count && strcmp(check->sums[i].sku, sku) != 0)
        i++;
    if (i == check->sums_count) {
        ASSERT(check->sums_count++ < SKUS_MAX && strlen(sku) < SKU_BYTES);
        check->sums[i] = (struct sum){ 0 };
        snprintf(check->sums[i].sku, SKU_BYTES, "%s", sku);
    }
    return &check->sums[i];
}

static bool next_of(sqlite3_stmt *row)
{
    int code = sqlite3_step(row);
    ASSERT(code == SQLITE_ROW || code == SQLITE_DONE);
    if (code == SQLITE_DONE)
        sqlite3_reset(row);
    return code == SQLITE_ROW;
}

static int find_moved(struct check *check, unsigned changed)
{
    int count = 0;
    for (int i = 0; i < MOVES_COUNT; i++)
        for (sqlite3_stmt *row = check->moves[i]; (moves[i].books & changed) && next_of(row);) {
            struct uuid id;
            ASSERT(sqlite3_column_bytes(row, 0) == sizeof id.bytes && count < SEEN_MAX / 2);
            memcpy(id.bytes, sqlite3_column_blob(row, 0), sizeof id.bytes);
            if (has_moved(check->seen[i], id, sqlite3_column_int64(row, 1)))
                check->moved[count++] = id;
        }
    return count;
}

static void sum_up_stock(struct check *check)
{
    sqlite3_bind_int64(check->ledger, 1, check->ledger_read);
    for (sqlite3_stmt *row = check->ledger; next_of(row);) {
        sum_of(check, books_text(row, 0))->ledger += sqlite3_column_int64(row, 1);
        check->ledger_read = sqlite3_column_int64(row, 2);
    }
    for (int i = 0; i < check->sums_count; i++)
        check->sums[i].held = 0;
    for (sqlite3_stmt *row = check->holds; next_of(row);)
        sum_of(check, books_text(row, 0))->held += sqlite3_column_int64(row, 1);
}

/* Nobody else runs meanwhile: these queries see the same books. */
static void look_at_stock(struct check *check)
{
    sum_up_stock(check);
    for (sqlite3_stmt *row = check->stock; next_of(row);) {
        const char *sku = books_text(row, 0);
        long long on_hand = sqlite3_column_int64(row, 1), reserved = sqlite3_column_int64(row, 2);
        const struct sum *sum = sum_of(check, sku);
        RULE(reserved >= 0 && on_hand >= reserved, never_negative,
             "%s: on hand %lld, reserved %lld", sku, on_hand, reserved);
        RULE(reserved == sum->held, reserved_is_held, "%s: reserved %lld, held %lld", sku, reserved,
             (long long)sum->held);
        RULE(on_hand == sum->ledger, on_hand_is_ledger, "%s: on hand %lld, ledger %lld", sku,
             on_hand, (long long)sum->ledger);
    }
}

void check_now(struct check *check)
{
    if (!can_look(check))
        return;
    unsigned changed = changed_books(check);
    if (changed & PRODUCTS)
        look_at_stock(check);
    int moved_count = find_moved(check, changed);
    for (int i = 0; i < MOMENTS_COUNT; i++) {
        if (!moments[i].id && (moments[i].books & changed))
            look(check->moments[i], moments[i].rule);
        for (int j = 0; moments[i].id && j < moved_count; j++) {
            sqlite3_bind_blob(check->moments[i], 1, check->moved[j].bytes,
                              sizeof check->moved[j].bytes, SQLITE_STATIC);
            look(check->moments[i], moments[i].rule);
        }
    }
}

void check_moments(sqlite3 *db)
{
    for (int i = 0; i < MOMENTS_COUNT; i++) {
        sqlite3_stmt *statement = books_prepare(db, moments[i].sql);
        look(statement, moments[i].rule);
        sqlite3_finalize(statement);
    }
}

bool check_is_moving(struct check *check, char *why, size_t room)
{
    static const char *const names[] = {
        "outbox of Orders",       "outbox of Products", "outbox of Users", "held by Orders",
        "held by Products",       "payment jobs",       "callbacks",       "orders on their way",
        "keys without an answer", "dead letters",       "people to forget"
    };
    int code = sqlite3_step(check->moving);
    ASSERT(code == SQLITE_ROW);
    bool is_moving = false;
    size_t len = 0;
    why[0] = '\0';
    for (int i = 0; i < sqlite3_column_count(check->moving); i++) {
        int64_t count = sqlite3_column_int64(check->moving, i);
        is_moving = is_moving || count > 0;
        if (count > 0 && len < room)
            len +=
                (size_t)snprintf(why + len, room - len, " %s: %lld;", names[i], (long long)count);
    }
    sqlite3_reset(check->moving);
    int on_their_way = world_backlog(check->world);
    if (on_their_way > 0 && len < room)
        snprintf(why + len, room - len, " events at the broker: %d;", on_their_way);
    return is_moving || on_their_way > 0;
}

void check_tell_moving(struct check *check, int fd)
{
    static const char *const told[] = {
        "select 'order ' || lower(hex(o.id)) || ' is ' || o.status || '/' || o.payment || '/'"
        " || o.fulfilment || ', version ' || o.version || ', last step \"'"
        " || coalesce((select what from main.timeline t where t.order_id = o.id"
        " order by version desc, position desc limit 1), '') || '\"' from main.orders o"
        " where o.status in ('placed', 'reserved', 'cancelling')",
        "select 'outbox of Orders: ' || type || ' ' || key || ' #' || number from main.outbox",
        "select 'outbox of Products: ' || type || ' ' || key || ' #' || number"
        " from products.outbox",
        "select 'held by Orders: ' || type || ' ' || key || ' #' || number from main.inbox_held",
        "select 'held by Products: ' || type || ' ' || key || ' #' || number"
        " from products.inbox_held",
        "select 'payment job: ' || kind || ' of ' || lower(hex(order_id)) from main.payment_jobs",
    };
    if (!check->db)
        return;
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        sqlite3_stmt *row = books_prepare(check->db, told[i]);
        while (sqlite3_step(row) == SQLITE_ROW)
            dprintf(fd, "  %s\n", books_text(row, 0));
        sqlite3_finalize(row);
    }
}

/* ---- when an answer is given ---- */

/* Who waits hears at once when it has settled. */
static void check_prompt(struct check *check, struct uuid id, const struct ask *ask,
                         const struct reply *reply)
{
    bool waits = ask->kind == ASK_PLACE && !reply->is_replay && reply->status != 202;
    if (!waits || !plan_has_one_clock(check->model->plan))
        return;
    sqlite3_bind_blob(check->settled, 1, id.bytes, sizeof id.bytes, SQLITE_TRANSIENT);
    int code = sqlite3_step(check->settled);
    ASSERT(code == SQLITE_ROW);
    int64_t late_us = clock_wall_us() - sqlite3_column_int64(check->settled, 0);
    sqlite3_reset(check->settled);
    RULE(late_us <= PROMPT_US + plan_slack_us(check->model->plan), "who waits hears at once",
         "the order of key %s settled %lld us before its buyer was told", ask->key,
         (long long)late_us);
}

static void check_on_disk(struct check *check, str id, const struct ask *ask,
                          const struct reply *reply)
{
    struct uuid uuid;
    RULE(uuid_parse(id, &uuid), "answers", "\"%" STR_F "\" is no order", STR_A(id));
    if (check->planted_early)
        uuid.bytes[15] ^= 1;
    sqlite3_bind_blob(check->order, 1, uuid.bytes, sizeof uuid.bytes, SQLITE_TRANSIENT);
    RULE(sqlite3_step(check->order) == SQLITE_ROW, "what is answered is on disk",
         "order %" STR_F " is not there", STR_A(id));
    int64_t version = sqlite3_column_int64(check->order, 1);
    RULE(version >= peek_int(reply->json, "version"), "what is answered is on disk",
         "order %" STR_F " is at version %lld", STR_A(id), (long long)version);
    bool is_rejected = strcmp(books_text(check->order, 0), "rejected") == 0;
    RULE(reply->status < 400 || is_rejected, "what is answered is on disk",
         "order %" STR_F " is %s", STR_A(id), books_text(check->order, 0));
    sqlite3_reset(check->order);
    check_prompt(check, uuid, ask, reply);
}

int check_bank_knows(struct check *check, const char *id)
{
    struct uuid uuid;
    bool is_id = uuid_parse(str_of_z(id), &uuid);
    ASSERT(is_id);
    if (!can_look(check))
        return -1;
    sqlite3_bind_blob(check->bank, 1, uuid.bytes, sizeof uuid.bytes, SQLITE_TRANSIENT);
    int known = sqlite3_step(check->bank) == SQLITE_ROW ? sqlite3_column_int(check->bank, 0) : -1;
    sqlite3_reset(check->bank);
    return known;
}

void check_plant_early(struct check *check) { check->planted_early = true; }

void check_answer(struct check *check, const struct ask *ask, const struct reply *reply)
{
    if (!can_look(check))
        return;
    str subject = peek_text(reply->json, "subject");
    if (reply->status < 300 && peek(reply->json, "payment_status"))
        check_on_disk(check, peek_text(reply->json, "id"), ask, reply);
    else if (reply->status >= 400 && subject.len > 0)
        check_on_disk(check, subject, ask, reply);
}
