#include "chassis/db_faults.h"
#include "counter.h"
#include "os/clock.h"

enum { MS = 1000 };

static bool is_outbox_empty(void *counter) { return counter_outbox(counter) == 0; }

static void wait_heard(struct counter *counter, int count)
{
    int64_t deadline_us = clock_mono_us() + 20 * TIME_SECOND;
    while (counter_heard_count(counter) < count && clock_mono_us() < deadline_us)
        sleep_until(clock_mono_us() + MS);
    int heard = counter_heard_count(counter);
    if (heard < count)
        FAIL("heard %d of %d", heard, count);
}

static void set_refuses(struct counter *counter, int times)
{
    lock_take(&counter->lock);
    counter->refuses = times;
    lock_drop(&counter->lock);
}

/* Number `number` of a key is heard for the first time only after all before it. The bus was
 * stopped. */
static void check_order(struct counter *counter, const char *key, int64_t numbers)
{
    int64_t highest = 0;
    for (int i = 0; i < counter->heard_count; i++) {
        const struct counter_heard *heard = &counter->heard[i];
        if (strcmp(heard->key, key) != 0)
            continue;
        CHECK(heard->number <= highest + 1);
        highest = heard->number > highest ? heard->number : highest;
    }
    CHECK_INT(highest, numbers);
}

TEST(what_is_committed_is_published_and_leaves_the_outbox)
{
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, ROLE_BIT_CUSTOMER);
    for (int i = 0; i < 5; i++) {
        const char *key = str_z(t->arena, str_format(t->arena, "key-%d", i));
        CHECK_STATUS(counter_post(&user, "/counters/mug", key, counter_body(counter, 1, "")), 200);
    }
    wait_heard(counter, 5);
    CHECK(inline_until(is_outbox_empty, counter));
    bus_stop(counter->house.bus);
    CHECK_INT(counter->heard_count, 5);
    check_order(counter, "mug", 5);
}

TEST(what_a_former_run_left_is_sent_at_the_start)
{
    struct counter *counter = counter_open(t);
    counter_announce(counter, "mug", 1, 700);
    CHECK_INT(counter_outbox(counter), 700);
    counter_reopen(counter);
    counter_start(counter);
    wait_heard(counter, 700);
    CHECK(inline_until(is_outbox_empty, counter));
    bus_stop(counter->house.bus);
    check_order(counter, "mug", 700);
}

TEST(nothing_is_lost_when_the_process_ends_between_publishing_and_ack)
{
    struct counter *counter = counter_started(t);
    set_refuses(counter, 1000000);
    counter_announce(counter, "mug", 1, 20);
    wait_heard(counter, 20);
    CHECK_INT(counter_outbox(counter), 20);
    counter_reopen(counter);
    CHECK_INT(counter_outbox(counter), 20);

    struct uuid ids[20];
    for (int i = 0; i < 20; i++)
        ids[i] = counter->heard[i].id;
    counter->heard_count = 0;
    counter->refuses = 0;
    counter_start(counter);
    wait_heard(counter, 20);
    CHECK(inline_until(is_outbox_empty, counter));
    for (int i = 0; i < 20; i++) /* they are the same events: an inbox knows them */
        CHECK(uuid_equal(counter->heard[i].id, ids[i]));
}

TEST(an_event_that_a_consumer_does_not_take_is_not_dropped)
{
    struct counter *counter = counter_started(t);
    set_refuses(counter, 4);
    counter_announce(counter, "mug", 1, 3);
    wait_heard(counter, 3 * 5);
    CHECK(inline_until(is_outbox_empty, counter));
    bus_stop(counter->house.bus);
    CHECK_INT(counter->heard_count, 3 * 5);
}

TEST(more_than_the_bus_holds_comes_in_order_as_there_is_room)
{
    enum { KEYS = 3, EACH = 1500 }; /* the bus of the test holds 1024 */
    static const char *const keys[KEYS] = { "mug", "cup", "tea" };
    struct counter *counter = counter_started(t);
    set_refuses(counter, 3);
    for (int i = 0; i < KEYS; i++)
        for (int first = 1; first <= EACH; first += 100)
            counter_announce(counter, keys[i], first, first + 99);
    CHECK(inline_until(is_outbox_empty, counter));
    bus_stop(counter->house.bus);
    for (int i = 0; i < KEYS; i++)
        check_order(counter, keys[i], EACH);
}

TEST(a_relay_that_waits_for_room_ends_when_the_bus_stops)
{
    struct counter *counter = counter_started(t);
    set_refuses(counter, 1000000);
    for (int first = 1; first <= 2000; first += 100)
        counter_announce(counter, "mug", first, first + 99);
    wait_heard(counter, 512);
    counter_reopen(counter);
    CHECK_INT(counter_outbox(counter), 2000);
    counter->heard_count = counter->refuses = 0;
    counter_start(counter);
    CHECK(inline_until(is_outbox_empty, counter));
    bus_stop(counter->house.bus);
    check_order(counter, "mug", 2000);
}

TEST(writers_and_the_relay_at_work_together_keep_the_order)
{
    enum { ROUNDS = 60, KEYS = 4 };
    static const char *const targets[KEYS] = { "/counters/a", "/counters/b", "/counters/c",
                                               "/counters/d" };
    struct counter *counter = counter_started(t);
    struct inline_client user = counter_user(counter, ROLE_BIT_CUSTOMER);
    for (int i = 0; i < ROUNDS; i++) {
        struct inline_pending *pending[KEYS];
        const char *key = str_z(t->arena, str_format(t->arena, "key-%d", i));
        for (int j = 0; j < KEYS; j++)
            pending[j] = counter_send(&user, targets[j], key, counter_body(counter, 1, ""));
        for (int j = 0; j < KEYS; j++)
            CHECK_STATUS(inline_wait(pending[j]), 200);
    }
    CHECK(inline_until(is_outbox_empty, counter));
    bus_stop(counter->house.bus);
    CHECK_INT(counter->heard_count, ROUNDS * KEYS);
    for (int j = 0; j < KEYS; j++)
        check_order(counter, targets[j] + strlen("/counters/"), ROUNDS);
}

/* ---- faults of the database ---- */

static void stop_relay(void *counter)
{
    bus_stop(((struct counter *)counter)->house.bus);
    relay_stop(((struct counter *)counter)->service->relay);
}

/* The relay alone begins with three events and a fault: no timer reads or writes meanwhile. */
static struct counter *relay_with_fault(struct test *t, enum db_step step)
{
    struct counter *counter = counter_open(t);
    counter_announce(counter, "mug", 1, 3);
    db_fail_at(service_db(counter->service), step, 1, DB_FAULT_FAILED);
    bus_start(counter->house.bus);
    relay_start(counter->service->relay);
    arena_defer(t->arena, stop_relay, counter);
    return counter;
}

TEST(an_outbox_that_could_not_be_read_is_read_again_without_a_new_commit)
{
    struct counter *counter = relay_with_fault(t, DB_STEP_READ);
    wait_heard(counter, 3);
    CHECK(inline_until(is_outbox_empty, counter));
}

TEST(events_whose_deletion_failed_are_deleted_after_a_pause_and_not_sent_again)
{
    int64_t began_us = clock_mono_us();
    struct counter *counter = relay_with_fault(t, DB_STEP_COMMIT);
    CHECK(inline_until(is_outbox_empty, counter));
    CHECK(clock_mono_us() - began_us >= 250 * MS);
    sleep_until(clock_mono_us() + 300 * MS);
    CHECK_INT(counter_heard_count(counter), 3);
}
