/* A pool of threads that run work, first come first served within two urgencies, over a bounded
 * queue.
 *
 * The owner embeds `struct work`; the queue never allocates. Wakes no more threads than there is
 * work. Urgent work goes first, but while both wait, one in 16 is normal. */
#pragma once
#include "os/sync.h"

enum work_urgency { WORK_URGENT, WORK_NORMAL, WORK_URGENCIES };

struct work {
    struct work *next;
    void (*run)(struct work *);
    int64_t submitted_us; /* set by workers_submit; shows how long it waited */
};

struct workers;

/* Starts `threads` threads called `name`-N. `queue_max` bounds what waits. */
struct workers *workers_open(const char *name, int threads, int queue_max);

/* Refuses new work, runs what is queued, joins the threads, frees. Accepts NULL. Works that still
 * run may submit and resume; no other thread may be inside a call of this pool when it is freed. */
void workers_close(struct workers *);

/* Queues work; false if the queue is full or by its pace of late would take over 250 ms to reach
 * it, or over 25 ms where more comes than is done: within the last second some was refused so, or
 * something had waited for 250 ms on end (urgent work is only refused when full). The caller keeps
 * the work then. */
bool workers_submit(struct workers *, struct work *, enum work_urgency urgency);

/* The same for work that was accepted before and comes back (a rerun, an answer): never refused,
 * and urgent, for the sooner it is done the sooner its memory is free. */
void workers_resume(struct workers *, struct work *);

/* How many wait now, and how long the oldest has waited: for metrics and shedding. */
int workers_queue_length(struct workers *);
int64_t workers_queue_age_us(struct workers *);

/* How busy it is, for metrics and pages. */
struct workers_stats {
    int threads, busy, queue, queue_max;
    int64_t oldest_us; /* how long the oldest has waited */
    int64_t pace_us;   /* how long a work takes of late */
    int64_t refused;   /* works that found no room, or would not have been reached in time */
};
struct workers_stats workers_stats_of(struct workers *);
