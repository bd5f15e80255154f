#include "chassis/lanes.h"
#include "counter.h"
#include "os/clock.h"
#include "os/sync.h"

enum { SUBJECTS = 100, STEP_US = 1000, ALL = -1 };

/* What the lanes of a test did; the service's self is the counter, so it stands aside. */
static struct seen {
    int runs[SUBJECTS], under_way[SUBJECTS], together; /* atomic */
    int64_t takes_us;
    int holds;             /* one that is away until this is another */
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
    if (takes_us) {
        lanes_away(call);
        sleep_until(clock_mono_us() + takes_us);
        lanes_back(call);
    }
    if (__atomic_load_n(&seen.holds, __ATOMIC_SEQ_CST) == n) {
        lanes_away(call);
        while (__atomic_load_n(&seen.holds, __ATOMIC_SEQ_CST) == n)
            sleep_until(clock_mono_us() + STEP_US);
        lanes_back(call);
    }
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

static void give_many(struct lanes *lanes, int count)
{
    for (int i = 0; i < count; i++) {
        struct uuid subject = subject_of(1);
        subject.bytes[14] = (uint8_t)(i >> 8);
        subject.bytes[15] = (uint8_t)i;
        lanes_give(lanes, subject);
    }
}

/* A second of 5 000 orders, each of which is given twice. */
TEST(none_of_a_flood_waits_to_be_given_again)
{
    enum { FLOOD = 5000 };
    struct lanes *lanes = lanes_of(t, 0);
    give_many(lanes, FLOOD);
    lanes_start(lanes, 8);
    wait_runs(1, FLOOD);
    end(lanes);
}

TEST(what_finds_no_room_is_left_to_be_given_again)
{
    struct lanes *lanes = lanes_of(t, 0);
    give_many(lanes, LANES_ROOM + 50);
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

/* ---- those that wait for the outside ---- */

TEST(others_go_on_while_one_waits_for_the_outside)
{
    struct lanes *lanes = lanes_of(t, 2);
    seen.holds = 1;
    lanes_give(lanes, subject_of(1));
    lanes_give(lanes, subject_of(2));
    lanes_give(lanes, subject_of(3));
    wait_runs(2, 1);
    wait_runs(3, 1);
    CHECK_INT(runs_of(1), 0);
    __atomic_store_n(&seen.holds, 0, __ATOMIC_SEQ_CST);
    end(lanes);
    CHECK_INT(runs_of(1), 1);
}

/* Those that left their lane, for the test to bring back. */
static struct {
    struct lock lock;
    struct call *left[SUBJECTS];
    int count, came_back; /* under the lock */
    bool at_once;         /* the answer is there before the question has ended */
} outside;

static void ask_outside(void *self, void *state)
{
    (void)self;
    lock_take(&outside.lock);
    outside.left[outside.count++] = state;
    bool at_once = outside.at_once;
    lock_drop(&outside.lock);
    if (at_once)
        lanes_return(state);
}

static err note_answer(void *self, struct call *call, void *state)
{
    ASSERT(state == call && call->arena);
    lock_take(&outside.lock);
    outside.came_back++;
    lock_drop(&outside.lock);
    call_write(call, note_write, NULL)->after = note_written;
    return note_run(self, call, subject_of(1));
}

static err leave_lane(void *self, struct call *call, struct uuid subject)
{
    (void)self, (void)subject;
    lanes_leave(call, ask_outside, note_answer, call);
    return OK;
}

static int left_count(void)
{
    lock_take(&outside.lock);
    int count = outside.count;
    lock_drop(&outside.lock);
    return count;
}

static void wait_left(int count)
{
    int64_t deadline_us = clock_mono_us() + 20 * TIME_SECOND;
    while (left_count() < count && clock_mono_us() < deadline_us)
        sleep_until(clock_mono_us() + STEP_US);
    CHECK_INT(left_count(), count);
}

static struct lanes *lanes_that_leave(struct test *t, int count_max, bool at_once)
{
    seen = (struct seen){ 0 };
    memset(&outside, 0, sizeof outside);
    outside.at_once = at_once;
    lock_init(&outside.lock);
    struct lanes *lanes = lanes_open(counter_open(t)->service, "lanes", leave_lane);
    lanes_start(lanes, count_max);
    return lanes;
}

TEST(no_thread_waits_for_those_that_left_and_no_more_leave_than_may_be_away)
{
    struct lanes *lanes = lanes_that_leave(t, 8, false);
    for (int i = 1; i <= 20; i++)
        lanes_give(lanes, subject_of(i));
    wait_left(8);
    sleep_until(clock_mono_us() + 20 * STEP_US);
    CHECK_INT(left_count(), 8);
    for (int i = 0; i < 20; i++) {
        wait_left(i + 8 < 20 ? i + 8 : 20); /* one more for each that comes back */
        lanes_return(outside.left[i]);
    }
    wait_runs(1, 20);
    end(lanes);
    CHECK_INT(outside.came_back, 20);
    CHECK_INT(seen.written, 20);
}

TEST(one_may_be_back_before_it_has_left)
{
    struct lanes *lanes = lanes_that_leave(t, 2, true);
    for (int i = 1; i < SUBJECTS; i++)
        lanes_give(lanes, subject_of(i));
    wait_runs(1, SUBJECTS - 1);
    end(lanes);
    CHECK_INT(seen.written, SUBJECTS - 1);
}

static void answer_late(void *subject)
{
    sleep_until(clock_mono_us() + 50 * STEP_US);
    lanes_return(subject);
}

TEST(those_that_left_come_back_before_the_lanes_end)
{
    struct lanes *lanes = lanes_that_leave(t, 2, false);
    lanes_give(lanes, subject_of(1));
    wait_left(1);
    struct thread *thread = thread_start("late", answer_late, outside.left[0]);
    end(lanes);
    thread_join(thread);
    CHECK_INT(outside.came_back, 1);
    CHECK_INT(seen.written, 1);
}
