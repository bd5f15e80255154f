#include "chassis/db_postgresql.h"

#include "base/arena.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

enum { SESSION_BYTES = 768, MESSAGE_BYTES_MAX = 600 };

/* ---- errors ---- */

/* What libpq says, on one line. */
static str one_line(struct arena *arena, const char *words)
{
    str text = str_trim(str_of_z(words));
    if (text.len > MESSAGE_BYTES_MAX)
        text.len = MESSAGE_BYTES_MAX;
    if (text.len == 0)
        return STR("no reason given");
    char *copy = arena_copy(arena, text.ptr, text.len);
    for (size_t i = 0; i < text.len; i++)
        if (copy[i] == '\n' || copy[i] == '\t')
            copy[i] = ' ';
    return str_of(copy, text.len);
}

static bool state_is(const char *state, const char *const *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(state, known[i], strlen(known[i])) == 0)
            return true;
    return false;
}

/* By SQLSTATE, or its class. */
static enum err_code code_of(const char *state)
{
    static const char *const away[] = { "08", "57P0", "25006", "53300" };
    static const char *const busy[] = { "40001", "40P01", "55P03", "57014" };
    static const char *const full[] = { "53100" };
    static const char *const damaged[] = { "XX001", "XX002" };
    if (state_is(state, away, sizeof away / sizeof away[0]))
        return DB_UNAVAILABLE;
    if (state_is(state, busy, sizeof busy / sizeof busy[0]))
        return DB_BUSY;
    if (state_is(state, full, 1))
        return DB_FULL;
    return state_is(state, damaged, 2) ? DB_CORRUPT : DB_FAILED;
}

err postgresql_error(struct db_connection *connection, struct arena *arena, const PGresult *result,
                     const char *what)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *words = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    bool is_broken = !connection->handle || PQstatus(connection->handle) != CONNECTION_OK;
    enum err_code code = is_broken || !state ? DB_UNAVAILABLE : code_of(state);
    if (!words)
        words = connection->handle ? PQerrorMessage(connection->handle) : "not connected";
    err error = fail(arena, code, "%s: %" STR_F " (%s%s%s)", what, STR_A(one_line(arena, words)),
                     connection->owner->place, state ? ", " : "", state ? state : "");
    if (code == DB_UNAVAILABLE)
        postgresql_disconnect(connection);
    return error;
}

/* A statement's first line, to name it by. */
static const char *name_of(struct arena *arena, const char *sql)
{
    str line = str_of_z(sql);
    ptrdiff_t end = str_find_byte(line, '\n');
    if (end >= 0)
        line.len = (size_t)end;
    return str_z(arena, str_slice(line, 0, 60));
}

static err gone(struct db_connection *connection, struct arena *arena, const char *what)
{
    err error = fail(arena, DB_UNAVAILABLE, "%s: %s (%s)", what,
                     "the server did not answer in time", connection->owner->place);
    postgresql_disconnect(connection);
    return error;
}

/* ---- waiting ---- */

/* Waits until the socket can be read (and written, where asked for). False: the time is up. */
static bool wait_socket(PGconn *handle, short events, int64_t deadline_us)
{
    struct pollfd socket = { .fd = PQsocket(handle), .events = events };
    for (;;) {
        int64_t rest_us = deadline_us - clock_mono_us();
        if (rest_us <= 0)
            return false;
        int ready = poll(&socket, 1, (int)(rest_us / 1000) + 1);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true;
    }
}

static int64_t deadline_of(const struct db_connection *connection)
{
    return clock_mono_us() +
           (connection->owner->statement_timeout_ms + POSTGRESQL_ANSWER_EXTRA_MS) * 1000;
}

/* Sends what libpq has gathered, taking in what comes meanwhile: neither side waits for ever. */
static err flush(struct db_connection *connection, struct arena *arena, const char *what)
{
    int64_t deadline_us = deadline_of(connection);
    int left;
    while ((left = PQflush(connection->handle)) == 1) {
        if (!wait_socket(connection->handle, POLLIN | POLLOUT, deadline_us))
            return gone(connection, arena, what);
        if (!PQconsumeInput(connection->handle))
            return postgresql_error(connection, arena, NULL, what);
    }
    return left == 0 ? OK : postgresql_error(connection, arena, NULL, what);
}

/* The next answer into connection->result, which may become NULL. */
static err next_result(struct db_connection *connection, struct arena *arena, const char *what)
{
    PQclear(connection->result);
    connection->result = NULL;
    int64_t deadline_us = deadline_of(connection);
    while (PQisBusy(connection->handle)) {
        if (!wait_socket(connection->handle, POLLIN, deadline_us))
            return gone(connection, arena, what);
        if (!PQconsumeInput(connection->handle))
            return postgresql_error(connection, arena, NULL, what);
    }
    connection->result = PQgetResult(connection->handle);
    return OK;
}

/* ---- opening and closing ---- */

struct db_connection *postgresql_connection_new(struct db_postgresql *self, bool is_writer)
{
    struct db_connection *connection = arena_new(self->arena, struct db_connection);
    const struct db_schema *schemas[SPACES_COUNT] = { &chassis_schema, self->db.schema };
    connection->owner = self;
    connection->is_writer = is_writer;
    connection->reader = (struct db_reader){ .db = &self->db, .connection = connection };
    for (int i = 0; i < SPACES_COUNT; i++)
        for (int j = 0; j < FORMS_COUNT; j++)
            connection->prepared[i][j] =
                arena_array(self->arena, bool, (size_t)schemas[i]->queries_count);
    return connection;
}

void postgresql_disconnect(struct db_connection *connection)
{
    if (!connection || !connection->handle)
        return;
    const struct db_schema *schemas[SPACES_COUNT] = { &chassis_schema,
                                                      connection->owner->db.schema };
    PQclear(connection->result);
    PQfinish(connection->handle);
    connection->result = NULL;
    connection->handle = NULL;
    connection->pending_count = connection->taken = 0;
    connection->is_synced = connection->in_transaction = false;
    connection->has_failed = true; /* until the next begin */
    memset(connection->prepared_steps, 0, sizeof connection->prepared_steps);
    for (int i = 0; i < SPACES_COUNT; i++)
        for (int j = 0; j < FORMS_COUNT; j++)
            memset(connection->prepared[i][j], 0, (size_t)schemas[i]->queries_count);
}

static void ignore_notice(void *subject, const char *words) { (void)subject, (void)words; }

/* Wrong password, no such database or role, no right to connect: the setting is wrong, not the
 * server away. */
static err refused(struct db_connection *connection, struct arena *arena)
{
    static const char *const wrong[] = { "password authentication",
                                         "no password supplied",
                                         "does not exist",
                                         "permission denied",
                                         "pg_hba.conf",
                                         "no such user",
                                         "auth failed",
                                         "SASL",
                                         "certificate verify",
                                         "does not support SSL",
                                         "server certificate",
                                         "invalid " };
    str words = one_line(arena, PQerrorMessage(connection->handle));
    bool is_setting = false;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        is_setting = is_setting || str_find(words, str_of_z(wrong[i])) >= 0;
    bool is_tls = str_find(words, STR("certificate verify failed")) >= 0; /* libpq says no more */
    err error = fail(
        arena, is_setting ? SETTING_INVALID : DB_UNAVAILABLE, "%" STR_F "%s (%s)", STR_A(words),
        is_tls ? ": the server's has expired, or no authority of sslrootcert has signed it" : "",
        connection->owner->place);
    postgresql_disconnect(connection);
    return error;
}

/* What libpq opens in turns, so that a server that hangs cannot keep us. */
static err open_socket(struct db_connection *connection, struct arena *arena)
{
    connection->handle = PQconnectStart(connection->owner->conninfo);
    if (!connection->handle)
        return fail(arena, OUT_OF_MEMORY, "no memory for a connection");
    PQsetNoticeProcessor(connection->handle, &ignore_notice, NULL);
    int64_t deadline_us = clock_mono_us() + POSTGRESQL_CONNECT_MS * 1000;
    PostgresPollingStatusType turn = PGRES_POLLING_WRITING;
    while (PQstatus(connection->handle) != CONNECTION_BAD && turn != PGRES_POLLING_OK &&
           turn != PGRES_POLLING_FAILED) {
        if (!wait_socket(connection->handle, turn == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                         deadline_us))
            return gone(connection, arena, "connect");
        turn = PQconnectPoll(connection->handle);
    }
    if (PQstatus(connection->handle) != CONNECTION_OK)
        return refused(connection, arena);
    PQsetnonblocking(connection->handle, 1);
    return OK;
}

/* The writer finds its rows by their keys, however many there are. Left alone the server would make
 * a plan anew for each batch, looking at its arrays; or it would keep one that it made when a table
 * was empty, and go through all of it after an hour. Readers have lists whose filters come and go.
 */
static const char writer_plans[] = "set plan_cache_mode = force_generic_plan;"
                                   " set enable_seqscan = off; set enable_hashjoin = off;"
                                   " set enable_mergejoin = off; set enable_material = off;"
                                   " set enable_bitmapscan = off";

/* A session keeps no lock for longer than these times, whatever becomes of us. */
static err set_session(struct db_connection *connection, struct arena *arena)
{
    const struct db_postgresql *self = connection->owner;
    char sql[SESSION_BYTES];
    snprintf(sql, sizeof sql,
             "set statement_timeout = %lld; set lock_timeout = %lld;"
             " set idle_in_transaction_session_timeout = %lld;"
             " set synchronous_commit = %s; set timezone = 'UTC'; set jit = off; %s",
             (long long)self->statement_timeout_ms, (long long)self->lock_timeout_ms,
             (long long)(self->statement_timeout_ms + POSTGRESQL_ANSWER_EXTRA_MS),
             self->durable ? "on" : "off", connection->is_writer ? writer_plans : "");
    str nothing;
    return postgresql_ask(connection, arena, sql, &nothing);
}

err postgresql_connect(struct db_connection *connection, struct arena *arena)
{
    if (connection->handle && PQstatus(connection->handle) == CONNECTION_OK)
        return OK;
    postgresql_disconnect(connection);
    TRY(open_socket(connection, arena));
    TRY(set_session(connection, arena));
    if (!PQenterPipelineMode(connection->handle))
        return postgresql_error(connection, arena, NULL, "pipeline mode");
    connection->has_failed = false;
    return OK;
}

/* ---- one question, outside of pipelines ---- */

err postgresql_ask(struct db_connection *connection, struct arena *arena, const char *sql,
                   str *answer)
{
    ASSERT(connection->pending_count == 0);
    const char *what = name_of(arena, sql);
    if (!connection->handle)
        return postgresql_error(connection, arena, NULL, what);
    bool is_pipeline = PQpipelineStatus(connection->handle) == PQ_PIPELINE_ON;
    if (is_pipeline && !PQexitPipelineMode(connection->handle))
        return postgresql_error(connection, arena, NULL, "pipeline mode");
    if (!PQsendQuery(connection->handle, sql))
        return postgresql_error(connection, arena, NULL, what);
    TRY(flush(connection, arena, what));

    err error = OK;
    *answer = STR_NONE;
    for (;;) {
        TRY(next_result(connection, arena, what));
        PGresult *result = connection->result;
        if (!result)
            break;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK && PQntuples(result) > 0 && !PQgetisnull(result, 0, 0))
            *answer = str_copy(arena, str_of_z(PQgetvalue(result, 0, 0)));
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && error == OK) {
            error = postgresql_error(connection, arena, result, what);
            if (!connection->handle)
                return error;
        }
    }
    if (error == OK && is_pipeline && !PQenterPipelineMode(connection->handle))
        error = postgresql_error(connection, arena, NULL, "pipeline mode");
    return error;
}

/* ---- the pipeline ---- */

bool postgresql_has_room(const struct db_connection *connection, size_t count)
{
    return connection->pending_count + count <= POSTGRESQL_PIPELINE_MAX;
}

void postgresql_expect(struct db_connection *connection, struct pending pending)
{
    ASSERT(postgresql_has_room(connection, 1));
    db_count_statements(&connection->owner->db, 1);
    connection->pending[connection->pending_count++] = pending;
}

err postgresql_send(struct db_connection *connection, struct arena *arena, const char *sql)
{
    if (!postgresql_has_room(connection, 1))
        TRY(postgresql_drain(connection, arena));
    if (!connection->handle)
        return fail(arena, DB_UNAVAILABLE, "%s: the connection has broken (%s)", sql,
                    connection->owner->place);
    if (!PQsendQueryParams(connection->handle, sql, 0, NULL, NULL, NULL, NULL, 1))
        return postgresql_error(connection, arena, NULL, sql);
    postgresql_expect(connection, (struct pending){ .what = sql });
    return OK;
}

static const struct {
    const char *name, *sql;
    enum pending_kind kind;
} STEPS[] = {
    [STEP_SNAPSHOT] = { "snapshot", "begin isolation level repeatable read, read only",
                        PENDING_STEP },
    [STEP_BEGIN] = { "begin", "begin", PENDING_STEP },
    [STEP_TRANSACTION] = { "transaction", "select pg_current_xact_id()::text::int8",
                           PENDING_TRANSACTION },
    [STEP_COMMIT] = { "commit", "commit", PENDING_STEP },
    [STEP_END] = { "rollback", "rollback", PENDING_STEP },
};

err postgresql_step(struct db_connection *connection, struct arena *arena, enum step step)
{
    const char *name = STEPS[step].name;
    bool *prepared = &connection->prepared_steps[step];
    if (!postgresql_has_room(connection, 2))
        TRY(postgresql_drain(connection, arena));
    if (!connection->handle)
        return fail(arena, DB_UNAVAILABLE, "%s: the connection has broken (%s)", name,
                    connection->owner->place);
    if (!*prepared) {
        if (!PQsendPrepare(connection->handle, name, STEPS[step].sql, 0, NULL))
            return postgresql_error(connection, arena, NULL, name);
        *prepared = true;
        postgresql_expect(connection, (struct pending){ .what = name, .prepared = prepared });
    }
    if (!PQsendQueryPrepared(connection->handle, name, 0, NULL, NULL, NULL, 1))
        return postgresql_error(connection, arena, NULL, name);
    postgresql_expect(connection, (struct pending){ .kind = STEPS[step].kind, .what = name });
    return OK;
}

/* The answer of one statement: its result, and the NULL behind it. */
static err take_one(struct db_connection *connection, struct arena *arena,
                    const struct pending *pending, err error)
{
    TRY(next_result(connection, arena, pending->what));
    PGresult *result = connection->result;
    ExecStatusType status = result ? PQresultStatus(result) : PGRES_FATAL_ERROR;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        if (error == OK)
            error = postgresql_take(connection, arena, pending, result);
    } else {
        if (pending->prepared)
            *pending->prepared = false;
        connection->has_failed = connection->in_transaction;
        if (status != PGRES_PIPELINE_ABORTED && error == OK)
            error = postgresql_error(connection, arena, result, pending->what);
    }
    if (!connection->handle)
        return error;
    err broken = next_result(connection, arena, pending->what);
    return error != OK ? error : broken;
}

err postgresql_drain(struct db_connection *connection, struct arena *arena)
{
    if (connection->pending_count == 0)
        return OK;
    const char *last = connection->pending[connection->pending_count - 1].what;
    if (!PQpipelineSync(connection->handle))
        return postgresql_error(connection, arena, NULL, last);
    connection->is_synced = true;
    __atomic_fetch_add(&connection->owner->db.round_trips, 1, __ATOMIC_RELAXED);
    TRY(flush(connection, arena, last));

    err error = OK;
    size_t count = connection->pending_count;
    connection->taken = 0;
    for (size_t i = 0; i < count; i++) {
        connection->taken = i + 1;
        error = take_one(connection, arena, &connection->pending[i], error);
        if (!connection->handle)
            return error;
    }
    TRY(next_result(connection, arena, last));
    if (!connection->result || PQresultStatus(connection->result) != PGRES_PIPELINE_SYNC)
        return postgresql_error(connection, arena, NULL, last);
    PQclear(connection->result);
    connection->result = NULL;
    connection->pending_count = 0;
    connection->is_synced = false;
    return error;
}

/* Reads on to the end of the pipeline. What was not prepared after all is prepared again later. */
static bool read_to_sync(struct db_connection *connection, struct arena *arena)
{
    int nulls = 0;
    while (nulls < 2 && next_result(connection, arena, "settle") == OK) {
        nulls = connection->result ? 0 : nulls + 1;
        if (!connection->result)
            continue;
        ExecStatusType status = PQresultStatus(connection->result);
        if (status == PGRES_PIPELINE_SYNC)
            return true;
        if (connection->taken == connection->pending_count)
            return false;
        const struct pending *pending = &connection->pending[connection->taken++];
        if (pending->prepared && status != PGRES_COMMAND_OK)
            *pending->prepared = false;
    }
    return false;
}

void postgresql_settle(struct db_connection *connection)
{
    if (!connection->handle)
        return;
    if (connection->pending_count > 0 || connection->is_synced) {
        struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
        if (!connection->is_synced)
            connection->taken = 0;
        bool is_over = (connection->is_synced || PQpipelineSync(connection->handle)) &&
                       flush(connection, arena, "settle") == OK && read_to_sync(connection, arena);
        arena_close(arena);
        if (!is_over) {
            postgresql_disconnect(connection);
            return;
        }
        connection->has_failed = connection->in_transaction;
    }
    PQclear(connection->result);
    connection->result = NULL;
    connection->pending_count = 0;
    connection->is_synced = false;
}
