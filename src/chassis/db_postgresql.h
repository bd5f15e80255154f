/* Inside the PostgreSQL driver: connections, their pipelines, statements. Only db_postgresql*.c
 * include this.
 *
 * One connection does all writing; it belongs to the writer's thread. Readers stand in a pool, each
 * used by one thread at a time, a snapshot (repeatable read, read only) at a time. Statements are
 * sent into a pipeline and waited for only where somebody needs to know: a batch of the writer is a
 * few round trips. Where a connection breaks it is opened again by whoever uses it next. */
#pragma once
#include "chassis/db_driver.h"
#include <libpq-fe.h>

enum {
    POSTGRESQL_PIPELINE_MAX = 256, /* statements that are sent before their answers are taken */
    POSTGRESQL_CONNECT_MS = 5000,
    POSTGRESQL_PATIENCE_MS = 5000,     /* how long a transaction waits for a connection */
    POSTGRESQL_ANSWER_EXTRA_MS = 5000, /* over the statement's timeout: then the server is away */
    POSTGRESQL_READER_WAIT_US = 100 * 1000,
};

/* The statements of one connection are numbered in two spaces: the chassis's and the service's; and
 * each in two forms. */
enum { SPACE_CHASSIS, SPACE_SERVICE, SPACES_COUNT };
enum { FORM_ONE, FORM_MANY, FORMS_COUNT };

/* The texts that no queries.sql has, prepared as all others. */
enum step { STEP_SNAPSHOT, STEP_BEGIN, STEP_TRANSACTION, STEP_COMMIT, STEP_END, STEPS_COUNT };

enum pending_kind {
    PENDING_STEP,     /* begin, commit, prepare: its answer is of no interest */
    PENDING_DESCRIBE, /* is held against the query's declaration */
    PENDING_READ,
    PENDING_READ_EACH,
    PENDING_RUN,
    PENDING_RUN_MANY,
    PENDING_TRANSACTION, /* gives connection->transaction */
};

/* A statement whose answer was not taken yet. */
struct pending {
    enum pending_kind kind;
    const char *what; /* the query's name, or the step */
    const struct query *query;
    struct db_rows *rows; /* of a read */
    size_t *counts;       /* of a read for many: of rows for each */
    int64_t *changed;     /* of a run, or NULL */
    const char *params;   /* of many: their source, to find rows by their keys */
    size_t count;         /* rows of the source */
    bool *prepared;       /* of a prepare: false again where it came to nothing */
};

struct db_connection {
    struct db_postgresql *owner;
    PGconn *handle; /* NULL: to be opened when it is used */
    bool is_writer;
    bool *prepared[SPACES_COUNT][FORMS_COUNT]; /* by query index */
    bool prepared_steps[STEPS_COUNT];

    struct pending pending[POSTGRESQL_PIPELINE_MAX];
    size_t pending_count;
    size_t taken;     /* how many of them were answered */
    bool is_synced;   /* the end of the pipeline was sent, and did not come back */
    PGresult *result; /* the one in hand: an arena may have jumped out of it */

    bool in_transaction;
    bool has_failed;      /* the transaction can only be rolled back */
    bool is_fresh;        /* a snapshot of which nothing was read yet */
    bool is_alone;        /* the read that comes needs none */
    uint64_t transaction; /* pg_current_xact_id(); 0: not known yet */

    struct db_reader reader; /* of a reading connection */
    struct db_connection *next;
};

struct db_listener;

struct db_postgresql {
    struct db db;
    struct arena *arena;  /* lives as long as this */
    const char *url;      /* as it was given */
    const char *conninfo; /* the same, with what we add */
    const char *place;    /* host and database, for errors */
    int64_t statement_timeout_ms, lock_timeout_ms;
    bool durable, repeatable;
    struct db_connection *writer;
    struct uuid writer_id; /* with `batch` the mark of each transaction: see writer_mark_save */
    int64_t batch;
    int64_t retry_at_us;   /* a server that was away is not asked before */
    int64_t retry_wait_us; /* doubles */

    struct db_listener *listener; /* or NULL */

    struct lock pool_lock;
    struct cond pool_changed;
    struct db_connection *readers_free; /* last used first: few stay warm */
    int readers_open, readers_max;
};

/* ---- db_postgresql_wire.c: a connection and its pipeline ---- */

/* Memory of a connection, not opened. */
struct db_connection *postgresql_connection_new(struct db_postgresql *self, bool is_writer);

/* Opens it and sets its session up, unless it is open. Fails with DB_UNAVAILABLE, or with
 * SETTING_INVALID where another try would not help. */
err postgresql_connect(struct db_connection *connection, struct arena *arena);

/* Closes the socket; may be connected again. */
void postgresql_disconnect(struct db_connection *connection);

/* What the server, or the library, said: DB_UNAVAILABLE (and the connection is closed), DB_BUSY,
 * DB_FULL, SETTING_INVALID, DB_FAILED. `result` may be NULL. */
err postgresql_error(struct db_connection *connection, struct arena *arena, const PGresult *result,
                     const char *what);

/* Sends a text that takes and gives nothing, and expects its answer in the pipeline. */
err postgresql_send(struct db_connection *connection, struct arena *arena, const char *sql);

/* The same for one of the texts above. */
err postgresql_step(struct db_connection *connection, struct arena *arena, enum step step);

/* Expects the answer of what was just sent. */
void postgresql_expect(struct db_connection *connection, struct pending pending);

/* Whether there is room in the pipeline for `count` more. */
bool postgresql_has_room(const struct db_connection *connection, size_t count);

/* Ends the pipeline and takes all answers; the first error. */
err postgresql_drain(struct db_connection *connection, struct arena *arena);

/* Forgets what is pending: its answers are read and thrown away. A connection that cannot do even
 * that is closed. */
void postgresql_settle(struct db_connection *connection);

/* Asks one question outside of any pipeline: the first column of the first row, or STR_NONE where
 * it is null or there is none. */
err postgresql_ask(struct db_connection *connection, struct arena *arena, const char *sql,
                   str *answer);

/* ---- db_postgresql_rows.c: statements, parameters, rows ---- */

/* Prepares all queries of a schema on the connection and holds them against their declarations. */
err postgresql_check(struct db_connection *connection, struct arena *arena,
                     const struct db_schema *schema);

/* The driver's `read`, `read_each` and `run`. */
err postgresql_read(struct db_connection *connection, struct arena *arena,
                    const struct query *query, const void *params, struct db_rows *rows);
err postgresql_read_each(struct db_connection *connection, struct arena *arena,
                         const struct query *query, const void *params, size_t count,
                         struct db_rows *rows, size_t *counts);
err postgresql_run(struct db_connection *connection, struct arena *arena, const struct query *query,
                   const void *params, size_t count, int64_t *changed);

/* Takes one answer: rows into `pending->rows`, how many were touched, or what a query is. */
err postgresql_take(struct db_connection *connection, struct arena *arena,
                    const struct pending *pending, const PGresult *result);

/* ---- db_postgresql.c ---- */

/* Readies a reading connection, and begins a snapshot on it, unless the read that comes is alone:
 * sent, not waited for. */
err postgresql_begin_snapshot(struct db_connection *connection, struct arena *arena);

/* ---- db_postgresql_listen.c: one connection more, which listens ---- */

/* The driver's `listen`, `unlisten` and `tell`: words travel by NOTIFY on the channel of the
 * service. A connection that breaks is opened again, with longer and longer waits. */
void postgresql_listen(struct db *db, void (*heard)(void *subject, str word), void *subject);
void postgresql_unlisten(struct db *db);
void postgresql_tell(struct db *db, str word);

/* ---- db_postgresql_migrate.c ---- */

/* The driver's `migrate`, on a connection that is open. */
err postgresql_migrate(struct db_connection *connection, struct arena *arena,
                       const struct db_schema *schema, int *applied);

/* Fails with DB_OLDER where migrations are missing. */
err postgresql_check_migrated(struct db_connection *connection, struct arena *arena,
                              const struct db_schema *schema);
