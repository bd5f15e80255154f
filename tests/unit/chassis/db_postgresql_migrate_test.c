#include "chassis/db_postgresql.h"

#include "gen/chassis.sql.h"
#include "os/sync.h"
#include "shelf.h"
#include "tests/lib/postgresql.h"

static err migrate(struct test *t, str url, const struct db_schema *schema, int *applied)
{
    struct db_config config = { .url = url, .readers_max = 1 };
    return db_migrate(t->arena, &config, schema, applied);
}

TEST(a_new_database_gets_all_and_then_nothing)
{
    str url = test_postgresql_url(t);
    int applied = 0;
    CHECK_OK(migrate(t, url, &shelf_schema, &applied));
    CHECK_INT(applied, chassis_schema.migrations_count + shelf_schema.migrations_count);
    CHECK_OK(migrate(t, url, &shelf_schema, &applied));
    CHECK_INT(applied, 0);
}

TEST(a_migration_that_the_server_refuses_leaves_nothing_and_says_which)
{
    static const struct migration migrations[] = {
        { 1, "good", "create table good (id uuid);" },
        { 2, "bad", "create table half (id uuid);\ncreate table half (id uuid);" }
    };
    struct db_schema schema = { .service = "trial",
                                .queries = shelf_schema.queries,
                                .migrations_count = 2,
                                .migrations_postgresql = migrations };
    str url = test_postgresql_url(t);
    int applied = 0;
    err error = migrate(t, url, &schema, &applied);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, STR("0002_bad of trial")) >= 0);
    test_postgresql_run(t, url, "select id from good; create table half (id uuid)");
}

struct racer {
    struct test *t;
    str url;
    struct arena *arena;
    err error;
    int applied;
};

static void race(void *subject)
{
    struct racer *racer = subject;
    struct db_config config = { .url = racer->url, .readers_max = 1 };
    racer->error = db_migrate(racer->arena, &config, &shelf_schema, &racer->applied);
}

TEST(two_that_migrate_at_once_take_turns)
{
    struct racer racers[2];
    struct thread *threads[2];
    str url = test_postgresql_url(t);
    for (int i = 0; i < 2; i++) {
        racers[i] = (struct racer){ .t = t, .url = url, .arena = arena_open(1 << 20) };
        threads[i] = thread_start("race", race, &racers[i]);
    }
    for (int i = 0; i < 2; i++)
        thread_join(threads[i]);
    CHECK_OK(racers[0].error);
    CHECK_OK(racers[1].error);
    CHECK_INT(racers[0].applied + racers[1].applied,
              chassis_schema.migrations_count + shelf_schema.migrations_count);
    for (int i = 0; i < 2; i++)
        arena_close(racers[i].arena);
}
