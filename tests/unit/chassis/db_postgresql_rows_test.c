#include "chassis/db_postgresql.h"

#include "gen/chassis.sql.h"
#include "os/clock.h"
#include "shelf.h"
#include "tests/lib/postgresql.h"

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

static struct sql_thing_insert thing(int number)
{
    return (struct sql_thing_insert){ .id = shelf_id(number),
                                      .title = STR("Tee \xc3\xbc"),
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
                                      .currency_maybe = { "KWD" } };
}

static void check_thing(struct sql_thing_by_id_row out)
{
    CHECK_STR(out.title, "Tee \xc3\xbc");
    CHECK_INT(out.body.len, 3);
    CHECK_BYTES(out.body.ptr, "\x00\xff\x01", 3);
    CHECK_INT(out.big, INT64_MIN);
    CHECK_INT(out.small, INT32_MIN);
    CHECK(out.flag);
    CHECK_INT(out.at, INT64_C(1769851800123456));
    CHECK_STR((const char *)out.currency.letters, "JPY");
    CHECK(uuid_equal(out.id_maybe, shelf_id(2)));
    CHECK_STR(out.title_maybe, "maybe");
    CHECK_STR(out.body_maybe, "bytes");
    CHECK_INT(out.at_maybe, 1);
    CHECK_STR((const char *)out.currency_maybe.letters, "KWD");
}

TEST(each_type_comes_back_from_the_server_as_it_went_in)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_thing_insert in = thing(1);
    shelf_do(shelf, put_thing, &in);
    check_thing(read_thing(shelf, 1));
}

static err put_things(struct tx *tx, void *subject)
{
    return sql_thing_insert_many(tx, subject, 3, NULL);
}

TEST(each_type_comes_back_from_an_array_and_null_is_absent)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_thing_insert in[3] = { thing(1),
                                      { .id = shelf_id(2), .currency = { "EUR" } },
                                      thing(3) };
    shelf_do(shelf, put_things, in);
    check_thing(read_thing(shelf, 1));
    check_thing(read_thing(shelf, 3));
    struct sql_thing_by_id_row out = read_thing(shelf, 2);
    CHECK(out.title.ptr != NULL && out.title.len == 0); /* empty, not null */
    CHECK(uuid_is_nil(out.id_maybe));
    CHECK(out.title_maybe.ptr == NULL);
    CHECK(out.body_maybe.ptr == NULL);
    CHECK_INT(out.at_maybe, 0);
    CHECK_INT(out.currency_maybe.letters[0], 0);
}

TEST(a_null_that_is_not_declared_is_an_error)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_thing_insert in = { .id = shelf_id(1), .currency = { "EUR" } };
    struct sql_thing_title_of id = { shelf_id(1) };
    struct sql_thing_title_of_row row;
    struct db_reader *reader;
    bool found;
    shelf_do(shelf, put_thing, &in);
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    err error = sql_thing_title_of(reader, t->arena, &id, &row, &found);
    db_read_end(reader);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, STR("null")) >= 0);
}

TEST(the_same_name_many_times_in_an_array_counts_each_time)
{
    struct shelf *shelf = shelf_open(t);
    enum { ROWS = 400 };
    static struct sql_counter_add rows[ROWS];
    struct tx tx;
    int64_t *changed = arena_array(t->arena, int64_t, ROWS);
    for (int i = 0; i < ROWS; i++)
        rows[i] = (struct sql_counter_add){ i % 3 ? STR("cup") : STR("tea"), 1 };
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(sql_counter_add_many(&tx, rows, ROWS, changed));
    CHECK_OK(tx_commit(&tx));
    for (int i = 0; i < ROWS; i++)
        CHECK_INT(changed[i], 1);
    CHECK_INT(shelf_counter(shelf, "cup"), 266);
    CHECK_INT(shelf_counter(shelf, "tea"), 134);
}

static struct sql_once_claim claim(struct test *t, const char *name)
{
    char *bytes = arena_alloc(t->arena, 32, 1);
    memcpy(bytes, name, strlen(name));
    return (struct sql_once_claim){ .name = str_of(bytes, 32),
                                    .body_hash = str_of(bytes, 32),
                                    .created_at = 1 };
}

TEST(of_an_array_each_row_is_told_whether_it_was_the_one)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_once_claim before = claim(t, "b");
    struct sql_once_claim rows[] = { claim(t, "a"), claim(t, "b"), claim(t, "c"),
                                     claim(t, "c"), claim(t, "a"), claim(t, "d") };
    static const int64_t wanted[] = { 1, 0, 1, 0, 0, 1 };
    int64_t changed[6];
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(sql_once_claim(&tx, &before, NULL));
    CHECK_OK(sql_once_claim_many(&tx, rows, 6, changed));
    for (int i = 0; i < 6; i++)
        CHECK_INT(changed[i], wanted[i]);
    struct sql_once_answer answers[3] = { { .name = rows[0].name, .answered_at = 1 },
                                          { .name = claim(t, "none").name, .answered_at = 1 },
                                          { .name = rows[5].name, .answered_at = 1 } };
    CHECK_OK(sql_once_answer_many(&tx, answers, 3, changed));
    CHECK_INT(changed[0], 1);
    CHECK_INT(changed[1], 0);
    CHECK_INT(changed[2], 1);
    tx_rollback(&tx);
}

TEST(a_statement_that_nobody_waits_for_fails_the_commit)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_counter_set negative = { STR("cup"), -1 };
    struct sql_counter_add fine = { STR("tea"), 1 };
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(sql_counter_add(&tx, &fine, NULL));
    CHECK_OK(sql_counter_set(&tx, &negative, NULL));
    CHECK_OK(sql_counter_add(&tx, &fine, NULL));
    err error = tx_commit(&tx);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, STR("counter_set")) >= 0);
    CHECK(tx_is_gone(&tx));
    tx_rollback(&tx);
    CHECK_INT(shelf_sum(shelf), 0);
}

TEST(more_statements_than_a_pipeline_holds_go_through_in_order)
{
    struct shelf *shelf = shelf_open(t);
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    for (int i = 0; i < 3 * POSTGRESQL_PIPELINE_MAX; i++) {
        struct sql_counter_set row = { STR("cup"), i };
        CHECK_OK(sql_counter_set(&tx, &row, NULL));
    }
    CHECK_OK(tx_commit(&tx));
    CHECK_INT(shelf_counter(shelf, "cup"), 3 * POSTGRESQL_PIPELINE_MAX - 1);
}

TEST(rows_that_do_not_fit_into_the_arena_leave_the_connection_of_use)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_thing_insert in = thing(1);
    char *body = arena_alloc(t->arena, 200000, 1);
    in.body = str_of(body, 200000);
    shelf_do(shelf, put_thing, &in);

    struct arena *small = arena_open(ARENA_CHUNK_BYTES);
    struct sql_thing_by_id id = { shelf_id(1) };
    struct sql_thing_by_id_row row;
    struct db_reader *reader;
    jmp_buf guard;
    volatile bool jumped = false;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    if (setjmp(guard)) {
        jumped = true;
    } else {
        arena_guard(small, &guard);
        (void)!sql_thing_by_id(reader, small, &id, &row);
    }
    arena_guard(small, NULL);
    arena_close(small);
    db_read_end(reader);
    CHECK(jumped);
    CHECK_INT(read_thing(shelf, 1).body.len, 200000);
}
