#include "base/arena.h"
#include "chassis/obs.h"
#include "chassis/trace.h"
#include "chassis/writer_batch.h"
#include "os/clock.h"
#include "os/sync.h"

#include <stdio.h>

enum { LIFE_BYTES_MAX = 1024 * 1024, NAME_BYTES = 16 };

struct writer {
    struct arena *arena; /* holds this */
    struct batch_room room;
    void (*on_committed)(void *subject, bool announced);
    void *subject;
    struct thread *thread;

    struct lock lock; /* of what follows */
    struct cond work_came;
    struct write *first, **tail;
    int64_t queue;
    size_t batch_max;
    bool idle, closing;

    struct lock told_lock; /* of those who wait for their write, each on a condition of its own */

    int64_t batches, writes, commit_us; /* by relaxed atomics */
};

/* The writer whose thread this is. */
static _Thread_local const struct writer *writer_here;

/* ---- the thread ---- */

/* Up to a batch of what waits; none when the writer closes. */
static size_t take_batch(struct writer *self, struct write **writes)
{
    lock_take(&self->lock);
    while (!self->first && !self->closing) {
        self->idle = true;
        cond_wait(&self->work_came, &self->lock);
        self->idle = false;
    }
    size_t count = 0;
    while (self->first && count < self->batch_max) {
        struct write *write = self->first;
        self->first = write->next;
        write->next = NULL;
        writes[count++] = write;
    }
    if (!self->first)
        self->tail = &self->first;
    self->queue -= (int64_t)count;
    lock_drop(&self->lock);
    return count;
}

static void run(void *subject)
{
    struct writer *self = subject;
    struct write *writes[WRITES_BATCH_MAX];
    size_t count;

    writer_here = self;
    while ((count = take_batch(self, writes)) > 0) {
        struct batch_room *room = &self->room;
        int64_t commits = room->commits;
        batch_run(room, writes, count);
        if (room->commits > commits && self->on_committed)
            self->on_committed(self->subject, room->announced);
        __atomic_store_n(&self->batches, room->commits, __ATOMIC_RELAXED);
        __atomic_fetch_add(&self->writes, (int64_t)count, __ATOMIC_RELAXED);
        __atomic_store_n(&self->commit_us, room->commit_us, __ATOMIC_RELAXED);
        db_maintain(room->db);
    }
    writer_here = NULL;
}

/* ---- opening and closing ---- */

struct writer *writer_open(struct db *db, const char *service,
                           void (*on_committed)(void *subject, bool announced), void *subject)
{
    ASSERT(db && service);
    struct arena *arena = arena_open(LIFE_BYTES_MAX);
    struct writer *self = arena_new(arena, struct writer);
    self->arena = arena;
    self->on_committed = on_committed;
    self->subject = subject;
    self->tail = &self->first;
    self->batch_max = WRITES_BATCH_MAX;
    batch_room_init(&self->room, arena, db);
    self->room.commit_time = metric_series(METRIC_COMMIT_SECONDS, service, NULL, NULL);
    self->room.sizes = metric_series(METRIC_BATCH_WRITES, service, NULL, NULL);
    lock_init(&self->lock);
    lock_init(&self->told_lock);
    cond_init(&self->work_came);

    char name[NAME_BYTES];
    snprintf(name, sizeof name, "write-%s", service);
    self->thread = thread_start(name, &run, self);
    return self;
}

void writer_limit(struct writer *writer, int batch_max)
{
    ASSERT(writer && batch_max >= 1 && batch_max <= WRITES_BATCH_MAX);
    lock_take(&writer->lock);
    writer->batch_max = (size_t)batch_max;
    lock_drop(&writer->lock);
}

void writer_on_changed(struct writer *writer, void (*changed)(void *subject, struct uuid what),
                       void *subject)
{
    ASSERT(writer && changed);
    lock_take(&writer->lock);
    writer->room.on_changed = changed;
    writer->room.on_changed_subject = subject;
    lock_drop(&writer->lock);
}

void writer_close(struct writer *writer)
{
    if (!writer)
        return;
    ASSERT(writer_here != writer);
    lock_take(&writer->lock);
    writer->closing = true;
    cond_wake_one(&writer->work_came);
    lock_drop(&writer->lock);
    thread_join(writer->thread);

    ASSERT(!writer->first);
    cond_done(&writer->work_came);
    lock_done(&writer->told_lock);
    lock_done(&writer->lock);
    batch_room_done(&writer->room);
    arena_close(writer->arena);
}

/* ---- handing over ---- */

void writer_submit_many(struct writer *writer, struct write **writes, size_t count)
{
    ASSERT(writer && (count == 0 || writes));
    int64_t now_us = trace_is_on() ? clock_mono_us() : 0;
    for (size_t i = 0; i < count; i++) {
        ASSERT(writes[i] && writes[i]->arena && writes[i]->events_tail);
        writes[i]->next = i + 1 < count ? writes[i + 1] : NULL;
        if (writes[i]->once)
            once_name(writes[i]->once);
        writes[i]->handed_us = now_us;
    }
    if (count == 0)
        return;

    lock_take(&writer->lock);
    *writer->tail = writes[0];
    writer->tail = &writes[count - 1]->next;
    writer->queue += (int64_t)count;
    /* Under the lock: the write may be done, and the writer closed, as soon as it is dropped. */
    if (writer->idle)
        cond_wake_one(&writer->work_came);
    lock_drop(&writer->lock);
}

void writer_submit(struct writer *writer, struct write *write)
{
    writer_submit_many(writer, &write, 1);
}

/* One who waits for a write. */
struct wait {
    struct writer *writer;
    struct cond told;
    bool is_told;
    enum write_end end;
    err outcome;
};

static void tell_wait(struct write *write, enum write_end end, err outcome)
{
    struct wait *wait = write->owner;
    struct writer *writer = wait->writer;
    lock_take(&writer->told_lock);
    wait->is_told = true;
    wait->end = end;
    wait->outcome = outcome;
    cond_wake_one(&wait->told);
    lock_drop(&writer->told_lock);
}

enum write_end writer_submit_and_wait(struct writer *writer, struct write *write, err *outcome)
{
    ASSERT(writer && write && outcome);
    ASSERT(writer_here == NULL);

    jmp_buf *guard = arena_guard_of(write->arena); /* the writer puts its own on and takes it off */
    struct wait wait = { .writer = writer };
    cond_init(&wait.told);
    write->owner = &wait;
    write->done = &tell_wait;
    writer_submit(writer, write);

    lock_take(&writer->told_lock);
    while (!wait.is_told)
        cond_wait(&wait.told, &writer->told_lock);
    lock_drop(&writer->told_lock);
    cond_done(&wait.told);
    arena_guard(write->arena, guard);
    *outcome = wait.outcome;
    return wait.end;
}

bool writer_is_here(void) { return writer_here != NULL; }

struct writer_stats writer_stats_of(struct writer *writer)
{
    ASSERT(writer);
    lock_take(&writer->lock);
    int64_t queue = writer->queue;
    lock_drop(&writer->lock);
    return (struct writer_stats){
        .batches = __atomic_load_n(&writer->batches, __ATOMIC_RELAXED),
        .writes = __atomic_load_n(&writer->writes, __ATOMIC_RELAXED),
        .commit_us = __atomic_load_n(&writer->commit_us, __ATOMIC_RELAXED),
        .queue = queue,
    };
}
