#include "base/arena.h"
#include "chassis/db_sqlite.h"
#include "gen/chassis.sql.h"

#include <errno.h>

enum { ROWS_FIRST = 16 };

/* ---- errors ---- */

static enum err_code code_of(sqlite3 *handle, int code)
{
    int reason = sqlite3_system_errno(handle);
    if ((code & 0xff) == SQLITE_IOERR && (reason == ENOSPC || reason == EDQUOT))
        return DB_FULL;
    switch (code & 0xff) {
    case SQLITE_FULL: return DB_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DB_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR: return DB_UNAVAILABLE; /* it says nothing about what was asked */
    case SQLITE_NOMEM: return OUT_OF_MEMORY;
    default: return DB_FAILED;
    }
}

err sqlite_error(struct db_connection *connection, struct arena *arena, int code, const char *what)
{
    ASSERT(connection && what && code != SQLITE_OK);

    struct db_sqlite *self = connection->owner;
    bool is_writer = connection == self->writer;
    if (is_writer && (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC))
        db_fatal(&self->db, "fsync failed: what is on disk cannot be known; start again");
    enum err_code ours = code_of(connection->handle, code);
    if (is_writer && ours == DB_CORRUPT && self->opened)
        db_fatal(&self->db, "the database file is damaged; restore a backup");
    if (is_writer && ours == DB_FULL)
        self->checkpoint_at_frames = 0; /* a log that begins anew needs no new room */
    return fail(arena, ours, "%s: %s (%s, code %d)", what, sqlite3_errmsg(connection->handle),
                self->path, code);
}

/* ---- statements ---- */

err sqlite_prepare_plain(struct db_connection *connection, struct arena *arena, const char *sql,
                         sqlite3_stmt **out)
{
    ASSERT(connection && sql && out);
    int code =
        sqlite3_prepare_v3(connection->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    return code == SQLITE_OK ? OK : sqlite_error(connection, arena, code, sql);
}

err sqlite_step_plain(struct db_connection *connection, struct arena *arena,
                      sqlite3_stmt *statement)
{
    ASSERT(connection && statement);
    db_count_statements(&connection->owner->db, 1);
    sqlite3_step(statement);
    int code = sqlite3_reset(statement);
    return code == SQLITE_OK ? OK : sqlite_error(connection, arena, code, sqlite3_sql(statement));
}

static err prepare(struct db_connection *connection, struct arena *arena, const struct query *query,
                   unsigned flags, sqlite3_stmt **out)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v3(connection->handle, query->sql, -1, flags, &statement, NULL);
    if (code != SQLITE_OK)
        return sqlite_error(connection, arena, code, query->name);

    bool agrees = statement && sqlite3_bind_parameter_count(statement) == query->params_count &&
                  sqlite3_column_count(statement) == query->columns_count &&
                  !sqlite3_stmt_readonly(statement) == query->writes;
    if (!agrees) {
        sqlite3_finalize(statement);
        return fail(arena, DB_FAILED,
                    "%s does not do what queries.sql declares: parameters, columns"
                    " or whether it writes differ",
                    query->name);
    }
    *out = statement;
    return OK;
}

err sqlite_check(struct db_connection *connection, struct arena *arena, const struct query *query)
{
    ASSERT(connection && query);
    sqlite3_stmt *statement;
    TRY(prepare(connection, arena, query, 0, &statement));
    sqlite3_finalize(statement);
    return OK;
}

void sqlite_settle(struct db_connection *connection)
{
    if (connection->running) {
        sqlite3_reset(connection->running);
        connection->running = NULL;
    }
}

static bool is_of(const struct db_schema *schema, const struct query *query)
{
    return query->index < schema->queries_count && schema->queries[query->index] == query;
}

/* The prepared statement of a query on this connection, ready to be bound. */
static err statement_of(struct db_connection *connection, struct arena *arena,
                        const struct query *query, sqlite3_stmt **out)
{
    int space = is_of(&chassis_schema, query) ? SPACE_CHASSIS : SPACE_SERVICE;
    ASSERT(space == SPACE_CHASSIS || is_of(connection->owner->db.schema, query));

    sqlite_settle(connection);
    sqlite3_stmt **slot = &connection->statements[space][query->index];
    if (__builtin_expect(!*slot, 0))
        TRY(prepare(connection, arena, query, SQLITE_PREPARE_PERSISTENT, slot));
    *out = *slot;
    return OK;
}

/* ---- parameters ---- */

/* Nothing is copied: what is bound outlives the step. */
static int bind_text(sqlite3_stmt *statement, int at, str text, bool nullable)
{
    if (!text.ptr && nullable)
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_text64(statement, at, text.ptr ? text.ptr : "", text.len, SQLITE_STATIC,
                               SQLITE_UTF8);
}

static int bind_bytes(sqlite3_stmt *statement, int at, str bytes, bool nullable)
{
    if (!bytes.ptr && nullable)
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_blob64(statement, at, bytes.ptr ? bytes.ptr : "", bytes.len, SQLITE_STATIC);
}

static int bind_uuid(sqlite3_stmt *statement, int at, const struct uuid *id, bool nullable)
{
    if (nullable && uuid_is_nil(*id))
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_blob(statement, at, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

static int bind_time(sqlite3_stmt *statement, int at, time_us time, bool nullable)
{
    if (nullable && time == 0)
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_int64(statement, at, time);
}

static int bind_currency(sqlite3_stmt *statement, int at, const struct currency *currency,
                         bool nullable)
{
    if (nullable && currency->letters[0] == '\0')
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_text(statement, at, currency->letters, 3, SQLITE_STATIC);
}

static int bind_one(sqlite3_stmt *statement, int at, const struct column *column,
                    const char *params)
{
    const void *place = params + column->offset;
    switch (column->type) {
    case COLUMN_UUID: return bind_uuid(statement, at, place, column->nullable);
    case COLUMN_TEXT: return bind_text(statement, at, *(const str *)place, column->nullable);
    case COLUMN_BYTES: return bind_bytes(statement, at, *(const str *)place, column->nullable);
    case COLUMN_INT64: return sqlite3_bind_int64(statement, at, *(const int64_t *)place);
    case COLUMN_INT32: return sqlite3_bind_int(statement, at, *(const int32_t *)place);
    case COLUMN_BOOL: return sqlite3_bind_int(statement, at, *(const bool *)place ? 1 : 0);
    case COLUMN_TIME: return bind_time(statement, at, *(const time_us *)place, column->nullable);
    case COLUMN_CURRENCY: return bind_currency(statement, at, place, column->nullable);
    }
    return SQLITE_MISUSE;
}

static err bind(struct db_connection *connection, struct arena *arena, sqlite3_stmt *statement,
                const struct query *query, const char *params)
{
    for (int i = 0; i < query->params_count; i++) {
        int code = bind_one(statement, i + 1, &query->params[i], params);
        if (__builtin_expect(code != SQLITE_OK, 0))
            return sqlite_error(connection, arena, code, query->name);
    }
    return OK;
}

/* ---- columns ---- */

static str copy_of(struct arena *arena, const void *bytes, int len)
{
    if (len == 0)
        return STR("");
    char *copy = arena_alloc(arena, (size_t)len, 1);
    memcpy(copy, bytes, (size_t)len);
    return str_of(copy, (size_t)len);
}

/* The column as its type; false where the row holds something else. The row is zeroed before. */
static bool take_column(sqlite3_stmt *statement, int at, const struct column *column,
                        struct arena *arena, char *row)
{
    void *place = row + column->offset;
    int stored = sqlite3_column_type(statement, at);
    if (stored == SQLITE_NULL)
        return column->nullable;

    switch (column->type) {
    case COLUMN_UUID:
        if (stored != SQLITE_BLOB || sqlite3_column_bytes(statement, at) != sizeof(struct uuid))
            return false;
        memcpy(place, sqlite3_column_blob(statement, at), sizeof(struct uuid));
        return true;
    case COLUMN_TEXT:
    case COLUMN_BYTES: {
        if (stored != (column->type == COLUMN_TEXT ? SQLITE_TEXT : SQLITE_BLOB))
            return false;
        const void *bytes = column->type == COLUMN_TEXT ? sqlite3_column_text(statement, at)
                                                        : sqlite3_column_blob(statement, at);
        *(str *)place = copy_of(arena, bytes, sqlite3_column_bytes(statement, at));
        return true;
    }
    case COLUMN_CURRENCY:
        if (stored != SQLITE_TEXT || sqlite3_column_bytes(statement, at) != 3)
            return false;
        memcpy(((struct currency *)place)->letters, sqlite3_column_text(statement, at), 3);
        return true;
    case COLUMN_INT64:
    case COLUMN_INT32:
    case COLUMN_BOOL:
    case COLUMN_TIME: break;
    }

    if (stored != SQLITE_INTEGER)
        return false;
    int64_t number = sqlite3_column_int64(statement, at);
    if (column->type == COLUMN_INT32) {
        *(int32_t *)place = (int32_t)number;
        return number == (int32_t)number;
    }
    if (column->type == COLUMN_BOOL) {
        *(bool *)place = number != 0;
        return number == 0 || number == 1;
    }
    *(int64_t *)place = number; /* int64 and time */
    return true;
}

static err take_row(sqlite3_stmt *statement, const struct query *query, struct arena *arena,
                    char *row)
{
    for (int i = 0; i < query->columns_count; i++) {
        const struct column *column = &query->columns[i];
        if (__builtin_expect(!take_column(statement, i, column, arena, row), 0))
            return fail(arena, DB_FAILED,
                        "%s: column %s is not what queries.sql declares (is it null?)", query->name,
                        column->name);
    }
    return OK;
}

/* Room for one more row; the row is zeroed. */
static char *row_add(struct db_rows *rows, struct arena *arena, size_t row_size)
{
    if (rows->count == rows->cap) {
        size_t more = rows->cap ? 2 * rows->cap : ROWS_FIRST;
        char *moved = arena_alloc_array(arena, more, row_size, alignof(max_align_t));
        if (rows->count > 0)
            memcpy(moved, rows->out, rows->count * row_size);
        rows->out = moved;
        rows->cap = more;
    }
    return (char *)rows->out + rows->count * row_size;
}

err sqlite_read(struct db_connection *connection, struct arena *arena, const struct query *query,
                const void *params, struct db_rows *rows)
{
    ASSERT(connection && query && rows && (rows->many || rows->out));

    sqlite3_stmt *statement;
    TRY(statement_of(connection, arena, query, &statement));
    TRY(bind(connection, arena, statement, query, params));

    err error = OK;
    int code;
    db_count_statements(&connection->owner->db, 1);
    connection->running = statement;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && error == OK) {
        if (!rows->many && rows->count > 0)
            continue; /* one that changes rows must run to its end */
        char *row = rows->out;
        if (rows->many)
            row = row_add(rows, arena, query->row_size);
        else
            memset(row, 0, query->row_size);
        error = take_row(statement, query, arena, row);
        rows->count++;
        if (!rows->many && !query->writes)
            break;
    }
    connection->running = NULL;
    code = sqlite3_reset(statement);
    if (error == OK && code != SQLITE_OK)
        error = sqlite_error(connection, arena, code, query->name);
    return error;
}

err sqlite_run(struct db_connection *connection, struct arena *arena, const struct query *query,
               const void *params, size_t count, int64_t *changed)
{
    ASSERT(connection && query);

    sqlite3_stmt *statement;
    TRY(statement_of(connection, arena, query, &statement));
    const char *row = params;
    db_count_statements(&connection->owner->db, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && row)
            row += query->params_size;
        TRY(bind(connection, arena, statement, query, row));
        sqlite3_step(statement);
        int code = sqlite3_reset(statement);
        if (__builtin_expect(code != SQLITE_OK, 0))
            return sqlite_error(connection, arena, code, query->name);
        if (changed)
            changed[i] = sqlite3_changes64(connection->handle);
    }
    return OK;
}
