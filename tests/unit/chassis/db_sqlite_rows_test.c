#include "chassis/db_sqlite.h"

#include "gen/chassis.sql.h"
#include "shelf.h"

#include <signal.h>
#include <sys/resource.h>

static err put_thing(struct tx *tx, void *subject) { return sql_thing_insert(tx, subject, NULL); }

static struct sql_thing_by_id_row read_thing(struct shelf *shelf, int number)
{
    struct sql_thing_by_id id = { shelf_id(number) };
    struct sql_thing_by_id_row row;
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(sql_thing_by_id(reader, shelf->t->arena, &id, &row));
    db_read_end(reader);
    return row;
}

TEST(each_type_comes_back_as_it_went_in)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_thing_insert in = {
        .id = shelf_id(1),
        .title = STR("Tee \xc3\xbc\x00 hidden"),
        .body = str_of("\x00\xff\x01", 3),
        .big = INT64_MIN,
        .small = INT32_MIN,
        .flag = true,
        .at = INT64_C(1769851800123456),
        .currency = { "JPY" },
        .id_maybe = shelf_id(2),
        .title_maybe = STR("maybe"),
        .body_maybe = STR("bytes"),
        .at_maybe = 1,
        .currency_maybe = { "KWD" },
    };
    shelf_do(shelf, put_thing, &in);
    struct sql_thing_by_id_row out = read_thing(shelf, 1);

    CHECK_INT(out.title.len, in.title.len);
    CHECK_BYTES(out.title.ptr, in.title.ptr, in.title.len);
    CHECK_INT(out.body.len, 3);
    CHECK_BYTES(out.body.ptr, in.body.ptr, 3);
    CHECK_INT(out.big, INT64_MIN);
    CHECK_INT(out.small, INT32_MIN);
    CHECK(out.flag);
    CHECK_INT(out.at, in.at);
    CHECK_STR((const char *)out.currency.letters, "JPY");
    CHECK(uuid_equal(out.id_maybe, shelf_id(2)));
    CHECK_STR(out.title_maybe, "maybe");
    CHECK_STR(out.body_maybe, "bytes");
    CHECK_INT(out.at_maybe, 1);
    CHECK_STR((const char *)out.currency_maybe.letters, "KWD");
}

TEST(null_is_absent_nil_and_never)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_thing_insert in = { .id = shelf_id(1),
                                   .title = STR("t"),
                                   .currency = { "EUR" },
                                   .title_maybe = STR_NONE,
                                   .body_maybe = STR_NONE };
    shelf_do(shelf, put_thing, &in);
    struct sql_thing_by_id_row out = read_thing(shelf, 1);

    CHECK(uuid_is_nil(out.id_maybe));
    CHECK(out.title_maybe.ptr == NULL);
    CHECK(out.body_maybe.ptr == NULL);
    CHECK_INT(out.at_maybe, 0);
    CHECK_INT(out.currency_maybe.letters[0], 0);
}

TEST(empty_is_not_null)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_thing_insert in = { .id = shelf_id(1),
                                   .title = STR_NONE, /* not null by its declaration: empty */
                                   .body = STR_NONE,
                                   .currency = { "EUR" },
                                   .title_maybe = STR(""),
                                   .body_maybe = STR("") };
    shelf_do(shelf, put_thing, &in);
    struct sql_thing_by_id_row out = read_thing(shelf, 1);

    CHECK(out.title.ptr && out.title.len == 0);
    CHECK(out.body.ptr && out.body.len == 0);
    CHECK(out.title_maybe.ptr && out.title_maybe.len == 0);
    CHECK(out.body_maybe.ptr && out.body_maybe.len == 0);
}

TEST(a_null_where_none_was_declared_is_an_error)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_thing_insert in = { .id = shelf_id(1), .title = STR("t"), .currency = { "EUR" } };
    shelf_do(shelf, put_thing, &in);

    struct sql_thing_title_of id = { shelf_id(1) };
    struct sql_thing_title_of_row row;
    struct db_reader *reader;
    bool found;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    err error = sql_thing_title_of(reader, t->arena, &id, &row, &found);
    db_read_end(reader);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, STR("title")) >= 0);
}

TEST(many_rows_come_whole_and_in_order)
{
    struct shelf *shelf = shelf_open(t);
    enum { ROWS = 1000 };
    for (int i = 0; i < ROWS; i += 100) {
        struct tx tx;
        CHECK_OK(tx_begin(shelf->db, t->arena, 1, &tx));
        for (int j = i; j < i + 100; j++) {
            struct sql_thing_insert in = { .id = shelf_id(j),
                                           .title = str_format(t->arena, "thing %d", j),
                                           .currency = { "EUR" } };
            CHECK_OK(sql_thing_insert(&tx, &in, NULL));
        }
        CHECK_OK(tx_commit(&tx));
    }
    struct sql_things_titled like = { STR("thing %") };
    struct sql_things_titled_row *rows;
    size_t count;
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(sql_things_titled(reader, t->arena, &like, &rows, &count));
    db_read_end(reader);
    CHECK_INT(count, ROWS);
    for (int i = 0; i < ROWS; i++) {
        CHECK(uuid_equal(rows[i].id, shelf_id(i)));
        CHECK_STR(rows[i].title, str_format(t->arena, "thing %d", i));
    }
}

/* ---- what is found wrong when the database is opened ---- */

static err open_with(struct test *t, const struct query *query)
{
    const struct query *queries[] = { query };
    struct db_schema schema = shelf_schema;
    schema.queries = queries;
    schema.queries_count = 1;
    struct db_config config = { .readers_max = 1 };
    config.url = str_format(t->arena, "sqlite:%s/shelf.db", test_folder(t));
    struct db *db;
    err error = db_open(t->arena, &config, &schema, &db);
    if (error == OK)
        db_close(db);
    return error;
}

TEST(each_query_is_prepared_at_the_opening)
{
    struct query query = shelf_queries[0];
    query.index = 0;
    CHECK_OK(open_with(t, &query));
    query.sql = "select from nowhere";
    err error = open_with(t, &query);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, str_of_z(query.name)) >= 0);
}

TEST(a_query_that_differs_from_its_declaration_is_refused)
{
    struct query query = { .name = "odd", .sql = "select 1", .columns_count = 2 };
    CHECK_ERR(open_with(t, &query), DB_FAILED);
    query.columns_count = 1;
    CHECK_OK(open_with(t, &query));
    query.params_count = 1;
    CHECK_ERR(open_with(t, &query), DB_FAILED);
    query.params_count = 0;
    query.writes = true;
    CHECK_ERR(open_with(t, &query), DB_FAILED);
}

TEST(a_query_of_another_service_is_a_broken_invariant)
{
    struct shelf *shelf = shelf_open(t);
    struct query foreign = shelf_queries[3];
    struct db_reader *reader;
    struct sql_counters_sum_row row;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_PANICS((void)db_one(reader, t->arena, &foreign, "", &row));
    db_read_end(reader);
}

TEST(the_bookkeeping_has_queries_of_its_own)
{
    CHECK(chassis_schema.queries_count > 0);
    for (int i = 0; i < chassis_schema.queries_count; i++)
        CHECK_INT(chassis_schema.queries[i]->index, i);
}

static err put_big_thing(struct tx *tx, void *subject)
{
    char *bytes = arena_alloc(tx->arena, 900 * 1024, 1);
    memset(bytes, 'b', 900 * 1024);
    struct sql_thing_insert in = { .id = *(struct uuid *)subject,
                                   .title = str_of(bytes, 900 * 1024),
                                   .currency = { "EUR" } };
    return sql_thing_insert(tx, &in, NULL);
}

/* A real one: the kernel lets the file grow no further than this process may write (EFBIG). */
TEST(a_disk_that_fails_says_nothing_about_the_statement)
{
    struct shelf *shelf = shelf_open(t);
    struct rlimit before, tight;
    struct uuid id = shelf_id(7);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    tight = before;
    tight.rlim_cur = 400 * 1024;
    CHECK(setrlimit(RLIMIT_FSIZE, &tight) == 0);

    struct tx tx;
    err error = tx_begin(shelf->db, t->arena, 1, &tx);
    bool began = error == OK;
    if (began) {
        error = put_big_thing(&tx, &id);
        if (error == OK)
            error = tx_commit(&tx);
        if (error != OK)
            tx_rollback(&tx);
    }
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    signal(SIGXFSZ, handler);
    CHECK(began);
    CHECK_ERR(error, DB_UNAVAILABLE);
    shelf_do(shelf, put_big_thing, &id); /* the same goes well once the disk takes it */
}
