/* A service's database: reads on a snapshot by many, all writes by one writer (see write.h).
 *
 * One face for each engine. Queries stand in the service's queries.sql; tools/queries makes a
 * struct and a function for each, over the tables below. A service opens one `struct db`;
 * DATABASE_URL chooses the engine. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/money.h"
#include "base/time.h"
#include "base/uuid.h"

struct db;

enum column_type {
    COLUMN_UUID,     /* struct uuid; nullable: nil is null */
    COLUMN_TEXT,     /* str; nullable: STR_NONE is null */
    COLUMN_BYTES,    /* str; nullable: STR_NONE is null */
    COLUMN_INT64,    /* int64_t */
    COLUMN_INT32,    /* int32_t */
    COLUMN_BOOL,     /* bool */
    COLUMN_TIME,     /* time_us; nullable: 0 is null */
    COLUMN_CURRENCY, /* struct currency, stored as three letters */
};

/* A parameter or a result column: its type and its place in the struct. */
struct column {
    const char *name;
    enum column_type type;
    bool nullable;
    uint32_t offset;
};

/* The same statement for PostgreSQL, and its form that takes arrays, one for each parameter, and
 * works on all their rows at once: tools/queries/postgresql.py tells how it is derived. */
enum many_answer {
    MANY_COUNT,    /* nothing but how many rows were touched: all of them, or it fails */
    MANY_UNKNOWN,  /* how many, but not which */
    MANY_ORDINALS, /* for each row touched the place of its source, from 1 */
    MANY_KEYS,     /* for each row touched its key */
    MANY_INSERTED, /* the same, and of rows with one key the first */
    MANY_ROWS,     /* of a read: rows, each behind the place of its parameters, from 1 */
};
struct query_postgresql {
    const char *sql;
    const char *many; /* NULL: one by one */
    uint64_t key;     /* bits of the parameters by which two rows of the source meet in one */
    enum many_answer answer;
};

/* A statement of queries.sql. `index` numbers the statements of one service, for the caches of
 * prepared ones. */
struct query {
    const char *name; /* "order_by_id": spans, logs, errors */
    const char *sql;
    const struct column *params;
    const struct column *columns;
    uint16_t params_count, columns_count;
    uint32_t params_size, row_size;
    const struct query_postgresql *postgresql; /* NULL: the schema is SQLite's only */
    uint16_t index;
    bool writes;
};

/* The statements and migrations of one service: generated. */
struct migration {
    int number;
    const char *name;
    const char *sql;
};
struct db_schema {
    const char *service; /* "orders" */
    const struct query *const *queries;
    int queries_count;
    const struct migration *migrations; /* SQLite's */
    int migrations_count;               /* of both engines: they go by the same numbers */
    const struct migration *migrations_postgresql; /* or NULL */
};

struct db_config {
    str url;         /* sqlite:PATH or postgresql://… */
    int readers_max; /* connections that read at once */
    bool durable;    /* fsync at each commit; false only for what can be lost (tests, the payment
                        simulator) */
    void (*on_fatal)(
        const char *what); /* a failed fsync, a damaged file: must not return; NULL: panic */
    /* All that is written may be written twice: where it is not known whether a commit was done,
     * the batch runs again, and no mark is left to tell by (PostgreSQL). */
    bool repeatable;
    /* PostgreSQL's, in milliseconds; 0: DB_STATEMENT_TIMEOUT_MS, DB_LOCK_TIMEOUT_MS. */
    int64_t statement_timeout_ms, lock_timeout_ms;
};

enum { DB_STATEMENT_TIMEOUT_MS = 10000, DB_LOCK_TIMEOUT_MS = 5000 };

/* Opens, locks against a second process and migrates (SQLite) or sees that it was migrated
 * (PostgreSQL), prepares each query once to check it. Fails with DB_LOCKED, DB_CORRUPT, DB_FAILED,
 * DB_UNAVAILABLE, DB_OLDER, SETTING_INVALID (naming the URL and what is allowed). */
err db_open(struct arena *arena, const struct db_config *config, const struct db_schema *schema,
            struct db **out);

/* Brings the schema up to what this program knows; `*applied` is how many migrations that took. For
 * PostgreSQL, whose services only look at it when they start; by a role that may create tables.
 * Fails as db_open does. */
err db_migrate(struct arena *arena, const struct db_config *config, const struct db_schema *schema,
               int *applied);

/* Whether several processes may work on it at once: then leases decide who does what only one may
 * do. */
bool db_is_shared(const struct db *db);

/* The URL without its password, for logs and errors. */
str db_url_shown(struct arena *arena, str url);

/* Closes after the last reader and the writer are gone. Accepts NULL. */
void db_close(struct db *db);

/* ---- reading ---- */

/* A read-only snapshot; every read of one call sees the same state. */
struct db_reader;

/* Takes a connection (waits up to 100 ms for one) and begins its snapshot at the first read. */
err db_read_begin(struct db *db, struct arena *arena, struct db_reader **out);
void db_read_end(struct db_reader *reader); /* accepts NULL */

/* The same for what reads long: on a connection of its own, made for it, so that nobody waits for
 * it; on SQLite the log does not begin anew while it lasts. One at a time. */
err db_read_aside(struct db *db, struct arena *arena, struct db_reader **out);

/* What is read aside now fails, and nothing is any more; for a stop, from any thread. PostgreSQL's
 * statements have a time-out of their own. */
void db_end_aside(struct db *db);

/* Runs a query on the snapshot. `params` points to the query's params struct. Rows are copied into
 * the arena. "one" fails with NOT_FOUND where there is none; "maybe" sets *found; "many" fills an
 * array. */
err db_one(struct db_reader *reader, struct arena *arena, const struct query *query,
           const void *params, void *row);
err db_maybe(struct db_reader *reader, struct arena *arena, const struct query *query,
             const void *params, void *row, bool *found);
err db_many(struct db_reader *reader, struct arena *arena, const struct query *query,
            const void *params, void **rows, size_t *count);

/* The same for each of `count` params structs lying one behind the other: a loop on SQLite, one
 * statement on PostgreSQL. Of a "maybe" rows[i] and found[i] belong to params[i]; of a "many" all
 * rows lie in one array, first the counts[0] of params[0]. */
err db_maybe_each(struct db_reader *reader, struct arena *arena, const struct query *query,
                  const void *params, size_t count, void *rows, bool *found);
err db_many_each(struct db_reader *reader, struct arena *arena, const struct query *query,
                 const void *params, size_t count, void **rows, size_t *counts);

/* The next read need not see the same moment as those that follow: where the snapshot has not begun
 * it begins after it. For a call that reads one statement, or statements that stand for themselves.
 */
void db_read_alone(struct db_reader *reader);

/* ---- writing: only inside the writer ---- */

/* The open transaction of the writer. First parameter of every function that writes. */
struct tx {
    struct arena *arena; /* lasts until the batch is done */
    time_us now;         /* wall time of the batch */
    struct db *db;
    struct db_connection *connection; /* the driver's */
    int64_t epoch;                    /* grows with each batch */
    struct uuid *changed;             /* what tx_note_change named */
    size_t changed_count;
};

/* Notes that the resource `subject` is changed by this transaction: caches drop it after the
 * commit, before anyone hears of it. */
void tx_note_change(struct tx *tx, struct uuid subject);

/* The same as for reading, inside the transaction (sees its own writes). */
err tx_one(struct tx *tx, const struct query *query, const void *params, void *row);
err tx_maybe(struct tx *tx, const struct query *query, const void *params, void *row, bool *found);
err tx_many(struct tx *tx, const struct query *query, const void *params, void **rows,
            size_t *count);

/* The same for each of many, inside the transaction. */
err tx_maybe_each(struct tx *tx, const struct query *query, const void *params, size_t count,
                  void *rows, bool *found);

/* Rows of all in one array; see db_many_each. */
err tx_many_each(struct tx *tx, const struct query *query, const void *params, size_t count,
                 void **rows, size_t *counts);

/* Runs a statement without rows; `changed` (may be NULL) is how many rows it touched. */
err tx_run(struct tx *tx, const struct query *query, const void *params, int64_t *changed);

/* Runs it for each of `count` params structs lying one behind the other: a loop on SQLite, one
 * unnest on PostgreSQL. `changed` (may be NULL) has `count` entries. On PostgreSQL a statement
 * whose `changed` nobody asks for is sent with the next that is waited for: its error comes from
 * there, at the latest from tx_commit. Its parameters may be changed at once. */
err tx_run_many(struct tx *tx, const struct query *query, const void *params, size_t count,
                int64_t *changed);

/* Begin, commit, roll back: for the writer only. A commit that returned OK is on disk. tx_is_gone
 * tells after an error that the engine has rolled the transaction back by itself.
 *
 * Where the connection to the server breaks, whatever was under way fails with DB_UNAVAILABLE and
 * nothing of it is kept; a tx_commit finds out which, and fails with DB_UNCERTAIN where it cannot.
 * DB_BUSY: others worked on the same rows, or a lock was not to be had in time. */
err tx_begin(struct db *db, struct arena *arena, time_us now, struct tx *out);
err tx_commit(struct tx *tx);
void tx_rollback(struct tx *tx);
bool tx_is_gone(const struct tx *tx);

/* After commits: checkpoints the log when it has grown (PASSIVE past 4 MiB, RESTART past 64).
 * Writer only. */
void db_maintain(struct db *db);

/* Asks that what was deleted or overwritten until now is also gone from the files: the log is
 * folded in and cut to nothing after the next commit, or after a later one where readers are in the
 * way. (Freed places are always filled with zeros.) Any thread. */
void db_forget(struct db *db);

/* Copies what is committed to a new file, which must not be there yet, while the database is in
 * use: on any thread, in a snapshot of its own. */
err db_backup(struct db *db, struct arena *arena, str path);

/* The same in steps: the snapshot is that of `begin`, however long it takes until `run` copies it.
 * `end` accepts NULL. */
struct db_backup;
err db_backup_begin(struct db *db, struct arena *arena, struct db_backup **out);
err db_backup_run(struct db_backup *backup, struct arena *arena, str path);
void db_backup_end(struct db_backup *backup);

/* Reads all of it and looks whether pages, indexes and references agree. Fails with DB_CORRUPT,
 * saying what does not. */
err db_check(struct db *db, struct arena *arena);

/* ---- hints between the processes that work on one database ---- */

enum { DB_WORD_MAX = 60 };
#define DB_HINTS_LOST "lost"

/* Listens to what other processes tell of their commits: `heard` is told each word, on a thread of
 * its own, and DB_HINTS_LOST where words may have been missed. They are hints: they may be lost,
 * come late, and come twice; whoever needs to know looks at the tables from time to time. Nothing
 * happens where a database has one process only. Once; db_unlisten before db_close. */
void db_listen(struct db *db, void (*heard)(void *subject, str word), void *subject);
void db_unlisten(struct db *db);

/* Tells the others a word of lower-case letters, digits, ':' and '-', at most DB_WORD_MAX bytes.
 * Words that gather go out together, after the commits that they tell of; where nobody else was
 * heard of lately nothing is sent. Never waits; any thread. */
void db_tell(struct db *db, str word);

/* For metrics. */
struct db_stats {
    int64_t commits, reads, wal_bytes, file_bytes;
    int64_t statements;  /* that the engine has run, begins and commits among them */
    int64_t round_trips; /* how often an answer of the server was waited for; SQLite has none */
    int64_t failures;    /* statements that the engine failed */
    int readers_busy, readers_max;
};
struct db_stats db_stats_of(struct db *db);

/* Since when it does not answer (monotonic); 0: it did, when it was asked last. Any thread. */
int64_t db_away_us(const struct db *db);

/* "sqlite", "postgresql". */
const char *db_engine(const struct db *db);
