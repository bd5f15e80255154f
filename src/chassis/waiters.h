/* Calls that wait for their subject to settle: woken by the write that fixes the answer, or by
 * their time.
 *
 * Whoever takes a waiter out of the table owns it. A waiter counts as waiting only once its write
 * is on disk. */
#pragma once
#include "base/uuid.h"
#include "os/sync.h"

struct waiter {
    struct uuid subject;
    int64_t until_us; /* monotonic */
    bool on_disk;     /* its own write is committed (or it has none) */
    bool waiting;     /* in the table */
    bool called;      /* elsewhere its subject was said to have settled before it was on disk */
    struct waiter *next;
};

enum { WAITERS_BUCKETS = 1024 };

struct waiters {
    struct lock lock;
    struct waiter *buckets[WAITERS_BUCKETS];
    int count;
};

/* Makes an embedded table, and undoes it when nobody waits in it. */
void waiters_init(struct waiters *waiters);
void waiters_done(struct waiters *waiters);

/* Puts a waiter in. Several may wait for one subject. */
void waiters_add(struct waiters *waiters, struct waiter *waiter);

/* Its write is on disk: it may run out of time from now on. Where it was called before, it is taken
 * out: true. */
bool waiters_on_disk(struct waiters *waiters, struct waiter *waiter);

/* Takes one waiter out; false if somebody else did: then it may be gone, and is not looked at. */
bool waiters_drop(struct waiters *waiters, struct uuid subject, const struct waiter *waiter);

/* Takes out all that wait for the subject, linked by `next`. */
struct waiter *waiters_take(struct waiters *waiters, struct uuid subject);

/* The same for those whose write is on disk; the others are noted as called. */
struct waiter *waiters_call(struct waiters *waiters, struct uuid subject);

/* The subjects of those whose write is on disk, at most `max`; gives how many. */
size_t waiters_subjects(struct waiters *waiters, struct uuid *subjects, size_t max);

/* Takes out all whose time is up (all, with INT64_MAX), linked by `next`. */
struct waiter *waiters_take_due(struct waiters *waiters, int64_t now_us);

/* Nobody waits for its answer any more: its time is up as soon as its write is on disk. False where
 * it is not in the table. It is only compared, never looked into, unless it is there. */
bool waiters_hurry(struct waiters *waiters, const struct waiter *waiter);

/* How many wait. */
int waiters_count(struct waiters *waiters);
