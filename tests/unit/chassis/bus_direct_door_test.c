/* What is refused at the door of the direct bus, each beside what is taken. */
#include "base/crypto.h"
#include "chassis/bus_direct.h"
#include "chassis/request.h"
#include "os/clock.h"
#include "tests/lib/test.h"

#include <stdio.h>

#define KEY "a secret of all services"

static const char *const TOPICS[] = { "orders.v1" };

struct door {
    struct test *t;
    struct bus *bus;
    size_t takes; /* of a batch */
    str refuses;  /* the key of what it does not take */
    int seen;
    int64_t number;
    bool readable;
    struct lock lock;
    struct cond answered;
    bool is_answered;
};

static size_t take(void *self, const struct bus_event *events, size_t count)
{
    struct door *door = self;
    door->number = events[0].number;
    door->readable = events[0].type.len > 0;
    for (size_t i = 0; i < count; i++) {
        if (door->refuses.ptr && str_equal(events[i].key, door->refuses))
            return i;
        door->seen++;
    }
    return door->takes < count ? door->takes : count;
}

static void door_done(void *self)
{
    struct door *door = self;
    bus_stop(door->bus);
    bus_close(door->bus);
}

static struct door *door_of(struct test *t)
{
    crypto_init();
    struct door *door = arena_new(t->arena, struct door);
    struct bus_config config = { .url = STR("direct:"),
                                 .password = STR(KEY),
                                 .events_max = BUS_BATCH_MAX };
    door->t = t;
    door->takes = BUS_BATCH_MAX;
    lock_init(&door->lock);
    cond_init(&door->answered);
    CHECK_OK(bus_open(t->arena, &config, &door->bus));
    arena_defer(t->arena, door_done, door);
    bus_subscribe(door->bus,
                  &(struct bus_consumer){ .name = "products", .self = door, .take = take }, TOPICS,
                  1);
    bus_start(door->bus);
    return door;
}

static void on_answer(struct request *request)
{
    struct door *door = request->transport;
    lock_take(&door->lock);
    door->is_answered = true;
    cond_wake_one(&door->answered);
    lock_drop(&door->lock);
}

struct wanted {
    const char *path, *key, *events;
    enum http_method method;
    int64_t late_s;
};

#define PATH "/internal/events/products"
#define EVENT(key, number)                                                              \
    "topic:orders.v1\nid:0190d3c1-7c3a-7000-8000-000000000001\nsource:/orders\n"        \
    "specversion:1.0\ntype:orders.v1.OrderPlaced\nsubject:" key "\nnumber:" number "\n" \
    "length:7\n\npayload"

static const struct wanted WELL = { PATH, KEY, EVENT("key%20one", "7"), HTTP_POST, 0 };

/* Sends events. */
static struct request *sent(struct door *door, struct wanted wanted)
{
    struct arena *arena = door->t->arena;
    struct direct_signed what = { .path = str_of_z(wanted.path), .body = str_of_z(wanted.events) };
    time_us at = clock_wall_us() - wanted.late_s * TIME_SECOND;
    struct header *headers = arena_new(arena, struct header);
    *headers = (struct header){ STR(DIRECT_SIGNATURE),
                                direct_sign(arena, str_of_z(wanted.key), at, &what) };
    struct request *request = arena_new(arena, struct request);
    *request = (struct request){ .arena = arena,
                                 .method = wanted.method,
                                 .path = what.path,
                                 .headers = headers,
                                 .headers_count = 1,
                                 .body = what.body,
                                 .respond = on_answer,
                                 .transport = door };
    door->is_answered = false;
    if (!bus_receive(door->bus, request))
        return request;
    lock_take(&door->lock);
    while (!door->is_answered)
        cond_wait(&door->answered, &door->lock);
    lock_drop(&door->lock);
    return request;
}

/* The status, or 0 where the bus does not want the path. */
static int status_of(struct door *door, struct wanted wanted)
{
    return sent(door, wanted)->response.status;
}

TEST(a_signed_event_is_answered_when_it_was_taken)
{
    struct door *door = door_of(t);
    CHECK_INT(status_of(door, WELL), 204);
    CHECK_INT(door->number, 7);
    CHECK(door->readable);
    door->takes = 0;
    CHECK_INT(status_of(door, WELL), 503);
    door->takes = 1;
    CHECK_INT(status_of(door, WELL), 204);
}

TEST(what_is_not_signed_by_a_neighbour_is_refused_before_anybody_sees_it)
{
    struct door *door = door_of(t);
    struct wanted wrong = WELL, late = WELL;
    wrong.key = "a secret of another shop";
    late.late_s = DIRECT_SKEW_S + 60;
    CHECK_INT(status_of(door, wrong), 401);
    CHECK_INT(status_of(door, late), 401);
    CHECK_INT(door->number, 0);
    CHECK_INT(status_of(door, WELL), 204);
}

TEST(only_consumers_and_topics_of_this_process_are_served_and_only_by_post)
{
    struct door *door = door_of(t);
    struct wanted other = WELL, topic = WELL, get = WELL, elsewhere = WELL;
    other.path = "/internal/events/orders";
    topic.events = "topic:users.v1\nlength:0\n\n";
    get.method = HTTP_GET;
    elsewhere.path = "/products";
    CHECK_INT(status_of(door, other), 404);
    CHECK_INT(status_of(door, topic), 503);
    CHECK_INT(status_of(door, get), 405);
    CHECK_INT(status_of(door, elsewhere), 0);
    CHECK_INT(status_of(door, WELL), 204);
}

TEST(an_event_that_cannot_be_read_comes_without_a_type_for_the_dead_letters)
{
    struct door *door = door_of(t);
    struct wanted broken = WELL;
    broken.events = EVENT("k", "0");
    CHECK_INT(status_of(door, broken), 204);
    CHECK(!door->readable);
}

TEST(what_is_not_events_is_refused_whole)
{
    struct door *door = door_of(t);
    struct wanted wrong = WELL;
    wrong.events = EVENT("k", "1") "topic:orders.v1\n";
    CHECK_INT(status_of(door, wrong), 400);
    wrong.events = "";
    CHECK_INT(status_of(door, wrong), 503);
    CHECK_INT(door->seen, 0);
    CHECK_INT(status_of(door, WELL), 204);
    CHECK_INT(door->seen, 1);
}

TEST(of_events_that_came_together_each_is_answered_by_itself)
{
    struct door *door = door_of(t);
    struct wanted many = WELL;
    many.events = EVENT("a", "1") EVENT("b", "1") EVENT("a", "2") EVENT("c", "1") EVENT("b", "2");
    CHECK_INT(status_of(door, many), 204);
    CHECK_INT(door->seen, 5);
    CHECK(bus_shard(STR("a")) != bus_shard(STR("b")) && bus_shard(STR("c")) != bus_shard(STR("b")));

    door->refuses = STR("b");
    door->seen = 0;
    struct request *request = sent(door, many);
    CHECK_INT(request->response.status, 200);
    CHECK_STR(request->response.body, "10110");
    CHECK_INT(door->seen, 3);
}

TEST(what_stands_behind_one_that_was_not_taken_waits_with_its_shard)
{
    struct door *door = door_of(t);
    struct wanted many = WELL;
    char other[24]; /* another key of the shard of "b" */
    for (int i = 0;
         snprintf(other, sizeof other, "k%d", i), bus_shard(str_of_z(other)) != bus_shard(STR("b"));
         i++)
        ;
    many.events = str_z(t->arena, str_format(t->arena,
                                             "%stopic:orders.v1\nid:0190d3c1-7c3a-7000-8000-"
                                             "000000000002\nsource:/orders\nspecversion:1.0\n"
                                             "type:T\nsubject:%s\nnumber:1\nlength:0\n\n%s",
                                             EVENT("b", "1"), other, EVENT("a", "1")));
    door->refuses = STR("b");
    struct request *request = sent(door, many);
    CHECK_INT(request->response.status, 200);
    CHECK_STR(request->response.body, "001");
    CHECK_INT(door->seen, 1);
}
