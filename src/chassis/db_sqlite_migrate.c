#include "chassis/db_sqlite.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"

static err migration_newest(struct db_sqlite *self, struct arena *arena, const char *service,
                            int *out)
{
    if (sqlite3_table_column_metadata(self->writer->handle, NULL, "schema_migrations", NULL, NULL,
                                      NULL, NULL, NULL, NULL) != SQLITE_OK) {
        *out = 0; /* a new file */
        return OK;
    }
    struct sql_migration_newest params = { .service = str_of_z(service) };
    struct sql_migration_newest_row row;
    struct tx tx = { .arena = arena, .db = &self->db, .connection = self->writer };
    TRY(sql_tx_migration_newest(&tx, &params, &row));
    *out = row.number;
    return OK;
}

static err migration_apply(struct db_sqlite *self, struct arena *arena, const char *service,
                           const struct migration *migration)
{
    char *words = NULL;
    int code = sqlite3_exec(self->writer->handle, migration->sql, NULL, NULL, &words);
    if (code != SQLITE_OK) {
        str why = str_format(arena, "%s", words ? words : "no reason given");
        sqlite3_free(words);
        err cause = sqlite_error(self->writer, arena, code, migration->name);
        return fail_over(arena, cause->code, cause, "migration %04d_%s of %s failed: %" STR_F,
                         migration->number, migration->name, service, STR_A(why));
    }
    return OK;
}

/* One migration and its record, all or none. */
static err migration_run(struct db_sqlite *self, struct arena *arena, const char *service,
                         const struct migration *migration)
{
    struct tx tx;
    TRY(tx_begin(&self->db, arena, clock_wall_us(), &tx));
    struct sql_migration_insert row = { .service = str_of_z(service),
                                        .number = migration->number,
                                        .name = str_of_z(migration->name),
                                        .applied_at = tx.now };
    err error = migration_apply(self, arena, service, migration);
    if (error == OK)
        error = sql_migration_insert(&tx, &row, NULL);
    if (error == OK)
        error = tx_commit(&tx);
    if (error != OK)
        tx_rollback(&tx);
    return error;
}

static err migrate_schema(struct db_sqlite *self, struct arena *arena,
                          const struct db_schema *schema)
{
    int newest;
    TRY(migration_newest(self, arena, schema->service, &newest));
    if (newest > schema->migrations_count)
        self->is_ahead = true;
    for (int i = newest; i < schema->migrations_count; i++) {
        ASSERT(schema->migrations[i].number == i + 1);
        TRY(migration_run(self, arena, schema->service, &schema->migrations[i]));
        self->migrated++;
    }
    return OK;
}

err sqlite_migrate(struct db_sqlite *self, struct arena *arena)
{
    ASSERT(self && self->writer && arena);
    TRY(migrate_schema(self, arena, &chassis_schema));
    return migrate_schema(self, arena, self->db.schema);
}
