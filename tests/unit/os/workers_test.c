#include "os/clock.h"
#include "os/workers.h"
#include "tests/lib/test.h"
#include "tests/sim/baton.h"

enum { MS = 1000, WORKS_MAX = 64 };

/* A work that sleeps, and notes when it ran. */
struct job {
    struct work work;
    int64_t takes_us;
    int *turns;
    int turn; /* the how-manieth that ran, from 1 on */
    int64_t began_us;
};

static void job_run(struct work *work)
{
    struct job *job = (struct job *)work;
    job->turn = __atomic_add_fetch(job->turns, 1, __ATOMIC_RELAXED);
    job->began_us = clock_mono_us();
    if (job->takes_us > 0)
        sleep_until(job->began_us + job->takes_us);
}

static struct job *jobs_make(struct test *t, int count, int64_t takes_us)
{
    struct job *jobs = arena_array(t->arena, struct job, (size_t)count);
    int *turns = arena_new(t->arena, int);
    for (int i = 0; i < count; i++)
        jobs[i] = (struct job){ .work.run = &job_run, .takes_us = takes_us, .turns = turns };
    return jobs;
}

/* Waits until the pool has taken all that it was given. */
static void wait_until_taken(struct workers *pool)
{
    while (workers_queue_length(pool) > 0)
        sleep_until(clock_mono_us() + MS);
}

TEST(every_work_runs_once)
{
    enum { COUNT = 5000 };
    struct job *jobs = jobs_make(t, COUNT, 0);
    struct workers *pool = workers_open("test", 4, COUNT);
    for (int i = 0; i < COUNT; i++) {
        /* Normal work may be refused, if this machine is busy enough to stall the pool. */
        if (!workers_submit(pool, &jobs[i].work, i % 3 == 0 ? WORK_URGENT : WORK_NORMAL))
            workers_resume(pool, &jobs[i].work);
    }
    workers_close(pool);
    CHECK_INT(*jobs->turns, COUNT);
    for (int i = 0; i < COUNT; i++)
        CHECK(jobs[i].turn > 0);
}

TEST(closing_runs_what_is_queued)
{
    baton_start(1);
    struct job *jobs = jobs_make(t, 20, 10 * MS);
    struct workers *pool = workers_open("test", 2, 20);
    for (int i = 0; i < 20; i++)
        CHECK(workers_submit(pool, &jobs[i].work, WORK_URGENT));
    workers_close(pool);
    workers_close(NULL);
    CHECK_INT(*jobs->turns, 20);
    baton_stop();
}

TEST(as_many_threads_wake_as_there_is_work)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        baton_start(seed);
        struct job *jobs = jobs_make(t, 4, 10 * MS);
        struct workers *pool = workers_open("test", 4, 4);
        sleep_until(clock_mono_us() + MS); /* all wait */
        for (int i = 0; i < 4; i++)
            CHECK(workers_submit(pool, &jobs[i].work, WORK_URGENT));
        sleep_until(clock_mono_us() + MS);
        CHECK_INT(*jobs->turns, 4); /* all at once, and not because closing woke them */
        workers_close(pool);
        baton_stop();
    }
}

TEST(works_run_in_the_order_they_came)
{
    baton_start(2);
    struct job *jobs = jobs_make(t, 20, MS);
    struct workers *pool = workers_open("test", 1, 20);
    for (int i = 0; i < 20; i++)
        CHECK(workers_submit(pool, &jobs[i].work, WORK_NORMAL));
    workers_close(pool);
    for (int i = 0; i < 20; i++)
        CHECK_INT(jobs[i].turn, i + 1);
    baton_stop();
}

TEST(a_full_queue_refuses_both_urgencies)
{
    baton_start(3);
    struct job *jobs = jobs_make(t, 20, 10 * MS);
    struct workers *pool = workers_open("test", 1, 3);
    CHECK(workers_submit(pool, &jobs[0].work, WORK_NORMAL));
    wait_until_taken(pool);
    for (int i = 1; i <= 3; i++)
        CHECK(workers_submit(pool, &jobs[i].work, i % 2 ? WORK_NORMAL : WORK_URGENT));
    CHECK_INT(workers_queue_length(pool), 3);
    CHECK(!workers_submit(pool, &jobs[4].work, WORK_NORMAL));
    CHECK(!workers_submit(pool, &jobs[5].work, WORK_URGENT));
    workers_resume(pool, &jobs[6].work);
    CHECK_INT(workers_queue_length(pool), 4);
    workers_close(pool);
    CHECK_INT(*jobs->turns, 5);
    CHECK_INT(jobs[4].turn + jobs[5].turn, 0);
    baton_stop();
}

/* The pool knows the pace of such jobs then; gives how many it took. */
static int taught(struct workers *pool, struct job *jobs, int count)
{
    for (int i = 0; i < count; i++) {
        CHECK(workers_submit(pool, &jobs[i].work, WORK_NORMAL));
        wait_until_taken(pool);
    }
    return count;
}

TEST(normal_work_is_refused_when_the_pace_says_it_would_wait_too_long)
{
    baton_start(4);
    enum { COUNT = 100 };
    struct job *jobs = jobs_make(t, COUNT, 20 * MS);
    struct workers *pool = workers_open("test", 2, COUNT);
    int next = taught(pool, jobs, 60);
    int accepted = 0;
    while (next < 95 && workers_submit(pool, &jobs[next].work, WORK_NORMAL))
        next++, accepted++;
    /* 250 ms * 2 threads / 20 ms = 25 may wait. */
    CHECK(accepted >= 23 && accepted <= 30);
    CHECK(workers_submit(pool, &jobs[95].work, WORK_URGENT));
    sleep_until(clock_mono_us() + 100 * MS);
    CHECK(!workers_submit(pool, &jobs[96].work, WORK_NORMAL)); /* a queue that stands */
    sleep_until(clock_mono_us() + 280 * MS);
    CHECK(workers_submit(pool, &jobs[96].work, WORK_NORMAL)); /* room again */
    workers_close(pool);
    for (int i = 60; i < next; i++)
        CHECK(jobs[i].began_us - jobs[i].work.submitted_us < 320 * MS);
    baton_stop();
}

static int submit_all(struct workers *pool, struct job *jobs, int count)
{
    int taken = 0;
    while (taken < count && workers_submit(pool, &jobs[taken].work, WORK_NORMAL))
        taken++;
    return taken;
}

TEST(a_burst_may_wait_longer_than_a_queue_that_stands)
{
    baton_start(8);
    enum { COUNT = 60 };
    struct job *jobs = jobs_make(t, 4 * COUNT, 20 * MS);
    struct workers *pool = workers_open("test", 2, COUNT);
    int next = taught(pool, jobs, COUNT);
    int burst = submit_all(pool, jobs + next, COUNT);
    CHECK(burst >= 23 && burst <= 30); /* 250 ms */
    next += burst;
    for (int i = 0; i < 50; i++) { /* more comes than is done */
        sleep_until(clock_mono_us() + 20 * MS);
        next += submit_all(pool, jobs + next, 4 * COUNT - next < 3 ? 0 : 3);
    }
    CHECK(workers_queue_age_us(pool) <= 60 * MS);
    wait_until_taken(pool);
    int again = submit_all(pool, jobs + next, 4 * COUNT - next);
    CHECK(again >= 2 && again <= 6); /* nothing waits, but some was refused just now */
    next += again;
    sleep_until(clock_mono_us() + 1100 * MS);
    again = submit_all(pool, jobs + next, 4 * COUNT - next);
    CHECK(again >= 23 && again <= 30); /* a burst may again */
    workers_close(pool);
    baton_stop();
}

/* Sixteen wait for 160 ms, and as many come as are done. */
TEST(a_queue_that_is_never_empty_stands_though_none_was_refused)
{
    baton_start(9);
    enum { COUNT = 60 };
    struct job *jobs = jobs_make(t, 4 * COUNT, 20 * MS);
    struct workers *pool = workers_open("test", 2, COUNT);
    int next = taught(pool, jobs, COUNT);
    for (int i = 0; i < 16; i++)
        CHECK(workers_submit(pool, &jobs[next++].work, WORK_NORMAL));
    for (int64_t waited_ms = 0; waited_ms < 200; waited_ms += 20) {
        sleep_until(clock_mono_us() + 20 * MS);
        for (int i = 0; i < 2; i++)
            CHECK(workers_submit(pool, &jobs[next++].work, WORK_NORMAL));
    }
    CHECK(workers_queue_age_us(pool) >= 120 * MS); /* so a burst of so many would have room */
    sleep_until(clock_mono_us() + 60 * MS);
    CHECK(!workers_submit(pool, &jobs[next].work, WORK_NORMAL));
    wait_until_taken(pool);
    int after = submit_all(pool, jobs + next, COUNT);
    CHECK(after >= 2 && after <= 6); /* 25 ms, for a second */
    workers_close(pool);
    baton_stop();
}

TEST(normal_work_is_refused_while_the_threads_hang)
{
    baton_start(5);
    struct job *jobs = jobs_make(t, 10, 3000 * MS);
    struct workers *pool = workers_open("test", 1, 100);
    CHECK(workers_submit(pool, &jobs[0].work, WORK_NORMAL));
    wait_until_taken(pool);
    CHECK(workers_submit(pool, &jobs[1].work, WORK_NORMAL)); /* no pace is known yet */
    sleep_until(clock_mono_us() + 240 * MS);
    CHECK(workers_submit(pool, &jobs[2].work, WORK_NORMAL));
    sleep_until(clock_mono_us() + 20 * MS);
    CHECK(!workers_submit(pool, &jobs[3].work, WORK_NORMAL));
    CHECK(workers_submit(pool, &jobs[4].work, WORK_URGENT));
    int64_t age_us = workers_queue_age_us(pool);
    CHECK(age_us >= 260 * MS && age_us < 270 * MS);
    workers_close(pool);
    baton_stop();
}

TEST(a_straggler_does_not_close_the_door)
{
    baton_start(6);
    struct job *jobs = jobs_make(t, 40, MS);
    jobs[0].takes_us = INT64_C(600) * 1000 * MS;
    struct workers *pool = workers_open("test", 2, 100);
    CHECK(workers_submit(pool, &jobs[0].work, WORK_NORMAL));
    sleep_until(clock_mono_us() + INT64_C(700) * 1000 * MS);
    for (int i = 1; i < 8; i++)
        CHECK(workers_submit(pool, &jobs[i].work, WORK_NORMAL));
    workers_close(pool);
    baton_stop();
}

TEST(an_idle_pool_always_takes_work)
{
    baton_start(7);
    struct job *jobs = jobs_make(t, 20, 2000 * MS);
    struct workers *pool = workers_open("test", 1, 10);
    for (int i = 0; i < 20; i++) {
        CHECK(workers_submit(pool, &jobs[i].work, WORK_NORMAL));
        sleep_until(clock_mono_us() + 2100 * MS);
        CHECK_INT(workers_queue_age_us(pool), 0);
    }
    workers_close(pool);
    baton_stop();
}

TEST(urgent_work_goes_first_but_one_in_16_is_normal)
{
    baton_start(8);
    enum { NORMAL = 4, URGENT = 60 };
    struct job *jobs = jobs_make(t, 1 + NORMAL + URGENT, MS);
    struct workers *pool = workers_open("test", 1, 100);
    CHECK(workers_submit(pool, &jobs[0].work, WORK_URGENT));
    wait_until_taken(pool);
    for (int i = 1; i <= NORMAL; i++)
        CHECK(workers_submit(pool, &jobs[i].work, WORK_NORMAL));
    for (int i = NORMAL + 1; i <= NORMAL + URGENT; i++)
        CHECK(workers_submit(pool, &jobs[i].work, WORK_URGENT));
    workers_close(pool);
    for (int i = 1; i <= NORMAL; i++)
        CHECK_INT(jobs[i].turn, 1 + 16 * i);
    baton_stop();
}

/* A work that comes back a few times by itself, as a call does that is parked and resumed. */
struct returning {
    struct work work;
    struct workers *pool;
    int left;
    bool refused;
};

static void returning_run(struct work *work)
{
    struct returning *self = (struct returning *)work;
    sleep_until(clock_mono_us() + MS);
    if (self->left-- > 0)
        workers_resume(self->pool, work);
    else
        self->refused = !workers_submit(self->pool, work, WORK_URGENT);
}

TEST(work_may_come_back_while_the_pool_closes_but_new_work_may_not)
{
    baton_start(9);
    struct workers *pool = workers_open("test", 3, 1);
    struct returning self = { .work.run = &returning_run, .pool = pool, .left = 50 };
    CHECK(workers_submit(pool, &self.work, WORK_NORMAL));
    workers_close(pool);
    CHECK_INT(self.left, -1);
    CHECK(self.refused);
    baton_stop();
}

static int wakes;

static void count_wake(struct cond *cond)
{
    wakes++;
    sync_machine.cond_wake_one(cond);
}

static void hold_thread(struct work *work)
{
    (void)work;
    sleep_until(clock_mono_us() + 50 * MS);
}

TEST(handing_over_to_busy_threads_wakes_nobody)
{
    struct sync_ops counting = sync_machine;
    counting.cond_wake_one = &count_wake;
    sync_use(&counting);
    wakes = 0;
    struct job *jobs = jobs_make(t, WORKS_MAX, 0);
    struct work busy[2] = { { .run = &hold_thread }, { .run = &hold_thread } };
    struct workers *pool = workers_open("test", 2, 2 * WORKS_MAX);
    CHECK(workers_submit(pool, &busy[0], WORK_URGENT));
    CHECK(workers_submit(pool, &busy[1], WORK_URGENT));
    wait_until_taken(pool);
    int wakes_before = wakes;
    int64_t before_us = clock_mono_us();
    for (int i = 0; i < WORKS_MAX; i++)
        CHECK(workers_submit(pool, &jobs[i].work, WORK_URGENT));
    bool in_time = clock_mono_us() - before_us < 20 * MS; /* else the threads may sleep again */
    int wakes_after = wakes;
    workers_close(pool);
    sync_use(&sync_machine);
    CHECK(wakes_before <= 2);
    CHECK(!in_time || wakes_after == wakes_before);
    CHECK_INT(*jobs->turns, WORKS_MAX);
}

TEST(a_pool_needs_a_name_threads_and_room)
{
    CHECK_PANICS((void)workers_open("", 1, 1));
    CHECK_PANICS((void)workers_open("test", 0, 1));
    CHECK_PANICS((void)workers_open("test", 1, 0));
    CHECK_PANICS((void)workers_submit(NULL, NULL, WORK_NORMAL));
}
