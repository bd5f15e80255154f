/* The sweeper: forgets rows of bookkeeping tables once their retention is over, and counts the rows
 * of all of them.
 *
 * A service lists its tables once, at its opening; docs/internals/retention.md has the rule of
 * each. Every SWEEP_INTERVAL the sweeper looks on a snapshot what is due; only that goes to the
 * writer, a few rows in each write, so that others get their turn between two. How many are few, it
 * learns from how long they take: a batch that held the writer longer than SWEEP_BATCH_US_MAX is
 * followed by one of half as many rows. */
#pragma once
#include "chassis/write.h"

struct service;

enum { SWEEP_TABLES_MAX = 8, SWEEP_BATCH_US_MAX = 2000, SWEEP_ROWS_MAX = 256 };

/* A table. */
struct swept {
    const char *table;
    int64_t kept_us;  /* rows that are older are forgotten */
    int32_t rows_max; /* most in one write: SWEEP_ROWS_MAX where a row is a row */
    /* Forgets at most so many rows that are older than `before`; NULL where rows go with what they
     * are about and the table is only counted. */
    err (*sweep)(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);
};

/* The tables of one room (a service's, the chassis's), and how they are looked at, all in one
 * query; what they fill has the order of the tables. */
struct swept_room {
    const struct swept *tables; /* borrowed for as long as the service lives */
    int count;
    /* How many rows each has. */
    err (*count_rows)(struct db_reader *reader, struct arena *arena, int64_t *rows);
    /* Whether one of its rows is older than its `before`. */
    err (*look)(struct db_reader *reader, struct arena *arena, const time_us *before, bool *due);
};

/* Adds tables to the service's sweeper; between its opening and its start. */
void service_sweeps(struct service *service, const struct swept_room *room);

/* How many rows the next write of a sweep may take, after one that took `rows` held the writer for
 * `took_us`: pure. */
int32_t sweep_next_rows(int32_t rows, int32_t rows_max, int64_t took_us);

/* ---- the chassis's side ---- */

struct sweeper;

/* Opened with the service; it has the tables of the chassis, and a thread for its timer: counting
 * the rows of a large shop, or reading them from a cold disk, takes long, and whoever waits for a
 * time (a hold, a callback, a customer) must not wait for it. */
struct sweeper *sweeper_open(struct service *service);
void sweeper_start(struct sweeper *sweeper);
void sweeper_stop(struct sweeper *sweeper);  /* ends a count that is under way */
void sweeper_close(struct sweeper *sweeper); /* accepts NULL */

/* What the timer does: forgets what is due, some writes for each table, and counts, but for no more
 * than a hundredth of its time. Where more is due the timer goes on at once. For tests: it counts
 * in any case. */
err sweeper_run(void *self, struct call *call);
