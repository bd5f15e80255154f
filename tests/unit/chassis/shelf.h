/* A small database (shelf/queries.sql) for the tests of the data room, and what they do with it
 * again and again.
 *
 * All of it is closed when the test ends. A check that does not hold ends the test. */
#pragma once
#include "chassis/db.h"
#include "chassis/db_faults.h"
#include "chassis/write.h"
#include "gen/shelf.sql.h"
#include "os/sync.h"
#include "tests/lib/test.h"

struct shelf {
    struct test *t;
    const char *folder;
    str url;
    struct db *db;
    struct writer *writer; /* where shelf_start was called */
    int committed;         /* calls of on_committed; atomic */

    struct lock lock; /* of what the writer tells */
    struct cond told_changed;
    int told_count;
};

/* Opens FOLDER/shelf.db of a new folder, without fsync; where TEST_POSTGRESQL is set, a schema of
 * its own there. */
struct shelf *shelf_open(struct test *t);

/* Closes and opens the same file again, with or without fsync. */
void shelf_reopen(struct shelf *shelf, bool durable);

/* Starts a writer; stops it (it runs what was handed over). */
void shelf_start(struct shelf *shelf);
void shelf_stop(struct shelf *shelf);

/* What a write was told. */
struct told {
    struct shelf *shelf;
    enum write_end end;
    err outcome;
    int order; /* from 1; 0: not yet */
};

/* A write that notes what it is told. */
struct write *shelf_write(struct shelf *shelf, write_batch *batch, const void *subject,
                          struct told *told);

/* Hands over and waits until all were told. */
void shelf_submit_all(struct shelf *shelf, struct write **writes, size_t count);

/* Waits until so many were told since the shelf was opened. */
void shelf_wait_told(struct shelf *shelf, int count);

/* Runs `work` in one transaction and commits it. */
void shelf_do(struct shelf *shelf, err (*work)(struct tx *tx, void *subject), void *subject);

/* The value of a counter, -1 if there is none; the sum of all; how many there are. */
int64_t shelf_counter(struct shelf *shelf, const char *name);
int64_t shelf_sum(struct shelf *shelf);

/* Batch functions over struct sql_counter_add and struct sql_counter_set: all rows of the batch in
 * one statement. */
write_batch shelf_add;
write_batch shelf_set;

/* An event of no particular message, announced by a write. */
void shelf_announce(struct write *write, const char *key, int64_t number);

/* How many events are in the outbox. */
int64_t shelf_outbox_count(struct shelf *shelf);

/* A claim of a key by a body, answered by the order with that number (0: by the write itself). */
struct once_claim *shelf_claim(struct shelf *shelf, const char *key, const char *body, int subject);

/* What a repeat of the claim would find; the answer's text where there is one. */
enum once_found shelf_find(struct shelf *shelf, struct once_claim *claim, str *answer);

/* An answer that is known. */
struct answer shelf_answer(const char *text);

/* The id with that number. */
struct uuid shelf_id(int number);
