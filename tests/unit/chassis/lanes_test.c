#include "chassis/lanes.h"
#include "counter.h"
#include "os/clock.h"

enum { SUBJECTS = 100, STEP_US = 1000, ALL = -1 };

/* What the lanes of a test did; the service's self is the counter, so it stands aside. */
static struct seen {
    int runs[SUBJECTS], under_way[SUBJECTS], together; /* atomic */
    int64_t takes_us;
    int fails_at, huge_at; /* numbers of subjects; 0: none */
    int writes_at;         /* hands over a write, which conflicts so many times: */
    int conflicts, written;
} seen;

static int number_of(struct uuid subject) { return subject.bytes[0]; }
static struct uuid subject_of(int number) { return (struct uuid){ { (uint8_t)number, 1 } }; }

/* Nothing is written: what counts is the outcome. */
static err note_write(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)writes;
    for (size_t i = 0; i < count; i++)
        outcomes[i] =
            seen.conflicts-- > 0 ? fail(tx->arena, VERSION_CONFLICT, "as the test says") : OK;
    return OK;
}

static void note_written(struct write *write)
{
    (void)write;
    __atomic_add_fetch(&seen.written, 1, __ATOMIC_SEQ_CST);
}

static err note_run(void *self, struct call *call, struct uuid subject)
{
    (void)self;
    int n = number_of(subject);
    ASSERT(call->arena && call->now > 0);
    if (__atomic_add_fetch(&seen.under_way[n], 1, __ATOMIC_SEQ_CST) > 1)
        __atomic_add_fetch(&seen.together, 1, __ATOMIC_SEQ_CST);
    int64_t takes_us = __atomic_load_n(&seen.takes_us, __ATOMIC_SEQ_CST);
    if (takes_us)
        sleep_until(clock_mono_us() + takes_us);
    __atomic_sub_fetch(&seen.under_way[n], 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&seen.runs[n], 1, __ATOMIC_SEQ_CST);
    if (seen.huge_at == n)
        arena_alloc(call->arena, 64 << 20, 1);
    if (seen.writes_at == n || seen.writes_at == ALL)
        call_write(call, note_write, NULL)->after = note_written;
    return seen.fails_at == n ? fail(call->arena, DB_FAILED, "as the test says") : OK;
}

static struct lanes *lanes_of(struct test *t, int threads)
{
    seen = (struct seen){ 0 };
    struct counter *counter = counter_open(t);
    struct lanes *lanes = lanes_open(counter->service, "lanes", note_run);
    if (threads > 0)
        lanes_start(lanes, threads);
    return lanes;
}

static int runs_of(int number) { return __atomic_load_n(&seen.runs[number], __ATOMIC_SEQ_CST); }

static void wait_runs(int number, int runs)
{
    int64_t deadline_us = clock_mono_us() + 20 * TIME_SECOND;
    while (runs_of(number) < runs && clock_mono_us() < deadline_us)
        sleep_until(clock_mono_us() + STEP_US);
    CHECK(runs_of(number) >= runs);
}

static void end(struct lanes *lanes)
{
    lanes_stop(lanes);
    lanes_close(lanes);
}

TEST(each_subject_that_is_given_is_run_once)
{
    struct lanes *lanes = lanes_of(t, 4);
    for (int i = 1; i < SUBJECTS; i++)
        lanes_give(lanes, subject_of(i));
    for (int i = 1; i < SUBJECTS; i++)
        wait_runs(i, 1);
    end(lanes);
    for (int i = 1; i < SUBJECTS; i++)
        CHECK_INT(runs_of(i), 1);
}

TEST(one_that_waits_and_is_given_again_is_run_once)
{
    struct lanes *lanes = lanes_of(t, 0);
    lanes_give(lanes, subject_of(1));
    lanes_give(lanes, subject_of(1));
    lanes_start(lanes, 2);
    wait_runs(1, 1);
    lanes_give(lanes, subject_of(2));
    wait_runs(2, 1);
    end(lanes);
    CHECK_INT(runs_of(1), 1);
}

TEST(one_that_is_given_while_a_lane_has_it_is_run_after_it_never_beside_it)
{
    struct lanes *lanes = lanes_of(t, 4);
    __atomic_store_n(&seen.takes_us, 20000, __ATOMIC_SEQ_CST);
    lanes_give(lanes, subject_of(1));
    int64_t deadline_us = clock_mono_us() + 20 * TIME_SECOND;
    while (!__atomic_load_n(&seen.under_way[1], __ATOMIC_SEQ_CST) && clock_mono_us() < deadline_us)
        sleep_until(clock_mono_us() + 100);
    lanes_give(lanes, subject_of(1));
    wait_runs(1, 2);
    end(lanes);
    CHECK_INT(seen.together, 0);
    CHECK_INT(runs_of(1), 2);
}

TEST(one_that_is_offered_while_a_lane_has_it_is_not_run_again)
{
    struct lanes *lanes = lanes_of(t, 4);
    __atomic_store_n(&seen.takes_us, 20000, __ATOMIC_SEQ_CST);
    lanes_offer(lanes, subject_of(1));
    int64_t deadline_us = clock_mono_us() + 20 * TIME_SECOND;
    while (!__atomic_load_n(&seen.under_way[1], __ATOMIC_SEQ_CST) && clock_mono_us() < deadline_us)
        sleep_until(clock_mono_us() + 100);
    lanes_offer(lanes, subject_of(1));
    lanes_offer(lanes, subject_of(2));
    wait_runs(1, 1);
    wait_runs(2, 1);
    end(lanes);
    CHECK_INT(runs_of(1), 1);
    CHECK_INT(runs_of(2), 1);
}

TEST(what_finds_no_room_is_left_to_be_given_again)
{
    struct lanes *lanes = lanes_of(t, 0);
    for (int i = 0; i < LANES_ROOM + 50; i++) {
        struct uuid subject = subject_of(1);
        subject.bytes[14] = (uint8_t)(i >> 8);
        subject.bytes[15] = (uint8_t)i;
        lanes_give(lanes, subject);
    }
    lanes_start(lanes, 8);
    wait_runs(1, LANES_ROOM);
    lanes_give(lanes, subject_of(2));
    wait_runs(2, 1);
    end(lanes);
    CHECK_INT(runs_of(1), LANES_ROOM);
}

TEST(a_lane_goes_on_after_an_error_and_after_one_that_needs_too_much_memory)
{
    struct lanes *lanes = lanes_of(t, 0);
    seen.fails_at = 1;
    seen.huge_at = 2;
    lanes_start(lanes, 1);
    lanes_give(lanes, subject_of(1));
    wait_runs(1, 1);
    lanes_give(lanes, subject_of(2));
    wait_runs(2, 1);
    lanes_give(lanes, subject_of(3));
    wait_runs(3, 1);
    end(lanes);
}

TEST(a_subject_whose_write_conflicts_is_run_again_until_it_is_on_disk)
{
    struct lanes *lanes = lanes_of(t, 0);
    seen.writes_at = 1;
    seen.conflicts = 3;
    lanes_start(lanes, 2);
    lanes_give(lanes, subject_of(1));
    wait_runs(1, 4);
    end(lanes); /* waits for the write that is under way */
    CHECK_INT(runs_of(1), 4);
    CHECK_INT(seen.written, 1);
    CHECK_INT(seen.together, 0);
}

TEST(a_lane_goes_on_while_the_writes_of_others_are_under_way_and_all_of_them_end)
{
    struct lanes *lanes = lanes_of(t, 0);
    seen.writes_at = ALL;
    lanes_start(lanes, 1);
    for (int i = 1; i < SUBJECTS; i++)
        lanes_give(lanes, subject_of(i));
    for (int i = 1; i < SUBJECTS; i++)
        wait_runs(i, 1);
    end(lanes);
    CHECK_INT(seen.written, SUBJECTS - 1);
}
