#include "os/workers.h"

#include "base/err.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    WORKERS_THREADS_MAX = 1024,
    WORKERS_DRAIN_MAX_US = 250 * 1000,
    WORKERS_DRAIN_STANDING_US = 25 * 1000,
    WORKERS_STANDING_US = 1000 * 1000, /* since the last that was refused */
    WORKERS_URGENT_IN_A_ROW = 15,      /* then one that is normal, if one waits */
    WORKERS_PACE_WEIGHT = 16,          /* the latest work counts for a 16th of the pace */
    /* What one work may say about the pace: a straggler must not close the door to all. */
    WORKERS_PACE_SAMPLE_MAX_US = 1000 * 1000,
    WORKERS_NAME_BYTES = 24
};

struct queue {
    struct work *first, *last;
    int count;
};

struct workers {
    struct lock lock;
    struct cond work_came;
    struct queue queues[WORK_URGENCIES];
    int queue_max;
    int urgent_in_a_row;
    int idle;                  /* threads that wait for work */
    int woken;                 /* of these, how many a wake-up is on its way to */
    int living;                /* threads that have not left for good */
    bool closing;              /* no new work; threads leave when the queues are empty */
    int64_t empty_us;          /* when nothing waited last */
    int64_t standing_until_us; /* more comes than is done */
    int64_t refused;
    int64_t pace_sixteenths; /* moving average of how long a work runs, in 16ths of a microsecond */
    int threads_count;
    struct thread *threads[];
};

static void queue_add(struct queue *queue, struct work *work)
{
    work->next = NULL;
    if (queue->last)
        queue->last->next = work;
    else
        queue->first = work;
    queue->last = work;
    queue->count++;
}

static struct work *queue_take(struct queue *queue)
{
    struct work *work = queue->first;
    ASSERT(work && queue->count > 0);
    queue->first = work->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    work->next = NULL;
    return work;
}

static int length_of(const struct workers *self)
{
    return self->queues[WORK_URGENT].count + self->queues[WORK_NORMAL].count;
}

/* The next in turn, or NULL. */
static struct work *take_next(struct workers *self)
{
    struct queue *urgent = &self->queues[WORK_URGENT], *normal = &self->queues[WORK_NORMAL];
    bool normal_waits = normal->count > 0;

    if (urgent->count > 0 && !(normal_waits && self->urgent_in_a_row >= WORKERS_URGENT_IN_A_ROW)) {
        self->urgent_in_a_row = normal_waits ? self->urgent_in_a_row + 1 : 0;
        return queue_take(urgent);
    }
    self->urgent_in_a_row = 0;
    return normal_waits ? queue_take(normal) : NULL;
}

/* The next in turn; waits while there is none; NULL when the pool closes and all is done. */
static struct work *take_or_wait(struct workers *self)
{
    for (;;) {
        struct work *work = take_next(self);
        if (work || self->closing)
            return work;

        self->idle++;
        while (self->woken == 0 && !self->closing)
            cond_wait(&self->work_came, &self->lock);
        self->idle--;
        if (self->woken > 0)
            self->woken--;
    }
}

static void pace_note(struct workers *self, int64_t took_us)
{
    if (took_us < 0)
        took_us = 0;
    if (took_us > WORKERS_PACE_SAMPLE_MAX_US)
        took_us = WORKERS_PACE_SAMPLE_MAX_US;
    self->pace_sixteenths += took_us - self->pace_sixteenths / WORKERS_PACE_WEIGHT;
}

/* Before one is added. A queue that has not been empty for as long as a burst may take is none of a
 * burst: it stands, though none was refused yet (so judges the controlled delay of B. Maurer, "Fail
 * at Scale", ACM Queue 13(8), 2015). Kept short it soon is empty: so it stands for a while longer.
 */
static void look_whether_it_stands(struct workers *self, int64_t now_us)
{
    if (length_of(self) == 0)
        self->empty_us = now_us;
    else if (now_us - self->empty_us > WORKERS_DRAIN_MAX_US)
        self->standing_until_us = now_us + WORKERS_STANDING_US;
}

/* Tells whether normal work that came now would be reached in time: a burst may take long to work
 * off, but where more comes than can be done for good, a long queue only makes all wait. The pace
 * alone would not see threads that hang, for it moves when a work ends; the age of the first in the
 * queue does. */
static bool drains_in_time(const struct workers *self, int64_t now_us)
{
    const struct work *oldest = self->queues[WORK_NORMAL].first;
    bool is_standing = now_us < self->standing_until_us;
    int64_t drain_max_us = is_standing ? WORKERS_DRAIN_STANDING_US : WORKERS_DRAIN_MAX_US;
    if (oldest && now_us - oldest->submitted_us > drain_max_us)
        return false;

    int64_t pace_us = self->pace_sixteenths / WORKERS_PACE_WEIGHT;
    return length_of(self) * pace_us <= drain_max_us * self->threads_count;
}

static void thread_run(void *subject)
{
    struct workers *self = subject;

    lock_take(&self->lock);
    for (struct work *work; (work = take_or_wait(self));) {
        lock_drop(&self->lock);
        int64_t began_us = clock_mono_us();
        work->run(work); /* which may have freed it, or handed it in again */
        int64_t took_us = clock_mono_us() - began_us;
        lock_take(&self->lock);
        pace_note(self, took_us);
    }
    self->living--;
    lock_drop(&self->lock);
}

struct workers *workers_open(const char *name, int threads, int queue_max)
{
    ASSERT(name && *name);
    ASSERT(threads > 0 && threads <= WORKERS_THREADS_MAX);
    ASSERT(queue_max > 0);

    struct workers *self = calloc(1, sizeof(*self) + (size_t)threads * sizeof(struct thread *));
    ASSERT(self);
    lock_init(&self->lock);
    cond_init(&self->work_came);
    self->queue_max = queue_max;
    self->threads_count = threads;
    self->living = threads;
    for (int i = 0; i < threads; i++) {
        char full[WORKERS_NAME_BYTES];
        (void)snprintf(full, sizeof(full), "%.10s-%d", name, i + 1);
        self->threads[i] = thread_start(full, &thread_run, self);
    }
    return self;
}

void workers_close(struct workers *self)
{
    if (!self)
        return;

    lock_take(&self->lock);
    ASSERT(!self->closing);
    self->closing = true;
    lock_drop(&self->lock);
    cond_wake_all(&self->work_came);

    for (int i = 0; i < self->threads_count; i++)
        thread_join(self->threads[i]);
    ASSERT(self->living == 0 && length_of(self) == 0);
    cond_done(&self->work_came);
    lock_done(&self->lock);
    free(self);
}

/* Queues under the lock, drops it, and wakes a thread if one sleeps that no wake-up goes to yet: a
 * thread that is awake looks at the queue again before it sleeps. The wake-up comes after the drop,
 * or the woken thread would only run into the lock. */
static void add_and_drop(struct workers *self, struct work *work, enum work_urgency urgency,
                         int64_t now_us)
{
    work->submitted_us = now_us;
    queue_add(&self->queues[urgency], work);
    bool wake = self->woken < self->idle && self->woken < length_of(self);
    if (wake)
        self->woken++;
    lock_drop(&self->lock);
    if (wake)
        cond_wake_one(&self->work_came);
}

bool workers_submit(struct workers *self, struct work *work, enum work_urgency urgency)
{
    ASSERT(self && work && work->run);
    ASSERT(urgency == WORK_URGENT || urgency == WORK_NORMAL);

    int64_t now_us = clock_mono_us();
    lock_take(&self->lock);
    look_whether_it_stands(self, now_us);
    bool is_late = urgency == WORK_NORMAL && !drains_in_time(self, now_us);
    if (is_late)
        self->standing_until_us = now_us + WORKERS_STANDING_US;
    if (self->closing || length_of(self) >= self->queue_max || is_late) {
        self->refused++;
        lock_drop(&self->lock);
        return false;
    }
    add_and_drop(self, work, urgency, now_us);
    return true;
}

void workers_resume(struct workers *self, struct work *work)
{
    ASSERT(self && work && work->run);

    int64_t now_us = clock_mono_us();
    lock_take(&self->lock);
    look_whether_it_stands(self, now_us);
    ASSERT(self->living > 0); /* else an accepted work would be lost without a word */
    add_and_drop(self, work, WORK_URGENT, now_us);
}

int workers_queue_length(struct workers *self)
{
    ASSERT(self);
    lock_take(&self->lock);
    int length = length_of(self);
    lock_drop(&self->lock);
    return length;
}

/* Under the lock. */
static int64_t age_of(const struct workers *self)
{
    int64_t now_us = clock_mono_us(), age_us = 0;
    for (int i = 0; i < WORK_URGENCIES; i++) {
        const struct work *oldest = self->queues[i].first;
        if (oldest && now_us - oldest->submitted_us > age_us)
            age_us = now_us - oldest->submitted_us;
    }
    return age_us;
}

int64_t workers_queue_age_us(struct workers *self)
{
    ASSERT(self);
    lock_take(&self->lock);
    int64_t age_us = age_of(self);
    lock_drop(&self->lock);
    return age_us;
}

struct workers_stats workers_stats_of(struct workers *self)
{
    ASSERT(self);
    lock_take(&self->lock);
    struct workers_stats stats = {
        .threads = self->threads_count,
        .busy = self->living - self->idle,
        .queue = length_of(self),
        .queue_max = self->queue_max,
        .oldest_us = age_of(self),
        .pace_us = self->pace_sixteenths / WORKERS_PACE_WEIGHT,
        .refused = self->refused,
    };
    lock_drop(&self->lock);
    return stats;
}
