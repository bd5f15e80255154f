#include "apps/move.h"

#include "chassis/write.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"

#include <stdlib.h>

enum { PAGE_ROWS = 256, FAULTS_MAX = 20, TABLES_MAX = 40, COLUMNS_MAX = 40, KEY_BYTES_MAX = 4096 };

#define LEASE_US (60 * TIME_SECOND)
/* Of all moves: who was interrupted takes it again. Two of one source cannot run. */
static const struct uuid HOLDER = { { 0x6d, 0x6f, 0x76, 0x65 } };

struct table {
    const char *name;
    const struct query *page, *put, *link, *count, *clear, *sequence;
    bool keys_only; /* the rest lies in another form on the other side */
};

struct moving {
    const struct move *move;
    struct move_done *done;
    struct db *from, *to;
    struct table tables[TABLES_MAX];
    int count;
    struct arena *page; /* of one page */
};

/* ---- the tables, by the names of their queries ---- */

static bool ends_with(str name, const char *end, str *before)
{
    size_t len = strlen(end);
    if (name.len <= len || strcmp(name.ptr + name.len - len, end) != 0)
        return false;
    *before = str_of(name.ptr, name.len - len);
    return true;
}

/* "move_users_sessions_page" begins a table; the others of it follow. */
static void find_tables(struct moving *moving, struct arena *arena)
{
    const struct db_schema *queries = moving->move->queries;
    struct table *table = NULL;
    for (int i = 0; i < queries->queries_count; i++) {
        const struct query *query = queries->queries[i];
        str name = str_of_z(query->name), before;
        if (ends_with(name, "_page", &before)) {
            ASSERT(moving->count < TABLES_MAX && query->columns_count <= COLUMNS_MAX);
            table = &moving->tables[moving->count++];
            table->name = str_z(arena, before) + strlen("move_");
            table->page = query;
            table->keys_only = str_equal(before, STR("move_products_product_words"));
            continue;
        }
        ASSERT(table);
        table->put = ends_with(name, "_put", &before) ? query : table->put;
        table->link = ends_with(name, "_link", &before) ? query : table->link;
        table->count = ends_with(name, "_count", &before) ? query : table->count;
        table->clear = ends_with(name, "_clear", &before) ? query : table->clear;
        table->sequence = ends_with(name, "_sequence", &before) ? query : table->sequence;
    }
}

/* ---- rows ---- */

static size_t size_of(enum column_type type)
{
    switch (type) {
    case COLUMN_UUID: return sizeof(struct uuid);
    case COLUMN_TEXT:
    case COLUMN_BYTES: return sizeof(str);
    case COLUMN_INT64:
    case COLUMN_TIME: return sizeof(int64_t);
    case COLUMN_INT32: return sizeof(int32_t);
    case COLUMN_BOOL: return sizeof(bool);
    case COLUMN_CURRENCY: return sizeof(struct currency);
    }
    ASSERT(false);
    return 0;
}

static const struct column *column_of(const struct query *page, const char *name)
{
    for (int i = 0; i < page->columns_count; i++)
        if (strcmp(page->columns[i].name, name) == 0)
            return &page->columns[i];
    ASSERT(false);
    return NULL;
}

/* Parameters of another query of the table, by the names of the columns. */
static void *params_of(const struct query *page, const char *row, const struct query *query,
                       char *params)
{
    for (int i = 0; i < query->params_count; i++) {
        const struct column *to = &query->params[i];
        const struct column *from = column_of(page, to->name);
        ASSERT(from->type == to->type);
        memcpy(params + to->offset, row + from->offset, size_of(to->type));
    }
    return params;
}

static bool value_equal(const struct column *column, const char *a, const char *b)
{
    const char *one = a + column->offset, *other = b + column->offset;
    if (column->type == COLUMN_TEXT || column->type == COLUMN_BYTES) {
        str x, y;
        memcpy(&x, one, sizeof x);
        memcpy(&y, other, sizeof y);
        return str_equal(x, y) && (!column->nullable || (x.ptr == NULL) == (y.ptr == NULL));
    }
    return memcmp(one, other, size_of(column->type)) == 0;
}

static bool is_key(const struct query *page, const struct column *column)
{
    for (int i = 0; i + 1 < page->params_count; i++)
        if (strcmp(page->params[i].name, column->name) == 0)
            return true;
    return false;
}

static bool row_equal(const struct table *table, const char *a, const char *b)
{
    const struct query *page = table->page;
    for (int i = 0; i < page->columns_count; i++)
        if ((!table->keys_only || is_key(page, &page->columns[i])) &&
            !value_equal(&page->columns[i], a, b))
            return false;
    return true;
}

/* ---- pages ---- */

/* Where a walk stands: the parameters of the page that comes next, with texts of their own. */
struct walk {
    char params[512];
    char texts[KEY_BYTES_MAX];
    struct {
        const char *rows;
        size_t count;
    } from, to;
};

static void begin_walk(const struct table *table, struct walk *walk)
{
    const struct query *page = table->page;
    static const str nothing = { "", 0 };
    int32_t rows_max = PAGE_ROWS;
    ASSERT(page->params_size <= sizeof walk->params);
    memset(walk, 0, sizeof *walk);
    for (int i = 0; i < page->params_count; i++) {
        const struct column *param = &page->params[i];
        if (param->type == COLUMN_TEXT || param->type == COLUMN_BYTES)
            memcpy(walk->params + param->offset, &nothing, sizeof nothing);
        else if (param->type == COLUMN_INT64)
            memset(walk->params + param->offset, 0xff, sizeof(int64_t)); /* -1 */
        else if (i == page->params_count - 1)
            memcpy(walk->params + param->offset, &rows_max, sizeof rows_max);
    }
}

static void go_behind(const struct table *table, struct walk *walk, const char *row)
{
    size_t used = 0;
    for (int i = 0; i + 1 < table->page->params_count; i++) {
        const struct column *param = &table->page->params[i];
        const struct column *column = column_of(table->page, param->name);
        memcpy(walk->params + param->offset, row + column->offset, size_of(param->type));
        if (param->type != COLUMN_TEXT && param->type != COLUMN_BYTES)
            continue;
        str text;
        memcpy(&text, row + column->offset, sizeof text);
        ASSERT(used + text.len <= sizeof walk->texts);
        memcpy(walk->texts + used, text.ptr, text.len);
        text.ptr = walk->texts + used;
        used += text.len;
        memcpy(walk->params + param->offset, &text, sizeof text);
    }
}

static err read_side(struct moving *moving, struct db *db, const struct query *page,
                     const void *params, const char **rows, size_t *count)
{
    struct db_reader *reader;
    void *found;
    TRY(db_read_begin(db, moving->page, &reader));
    err error = db_many(reader, moving->page, page, params, &found, count);
    db_read_end(reader);
    *rows = found;
    return error;
}

static err read_both(struct moving *moving, const struct table *table, struct walk *walk)
{
    arena_reset(moving->page);
    TRY(read_side(moving, moving->from, table->page, walk->params, &walk->from.rows,
                  &walk->from.count));
    return read_side(moving, moving->to, table->page, walk->params, &walk->to.rows,
                     &walk->to.count);
}

static const char *row_at(const struct table *table, const char *rows, size_t i)
{
    return rows + i * table->page->row_size;
}

/* The first row of the page that is not the same on both sides; the source's count where all are.
 */
static size_t first_other(const struct table *table, const struct walk *walk)
{
    for (size_t i = 0; i < walk->from.count; i++)
        if (i >= walk->to.count ||
            !row_equal(table, row_at(table, walk->from.rows, i), row_at(table, walk->to.rows, i)))
            return i;
    return walk->from.count;
}

/* ---- writing ---- */

/* Nobody may send events of the target while it is filled. */
static err hold_lease(struct tx *tx)
{
    struct sql_lease_take take = { STR("relay"), HOLDER, tx->now, LEASE_US };
    int64_t changed;
    TRY(sql_lease_take(tx, &take, &changed));
    return changed > 0 ? OK
                       : fail(tx->arena, DB_LOCKED,
                              "a service runs on the target, or did a moment ago: stop it");
}

static err write_rows(struct tx *tx, const struct table *table, const struct query *query,
                      const struct walk *walk, int64_t *changed)
{
    size_t count = walk->from.count, size = query->params_size;
    char *params = arena_alloc(tx->arena, count * size, 16);
    int64_t *touched = arena_array(tx->arena, int64_t, count);
    memset(params, 0, count * size);
    for (size_t i = 0; i < count; i++)
        params_of(table->page, row_at(table, walk->from.rows, i), query, params + i * size);
    TRY(hold_lease(tx));
    TRY(tx_run_many(tx, query, params, count, touched));
    for (size_t i = 0; i < count; i++)
        *changed += touched[i];
    return OK;
}

static err write_page(struct moving *moving, const struct table *table, const struct query *query,
                      const struct walk *walk, int64_t *changed)
{
    struct tx tx;
    TRY(tx_begin(moving->to, moving->page, clock_wall_us(), &tx));
    err error = write_rows(&tx, table, query, walk, changed);
    if (error == OK)
        return tx_commit(&tx);
    tx_rollback(&tx);
    return error;
}

/* ---- a table ---- */

static err count_rows(struct moving *moving, const struct table *table, int64_t *out)
{
    struct db_reader *reader;
    arena_reset(moving->page);
    TRY(db_read_begin(moving->from, moving->page, &reader));
    err error = db_one(reader, moving->page, table->count, NULL, out);
    db_read_end(reader);
    return error;
}

static void tell(struct moving *moving, const struct table *table, int64_t done, int64_t total)
{
    if (moving->move->progress)
        moving->move->progress(moving->move->self, table->name, done, total);
}

/* Carries what is not there yet, or (link) what refers to rows of the same table. */
static err carry(struct moving *moving, const struct table *table, const struct query *query,
                 int64_t total)
{
    struct walk walk;
    int64_t done = 0, changed = 0;
    begin_walk(table, &walk);
    do {
        TRY(read_both(moving, table, &walk));
        if (first_other(table, &walk) < walk.from.count)
            TRY(write_page(moving, table, query, &walk, &changed));
        if (walk.from.count > 0)
            go_behind(table, &walk, row_at(table, walk.from.rows, walk.from.count - 1));
        done += (int64_t)walk.from.count;
        tell(moving, table, done, total);
    } while (walk.from.count == PAGE_ROWS);
    moving->done->put += query == table->put ? changed : 0;
    return OK;
}

static void complain(struct moving *moving, const struct table *table, int64_t row)
{
    if (++moving->done->faults <= FAULTS_MAX && moving->move->fault)
        moving->move->fault(moving->move->self,
                            str_format(moving->page, "%s: row %lld is not the same on both sides",
                                       table->name, (long long)row));
}

/* Every row of the source beside that of the target; none may be left over. */
static err compare(struct moving *moving, const struct table *table)
{
    struct walk walk;
    int64_t row = 0;
    begin_walk(table, &walk);
    do {
        TRY(read_both(moving, table, &walk));
        size_t other = first_other(table, &walk);
        if (other < walk.from.count || walk.to.count != walk.from.count) {
            complain(moving, table, row + (int64_t)other + 1);
            return OK; /* what follows is out of step */
        }
        row += (int64_t)walk.from.count;
        if (walk.from.count > 0)
            go_behind(table, &walk, row_at(table, walk.from.rows, walk.from.count - 1));
    } while (walk.from.count == PAGE_ROWS);
    return OK;
}

static err set_sequence(struct moving *moving, const struct table *table)
{
    struct tx tx;
    int64_t newest;
    arena_reset(moving->page);
    TRY(tx_begin(moving->to, moving->page, clock_wall_us(), &tx));
    err error = tx_one(&tx, table->sequence, NULL, &newest);
    if (error == OK)
        return tx_commit(&tx);
    tx_rollback(&tx);
    return error;
}

static err move_table(struct moving *moving, const struct table *table)
{
    int64_t total;
    TRY(count_rows(moving, table, &total));
    TRY(carry(moving, table, table->put, total));
    if (table->link)
        TRY(carry(moving, table, table->link, total));
    if (table->sequence)
        TRY(set_sequence(moving, table));
    moving->done->tables++;
    moving->done->rows += total;
    return OK;
}

/* ---- the whole ---- */

/* What refers to rows goes before them. */
static err clear_rows(struct moving *moving, struct tx *tx)
{
    TRY(hold_lease(tx));
    for (int i = moving->count - 1; i >= 0; i--)
        TRY(tx_run(tx, moving->tables[i].clear, NULL, NULL));
    return OK;
}

static err clear_target(struct moving *moving)
{
    struct tx tx;
    arena_reset(moving->page);
    TRY(tx_begin(moving->to, moving->page, clock_wall_us(), &tx));
    err error = clear_rows(moving, &tx);
    if (error == OK)
        return tx_commit(&tx);
    tx_rollback(&tx);
    return error;
}

static err drop_lease(struct moving *moving)
{
    struct tx tx;
    struct sql_lease_drop drop = { STR("relay"), HOLDER };
    arena_reset(moving->page);
    TRY(tx_begin(moving->to, moving->page, clock_wall_us(), &tx));
    err error = sql_lease_drop(&tx, &drop, NULL);
    if (error == OK)
        return tx_commit(&tx);
    tx_rollback(&tx);
    return error;
}

static err move_all(struct moving *moving)
{
    if (moving->move->fresh)
        TRY(clear_target(moving));
    for (int i = 0; i < moving->count; i++)
        TRY(move_table(moving, &moving->tables[i]));
    for (int i = 0; i < moving->count; i++)
        TRY(compare(moving, &moving->tables[i]));
    return drop_lease(moving);
}

static err open_both(struct arena *arena, struct moving *moving)
{
    const struct move *move = moving->move;
    struct db_schema *schema = arena_copy(arena, move->schema, sizeof *move->schema);
    int applied;
    schema->queries = move->queries->queries;
    schema->queries_count = move->queries->queries_count;
    struct db_config from = { .url = move->from, .readers_max = 2, .durable = true };
    struct db_config to = { .url = move->to, .readers_max = 2, .durable = true };
    TRY(db_open(arena, &from, schema, &moving->from));
    TRY(db_migrate(arena, &to, schema, &applied));
    return db_open(arena, &to, schema, &moving->to);
}

err move_run(struct arena *arena, const struct move *move, struct move_done *out)
{
    ASSERT(arena && move && move->schema && move->queries && out);
    *out = (struct move_done){ 0 };
    if (!str_starts(move->from, STR("sqlite:")) || !str_starts(move->to, STR("postgres")))
        return fail(arena, SETTING_INVALID, "it goes from sqlite:PATH to postgresql://…");
    struct moving moving = { .move = move, .done = out, .page = arena_open(SIZE_MAX) };
    find_tables(&moving, arena);
    err error = open_both(arena, &moving);
    if (error == OK)
        error = move_all(&moving);
    error = error == OK ? OK : err_copy(arena, error);
    db_close(moving.from);
    db_close(moving.to);
    arena_close(moving.page);
    return error;
}
