/* Locks, conditions, threads and sleep: every wait of the house goes through here.
 *
 * Two implementations stand behind one table: the machine's (pthread), and the simulator's baton,
 * where exactly one thread runs and each wait hands the baton to a seeded scheduler with a virtual
 * clock (tests/sim). sync_use() picks one before the first lock is made. A lock is not recursive.
 * Fork is not supported. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
    pthread_mutex_t mutex; /* the machine's */
    void *holder;          /* the simulator's: which thread has it */
};

struct cond {
    pthread_cond_t cond; /* waits by the monotonic clock */
    uint64_t sim_id;     /* the simulator's name for it */
};

struct thread; /* opaque */

/* What a set of waits must be able to do. */
struct sync_ops {
    void (*lock_init)(struct lock *);
    void (*lock_done)(struct lock *);
    void (*lock_take)(struct lock *);
    void (*lock_drop)(struct lock *);
    void (*cond_init)(struct cond *);
    void (*cond_done)(struct cond *);
    void (*cond_wait)(struct cond *, struct lock *);
    /* false: the time came */
    bool (*cond_wait_until)(struct cond *, struct lock *, int64_t deadline_mono_us);
    void (*cond_wake_one)(struct cond *);
    void (*cond_wake_all)(struct cond *);
    struct thread *(*thread_start)(const char *name, void (*run)(void *), void *subject);
    void (*thread_join)(struct thread *);
    void (*sleep_until)(int64_t deadline_mono_us);
    void (*yield)(void);
};

extern const struct sync_ops sync_machine;

/* Replaces the table for the whole process; before any lock, condition or thread is made. */
void sync_use(const struct sync_ops *ops);

/* Makes an embedded lock, and undoes it when nobody holds it. */
void lock_init(struct lock *);
void lock_done(struct lock *);

/* Waits for the lock; only the thread that took it drops it. */
void lock_take(struct lock *);
void lock_drop(struct lock *);

/* Makes an embedded condition, and undoes it when nobody waits on it. */
void cond_init(struct cond *);
void cond_done(struct cond *);

/* Waits until woken (or for no reason: check again). The lock is held before and after. */
void cond_wait(struct cond *, struct lock *);

/* The same; false once the monotonic time `deadline_us` has come. */
bool cond_wait_until(struct cond *, struct lock *, int64_t deadline_us);

/* Wakes one of those who wait, or all; with or without the lock. */
void cond_wake_one(struct cond *);
void cond_wake_all(struct cond *);

/* Starts a thread of 512 KiB stack with all signals blocked, except those by which a fault or
 * abort() ends the process. The first 15 bytes of `name` show in gdb and top. Never fails: a
 * process that cannot have its threads ends. */
struct thread *thread_start(const char *name, void (*run)(void *subject), void *subject);

/* Waits for its end and frees it. */
void thread_join(struct thread *);

/* Makes the calling thread, which thread_start did not begin (main), share the processor as those
 * do that it begins (SCHED_BATCH): one that pushes others aside is itself made to wait longer for
 * its next turn, 3 ms beside two that hash. In the simulator this means nothing. */
void thread_be_ours(void);

/* From here on the calling thread computes only when no other thread wants the processor, and is
 * put aside at once by one that does (SCHED_IDLE of sched(7)). For good: without privilege there is
 * no way back. In the simulator this means nothing. */
void thread_be_last(void);

/* Sleeps until the monotonic time. */
void sleep_until(int64_t deadline_us);

/* A place where the simulator may switch; nothing on the machine. */
void sync_yield(void);
