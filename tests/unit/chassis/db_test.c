#include "chassis/db.h"

#include "os/clock.h"
#include "shelf.h"
#include "tests/lib/postgresql.h"

static err open_at(struct test *t, str url, struct db **db)
{
    struct db_config config = { .url = url, .readers_max = 1 };
    return db_open(t->arena, &config, &shelf_schema, db);
}

TEST(a_url_that_is_none_is_refused_with_what_is_allowed)
{
    struct db *db = NULL;
    const str urls[] = { STR(""),        STR("shop.db"),         STR("mysql://shop"),
                         STR("sqlite:"), STR("sqlite::memory:"), STR("postgres:shop") };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        err error = open_at(t, urls[i], &db);
        CHECK_ERR(error, SETTING_INVALID);
        CHECK(str_find(error->detail, STR("use sqlite:PATH")) >= 0);
        CHECK(str_find(error->detail, urls[i]) >= 0);
    }
    CHECK(db == NULL);
}

TEST(a_url_is_shown_without_its_password)
{
    static const char *const shown[][2] = {
        { "sqlite:/data/users.db", "sqlite:/data/users.db" },
        { "postgresql://shop@db/users", "postgresql://shop@db/users" },
        { "postgresql://shop:s3cret@db:5432/users", "postgresql://shop:***@db:5432/users" },
        { "postgresql://shop:a@b@db/users?sslmode=require",
          "postgresql://shop:***@db/users?sslmode=require" },
        { "postgresql://db/users?user=shop&password=s3cret&sslmode=require",
          "postgresql://db/users?user=shop&password=***&sslmode=require" },
        { "postgresql://db/users?password=s3cret", "postgresql://db/users?password=***" },
    };
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        CHECK_STR(db_url_shown(t->arena, str_of_z(shown[i][0])), shown[i][1]);
}

TEST(a_migrated_database_has_nothing_left_to_migrate)
{
    struct shelf *shelf = shelf_open(t);
    struct db_config config = { .url = shelf->url, .readers_max = 1 };
    int applied = -1;
    db_close(shelf->db);
    shelf->db = NULL;
    CHECK_OK(db_migrate(t->arena, &config, &shelf_schema, &applied));
    CHECK_INT(applied, 0);
    shelf_reopen(shelf, false);
    CHECK(db_is_shared(shelf->db) == test_on_postgresql());
}

TEST(closing_nothing_is_nothing)
{
    db_close(NULL);
    db_read_end(NULL);
}

static err put_two(struct tx *tx, void *subject)
{
    (void)subject;
    const struct sql_counter_add rows[] = { { STR("cup"), 3 }, { STR("tea"), 4 } };
    int64_t changed[2] = { 0 };
    TRY(sql_counter_add_many(tx, rows, 2, changed));
    CHECK_INT(changed[0], 1);
    CHECK_INT(changed[1], 1);
    return OK;
}

TEST(one_fails_where_there_is_no_row_maybe_says_so_and_many_is_empty)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));

    struct sql_thing_by_id id = { shelf_id(1) };
    struct sql_thing_by_id_row thing;
    CHECK_ERR(sql_thing_by_id(reader, t->arena, &id, &thing), NOT_FOUND);

    struct sql_counter_by_name name = { STR("cup") };
    struct sql_counter_by_name_row counter;
    bool found = true;
    CHECK_OK(sql_counter_by_name(reader, t->arena, &name, &counter, &found));
    CHECK(!found);

    struct sql_counters_all_row *rows;
    size_t count = 1;
    CHECK_OK(sql_counters_all(reader, t->arena, &rows, &count));
    CHECK_INT(count, 0);
    db_read_end(reader);
}

TEST(what_was_committed_is_read_in_order)
{
    struct shelf *shelf = shelf_open(t);
    shelf_do(shelf, put_two, NULL);

    struct db_reader *reader;
    struct sql_counters_all_row *rows;
    size_t count;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(sql_counters_all(reader, t->arena, &rows, &count));
    db_read_end(reader);
    CHECK_INT(count, 2);
    CHECK_STR(rows[0].name, "cup");
    CHECK_INT(rows[0].value, 3);
    CHECK_STR(rows[1].name, "tea");
    CHECK_INT(rows[1].value, 4);
}

TEST(a_reader_keeps_its_snapshot_while_others_commit)
{
    struct shelf *shelf = shelf_open(t);
    shelf_do(shelf, put_two, NULL);

    struct db_reader *before, *after;
    struct sql_counters_sum_row sum;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &before));
    CHECK_OK(sql_counters_sum(before, t->arena, &sum));
    CHECK_INT(sum.total, 7);

    shelf_do(shelf, put_two, NULL);
    CHECK_OK(sql_counters_sum(before, t->arena, &sum));
    CHECK_INT(sum.total, 7);
    CHECK_OK(db_read_begin(shelf->db, t->arena, &after));
    CHECK_OK(sql_counters_sum(after, t->arena, &sum));
    CHECK_INT(sum.total, 14);
    db_read_end(before);
    db_read_end(after);
}

static err see_own_writes(struct tx *tx, void *subject)
{
    TRY(put_two(tx, subject));
    struct sql_counters_sum_row sum;
    TRY(sql_tx_counters_sum(tx, &sum));
    CHECK_INT(sum.total, 7);

    struct sql_counters_all_row *rows;
    size_t count;
    TRY(sql_tx_counters_all(tx, &rows, &count));
    CHECK_INT(count, 2);

    struct sql_counter_take take = { STR("cup"), 2 };
    struct sql_counter_take_row left;
    bool found;
    TRY(sql_tx_counter_take(tx, &take, &left, &found));
    CHECK(found);
    CHECK_INT(left.value, 1);
    TRY(sql_tx_counter_take(tx, &take, &left, &found));
    CHECK(!found);
    return OK;
}

TEST(a_transaction_sees_its_own_writes)
{
    struct shelf *shelf = shelf_open(t);
    shelf_do(shelf, see_own_writes, NULL);
    CHECK_INT(shelf_counter(shelf, "cup"), 1);
}

TEST(a_transaction_that_is_rolled_back_leaves_nothing)
{
    struct shelf *shelf = shelf_open(t);
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(put_two(&tx, NULL));
    CHECK(!tx_is_gone(&tx));
    tx_rollback(&tx);
    CHECK(tx_is_gone(&tx));
    CHECK_INT(shelf_sum(shelf), 0);
}

TEST(each_transaction_has_a_later_epoch)
{
    struct shelf *shelf = shelf_open(t);
    struct tx first, second;
    CHECK_OK(tx_begin(shelf->db, t->arena, 5, &first));
    tx_rollback(&first);
    CHECK_OK(tx_begin(shelf->db, t->arena, 6, &second));
    tx_rollback(&second);
    CHECK_INT(first.now, 5);
    CHECK(second.epoch > first.epoch);
}

TEST(an_array_of_no_rows_is_no_statement)
{
    struct shelf *shelf = shelf_open(t);
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(sql_counter_add_many(&tx, NULL, 0, NULL));
    tx_rollback(&tx);
}

TEST(commits_and_reads_are_counted)
{
    struct shelf *shelf = shelf_open(t);
    struct db_stats before = db_stats_of(shelf->db);
    shelf_do(shelf, put_two, NULL);
    shelf_sum(shelf);
    shelf_sum(shelf);
    struct db_stats after = db_stats_of(shelf->db);
    CHECK_INT(after.commits - before.commits, 1);
    CHECK_INT(after.reads - before.reads, 2);
    CHECK(after.wal_bytes > 0 || test_on_postgresql());
    CHECK(after.file_bytes > 0 || test_on_postgresql());
}

/* ---- many questions at once ---- */

static err set_three(struct tx *tx, void *subject)
{
    (void)subject;
    struct sql_counter_set rows[] = { { STR("bowl"), 1 }, { STR("cup"), 2 }, { STR("tea"), 3 } };
    return sql_counter_set_many(tx, rows, 3, NULL);
}

TEST(many_are_asked_for_at_once_and_each_hears_of_its_own)
{
    struct shelf *shelf = shelf_open(t);
    shelf_do(shelf, set_three, NULL);
    struct sql_counter_by_name asked[] = {
        { STR("tea") }, { STR("none") }, { STR("cup") }, { STR("tea") }
    };
    struct sql_counter_by_name_row rows[4];
    bool found[4];
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(sql_counter_by_name_each(reader, t->arena, asked, 4, rows, found));
    CHECK(found[0] && !found[1] && found[2] && found[3]);
    CHECK_INT(rows[0].value, 3);
    CHECK_INT(rows[2].value, 2);
    CHECK_INT(rows[3].value, 3);
    CHECK_OK(sql_counter_by_name_each(reader, t->arena, asked, 0, rows, found));
    db_read_end(reader);
}

TEST(rows_for_many_come_in_the_order_of_the_questions_and_each_in_its_own)
{
    struct shelf *shelf = shelf_open(t);
    shelf_do(shelf, set_three, NULL);
    struct sql_counters_below asked[] = { { 3 }, { 0 }, { 9 }, { 2 } };
    struct sql_counters_below_row *rows;
    size_t counts[4];
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(sql_counters_below_each(reader, t->arena, asked, 4, &rows, counts));
    db_read_end(reader);
    CHECK_INT(counts[0], 2);
    CHECK_INT(counts[1], 0);
    CHECK_INT(counts[2], 3);
    CHECK_INT(counts[3], 1);
    static const char *const names[] = { "cup", "bowl", "tea", "cup", "bowl", "bowl" };
    for (size_t i = 0; i < 6; i++)
        CHECK_STR(rows[i].name, names[i]);
}

TEST(many_questions_are_one_statement_and_one_round_trip_of_a_server)
{
    enum { ASKED = 100 };
    struct shelf *shelf = shelf_open(t);
    struct sql_counter_by_name asked[ASKED];
    struct sql_counter_by_name_row rows[ASKED];
    bool found[ASKED];
    struct db_reader *reader;
    for (int i = 0; i < ASKED; i++)
        asked[i] = (struct sql_counter_by_name){ STR("cup") };
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    db_read_alone(reader); /* once, so that it is prepared */
    CHECK_OK(sql_counter_by_name_each(reader, t->arena, asked, ASKED, rows, found));
    struct db_stats before = db_stats_of(shelf->db);
    db_read_alone(reader);
    CHECK_OK(sql_counter_by_name_each(reader, t->arena, asked, ASKED, rows, found));
    struct db_stats after = db_stats_of(shelf->db);
    db_read_end(reader);
    CHECK_INT(after.statements - before.statements, test_on_postgresql() ? 1 : ASKED);
    CHECK_INT(after.round_trips - before.round_trips, test_on_postgresql() ? 1 : 0);
}

TEST(reads_that_stand_alone_see_what_was_committed_between_them)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_counters_sum_row row;
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    db_read_alone(reader);
    CHECK_OK(sql_counters_sum(reader, t->arena, &row));
    CHECK_INT(row.total, 0);
    shelf_do(shelf, set_three, NULL);
    CHECK_OK(sql_counters_sum(reader, t->arena, &row)); /* begins the snapshot */
    CHECK_INT(row.total, 6);
    shelf_do(shelf, put_two, NULL);
    CHECK_OK(sql_counters_sum(reader, t->arena, &row));
    db_read_end(reader);
    CHECK_INT(row.total, 6);
}

/* ---- the seam of the faults ---- */

TEST(the_nth_statement_fails_as_planned_and_only_once)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_counter_add row = { STR("cup"), 1 };
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    db_fail_at(shelf->db, DB_STEP_STATEMENT, 2, DB_FAULT_FAILED);
    CHECK_OK(sql_counter_add(&tx, &row, NULL));
    CHECK_ERR(sql_counter_add(&tx, &row, NULL), DB_FAILED);
    CHECK(!tx_is_gone(&tx));
    CHECK_OK(sql_counter_add(&tx, &row, NULL));
    CHECK_INT(db_steps_taken(shelf->db, DB_STEP_STATEMENT), 3);

    db_fail_at(shelf->db, DB_STEP_STATEMENT, 1, DB_FAULT_GONE);
    CHECK_ERR(sql_counter_add(&tx, &row, NULL), DB_FAILED);
    CHECK(tx_is_gone(&tx));
    tx_rollback(&tx);
    CHECK_INT(shelf_counter(shelf, "cup"), -1);
}

TEST(a_planned_fault_can_be_taken_back)
{
    struct shelf *shelf = shelf_open(t);
    db_fail_at(shelf->db, DB_STEP_READ, 1, DB_FAULT_FAILED);
    db_fail_at(shelf->db, DB_STEP_READ, 1, DB_FAULT_NONE);
    CHECK_INT(shelf_sum(shelf), 0);
}

TEST(a_read_and_a_begin_fail_as_planned)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    struct sql_counters_sum_row sum;
    struct tx tx;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    db_fail_at(shelf->db, DB_STEP_READ, 1, DB_FAULT_FAILED);
    CHECK_ERR(sql_counters_sum(reader, t->arena, &sum), DB_FAILED);
    CHECK_OK(sql_counters_sum(reader, t->arena, &sum));
    db_read_end(reader);
    db_fail_at(shelf->db, DB_STEP_BEGIN, 1, DB_FAULT_FULL);
    CHECK_ERR(tx_begin(shelf->db, t->arena, 1, &tx), DB_FULL);
}

TEST(what_must_not_return_from_a_failed_fsync_is_not_returned_from)
{
    struct shelf *shelf = shelf_open(t);
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    db_fail_at(shelf->db, DB_STEP_COMMIT, 1, DB_FAULT_FSYNC);
    CHECK_PANICS((void)tx_commit(&tx));
    db_fail_at(shelf->db, DB_STEP_COMMIT, 1, DB_FAULT_NONE);
    tx_rollback(&tx);
}
