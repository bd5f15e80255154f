/* Inside the SQLite driver: connections and statements. Only db_sqlite*.c include this.
 *
 * One connection does all writing and all checkpoints; it belongs to the writer's thread. Readers
 * are read-only, in a pool, each used by one thread at a time. A file lock keeps other processes
 * out: SQLite before 3.51.3 can corrupt a log that two connections write or checkpoint at once. */
#pragma once
#include "chassis/db_driver.h"
#include "os/disk.h"
#include "os/sync.h"
#include <sqlite3.h>

enum {
    SQLITE_PAGE_BYTES = 4096,
    SQLITE_FRAME_BYTES = SQLITE_PAGE_BYTES + 24,
    SQLITE_CHECKPOINT_FRAMES = 4 * 1024 * 1024 / SQLITE_FRAME_BYTES,
    SQLITE_RESTART_FRAMES = 64 * 1024 * 1024 / SQLITE_FRAME_BYTES,
    SQLITE_READER_WAIT_US = 100 * 1000,
    SQLITE_BUSY_PAUSE_US = 200,
};

/* The statements of one connection are numbered in two spaces: the chassis's and the service's. */
enum { SPACE_CHASSIS, SPACE_SERVICE, SPACES_COUNT };

struct db_connection {
    struct db_sqlite *owner;
    sqlite3 *handle;
    sqlite3_stmt **statements[SPACES_COUNT]; /* by query index; NULL until they are first used */
    sqlite3_stmt *begin, *commit, *rollback;
    sqlite3_stmt *running;   /* has not been reset: an arena may have jumped out of it */
    struct db_reader reader; /* of a reading connection */
    bool is_aside;           /* out of the pool: see db_read_aside */
    struct db_connection *next;
};

struct db_sqlite {
    struct db db;
    const char *path;
    struct disk_lock *lock;
    struct arena *arena; /* lives as long as this */
    struct db_connection *writer;
    sqlite3_file *file; /* the database's, to ask for its size */
    int64_t wal_frames; /* after the latest commit */
    int64_t checkpoint_at_frames;
    int migrated; /* how many migrations it took to open */
    bool durable;
    bool opened;   /* from here on damage ends the process */
    bool is_ahead; /* a newer program wrote it */

    struct lock pool_lock;
    struct cond pool_changed;
    struct db_connection *readers_free; /* last used first: few stay warm */
    int readers_open, readers_busy, readers_max;
    bool readers_paused; /* the log is being restarted */
    struct db_connection
        *aside; /* of the reads that nobody waits for; without a handle between two */
    bool aside_busy, aside_ended; /* with the lock held */
};

/* ---- db_sqlite_rows.c: statements and their rows ---- */

/* Tells what the engine said as an error; a failed fsync, and damage seen by the writer, end the
 * process. `what` is the query or the step. */
err sqlite_error(struct db_connection *connection, struct arena *arena, int code, const char *what);

/* Prepares a text that takes and gives nothing: begin, commit, a pragma. */
err sqlite_prepare_plain(struct db_connection *connection, struct arena *arena, const char *sql,
                         sqlite3_stmt **out);

/* Steps such a statement to its end, and resets it. */
err sqlite_step_plain(struct db_connection *connection, struct arena *arena,
                      sqlite3_stmt *statement);

/* Prepares a query and holds it against its declaration, without keeping it. */
err sqlite_check(struct db_connection *connection, struct arena *arena, const struct query *query);

/* Resets a statement that was left in the middle. */
void sqlite_settle(struct db_connection *connection);

/* The driver's `read` and `run`. */
err sqlite_read(struct db_connection *connection, struct arena *arena, const struct query *query,
                const void *params, struct db_rows *rows);
err sqlite_run(struct db_connection *connection, struct arena *arena, const struct query *query,
               const void *params, size_t count, int64_t *changed);

/* ---- db_sqlite_migrate.c ---- */

/* Brings the schema up to what the program knows. One that is ahead stays, and is marked so: its
 * migrations only add, so that the way back to an older program is open. */
err sqlite_migrate(struct db_sqlite *self, struct arena *arena);
