#include "shelf.h"

#include "chassis/outbox.h"
#include "os/clock.h"
#include "tests/lib/postgresql.h"

enum { READERS = 4 };

static struct db *open_db(struct shelf *shelf, bool durable)
{
    struct db_config config = { .url = shelf->url, .readers_max = READERS, .durable = durable };
    struct db *db = NULL;
    CHECK_OK(db_open(shelf->t->arena, &config, &shelf_schema, &db));
    return db;
}

/* A schema of its own on the server, migrated. */
static void make_place(struct shelf *shelf)
{
    int applied = 0;
    shelf->url = test_postgresql_url(shelf->t);
    struct db_config config = { .url = shelf->url, .readers_max = READERS };
    CHECK_OK(db_migrate(shelf->t->arena, &config, &shelf_schema, &applied));
}

static void close_shelf(void *subject)
{
    struct shelf *shelf = subject;
    shelf_stop(shelf);
    db_close(shelf->db);
    cond_done(&shelf->told_changed);
    lock_done(&shelf->lock);
}

struct shelf *shelf_open(struct test *t)
{
    struct shelf *shelf = arena_new(t->arena, struct shelf);
    shelf->t = t;
    shelf->folder = test_folder(t);
    shelf->url = str_format(t->arena, "sqlite:%s/shelf.db", shelf->folder);
    if (test_on_postgresql())
        make_place(shelf);
    lock_init(&shelf->lock);
    cond_init(&shelf->told_changed);
    shelf->db = open_db(shelf, false);
    arena_defer(t->arena, close_shelf, shelf);
    return shelf;
}

void shelf_reopen(struct shelf *shelf, bool durable)
{
    shelf_stop(shelf);
    db_close(shelf->db);
    shelf->db = NULL;
    shelf->db = open_db(shelf, durable);
}

static void on_committed(void *subject, bool announced)
{
    if (!announced)
        return;
    __atomic_fetch_add(&((struct shelf *)subject)->committed, 1, __ATOMIC_RELAXED);
}

void shelf_start(struct shelf *shelf)
{
    shelf->writer = writer_open(shelf->db, "shelf", on_committed, shelf);
}

void shelf_stop(struct shelf *shelf)
{
    writer_close(shelf->writer);
    shelf->writer = NULL;
}

/* ---- writes ---- */

static void note_told(struct write *write, enum write_end end, err outcome)
{
    struct told *told = write->owner;
    struct shelf *shelf = told->shelf;
    lock_take(&shelf->lock);
    told->end = end;
    told->outcome = outcome;
    told->order = ++shelf->told_count;
    cond_wake_all(&shelf->told_changed);
    lock_drop(&shelf->lock);
}

struct write *shelf_write(struct shelf *shelf, write_batch *batch, const void *subject,
                          struct told *told)
{
    struct write *write = write_new(shelf->t->arena, batch, (void *)(uintptr_t)subject);
    *told = (struct told){ .shelf = shelf };
    write->owner = told;
    write->done = note_told;
    return write;
}

void shelf_wait_told(struct shelf *shelf, int count)
{
    lock_take(&shelf->lock);
    while (shelf->told_count < count)
        cond_wait(&shelf->told_changed, &shelf->lock);
    lock_drop(&shelf->lock);
}

void shelf_submit_all(struct shelf *shelf, struct write **writes, size_t count)
{
    lock_take(&shelf->lock);
    int before = shelf->told_count;
    lock_drop(&shelf->lock);
    writer_submit_many(shelf->writer, writes, count);
    shelf_wait_told(shelf, before + (int)count);
}

void shelf_do(struct shelf *shelf, err (*work)(struct tx *tx, void *subject), void *subject)
{
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, shelf->t->arena, clock_wall_us(), &tx));
    err error = work(&tx, subject);
    if (error == OK)
        error = tx_commit(&tx);
    if (error != OK)
        tx_rollback(&tx);
    CHECK_OK(error);
}

/* ---- counters ---- */

int64_t shelf_counter(struct shelf *shelf, const char *name)
{
    struct db_reader *reader = NULL;
    struct sql_counter_by_name params = { str_of_z(name) };
    struct sql_counter_by_name_row row;
    bool found = false;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    err error = sql_counter_by_name(reader, shelf->t->arena, &params, &row, &found);
    db_read_end(reader);
    CHECK_OK(error);
    return found ? row.value : -1;
}

int64_t shelf_sum(struct shelf *shelf)
{
    struct db_reader *reader = NULL;
    struct sql_counters_sum_row row = { 0 };
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    err error = sql_counters_sum(reader, shelf->t->arena, &row);
    db_read_end(reader);
    CHECK_OK(error);
    return row.total;
}

err shelf_add(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_counter_add *rows = arena_array(tx->arena, struct sql_counter_add, count);
    for (size_t i = 0; i < count; i++) {
        rows[i] = *(const struct sql_counter_add *)writes[i]->subject;
        outcomes[i] = OK;
    }
    return sql_counter_add_many(tx, rows, count, NULL);
}

err shelf_set(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_counter_set *rows = arena_array(tx->arena, struct sql_counter_set, count);
    for (size_t i = 0; i < count; i++) {
        rows[i] = *(const struct sql_counter_set *)writes[i]->subject;
        outcomes[i] = OK;
    }
    return sql_counter_set_many(tx, rows, count, NULL);
}

/* ---- events ---- */

void shelf_announce(struct write *write, const char *key, int64_t number)
{
    static const struct event_spec spec = { .name = "shelf.v1.Moved", .topic = "shelf.v1" };
    struct outbox_event *event = arena_new(write->arena, struct outbox_event);
    *event = (struct outbox_event){
        .spec = &spec, .key = str_of_z(key), .number = number, .payload = STR("moved")
    };
    *write->events_tail = event;
    write->events_tail = &event->next;
}

int64_t shelf_outbox_count(struct shelf *shelf)
{
    struct db_reader *reader = NULL;
    struct backlog backlog = { 0 };
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    err error = outbox_backlog(reader, shelf->t->arena, &backlog);
    db_read_end(reader);
    CHECK_OK(error);
    return backlog.rows_count;
}

/* ---- keys ---- */

struct uuid shelf_id(int number)
{
    struct uuid id = { { 0x01 } };
    id.bytes[14] = (uint8_t)(number >> 8);
    id.bytes[15] = (uint8_t)number;
    return id;
}

struct once_claim *shelf_claim(struct shelf *shelf, const char *key, const char *body, int subject)
{
    struct once_claim *claim = arena_new(shelf->t->arena, struct once_claim);
    claim->scope = STR("customer 1 POST /orders");
    claim->key = str_of_z(key);
    size_t len = strlen(body);
    memcpy(claim->body_hash.bytes, body, len < 32 ? len : 32);
    if (subject > 0)
        claim->subject = shelf_id(subject);
    once_name(claim);
    return claim;
}

enum once_found shelf_find(struct shelf *shelf, struct once_claim *claim, str *answer)
{
    struct db_reader *reader = NULL;
    enum once_found found = ONCE_NEW;
    struct answer kept = { 0 };
    struct uuid subject;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    err error = once_find(reader, shelf->t->arena, claim, &found, &kept, &subject);
    db_read_end(reader);
    CHECK_OK(error);
    if (answer)
        *answer = kept.message;
    return found;
}

struct answer shelf_answer(const char *text)
{
    return (struct answer){ .known = true, .status = 201, .message = str_of_z(text) };
}
