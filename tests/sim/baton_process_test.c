/* Processes of the baton that are killed, alone and while others ask them. */
#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"
#include "tests/sim/baton.h"
#include <string.h>

static struct {
    struct lock lock; /* of the process; whoever holds it is killed with it */
    int inside_steps, outside_steps, went_home;
    bool is_over;
} process;

static void work_inside(void *subject)
{
    (void)subject;
    while (true) {
        lock_take(&process.lock);
        process.inside_steps++;
        sync_yield();
        lock_drop(&process.lock);
    }
}

static void open_process(void *subject)
{
    (void)subject;
    lock_init(&process.lock);
    for (int i = 0; i < 3; i++)
        (void)thread_start("inside", &work_inside, NULL);
}

static void visit(void *subject)
{
    (void)subject;
    while (!process.is_over)
        process.went_home += !baton_inside(1, &work_inside, NULL);
}

static void kill_and_go_on(void *subject)
{
    (void)subject;
    baton_kill(1);
    process.is_over = true;
    process.outside_steps++;
    sync_yield();
    process.outside_steps++;
}

static void kill_from_inside(void *subject)
{
    (void)subject;
    baton_outside(&kill_and_go_on, NULL);
    process.outside_steps += 100; /* is never reached */
}

TEST(a_killed_process_runs_no_further_and_its_visitors_go_home)
{
    int visits = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        memset(&process, 0, sizeof process);
        baton_start(seed);
        CHECK(baton_inside(1, &open_process, NULL));
        struct thread *visitor = thread_start("visitor", &visit, NULL);
        sleep_until(clock_mono_us() + 300);
        CHECK(!baton_inside(1, &kill_from_inside, NULL));
        int before = process.inside_steps;
        thread_join(visitor);
        CHECK(before > 0);
        CHECK_INT(process.outside_steps, 2);
        CHECK_INT(process.inside_steps, before);
        visits += process.went_home;
        CHECK(baton_has_killed());
        baton_stop();
    }
    CHECK(visits > 0);
}

/* Two processes: threads of the first ask the second, again and again. */
static struct {
    struct lock locks[3]; /* by process */
    int asked, answered, unanswered;
} two;

static void answer_asker(void *subject)
{
    (void)subject;
    lock_take(&two.locks[2]);
    sync_yield();
    sync_yield();
    lock_drop(&two.locks[2]);
    two.answered++;
}

static void ask_for_ever(void *subject)
{
    (void)subject;
    while (true) {
        two.asked++;
        two.unanswered += !baton_inside(2, &answer_asker, NULL);
        CHECK_INT(baton_process(), 1);
        sync_yield();
    }
}

static void open_first(void *subject)
{
    (void)subject;
    for (int i = 0; i < 3; i++)
        (void)thread_start("asks", &ask_for_ever, NULL);
}

static void begin_two(uint64_t seed)
{
    memset(&two, 0, sizeof two);
    baton_start(seed);
    lock_init(&two.locks[2]);
    CHECK(baton_inside(1, &open_first, NULL));
    sleep_until(clock_mono_us() + 300);
    CHECK(two.answered > 0 && two.unanswered == 0);
}

TEST(whoever_asks_a_process_that_is_killed_goes_on_without_its_answer)
{
    int unanswered = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin_two(seed);
        baton_kill(2);
        lock_init(&two.locks[2]); /* of the next one */
        int asked = two.asked;
        sleep_until(clock_mono_us() + 300);
        CHECK(two.asked > asked);
        unanswered += two.unanswered;
        baton_kill(1);
        sleep_until(clock_mono_us() + 300);
        baton_stop();
    }
    CHECK(unanswered > 0);
}

TEST(a_process_that_is_killed_leaves_nothing_held_in_those_that_it_asks)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin_two(seed);
        baton_kill(1);
        int asked = two.asked, answered = two.answered;
        sleep_until(clock_mono_us() + 300);
        CHECK_INT(two.asked, asked);
        CHECK(two.answered >= answered);
        CHECK(baton_inside(2, &answer_asker, NULL));
        lock_done(&two.locks[2]);
        baton_stop();
    }
}
