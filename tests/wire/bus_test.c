/* The face of the bus, held against whatever driver BUS_URL names (BUS_* as the settings are
 * called; local: where it is unset). Topics and consumers have names of their own in each run, so
 * that a broker may be used again. A bus that is opened anew stands for a process that was started
 * anew: what was not acked is published again, as the relay does. */
#include "base/crypto.h"
#include "chassis/bus.h"
#include "chassis/http.h"
#include "chassis/obs.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "tests/lib/test.h"
#include <stdio.h>

enum { KEYS = 32, NUMBERS = 512, HEARD_MAX = 20000, MS = 1000 };

static const char *setting(const char *name, const char *standard)
{
    const char *value = getenv(name);
    return value && *value ? value : standard;
}

static bool is_direct(void) { return strcmp(setting("BUS_URL", ""), "direct:") == 0; }

/* Without a broker what was published is acked when it has its effect. */
static bool is_local(void)
{
    return is_direct() || strcmp(setting("BUS_URL", "local:"), "local:") == 0;
}

static int64_t number_of(const char *text)
{
    int64_t number = 0;
    CHECK(str_to_int64(str_of_z(text), 1, 3600, &number));
    return number;
}

/* How long something may take: BUS_TEST_SECONDS, for who expects that it never comes. */
static int64_t patience_us(void) { return number_of(setting("BUS_TEST_SECONDS", "60")) * 1000000; }

/* ---- who publishes ---- */

struct mouth {
    struct test *t;
    const char *topic;
    struct lock lock;
    struct cond changed;
    int said[KEYS]; /* numbers 1 to said[key] were published */
    int acked[KEYS][NUMBERS + 1];
    int acked_count;
};

static struct mouth *mouth_of(struct test *t, const char *name)
{
    struct mouth *mouth = arena_new(t->arena, struct mouth);
    mouth->t = t;
    mouth->topic =
        str_z(t->arena, str_format(t->arena, "%s-%08x.v1", name, (unsigned)random_u64()));
    lock_init(&mouth->lock);
    cond_init(&mouth->changed);
    return mouth;
}

static struct uuid id_of(const struct mouth *mouth, int key, int number)
{
    struct uuid id =
        uuid_of_name(str_of_z(mouth->topic), str_format(mouth->t->arena, "%d/%d", key, number));
    id.bytes[0] = (uint8_t)key;
    id.bytes[1] = (uint8_t)(number >> 8);
    id.bytes[2] = (uint8_t)number;
    return id;
}

static void mouth_acked(void *subject, const struct uuid *ids, size_t count)
{
    struct mouth *mouth = subject;
    lock_take(&mouth->lock);
    for (size_t i = 0; i < count; i++) {
        int number = ids[i].bytes[1] << 8 | ids[i].bytes[2];
        mouth->acked[ids[i].bytes[0]][number]++;
        mouth->acked_count++;
    }
    cond_wake_all(&mouth->changed);
    lock_drop(&mouth->lock);
}

static struct bus_event event_of(struct arena *arena, const struct mouth *mouth, int key,
                                 int number)
{
    return (struct bus_event){
        .id = id_of(mouth, key, number),
        .type = STR("test.v1.Said"),
        .topic = str_of_z(mouth->topic),
        .key = str_format(arena, "key-%d", key),
        .number = number,
        .payload = str_format(arena, "%c%c of %d/%d", 1, 0xff, key, number),
        .traceparent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        .at = INT64_C(1767225600123456),
    };
}

/* The next `count` numbers of a key, at once. */
static void say(struct mouth *mouth, struct bus *bus, int key, int count)
{
    struct bus_event events[BUS_BATCH_MAX];
    for (int i = 0; i < count; i++)
        events[i] = event_of(mouth->t->arena, mouth, key, ++mouth->said[key]);
    bus_publish(bus, events, (size_t)count, mouth_acked, mouth);
}

/* What a relay does at its start: all that was not acked, in order. */
static void say_again(struct mouth *mouth, struct bus *bus)
{
    for (int key = 0; key < KEYS; key++)
        for (int number = 1; number <= mouth->said[key]; number++) {
            lock_take(&mouth->lock);
            bool acked = mouth->acked[key][number] > 0;
            lock_drop(&mouth->lock);
            struct bus_event event = event_of(mouth->t->arena, mouth, key, number);
            if (!acked)
                bus_publish(bus, &event, 1, mouth_acked, mouth);
        }
}

static void mouth_wait(struct mouth *mouth, int count)
{
    int64_t deadline_us = clock_mono_us() + patience_us();
    lock_take(&mouth->lock);
    while (mouth->acked_count < count &&
           cond_wait_until(&mouth->changed, &mouth->lock, deadline_us))
        ;
    int acked = mouth->acked_count;
    lock_drop(&mouth->lock);
    if (acked != count)
        FAIL("%d of %d were acked", acked, count);
}

/* ---- who listens ---- */

struct ear {
    struct test *t;
    const char *name, *topic;
    struct lock lock;
    struct cond changed;
    struct heard {
        int key, number;
        int64_t at_us;
        bool taken;
    } heard[HEARD_MAX];
    int heard_count;
    size_t batch_max;
    size_t (*limit)(struct ear *ear, const struct bus_event *events, size_t count);
    int left;  /* for `limit` */
    int wrong; /* events that did not come as they were sent */
};

static struct ear *ear_of(struct test *t, const struct mouth *mouth, const char *name)
{
    struct ear *ear = arena_new(t->arena, struct ear);
    ear->t = t;
    ear->name = str_z(t->arena, str_format(t->arena, "%s-%08x", name, (unsigned)random_u64()));
    ear->topic = mouth->topic;
    lock_init(&ear->lock);
    cond_init(&ear->changed);
    return ear;
}

static int number_behind(str s, size_t from)
{
    int64_t number = -1;
    (void)str_to_int64(str_slice(s, from, SIZE_MAX), 0, INT32_MAX, &number);
    return (int)number;
}

static bool came_whole(const struct ear *ear, const struct bus_event *event)
{
    char payload[64];
    int key = number_behind(event->key, 4);
    int length = snprintf(payload, sizeof payload, "%c%c of %d/%lld", 1, 0xff, key,
                          (long long)event->number);
    return str_equal(event->type, STR("test.v1.Said")) &&
           str_equal(event->topic, str_of_z(ear->topic)) &&
           str_equal(event->traceparent,
                     STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")) &&
           event->at == INT64_C(1767225600123456) && event->id.bytes[0] == key &&
           (event->id.bytes[1] << 8 | event->id.bytes[2]) == event->number &&
           str_equal(event->payload, str_of(payload, (size_t)length));
}

static size_t ear_take(void *self, const struct bus_event *events, size_t count)
{
    struct ear *ear = self;
    int64_t now_us = clock_mono_us();
    lock_take(&ear->lock);
    int first = ear->heard_count;
    for (size_t i = 0; i < count; i++) {
        ASSERT(ear->heard_count < HEARD_MAX);
        ear->wrong += !came_whole(ear, &events[i]);
        ear->heard[ear->heard_count++] = (struct heard){ .key = number_behind(events[i].key, 4),
                                                         .number = (int)events[i].number,
                                                         .at_us = now_us };
    }
    ear->batch_max = count > ear->batch_max ? count : ear->batch_max;
    size_t taken = ear->limit ? ear->limit(ear, events, count) : count;
    for (size_t i = 0; i < taken; i++)
        ear->heard[first + (int)i].taken = true;
    cond_wake_all(&ear->changed);
    lock_drop(&ear->lock);
    return taken;
}

static int taken_count(struct ear **ears, int ears_count)
{
    static bool taken[KEYS][NUMBERS + 1];
    int count = 0;
    memset(taken, 0, sizeof taken);
    for (int i = 0; i < ears_count; i++) {
        lock_take(&ears[i]->lock);
        for (int j = 0; j < ears[i]->heard_count; j++) {
            const struct heard *heard = &ears[i]->heard[j];
            count += heard->taken && !taken[heard->key][heard->number];
            taken[heard->key][heard->number] |= heard->taken;
        }
        lock_drop(&ears[i]->lock);
    }
    return count;
}

/* Until so many different events were taken by them together. */
static void ears_wait(struct test *t, struct ear **ears, int ears_count, int count)
{
    int64_t deadline_us = clock_mono_us() + patience_us();
    while (taken_count(ears, ears_count) < count) {
        if (clock_mono_us() > deadline_us)
            FAIL("%s took %d of %d", ears[0]->name, taken_count(ears, ears_count), count);
        sleep_until(clock_mono_us() + 5 * MS);
    }
    (void)t;
}

static void ear_wait(struct ear *ear, int count) { ears_wait(ear->t, &ear, 1, count); }

/* Each number of a key is heard for the first time after the one before it, and came whole. */
static void check_order(struct test *t, const struct ear *ear)
{
    int highest[KEYS] = { 0 };
    for (int i = 0; i < ear->heard_count; i++) {
        const struct heard *heard = &ear->heard[i];
        if (heard->number > highest[heard->key] + 1)
            FAIL("%s heard %d of key %d after %d", ear->name, heard->number, heard->key,
                 highest[heard->key]);
        if (heard->number > highest[heard->key])
            highest[heard->key] = heard->number;
    }
    CHECK_INT(ear->wrong, 0);
    (void)t;
}

/* ---- the bus ---- */

struct running {
    struct bus *bus;
    /* Of the direct bus: the door that its events come to. */
    struct loop *loop;
    struct http_server *server;
    struct thread *thread;
    struct loop_task close;
    struct bus_listener listeners[2];
};

static void handle(void *self, struct request *request)
{
    struct running *running = self;
    request_identify(request);
    if (!bus_receive(running->bus, request))
        request_respond(request);
}

static void run_loop(void *loop) { loop_run(loop); }

static void on_closed(void *loop) { loop_stop(loop); }

static void close_door(struct loop_task *task)
{
    struct running *running = (struct running *)((char *)task - offsetof(struct running, close));
    http_close(running->server, 1000, on_closed, running->loop);
}

/* Opens a door; gives the URL of a bus that pushes all events to it. */
static str open_door(struct test *t, struct running *running, struct ear **ears, int ears_count)
{
    struct http_config config = { .address = STR("127.0.0.1:0"),
                                  .setting = "ADDRESS",
                                  .head_bytes_max = 16384,
                                  .target_bytes_max = 8192,
                                  .body_bytes_max = BUS_PUSH_BYTES_MAX,
                                  .head_timeout_ms = 10000,
                                  .body_timeout_ms = 10000,
                                  .idle_timeout_ms = 60000,
                                  .write_timeout_ms = 10000,
                                  .connections_max = 256,
                                  .arena_bytes_max = 1024 * 1024 };
    struct http_handler handler = { .self = running, .handle = handle };
    struct text url = text_init(t->arena, 256);
    running->loop = loop_open();
    running->close.run = close_door;
    CHECK_OK(http_open(t->arena, running->loop, &config, &handler, &running->server));
    text_add(&url, STR("direct:?"));
    for (int i = 0; i < ears_count; i++) {
        running->listeners[i] = (struct bus_listener){ ears[i]->name, &ears[i]->topic, 1 };
        text_add_format(&url, "%s=http://127.0.0.1:%d&", ears[i]->name, http_port(running->server));
    }
    return text_str(&url);
}

static void running_stop(struct running *running)
{
    if (!running->bus)
        return;
    bus_stop(running->bus);
    if (running->loop) {
        loop_post(running->loop, &running->close);
        thread_join(running->thread);
        loop_close(running->loop);
    }
    bus_close(running->bus);
    *running = (struct running){ 0 };
}

static void running_done(void *running) { running_stop(running); }

static struct running *running_of(struct test *t, struct ear **ears, int ears_count)
{
    crypto_init();
    struct running *running = arena_new(t->arena, struct running);
    struct bus_config config = {
        .url = str_of_z(setting("BUS_URL", "local:")),
        .user = str_of_z(setting("BUS_USER", "")),
        .password = str_of_z(setting("BUS_PASSWORD", "")),
        .tls_ca = str_of_z(setting("BUS_TLS_CA_FILE", "")),
        .tls_cert = str_of_z(setting("BUS_TLS_CERT_FILE", "")),
        .tls_key = str_of_z(setting("BUS_TLS_KEY_FILE", "")),
        .events_max = 8192,
    };
    if (is_direct()) {
        config.url = open_door(t, running, ears, ears_count);
        config.listeners = running->listeners;
        config.listeners_count = ears_count;
    }
    CHECK_OK(bus_open(t->arena, &config, &running->bus));
    arena_defer(t->arena, running_done, running);
    for (int i = 0; i < ears_count; i++)
        bus_subscribe(
            running->bus,
            &(struct bus_consumer){ .name = ears[i]->name, .self = ears[i], .take = ear_take },
            &ears[i]->topic, 1);
    bus_start(running->bus);
    if (running->loop)
        running->thread = thread_start("door", run_loop, running->loop);
    return running;
}

/* ---- the way that all goes ---- */

TEST(each_consumer_hears_all_events_whole_and_in_order_per_key)
{
    struct mouth *mouth = mouth_of(t, "all");
    struct ear *ears[] = { ear_of(t, mouth, "one"), ear_of(t, mouth, "two") };
    struct running *running = running_of(t, ears, 2);
    for (int round = 0; round < 10; round++)
        for (int key = 0; key < KEYS; key++)
            say(mouth, running->bus, key, 4);
    mouth_wait(mouth, KEYS * 40);
    ear_wait(ears[0], KEYS * 40);
    ear_wait(ears[1], KEYS * 40);
    CHECK_INT(bus_backlog(running->bus), 0);
    running_stop(running);
    for (int key = 0; key < KEYS; key++)
        for (int number = 1; number <= 40; number++)
            CHECK_INT(mouth->acked[key][number], 1);
    check_order(t, ears[0]);
    check_order(t, ears[1]);
}

/* A broker may name who leads a new topic before that one knows of it. */
TEST(the_first_events_of_a_new_topic_are_all_there)
{
    int64_t rounds = number_of(setting("BUS_TEST_ROUNDS", "3"));
    for (int64_t round = 0; round < rounds; round++) {
        struct mouth *mouth = mouth_of(t, "new");
        struct ear *ear = ear_of(t, mouth, "one");
        struct running *running = running_of(t, &ear, 1);
        for (int number = 0; number < 4; number++)
            for (int key = 0; key < KEYS; key++)
                say(mouth, running->bus, key, 1);
        mouth_wait(mouth, KEYS * 4);
        ear_wait(ear, KEYS * 4);
        running_stop(running);
        check_order(t, ear);
    }
}

TEST(an_event_that_nobody_consumes_is_acked)
{
    struct mouth *mouth = mouth_of(t, "nobody"), *other = mouth_of(t, "other");
    struct ear *ear = ear_of(t, other, "deaf");
    struct running *running = running_of(t, &ear, 1);
    say(mouth, running->bus, 1, 3);
    mouth_wait(mouth, 3);
    say(other, running->bus, 1, 1);
    ear_wait(ear, 1);
    running_stop(running);
    CHECK_INT(ear->heard_count, 1);
    check_order(t, ear);
}

static size_t take_slowly(struct ear *ear, const struct bus_event *events, size_t count)
{
    (void)events;
    if (ear->left++ == 0)
        sleep_until(clock_mono_us() + 300 * MS);
    return count;
}

TEST(what_gathers_while_a_batch_is_worked_on_comes_as_one)
{
    struct mouth *mouth = mouth_of(t, "batch");
    struct ear *ear = ear_of(t, mouth, "one");
    ear->limit = take_slowly;
    struct running *running = running_of(t, &ear, 1);
    for (int key = 0; key < KEYS; key++)
        say(mouth, running->bus, key, 32);
    ear_wait(ear, KEYS * 32);
    running_stop(running);
    CHECK(ear->batch_max >= 10 || strncmp(setting("BUS_URL", ""), "sqs", 3) == 0);
    CHECK(ear->batch_max <= BUS_BATCH_MAX);
    check_order(t, ear);
}

/* ---- what is not taken ---- */

static size_t refuse_some(struct ear *ear, const struct bus_event *events, size_t count)
{
    (void)events;
    return ear->left-- > 0 ? 0 : count;
}

TEST(what_is_not_taken_comes_again_after_longer_and_longer_times)
{
    struct mouth *mouth = mouth_of(t, "again");
    struct ear *ear = ear_of(t, mouth, "one");
    ear->limit = refuse_some;
    ear->left = 5;
    struct running *running = running_of(t, &ear, 1);
    say(mouth, running->bus, 1, 1);
    ear_wait(ear, 1);
    running_stop(running);
    CHECK_INT(ear->heard_count, 6);
    for (int i = 1; i < 6; i++)
        CHECK(ear->heard[i].at_us - ear->heard[i - 1].at_us >= (10 << (i - 1)) * MS);
}

/* Refuses key 1 so many times; takes what stands before it. */
static size_t refuse_one(struct ear *ear, const struct bus_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(events[i].key, STR("key-1")) && ear->left-- > 0)
            return i;
    return count;
}

/* The metric of what waits for a consumer, here and at the broker; brokers are asked every 5 s. */
static void wait_for_waiting(struct test *t, const struct ear *ear, int count)
{
    str line = str_format(t->arena, "\nduka_bus_waiting{consumer=\"%s\"} %d\n", ear->name, count);
    int64_t deadline_us = clock_mono_us() + patience_us();
    while (str_find(metrics_text(t->arena, METRICS_PROMETHEUS), line) < 0) {
        if (clock_mono_us() > deadline_us)
            FAIL("%s was never told to have %d waiting", ear->name, count);
        sleep_until(clock_mono_us() + 100 * MS);
    }
}

TEST(what_waits_for_a_consumer_is_told_and_that_nothing_does)
{
    struct mouth *mouth = mouth_of(t, "lag");
    struct ear *ear = ear_of(t, mouth, "one");
    ear->limit = refuse_one;
    ear->left = 1000000;
    struct running *running = running_of(t, &ear, 1);
    say(mouth, running->bus, 1, 7);
    wait_for_waiting(t, ear, 7);
    lock_take(&ear->lock);
    ear->left = 0;
    lock_drop(&ear->lock);
    ear_wait(ear, 7);
    wait_for_waiting(t, ear, 0);
    running_stop(running);
}

TEST(nothing_of_a_key_overtakes_what_was_not_taken)
{
    struct mouth *mouth = mouth_of(t, "order");
    struct ear *ear = ear_of(t, mouth, "one");
    ear->limit = refuse_one;
    ear->left = 6;
    struct running *running = running_of(t, &ear, 1);
    for (int round = 0; round < 50; round++)
        for (int key = 0; key < 4; key++)
            say(mouth, running->bus, key, 1);
    ear_wait(ear, 200);
    running_stop(running);
    CHECK(ear->left <= 0);
    check_order(t, ear);
}

TEST(keys_of_other_shards_go_on_while_one_rests)
{
    int other = 2;
    while (bus_shard(str_format(t->arena, "key-%d", other)) == bus_shard(STR("key-1")))
        other++;
    struct mouth *mouth = mouth_of(t, "rest");
    struct ear *ear = ear_of(t, mouth, "one");
    ear->limit = refuse_one;
    ear->left = 1000000;
    struct running *running = running_of(t, &ear, 1);
    say(mouth, running->bus, 1, 1);
    for (int i = 0; i < 20; i++)
        say(mouth, running->bus, other, 1);
    ear_wait(ear, 20);
    running_stop(running);
    for (int i = 0; i < ear->heard_count; i++)
        CHECK(ear->heard[i].key == other || !ear->heard[i].taken);
}

/* ---- stop and start ---- */

/* Takes up to `left` events in all, then none. */
static size_t take_some(struct ear *ear, const struct bus_event *events, size_t count)
{
    (void)events;
    size_t taken = (size_t)ear->left < count ? (size_t)ear->left : count;
    ear->left -= (int)taken;
    return taken;
}

TEST(after_a_restart_comes_what_was_not_taken_and_nothing_else)
{
    struct mouth *mouth = mouth_of(t, "restart");
    struct ear *ear = ear_of(t, mouth, "one");
    ear->limit = take_some;
    ear->left = 100;
    struct running *running = running_of(t, &ear, 1);
    for (int key = 0; key < 10; key++)
        say(mouth, running->bus, key, 30);
    ear_wait(ear, 100);
    if (!is_local())
        mouth_wait(mouth, 300);              /* the broker has them all */
    sleep_until(clock_mono_us() + 300 * MS); /* for the acks of the last that were taken */
    running_stop(running);
    int before = ear->heard_count;
    ear->limit = NULL;

    running = running_of(t, &ear, 1);
    say_again(mouth, running->bus);
    ear_wait(ear, 300);
    running_stop(running);
    check_order(t, ear);
    for (int i = 0; i < before; i++)
        for (int j = before; ear->heard[i].taken && j < ear->heard_count; j++)
            if (ear->heard[j].key == ear->heard[i].key &&
                ear->heard[j].number == ear->heard[i].number)
                FAIL("%d of key %d was taken before the restart and came again",
                     ear->heard[i].number, ear->heard[i].key);
}

TEST(what_was_published_just_before_a_stop_is_acked_or_published_again)
{
    struct mouth *mouth = mouth_of(t, "stop");
    struct ear *ear = ear_of(t, mouth, "one");
    int published = 0;
    for (int round = 0; round < 4; round++) {
        struct running *running = running_of(t, &ear, 1);
        say_again(mouth, running->bus);
        for (int key = 0; key < KEYS; key++, published += 8)
            say(mouth, running->bus, key, 8);
        running_stop(running); /* in the middle of it all */
    }
    struct running *running = running_of(t, &ear, 1);
    say_again(mouth, running->bus);
    ear_wait(ear, published);
    running_stop(running);
    check_order(t, ear);
}

/* ---- several of one name ---- */

TEST(consumers_of_one_name_share_the_work_and_hand_it_over_whole)
{
    if (is_local())
        SKIP("without a broker nothing is shared out: who answers at the address takes it");
    struct mouth *mouth = mouth_of(t, "share");
    struct ear *ears[4];
    struct running *running[4];
    ears[0] = ear_of(t, mouth, "one");
    running[0] = running_of(t, ears, 1);
    for (int i = 1; i < 4; i++) {
        ears[i] = ear_of(t, mouth, "one");
        ears[i]->name = ears[0]->name;
    }
    int said = 0;
    for (int round = 0; round < 8; round++) {
        if (round > 0 && round < 4)
            running[round] = running_of(t, &ears[round], 1);
        if (round > 4)
            running_stop(running[round - 5]);
        for (int key = 0; key < KEYS; key++, said += 5)
            say(mouth, running[3 > round ? 0 : 3]->bus, key, 5);
        ears_wait(t, ears, 4, said);
    }
    running_stop(running[3]);
    for (int i = 0; i < 4; i++)
        CHECK_INT(ears[i]->wrong, 0);
    CHECK(ears[3]->heard_count > 0);
}
