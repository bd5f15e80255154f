#include "chassis/db_sqlite.h"

#include "base/arena.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"

#include <stdio.h>
#include <threads.h>

enum { LIFE_BYTES_MAX = 16 * 1024 * 1024 };

/* The inner pages of a million orders fit into a writer's 1 MiB, those of a million products into a
 * reader's 2.5 MiB; what is below them is read at random, and no cache of a few megabytes would
 * hold it (bench/RESULTS.md). */
static const char *const WRITER_PRAGMAS[] = {
    "pragma journal_mode=wal",   "pragma foreign_keys=on",  "pragma temp_store=memory",
    "pragma cache_size=-1024",   "pragma mmap_size=0",      "pragma journal_size_limit=8388608",
    "pragma trusted_schema=off", "pragma secure_delete=on",
};

static const char *const READER_PRAGMAS[] = {
    "pragma query_only=on", "pragma temp_store=memory",  "pragma cache_size=-2560",
    "pragma mmap_size=0",   "pragma trusted_schema=off",
};

static struct db_sqlite *of(struct db *db) { return (struct db_sqlite *)db; }

/* ---- connections ---- */

/* No locks inside the library, for a connection has one thread at a time; no counting of memory. */
static void configure_library(void)
{
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_initialize();
}

/* The writer's log has this many frames after a commit. */
static int on_commit(void *subject, sqlite3 *handle, const char *schema, int frames)
{
    (void)handle, (void)schema;
    struct db_sqlite *self = subject;
    if (frames < self->wal_frames) /* it began anew */
        self->checkpoint_at_frames = SQLITE_CHECKPOINT_FRAMES;
    __atomic_store_n(&self->wal_frames, frames, __ATOMIC_RELAXED);
    return SQLITE_OK;
}

static err set_up(struct db_connection *connection, struct arena *arena, const char *const *pragmas,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int code = sqlite3_exec(connection->handle, pragmas[i], NULL, NULL, NULL);
        if (code != SQLITE_OK)
            return sqlite_error(connection, arena, code, pragmas[i]);
    }
    sqlite3_db_config(connection->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(connection->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    /* Else a statement with `limit $1` is compiled anew each time that it is bound. */
    sqlite3_db_config(connection->handle, SQLITE_DBCONFIG_ENABLE_QPSG, 1, NULL);
    TRY(sqlite_prepare_plain(connection, arena, "commit", &connection->commit));
    return sqlite_prepare_plain(connection, arena, "rollback", &connection->rollback);
}

/* Memory of a connection, without its handle. */
static struct db_connection *connection_new(struct db_sqlite *self)
{
    struct db_connection *connection = arena_new(self->arena, struct db_connection);
    const struct db_schema *schemas[SPACES_COUNT] = { &chassis_schema, self->db.schema };
    connection->owner = self;
    connection->reader = (struct db_reader){ .db = &self->db, .connection = connection };
    for (int i = 0; i < SPACES_COUNT; i++)
        connection->statements[i] =
            arena_array(self->arena, sqlite3_stmt *, (size_t)schemas[i]->queries_count);
    return connection;
}

static err connection_open(struct db_connection *connection, struct arena *arena, int flags)
{
    flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(connection->owner->path, &connection->handle, flags, NULL);
    return code == SQLITE_OK ? OK : sqlite_error(connection, arena, code, "open");
}

/* Only our own: a virtual table (FTS5) keeps statements of its own on the connection. */
static void finalize_statements(struct db_connection *connection)
{
    const struct db_schema *schemas[SPACES_COUNT] = { &chassis_schema,
                                                      connection->owner->db.schema };
    for (int i = 0; i < SPACES_COUNT; i++)
        for (int j = 0; connection->statements[i] && j < schemas[i]->queries_count; j++) {
            sqlite3_finalize(connection->statements[i][j]);
            connection->statements[i][j] = NULL;
        }
    sqlite3_finalize(connection->begin);
    sqlite3_finalize(connection->commit);
    sqlite3_finalize(connection->rollback);
}

/* Can be opened again. */
static void connection_close(struct db_connection *connection)
{
    if (!connection || !connection->handle)
        return;
    sqlite_settle(connection);
    finalize_statements(connection);
    int code = sqlite3_close(connection->handle);
    ASSERT(code == SQLITE_OK);
    connection->handle = NULL;
    connection->begin = connection->commit = connection->rollback = NULL;
}

/* SQLite stays with its old journal, and says so only here, where it cannot have a log. */
static err check_log(struct db_connection *writer, struct arena *arena)
{
    sqlite3_stmt *statement;
    TRY(sqlite_prepare_plain(writer, arena, "pragma journal_mode", &statement));
    bool is_wal = sqlite3_step(statement) == SQLITE_ROW &&
                  str_equal(str_of_z((const char *)sqlite3_column_text(statement, 0)), STR("wal"));
    sqlite3_finalize(statement);
    return is_wal
               ? OK
               : fail(arena, DB_FAILED, "%s cannot have a write-ahead log: use a local file system",
                      writer->owner->path);
}

static err writer_connect(struct db_sqlite *self, struct arena *arena)
{
    struct db_connection *writer = self->writer = connection_new(self);
    TRY(connection_open(writer, arena, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
    TRY(set_up(writer, arena, WRITER_PRAGMAS, sizeof WRITER_PRAGMAS / sizeof WRITER_PRAGMAS[0]));
    TRY(check_log(writer, arena));
    TRY(sqlite_prepare_plain(writer, arena, "begin immediate", &writer->begin));

    const char *synchronous = self->durable ? "pragma synchronous=full" : "pragma synchronous=off";
    int code = sqlite3_exec(writer->handle, synchronous, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return sqlite_error(writer, arena, code, synchronous);

    sqlite3_wal_hook(writer->handle, &on_commit,
                     self); /* takes the automatic checkpoint off, too */
    sqlite3_file_control(writer->handle, "main", SQLITE_FCNTL_FILE_POINTER, &self->file);
    return OK;
}

static err reader_connect(struct db_connection *reader, struct arena *arena)
{
    TRY(connection_open(reader, arena, SQLITE_OPEN_READONLY));
    TRY(set_up(reader, arena, READER_PRAGMAS, sizeof READER_PRAGMAS / sizeof READER_PRAGMAS[0]));
    return sqlite_prepare_plain(reader, arena, "begin", &reader->begin);
}

/* ---- opening and closing ---- */

static void sqlite_close(struct db *db)
{
    struct db_sqlite *self = of(db);
    ASSERT(self->readers_busy == 0 && !self->aside_busy);

    while (self->readers_free) {
        struct db_connection *reader = self->readers_free;
        self->readers_free = reader->next;
        connection_close(reader);
    }
    connection_close(self->writer); /* last: it folds the log into the file */
    disk_lock_drop(self->lock);
    cond_done(&self->pool_changed);
    lock_done(&self->pool_lock);
    arena_close(self->arena); /* holds self */
}

/* The folder, the lock, and a file that only its owner reads: the log inherits that. */
static err take_place(struct db_sqlite *self, struct arena *arena)
{
    str path = str_of_z(self->path);
    size_t folder_len = path.len;
    while (folder_len > 0 && path.ptr[folder_len - 1] != '/')
        folder_len--;
    if (folder_len > 1)
        TRY(disk_make_dirs(arena, str_slice(path, 0, folder_len - 1)));
    TRY(disk_lock_take(arena, str_format(arena, "%s.lock", self->path), &self->lock));
    if (!disk_exists(arena, path))
        TRY(disk_write(arena, path, STR(""), 0600));
    return OK;
}

static err check_queries(struct db_sqlite *self, struct arena *arena,
                         const struct db_schema *schema)
{
    for (int i = 0; i < schema->queries_count; i++) {
        ASSERT(schema->queries[i]->index == i);
        TRY(sqlite_check(self->writer, arena, schema->queries[i]));
    }
    return OK;
}

static err open_all(struct db_sqlite *self, struct arena *arena)
{
    TRY(take_place(self, arena));
    TRY(writer_connect(self, arena));
    TRY(sqlite_migrate(self, arena));
    err error = check_queries(self, arena, &chassis_schema);
    if (error == OK)
        error = check_queries(self, arena, self->db.schema);
    if (error != OK && self->is_ahead)
        return fail_over(
            arena, DB_NEWER, error,
            "%s was written by a newer version of Duka, and this one cannot use it any "
            "more (%" STR_F "): start the newer one",
            self->path, STR_A(error->detail));
    TRY(error);
    self->opened = true;
    return OK;
}

static err sqlite_open(struct arena *arena, const struct db_config *config, str place,
                       const struct db_schema *schema, struct db **out)
{
    if (place.len == 0 || place.ptr[0] == ':' || str_find_byte(place, '\0') >= 0)
        return fail(arena, SETTING_INVALID,
                    "The database URL \"%" STR_F "\" names no file: use sqlite:PATH.",
                    STR_A(config->url));

    static once_flag configured = ONCE_FLAG_INIT;
    call_once(&configured, &configure_library);

    struct arena *life = arena_open(LIFE_BYTES_MAX);
    struct db_sqlite *self = arena_new(life, struct db_sqlite);
    self->db.driver = &db_sqlite_driver;
    self->db.schema = schema;
    self->db.on_fatal = config->on_fatal;
    self->path = str_z(life, place);
    self->arena = life;
    self->durable = config->durable;
    self->readers_max = config->readers_max;
    self->checkpoint_at_frames = SQLITE_CHECKPOINT_FRAMES;
    lock_init(&self->pool_lock);
    cond_init(&self->pool_changed);

    err error = open_all(self, arena);
    if (error != OK) {
        sqlite_close(&self->db);
        return error;
    }
    *out = &self->db;
    return OK;
}

/* It is migrated when it is opened. */
static err sqlite_migrate_file(struct arena *arena, const struct db_config *config, str place,
                               const struct db_schema *schema, int *applied)
{
    struct db *db;
    TRY(sqlite_open(arena, config, place, schema, &db));
    *applied = of(db)->migrated;
    sqlite_close(db);
    return OK;
}

/* ---- readers ---- */

/* Nobody reads, for the log is folded in: as long as the disk takes, and no reader shortens it. */
static bool log_has_all(const struct db_sqlite *self)
{
    return self->readers_paused && self->readers_busy == 0;
}

/* A free connection, or a new one that is not open yet; NULL if none came in time. Locked. */
static struct db_connection *reader_take(struct db_sqlite *self)
{
    int64_t deadline_us = clock_mono_us() + SQLITE_READER_WAIT_US;
    while (self->readers_paused ||
           (!self->readers_free && self->readers_open == self->readers_max)) {
        if (log_has_all(self)) {
            cond_wait(&self->pool_changed, &self->pool_lock);
            deadline_us = clock_mono_us() + SQLITE_READER_WAIT_US;
        } else if (!cond_wait_until(&self->pool_changed, &self->pool_lock, deadline_us) &&
                   clock_mono_us() >= deadline_us && !log_has_all(self)) {
            return NULL;
        }
    }

    struct db_connection *reader = self->readers_free;
    if (reader) {
        self->readers_free = reader->next;
    } else {
        reader = connection_new(self);
        self->readers_open++;
    }
    self->readers_busy++;
    return reader;
}

static void reader_give_back(struct db_sqlite *self, struct db_connection *reader)
{
    lock_take(&self->pool_lock);
    reader->next = self->readers_free;
    self->readers_free = reader;
    self->readers_busy--;
    if (self->readers_paused)
        cond_wake_all(&self->pool_changed);
    else
        cond_wake_one(&self->pool_changed);
    lock_drop(&self->pool_lock);
}

static err sqlite_read_begin(struct db *db, struct arena *arena, struct db_reader **out)
{
    struct db_sqlite *self = of(db);
    lock_take(&self->pool_lock);
    struct db_connection *reader = reader_take(self);
    lock_drop(&self->pool_lock);
    if (!reader)
        return fail(arena, DB_UNAVAILABLE, "all %d readers of %s are busy", self->readers_max,
                    self->path);

    if (!reader->handle) {
        err error = reader_connect(reader, arena);
        if (error != OK) {
            connection_close(reader);
            reader_give_back(self, reader);
            return error;
        }
    }
    reader->reader.begun = reader->reader.alone = false;
    *out = &reader->reader;
    return OK;
}

static err sqlite_snapshot(struct db_reader *reader, struct arena *arena, bool alone)
{
    if (alone)
        return OK; /* each statement is a transaction of its own */
    TRY(sqlite_step_plain(reader->connection, arena, reader->connection->begin));
    reader->begun = true;
    return OK;
}

/* Kept out of the pool: a restart of the log waits for those in it, and keeps new ones out. */
static err sqlite_read_aside(struct db *db, struct arena *arena, struct db_reader **out)
{
    struct db_sqlite *self = of(db);
    lock_take(&self->pool_lock);
    ASSERT(!self->aside_busy);
    bool is_ended = self->aside_ended;
    if (!self->aside) {
        self->aside = connection_new(self);
        self->aside->is_aside = true;
    }
    lock_drop(&self->pool_lock);
    if (is_ended)
        return fail(arena, DB_UNAVAILABLE, "%s is about to be closed", self->path);

    err error = reader_connect(self->aside, arena);
    if (error != OK) {
        connection_close(self->aside);
        return error;
    }
    lock_take(&self->pool_lock);
    self->aside_busy = true;
    lock_drop(&self->pool_lock);
    self->aside->reader.begun = self->aside->reader.alone = false;
    *out = &self->aside->reader;
    return OK;
}

static void sqlite_end_aside(struct db *db)
{
    struct db_sqlite *self = of(db);
    lock_take(&self->pool_lock);
    self->aside_ended = true;
    if (self->aside_busy)
        sqlite3_interrupt(self->aside->handle);
    lock_drop(&self->pool_lock);
}

/* Before its handle goes nobody may interrupt it any more. */
static void aside_close(struct db_sqlite *self)
{
    lock_take(&self->pool_lock);
    self->aside_busy = false;
    lock_drop(&self->pool_lock);
    connection_close(self->aside);
}

static void sqlite_read_end(struct db_reader *reader)
{
    struct db_connection *connection = reader->connection;
    sqlite_settle(connection);
    if (reader->begun) {
        sqlite3_step(connection->commit);
        sqlite3_reset(connection->commit);
        ASSERT(sqlite3_get_autocommit(connection->handle));
    }
    reader->begun = false;
    if (connection->is_aside)
        aside_close(connection->owner);
    else
        reader_give_back(connection->owner, connection);
}

/* ---- the writer's transaction ---- */

/* One writer has nobody to wait for but a reader: one that met the index of the log half-written
 * holds the write lock for as long as it reads it again. */
static bool is_begun(struct db_connection *writer, int64_t deadline_us)
{
    for (;;) {
        sqlite3_step(writer->begin);
        int code = sqlite3_reset(writer->begin);
        if ((code & 0xff) != SQLITE_BUSY || clock_mono_us() >= deadline_us)
            return code == SQLITE_OK;
        sleep_until(clock_mono_us() + SQLITE_BUSY_PAUSE_US);
    }
}

static err sqlite_begin(struct db *db, struct arena *arena, struct db_connection **out)
{
    struct db_connection *writer = of(db)->writer;
    sqlite_settle(writer);
    ASSERT(sqlite3_get_autocommit(writer->handle));
    db_count_statements(db, 1);
    if (!is_begun(writer, clock_mono_us() + SQLITE_READER_WAIT_US))
        return sqlite_error(writer, arena, sqlite3_extended_errcode(writer->handle),
                            sqlite3_sql(writer->begin));
    *out = writer;
    return OK;
}

static err sqlite_commit(struct db *db, struct arena *arena)
{
    struct db_connection *writer = of(db)->writer;
    sqlite_settle(writer);
    return sqlite_step_plain(writer, arena, writer->commit);
}

static void sqlite_rollback(struct db *db)
{
    struct db_connection *writer = of(db)->writer;
    sqlite_settle(writer);
    if (sqlite3_get_autocommit(writer->handle))
        return; /* the engine has done it by itself */
    sqlite3_step(writer->rollback);
    sqlite3_reset(writer->rollback);
    ASSERT(sqlite3_get_autocommit(writer->handle));
}

static bool sqlite_is_gone(struct db *db) { return sqlite3_get_autocommit(of(db)->writer->handle); }

/* ---- the log ---- */

static bool checkpoint(struct db_sqlite *self, int mode)
{
    int code = sqlite3_wal_checkpoint_v2(self->writer->handle, NULL, mode, NULL, NULL);
    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
        db_fatal(&self->db, "fsync failed: what is on disk cannot be known; start again");
    return code == SQLITE_OK; /* busy readers, a full disk: folded in later */
}

/* Keeps new readers out until those at work have ended, so that the log can begin anew. It has more
 * patience than they: one that holds a snapshot and waits for another gives up first. */
static bool restart_log(struct db_sqlite *self, int mode)
{
    int64_t deadline_us = clock_mono_us() + 3 * SQLITE_READER_WAIT_US;
    lock_take(&self->pool_lock);
    self->readers_paused = true;
    while (self->readers_busy > 0 &&
           cond_wait_until(&self->pool_changed, &self->pool_lock, deadline_us))
        ;
    lock_drop(&self->pool_lock);

    bool done = checkpoint(self, mode);

    lock_take(&self->pool_lock);
    self->readers_paused = false;
    cond_wake_all(&self->pool_changed);
    lock_drop(&self->pool_lock);
    return done;
}

static bool sqlite_forget(struct db *db) { return restart_log(of(db), SQLITE_CHECKPOINT_TRUNCATE); }

static void sqlite_maintain(struct db *db)
{
    struct db_sqlite *self = of(db);
    if (self->wal_frames < self->checkpoint_at_frames)
        return;
    checkpoint(self, SQLITE_CHECKPOINT_PASSIVE);
    if (self->wal_frames >= SQLITE_RESTART_FRAMES)
        (void)restart_log(self, SQLITE_CHECKPOINT_RESTART);
    self->checkpoint_at_frames = self->wal_frames + SQLITE_CHECKPOINT_FRAMES;
}

/* ---- the rest ---- */

enum { SQLITE_SAID_BYTES = 300 };

/* Copies all pages in one snapshot, so that neither the writer nor the readers wait. */
static err copy_pages(struct db_connection *from, struct db_connection *to, struct arena *arena)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->handle, "main", from->handle, "main");
    if (!backup)
        return sqlite_error(to, arena, sqlite3_extended_errcode(to->handle), "backup");
    sqlite3_backup_step(backup, -1);
    int code = sqlite3_backup_finish(backup);
    return code == SQLITE_OK ? OK : sqlite_error(to, arena, code, "backup");
}

struct sqlite_backup {
    struct db_backup head; /* first */
    struct db_connection from;
};

static err sqlite_backup_begin(struct db *db, struct arena *arena, struct db_backup **out)
{
    struct sqlite_backup *backup = arena_new(arena, struct sqlite_backup);
    *backup = (struct sqlite_backup){ .head.db = db, .from.owner = of(db) };
    TRY(connection_open(&backup->from, arena, SQLITE_OPEN_READONLY));
    int code = sqlite3_exec(backup->from.handle, "begin; select count(*) from sqlite_schema", NULL,
                            NULL, NULL);
    if (code != SQLITE_OK) {
        err error = sqlite_error(&backup->from, arena, code, "begin the backup");
        connection_close(&backup->from);
        return error;
    }
    *out = &backup->head;
    return OK;
}

static err sqlite_backup_run(struct db_backup *head, struct arena *arena, str path)
{
    struct sqlite_backup *backup = (struct sqlite_backup *)head;
    if (disk_exists(arena, path))
        return fail(arena, OS_FAILED, "%" STR_F " is there already: name a new file", STR_A(path));
    TRY(disk_write(arena, path, STR(""), 0600));

    struct db_connection to = { .owner = of(head->db) };
    int code = sqlite3_open_v2(str_z(arena, path), &to.handle,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL);
    err error = code == SQLITE_OK ? copy_pages(&backup->from, &to, arena)
                                  : sqlite_error(&to, arena, code, "open the backup");
    connection_close(&to);
    return error;
}

static void sqlite_backup_end(struct db_backup *head)
{
    connection_close(&((struct sqlite_backup *)head)->from);
}

/* Keeps the first thing that is said to be wrong. */
static int on_check_row(void *said, int count, char **values, char **names)
{
    char *out = said;
    (void)names;
    if (count > 0 && values[0] && !*out && strcmp(values[0], "ok") != 0)
        snprintf(out, SQLITE_SAID_BYTES, "%s", values[0]);
    return 0;
}

static err sqlite_check_all(struct db *db, struct arena *arena)
{
    static const char *const pragmas[] = { "pragma integrity_check(1)",
                                           "pragma foreign_key_check" };
    struct db_connection connection = { .owner = of(db) };
    char said[SQLITE_SAID_BYTES] = "";
    TRY(connection_open(&connection, arena, SQLITE_OPEN_READONLY));
    int code = SQLITE_OK;
    for (int i = 0; i < 2 && code == SQLITE_OK; i++)
        code = sqlite3_exec(connection.handle, pragmas[i], on_check_row, said, NULL);
    err error = code == SQLITE_OK ? OK : sqlite_error(&connection, arena, code, "check");
    if (error == OK && *said)
        error = fail(arena, DB_CORRUPT, "%s", said);
    connection_close(&connection);
    return error;
}

static struct db_stats sqlite_stats(struct db *db)
{
    struct db_sqlite *self = of(db);
    sqlite3_int64 bytes = 0;
    self->file->pMethods->xFileSize(self->file, &bytes);
    lock_take(&self->pool_lock);
    int busy = self->readers_busy;
    lock_drop(&self->pool_lock);
    return (struct db_stats){
        .wal_bytes = __atomic_load_n(&self->wal_frames, __ATOMIC_RELAXED) * SQLITE_FRAME_BYTES,
        .file_bytes = bytes,
        .readers_busy = busy,
        .readers_max = self->readers_max,
    };
}

static void sqlite_limit_bytes(struct db *db, int64_t bytes_max)
{
    char pragma[64];
    int64_t pages = bytes_max > 0 ? bytes_max / SQLITE_PAGE_BYTES : INT32_MAX;
    snprintf(pragma, sizeof pragma, "pragma max_page_count=%lld", (long long)pages);
    int code = sqlite3_exec(of(db)->writer->handle, pragma, NULL, NULL, NULL);
    ASSERT(code == SQLITE_OK);
}

const struct db_driver db_sqlite_driver = {
    .name = "sqlite",
    .open = &sqlite_open,
    .migrate = &sqlite_migrate_file,
    .close = &sqlite_close,
    .read_begin = &sqlite_read_begin,
    .read_end = &sqlite_read_end,
    .read_aside = &sqlite_read_aside,
    .end_aside = &sqlite_end_aside,
    .snapshot = &sqlite_snapshot,
    .read = &sqlite_read,
    .run = &sqlite_run,
    .begin = &sqlite_begin,
    .commit = &sqlite_commit,
    .rollback = &sqlite_rollback,
    .is_gone = &sqlite_is_gone,
    .maintain = &sqlite_maintain,
    .forget = &sqlite_forget,
    .backup_begin = &sqlite_backup_begin,
    .backup_run = &sqlite_backup_run,
    .backup_end = &sqlite_backup_end,
    .check = &sqlite_check_all,
    .stats = &sqlite_stats,
    .limit_bytes = &sqlite_limit_bytes,
};
