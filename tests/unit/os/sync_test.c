#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"

#include <sched.h>
#include <time.h>

enum { THREADS = 4, ROUNDS = 20000 };

struct shared {
    struct lock lock;
    struct cond changed;
    int64_t counter;
    int waiting, passed;
    bool open;
};

static void shared_init(struct shared *shared)
{
    memset(shared, 0, sizeof *shared);
    lock_init(&shared->lock);
    cond_init(&shared->changed);
}

static void shared_done(struct shared *shared)
{
    cond_done(&shared->changed);
    lock_done(&shared->lock);
}

static void count_up(void *subject)
{
    struct shared *shared = subject;
    for (int i = 0; i < ROUNDS; i++) {
        lock_take(&shared->lock);
        shared->counter++;
        lock_drop(&shared->lock);
    }
}

TEST(a_lock_lets_one_in_at_a_time)
{
    struct shared shared;
    shared_init(&shared);
    struct thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = thread_start("counts", &count_up, &shared);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    CHECK_INT(shared.counter, THREADS * ROUNDS);
    shared_done(&shared);
}

static void pass_gate(void *subject)
{
    struct shared *shared = subject;
    lock_take(&shared->lock);
    shared->waiting++;
    while (!shared->open)
        cond_wait(&shared->changed, &shared->lock);
    shared->passed++;
    lock_drop(&shared->lock);
}

TEST(wake_all_wakes_all_who_wait)
{
    struct shared shared;
    shared_init(&shared);
    struct thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = thread_start("passes", &pass_gate, &shared);
    for (bool all = false; !all; sleep_until(clock_mono_us() + 1000)) {
        lock_take(&shared.lock);
        all = shared.waiting == THREADS;
        CHECK_INT(shared.passed, 0);
        lock_drop(&shared.lock);
    }
    lock_take(&shared.lock);
    shared.open = true;
    lock_drop(&shared.lock);
    cond_wake_all(&shared.changed);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    CHECK_INT(shared.passed, THREADS);
    shared_done(&shared);
}

/* Throws a ball back and forth: each wake-up must reach the one who waits. */
static void throw_back(void *subject)
{
    struct shared *shared = subject;
    lock_take(&shared->lock);
    while (shared->counter < 2000) {
        while (shared->counter % 2 == 0)
            cond_wait(&shared->changed, &shared->lock);
        shared->counter++;
        cond_wake_one(&shared->changed);
    }
    lock_drop(&shared->lock);
}

TEST(wake_one_reaches_the_one_who_waits)
{
    struct shared shared;
    shared_init(&shared);
    struct thread *thread = thread_start("throws", &throw_back, &shared);
    lock_take(&shared.lock);
    while (shared.counter < 2000) {
        while (shared.counter % 2 == 1)
            cond_wait(&shared.changed, &shared.lock);
        shared.counter++;
        cond_wake_one(&shared.changed);
    }
    lock_drop(&shared.lock);
    thread_join(thread);
    CHECK_INT(shared.counter, 2001);
    shared_done(&shared);
}

TEST(a_wait_ends_at_its_deadline)
{
    struct shared shared;
    shared_init(&shared);
    int64_t deadline = clock_mono_us() + 20000;
    lock_take(&shared.lock);
    while (cond_wait_until(&shared.changed, &shared.lock, deadline))
        ;
    CHECK(clock_mono_us() >= deadline);
    CHECK(!cond_wait_until(&shared.changed, &shared.lock, 0));
    CHECK(!cond_wait_until(&shared.changed, &shared.lock, -1));
    lock_drop(&shared.lock);
    shared_done(&shared);
}

TEST(a_wait_that_is_woken_before_its_deadline_says_so)
{
    struct shared shared;
    shared_init(&shared);
    struct thread *thread = thread_start("passes", &pass_gate, &shared);
    lock_take(&shared.lock);
    shared.open = true;
    lock_drop(&shared.lock);
    cond_wake_all(&shared.changed);
    thread_join(thread);

    thread = thread_start("counts", &count_up, &shared);
    bool in_time = true;
    lock_take(&shared.lock);
    while (shared.counter < ROUNDS && in_time)
        in_time = cond_wait_until(&shared.changed, &shared.lock, clock_mono_us() + 100);
    lock_drop(&shared.lock);
    thread_join(thread);
    CHECK(!in_time || shared.counter == ROUNDS);
    shared_done(&shared);
}

TEST(sleep_lasts_until_its_time_and_not_at_all_after_it)
{
    int64_t deadline = clock_mono_us() + 10000;
    sleep_until(deadline);
    CHECK(clock_mono_us() >= deadline);
    sleep_until(0);
    sleep_until(-5);
    sync_yield();
}

struct seen {
    char name[16];
    sigset_t mask;
    size_t stack_bytes;
    bool runs;
};

static void look_around(void *subject)
{
    struct seen *seen = subject;
    seen->runs = true;
    (void)pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen->mask);
    pthread_attr_t attr;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        (void)pthread_attr_getstacksize(&attr, &seen->stack_bytes);
        (void)pthread_attr_destroy(&attr);
    }
}

TEST(a_thread_has_its_name_and_its_stack)
{
    struct seen seen = { .runs = false };
    thread_join(thread_start("sweeper-1", &look_around, &seen));
    CHECK(seen.runs);
    CHECK_STR(seen.name, "sweeper-1");
    CHECK(seen.stack_bytes >= 512 * 1024);

    thread_join(thread_start("a name that is too long to show", &look_around, &seen));
    CHECK_STR(seen.name, "a name that is ");
}

TEST(a_thread_blocks_signals_but_not_those_of_faults)
{
    struct seen seen = { .runs = false };
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    thread_join(thread_start("masked", &look_around, &seen));
    pthread_sigmask(SIG_SETMASK, NULL, &after);

    CHECK(sigismember(&seen.mask, SIGTERM) && sigismember(&seen.mask, SIGHUP));
    CHECK(sigismember(&seen.mask, SIGPIPE) && sigismember(&seen.mask, SIGALRM));
    CHECK(!sigismember(&seen.mask, SIGSEGV) && !sigismember(&seen.mask, SIGABRT));
    CHECK_INT(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

static void take_twice(void)
{
    struct lock lock;
    lock_init(&lock);
    lock_take(&lock);
    lock_take(&lock);
}

static void drop_what_is_free(void)
{
    struct lock lock;
    lock_init(&lock);
    lock_drop(&lock);
}

static void undo_while_held(void)
{
    struct lock lock;
    lock_init(&lock);
    lock_take(&lock);
    lock_done(&lock);
}

TEST(misuse_of_a_lock_is_a_broken_invariant)
{
    CHECK_PANICS(take_twice());
    CHECK_PANICS(drop_what_is_free());
    CHECK_PANICS(undo_while_held());
    CHECK_PANICS(lock_take(NULL));
    CHECK_PANICS((void)thread_start("", &look_around, NULL));
}

static void *take_part(void *subject)
{
    int *policies = subject;
    policies[0] = sched_getscheduler(0);
    thread_be_ours();
    policies[1] = sched_getscheduler(0);
    thread_be_last();
    policies[2] = sched_getscheduler(0);
    return NULL;
}

static void note_policy(void *policy) { *(int *)policy = sched_getscheduler(0); }

TEST(threads_share_the_processor_as_ours_do)
{
    int policies[3], of_started;
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, take_part, policies), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    thread_join(thread_start("started", note_policy, &of_started));
    CHECK_INT(policies[0], SCHED_OTHER);
    CHECK_INT(policies[1], SCHED_BATCH);
    CHECK_INT(policies[2], SCHED_IDLE);
    CHECK_INT(of_started, SCHED_BATCH);
}

static int taken, dropped;
static void count_take(struct lock *lock) { taken++, sync_machine.lock_take(lock); }
static void count_drop(struct lock *lock) { dropped++, sync_machine.lock_drop(lock); }

TEST(sync_use_replaces_the_table)
{
    struct sync_ops counting = sync_machine;
    counting.lock_take = &count_take;
    counting.lock_drop = &count_drop;
    sync_use(&counting);
    struct shared shared;
    shared_init(&shared);
    count_up(&shared);
    shared_done(&shared);
    sync_use(&sync_machine);
    CHECK_INT(taken, ROUNDS);
    CHECK_INT(dropped, ROUNDS);
}
