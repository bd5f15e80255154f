/* What a test makes a database do: the Nth step from now fails.
 *
 * A loop walks N over a whole use case until the fault is not reached any more. Nothing here is for
 * programs. */
#pragma once
#include "chassis/db.h"

enum db_step { DB_STEP_BEGIN, DB_STEP_STATEMENT, DB_STEP_COMMIT, DB_STEP_READ, DB_STEPS_COUNT };

enum db_fault {
    DB_FAULT_NONE,
    DB_FAULT_FAILED, /* DB_FAILED; the transaction stays */
    DB_FAULT_GONE,   /* the engine has rolled the transaction back by itself */
    DB_FAULT_FULL,   /* DB_FULL, and the transaction is gone */
    DB_FAULT_FSYNC,  /* the disk could not promise: on_fatal */
};

/* The `nth` (1: the next) step of that kind fails once. DB_FAULT_NONE takes the plan back.
 * STATEMENT counts the statements of transactions, a row of an array each; READ those on snapshots.
 * Set while the writer rests. */
void db_fail_at(struct db *db, enum db_step step, int64_t nth, enum db_fault fault);

/* How many such steps were taken since db_fail_at was first called. */
int64_t db_steps_taken(struct db *db, enum db_step step);

/* Bounds the file: what does not fit is DB_FULL. 0 takes the bound away. Set while the writer
 * rests. */
void db_limit_bytes(struct db *db, int64_t bytes_max);
