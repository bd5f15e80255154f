#include "os/spare.h"

#include "base/err.h"
#include "os/clock.h"
#include "os/sync.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPARE_THREADS_MAX = 1024, SPARE_NAME_BYTES = 24 };

enum seat_state {
    SEAT_FREE,
    SEAT_GIVEN, /* to the thread, which computes or is about to */
    SEAT_LEFT,  /* the same, but nobody waits for it any more */
    SEAT_DONE
};

/* A thread, and what it has. */
struct seat {
    struct spare *spare;
    struct thread *thread;
    struct cond changed;
    enum seat_state state;
    void (*run)(void *subject);
    size_t bytes;
    alignas(max_align_t) unsigned char subject[SPARE_BYTES_MAX];
};

struct spare {
    struct lock lock;
    struct lock here; /* of who computes on its own thread; taken without the other */
    bool closing;
    int64_t late;
    int seats_count;
    struct seat seats[];
};

/* The lock is held, as in all that follow but the doors. */
static void empty(struct seat *seat)
{
    explicit_bzero(seat->subject, seat->bytes);
    seat->state = SEAT_FREE;
}

/* The wake-up comes after the drop: whoever waits takes the core from this thread, the least of
 * all, at once, and would only run into the lock. */
static void compute(struct seat *seat)
{
    struct spare *spare = seat->spare;
    lock_drop(&spare->lock);
    seat->run(seat->subject);
    lock_take(&spare->lock);
    if (seat->state == SEAT_LEFT) {
        empty(seat);
        return;
    }
    seat->state = SEAT_DONE;
    lock_drop(&spare->lock);
    cond_wake_all(&seat->changed);
    lock_take(&spare->lock);
}

static void thread_run(void *subject)
{
    struct seat *seat = subject;
    struct spare *spare = seat->spare;

    thread_be_last();
    lock_take(&spare->lock);
    while (!spare->closing) {
        switch (seat->state) {
        case SEAT_GIVEN: compute(seat); break;
        case SEAT_LEFT: empty(seat); break; /* before it was begun */
        case SEAT_FREE:
        case SEAT_DONE: cond_wait(&seat->changed, &spare->lock); break;
        }
    }
    lock_drop(&spare->lock);
}

struct spare *spare_open(const char *name, int threads)
{
    ASSERT(name && *name);
    ASSERT(threads > 0 && threads <= SPARE_THREADS_MAX);

    struct spare *self = calloc(1, sizeof *self + (size_t)threads * sizeof self->seats[0]);
    ASSERT(self);
    lock_init(&self->lock);
    lock_init(&self->here);
    self->seats_count = threads;
    for (int i = 0; i < threads; i++) {
        struct seat *seat = &self->seats[i];
        char full[SPARE_NAME_BYTES];
        (void)snprintf(full, sizeof full, "%.10s-%d", name, i + 1);
        seat->spare = self;
        cond_init(&seat->changed);
        seat->thread = thread_start(full, thread_run, seat);
    }
    return self;
}

void spare_close(struct spare *self)
{
    if (!self)
        return;
    lock_take(&self->lock);
    self->closing = true;
    for (int i = 0; i < self->seats_count; i++)
        cond_wake_all(&self->seats[i].changed);
    lock_drop(&self->lock);
    for (int i = 0; i < self->seats_count; i++) {
        thread_join(self->seats[i].thread);
        cond_done(&self->seats[i].changed);
    }
    lock_done(&self->lock);
    lock_done(&self->here);
    free(self);
}

static struct seat *free_seat(struct spare *self)
{
    for (int i = 0; i < self->seats_count; i++)
        if (self->seats[i].state == SEAT_FREE)
            return &self->seats[i];
    return NULL;
}

static void give(struct seat *seat, void (*run)(void *subject), const void *subject, size_t bytes)
{
    seat->run = run;
    seat->bytes = bytes;
    memcpy(seat->subject, subject, bytes);
    seat->state = SEAT_GIVEN;
    cond_wake_all(&seat->changed);
}

/* Takes the result, or leaves it to the thread to throw away. */
static bool wait_for(struct seat *seat, void *subject, int64_t wait_us)
{
    struct spare *spare = seat->spare;
    int64_t deadline_us = clock_mono_us() + wait_us;
    while (seat->state != SEAT_DONE) {
        bool in_time = cond_wait_until(&seat->changed, &spare->lock, deadline_us);
        if (!in_time && seat->state != SEAT_DONE) {
            seat->state = SEAT_LEFT;
            spare->late++;
            return false;
        }
    }
    memcpy(subject, seat->subject, seat->bytes);
    empty(seat);
    return true;
}

static bool run_there(struct spare *self, void (*run)(void *subject), void *subject, size_t bytes,
                      int64_t wait_us)
{
    lock_take(&self->lock);
    ASSERT(!self->closing);
    struct seat *seat = free_seat(self);
    bool is_done = false;
    if (seat) {
        give(seat, run, subject, bytes);
        is_done = wait_for(seat, subject, wait_us);
    }
    lock_drop(&self->lock);
    return is_done;
}

void spare_run(struct spare *self, void (*run)(void *subject), void *subject, size_t bytes,
               int64_t wait_us)
{
    ASSERT(self && run && subject);
    ASSERT(bytes > 0 && bytes <= SPARE_BYTES_MAX);
    if (run_there(self, run, subject, bytes, wait_us))
        return;
    lock_take(&self->here);
    run(subject);
    lock_drop(&self->here);
}

int64_t spare_late_count(struct spare *self)
{
    ASSERT(self);
    lock_take(&self->lock);
    int64_t late = self->late;
    lock_drop(&self->lock);
    return late;
}
