#include "chassis/bus.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "tests/lib/test.h"

enum { HEARD_MAX = 20000, EVENTS_MAX = 1024, MS = 1000, WAIT_US = 20 * 1000000, KEYS_MAX = 40 };

/* What a consumer heard of one event. */
struct heard {
    int key;
    int64_t number;
    int64_t at_us; /* when the delivery began that it came in */
};

/* A consumer of a test: notes what it hears, and takes what the test lets it take. */
struct ear {
    struct test *t;
    const char *name;
    struct bus *bus;
    struct lock lock;
    struct cond changed;
    struct heard heard[HEARD_MAX];
    int heard_count, deliveries;
    size_t batch_max;
    bool shut; /* waits in take */
    size_t (*limit)(struct ear *ear, const struct bus_event *events, size_t count);
    int left; /* for `limit` */
};

/* Who publishes: notes what was acked, by number. */
struct mouth {
    struct test *t;
    struct lock lock;
    struct cond changed;
    int acked[KEYS_MAX][HEARD_MAX / 10];
    int acked_count;
};

static int key_of(str key)
{
    int64_t number;
    ASSERT(str_to_int64(key, 0, KEYS_MAX - 1, &number));
    return (int)number;
}

static size_t ear_take(void *self, const struct bus_event *events, size_t count)
{
    struct ear *ear = self;
    int64_t now_us = clock_mono_us();
    lock_take(&ear->lock);
    for (size_t i = 0; i < count; i++) {
        ASSERT(ear->heard_count < HEARD_MAX);
        ASSERT(str_equal(events[i].payload, STR("a payload")));
        ear->heard[ear->heard_count++] = (struct heard){ .key = key_of(events[i].key),
                                                         .number = events[i].number,
                                                         .at_us = now_us };
    }
    ear->deliveries++;
    ear->batch_max = count > ear->batch_max ? count : ear->batch_max;
    cond_wake_all(&ear->changed);
    while (ear->shut)
        cond_wait(&ear->changed, &ear->lock);
    size_t taken = ear->limit ? ear->limit(ear, events, count) : count;
    lock_drop(&ear->lock);
    return taken;
}

static void ear_done(void *subject)
{
    struct ear *ear = subject;
    cond_done(&ear->changed);
    lock_done(&ear->lock);
}

static struct ear *ear_of(struct test *t, struct bus *bus, const char *name, const char *topic)
{
    struct ear *ear = arena_new(t->arena, struct ear);
    ear->t = t;
    ear->name = name;
    ear->bus = bus;
    lock_init(&ear->lock);
    cond_init(&ear->changed);
    arena_defer(t->arena, ear_done, ear);
    bus_subscribe(bus, &(struct bus_consumer){ .name = name, .self = ear, .take = ear_take },
                  &topic, 1);
    return ear;
}

static void ear_open(struct ear *ear)
{
    lock_take(&ear->lock);
    ear->shut = false;
    cond_wake_all(&ear->changed);
    lock_drop(&ear->lock);
}

static void ear_wait(struct ear *ear, int count)
{
    struct test *t = ear->t;
    bool in_time = true;
    int64_t deadline_us = clock_mono_us() + WAIT_US;
    lock_take(&ear->lock);
    while (ear->heard_count < count && in_time)
        in_time = cond_wait_until(&ear->changed, &ear->lock, deadline_us);
    int heard = ear->heard_count;
    lock_drop(&ear->lock);
    if (heard < count)
        FAIL("%s heard %d of %d", ear->name, heard, count);
    (void)t;
}

static int ear_count(struct ear *ear)
{
    lock_take(&ear->lock);
    int count = ear->heard_count;
    lock_drop(&ear->lock);
    return count;
}

static struct mouth *mouth_of(struct test *t)
{
    struct mouth *mouth = arena_new(t->arena, struct mouth);
    mouth->t = t;
    lock_init(&mouth->lock);
    cond_init(&mouth->changed);
    return mouth;
}

/* An id that tells key and number. */
static struct uuid id_of(int key, int64_t number)
{
    struct uuid id = { { 0 } };
    id.bytes[0] = (uint8_t)key;
    memcpy(id.bytes + 8, &number, sizeof number);
    return id;
}

static void mouth_acked(void *subject, const struct uuid *ids, size_t count)
{
    struct mouth *mouth = subject;
    lock_take(&mouth->lock);
    for (size_t i = 0; i < count; i++) {
        int64_t number;
        memcpy(&number, ids[i].bytes + 8, sizeof number);
        mouth->acked[ids[i].bytes[0]][number]++;
        mouth->acked_count++;
    }
    cond_wake_all(&mouth->changed);
    lock_drop(&mouth->lock);
}

static void mouth_wait(struct mouth *mouth, int count)
{
    bool in_time = true;
    int64_t deadline_us = clock_mono_us() + WAIT_US;
    lock_take(&mouth->lock);
    while (mouth->acked_count < count && in_time)
        in_time = cond_wait_until(&mouth->changed, &mouth->lock, deadline_us);
    int acked = mouth->acked_count;
    lock_drop(&mouth->lock);
    if (acked != count)
        FAIL("%d of %d were acked", acked, count);
}

static int mouth_count(struct mouth *mouth)
{
    lock_take(&mouth->lock);
    int count = mouth->acked_count;
    lock_drop(&mouth->lock);
    return count;
}

/* Publishes numbers [first, last] of a key at once; nothing of it is needed any more then. */
static void say(struct mouth *mouth, struct bus *bus, const char *topic, int key, int64_t first,
                int64_t last)
{
    struct arena *arena = arena_open(SIZE_MAX);
    size_t count = (size_t)(last - first + 1);
    struct bus_event *events = arena_array(arena, struct bus_event, count);
    for (size_t i = 0; i < count; i++)
        events[i] = (struct bus_event){ .id = id_of(key, first + (int64_t)i),
                                        .type = str_copy(arena, STR("test.v1.Said")),
                                        .topic = str_copy(arena, str_of_z(topic)),
                                        .key = str_format(arena, "%d", key),
                                        .number = first + (int64_t)i,
                                        .payload = str_copy(arena, STR("a payload")) };
    bus_publish(bus, events, count, mouth_acked, mouth);
    arena_close(arena);
}

static void stop_and_close(void *bus)
{
    bus_stop(bus);
    bus_close(bus);
}

static struct bus *bus_of(struct test *t, const struct bus_faults *faults)
{
    struct bus *bus = bus_open_local(EVENTS_MAX, faults);
    arena_defer(t->arena, stop_and_close, bus);
    return bus;
}

static void check_heard(struct test *t, struct ear *ear, const int64_t *numbers, int count)
{
    lock_take(&ear->lock);
    int heard = ear->heard_count;
    bool same = heard == count;
    for (int i = 0; same && i < count; i++)
        same = ear->heard[i].number == numbers[i];
    lock_drop(&ear->lock);
    CHECK_INT(heard, count);
    CHECK(same);
    (void)t;
}

/* ---- the way that all goes ---- */

TEST(the_shard_of_a_key_is_the_same_for_ever)
{
    CHECK_INT(bus_shard(STR("")), 0);
    CHECK_INT(bus_shard(STR("a")), 3);
    CHECK_INT(bus_shard(STR("order-7")), 10);
    CHECK_INT(bus_shard(STR("0190b0a2-0000-7000-8000-000000000000")), 11);
    bool seen[BUS_SHARDS] = { false };
    for (int i = 0; i < 1000; i++)
        seen[bus_shard(str_format(t->arena, "%d", i))] = true;
    for (int i = 0; i < BUS_SHARDS; i++)
        CHECK(seen[i]);
}

TEST(each_consumer_of_a_topic_hears_all_of_it_in_order)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *one = ear_of(t, bus, "one", "test.v1"), *two = ear_of(t, bus, "two", "test.v1"),
               *deaf = ear_of(t, bus, "deaf", "other.v1");
    bus_start(bus);
    int64_t numbers[1000];
    for (int i = 0; i < 1000; i++)
        numbers[i] = i + 1;
    for (int i = 0; i < 1000; i += 10)
        say(mouth, bus, "test.v1", 3, i + 1, i + 10);
    ear_wait(one, 1000);
    ear_wait(two, 1000);
    mouth_wait(mouth, 1000);
    check_heard(t, one, numbers, 1000);
    check_heard(t, two, numbers, 1000);
    CHECK_INT(ear_count(deaf), 0);
    CHECK_INT(bus_backlog(bus), 0);
}

TEST(what_was_published_before_the_start_is_delivered_after_it)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    say(mouth, bus, "test.v1", 1, 1, 5);
    CHECK_INT(bus_backlog(bus), 5);
    CHECK_INT(ear_count(ear), 0);
    bus_start(bus);
    mouth_wait(mouth, 5);
}

TEST(an_event_without_a_consumer_is_acked_at_once)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    ear_of(t, bus, "one", "test.v1");
    say(mouth, bus, "nobody.v1", 1, 1, 3);
    CHECK_INT(mouth_count(mouth), 3);
    CHECK_INT(bus_backlog(bus), 0);
}

TEST(an_event_is_acked_once_when_the_last_of_its_consumers_has_taken_it)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *quick = ear_of(t, bus, "quick", "test.v1"),
               *slow = ear_of(t, bus, "slow", "test.v1");
    slow->shut = true;
    bus_start(bus);
    say(mouth, bus, "test.v1", 1, 1, 1);
    ear_wait(quick, 1);
    ear_wait(slow, 1);
    sleep_until(clock_mono_us() + 20 * MS);
    CHECK_INT(mouth_count(mouth), 0);
    CHECK_INT(bus_backlog(bus), 1);
    ear_open(slow);
    mouth_wait(mouth, 1);
    CHECK_INT(mouth->acked[1][1], 1);
}

TEST(a_batch_has_at_most_512_events)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    for (int key = 0; key < 10; key++)
        say(mouth, bus, "test.v1", key, 1, 100);
    bus_start(bus);
    mouth_wait(mouth, 1000);
    CHECK_INT(ear->batch_max, BUS_BATCH_MAX);
}

/* ---- what is not taken ---- */

/* Takes nothing, so many times. */
static size_t refuse_some(struct ear *ear, const struct bus_event *events, size_t count)
{
    (void)events;
    return ear->left-- > 0 ? 0 : count;
}

TEST(what_is_not_taken_comes_again_after_longer_and_longer_times)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    ear->limit = refuse_some;
    ear->left = 5;
    bus_start(bus);
    say(mouth, bus, "test.v1", 1, 1, 1);
    mouth_wait(mouth, 1);
    CHECK_INT(ear->heard_count, 6);
    for (int i = 1; i < 6; i++) { /* 10, 20, 40, 80, 160 ms */
        int64_t rested_us = ear->heard[i].at_us - ear->heard[i - 1].at_us;
        CHECK(rested_us >= (10 << (i - 1)) * MS);
    }
}

TEST(after_a_success_the_next_rest_is_short_again)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    ear->limit = refuse_some;
    ear->left = 7; /* 10 to 640 ms */
    bus_start(bus);
    say(mouth, bus, "test.v1", 1, 1, 1);
    mouth_wait(mouth, 1);
    lock_take(&ear->lock);
    ear->left = 1;
    lock_drop(&ear->lock);
    say(mouth, bus, "test.v1", 1, 2, 2);
    mouth_wait(mouth, 2);
    CHECK_INT(ear->heard_count, 10);
    int64_t rested_us = ear->heard[9].at_us - ear->heard[8].at_us;
    CHECK(rested_us >= 10 * MS && rested_us < 1000 * MS);
}

static size_t take_three(struct ear *ear, const struct bus_event *events, size_t count)
{
    (void)ear, (void)events;
    return count < 3 ? count : 3;
}

TEST(the_first_of_a_batch_are_acked_although_the_rest_is_not_taken)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    ear->limit = take_three;
    say(mouth, bus, "test.v1", 1, 1, 7);
    bus_start(bus);
    mouth_wait(mouth, 7);
    static const int64_t numbers[] = { 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 7 };
    check_heard(t, ear, numbers, 12);
}

/* Refuses key 1 so many times; takes what stands before it. */
static size_t refuse_one(struct ear *ear, const struct bus_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (key_of(events[i].key) == 1 && ear->left-- > 0)
            return i;
    return count;
}

TEST(nothing_of_a_key_overtakes_what_was_not_taken)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    ear->limit = refuse_one;
    ear->left = 3;
    bus_start(bus);
    for (int64_t number = 1; number <= 50; number++) {
        say(mouth, bus, "test.v1", 1, number, number);
        sleep_until(clock_mono_us() + MS);
    }
    mouth_wait(mouth, 50);
    int64_t highest = 0;
    for (int i = 0; i < ear->heard_count; i++) {
        CHECK(ear->heard[i].number <= highest + 1);
        if (ear->heard[i].number > highest)
            highest = ear->heard[i].number;
    }
}

TEST(keys_of_other_shards_go_on_while_one_rests)
{
    int other = 2;
    while (bus_shard(str_format(t->arena, "%d", other)) == bus_shard(STR("1")))
        other++;
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    ear->limit = refuse_one;
    ear->left = 1000000;
    bus_start(bus);
    say(mouth, bus, "test.v1", 1, 1, 1);
    for (int i = 1; i <= 20; i++)
        say(mouth, bus, "test.v1", other, i, i);
    mouth_wait(mouth, 20);
    CHECK_INT(mouth->acked[1][1], 0);
    CHECK_INT(bus_backlog(bus), 1);
    (void)ear;
}

/* ---- the faults of a test ---- */

static int64_t twice(void *self, const char *consumer, const struct bus_event *event, bool *repeat)
{
    (void)self, (void)event;
    *repeat = strcmp(consumer, "one") == 0;
    return 0;
}

TEST(a_repeated_delivery_is_acked_once_after_both)
{
    struct bus *bus = bus_of(t, &(struct bus_faults){ .fate = twice });
    struct mouth *mouth = mouth_of(t);
    struct ear *one = ear_of(t, bus, "one", "test.v1"), *two = ear_of(t, bus, "two", "test.v1");
    bus_start(bus);
    say(mouth, bus, "test.v1", 1, 1, 3);
    mouth_wait(mouth, 3);
    ear_wait(one, 6);
    static const int64_t doubled[] = { 1, 1, 2, 2, 3, 3 }, single[] = { 1, 2, 3 };
    check_heard(t, one, doubled, 6);
    check_heard(t, two, single, 3);
}

static int64_t first_is_late(void *self, const char *consumer, const struct bus_event *event,
                             bool *repeat)
{
    (void)self, (void)consumer, (void)repeat;
    return event->number == 1 ? 50 * MS : 0;
}

TEST(a_late_event_is_overtaken_and_still_comes)
{
    struct bus *bus = bus_of(t, &(struct bus_faults){ .fate = first_is_late });
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    bus_start(bus);
    say(mouth, bus, "test.v1", 1, 1, 3);
    mouth_wait(mouth, 3);
    static const int64_t numbers[] = { 2, 3, 1 };
    check_heard(t, ear, numbers, 3);
    CHECK(ear->heard[2].at_us - ear->heard[0].at_us >= 40 * MS);
}

/* ---- the end ---- */

TEST(what_was_not_acked_when_the_bus_stops_never_is)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    ear->limit = refuse_some;
    ear->left = 1000000;
    say(mouth, bus, "test.v1", 1, 1, 100);
    bus_start(bus);
    ear_wait(ear, 100);
    bus_stop(bus);
    CHECK_INT(mouth_count(mouth), 0);
    CHECK_INT(bus_backlog(bus), 100);
    say(mouth, bus, "test.v1", 2, 1, 10); /* nobody waits for it any more */
    CHECK_INT(bus_backlog(bus), 110);
}

TEST(a_bus_that_was_never_started_can_be_closed)
{
    struct bus *bus = bus_of(t, NULL);
    ear_of(t, bus, "one", "test.v1");
    ear_of(t, bus, "two", "test.v1");
    say(mouth_of(t), bus, "test.v1", 1, 1, 100);
}

struct full {
    struct mouth *mouth;
    struct bus *bus;
    bool said; /* atomic */
};

static void say_more(void *subject)
{
    struct full *full = subject;
    say(full->mouth, full->bus, "test.v1", 3, 1, 10);
    __atomic_store_n(&full->said, true, __ATOMIC_RELEASE);
}

static bool has_said(const struct full *full)
{
    return __atomic_load_n(&full->said, __ATOMIC_ACQUIRE);
}

TEST(publishers_wait_while_the_bus_is_full)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    ear->shut = true;
    bus_start(bus);
    say(mouth, bus, "test.v1", 1, 1, 512);
    say(mouth, bus, "test.v1", 2, 1, 512);
    struct full full = { mouth, bus, false };
    struct thread *thread = thread_start("full", say_more, &full);
    sleep_until(clock_mono_us() + 50 * MS);
    bool early = has_said(&full);
    int64_t backlog = bus_backlog(bus);
    ear_open(ear);
    thread_join(thread);
    CHECK(!early);
    CHECK_INT(backlog, EVENTS_MAX);
    mouth_wait(mouth, EVENTS_MAX + 10);
}

TEST(a_publisher_that_waits_goes_on_when_the_bus_stops)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ear = ear_of(t, bus, "one", "test.v1");
    ear->limit = refuse_some;
    ear->left = 1000000;
    bus_start(bus);
    say(mouth, bus, "test.v1", 1, 1, 512);
    say(mouth, bus, "test.v1", 2, 1, 512);
    struct full full = { mouth, bus, false };
    struct thread *thread = thread_start("full", say_more, &full);
    sleep_until(clock_mono_us() + 20 * MS);
    bool early = has_said(&full);
    bus_stop(bus);
    thread_join(thread);
    CHECK(!early);
    CHECK_INT(mouth_count(mouth), 0);
}

TEST(more_than_the_bus_can_ever_hold_is_a_broken_invariant)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    CHECK_PANICS(say(mouth, bus, "test.v1", 1, 1, EVENTS_MAX + 1));
}

/* ---- many at once ---- */

enum { CROWD = 4, CROWD_EVENTS = 400 };

struct speaker {
    struct mouth *mouth;
    struct bus *bus;
    int key;
};

static void speak(void *subject)
{
    struct speaker *speaker = subject;
    for (int64_t number = 1; number <= CROWD_EVENTS; number++)
        say(speaker->mouth, speaker->bus, "test.v1", speaker->key, number, number);
}

/* Refuses now and then, in the middle of a batch. */
static size_t refuse_often(struct ear *ear, const struct bus_event *events, size_t count)
{
    (void)events;
    return ++ear->left % 5 == 0 ? count / 2 : count;
}

static void check_order(struct test *t, const struct ear *ear)
{
    int64_t highest[KEYS_MAX] = { 0 };
    for (int i = 0; i < ear->heard_count; i++) {
        const struct heard *heard = &ear->heard[i];
        CHECK(heard->number <= highest[heard->key] + 1);
        if (heard->number > highest[heard->key])
            highest[heard->key] = heard->number;
    }
    for (int key = 0; key < CROWD; key++)
        CHECK_INT(highest[key], CROWD_EVENTS);
    (void)t;
}

TEST(many_publishers_and_consumers_keep_the_order_of_each_key)
{
    struct bus *bus = bus_of(t, NULL);
    struct mouth *mouth = mouth_of(t);
    struct ear *ears[3] = { ear_of(t, bus, "one", "test.v1"), ear_of(t, bus, "two", "test.v1"),
                            ear_of(t, bus, "three", "test.v1") };
    ears[1]->limit = refuse_often;
    bus_start(bus);
    struct speaker speakers[CROWD];
    struct thread *threads[CROWD];
    for (int i = 0; i < CROWD; i++) {
        speakers[i] = (struct speaker){ mouth, bus, i };
        threads[i] = thread_start("speak", speak, &speakers[i]);
    }
    for (int i = 0; i < CROWD; i++)
        thread_join(threads[i]);
    mouth_wait(mouth, CROWD * CROWD_EVENTS);
    bus_stop(bus);
    for (int i = 0; i < 3; i++)
        check_order(t, ears[i]);
    for (int key = 0; key < CROWD; key++)
        for (int number = 1; number <= CROWD_EVENTS; number++)
            CHECK_INT(mouth->acked[key][number], 1);
    CHECK_INT(bus_backlog(bus), 0);
}
