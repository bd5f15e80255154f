#include "chassis/db_postgresql.h"

#include "base/arena.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"
#include "os/random.h"

#include <stdio.h>

enum {
    LIFE_BYTES_MAX = 16 * 1024 * 1024,
    RETRY_US_MIN = 50 * 1000,
    RETRY_US_MAX = 1000 * 1000,
    ASK_AGAIN_US = 100 * 1000,
    ASK_MS_MAX = 20000, /* longer than a session of ours may be idle in a transaction */
    QUESTION_BYTES = 128,
    MARKS_KEPT_S = 7 * 24 * 3600,
};

static struct db_postgresql *of(struct db *db) { return (struct db_postgresql *)db; }

static struct tx tx_on(struct db_postgresql *self, struct arena *arena)
{
    return (struct tx){
        .arena = arena, .now = clock_wall_us(), .db = &self->db, .connection = self->writer
    };
}

/* ---- the URL ---- */

/* Adds what the URL does not say itself. */
static str with_defaults(struct arena *arena, str url)
{
    static const char *const defaults[][2] = {
        { "connect_timeout=", "5" },      { "application_name=", "duka" },
        { "client_encoding=", "UTF8" },   { "keepalives_idle=", "10" },
        { "keepalives_interval=", "5" },  { "keepalives_count=", "3" },
        { "tcp_user_timeout=", "15000" },
    };
    char sign = str_find_byte(url, '?') < 0 ? '?' : '&';
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (str_find(url, str_of_z(defaults[i][0])) >= 0)
            continue;
        url =
            str_format(arena, "%" STR_F "%c%s%s", STR_A(url), sign, defaults[i][0], defaults[i][1]);
        sign = '&';
    }
    return url;
}

static err read_url(struct db_postgresql *self, struct arena *arena, str url)
{
    char *words = NULL;
    str conninfo = with_defaults(self->arena, url);
    self->conninfo = str_z(self->arena, conninfo);
    self->place = str_z(self->arena, db_url_shown(self->arena, url));
    PQconninfoOption *options = PQconninfoParse(self->conninfo, &words);
    if (!options) {
        err error = fail(arena, SETTING_INVALID,
                         "The database URL \"%s\" cannot be read: %s Use"
                         " postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
                         self->place, words ? words : "");
        PQfreemem(words);
        return error;
    }
    PQconninfoFree(options);
    return OK;
}

/* ---- is it one session? ---- */

/* What one connection sets it must find again, and another must not, also while a transaction is
 * open: behind a pool that gives connections by the transaction it is otherwise. */
static err check_session(struct db_postgresql *self, struct arena *arena, struct db_connection *one)
{
    struct db_connection *other = postgresql_connection_new(self, false);
    char set[QUESTION_BYTES];
    snprintf(set, sizeof set, "set duka.session = 'x%016llx'", (unsigned long long)random_u64());
    str nothing, seen = STR_NONE, kept = STR_NONE;
    TRY(postgresql_ask(one, arena, set, &nothing));
    err error = postgresql_connect(other, arena);
    if (error == OK)
        error = postgresql_ask(other, arena, "begin", &nothing);
    if (error == OK)
        error = postgresql_ask(other, arena, "select current_setting('duka.session', true)", &seen);
    if (error == OK && seen.len == 0)
        error = postgresql_ask(one, arena, "select current_setting('duka.session', true)", &kept);
    postgresql_disconnect(other);
    TRY(error);
    if (seen.len == 0 && kept.len > 0 && str_find(str_of_z(set), kept) >= 0)
        return OK;
    return fail(arena, SETTING_INVALID,
                "%s is behind a pool that gives connections by the transaction: name the server"
                " itself, or a pool that gives them by the session",
                self->place);
}

/* ---- opening and closing ---- */

static void postgresql_close(struct db *db)
{
    struct db_postgresql *self = of(db);
    ASSERT(!self->listener);
    postgresql_disconnect(self->writer);
    for (struct db_connection *reader = self->readers_free; reader; reader = reader->next)
        postgresql_disconnect(reader);
    cond_done(&self->pool_changed);
    lock_done(&self->pool_lock);
    arena_close(self->arena);
}

static err prepare_self(struct arena *arena, const struct db_config *config,
                        const struct db_schema *schema, struct db_postgresql **out)
{
    struct arena *life = arena_open(LIFE_BYTES_MAX);
    struct db_postgresql *self = arena_new(life, struct db_postgresql);
    self->db.driver = &db_postgresql_driver;
    self->db.schema = schema;
    self->db.on_fatal = config->on_fatal;
    self->arena = life;
    self->durable = config->durable;
    self->repeatable = config->repeatable;
    self->readers_max = config->readers_max;
    self->statement_timeout_ms =
        config->statement_timeout_ms ? config->statement_timeout_ms : DB_STATEMENT_TIMEOUT_MS;
    self->lock_timeout_ms = config->lock_timeout_ms ? config->lock_timeout_ms : DB_LOCK_TIMEOUT_MS;
    lock_init(&self->pool_lock);
    cond_init(&self->pool_changed);
    self->writer = postgresql_connection_new(self, true);
    self->writer_id = id_new();
    err error = read_url(self, arena, config->url);
    if (error != OK) {
        postgresql_close(&self->db);
        return error;
    }
    *out = self;
    return OK;
}

/* Marks of processes that are long gone. */
static err sweep_marks(struct db_postgresql *self, struct arena *arena)
{
    struct tx tx = tx_on(self, arena);
    struct sql_writer_marks_sweep old = { .before = tx.now - MARKS_KEPT_S * TIME_SECOND };
    TRY(sql_writer_marks_sweep(&tx, &old, NULL));
    return postgresql_drain(self->writer, arena);
}

static err open_all(struct db_postgresql *self, struct arena *arena)
{
    TRY(postgresql_connect(self->writer, arena));
    TRY(check_session(self, arena, self->writer));
    TRY(postgresql_check_migrated(self->writer, arena, self->db.schema));
    TRY(postgresql_check(self->writer, arena, &chassis_schema));
    TRY(postgresql_check(self->writer, arena, self->db.schema));
    return sweep_marks(self, arena);
}

/* A missing right shows in the first statement that needs it. */
static err explained(struct db_postgresql *self, struct arena *arena, err error)
{
    if (!err_is(error, DB_FAILED) || str_find(error->detail, STR("42501")) < 0)
        return error;
    return fail_over(arena, SETTING_INVALID, error,
                     "%s: its role has not the rights that it needs (%" STR_F
                     "): let it own its database, or grant them",
                     self->place, STR_A(error->detail));
}

static err postgresql_open(struct arena *arena, const struct db_config *config, str place,
                           const struct db_schema *schema, struct db **out)
{
    (void)place;
    if (!schema->migrations_postgresql)
        return fail(arena, SETTING_INVALID, "%s cannot be on PostgreSQL: use sqlite:PATH",
                    schema->service);
    struct db_postgresql *self;
    TRY(prepare_self(arena, config, schema, &self));
    err error = explained(self, arena, open_all(self, arena));
    if (error != OK) {
        postgresql_close(&self->db);
        return error;
    }
    *out = &self->db;
    return OK;
}

static err postgresql_migrate_url(struct arena *arena, const struct db_config *config, str place,
                                  const struct db_schema *schema, int *applied)
{
    (void)place;
    struct db_postgresql *self;
    TRY(prepare_self(arena, config, schema, &self));
    err error = postgresql_connect(self->writer, arena);
    if (error == OK)
        error = check_session(self, arena, self->writer);
    if (error == OK)
        error = postgresql_migrate(self->writer, arena, schema, applied);
    error = explained(self, arena, error);
    postgresql_close(&self->db);
    return error;
}

/* ---- readers ---- */

/* A free connection, or a new one that is not open yet; NULL if none came in time. */
static struct db_connection *reader_take(struct db_postgresql *self)
{
    int64_t deadline_us = clock_mono_us() + POSTGRESQL_READER_WAIT_US;
    lock_take(&self->pool_lock);
    while (!self->readers_free && self->readers_open == self->readers_max) {
        if (!cond_wait_until(&self->pool_changed, &self->pool_lock, deadline_us) &&
            clock_mono_us() >= deadline_us)
            break;
    }
    struct db_connection *reader = self->readers_free;
    if (reader) {
        self->readers_free = reader->next;
    } else if (self->readers_open < self->readers_max) {
        reader = postgresql_connection_new(self, false);
        self->readers_open++;
    }
    lock_drop(&self->pool_lock);
    return reader;
}

/* One that is not connected goes behind all that are: the server may refuse what is new. */
static void reader_give_back(struct db_postgresql *self, struct db_connection *reader)
{
    lock_take(&self->pool_lock);
    struct db_connection **place = &self->readers_free;
    while (!reader->handle && *place)
        place = &(*place)->next;
    reader->next = *place;
    *place = reader;
    cond_wake_one(&self->pool_changed);
    lock_drop(&self->pool_lock);
}

static err postgresql_read_begin(struct db *db, struct arena *arena, struct db_reader **out)
{
    struct db_postgresql *self = of(db);
    struct db_connection *reader = reader_take(self);
    if (!reader)
        return fail(arena, DB_UNAVAILABLE, "all %d readers of %s are busy", self->readers_max,
                    self->place);
    reader->reader.begun = reader->reader.alone = false;
    *out = &reader->reader;
    return OK;
}

err postgresql_begin_snapshot(struct db_connection *connection, struct arena *arena)
{
    postgresql_settle(connection); /* takes the answer of the end of the last one */
    err error = postgresql_connect(connection, arena);
    if (err_is(error, SETTING_INVALID)) /* it was good at the start: the server has changed */
        return fail_over(arena, DB_UNAVAILABLE, error, "%" STR_F, STR_A(error->detail));
    TRY(error);
    connection->has_failed = false;
    if (connection->is_alone)
        return OK;
    TRY(postgresql_step(connection, arena, STEP_SNAPSHOT));
    connection->in_transaction = true;
    return OK;
}

static err postgresql_snapshot(struct db_reader *reader, struct arena *arena, bool alone)
{
    struct db_connection *connection = reader->connection;
    connection->is_fresh = true;
    connection->is_alone = alone;
    TRY(postgresql_begin_snapshot(connection, arena));
    reader->begun = !alone;
    return OK;
}

/* Its end is sent, and nobody waits for the answer: whoever reads next takes it first. */
static void postgresql_read_end(struct db_reader *reader)
{
    struct db_connection *connection = reader->connection;
    struct db_postgresql *self = connection->owner;
    postgresql_settle(connection);
    if (reader->begun && connection->handle) {
        connection->in_transaction = connection->is_fresh = false;
        struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
        bool is_sent = postgresql_step(connection, arena, STEP_END) == OK &&
                       PQpipelineSync(connection->handle) && PQflush(connection->handle) >= 0;
        arena_close(arena);
        if (is_sent) {
            connection->taken = 0;
            connection->is_synced = true;
        } else {
            postgresql_disconnect(connection);
        }
    }
    reader->begun = false;
    reader_give_back(self, connection);
}

/* ---- the writer's connection ---- */

/* Opens it, again and again for a while where the server is away: at first soon, then less often. A
 * server that was away for longer is asked once in a while only, and its writers hear so at once.
 */
static err writer_connect(struct db_postgresql *self, struct arena *arena, int64_t patience_ms)
{
    int64_t deadline_us = clock_mono_us() + patience_ms * 1000;
    for (;;) {
        int64_t now_us = clock_mono_us();
        if (self->retry_at_us > now_us) {
            if (self->retry_at_us > deadline_us)
                return fail(arena, DB_UNAVAILABLE, "%s is away", self->place);
            sleep_until(self->retry_at_us);
        }
        err error = postgresql_connect(self->writer, arena);
        if (error == OK) {
            self->retry_at_us = self->retry_wait_us = 0;
            return OK;
        }
        if (!err_is(error, DB_UNAVAILABLE) && !err_is(error, SETTING_INVALID))
            return error;
        int64_t wait_us = self->retry_wait_us ? 2 * self->retry_wait_us : RETRY_US_MIN;
        self->retry_wait_us = wait_us < RETRY_US_MAX ? wait_us : RETRY_US_MAX;
        self->retry_at_us = clock_mono_us() + self->retry_wait_us;
        if (self->retry_at_us >= deadline_us)
            return fail_over(arena, DB_UNAVAILABLE, error, "%" STR_F, STR_A(error->detail));
    }
}

/* Begins, asks for the transaction's number and writes its mark: none of it is waited for. */
static err send_transaction(struct db_postgresql *self, struct arena *arena)
{
    struct db_connection *writer = self->writer;
    TRY(postgresql_step(writer, arena, STEP_BEGIN));
    if (self->repeatable)
        return OK;
    TRY(postgresql_step(writer, arena, STEP_TRANSACTION));
    struct tx tx = tx_on(self, arena);
    struct sql_writer_mark_save mark = { .id = self->writer_id,
                                         .batch = ++self->batch,
                                         .at = tx.now };
    return sql_writer_mark_save(&tx, &mark, NULL);
}

static err postgresql_begin(struct db *db, struct arena *arena, struct db_connection **out)
{
    struct db_postgresql *self = of(db);
    struct db_connection *writer = self->writer;
    postgresql_settle(writer);
    ASSERT(!writer->in_transaction);
    TRY(writer_connect(self, arena, self->retry_wait_us == 0 ? POSTGRESQL_PATIENCE_MS : 0));
    writer->transaction = 0;
    writer->has_failed = false;
    TRY(send_transaction(self, arena));
    writer->in_transaction = true;
    *out = writer;
    return OK;
}

/* ---- commit, and what became of one whose answer did not come ---- */

/* Whether the transaction is still under way, and what mark stands in the table after that. The
 * number alone would not do: a server that crashed gives one anew whose transaction left nothing on
 * its disk, and another's commit would be taken for ours. */
static err ask_fate(struct db_postgresql *self, struct arena *arena, uint64_t transaction,
                    bool *is_over, bool *is_ours)
{
    char question[QUESTION_BYTES];
    str status = STR_NONE;
    TRY(writer_connect(self, arena, POSTGRESQL_PATIENCE_MS));
    snprintf(question, sizeof question, "select pg_xact_status('%llu'::xid8)",
             (unsigned long long)transaction);
    err error = postgresql_ask(self->writer, arena, question, &status);
    if (err_is(error, DB_UNAVAILABLE))
        return error;
    *is_over = error != OK /* the server has never heard of it */ ||
               !str_equal(status, STR("in progress"));

    struct tx tx = tx_on(self, arena);
    struct sql_writer_mark_find mark = { .id = self->writer_id };
    struct sql_writer_mark_find_row row;
    bool found;
    TRY(sql_tx_writer_mark_find(&tx, &mark, &row, &found));
    *is_ours = found && row.batch == self->batch;
    return OK;
}

static err find_fate(struct db_postgresql *self, struct arena *arena, uint64_t transaction)
{
    int64_t deadline_us = clock_mono_us() + ASK_MS_MAX * 1000;
    do {
        bool is_over = false, is_ours = false;
        err error = ask_fate(self, arena, transaction, &is_over, &is_ours);
        if (error == OK && is_ours)
            return OK;
        if (error == OK && is_over)
            return fail(arena, DB_UNAVAILABLE, "the connection to %s broke before its commit",
                        self->place);
        sleep_until(clock_mono_us() + ASK_AGAIN_US);
    } while (clock_mono_us() < deadline_us);
    return fail(arena, DB_UNCERTAIN, "%s went away while it committed transaction %llu",
                self->place, (unsigned long long)transaction);
}

static err postgresql_commit(struct db *db, struct arena *arena)
{
    struct db_postgresql *self = of(db);
    struct db_connection *writer = self->writer;
    if (writer->transaction == 0 && !self->repeatable)
        TRY(postgresql_drain(writer, arena)); /* so that its fate can be asked for */
    if (!writer->handle || writer->has_failed)
        return fail(arena, writer->handle ? DB_FAILED : DB_UNAVAILABLE,
                    "commit: the transaction has failed (%s)", self->place);
    uint64_t transaction = writer->transaction;
    TRY(postgresql_step(writer, arena, STEP_COMMIT));
    err error = postgresql_drain(writer, arena);
    if (error == OK)
        writer->in_transaction = false;
    if (err_is(error, DB_UNAVAILABLE) && !self->repeatable)
        return find_fate(self, arena, transaction);
    return error;
}

static void postgresql_rollback(struct db *db)
{
    struct db_connection *writer = of(db)->writer;
    postgresql_settle(writer);
    if (writer->handle && writer->in_transaction) {
        struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
        err error = postgresql_step(writer, arena, STEP_END);
        if (error == OK)
            error = postgresql_drain(writer, arena);
        if (error != OK)
            postgresql_disconnect(writer);
        arena_close(arena);
    }
    writer->in_transaction = false;
    writer->has_failed = true;
}

static bool postgresql_is_gone(struct db *db)
{
    const struct db_connection *writer = of(db)->writer;
    return !writer->handle || writer->has_failed || !writer->in_transaction;
}

/* ---- the rest ---- */

static void postgresql_maintain(struct db *db) { (void)db; }

static err postgresql_backup_begin(struct db *db, struct arena *arena, struct db_backup **out)
{
    (void)out;
    return fail(arena, SETTING_INVALID,
                "%s is PostgreSQL's to keep: use pg_dump, or its archive of the log",
                of(db)->place);
}

/* Never reached: no backup begins. */
static err postgresql_backup_run(struct db_backup *backup, struct arena *arena, str path)
{
    (void)backup;
    (void)path;
    return fail(arena, OS_FAILED, "no backup has begun");
}

static void postgresql_backup_end(struct db_backup *backup) { (void)backup; }

/* The server looks after its pages by itself. */
static err postgresql_check_all(struct db *db, struct arena *arena)
{
    (void)db;
    (void)arena;
    return OK;
}

static struct db_stats postgresql_stats(struct db *db)
{
    struct db_postgresql *self = of(db);
    lock_take(&self->pool_lock);
    struct db_stats stats = { .readers_busy = self->readers_open,
                              .readers_max = self->readers_max };
    for (const struct db_connection *free = self->readers_free; free; free = free->next)
        stats.readers_busy--;
    lock_drop(&self->pool_lock);
    return stats;
}

static void postgresql_limit_bytes(struct db *db, int64_t bytes_max)
{
    (void)db, (void)bytes_max; /* the server's disk is the server's */
}

const struct db_driver db_postgresql_driver = {
    .name = "postgresql",
    .is_shared = true,
    .open = &postgresql_open,
    .migrate = &postgresql_migrate_url,
    .close = &postgresql_close,
    .read_begin = &postgresql_read_begin,
    .read_end = &postgresql_read_end,
    .snapshot = &postgresql_snapshot,
    .read = &postgresql_read,
    .read_each = &postgresql_read_each,
    .run = &postgresql_run,
    .begin = &postgresql_begin,
    .commit = &postgresql_commit,
    .rollback = &postgresql_rollback,
    .is_gone = &postgresql_is_gone,
    .listen = &postgresql_listen,
    .unlisten = &postgresql_unlisten,
    .tell = &postgresql_tell,
    .maintain = &postgresql_maintain,
    .backup_begin = &postgresql_backup_begin,
    .backup_run = &postgresql_backup_run,
    .backup_end = &postgresql_backup_end,
    .check = &postgresql_check_all,
    .stats = &postgresql_stats,
    .limit_bytes = &postgresql_limit_bytes,
};
