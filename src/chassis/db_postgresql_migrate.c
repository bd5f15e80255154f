#include "chassis/db_postgresql.h"

#include "base/arena.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"

/* Two who migrate at once take turns: any number would do. */
#define MIGRATION_LOCK "4451384871"

static struct tx tx_on(struct db_connection *connection, struct arena *arena)
{
    return (struct tx){ .arena = arena,
                        .now = clock_wall_us(),
                        .db = &connection->owner->db,
                        .connection = connection };
}

static err migration_newest(struct db_connection *connection, struct arena *arena,
                            const char *service, int *out)
{
    str found;
    *out = 0;
    TRY(postgresql_ask(connection, arena, "select to_regclass('schema_migrations')", &found));
    if (!found.ptr)
        return OK; /* a new database */
    struct sql_migration_newest params = { .service = str_of_z(service) };
    struct sql_migration_newest_row row;
    struct tx tx = tx_on(connection, arena);
    TRY(sql_tx_migration_newest(&tx, &params, &row));
    *out = row.number;
    return OK;
}

/* What a migration does, and its record. */
static err migration_apply(struct db_connection *connection, struct arena *arena,
                           const char *service, const struct migration *migration)
{
    str nothing;
    err error = postgresql_ask(connection, arena, migration->sql, &nothing);
    if (error != OK)
        return fail_over(arena, error->code, error, "migration %04d_%s of %s failed: %" STR_F,
                         migration->number, migration->name, service, STR_A(error->detail));
    struct tx tx = tx_on(connection, arena);
    struct sql_migration_insert row = { .service = str_of_z(service),
                                        .number = migration->number,
                                        .name = str_of_z(migration->name),
                                        .applied_at = tx.now };
    TRY(sql_migration_insert(&tx, &row, NULL));
    return postgresql_drain(connection, arena);
}

/* All or none. */
static err migration_run(struct db_connection *connection, struct arena *arena, const char *service,
                         const struct migration *migration)
{
    str nothing;
    TRY(postgresql_ask(connection, arena, "begin", &nothing));
    err error = migration_apply(connection, arena, service, migration);
    if (!connection->handle)
        return error;
    err ended = postgresql_ask(connection, arena, error == OK ? "commit" : "rollback", &nothing);
    return error != OK ? error : ended;
}

static err migrate_schema(struct db_connection *connection, struct arena *arena,
                          const struct db_schema *schema, int *applied)
{
    int newest;
    TRY(migration_newest(connection, arena, schema->service, &newest));
    for (int i = newest; i < schema->migrations_count; i++) {
        ASSERT(schema->migrations_postgresql[i].number == i + 1);
        TRY(migration_run(connection, arena, schema->service, &schema->migrations_postgresql[i]));
        ++*applied;
    }
    return OK;
}

static err migrate_all(struct db_connection *connection, struct arena *arena,
                       const struct db_schema *schema, int *applied)
{
    TRY(migrate_schema(connection, arena, &chassis_schema, applied));
    return migrate_schema(connection, arena, schema, applied);
}

err postgresql_migrate(struct db_connection *connection, struct arena *arena,
                       const struct db_schema *schema, int *applied)
{
    ASSERT(connection && schema && applied);
    if (!schema->migrations_postgresql)
        return fail(arena, DB_FAILED, "%s has no migrations for PostgreSQL", schema->service);
    str nothing;
    *applied = 0;
    TRY(postgresql_ask(connection, arena,
                       "set lock_timeout = 0; set statement_timeout = 0;"
                       " reset enable_seqscan; reset enable_hashjoin; reset enable_mergejoin;"
                       " reset enable_material; reset enable_bitmapscan;"
                       " select pg_advisory_lock(" MIGRATION_LOCK ")",
                       &nothing));
    err error = migrate_all(connection, arena, schema, applied);
    if (connection->handle) {
        err unlocked = postgresql_ask(connection, arena,
                                      "select pg_advisory_unlock(" MIGRATION_LOCK ")", &nothing);
        error = error != OK ? error : unlocked;
    }
    return error;
}

/* One that is ahead of this program is of a newer version that runs beside it. */
static err check_schema(struct db_connection *connection, struct arena *arena,
                        const struct db_schema *schema)
{
    int newest;
    TRY(migration_newest(connection, arena, schema->service, &newest));
    if (newest >= schema->migrations_count)
        return OK;
    return fail(arena, DB_OLDER,
                "%s has migration %04d of %s, this program needs %04d: run dukactl migrate",
                connection->owner->place, newest, schema->service, schema->migrations_count);
}

err postgresql_check_migrated(struct db_connection *connection, struct arena *arena,
                              const struct db_schema *schema)
{
    ASSERT(connection && schema);
    TRY(check_schema(connection, arena, &chassis_schema));
    return check_schema(connection, arena, schema);
}
