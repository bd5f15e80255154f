/* What is refused at the door of the direct bus, each beside what is taken. */
#include "base/crypto.h"
#include "chassis/bus_direct.h"
#include "chassis/request.h"
#include "os/clock.h"
#include "tests/lib/test.h"

#define KEY "a secret of all services"

static const char *const TOPICS[] = { "orders.v1" };

struct door {
    struct test *t;
    struct bus *bus;
    size_t takes; /* of a batch */
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
    const char *path, *key, *id;
    enum http_method method;
    int64_t late_s;
};

#define PATH "/internal/events/products/orders.v1"

static const struct wanted WELL = { PATH, KEY, "0190d3c1-7c3a-7000-8000-000000000001", HTTP_POST,
                                    0 };

/* Sends an event; gives the status, or 0 where the bus does not want the path. */
static int status_of(struct door *door, struct wanted wanted)
{
    struct arena *arena = door->t->arena;
    struct cloudevent_attribute attributes[] = {
        { "id", str_of_z(wanted.id) },   { "source", STR("/orders") },
        { "specversion", STR("1.0") },   { "type", STR("orders.v1.OrderPlaced") },
        { "subject", STR("key%20one") }, { "number", STR("7") },
    };
    struct header headers[7];
    for (int i = 0; i < 6; i++)
        headers[i] =
            (struct header){ str_format(arena, "ce-%s", attributes[i].name), attributes[i].value };
    struct direct_signed what = { .path = str_of_z(wanted.path),
                                  .attributes = attributes,
                                  .attributes_count = 6,
                                  .body = STR("payload") };
    time_us at = clock_wall_us() - wanted.late_s * TIME_SECOND;
    headers[6] = (struct header){ STR(DIRECT_SIGNATURE),
                                  direct_sign(arena, str_of_z(wanted.key), at, &what) };
    struct request *request = arena_new(arena, struct request);
    *request = (struct request){ .arena = arena,
                                 .method = wanted.method,
                                 .path = what.path,
                                 .headers = headers,
                                 .headers_count = 7,
                                 .body = what.body,
                                 .respond = on_answer,
                                 .transport = door };
    door->is_answered = false;
    if (!bus_receive(door->bus, request))
        return 0;
    lock_take(&door->lock);
    while (!door->is_answered)
        cond_wait(&door->answered, &door->lock);
    lock_drop(&door->lock);
    return request->response.status;
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
    other.path = "/internal/events/orders/orders.v1";
    topic.path = "/internal/events/products/users.v1";
    get.method = HTTP_GET;
    elsewhere.path = "/products";
    CHECK_INT(status_of(door, other), 404);
    CHECK_INT(status_of(door, topic), 404);
    CHECK_INT(status_of(door, get), 405);
    CHECK_INT(status_of(door, elsewhere), 0);
    CHECK_INT(status_of(door, WELL), 204);
}

TEST(an_event_that_cannot_be_read_comes_without_a_type_for_the_dead_letters)
{
    struct door *door = door_of(t);
    struct wanted broken = WELL;
    broken.id = "seven";
    CHECK_INT(status_of(door, broken), 204);
    CHECK(!door->readable);
}
