#include "chassis/db_postgresql.h"

#include "os/clock.h"
#include "shelf.h"
#include "tests/lib/postgresql.h"
#include "tests/lib/proxy.h"

static err open_at(struct test *t, str url, struct db **db)
{
    struct db_config config = { .url = url, .readers_max = 2 };
    return db_open(t->arena, &config, &shelf_schema, db);
}

/* A shelf whose server stands behind a proxy. */
static struct proxy *put_proxy(struct shelf *shelf)
{
    struct proxy *proxy = proxy_open(shelf->t, test_postgresql_port());
    shelf->url = test_postgresql_at(shelf->t, shelf->url, proxy_port(proxy));
    shelf_reopen(shelf, false);
    return proxy;
}

static err add(struct tx *tx, const char *name, int64_t delta)
{
    struct sql_counter_add row = { str_of_z(name), delta };
    return sql_counter_add(tx, &row, NULL);
}

static void break_all(struct shelf *shelf)
{
    test_postgresql_run(shelf->t, shelf->url,
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where application_name = 'duka' and pid <> pg_backend_pid()");
}

/* ---- opening ---- */

TEST(a_server_that_is_away_is_named_without_its_password)
{
    struct db *db;
    err error = open_at(t, STR("postgresql://shop:s3cret@127.0.0.1:1/shop"), &db);
    CHECK_ERR(error, DB_UNAVAILABLE);
    CHECK(str_find(error->detail, STR("127.0.0.1")) >= 0);
    CHECK(str_find(error->detail, STR("s3cret")) < 0);
}

TEST(a_url_that_libpq_cannot_read_is_a_wrong_setting)
{
    struct db *db;
    CHECK_ERR(open_at(t, STR("postgresql://127.0.0.1:x/shop"), &db), SETTING_INVALID);
    CHECK_ERR(open_at(t, STR("postgresql://127.0.0.1/shop?sslmod=require"), &db), SETTING_INVALID);
}

TEST(a_database_or_a_role_that_is_not_there_is_a_wrong_setting)
{
    struct db *db;
    str port = str_format(t->arena, "%d", test_postgresql_port());
    err error = open_at(
        t, str_format(t->arena, "postgresql://postgres@127.0.0.1:%" STR_F "/none", STR_A(port)),
        &db);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("\"none\" does not exist")) >= 0);
    CHECK_ERR(open_at(t,
                      str_format(t->arena, "postgresql://nobody@127.0.0.1:%" STR_F "/postgres",
                                 STR_A(port)),
                      &db),
              SETTING_INVALID);
}

TEST(a_server_without_tls_is_refused_where_tls_is_asked_for)
{
    struct db *db;
    struct shelf *shelf = shelf_open(t);
    err error =
        open_at(t, str_format(t->arena, "%" STR_F "&sslmode=require", STR_A(shelf->url)), &db);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("SSL")) >= 0);
}

TEST(a_database_that_was_not_migrated_says_what_to_run)
{
    struct db *db;
    err error = open_at(t, test_postgresql_url(t), &db);
    CHECK_ERR(error, DB_OLDER);
    CHECK(str_find(error->detail, STR("dukactl migrate")) >= 0);
}

TEST(a_database_of_a_newer_version_may_run_beside_this_one)
{
    struct shelf *shelf = shelf_open(t);
    test_postgresql_run(t, shelf->url,
                        "insert into schema_migrations (service, number, name, applied_at)"
                        " values ('shelf', 3, 'later', 0)");
    shelf_reopen(shelf, false);
    CHECK_INT(shelf_sum(shelf), 0);
}

TEST(a_column_that_is_gone_is_seen_at_the_start)
{
    struct db *db;
    struct shelf *shelf = shelf_open(t);
    test_postgresql_run(t, shelf->url, "alter table counters rename column value to amount");
    err error = open_at(t, shelf->url, &db);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, STR("counter_")) >= 0);
}

TEST(a_missing_right_is_a_wrong_setting)
{
    struct db *db;
    struct shelf *shelf = shelf_open(t);
    test_postgresql_run(
        t, shelf->url,
        "drop role if exists weak; create role weak login;"
        " do $$ begin execute 'grant usage on schema ' || current_schema() || ' to weak'; end $$");
    ptrdiff_t at = str_find(shelf->url, STR("postgres@"));
    str url = str_format(t->arena, "postgresql://weak@%" STR_F,
                         STR_A(str_slice(shelf->url, (size_t)at + 9, shelf->url.len)));
    err error = open_at(t, url, &db);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("rights")) >= 0);
    test_postgresql_run(t, shelf->url, "drop owned by weak; drop role weak");
}

/* ---- connections that break ---- */

TEST(a_reader_whose_connection_died_in_the_pool_does_not_notice)
{
    struct shelf *shelf = shelf_open(t);
    CHECK_INT(shelf_sum(shelf), 0);
    break_all(shelf);
    CHECK_INT(shelf_sum(shelf), 0);
}

TEST(a_read_in_the_middle_of_a_snapshot_that_is_gone_fails_and_the_next_snapshot_does_not)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    struct sql_counters_sum_row row;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(sql_counters_sum(reader, t->arena, &row));
    break_all(shelf);
    err error = sql_counters_sum(reader, t->arena, &row);
    db_read_end(reader);
    CHECK_ERR(error, DB_UNAVAILABLE);
    CHECK_INT(shelf_sum(shelf), 0);
}

TEST(a_transaction_whose_connection_broke_leaves_nothing)
{
    struct shelf *shelf = shelf_open(t);
    struct tx tx;
    int64_t changed;
    struct sql_counter_add row = { STR("cup"), 1 };
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(sql_counter_add(&tx, &row, &changed));
    break_all(shelf);
    CHECK_ERR(sql_counter_add(&tx, &row, &changed), DB_UNAVAILABLE);
    CHECK(tx_is_gone(&tx));
    tx_rollback(&tx);
    CHECK_INT(shelf_sum(shelf), 0);

    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(add(&tx, "cup", 2));
    CHECK_OK(tx_commit(&tx));
    CHECK_INT(shelf_sum(shelf), 2);
}

TEST(a_commit_that_was_not_sent_is_known_to_be_none)
{
    struct shelf *shelf = shelf_open(t);
    struct proxy *proxy = put_proxy(shelf);
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(add(&tx, "cup", 1));
    proxy_cut(proxy, PROXY_CUT_BEFORE, "commit");
    CHECK_ERR(tx_commit(&tx), DB_UNAVAILABLE);
    CHECK_INT(proxy_cuts(proxy), 1);
    tx_rollback(&tx);
    CHECK_INT(shelf_sum(shelf), 0);
}

TEST(a_commit_whose_answer_was_lost_is_known_to_be_one)
{
    struct shelf *shelf = shelf_open(t);
    struct proxy *proxy = put_proxy(shelf);
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(add(&tx, "cup", 1));
    proxy_cut(proxy, PROXY_CUT_AFTER, "commit");
    CHECK_OK(tx_commit(&tx));
    CHECK_INT(proxy_cuts(proxy), 1);
    CHECK_INT(shelf_sum(shelf), 1);
}

TEST(a_batch_runs_again_where_its_commit_was_cut_and_takes_effect_once)
{
    enum { ROUNDS = 6 };
    struct shelf *shelf = shelf_open(t);
    struct proxy *proxy = put_proxy(shelf);
    shelf_start(shelf);
    for (int i = 0; i < ROUNDS; i++) {
        struct told told;
        struct sql_counter_add row = { STR("cup"), 1 };
        struct write *write = shelf_write(shelf, shelf_add, &row, &told);
        shelf_announce(write, "cup", i + 1);
        proxy_cut(proxy, i % 2 ? PROXY_CUT_AFTER : PROXY_CUT_BEFORE, "commit");
        shelf_submit_all(shelf, &write, 1);
        CHECK_OK(told.outcome);
    }
    CHECK_INT(proxy_cuts(proxy), ROUNDS);
    CHECK_INT(shelf_sum(shelf), ROUNDS);
    CHECK_INT(shelf_outbox_count(shelf), ROUNDS);
}

TEST(a_server_that_stays_away_is_told_and_comes_back)
{
    struct shelf *shelf = shelf_open(t);
    struct proxy *proxy = put_proxy(shelf);
    struct told told;
    struct sql_counter_add row = { STR("cup"), 1 };
    shelf_start(shelf);
    proxy_refuse(proxy, true);
    struct write *away = shelf_write(shelf, shelf_add, &row, &told);
    shelf_submit_all(shelf, &away, 1);
    CHECK_ERR(told.outcome, DB_UNAVAILABLE);

    proxy_refuse(proxy, false);
    for (int i = 0; i < 100 && told.outcome != OK; i++) { /* asked once in a while only */
        struct write *back = shelf_write(shelf, shelf_add, &row, &told);
        shelf_submit_all(shelf, &back, 1);
        sleep_until(clock_mono_us() + 50000);
    }
    CHECK_OK(told.outcome);
    CHECK_INT(shelf_sum(shelf), 1);
}

/* ---- others on the same rows ---- */

TEST(a_lock_that_is_not_to_be_had_is_busy)
{
    struct shelf *shelf = shelf_open(t);
    struct db_config config = { .url = shelf->url, .readers_max = 1, .lock_timeout_ms = 50 };
    struct db *other;
    struct tx holds, waits;
    int64_t changed;
    struct sql_counter_add row = { STR("cup"), 1 };
    CHECK_OK(db_open(t->arena, &config, &shelf_schema, &other));
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &holds));
    CHECK_OK(sql_counter_add(&holds, &row, &changed));
    CHECK_OK(tx_begin(other, t->arena, clock_wall_us(), &waits));
    CHECK_ERR(sql_counter_add(&waits, &row, &changed), DB_BUSY);
    tx_rollback(&waits);
    CHECK_OK(tx_commit(&holds));

    CHECK_OK(tx_begin(other, t->arena, clock_wall_us(), &waits));
    CHECK_OK(sql_counter_add(&waits, &row, &changed));
    CHECK_OK(tx_commit(&waits));
    db_close(other);
    CHECK_INT(shelf_sum(shelf), 2);
}

enum { BATCH = 8 };

/* A batch of writes, each adding one to a counter of its own and announcing it. */
struct batch_of {
    struct told told[BATCH];
    struct sql_counter_add rows[BATCH];
    struct write *writes[BATCH];
};

static struct batch_of *batch_of(struct shelf *shelf, const char *odd)
{
    struct arena *arena = shelf->t->arena;
    struct batch_of *batch = arena_new(arena, struct batch_of);
    for (int i = 0; i < BATCH; i++) {
        str name = odd && i == BATCH / 2 ? str_of_z(odd) : str_format(arena, "cup%d", i);
        batch->rows[i] = (struct sql_counter_add){ name, 1 };
        batch->writes[i] = shelf_write(shelf, shelf_add, &batch->rows[i], &batch->told[i]);
        shelf_announce(batch->writes[i], str_z(arena, name), 1);
    }
    return batch;
}

/* Runs it; gives how many were told that it is on disk. The others hear that it is busy. */
static int run_batch(struct shelf *shelf, struct batch_of *batch)
{
    int good = 0;
    shelf_submit_all(shelf, batch->writes, BATCH);
    for (int i = 0; i < BATCH; i++) {
        good += batch->told[i].outcome == OK;
        if (batch->told[i].outcome != OK)
            CHECK_ERR(batch->told[i].outcome, DB_BUSY);
    }
    return good;
}

/* A session of somebody else, in the middle of a transaction. */
static PGconn *other_session(struct shelf *shelf, const char *sql)
{
    PGconn *other = PQconnectdb(str_z(shelf->t->arena, shelf->url));
    PGresult *result = PQexec(other, sql);
    CHECK_INT(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    return other;
}

static bool is_done(PGconn *other, const char *sql)
{
    PGresult *result = PQexec(other, sql);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return done;
}

struct deadlock {
    struct shelf *shelf;
    bool holds; /* atomic */
    bool got_through;
};

/* Holds the batch's last row, waits until the batch waits for it, and then wants its first. */
static void close_the_ring(void *subject)
{
    struct deadlock *ring = subject;
    PGconn *watch = other_session(ring->shelf, "set application_name = 'watches'");
    PGconn *other =
        other_session(ring->shelf, "begin; set local deadlock_timeout = '5s';"
                                   " update counters set value = value + 100 where name = 'cup7'");
    __atomic_store_n(&ring->holds, true, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 2000; i++) {
        PGresult *waits = PQexec(watch, "select 1 from pg_stat_activity where datname ="
                                        " current_database() and wait_event_type = 'Lock'");
        bool is_there = PQntuples(waits) > 0;
        PQclear(waits);
        if (is_there)
            break;
        sleep_until(clock_mono_us() + 5000);
    }
    ring->got_through =
        is_done(other, "update counters set value = value + 100 where name = 'cup0'") &&
        is_done(other, "commit");
    PQfinish(other);
    PQfinish(watch);
}

/* Where the server chose the other one, nothing was shown: once more. */
TEST(a_batch_that_loses_a_deadlock_runs_again_in_halves_and_nobodys_write_is_lost)
{
    struct shelf *shelf = shelf_open(t);
    struct deadlock ring = { .shelf = shelf };
    int64_t sum = 0;
    shelf_start(shelf);
    CHECK_INT(run_batch(shelf, batch_of(shelf, NULL)), BATCH);
    sum += BATCH;
    for (int i = 0; i < 5 && !ring.got_through; i++) {
        __atomic_store_n(&ring.holds, false, __ATOMIC_SEQ_CST);
        struct thread *other = thread_start("other", close_the_ring, &ring);
        while (!__atomic_load_n(&ring.holds, __ATOMIC_SEQ_CST))
            sleep_until(clock_mono_us() + 1000);
        CHECK_INT(run_batch(shelf, batch_of(shelf, NULL)), BATCH);
        thread_join(other);
        sum += BATCH + (ring.got_through ? 200 : 0);
        CHECK_INT(shelf_sum(shelf), sum);
        CHECK_INT(shelf_outbox_count(shelf), (i + 2) * BATCH);
    }
    CHECK(ring.got_through);
}

/* The server refuses a row by the name of "odd" so many times, as it would a transaction that
 * cannot be put in line with others. */
static void refuse_odd(struct shelf *shelf, int times)
{
    str sql = str_format(
        shelf->t->arena,
        "create sequence tries; create function refuse_odd() returns trigger language plpgsql as"
        " $$ begin if new.name = 'odd' and nextval('tries') <= %d then"
        " raise exception 'not in line' using errcode = '40001'; end if; return new; end $$;"
        " create trigger refuse before insert on counters for each row execute function"
        " refuse_odd()",
        times);
    test_postgresql_run(shelf->t, shelf->url, str_z(shelf->t->arena, sql));
}

TEST(a_batch_that_cannot_be_put_in_line_is_split_and_each_member_takes_effect_once)
{
    struct shelf *shelf = shelf_open(t);
    refuse_odd(shelf, 2);
    shelf_start(shelf);
    CHECK_INT(run_batch(shelf, batch_of(shelf, "odd")), BATCH);
    CHECK_INT(shelf_sum(shelf), BATCH);
    CHECK_INT(shelf_outbox_count(shelf), BATCH);
}

TEST(a_member_that_never_gets_in_line_hears_so_alone_and_leaves_nothing)
{
    struct shelf *shelf = shelf_open(t);
    refuse_odd(shelf, 1000);
    shelf_start(shelf);
    CHECK_INT(run_batch(shelf, batch_of(shelf, "odd")), BATCH - 1);
    CHECK_INT(shelf_counter(shelf, "odd"), -1);
    CHECK_INT(shelf_sum(shelf), BATCH - 1);
    CHECK_INT(shelf_outbox_count(shelf), BATCH - 1);
}

TEST(a_member_whose_lock_is_not_to_be_had_hears_so_alone_and_later_gets_it)
{
    struct shelf *shelf = shelf_open(t);
    struct db_config config = { .url = shelf->url, .readers_max = 1, .lock_timeout_ms = 50 };
    struct db *hasty;
    CHECK_OK(db_open(t->arena, &config, &shelf_schema, &hasty));
    shelf->writer = writer_open(hasty, "shelf", NULL, NULL);
    CHECK_INT(run_batch(shelf, batch_of(shelf, NULL)), BATCH);
    PGconn *other =
        other_session(shelf, "begin; update counters set value = value + 100 where name = 'cup3'");
    CHECK_INT(run_batch(shelf, batch_of(shelf, NULL)), BATCH - 1);
    CHECK_INT(shelf_counter(shelf, "cup3"), 1);
    CHECK(is_done(other, "commit"));
    PQfinish(other);
    CHECK_INT(run_batch(shelf, batch_of(shelf, NULL)), BATCH);
    CHECK_INT(shelf_counter(shelf, "cup3"), 102);
    CHECK_INT(shelf_sum(shelf), 3 * BATCH - 1 + 100);
    CHECK_INT(shelf_outbox_count(shelf), 3 * BATCH - 1);
    shelf_stop(shelf);
    db_close(hasty);
}

TEST(a_snapshot_does_not_see_what_is_committed_after_its_first_read)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    struct sql_counters_sum_row row;
    struct tx tx;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(sql_counters_sum(reader, t->arena, &row));
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(add(&tx, "cup", 5));
    CHECK_OK(tx_commit(&tx));
    CHECK_OK(sql_counters_sum(reader, t->arena, &row));
    db_read_end(reader);
    CHECK_INT(row.total, 0);
    CHECK_INT(shelf_sum(shelf), 5);
}
