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
    int *gate; /* a spare thread computes once this is not 0; NULL: at once */
    int64_t takes_us;
};

static void add(void *subject)
{
    struct sum *sum = subject;
    if (sched_getscheduler(0) != SCHED_IDLE)
        sum->gate = NULL;
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
    spare_run(spare, add, &sum, sizeof sum, LONG_US);
    CHECK_INT(sum.result, 3);
    CHECK_INT(sum.policy, SCHED_IDLE);
    CHECK_INT(sched_getscheduler(0), SCHED_OTHER); /* who asks stays what it is */
    CHECK_INT(spare_late_count(spare), 0);
    spare_close(spare);
    spare_close(NULL);
}

TEST(what_comes_too_late_is_done_here_and_the_thread_is_free_again)
{
    int gate = 0;
    struct spare *spare = spare_open("spare", 1);
    struct sum slow = { .first = 1, .second = 2, .gate = &gate };
    spare_run(spare, add, &slow, sizeof slow, 5 * MS);
    CHECK_INT(slow.result, 3);
    CHECK_INT(slow.policy, SCHED_OTHER);
    CHECK_INT(spare_late_count(spare), 1);

    /* Its thread has it still: who comes now does not wait at all. */
    struct sum next = { .first = 3, .second = 4 };
    spare_run(spare, add, &next, sizeof next, LONG_US);
    CHECK_INT(next.result, 7);
    CHECK_INT(next.policy, SCHED_OTHER);
    CHECK_INT(spare_late_count(spare), 1);

    open_gate(&gate);
    wait_for_gate(&gate, 1);
    do {
        sleep_until(clock_mono_us() + MS);
        next.policy = next.result = 0;
        spare_run(spare, add, &next, sizeof next, LONG_US);
        CHECK_INT(next.result, 7);
    } while (next.policy != SCHED_IDLE);
    spare_close(spare);
}

TEST(closing_waits_for_what_is_computed)
{
    int gate = 0;
    struct spare *spare = spare_open("spare", 1);
    struct sum slow = { .gate = &gate };
    spare_run(spare, add, &slow, sizeof slow, 5 * MS);
    open_gate(&gate);
    spare_close(spare);
    CHECK_INT(gate, 2);
}

/* Many at once, by many interleavings: each hears its own sum, and no more are computed at once
 * than there are threads, and one. */
enum { ASKERS = 4, SEATS = 2, SEEDS = 50 };

static struct {
    int now, most; /* under the baton */
} computed;

static void add_counted(void *subject)
{
    computed.now++;
    if (computed.now > computed.most)
        computed.most = computed.now;
    add(subject);
    computed.now--;
}

struct asker {
    struct spare *spare;
    int number;
};

static void ask(void *subject)
{
    struct asker *asker = subject;
    for (int i = 0; i < 20; i++) {
        struct sum sum = { .first = 100 * asker->number, .second = i, .takes_us = 3 * MS };
        spare_run(asker->spare, add_counted, &sum, sizeof sum, (1 + i % 5) * MS);
        ASSERT(sum.result == 100 * asker->number + i);
    }
}

TEST(each_gets_its_own_and_few_are_computed_at_once)
{
    int64_t late = 0;
    computed.most = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        baton_start(seed);
        struct spare *spare = spare_open("spare", SEATS);
        struct asker askers[ASKERS];
        struct thread *threads[ASKERS];
        for (int i = 0; i < ASKERS; i++) {
            askers[i] = (struct asker){ .spare = spare, .number = i };
            threads[i] = thread_start("asks", ask, &askers[i]);
        }
        for (int i = 0; i < ASKERS; i++)
            thread_join(threads[i]);
        late += spare_late_count(spare);
        spare_close(spare);
        baton_stop();
        CHECK_INT(computed.now, 0);
    }
    CHECK(late > 0);
    CHECK_INT(computed.most, SEATS + 1);
}
