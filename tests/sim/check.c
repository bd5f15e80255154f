#include "tests/sim/check.h"
#include "os/clock.h"
#include "tests/sim/story.h"
#include <stdio.h>
#include <unistd.h>

/* ---- at every moment ---- */

/* A rule as a query: each row that it gives is a violation, told by its first column. */
struct moment {
    const char *rule, *sql;
};

static const struct moment moments[] = {
    { "stock is never negative",
      "select sku || ': on hand ' || on_hand || ', reserved ' || reserved from products.stock"
      " where reserved < 0 or on_hand < reserved" },
    { "reserved is the sum of the open holds",
      "select k.sku || ': reserved ' || k.reserved || ', held '"
      " || coalesce(sum(h.quantity - h.shipped - h.released), 0)"
      " from products.stock k left join products.holds h on h.sku = k.sku group by k.sku"
      " having k.reserved <> coalesce(sum(h.quantity - h.shipped - h.released), 0)" },
    { "on hand is the sum of the ledger",
      "select k.sku || ': on hand ' || k.on_hand || ', ledger ' || coalesce(sum(l.delta), 0)"
      " from products.stock k left join products.ledger l on l.sku = k.sku group by k.sku"
      " having k.on_hand <> coalesce(sum(l.delta), 0)" },
    { "only open reservations hold units",
      "select lower(hex(h.order_id)) || ' ' || coalesce(r.state, 'none') || ' ' || h.sku"
      " from products.holds h left join products.reservations r on r.order_id = h.order_id"
      " where r.state is null or r.state = 'refused'"
      " or (r.state = 'closed' and h.quantity <> h.shipped + h.released)"
      " or (r.state = 'reserved' and h.released <> 0)" },
    { "no money without an order",
      "select lower(hex(b.id)) from bank.payments b left join main.orders o on o.id = b.id"
      " where o.id is null or o.provider <> 'simulator' or o.total_minor <> b.amount_minor" },
    { "money is captured only after the order was confirmed",
      "select lower(hex(b.id)) from bank.payments b where b.known in (3, 6) and not exists"
      " (select 1 from main.timeline t where t.order_id = b.id and t.what = 'confirmed')" },
    { "an order that is over keeps no money",
      "select lower(hex(o.id)) || ' ' || o.status || ', the bank says ' || b.known"
      " from main.orders o join bank.payments b on b.id = o.id"
      " where o.status in ('rejected', 'cancelled') and b.known not in (4, 5, 6)" },
    { "an order claims no more than the bank knows",
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
      "  when 'refunded' then coalesce(b.known, 0) <> 6 else 0 end" },
    { "what an order took and gave back follows its payment",
      "select lower(hex(id)) || ' ' || payment || ' ' || captured_minor || ' ' || refunded_minor"
      " from main.orders where captured_minor <>"
      " (case when payment in ('captured', 'refunding', 'refunded') then total_minor else 0 end)"
      " or refunded_minor <> (case when payment = 'refunded' then captured_minor else 0 end)" },
    { "no event is a dead letter but one that was refused",
      "select type || ' ' || key || ' ' || error from (select * from main.dead_letters union all"
      " select * from products.dead_letters union all select * from users.dead_letters)"
      " where instr(error, 'a test refuses it') = 0" },
};
enum { MOMENTS_COUNT = sizeof moments / sizeof moments[0] };

/* The books that the moments are about, and what the engine calls their version: another one where
 * somebody has committed. What was in order is not looked through again before. */
static const char *const versions_sql[] = { "pragma main.data_version",
                                            "pragma products.data_version",
                                            "pragma bank.data_version",
                                            "pragma users.data_version" };
enum { BOOKS_LOOKED_AT = sizeof versions_sql / sizeof versions_sql[0] };

/* Between settling and the answer, by the virtual clock: some steps. */
enum { PROMPT_US = 250 * 1000 };

struct check {
    struct model *model;
    const struct world *world;
    sqlite3 *db;
    sqlite3_stmt *moments[MOMENTS_COUNT], *order, *settled, *bank, *moving;
    sqlite3_stmt *versions[BOOKS_LOOKED_AT];
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

void check_open(struct check *check)
{
    struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
    check->db = books_connect(str_z(arena, check->world->folder));
    arena_close(arena);
    for (int i = 0; i < MOMENTS_COUNT; i++)
        check->moments[i] = books_prepare(check->db, moments[i].sql);
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
    int code = sqlite3_close(check->db);
    ASSERT(code == SQLITE_OK);
    check->db = NULL;
}

static bool has_changed(struct check *check)
{
    bool has = false;
    for (int i = 0; i < BOOKS_LOOKED_AT; i++) {
        int code = sqlite3_step(check->versions[i]);
        ASSERT(code == SQLITE_ROW);
        int64_t version = sqlite3_column_int64(check->versions[i], 0);
        has = has || version != check->looked_at[i];
        check->looked_at[i] = version;
        sqlite3_reset(check->versions[i]);
    }
    return has;
}

/* The dead may hold what a reader of their books would wait for. */
static bool can_look(const struct check *check)
{
    return check->db && world_is_whole(check->world);
}

void check_now(struct check *check)
{
    if (!can_look(check) || !has_changed(check))
        return;
    for (int i = 0; i < MOMENTS_COUNT; i++)
        look(check->moments[i], moments[i].rule);
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
