#include "base/uuid.h"
#include "chassis/waiters.h"
#include "os/clock.h"
#include "os/random.h"
#include "tests/lib/test.h"

static void done(void *waiters) { waiters_done(waiters); }

static struct waiters *waiters_of(struct test *t)
{
    struct waiters *waiters = arena_new(t->arena, struct waiters);
    waiters_init(waiters);
    arena_defer(t->arena, done, waiters);
    return waiters;
}

static struct waiter *wait_from(struct test *t, struct waiters *waiters, struct uuid subject,
                                int64_t until_us)
{
    struct waiter *waiter = arena_new(t->arena, struct waiter);
    *waiter = (struct waiter){ .subject = subject, .until_us = until_us };
    waiters_add(waiters, waiter);
    return waiter;
}

static int count_of(struct waiter *waiter)
{
    int count = 0;
    for (; waiter; waiter = waiter->next)
        count++;
    return count;
}

TEST(all_that_wait_for_a_subject_are_taken_at_once_and_nobody_else)
{
    struct waiters *waiters = waiters_of(t);
    struct uuid one = id_new(), other = id_new();
    wait_from(t, waiters, one, 1);
    struct waiter *stays = wait_from(t, waiters, other, 1);
    wait_from(t, waiters, one, 1);
    CHECK_INT(waiters_count(waiters), 3);

    CHECK_INT(count_of(waiters_take(waiters, one)), 2);
    CHECK(!waiters_take(waiters, one));
    CHECK_INT(waiters_count(waiters), 1);
    CHECK(stays->waiting);
    CHECK_INT(count_of(waiters_take(waiters, other)), 1);
    CHECK(!stays->waiting);
}

TEST(subjects_that_share_a_bucket_are_told_apart)
{
    struct waiters *waiters = waiters_of(t);
    struct uuid one = id_new(), other = one;
    other.bytes[0] ^= 1; /* the bucket is by the last bytes */
    wait_from(t, waiters, one, 1);
    wait_from(t, waiters, other, 1);
    struct waiter *taken = waiters_take(waiters, one);
    CHECK_INT(count_of(taken), 1);
    CHECK(uuid_equal(taken->subject, one));
    CHECK(waiters_take(waiters, other));
}

TEST(time_runs_out_only_for_those_whose_write_is_on_disk)
{
    struct waiters *waiters = waiters_of(t);
    struct uuid subject = id_new();
    struct waiter *waiter = wait_from(t, waiters, subject, 100);
    CHECK(!waiters_take_due(waiters, 1000));
    CHECK(!waiters_take_due(waiters, INT64_MAX));
    CHECK(!waiters_on_disk(waiters, waiter));
    CHECK(!waiters_take_due(waiters, 99));
    CHECK(waiters_take_due(waiters, 100) == waiter);
    CHECK(!waiters_take_due(waiters, INT64_MAX));
}

TEST(who_is_called_before_its_write_is_on_disk_is_taken_out_when_it_is)
{
    struct waiters *waiters = waiters_of(t);
    struct uuid subject = id_new(), seen[2];
    struct waiter *waiter = wait_from(t, waiters, subject, 100);
    struct waiter *other = wait_from(t, waiters, id_new(), 100);
    CHECK_INT(waiters_subjects(waiters, seen, 2), 0);
    CHECK(!waiters_call(waiters, subject));
    CHECK(!waiters_on_disk(waiters, other));
    CHECK(waiters_on_disk(waiters, waiter));
    CHECK(!waiter->waiting && other->waiting);
    CHECK_INT(waiters_subjects(waiters, seen, 2), 1);
    CHECK(uuid_equal(seen[0], other->subject));
    CHECK(waiters_call(waiters, other->subject) == other);
    CHECK_INT(waiters_count(waiters), 0);
}

TEST(all_that_are_due_are_taken_and_the_others_stay)
{
    struct waiters *waiters = waiters_of(t);
    for (int i = 0; i < 3000; i++)
        waiters_on_disk(waiters, wait_from(t, waiters, id_new(), i));
    CHECK_INT(count_of(waiters_take_due(waiters, 999)), 1000);
    CHECK_INT(waiters_count(waiters), 2000);
    CHECK_INT(count_of(waiters_take_due(waiters, INT64_MAX)), 2000);
}

TEST(whose_client_has_left_is_due_when_its_write_is_on_disk_and_nobody_else_is)
{
    struct waiters *waiters = waiters_of(t);
    struct waiter *left = wait_from(t, waiters, id_new(), INT64_MAX - 1);
    struct waiter *stays = wait_from(t, waiters, id_new(), INT64_MAX - 1);
    waiters_on_disk(waiters, stays);
    CHECK(waiters_hurry(waiters, left));
    CHECK(!waiters_take_due(waiters, 1));
    waiters_on_disk(waiters, left);
    CHECK(waiters_take_due(waiters, 1) == left);
    CHECK(!waiters_hurry(waiters, left));
    CHECK(waiters_take(waiters, stays->subject) == stays);
}

TEST(one_that_was_taken_cannot_be_dropped)
{
    struct waiters *waiters = waiters_of(t);
    struct uuid subject = id_new();
    struct waiter *stays = wait_from(t, waiters, subject, 1);
    struct waiter *waiter = wait_from(t, waiters, subject, 1);
    CHECK(waiters_drop(waiters, subject, waiter));
    CHECK(!waiters_drop(waiters, subject, waiter));
    CHECK(waiters_take(waiters, subject) == stays);
    CHECK(!waiters_drop(waiters, subject, stays));
}

TEST(a_table_in_which_somebody_waits_cannot_be_undone)
{
    struct waiters *waiters = waiters_of(t);
    struct waiter *waiter = wait_from(t, waiters, id_new(), 1);
    CHECK_PANICS(waiters_done(waiters));
    CHECK(waiters_drop(waiters, waiter->subject, waiter));
}

/* ---- the race: woken, timed out or dropped, each exactly once ---- */

enum { RACERS = 2000 };

struct race {
    struct waiters waiters;
    struct waiter racers[RACERS];
    int taken[RACERS]; /* atomic */
    bool over;
};

static void note(struct race *race, struct waiter *waiter)
{
    while (waiter) {
        struct waiter *next = waiter->next;
        __atomic_fetch_add(&race->taken[waiter - race->racers], 1, __ATOMIC_RELAXED);
        waiter = next;
    }
}

static void wake(void *subject)
{
    struct race *race = subject;
    for (int i = 0; i < RACERS; i++)
        note(race, waiters_take(&race->waiters, race->racers[i].subject));
}

static void run_out(void *subject)
{
    struct race *race = subject;
    while (!__atomic_load_n(&race->over, __ATOMIC_ACQUIRE))
        note(race, waiters_take_due(&race->waiters, INT64_MAX));
}

static void drop(void *subject)
{
    struct race *race = subject;
    for (int i = RACERS - 1; i >= 0; i--)
        if (waiters_drop(&race->waiters, race->racers[i].subject, &race->racers[i]))
            __atomic_fetch_add(&race->taken[i], 1, __ATOMIC_RELAXED);
}

TEST(however_many_race_for_a_waiter_one_gets_it)
{
    struct race *race = arena_new(t->arena, struct race);
    waiters_init(&race->waiters);
    for (int i = 0; i < RACERS; i++) {
        race->racers[i] = (struct waiter){ .subject = id_new(), .on_disk = i % 2 };
        waiters_add(&race->waiters, &race->racers[i]);
    }
    struct thread *threads[] = { thread_start("wake", wake, race),
                                 thread_start("due", run_out, race),
                                 thread_start("drop", drop, race) };
    thread_join(threads[0]);
    thread_join(threads[2]);
    __atomic_store_n(&race->over, true, __ATOMIC_RELEASE);
    thread_join(threads[1]);
    for (int i = 0; i < RACERS; i++)
        CHECK_INT(race->taken[i], 1);
    waiters_done(&race->waiters);
}
