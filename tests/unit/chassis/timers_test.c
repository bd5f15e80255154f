#include "counter.h"
#include "os/clock.h"

enum { MS = 1000, HOUR_MS = 3600 * 1000 };

/* A job that notes its runs. */
struct job {
    struct test *t;
    int runs; /* atomic */
    int64_t takes_us;
    bool fails, huge, writes, rests;
    int64_t rests_us;    /* 0: for ever */
    struct timer *pokes; /* once, while it runs */
};

static err job_run(void *self, struct call *call)
{
    struct job *job = self;
    int runs = __atomic_add_fetch(&job->runs, 1, __ATOMIC_RELAXED);
    ASSERT(call->now > 0 && !call->spec && !call->write);
    if (job->pokes && runs == 1)
        timer_poke(job->pokes);
    if (job->writes)
        TRY(job_write(call, write_new(call->arena, NULL, NULL)));
    if (job->rests)
        job_rest(call, job->rests_us ? call->now + job->rests_us : INT64_MAX);
    if (job->takes_us)
        sleep_until(clock_mono_us() + job->takes_us);
    if (job->huge)
        arena_alloc(call->arena, 64 << 20, 1);
    return job->fails ? fail(call->arena, DB_FAILED, "as the test says") : OK;
}

static struct job *job_of(struct test *t)
{
    struct job *job = arena_new(t->arena, struct job);
    job->t = t;
    return job;
}

static int runs_of(const struct job *job) { return __atomic_load_n(&job->runs, __ATOMIC_RELAXED); }

static struct timer *every(struct counter *counter, uint32_t interval_ms, struct job *job)
{
    return timers_add(counter->service->timers, "test", interval_ms, job_run, job);
}

static void rest(int ms) { sleep_until(clock_mono_us() + ms * (int64_t)MS); }

static void wait_runs(const struct job *job, int runs)
{
    int64_t deadline_us = clock_mono_us() + 20 * TIME_SECOND;
    while (runs_of(job) < runs && clock_mono_us() < deadline_us)
        rest(1);
    CHECK(runs_of(job) >= runs);
}

TEST(a_timer_runs_at_the_start_and_then_at_each_interval)
{
    struct counter *counter = counter_open(t);
    struct job *often = job_of(t), *seldom = job_of(t);
    every(counter, 10, often);
    every(counter, HOUR_MS, seldom);
    int64_t began_us = clock_mono_us();
    counter_start(counter);
    wait_runs(often, 10);
    CHECK(clock_mono_us() - began_us >= 90 * MS);
    CHECK_INT(runs_of(seldom), 1);
}

TEST(a_poke_runs_a_timer_at_once)
{
    struct counter *counter = counter_open(t);
    struct job *job = job_of(t);
    struct timer *timer = every(counter, HOUR_MS, job);
    counter_start(counter);
    wait_runs(job, 1);
    for (int i = 2; i < 6; i++) {
        timer_poke(timer);
        wait_runs(job, i);
    }
    rest(20);
    CHECK_INT(runs_of(job), 5);
}

TEST(a_poke_while_the_job_runs_makes_it_run_once_more)
{
    struct counter *counter = counter_open(t);
    struct job *job = job_of(t);
    job->pokes = every(counter, HOUR_MS, job);
    counter_start(counter);
    wait_runs(job, 2);
    rest(20);
    CHECK_INT(runs_of(job), 2);
}

TEST(a_job_that_fails_is_run_again_and_hinders_nobody)
{
    struct counter *counter = counter_open(t);
    struct job *bad = job_of(t), *huge = job_of(t), *good = job_of(t), *late = job_of(t);
    bad->fails = true;
    huge->huge = late->huge = late->writes = true; /* one of them after it has written */
    every(counter, 10, bad);
    every(counter, 10, huge);
    every(counter, 10, late);
    every(counter, 10, good);
    counter_start(counter);
    wait_runs(bad, 5);
    wait_runs(huge, 5);
    wait_runs(late, 5);
    wait_runs(good, 5);
}

TEST(a_job_that_is_always_due_does_not_keep_others_from_running)
{
    struct counter *counter = counter_open(t);
    struct job *greedy = job_of(t), *modest = job_of(t);
    greedy->takes_us = 5 * MS;
    every(counter, 1, greedy);
    every(counter, 20, modest);
    counter_start(counter);
    wait_runs(modest, 5);
    CHECK(runs_of(greedy) > 1);
}

TEST(after_the_stop_nothing_runs_any_more)
{
    struct counter *counter = counter_open(t);
    struct job *job = job_of(t);
    struct timer *timer = every(counter, 1, job);
    counter_start(counter);
    wait_runs(job, 3);
    bus_stop(counter->house.bus);
    service_stop(counter->service);
    int runs = runs_of(job);
    timer_poke(timer);
    rest(20);
    CHECK_INT(runs_of(job), runs);
}

/* Begun at whatever moment of the watch, also when it has just found nobody. */
TEST(every_call_that_waits_has_its_time_watched_whenever_it_began)
{
    enum { CALLS = 150 };
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, ROLE_BIT_CUSTOMER);
    struct inline_pending *pending[CALLS];
    for (int i = 0; i < CALLS; i++) {
        const char *key = str_z(t->arena, str_format(t->arena, "Idempotency-Key: key-%d", i));
        const char *const headers[] = { key, "Prefer: wait=1", NULL };
        pending[i] =
            inline_send(&user, "POST", "/things", headers, STR("{\"sku\":\"mug\",\"quantity\":1}"));
        if (i % 3 == 0)
            rest(i % 23);
    }
    for (int i = 0; i < CALLS; i++)
        CHECK_STATUS(inline_wait(pending[i]), 202);
}

/* Something is committed, by a write that has nothing to do with the timer. */
static void commit(struct counter *counter)
{
    err outcome;
    struct write *write = write_new(counter->t->arena, NULL, NULL);
    CHECK_INT(writer_submit_and_wait(service_writer(counter->service), write, &outcome),
              WRITE_DONE);
    CHECK_OK(outcome);
}

TEST(a_timer_that_rests_runs_again_only_after_a_commit)
{
    struct counter *counter = counter_open(t);
    struct job *sleeper = job_of(t), *other = job_of(t);
    sleeper->rests = true;
    every(counter, 5, sleeper);
    every(counter, 5, other);
    counter_start(counter);
    wait_runs(other, 20);
    CHECK_INT(runs_of(sleeper), 1);
    commit(counter);
    wait_runs(sleeper, 2);
    int runs = runs_of(other);
    wait_runs(other, runs + 20);
    CHECK_INT(runs_of(sleeper), 2);
}

TEST(a_timer_that_rests_runs_when_its_time_has_come_and_when_it_is_poked)
{
    struct counter *counter = counter_open(t);
    struct job *short_one = job_of(t), *poked = job_of(t);
    short_one->rests = poked->rests = true;
    short_one->rests_us = 50 * MS;
    every(counter, 5, short_one);
    struct timer *timer = every(counter, 5, poked);
    int64_t began_us = clock_mono_us();
    counter_start(counter);
    wait_runs(short_one, 4);
    CHECK(clock_mono_us() - began_us >= 3 * 50 * MS);
    CHECK_INT(runs_of(poked), 1);
    timer_poke(timer);
    wait_runs(poked, 2);
}

TEST(a_timer_does_not_rest_over_what_was_committed_while_its_job_ran)
{
    struct counter *counter = counter_open(t);
    struct job *job = job_of(t);
    job->rests = job->writes = true; /* its own write is a commit, too */
    every(counter, 5, job);
    counter_start(counter);
    wait_runs(job, 5);
}

TEST(a_timer_does_not_rest_over_a_poke_that_came_while_its_job_ran)
{
    struct counter *counter = counter_open(t);
    struct job *job = job_of(t);
    job->rests = true;
    job->pokes = every(counter, HOUR_MS, job); /* itself, in its first run */
    counter_start(counter);
    wait_runs(job, 2);
}
