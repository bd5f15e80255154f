/* The machine's waits: pthread. Every return code is asserted: a lock that fails is a broken
 * invariant, for nobody could go on without it. */
#include "os/sync.h"

#include "base/err.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREAD_NAME_MAX = 15 };

/* Sanitizers blow up frames, so their builds get more room for the same depth of calls. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { THREAD_STACK_BYTES = 4 * 512 * 1024 };
#else
enum { THREAD_STACK_BYTES = 512 * 1024 };
#endif

struct thread {
    pthread_t pthread;
    void (*run)(void *subject);
    void *subject;
    char name[THREAD_NAME_MAX + 1];
};

static struct timespec timespec_of(int64_t mono_us)
{
    if (mono_us < 0)
        mono_us = 0;
    return (struct timespec){ .tv_sec = mono_us / 1000000, .tv_nsec = mono_us % 1000000 * 1000 };
}

/* Error-checking mutexes cost a nanosecond or two, and turn a hang or silent damage (taken twice,
 * dropped by another) into a report. */
static void machine_lock_init(struct lock *lock)
{
    pthread_mutexattr_t attr;
    int rc = pthread_mutexattr_init(&attr);
    ASSERT(rc == 0);
    rc = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    ASSERT(rc == 0);
    rc = pthread_mutex_init(&lock->mutex, &attr);
    ASSERT(rc == 0);
    (void)pthread_mutexattr_destroy(&attr);
    lock->holder = NULL;
}

static void machine_lock_done(struct lock *lock)
{
    int rc = pthread_mutex_destroy(&lock->mutex);
    ASSERT(rc == 0);
}

static void machine_lock_take(struct lock *lock)
{
    int rc = pthread_mutex_lock(&lock->mutex);
    ASSERT(rc == 0);
}

static void machine_lock_drop(struct lock *lock)
{
    int rc = pthread_mutex_unlock(&lock->mutex);
    ASSERT(rc == 0);
}

static void machine_cond_init(struct cond *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    ASSERT(rc == 0);
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    ASSERT(rc == 0);
    rc = pthread_cond_init(&cond->cond, &attr);
    ASSERT(rc == 0);
    (void)pthread_condattr_destroy(&attr);
    cond->sim_id = 0;
}

static void machine_cond_done(struct cond *cond)
{
    int rc = pthread_cond_destroy(&cond->cond);
    ASSERT(rc == 0);
}

static void machine_cond_wait(struct cond *cond, struct lock *lock)
{
    int rc = pthread_cond_wait(&cond->cond, &lock->mutex);
    ASSERT(rc == 0);
}

static bool machine_cond_wait_until(struct cond *cond, struct lock *lock, int64_t deadline_us)
{
    struct timespec deadline = timespec_of(deadline_us);
    int rc = pthread_cond_timedwait(&cond->cond, &lock->mutex, &deadline);
    ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

static void machine_cond_wake_one(struct cond *cond)
{
    int rc = pthread_cond_signal(&cond->cond);
    ASSERT(rc == 0);
}

static void machine_cond_wake_all(struct cond *cond)
{
    int rc = pthread_cond_broadcast(&cond->cond);
    ASSERT(rc == 0);
}

/* Our threads hand work to each other. One that is woken does not push aside the one that woke it:
 * where cores are short, writers then find whole batches instead of single writes. (Refused in some
 * sandboxes, which costs only that.) */
static void be_a_batch_thread(void)
{
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &(struct sched_param){ 0 });
}

static void *machine_thread_main(void *subject)
{
    struct thread *thread = subject;
    be_a_batch_thread();
    (void)pthread_setname_np(pthread_self(), thread->name); /* only a name: may fail */
    thread->run(thread->subject);
    return NULL;
}

/* All but the signals that a fault or abort() raises: if those were blocked, the kernel would kill
 * without a report. */
static void signals_to_block(sigset_t *set)
{
    static const int kept[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };

    sigfillset(set);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        sigdelset(set, kept[i]);
}

static struct thread *machine_thread_start(const char *name, void (*run)(void *), void *subject)
{
    struct thread *thread = calloc(1, sizeof(*thread));
    ASSERT(thread);
    thread->run = run;
    thread->subject = subject;
    memcpy(thread->name, name, strnlen(name, THREAD_NAME_MAX));

    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    ASSERT(rc == 0);
    rc = pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    ASSERT(rc == 0);

    /* The child inherits the mask, so no signal can reach it before it has blocked them itself. */
    sigset_t blocked, before;
    signals_to_block(&blocked);
    rc = pthread_sigmask(SIG_BLOCK, &blocked, &before);
    ASSERT(rc == 0);
    rc = pthread_create(&thread->pthread, &attr, &machine_thread_main, thread);
    ASSERT(rc == 0);
    rc = pthread_sigmask(SIG_SETMASK, &before, NULL);
    ASSERT(rc == 0);
    (void)pthread_attr_destroy(&attr);
    return thread;
}

static void machine_thread_join(struct thread *thread)
{
    int rc = pthread_join(thread->pthread, NULL);
    ASSERT(rc == 0);
    free(thread);
}

static void machine_sleep_until(int64_t deadline_us)
{
    struct timespec deadline = timespec_of(deadline_us);
    int rc;
    do {
        rc = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
    } while (rc == EINTR);
    ASSERT(rc == 0);
}

static void machine_yield(void) {}

const struct sync_ops sync_machine = {
    .lock_init = &machine_lock_init,
    .lock_done = &machine_lock_done,
    .lock_take = &machine_lock_take,
    .lock_drop = &machine_lock_drop,
    .cond_init = &machine_cond_init,
    .cond_done = &machine_cond_done,
    .cond_wait = &machine_cond_wait,
    .cond_wait_until = &machine_cond_wait_until,
    .cond_wake_one = &machine_cond_wake_one,
    .cond_wake_all = &machine_cond_wake_all,
    .thread_start = &machine_thread_start,
    .thread_join = &machine_thread_join,
    .sleep_until = &machine_sleep_until,
    .yield = &machine_yield,
};

/* The table in use: a plain pointer, for it changes only while there is one thread. */
static const struct sync_ops *sync_now = &sync_machine;

void sync_use(const struct sync_ops *ops)
{
    ASSERT(ops && ops->lock_take && ops->cond_wait && ops->thread_start && ops->yield);
    sync_now = ops;
}

void lock_init(struct lock *lock)
{
    ASSERT(lock);
    sync_now->lock_init(lock);
}

void lock_done(struct lock *lock)
{
    ASSERT(lock);
    sync_now->lock_done(lock);
}

void lock_take(struct lock *lock)
{
    ASSERT(lock);
    sync_now->lock_take(lock);
}

void lock_drop(struct lock *lock)
{
    ASSERT(lock);
    sync_now->lock_drop(lock);
}

void cond_init(struct cond *cond)
{
    ASSERT(cond);
    sync_now->cond_init(cond);
}

void cond_done(struct cond *cond)
{
    ASSERT(cond);
    sync_now->cond_done(cond);
}

void cond_wait(struct cond *cond, struct lock *lock)
{
    ASSERT(cond && lock);
    sync_now->cond_wait(cond, lock);
}

bool cond_wait_until(struct cond *cond, struct lock *lock, int64_t deadline_us)
{
    ASSERT(cond && lock);
    return sync_now->cond_wait_until(cond, lock, deadline_us);
}

void cond_wake_one(struct cond *cond)
{
    ASSERT(cond);
    sync_now->cond_wake_one(cond);
}

void cond_wake_all(struct cond *cond)
{
    ASSERT(cond);
    sync_now->cond_wake_all(cond);
}

struct thread *thread_start(const char *name, void (*run)(void *subject), void *subject)
{
    ASSERT(name && *name && run);
    return sync_now->thread_start(name, run, subject);
}

void thread_join(struct thread *thread)
{
    ASSERT(thread);
    sync_now->thread_join(thread);
}

void thread_be_ours(void)
{
    if (sync_now == &sync_machine)
        be_a_batch_thread();
}

void thread_be_last(void)
{
    if (sync_now == &sync_machine) /* who refuses it costs speed in a flood, and nothing else */
        (void)pthread_setschedparam(pthread_self(), SCHED_IDLE, &(struct sched_param){ 0 });
}

void sleep_until(int64_t deadline_us) { sync_now->sleep_until(deadline_us); }

void sync_yield(void) { sync_now->yield(); }
