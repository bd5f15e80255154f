/* A place on the PostgreSQL that TEST_POSTGRESQL names (tests/lib/postgresql.py starts one). */
#pragma once
#include "base/str.h"
#include "tests/lib/test.h"

/* Whether the tests run on PostgreSQL. */
bool test_on_postgresql(void);

/* A schema of its own, which goes when the test ends: the URL of a database whose every session
 * works in it. */
str test_postgresql_url(struct test *t);

/* The server's port; the same URL at another port (a proxy's). */
int test_postgresql_port(void);
str test_postgresql_at(struct test *t, str url, int port);

/* Runs statements there, as superuser; the test fails where they do. */
void test_postgresql_run(struct test *t, str url, const char *sql);
