/* One batch of the writer: its transaction, its claims, its outcomes. See write.h for the order
 * inside.
 *
 * Only writer.c includes this; it owns the queue and the thread. */
#pragma once
#include "chassis/trace.h"
#include "chassis/write.h"

struct series;

/* What lasts from batch to batch. */
struct batch_room {
    struct db *db;
    struct arena *arena;    /* reset for each attempt */
    struct member *members; /* WRITES_BATCH_MAX of them */
    int64_t position_last;  /* of the newest event in the outbox */
    int64_t commits, commit_us;
    struct series *commit_time, *sizes; /* NULL: nobody counts */
    bool announced;                     /* the batch put something into the outbox */
    /* Of the batch at work, where one of its members is in a trace that is recorded. */
    struct trace_context span;
    int64_t began_us;
    size_t runs; /* of transactions */
    /* Told what a commit has changed, before its members hear of it; or NULL. */
    void (*on_changed)(void *subject, struct uuid changed);
    void *on_changed_subject;
};

/* Readies a room; its arrays lie in `life`. The database has no writer yet. */
void batch_room_init(struct batch_room *room, struct arena *life, struct db *db);

/* Frees what is not in `life`. */
void batch_room_done(struct batch_room *room);

/* Runs the writes in one transaction and tells each its outcome. Where the transaction fails as a
 * whole they are run again in halves, at last singly. */
void batch_run(struct batch_room *room, struct write *const *writes, size_t count);
