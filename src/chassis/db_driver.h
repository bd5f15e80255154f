/* What stands behind db.h: a table of functions for each engine, and the faults that a test puts
 * before it.
 *
 * Only db.c and the drivers include this. A driver embeds `struct db` as the first member of its
 * own. */
#pragma once
#include "chassis/db.h"
#include "chassis/db_faults.h"
#include "os/sync.h"

struct db_driver;

struct db {
    const struct db_driver *driver;
    const struct db_schema *schema;
    void (*on_fatal)(const char *what);
    int64_t epoch;          /* of the latest transaction; the writer's */
    int64_t commits, reads; /* counters, by relaxed atomics */
    int64_t statements, round_trips;
    int64_t failures;  /* statements that the engine failed; atomic */
    int64_t away_us;   /* monotonic: since when it does not answer; 0: it does; atomic */
    bool forgets;      /* atomic: the log is to be cut */
    bool faults_armed; /* atomic */
    struct lock faults_lock;
    struct db_fault_plan {
        int64_t steps; /* how many were taken */
        int64_t at;    /* which of them fails; 0: none */
        enum db_fault fault;
    } faults[DB_STEPS_COUNT];
};

struct db_reader {
    struct db *db;
    struct db_connection *connection;
    bool begun; /* the snapshot is taken */
    bool alone; /* the next read needs none */
};

/* A driver embeds it as the first member of its own. */
struct db_backup {
    struct db *db;
};

/* Where rows go: one into `out`, or as many as there are into an array of the arena, behind those
 * that are there. */
struct db_rows {
    bool many;
    void *out;
    size_t count, cap;
};

static inline void db_count_statements(struct db *db, int64_t count)
{
    __atomic_fetch_add(&db->statements, count, __ATOMIC_RELAXED);
}

struct db_driver {
    const char *name; /* "sqlite", "postgresql": OpenTelemetry's db.system.name */
    bool is_shared;   /* several processes may work on one database */
    /* `place` is what follows the scheme of the URL. */
    err (*open)(struct arena *arena, const struct db_config *config, str place,
                const struct db_schema *schema, struct db **out);
    err (*migrate)(struct arena *arena, const struct db_config *config, str place,
                   const struct db_schema *schema, int *applied);
    void (*close)(struct db *db);

    err (*read_begin)(struct db *db, struct arena *arena, struct db_reader **out);
    void (*read_end)(struct db_reader *reader);
    /* See db_read_aside; both NULL: its readers are not waited for, and end by themselves. */
    err (*read_aside)(struct db *db, struct arena *arena, struct db_reader **out);
    void (*end_aside)(struct db *db);
    /* Readies the connection for a read; `alone` needs no snapshot, the others begin one. */
    err (*snapshot)(struct db_reader *reader, struct arena *arena, bool alone);

    /* Reads, and statements without rows, on either kind of connection. */
    err (*read)(struct db_connection *connection, struct arena *arena, const struct query *query,
                const void *params, struct db_rows *rows);
    /* Reads for many params at once: all rows into one array, counts[i] of them for params[i].
     * NULL: one after the other. */
    err (*read_each)(struct db_connection *connection, struct arena *arena,
                     const struct query *query, const void *params, size_t count,
                     struct db_rows *rows, size_t *counts);
    err (*run)(struct db_connection *connection, struct arena *arena, const struct query *query,
               const void *params, size_t count, int64_t *changed);

    err (*begin)(struct db *db, struct arena *arena, struct db_connection **out);
    err (*commit)(struct db *db, struct arena *arena);
    void (*rollback)(struct db *db);
    bool (*is_gone)(struct db *db);

    /* See db_listen; NULL: nobody else works on it. */
    void (*listen)(struct db *db, void (*heard)(void *subject, str word), void *subject);
    void (*unlisten)(struct db *db);
    void (*tell)(struct db *db, str word);

    void (*maintain)(struct db *db);
    bool (*forget)(struct db *db); /* true when done; NULL: there is nothing to do */
    err (*backup_begin)(struct db *db, struct arena *arena, struct db_backup **out);
    err (*backup_run)(struct db_backup *backup, struct arena *arena, str path);
    void (*backup_end)(struct db_backup *backup);
    err (*check)(struct db *db, struct arena *arena);
    struct db_stats (*stats)(struct db *db);
    void (*limit_bytes)(struct db *db, int64_t bytes_max);
};

extern const struct db_driver db_sqlite_driver;
extern const struct db_driver db_postgresql_driver;

/* Ends the process by `on_fatal`, or by a panic: what is on disk cannot be known any more. */
_Noreturn void db_fatal(const struct db *db, const char *what);
