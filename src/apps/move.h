/* A service's tables, carried from SQLite to PostgreSQL: all of them, in the order of their keys,
 * as tools/queries/move.py reads them from the migrations.
 *
 * Whoever was interrupted begins again: pages that are there already are only compared. At the end
 * every row of both sides is compared, and a row more, less or other than the source's is a fault.
 * Both are kept from others meanwhile: the source by the lock of its file, the target by the lease
 * without which no service sends events. */
#pragma once
#include "chassis/db.h"

struct move {
    str from, to;                    /* sqlite:PATH, postgresql://… */
    const struct db_schema *schema;  /* the service's: its migrations are applied to both */
    const struct db_schema *queries; /* gen/X_move.sql.h */
    bool fresh;                      /* the target's tables are emptied first */
    /* Told now and then: what is done of a table, and each row that is not the same. */
    void (*progress)(void *self, const char *what, int64_t done, int64_t total);
    void (*fault)(void *self, str what);
    void *self;
};

struct move_done {
    int tables;
    int64_t rows;   /* that the source has */
    int64_t put;    /* that were not there before this run */
    int64_t faults; /* rows that are not the same */
};

/* Carries and compares. Fails with what opening either fails with (DB_LOCKED: a service runs on
 * it), and with the databases' errors; what was carried until then stays. */
err move_run(struct arena *arena, const struct move *move, struct move_done *out);
