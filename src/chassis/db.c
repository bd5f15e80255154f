#include "chassis/db.h"

#include "chassis/db_driver.h"
#include "chassis/trace.h"
#include "os/clock.h"

/* ---- opening ---- */

static const struct {
    str scheme;
    const struct db_driver *driver;
} SCHEMES[] = {
    { STR("sqlite:"), &db_sqlite_driver },
    { STR("postgresql://"), &db_postgresql_driver },
    { STR("postgres://"), &db_postgresql_driver },
};

/* The engine that a URL asks for, and what follows its scheme. */
static err find_driver(struct arena *arena, str url, const struct db_driver **driver, str *place)
{
    for (size_t i = 0; i < sizeof SCHEMES / sizeof SCHEMES[0]; i++) {
        if (!str_starts(url, SCHEMES[i].scheme))
            continue;
        *driver = SCHEMES[i].driver;
        *place = str_slice(url, SCHEMES[i].scheme.len, url.len);
        return OK;
    }
    return fail(arena, SETTING_INVALID,
                "The database URL \"%" STR_F
                "\" is none: use sqlite:PATH or postgresql://USER@HOST/DATABASE.",
                STR_A(db_url_shown(arena, url)));
}

err db_open(struct arena *arena, const struct db_config *config, const struct db_schema *schema,
            struct db **out)
{
    ASSERT(arena && config && schema && out);
    ASSERT(config->readers_max > 0);

    const struct db_driver *driver;
    str place;
    TRY(find_driver(arena, config->url, &driver, &place));
    TRY(driver->open(arena, config, place, schema, out));
    lock_init(&(*out)->faults_lock);
    return OK;
}

err db_migrate(struct arena *arena, const struct db_config *config, const struct db_schema *schema,
               int *applied)
{
    ASSERT(arena && config && schema && applied);
    const struct db_driver *driver;
    str place;
    TRY(find_driver(arena, config->url, &driver, &place));
    return driver->migrate(arena, config, place, schema, applied);
}

bool db_is_shared(const struct db *db)
{
    ASSERT(db);
    return db->driver->is_shared;
}

/* The value of `password=` in the query, or what stands between ':' and the last '@'. */
str db_url_shown(struct arena *arena, str url)
{
    ASSERT(arena);
    ptrdiff_t scheme = str_find(url, STR("://"));
    if (scheme < 0)
        return url;
    size_t from = (size_t)scheme + 3, at = 0, colon = 0;
    for (size_t i = from; i < url.len && url.ptr[i] != '?'; i++) {
        if (url.ptr[i] == '@')
            at = i;
        if (url.ptr[i] == ':' && colon == 0)
            colon = i;
    }
    if (at > colon && colon > 0)
        url = str_format(arena, "%" STR_F ":***%" STR_F, STR_A(str_slice(url, 0, colon)),
                         STR_A(str_slice(url, at, url.len)));
    ptrdiff_t word = str_find(url, STR("password="));
    if (word < 0)
        return url;
    size_t value = (size_t)word + STR("password=").len;
    str rest = str_slice(url, value, url.len);
    ptrdiff_t end = str_find_byte(rest, '&');
    return str_format(arena, "%" STR_F "***%" STR_F, STR_A(str_slice(url, 0, value)),
                      STR_A(end < 0 ? STR("") : str_slice(rest, (size_t)end, rest.len)));
}

void db_close(struct db *db)
{
    if (!db)
        return;
    lock_done(&db->faults_lock);
    db->driver->close(db);
}

_Noreturn void db_fatal(const struct db *db, const char *what)
{
    ASSERT(db && what);
    if (db->on_fatal)
        db->on_fatal(what);
    panic(ERR_PLACE, what, db->schema->service);
}

/* ---- faults ---- */

void db_fail_at(struct db *db, enum db_step step, int64_t nth, enum db_fault fault)
{
    ASSERT(db && step < DB_STEPS_COUNT && (nth > 0 || fault == DB_FAULT_NONE));
    lock_take(&db->faults_lock);
    db->faults[step].at = fault == DB_FAULT_NONE ? 0 : db->faults[step].steps + nth;
    db->faults[step].fault = fault;
    lock_drop(&db->faults_lock);
    __atomic_store_n(&db->faults_armed, true, __ATOMIC_RELEASE);
}

int64_t db_steps_taken(struct db *db, enum db_step step)
{
    ASSERT(db && step < DB_STEPS_COUNT);
    lock_take(&db->faults_lock);
    int64_t steps = db->faults[step].steps;
    lock_drop(&db->faults_lock);
    return steps;
}

void db_limit_bytes(struct db *db, int64_t bytes_max)
{
    ASSERT(db && bytes_max >= 0);
    db->driver->limit_bytes(db, bytes_max);
}

/* Counts `count` steps; fails if one of them was meant to. */
static err take_steps(struct db *db, struct arena *arena, enum db_step step, size_t count)
{
    struct db_fault_plan *plan = &db->faults[step];
    lock_take(&db->faults_lock);
    plan->steps += (int64_t)count;
    bool fails = plan->at != 0 && plan->steps >= plan->at;
    enum db_fault fault = plan->fault;
    if (fails)
        plan->at = 0;
    lock_drop(&db->faults_lock);
    if (!fails)
        return OK;

    if (fault == DB_FAULT_FSYNC)
        db_fatal(db, "fsync failed (a planned fault)");
    if (fault != DB_FAULT_FAILED && step != DB_STEP_READ && step != DB_STEP_BEGIN)
        db->driver->rollback(db);
    return fail(arena, fault == DB_FAULT_FULL ? DB_FULL : DB_FAILED, "a planned fault");
}

static inline err step(struct db *db, struct arena *arena, enum db_step kind, size_t count)
{
    if (__builtin_expect(__atomic_load_n(&db->faults_armed, __ATOMIC_ACQUIRE), 0))
        return take_steps(db, arena, kind, count);
    return OK;
}

/* ---- spans ---- */

/* When a statement begins that a span will tell of; 0: none will. */
static int64_t begin_statement(size_t count)
{
    bool is_told = count > 0 && trace_here(); /* of none the database hears nothing */
    return is_told ? clock_mono_us() : 0;
}

/* By the name in queries.sql; never a value. */
static void tell_statement(const struct db *db, const char *name, size_t count, int64_t since_us,
                           err error)
{
    struct span span;
    span_begin_here_since(&span, SPAN_CLIENT, str_of_z(name), since_us);
    span_text(&span, "db.system.name", str_of_z(db->driver->name));
    span_text(&span, "db.namespace", str_of_z(db->schema->service));
    span_text(&span, "db.query.summary", str_of_z(name));
    if (count > 1)
        span_number(&span, "db.operation.batch.size", (int64_t)count);
    if (error != OK)
        span_fail(&span, err_word(error->code));
    span_end(&span);
}

/* What it says of the database itself: one that is not there, or is there again. */
static void note_database(struct db *db, err error)
{
    int64_t away_us = __atomic_load_n(&db->away_us, __ATOMIC_RELAXED);
    if (error == OK && away_us != 0)
        __atomic_store_n(&db->away_us, 0, __ATOMIC_RELAXED);
    if (err_is(error, DB_UNAVAILABLE) && away_us == 0)
        __atomic_store_n(&db->away_us, clock_mono_us(), __ATOMIC_RELAXED);
    if (error != OK)
        __atomic_fetch_add(&db->failures, 1, __ATOMIC_RELAXED);
}

int64_t db_away_us(const struct db *db)
{
    ASSERT(db);
    return __atomic_load_n(&db->away_us, __ATOMIC_RELAXED);
}

const char *db_engine(const struct db *db)
{
    ASSERT(db);
    return db->driver->name;
}

static err end_statement(struct db *db, const char *name, size_t count, int64_t since_us, err error)
{
    note_database(db, error);
    if (since_us != 0)
        tell_statement(db, name, count, since_us, error);
    return error;
}

/* ---- reading ---- */

err db_read_begin(struct db *db, struct arena *arena, struct db_reader **out)
{
    ASSERT(db && arena && out);
    return db->driver->read_begin(db, arena, out);
}

err db_read_aside(struct db *db, struct arena *arena, struct db_reader **out)
{
    ASSERT(db && arena && out);
    return db->driver->read_aside ? db->driver->read_aside(db, arena, out)
                                  : db->driver->read_begin(db, arena, out);
}

void db_end_aside(struct db *db)
{
    ASSERT(db);
    if (db->driver->end_aside)
        db->driver->end_aside(db);
}

void db_read_end(struct db_reader *reader)
{
    if (reader)
        reader->db->driver->read_end(reader);
}

void db_read_alone(struct db_reader *reader)
{
    ASSERT(reader);
    reader->alone = true;
}

/* Before each read: the snapshot, where none has begun. */
static err begin_read(struct db_reader *reader, struct arena *arena, const struct query *query,
                      const void *params)
{
    ASSERT(reader && arena && query);
    ASSERT(!query->writes && query->columns_count > 0);
    ASSERT(params || query->params_count == 0);

    struct db *db = reader->db;
    bool is_alone = reader->alone;
    reader->alone = false;
    TRY(step(db, arena, DB_STEP_READ, 1));
    if (!reader->begun)
        TRY(db->driver->snapshot(reader, arena, is_alone));
    __atomic_fetch_add(&db->reads, 1, __ATOMIC_RELAXED);
    return OK;
}

static err read_snapshot(struct db_reader *reader, struct arena *arena, const struct query *query,
                         const void *params, struct db_rows *rows)
{
    int64_t since_us = begin_statement(1);
    err error = begin_read(reader, arena, query, params);
    if (error == OK)
        error = reader->db->driver->read(reader->connection, arena, query, params, rows);
    return end_statement(reader->db, query->name, 1, since_us, error);
}

static err run_each(struct db *db, struct db_connection *connection, struct arena *arena,
                    const struct query *query, const void *params, size_t count,
                    struct db_rows *rows, size_t *counts)
{
    if (db->driver->read_each)
        return db->driver->read_each(connection, arena, query, params, count, rows, counts);
    const char *one = params;
    for (size_t i = 0; i < count; i++, one += query->params_size) {
        size_t before = rows->count;
        TRY(db->driver->read(connection, arena, query, one, rows));
        counts[i] = rows->count - before;
    }
    return OK;
}

static err begin_read_each(struct db_reader *reader, struct arena *arena, const struct query *query,
                           const void *params)
{
    err error = begin_read(reader, arena, query, params);
    if (error != OK)
        note_database(reader->db, error);
    return error;
}

/* All rows of all params into one array. */
static err read_each(struct db *db, struct db_connection *connection, struct arena *arena,
                     const struct query *query, const void *params, size_t count,
                     struct db_rows *rows, size_t *counts)
{
    int64_t since_us = begin_statement(count);
    return end_statement(db, query->name, count, since_us,
                         run_each(db, connection, arena, query, params, count, rows, counts));
}

/* The rows that were found, each at the place of its params. */
static void spread(const struct query *query, const struct db_rows *found_rows, size_t count,
                   const size_t *counts, void *rows, bool *found)
{
    const char *from = found_rows->out;
    char *to = rows;
    for (size_t i = 0; i < count; i++, to += query->row_size) {
        found[i] = counts[i] > 0;
        if (found[i])
            memcpy(to, from, query->row_size);
        from += counts[i] * query->row_size;
    }
}

err db_maybe_each(struct db_reader *reader, struct arena *arena, const struct query *query,
                  const void *params, size_t count, void *rows, bool *found)
{
    ASSERT(count == 0 || (params && rows && found));
    if (count == 0)
        return OK;
    struct db_rows all = { .many = true };
    size_t *counts = arena_array(arena, size_t, count);
    TRY(begin_read_each(reader, arena, query, params));
    TRY(read_each(reader->db, reader->connection, arena, query, params, count, &all, counts));
    spread(query, &all, count, counts, rows, found);
    return OK;
}

err db_many_each(struct db_reader *reader, struct arena *arena, const struct query *query,
                 const void *params, size_t count, void **rows, size_t *counts)
{
    ASSERT(rows && (count == 0 || (params && counts)));
    struct db_rows all = { .many = true };
    if (count > 0) {
        TRY(begin_read_each(reader, arena, query, params));
        TRY(read_each(reader->db, reader->connection, arena, query, params, count, &all, counts));
    }
    *rows = all.out;
    return OK;
}

err db_one(struct db_reader *reader, struct arena *arena, const struct query *query,
           const void *params, void *row)
{
    ASSERT(row);
    struct db_rows rows = { .out = row };
    TRY(read_snapshot(reader, arena, query, params, &rows));
    if (rows.count == 0)
        return fail(arena, NOT_FOUND, "%s found nothing", query->name);
    return OK;
}

err db_maybe(struct db_reader *reader, struct arena *arena, const struct query *query,
             const void *params, void *row, bool *found)
{
    ASSERT(row && found);
    struct db_rows rows = { .out = row };
    TRY(read_snapshot(reader, arena, query, params, &rows));
    *found = rows.count > 0;
    return OK;
}

err db_many(struct db_reader *reader, struct arena *arena, const struct query *query,
            const void *params, void **rows_out, size_t *count)
{
    ASSERT(rows_out && count);
    struct db_rows rows = { .many = true };
    TRY(read_snapshot(reader, arena, query, params, &rows));
    *rows_out = rows.out;
    *count = rows.count;
    return OK;
}

/* ---- writing ---- */

static err read_tx(struct tx *tx, const struct query *query, const void *params,
                   struct db_rows *rows)
{
    ASSERT(tx && query && query->columns_count > 0);
    ASSERT(params || query->params_count == 0);
    TRY(step(tx->db, tx->arena, DB_STEP_STATEMENT, 1));
    int64_t since_us = begin_statement(1);
    return end_statement(tx->db, query->name, 1, since_us,
                         tx->db->driver->read(tx->connection, tx->arena, query, params, rows));
}

err tx_one(struct tx *tx, const struct query *query, const void *params, void *row)
{
    ASSERT(row);
    struct db_rows rows = { .out = row };
    TRY(read_tx(tx, query, params, &rows));
    if (rows.count == 0)
        return fail(tx->arena, NOT_FOUND, "%s found nothing", query->name);
    return OK;
}

err tx_maybe(struct tx *tx, const struct query *query, const void *params, void *row, bool *found)
{
    ASSERT(row && found);
    struct db_rows rows = { .out = row };
    TRY(read_tx(tx, query, params, &rows));
    *found = rows.count > 0;
    return OK;
}

err tx_many(struct tx *tx, const struct query *query, const void *params, void **rows_out,
            size_t *count)
{
    ASSERT(rows_out && count);
    struct db_rows rows = { .many = true };
    TRY(read_tx(tx, query, params, &rows));
    *rows_out = rows.out;
    *count = rows.count;
    return OK;
}

static err read_tx_each(struct tx *tx, const struct query *query, const void *params, size_t count,
                        struct db_rows *all, size_t *counts)
{
    ASSERT(tx && query && query->columns_count > 0 && !query->writes);
    TRY(step(tx->db, tx->arena, DB_STEP_STATEMENT, 1));
    return read_each(tx->db, tx->connection, tx->arena, query, params, count, all, counts);
}

err tx_maybe_each(struct tx *tx, const struct query *query, const void *params, size_t count,
                  void *rows, bool *found)
{
    ASSERT(count == 0 || (params && rows && found));
    if (count == 0)
        return OK;
    struct db_rows all = { .many = true };
    size_t *counts = arena_array(tx->arena, size_t, count);
    TRY(read_tx_each(tx, query, params, count, &all, counts));
    spread(query, &all, count, counts, rows, found);
    return OK;
}

err tx_many_each(struct tx *tx, const struct query *query, const void *params, size_t count,
                 void **rows, size_t *counts)
{
    ASSERT(rows && (count == 0 || (params && counts)));
    struct db_rows all = { .many = true };
    if (count > 0)
        TRY(read_tx_each(tx, query, params, count, &all, counts));
    *rows = all.out;
    return OK;
}

err tx_run(struct tx *tx, const struct query *query, const void *params, int64_t *changed)
{
    return tx_run_many(tx, query, params, 1, changed);
}

err tx_run_many(struct tx *tx, const struct query *query, const void *params, size_t count,
                int64_t *changed)
{
    ASSERT(tx && query && query->columns_count == 0 && query->writes);
    ASSERT(params || query->params_count == 0 || count == 0);
    TRY(step(tx->db, tx->arena, DB_STEP_STATEMENT, count));
    int64_t since_us = begin_statement(count);
    return end_statement(
        tx->db, query->name, count, since_us,
        tx->db->driver->run(tx->connection, tx->arena, query, params, count, changed));
}

err tx_begin(struct db *db, struct arena *arena, time_us now, struct tx *out)
{
    ASSERT(db && arena && out);
    TRY(step(db, arena, DB_STEP_BEGIN, 1));
    struct db_connection *connection;
    err error = db->driver->begin(db, arena, &connection);
    if (error != OK)
        note_database(db, error);
    TRY(error);
    *out = (struct tx){
        .arena = arena, .now = now, .db = db, .connection = connection, .epoch = ++db->epoch
    };
    return OK;
}

err tx_commit(struct tx *tx)
{
    ASSERT(tx && tx->db);
    TRY(step(tx->db, tx->arena, DB_STEP_COMMIT, 1));
    int64_t since_us = begin_statement(1);
    TRY(end_statement(tx->db, "commit", 1, since_us, tx->db->driver->commit(tx->db, tx->arena)));
    __atomic_fetch_add(&tx->db->commits, 1, __ATOMIC_RELAXED);
    return OK;
}

void tx_rollback(struct tx *tx)
{
    ASSERT(tx && tx->db);
    tx->db->driver->rollback(tx->db);
}

bool tx_is_gone(const struct tx *tx)
{
    ASSERT(tx && tx->db);
    return tx->db->driver->is_gone(tx->db);
}

/* ---- hints ---- */

void db_listen(struct db *db, void (*heard)(void *subject, str word), void *subject)
{
    ASSERT(db && heard);
    if (db->driver->listen)
        db->driver->listen(db, heard, subject);
}

void db_unlisten(struct db *db)
{
    ASSERT(db);
    if (db->driver->unlisten)
        db->driver->unlisten(db);
}

void db_tell(struct db *db, str word)
{
    ASSERT(db && word.len > 0);
    if (db->driver->tell)
        db->driver->tell(db, word);
}

/* ---- the rest ---- */

void db_maintain(struct db *db)
{
    ASSERT(db);
    db->driver->maintain(db);
    if (!__atomic_load_n(&db->forgets, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&db->forgets, false, __ATOMIC_RELAXED);
    if (db->driver->forget && !db->driver->forget(db))
        db_forget(db);
}

void db_forget(struct db *db)
{
    ASSERT(db);
    __atomic_store_n(&db->forgets, true, __ATOMIC_RELAXED);
}

err db_backup(struct db *db, struct arena *arena, str path)
{
    ASSERT(db && arena && path.len > 0);
    struct db_backup *backup = NULL;
    err error = db_backup_begin(db, arena, &backup);
    if (error == OK)
        error = db_backup_run(backup, arena, path);
    db_backup_end(backup);
    return error;
}

err db_backup_begin(struct db *db, struct arena *arena, struct db_backup **out)
{
    ASSERT(db && arena && out);
    return db->driver->backup_begin(db, arena, out);
}

err db_backup_run(struct db_backup *backup, struct arena *arena, str path)
{
    ASSERT(backup && arena && path.len > 0);
    return backup->db->driver->backup_run(backup, arena, path);
}

void db_backup_end(struct db_backup *backup)
{
    if (backup)
        backup->db->driver->backup_end(backup);
}

err db_check(struct db *db, struct arena *arena)
{
    ASSERT(db && arena);
    return db->driver->check(db, arena);
}

struct db_stats db_stats_of(struct db *db)
{
    ASSERT(db);
    struct db_stats stats = db->driver->stats(db);
    stats.commits = __atomic_load_n(&db->commits, __ATOMIC_RELAXED);
    stats.reads = __atomic_load_n(&db->reads, __ATOMIC_RELAXED);
    stats.statements = __atomic_load_n(&db->statements, __ATOMIC_RELAXED);
    stats.round_trips = __atomic_load_n(&db->round_trips, __ATOMIC_RELAXED);
    stats.failures = __atomic_load_n(&db->failures, __ATOMIC_RELAXED);
    return stats;
}

/* ---- changes ---- */

void tx_note_change(struct tx *tx, struct uuid subject)
{
    ASSERT(tx && !uuid_is_nil(subject));
    size_t bytes = tx->changed_count * sizeof *tx->changed;
    tx->changed = arena_grow(tx->arena, tx->changed, bytes, bytes + sizeof *tx->changed);
    tx->changed[tx->changed_count++] = subject;
}
