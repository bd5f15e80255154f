#include "chassis/db_postgresql.h"

#include "os/clock.h"
#include "shelf.h"
#include "tests/lib/postgresql.h"
#include "tests/lib/proxy.h"

/* The driver's own connection to the shelf's server. */
static struct db_connection *connect_to(struct shelf *shelf)
{
    struct db_postgresql *self = (struct db_postgresql *)shelf->db;
    struct db_connection *connection = postgresql_connection_new(self, false);
    CHECK_OK(postgresql_connect(connection, shelf->t->arena));
    return connection;
}

TEST(a_question_is_answered_between_pipelines)
{
    struct shelf *shelf = shelf_open(t);
    struct db_connection *connection = connect_to(shelf);
    str answer;
    CHECK_OK(
        postgresql_ask(connection, t->arena, "select current_setting('lock_timeout')", &answer));
    CHECK_STR(answer, "5s");
    CHECK_OK(postgresql_ask(connection, t->arena, "select null", &answer));
    CHECK(answer.ptr == NULL);
    CHECK_OK(postgresql_send(connection, t->arena, "select 1"));
    CHECK_OK(postgresql_drain(connection, t->arena));
    postgresql_disconnect(connection);
}

TEST(a_session_has_the_timeouts_and_says_who_it_is)
{
    static const char *const wanted[][2] = { { "statement_timeout", "10s" },
                                             { "lock_timeout", "5s" },
                                             { "idle_in_transaction_session_timeout", "15s" },
                                             { "synchronous_commit", "off" },
                                             { "application_name", "duka" },
                                             { "client_encoding", "UTF8" } };
    struct shelf *shelf = shelf_open(t);
    struct db_connection *connection = connect_to(shelf);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        str answer, question = str_format(t->arena, "select current_setting('%s')", wanted[i][0]);
        CHECK_OK(postgresql_ask(connection, t->arena, str_z(t->arena, question), &answer));
        CHECK_STR(answer, wanted[i][1]);
    }
    postgresql_disconnect(connection);
}

TEST(a_statement_that_takes_too_long_is_busy)
{
    struct shelf *shelf = shelf_open(t);
    struct db_connection *connection = connect_to(shelf);
    str answer;
    CHECK_OK(postgresql_ask(connection, t->arena, "set statement_timeout = 50", &answer));
    CHECK_ERR(postgresql_ask(connection, t->arena, "select pg_sleep(5)", &answer), DB_BUSY);
    CHECK_OK(postgresql_ask(connection, t->arena, "select 1", &answer));
    postgresql_disconnect(connection);
}

TEST(what_is_pending_can_be_forgotten_and_the_connection_goes_on)
{
    struct shelf *shelf = shelf_open(t);
    struct db_connection *connection = connect_to(shelf);
    CHECK_OK(postgresql_send(connection, t->arena, "select 1"));
    CHECK_OK(postgresql_send(connection, t->arena, "select no_such_column"));
    CHECK_OK(postgresql_send(connection, t->arena, "select 2"));
    postgresql_settle(connection);
    CHECK(connection->handle != NULL);
    CHECK_INT(connection->pending_count, 0);
    CHECK_OK(postgresql_send(connection, t->arena, "select 3"));
    CHECK_OK(postgresql_drain(connection, t->arena));
    postgresql_disconnect(connection);
    postgresql_disconnect(connection); /* nothing is nothing */
}

TEST(the_first_error_of_a_pipeline_is_told)
{
    struct shelf *shelf = shelf_open(t);
    struct db_connection *connection = connect_to(shelf);
    CHECK_OK(postgresql_send(connection, t->arena, "select 1"));
    CHECK_OK(postgresql_send(connection, t->arena, "select first_wrong"));
    CHECK_OK(postgresql_send(connection, t->arena, "select second_wrong"));
    err error = postgresql_drain(connection, t->arena);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, STR("first_wrong")) >= 0);
    CHECK_OK(postgresql_send(connection, t->arena, "select 1"));
    CHECK_OK(postgresql_drain(connection, t->arena));
    postgresql_disconnect(connection);
}

TEST(an_answer_that_is_larger_than_the_sockets_does_not_stop_the_pipeline)
{
    struct shelf *shelf = shelf_open(t);
    struct db_connection *connection = connect_to(shelf);
    char *sql = arena_alloc(t->arena, 300000, 1);
    memset(sql, ' ', 299999);
    memcpy(sql, "select repeat('x', 300000)", 26);
    for (int i = 0; i < 20; i++)
        CHECK_OK(postgresql_send(connection, t->arena, sql));
    CHECK_OK(postgresql_drain(connection, t->arena));
    postgresql_disconnect(connection);
}

TEST(a_server_that_closes_in_the_middle_is_unavailable)
{
    struct shelf *shelf = shelf_open(t);
    struct db_connection *connection = connect_to(shelf);
    CHECK_OK(
        postgresql_send(connection, t->arena, "select pg_terminate_backend(pg_backend_pid())"));
    CHECK_ERR(postgresql_drain(connection, t->arena), DB_UNAVAILABLE);
    CHECK(connection->handle == NULL);
    CHECK_ERR(postgresql_send(connection, t->arena, "select 1"), DB_UNAVAILABLE);
    CHECK_OK(postgresql_connect(connection, t->arena));
    CHECK_OK(postgresql_send(connection, t->arena, "select 1"));
    CHECK_OK(postgresql_drain(connection, t->arena));
    postgresql_disconnect(connection);
}

TEST(the_writer_finds_its_rows_by_their_keys_also_by_a_plan_of_when_the_table_was_empty)
{
    static const char explain[] =
        "explain (format json) update counters set value = 1 from unnest(array['cup', 'tea'])"
        " as a(name) where counters.name = a.name";
    struct shelf *shelf = shelf_open(t);
    struct db_postgresql *self = (struct db_postgresql *)shelf->db;
    struct db_connection *writer = postgresql_connection_new(self, true);
    str plan;
    CHECK_OK(postgresql_connect(writer, t->arena));
    CHECK_OK(postgresql_ask(writer, t->arena, "show plan_cache_mode", &plan));
    CHECK_STR(plan, "force_generic_plan");
    CHECK_OK(postgresql_ask(writer, t->arena, explain, &plan));
    postgresql_disconnect(writer);
    CHECK(str_find(plan, STR("Index Scan")) >= 0);
    CHECK(str_find(plan, STR("Seq Scan")) < 0);
}
