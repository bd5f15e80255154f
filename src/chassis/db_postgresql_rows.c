#include "chassis/db_postgresql.h"

#include "base/arena.h"
#include "gen/chassis.sql.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARAMS_MAX = 100, NAME_BYTES = 16, ARRAY_HEAD_BYTES = 20 };

/* What PostgreSQL calls our types: they are part of its protocol and never change. */
static const struct {
    Oid one, many;
} OIDS[] = {
    [COLUMN_UUID] = { 2950, 2951 }, [COLUMN_TEXT] = { 25, 1009 },     [COLUMN_BYTES] = { 17, 1001 },
    [COLUMN_INT64] = { 20, 1016 },  [COLUMN_INT32] = { 23, 1007 },    [COLUMN_BOOL] = { 16, 1000 },
    [COLUMN_TIME] = { 20, 1016 },   [COLUMN_CURRENCY] = { 25, 1009 },
};
enum { OID_INT16 = 21, OID_INT32 = 23, OID_INT64 = 20, OID_VARCHAR = 1043 };

/* ---- parameters ---- */

/* A value as it goes over the wire; `ptr` NULL is null. Numbers lie in `room`. */
struct value {
    const void *ptr;
    size_t len;
    uint8_t room[8];
};

static void put_number(struct value *value, uint64_t number, size_t len)
{
    uint64_t big = htobe64(number << (64 - 8 * len));
    memcpy(value->room, &big, sizeof big);
    value->ptr = value->room;
    value->len = len;
}

static void encode_text(struct value *value, str text, bool nullable)
{
    value->ptr = text.ptr || nullable ? text.ptr : "";
    value->len = text.len;
}

static void encode(struct value *value, const struct column *column, const char *params)
{
    const void *place = params + column->offset;
    switch (column->type) {
    case COLUMN_UUID:
        value->ptr = column->nullable && uuid_is_nil(*(const struct uuid *)place) ? NULL : place;
        value->len = sizeof(struct uuid);
        return;
    case COLUMN_TEXT:
    case COLUMN_BYTES: encode_text(value, *(const str *)place, column->nullable); return;
    case COLUMN_INT64: put_number(value, (uint64_t) * (const int64_t *)place, 8); return;
    case COLUMN_INT32: put_number(value, (uint64_t) * (const int32_t *)place, 4); return;
    case COLUMN_BOOL: put_number(value, *(const bool *)place ? 1 : 0, 1); return;
    case COLUMN_TIME:
        put_number(value, (uint64_t) * (const time_us *)place, 8);
        if (column->nullable && *(const time_us *)place == 0)
            value->ptr = NULL;
        return;
    case COLUMN_CURRENCY: {
        const struct currency *currency = place;
        value->ptr = column->nullable && currency->letters[0] == '\0' ? NULL : currency->letters;
        value->len = 3;
        return;
    }
    }
}

/* ---- statements ---- */

static bool is_of(const struct db_schema *schema, const struct query *query)
{
    return query->index < schema->queries_count && schema->queries[query->index] == query;
}

static int space_of(const struct db_connection *connection, const struct query *query)
{
    int space = is_of(&chassis_schema, query) ? SPACE_CHASSIS : SPACE_SERVICE;
    ASSERT(space == SPACE_CHASSIS || is_of(connection->owner->db.schema, query));
    return space;
}

static void name_of(char name[NAME_BYTES], int space, int form, const struct query *query)
{
    snprintf(name, NAME_BYTES, "%c%c%d", space == SPACE_CHASSIS ? 'c' : 's',
             form == FORM_ONE ? 'o' : 'm', query->index);
}

static err send_prepare(struct db_connection *connection, struct arena *arena,
                        const struct query *query, int form, const char *name)
{
    ASSERT(query->postgresql);
    Oid types[PARAMS_MAX];
    for (int i = 0; i < query->params_count; i++)
        types[i] =
            form == FORM_ONE ? OIDS[query->params[i].type].one : OIDS[query->params[i].type].many;
    const char *sql = form == FORM_ONE ? query->postgresql->sql : query->postgresql->many;
    if (!PQsendPrepare(connection->handle, name, sql, query->params_count, types))
        return postgresql_error(connection, arena, NULL, query->name);
    bool *prepared = &connection->prepared[space_of(connection, query)][form][query->index];
    *prepared = true;
    postgresql_expect(connection, (struct pending){ .what = query->name, .prepared = prepared });
    return OK;
}

/* Readies a statement: room for itself and its preparation, and that where it is missing. */
static err ready(struct db_connection *connection, struct arena *arena, const struct query *query,
                 int form, char name[NAME_BYTES])
{
    if (!postgresql_has_room(connection, 2))
        TRY(postgresql_drain(connection, arena));
    if (!connection->handle)
        return fail(arena, DB_UNAVAILABLE, "%s: the connection has broken (%s)", query->name,
                    connection->owner->place);
    int space = space_of(connection, query);
    name_of(name, space, form, query);
    if (__builtin_expect(!connection->prepared[space][form][query->index], 0))
        TRY(send_prepare(connection, arena, query, form, name));
    return OK;
}

/* The parameters of one statement, as libpq takes them. */
struct sent {
    const char *pointers[PARAMS_MAX];
    int lengths[PARAMS_MAX];
};

/* Sends a statement that is ready, and expects its answer. */
static err send_ready(struct db_connection *connection, struct arena *arena, const char *name,
                      const struct sent *sent, struct pending pending)
{
    const struct query *query = pending.query;
    int formats[PARAMS_MAX];
    for (int i = 0; i < query->params_count; i++)
        formats[i] = 1;
    if (!PQsendQueryPrepared(connection->handle, name, query->params_count, sent->pointers,
                             sent->lengths, formats, 1))
        return postgresql_error(connection, arena, NULL, query->name);
    pending.what = query->name;
    postgresql_expect(connection, pending);
    return OK;
}

static err send_one(struct db_connection *connection, struct arena *arena, const char *params,
                    struct pending pending)
{
    const struct query *query = pending.query;
    char name[NAME_BYTES];
    struct value values[PARAMS_MAX];
    struct sent sent;
    TRY(ready(connection, arena, query, FORM_ONE, name));
    ASSERT(query->params_count <= PARAMS_MAX);
    for (int i = 0; i < query->params_count; i++) {
        encode(&values[i], &query->params[i], params);
        sent.pointers[i] = values[i].ptr;
        sent.lengths[i] = (int)values[i].len;
    }
    return send_ready(connection, arena, name, &sent, pending);
}

/* ---- many rows in one statement ---- */

static char *put_int32(char *at, uint32_t number)
{
    uint32_t big = htobe32(number);
    memcpy(at, &big, sizeof big);
    return at + sizeof big;
}

/* One parameter of all rows, as an array. */
static str array_of(struct arena *arena, const struct query *query, const struct column *column,
                    const char *params, size_t count)
{
    struct value value;
    size_t len = ARRAY_HEAD_BYTES;
    bool has_null = false;
    for (size_t i = 0; i < count; i++) {
        encode(&value, column, params + i * query->params_size);
        len += 4 + (value.ptr ? value.len : 0);
        has_null = has_null || !value.ptr;
    }
    char *bytes = arena_alloc(arena, len, 1), *at = bytes;
    at = put_int32(at, 1); /* dimension */
    at = put_int32(at, has_null ? 1 : 0);
    at = put_int32(at, OIDS[column->type].one);
    at = put_int32(at, (uint32_t)count);
    at = put_int32(at, 1); /* the first index */
    for (size_t i = 0; i < count; i++) {
        encode(&value, column, params + i * query->params_size);
        at = put_int32(at, value.ptr ? (uint32_t)value.len : UINT32_MAX);
        if (value.ptr && value.len > 0)
            memcpy(at, value.ptr, value.len);
        at += value.ptr ? value.len : 0;
    }
    ASSERT(at == bytes + len);
    return str_of(bytes, len);
}

/* `pending` names the query, its params and how many there are. */
static err send_many(struct db_connection *connection, struct arena *arena, struct pending pending)
{
    const struct query *query = pending.query;
    char name[NAME_BYTES];
    struct sent sent;
    TRY(ready(connection, arena, query, FORM_MANY, name));
    for (int i = 0; i < query->params_count; i++) {
        str array = array_of(arena, query, &query->params[i], pending.params, pending.count);
        sent.pointers[i] = array.ptr;
        sent.lengths[i] = (int)array.len;
    }
    return send_ready(connection, arena, name, &sent, pending);
}

static uint64_t key_hash(const struct query *query, const char *params)
{
    uint64_t hash = 0;
    for (int i = 0; i < query->params_count; i++) {
        if (!(query->postgresql->key >> i & 1))
            continue;
        struct value value;
        encode(&value, &query->params[i], params);
        uint64_t part = value.ptr ? str_hash(str_of(value.ptr, value.len)) : 1;
        hash = (hash ^ part) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 32;
    }
    return hash | 1;
}

/* Whether no two rows of the source meet in one row of the target. May say no where they do not. */
static bool keys_differ(struct arena *arena, const struct query *query, const char *params,
                        size_t count)
{
    size_t slots = 4;
    while (slots < 2 * count)
        slots *= 2;
    uint64_t *seen = arena_array(arena, uint64_t, slots);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = key_hash(query, params + i * query->params_size);
        size_t at = hash & (slots - 1);
        while (seen[at] != 0 && seen[at] != hash)
            at = (at + 1) & (slots - 1);
        if (seen[at] == hash)
            return false;
        seen[at] = hash;
    }
    return true;
}

static bool can_be_one(struct arena *arena, const struct query *query, const char *params,
                       size_t count, const int64_t *changed)
{
    const struct query_postgresql *form = query->postgresql;
    if (count < 2 || !form->many || (form->answer == MANY_UNKNOWN && changed))
        return false;
    bool meets_once = form->answer == MANY_ORDINALS || form->answer == MANY_KEYS;
    return !meets_once || keys_differ(arena, query, params, count);
}

err postgresql_run(struct db_connection *connection, struct arena *arena, const struct query *query,
                   const void *params, size_t count, int64_t *changed)
{
    ASSERT(connection && query);
    if (count == 0)
        return OK;
    if (can_be_one(arena, query, params, count, changed)) {
        struct pending pending = { .kind = PENDING_RUN_MANY,
                                   .query = query,
                                   .changed = changed,
                                   .params = params,
                                   .count = count };
        TRY(send_many(connection, arena, pending));
    } else {
        const char *row = params;
        for (size_t i = 0; i < count; i++, row = row ? row + query->params_size : NULL) {
            struct pending pending = { .kind = PENDING_RUN,
                                       .query = query,
                                       .changed = changed ? &changed[i] : NULL };
            TRY(send_one(connection, arena, row, pending));
        }
    }
    return changed ? postgresql_drain(connection, arena) : OK;
}

/* ---- columns ---- */

static int64_t number_at(const PGresult *result, int row, int column)
{
    const char *bytes = PQgetvalue(result, row, column);
    switch (PQgetlength(result, row, column)) {
    case 2: {
        uint16_t small;
        memcpy(&small, bytes, sizeof small);
        return (int16_t)be16toh(small);
    }
    case 4: {
        uint32_t middle;
        memcpy(&middle, bytes, sizeof middle);
        return (int32_t)be32toh(middle);
    }
    default: {
        uint64_t big;
        memcpy(&big, bytes, sizeof big);
        return (int64_t)be64toh(big);
    }
    }
}

/* Whether a column of the server's type can be read as ours. */
static bool type_fits(Oid given, enum column_type type)
{
    switch (type) {
    case COLUMN_INT64:
    case COLUMN_INT32:
    case COLUMN_TIME: return given == OID_INT64 || given == OID_INT32 || given == OID_INT16;
    case COLUMN_TEXT:
    case COLUMN_CURRENCY: return given == OIDS[type].one || given == OID_VARCHAR;
    case COLUMN_UUID:
    case COLUMN_BYTES:
    case COLUMN_BOOL: break;
    }
    return given == OIDS[type].one;
}

static str copy_at(struct arena *arena, const PGresult *result, int row, int column)
{
    size_t len = (size_t)PQgetlength(result, row, column);
    if (len == 0)
        return STR("");
    char *copy = arena_alloc(arena, len, 1);
    memcpy(copy, PQgetvalue(result, row, column), len);
    return str_of(copy, len);
}

/* The column as its type; false where the row holds something else. The row is zeroed before. */
static bool take_column(const PGresult *result, int row, int at, const struct column *column,
                        struct arena *arena, char *out)
{
    void *place = out + column->offset;
    if (PQgetisnull(result, row, at))
        return column->nullable;
    if (!type_fits(PQftype(result, at), column->type))
        return false;

    switch (column->type) {
    case COLUMN_UUID: memcpy(place, PQgetvalue(result, row, at), sizeof(struct uuid)); return true;
    case COLUMN_TEXT:
    case COLUMN_BYTES: *(str *)place = copy_at(arena, result, row, at); return true;
    case COLUMN_CURRENCY:
        if (PQgetlength(result, row, at) != 3)
            return false;
        memcpy(((struct currency *)place)->letters, PQgetvalue(result, row, at), 3);
        return true;
    case COLUMN_BOOL: *(bool *)place = *PQgetvalue(result, row, at) != 0; return true;
    case COLUMN_INT32: {
        int64_t number = number_at(result, row, at);
        *(int32_t *)place = (int32_t)number;
        return number == (int32_t)number;
    }
    case COLUMN_INT64:
    case COLUMN_TIME: *(int64_t *)place = number_at(result, row, at); return true;
    }
    return false;
}

/* A row whose columns begin with the one at `first`. */
static err take_row(const struct query *query, const PGresult *result, int row, int first,
                    struct arena *arena, char *out)
{
    for (int i = 0; i < query->columns_count; i++)
        if (!take_column(result, row, first + i, &query->columns[i], arena, out))
            return fail(arena, DB_FAILED,
                        "%s: column %s is not what queries.sql declares (is it null?)", query->name,
                        query->columns[i].name);
    return OK;
}

static err check_width(const struct query *query, const PGresult *result, int first,
                       struct arena *arena)
{
    int given = PQnfields(result) - first;
    return given == query->columns_count
               ? OK
               : fail(arena, DB_FAILED, "%s gives %d columns and declares %d", query->name, given,
                      query->columns_count);
}

static err take_rows(const struct query *query, const PGresult *result, struct arena *arena,
                     struct db_rows *rows)
{
    size_t count = (size_t)PQntuples(result);
    if (!rows->many && count > 1)
        count = 1;
    TRY(check_width(query, result, 0, arena));
    char *out = rows->out;
    if (rows->many)
        rows->out = out = arena_alloc_array(arena, count, query->row_size, alignof(max_align_t));
    else if (count > 0)
        memset(out, 0, query->row_size);
    for (size_t i = 0; i < count; i++, out += query->row_size)
        TRY(take_row(query, result, (int)i, 0, arena, out));
    rows->count = count;
    return OK;
}

/* Which params a row belongs to. */
static size_t place_of(const struct pending *pending, const PGresult *result, int row)
{
    int64_t nth = number_at(result, row, 0);
    ASSERT(nth >= 1 && nth <= (int64_t)pending->count);
    return (size_t)nth - 1;
}

/* The rows of the first params first, whatever order the server found them in; those of one in the
 * order that they came in. */
static err take_each(const struct pending *pending, const PGresult *result, struct arena *arena)
{
    const struct query *query = pending->query;
    struct db_rows *rows = pending->rows;
    int count = PQntuples(result);
    TRY(check_width(query, result, 1, arena));
    size_t *starts = arena_array(arena, size_t, pending->count), start = 0;
    memset(pending->counts, 0, pending->count * sizeof *pending->counts);
    for (int i = 0; i < count; i++)
        pending->counts[place_of(pending, result, i)]++;
    for (size_t i = 0; i < pending->count; i++) {
        starts[i] = start;
        start += pending->counts[i];
    }
    char *out = arena_alloc_array(arena, (size_t)count, query->row_size, alignof(max_align_t));
    for (int i = 0; i < count; i++) {
        size_t at = starts[place_of(pending, result, i)]++;
        TRY(take_row(query, result, i, 1, arena, out + at * query->row_size));
    }
    rows->out = out;
    rows->count = (size_t)count;
    return OK;
}

/* ---- which rows of many were touched ---- */

static bool key_equals(const PGresult *result, int row, const struct query *query,
                       const char *params)
{
    int at = 0;
    for (int i = 0; i < query->params_count; i++) {
        if (!(query->postgresql->key >> i & 1))
            continue;
        struct value value;
        encode(&value, &query->params[i], params);
        bool is_number = query->params[i].type == COLUMN_INT64 ||
                         query->params[i].type == COLUMN_INT32 ||
                         query->params[i].type == COLUMN_TIME;
        bool is_null = PQgetisnull(result, row, at);
        if (is_null || !value.ptr) {
            if (is_null != !value.ptr)
                return false;
        } else if (is_number) {
            int64_t number = query->params[i].type == COLUMN_INT32
                                 ? *(const int32_t *)(params + query->params[i].offset)
                                 : *(const int64_t *)(params + query->params[i].offset);
            if (number_at(result, row, at) != number)
                return false;
        } else if ((size_t)PQgetlength(result, row, at) != value.len ||
                   memcmp(PQgetvalue(result, row, at), value.ptr, value.len) != 0) {
            return false;
        }
        at++;
    }
    return true;
}

/* Rows come back in the order of their source: each search goes on where the last one ended. */
static err note_keys(const struct pending *pending, const PGresult *result, struct arena *arena)
{
    const struct query *query = pending->query;
    size_t at = 0;
    for (int row = 0; row < PQntuples(result); row++) {
        size_t tried = 0;
        while (tried < pending->count &&
               !key_equals(result, row, query, pending->params + at * query->params_size)) {
            at = (at + 1) % pending->count;
            tried++;
        }
        if (tried == pending->count)
            return fail(arena, DB_FAILED, "%s gave back a row that nobody sent", query->name);
        pending->changed[at]++;
        at = (at + 1) % pending->count;
    }
    return OK;
}

static err note_many(const struct pending *pending, const PGresult *result, struct arena *arena)
{
    memset(pending->changed, 0, pending->count * sizeof *pending->changed);
    switch (pending->query->postgresql->answer) {
    case MANY_KEYS:
    case MANY_INSERTED: return note_keys(pending, result, arena);
    case MANY_ORDINALS:
        for (int row = 0; row < PQntuples(result); row++)
            pending->changed[place_of(pending, result, row)]++;
        return OK;
    case MANY_ROWS:
    case MANY_COUNT:
    case MANY_UNKNOWN: break;
    }
    for (size_t i = 0; i < pending->count; i++)
        pending->changed[i] = 1;
    return OK;
}

/* ---- taking an answer ---- */

static int64_t touched(const PGresult *result)
{
    return strtoll(PQcmdTuples((PGresult *)(uintptr_t)result), NULL, 10);
}

static err take_described(const struct query *query, const PGresult *result, struct arena *arena)
{
    bool agrees =
        PQnparams(result) == query->params_count && PQnfields(result) == query->columns_count;
    for (int i = 0; agrees && i < query->columns_count; i++)
        agrees = type_fits(PQftype(result, i), query->columns[i].type);
    return agrees ? OK
                  : fail(arena, DB_FAILED,
                         "%s does not do what queries.sql declares: parameters or columns differ",
                         query->name);
}

err postgresql_take(struct db_connection *connection, struct arena *arena,
                    const struct pending *pending, const PGresult *result)
{
    switch (pending->kind) {
    case PENDING_STEP: return OK;
    case PENDING_DESCRIBE: return take_described(pending->query, result, arena);
    case PENDING_READ: return take_rows(pending->query, result, arena, pending->rows);
    case PENDING_READ_EACH: return take_each(pending, result, arena);
    case PENDING_RUN:
        if (pending->changed)
            *pending->changed = touched(result);
        return OK;
    case PENDING_RUN_MANY:
        if (pending->query->postgresql->answer == MANY_COUNT &&
            touched(result) != (int64_t)pending->count)
            return fail(arena, DB_FAILED, "%s: %lld of %zu rows were written", pending->query->name,
                        (long long)touched(result), pending->count);
        return pending->changed ? note_many(pending, result, arena) : OK;
    case PENDING_TRANSACTION:
        connection->transaction = (uint64_t)number_at(result, 0, 0);
        return OK;
    }
    return OK;
}

/* ---- reading ---- */

static err read_once(struct db_connection *connection, struct arena *arena, const void *params,
                     struct pending pending)
{
    if (pending.kind == PENDING_READ_EACH)
        TRY(send_many(connection, arena, pending));
    else
        TRY(send_one(connection, arena, params, pending));
    return postgresql_drain(connection, arena);
}

/* A connection from the pool may have died while it rested: nobody has seen its snapshot yet. */
static err read_fresh(struct db_connection *connection, struct arena *arena, const void *params,
                      struct pending pending)
{
    err error = read_once(connection, arena, params, pending);
    if (err_is(error, DB_UNAVAILABLE) && connection->is_fresh) {
        TRY(postgresql_begin_snapshot(connection, arena));
        error = read_once(connection, arena, params, pending);
    }
    if (error == OK)
        connection->is_fresh = false;
    return error;
}

err postgresql_read(struct db_connection *connection, struct arena *arena,
                    const struct query *query, const void *params, struct db_rows *rows)
{
    ASSERT(connection && query && rows && (rows->many || rows->out));
    struct pending pending = { .kind = PENDING_READ, .query = query, .rows = rows };
    return read_fresh(connection, arena, params, pending);
}

err postgresql_read_each(struct db_connection *connection, struct arena *arena,
                         const struct query *query, const void *params, size_t count,
                         struct db_rows *rows, size_t *counts)
{
    ASSERT(connection && query && params && count > 0 && rows && rows->many && counts);
    ASSERT(query->postgresql->answer == MANY_ROWS);
    if (count == 1) {
        TRY(postgresql_read(connection, arena, query, params, rows));
        counts[0] = rows->count;
        return OK;
    }
    struct pending pending = { .kind = PENDING_READ_EACH,
                               .query = query,
                               .rows = rows,
                               .counts = counts,
                               .params = params,
                               .count = count };
    return read_fresh(connection, arena, params, pending);
}

/* ---- the check at the start ---- */

static err check_form(struct db_connection *connection, struct arena *arena,
                      const struct query *query, int form)
{
    char name[NAME_BYTES];
    TRY(ready(connection, arena, query, form, name));
    if (form == FORM_MANY)
        return OK; /* it was derived: that it is understood is enough */
    if (!PQsendDescribePrepared(connection->handle, name))
        return postgresql_error(connection, arena, NULL, query->name);
    postgresql_expect(
        connection,
        (struct pending){ .kind = PENDING_DESCRIBE, .what = query->name, .query = query });
    return OK;
}

err postgresql_check(struct db_connection *connection, struct arena *arena,
                     const struct db_schema *schema)
{
    ASSERT(connection && schema);
    for (int i = 0; i < schema->queries_count; i++) {
        const struct query *query = schema->queries[i];
        ASSERT(query->index == i);
        TRY(check_form(connection, arena, query, FORM_ONE));
        if (query->postgresql->many)
            TRY(check_form(connection, arena, query, FORM_MANY));
    }
    return postgresql_drain(connection, arena);
}
