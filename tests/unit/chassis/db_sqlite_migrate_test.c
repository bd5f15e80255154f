#include "chassis/db_sqlite.h"

#include "shelf.h"

static err open_schema(struct test *t, struct shelf *shelf, const struct db_schema *schema,
                       struct db **db)
{
    struct db_config config = { .url = shelf->url, .readers_max = 1 };
    return db_open(t->arena, &config, schema, db);
}

static void close_now(struct shelf *shelf)
{
    db_close(shelf->db);
    shelf->db = NULL;
}

/* A program that knows the first `count` migrations, and no queries. */
static struct db_schema older(int count)
{
    struct db_schema schema = shelf_schema;
    schema.migrations_count = count;
    schema.queries_count = 0;
    return schema;
}

static bool has_table(struct test *t, struct shelf *shelf, const char *table)
{
    static const struct column columns[] = { { "tables", COLUMN_INT64, false, 0 } };
    static const struct column params[] = { { "name", COLUMN_TEXT, false, 0 } };
    const struct query query = {
        .name = "tables",
        .sql = "select count(*) from sqlite_schema where name = ?1",
        .params = params,
        .params_count = 1,
        .params_size = sizeof(str),
        .columns = columns,
        .columns_count = 1,
        .row_size = sizeof(int64_t),
    };
    const struct query *const queries[] = { &query };
    struct db_schema schema = older(0);
    schema.service = "somebody";
    schema.queries = queries;
    schema.queries_count = 1;

    struct db *db;
    struct db_reader *reader;
    int64_t tables = 0;
    str name = str_of_z(table);
    CHECK_OK(open_schema(t, shelf, &schema, &db));
    CHECK_OK(db_read_begin(db, t->arena, &reader));
    CHECK_OK(db_one(reader, t->arena, &query, &name, &tables));
    db_read_end(reader);
    db_close(db);
    return tables > 0;
}

TEST(an_older_database_gets_what_it_lacks)
{
    struct shelf *shelf = shelf_open(t);
    str newer = shelf->url;
    shelf->url = str_format(t->arena, "%" STR_F ".old", STR_A(newer));
    struct db_schema first = older(1);
    struct db *db;
    CHECK_OK(open_schema(t, shelf, &first, &db));
    db_close(db);
    CHECK(has_table(t, shelf, "things"));
    CHECK(!has_table(t, shelf, "orders"));

    CHECK_OK(open_schema(t, shelf, &shelf_schema, &db));
    db_close(db);
    CHECK(has_table(t, shelf, "orders"));
}

TEST(a_newer_database_serves_an_older_program_whose_statements_it_still_answers)
{
    struct shelf *shelf = shelf_open(t);
    struct db_schema first = older(1);
    struct db *db = NULL;
    close_now(shelf);
    CHECK_OK(open_schema(t, shelf, &first, &db));
    db_close(db);
    CHECK_OK(open_schema(t, shelf, &shelf_schema, &db)); /* and the newer again */
    db_close(db);
}

TEST(a_newer_database_that_took_away_what_an_older_program_reads_is_refused_as_such)
{
    struct shelf *shelf = shelf_open(t);
    const struct query gone = { .name = "gone", .sql = "select amount from what_was_dropped" };
    const struct query *const queries[] = { &gone };
    struct db_schema first = older(1);
    struct db *db = NULL;
    first.queries = queries;
    first.queries_count = 1;
    close_now(shelf);
    err error = open_schema(t, shelf, &first, &db);
    CHECK_ERR(error, DB_NEWER);
    CHECK(str_find(error->detail, STR("newer version of Duka")) >= 0);
    CHECK(str_find(error->detail, STR("what_was_dropped")) >= 0);
    CHECK(db == NULL);
}

TEST(a_migration_that_fails_leaves_nothing_and_says_which)
{
    struct shelf *shelf = shelf_open(t);
    shelf->url = str_format(t->arena, "%" STR_F ".new", STR_A(shelf->url));
    const struct migration migrations[] = {
        { 1, "fine", "create table fine (a integer) strict;" },
        { 2, "broken",
          "create table half (a integer) strict; create table fine (a integer) strict;" },
    };
    struct db_schema schema = older(2);
    schema.migrations = migrations;
    struct db *db = NULL;
    err error = open_schema(t, shelf, &schema, &db);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, STR("0002_broken of shelf")) >= 0);
    CHECK(has_table(t, shelf, "fine"));
    CHECK(!has_table(t, shelf, "half"));

    schema.migrations_count = 1;
    CHECK_OK(open_schema(t, shelf, &schema, &db));
    db_close(db);
}

TEST(a_second_opening_migrates_nothing)
{
    struct shelf *shelf = shelf_open(t);
    shelf_reopen(shelf, false);
    int64_t commits = db_stats_of(shelf->db).commits;
    CHECK_INT(commits, 0);
}
