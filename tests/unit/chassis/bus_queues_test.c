#include "chassis/bus_queues.h"
#include "os/clock.h"
#include "tests/lib/test.h"

enum { ROOM = 8, MS = 1000 };

/* Counts what was acked, by number. */
static void note(void *subject, const struct uuid *ids, size_t count)
{
    int *acked = subject;
    for (size_t i = 0; i < count; i++)
        acked[ids[i].bytes[0]]++;
}

static void done(void *queues) { bus_queues_done(queues); }

static struct bus_queues *queues_of(struct test *t, const struct bus_faults *faults)
{
    struct bus_queues *queues = arena_new(t->arena, struct bus_queues);
    bus_queues_init(queues, ROOM, faults);
    arena_defer(t->arena, done, queues);
    return queues;
}

static struct bus_queue *queue_of(struct bus_queues *queues, const char *name, const char *topic)
{
    return bus_queues_add(queues, &(struct bus_consumer){ .name = name }, &topic, 1);
}

static void say(struct bus_queues *queues, int number, int *acked)
{
    struct bus_event event = { .id = { .bytes = { (uint8_t)number } },
                               .type = STR("type"),
                               .topic = STR("topic"),
                               .key = STR("key"),
                               .number = number,
                               .payload = STR("a payload") };
    bus_queues_publish(queues, &event, 1, note, acked);
}

TEST(an_event_is_acked_once_when_the_last_of_its_consumers_has_it)
{
    struct bus_queues *queues = queues_of(t, NULL);
    struct bus_queue *one = queue_of(queues, "one", "topic"),
                     *two = queue_of(queues, "two", "topic");
    (void)queue_of(queues, "other", "another topic");
    struct bus_item *items[BUS_BATCH_MAX];
    int acked[ROOM] = { 0 };
    say(queues, 1, acked);
    CHECK_INT(bus_queues_backlog(queues), 1);
    CHECK_INT(bus_queue_take(one, bus_line_take, items), 1);
    CHECK_STR(items[0]->event->payload, "a payload");
    bus_queue_settle(one, items, 1, 1);
    CHECK_INT(acked[1], 0);
    CHECK_INT(bus_queue_take(two, bus_line_take, items), 1);
    bus_queue_settle(two, items, 1, 1);
    CHECK_INT(acked[1], 1);
    CHECK_INT(bus_queues_backlog(queues), 0);
}

TEST(what_nobody_listens_to_is_acked_at_once)
{
    struct bus_queues *queues = queues_of(t, NULL);
    (void)queue_of(queues, "one", "another topic");
    int acked[ROOM] = { 0 };
    say(queues, 1, acked);
    CHECK_INT(acked[1], 1);
    CHECK_INT(bus_queues_backlog(queues), 0);
}

TEST(what_was_not_taken_comes_first_again_after_a_rest)
{
    struct bus_queues *queues = queues_of(t, NULL);
    struct bus_queue *one = queue_of(queues, "one", "topic");
    struct bus_item *items[BUS_BATCH_MAX];
    int acked[ROOM] = { 0 };
    for (int number = 1; number <= 3; number++)
        say(queues, number, acked);
    CHECK_INT(bus_queue_take(one, bus_line_take, items), 3);
    int64_t settled_us = clock_mono_us();
    bus_queue_settle(one, items, 3, 1);
    CHECK_INT(acked[1] + acked[2] + acked[3], 1);
    CHECK_INT(bus_queues_backlog(queues), 2);
    CHECK_INT(bus_queue_take(one, bus_line_take_heads, items), 1); /* waits for it */
    CHECK(clock_mono_us() - settled_us >= 10 * MS);
    CHECK_INT(items[0]->event->number, 2);
    bus_queue_settle(one, items, 1, 1);
    CHECK_INT(acked[2], 1);
}

static int64_t twice(void *self, const char *consumer, const struct bus_event *event, bool *repeat)
{
    (void)self, (void)consumer, (void)event;
    *repeat = true;
    return 0;
}

TEST(an_event_that_a_fault_repeats_is_acked_after_both)
{
    struct bus_queues *queues = queues_of(t, &(struct bus_faults){ .fate = twice });
    struct bus_queue *one = queue_of(queues, "one", "topic");
    struct bus_item *items[BUS_BATCH_MAX];
    int acked[ROOM] = { 0 };
    say(queues, 1, acked);
    CHECK_INT(bus_queue_take(one, bus_line_take, items), 2);
    bus_queue_settle(one, items, 1, 1);
    CHECK_INT(acked[1], 0);
    bus_queue_settle(one, items + 1, 1, 1);
    CHECK_INT(acked[1], 1);
}

/* ---- waiting ---- */

struct waiter {
    struct bus_queues *queues;
    struct bus_queue *queue;
    int acked[ROOM + 1];
    size_t taken;
    bool ended;
};

static void say_one_more(void *subject)
{
    struct waiter *waiter = subject;
    say(waiter->queues, ROOM, waiter->acked);
    __atomic_store_n(&waiter->ended, true, __ATOMIC_RELEASE);
}

static void take_one(void *subject)
{
    struct waiter *waiter = subject;
    struct bus_item *items[BUS_BATCH_MAX];
    waiter->taken = bus_queue_take(waiter->queue, bus_line_take, items);
    __atomic_store_n(&waiter->ended, true, __ATOMIC_RELEASE);
}

static bool has_ended(const struct waiter *waiter)
{
    return __atomic_load_n(&waiter->ended, __ATOMIC_ACQUIRE);
}

TEST(who_publishes_waits_for_room)
{
    struct bus_queues *queues = queues_of(t, NULL);
    struct waiter waiter = { .queues = queues, .queue = queue_of(queues, "one", "topic") };
    struct bus_item *items[BUS_BATCH_MAX];
    for (int number = 0; number < ROOM; number++)
        say(queues, number, waiter.acked);
    struct thread *thread = thread_start("more", say_one_more, &waiter);
    sleep_until(clock_mono_us() + 20 * MS);
    CHECK(!has_ended(&waiter));
    CHECK_INT(bus_queue_take(waiter.queue, bus_line_take, items), ROOM);
    bus_queue_settle(waiter.queue, items, ROOM, ROOM);
    thread_join(thread);
    CHECK_INT(bus_queues_backlog(queues), 1);
}

TEST(a_stop_ends_every_wait_and_what_is_left_is_not_acked)
{
    struct bus_queues *queues = queues_of(t, NULL);
    struct waiter full = { .queues = queues, .queue = queue_of(queues, "one", "topic") };
    struct waiter empty = { .queues = queues, .queue = queue_of(queues, "two", "another topic") };
    for (int number = 0; number < ROOM; number++)
        say(queues, number, full.acked);
    struct thread *publisher = thread_start("more", say_one_more, &full);
    struct thread *consumer = thread_start("take", take_one, &empty);
    sleep_until(clock_mono_us() + 20 * MS);
    CHECK(!has_ended(&full) && !has_ended(&empty) && !bus_queues_stopping(queues));
    bus_queues_stop(queues);
    thread_join(publisher);
    thread_join(consumer);
    CHECK(bus_queues_stopping(queues));
    CHECK_INT(empty.taken, 0);
    for (int number = 0; number <= ROOM; number++)
        CHECK_INT(full.acked[number], 0);
}
