#include "os/spare.h"

#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"
#include "tests/sim/baton.h"

#include <sched.h>
#include <string.h>

enum { MS = 1000, LONG_US = 60 * 1000 * MS };

/* Plain memory, but for `gate`, which lives as long as the test. */
struct sum {
    int first, second, result, policy;
    int *gate; /* computes once this is not 0; NULL: at once */
    int64_t takes_us;
};

static void add(void *subject)
{
    struct sum *sum = subject;
    while (sum->gate && !__atomic_load_n(sum->gate, __ATOMIC_ACQUIRE))
        sleep_until(clock_mono_us() + MS);
    if (sum->takes_us)
        sleep_until(clock_mono_us() + sum->takes_us);
    sum->policy = sched_getscheduler(0);
    sum->result = sum->first + sum->second;
    if (sum->gate)
        __atomic_add_fetch(sum->gate, 1, __ATOMIC_ACQ_REL);
}

static void open_gate(int *gate) { __atomic_store_n(gate, 1, __ATOMIC_RELEASE); }

static void wait_for_gate(const int *gate, int passed)
{
    while (__atomic_load_n(gate, __ATOMIC_ACQUIRE) < 1 + passed)
        sleep_until(clock_mono_us() + MS);
}

TEST(work_is_done_there_and_comes_back)
{
    struct spare *spare = spare_open("spare", 2);
    struct sum sum = { .first = 1, .second = 2 };
    CHECK(spare_run(spare, add, &sum, sizeof sum, LONG_US));
    CHECK_INT(sum.result, 3);
    CHECK_INT(sum.policy, SCHED_IDLE);
    CHECK_INT(sched_getscheduler(0), SCHED_OTHER); /* who asks stays what it is */
    CHECK_INT(spare_late_count(spare), 0);
    spare_close(spare);
    spare_close(NULL);
}

TEST(what_comes_too_late_is_thrown_away_and_the_thread_is_free_again)
{
    int gate = 0;
    struct spare *spare = spare_open("spare", 1);
    struct sum slow = { .first = 1, .second = 2, .gate = &gate };
    CHECK(!spare_run(spare, add, &slow, sizeof slow, 5 * MS));
    CHECK_INT(slow.result, 0);
    CHECK_INT(spare_late_count(spare), 1);

    /* Its thread has it still: who comes now does not wait at all. */
    struct sum next = { .first = 3, .second = 4 };
    CHECK(!spare_run(spare, add, &next, sizeof next, LONG_US));
    CHECK_INT(next.result, 0);
    CHECK_INT(spare_late_count(spare), 1);

    open_gate(&gate);
    wait_for_gate(&gate, 1);
    while (!spare_run(spare, add, &next, sizeof next, LONG_US))
        sleep_until(clock_mono_us() + MS);
    CHECK_INT(next.result, 7);
    CHECK_INT(slow.result, 0);
    spare_close(spare);
}

TEST(closing_waits_for_what_is_computed)
{
    int gate = 0;
    struct spare *spare = spare_open("spare", 1);
    struct sum slow = { .gate = &gate };
    CHECK(!spare_run(spare, add, &slow, sizeof slow, 5 * MS));
    open_gate(&gate);
    spare_close(spare);
    CHECK_INT(gate, 2);
}

/* Many at once, by many interleavings: each hears its own sum, or that it is to compute itself. */
struct asker {
    struct spare *spare;
    int number, done;
};

static void ask(void *subject)
{
    struct asker *asker = subject;
    for (int i = 0; i < 20; i++) {
        struct sum sum = { .first = 100 * asker->number, .second = i, .takes_us = 3 * MS };
        if (!spare_run(asker->spare, add, &sum, sizeof sum, (1 + i % 5) * MS)) {
            sleep_until(clock_mono_us() + MS);
            continue;
        }
        ASSERT(sum.result == 100 * asker->number + i);
        asker->done++;
    }
}

TEST(each_gets_its_own)
{
    enum { ASKERS = 3, SEEDS = 50 };
    int done = 0;
    int64_t late = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        baton_start(seed);
        struct spare *spare = spare_open("spare", 2);
        struct asker askers[ASKERS];
        struct thread *threads[ASKERS];
        for (int i = 0; i < ASKERS; i++) {
            askers[i] = (struct asker){ .spare = spare, .number = i };
            threads[i] = thread_start("asks", ask, &askers[i]);
        }
        for (int i = 0; i < ASKERS; i++) {
            thread_join(threads[i]);
            done += askers[i].done;
        }
        late += spare_late_count(spare);
        spare_close(spare);
        baton_stop();
    }
    CHECK(done > 0);
    CHECK(late > 0);
}
