#include "tests/lib/postgresql.h"

#include "base/arena.h"
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool test_on_postgresql(void) { return getenv("TEST_POSTGRESQL") != NULL; }

static bool run(const char *url, const char *sql)
{
    PGconn *connection = PQconnectdb(url);
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    bool is_done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!is_done)
        fprintf(stderr, "%s: %s\n", sql, PQerrorMessage(connection));
    PQclear(result);
    PQfinish(connection);
    return is_done;
}

struct place {
    const char *name;
};

static void drop(void *subject)
{
    char sql[100];
    snprintf(sql, sizeof sql, "set client_min_messages = error; drop schema %s cascade",
             ((struct place *)subject)->name);
    run(getenv("TEST_POSTGRESQL"), sql);
}

str test_postgresql_url(struct test *t)
{
    static int made;
    struct place *place = arena_new(t->arena, struct place);
    int number = __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
    place->name = str_z(t->arena, str_format(t->arena, "t%d_%d", (int)getpid(), number));
    str sql = str_format(t->arena, "create schema %s", place->name);
    CHECK(run(getenv("TEST_POSTGRESQL"), str_z(t->arena, sql)));
    arena_defer(t->arena, drop, place);
    return str_format(t->arena, "%s?options=-csearch_path%%3D%s", getenv("TEST_POSTGRESQL"),
                      place->name);
}

void test_postgresql_run(struct test *t, str url, const char *sql)
{
    CHECK(run(str_z(t->arena, url), sql));
}

int test_postgresql_port(void)
{
    const char *colon = strrchr(getenv("TEST_POSTGRESQL"), ':');
    return (int)strtol(colon + 1, NULL, 10);
}

str test_postgresql_at(struct test *t, str url, int port)
{
    str old = str_format(t->arena, ":%d/", test_postgresql_port());
    ptrdiff_t at = str_find(url, old);
    CHECK(at >= 0);
    return str_format(t->arena, "%" STR_F ":%d/%" STR_F, STR_A(str_slice(url, 0, (size_t)at)), port,
                      STR_A(str_slice(url, (size_t)at + old.len, url.len)));
}
