/* The receiving side of the direct bus: POST /internal/events/CONSUMER/TOPIC, signed. Answered 204
 * when the event has its effect, or was seen before, or is kept by its consumer; 503 when it was
 * not taken; 401 for a signature that is none of ours. What came while a batch was worked on is the
 * next batch. */
#include "chassis/bus_direct.h"
#include "chassis/request.h"
#include "os/clock.h"

enum { PUSHES_MAX = 4096, NO_CONTENT = 204 };

struct direct_push {
    struct direct_push *next;
    struct request *request; /* in whose arena all this is */
    struct bus_event event;
};

void direct_subscribe(struct bus *base, const struct bus_consumer *consumer,
                      const char *const *topics, int topics_count)
{
    struct direct *bus = (struct direct *)base;
    ASSERT(!bus->started && bus->doors_count < BUS_CONSUMERS_MAX);
    struct direct_door *door = &bus->doors[bus->doors_count++];
    door->bus = bus;
    door->last = &door->first;
    bus_subscription_set(&door->subscription, consumer, topics, topics_count);
    cond_init(&door->wake);
}

/* ---- reading a request ---- */

/* The attributes that a signature covers, in their order; those that are not there are left out. */
static size_t read_attributes(const struct request *request,
                              struct cloudevent_attribute out[CLOUDEVENT_ATTRIBUTES_MAX])
{
    static const struct {
        const char *name;
        str header;
    } known[CLOUDEVENT_ATTRIBUTES_MAX] = {
        { "id", { "ce-id", 5 } },
        { "source", { "ce-source", 9 } },
        { "specversion", { "ce-specversion", 14 } },
        { "type", { "ce-type", 7 } },
        { "time", { "ce-time", 7 } },
        { "subject", { "ce-subject", 10 } },
        { "number", { "ce-number", 9 } },
        { "traceparent", { "ce-traceparent", 14 } },
    };
    size_t count = 0;
    for (int i = 0; i < CLOUDEVENT_ATTRIBUTES_MAX; i++) {
        str value = request_header(request, known[i].header);
        if (value.ptr)
            out[count++] = (struct cloudevent_attribute){ known[i].name, value };
    }
    return count;
}

static struct bus_event read_event(struct request *request, str topic,
                                   const struct cloudevent_attribute *attributes, size_t count)
{
    struct cloudevent in = { 0 };
    for (size_t i = 0; i < count; i++) {
        str value;
        if (percent_decode(request->arena, attributes[i].value, false, &value))
            cloudevent_add(&in, str_of_z(attributes[i].name), value);
        else
            in.is_broken = true;
    }
    return cloudevent_end(request->arena, &in, topic, request->body);
}

static struct direct_door *find_door(struct direct *bus, str name, str topic)
{
    for (int i = 0; i < bus->doors_count; i++)
        if (str_equal(str_of_z(bus->doors[i].subscription.consumer.name), name) &&
            bus_subscription_has(&bus->doors[i].subscription, topic))
            return &bus->doors[i];
    return NULL;
}

static err read_push(struct direct *bus, struct request *request, struct direct_door **door,
                     struct direct_push **out)
{
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = read_attributes(request, attributes);
    struct direct_signed what = { .path = request->path,
                                  .attributes = attributes,
                                  .attributes_count = count,
                                  .body = request->body };
    str topic = str_slice(request->path, sizeof(DIRECT_PATH) - 1, SIZE_MAX);
    str name = str_cut(&topic, '/');
    if (request->method != HTTP_POST) {
        response_add(&request->response, STR("Allow"), STR("POST"));
        return fail(request->arena, METHOD_NOT_ALLOWED, "Events are POSTed.");
    }
    if (!direct_verify(request->arena, bus->keys, clock_wall_us(),
                       request_header(request, STR(DIRECT_SIGNATURE)), &what))
        return fail(request->arena, TOKEN_INVALID, "This is not signed as our neighbours sign.");
    *door = topic.ptr ? find_door(bus, name, topic) : NULL;
    if (!*door)
        return fail(request->arena, ROUTE_UNKNOWN, "Nobody here listens to this.");
    struct direct_push *push = arena_new(request->arena, struct direct_push);
    *push = (struct direct_push){ .request = request,
                                  .event = read_event(request, topic, attributes, count) };
    *out = push;
    return OK;
}

/* ---- answering ---- */

static void refuse(struct request *request, err error)
{
    response_problem(request, error);
    request_respond(request);
}

static void answer(struct direct_push *push, bool taken)
{
    struct request *request = push->request;
    if (!taken) {
        refuse(request, fail(request->arena, BUS_UNAVAILABLE, "It was not taken; send it again."));
        return;
    }
    request->response = (struct response){ .status = NO_CONTENT };
    request_respond(request);
}

bool direct_receive(struct bus *base, struct request *request)
{
    struct direct *bus = (struct direct *)base;
    if (!str_starts(request->path, STR(DIRECT_PATH)))
        return false;
    struct direct_door *door = NULL;
    struct direct_push *push = NULL;
    err error = read_push(bus, request, &door, &push);
    if (error != OK) {
        refuse(request, error);
        return true;
    }
    lock_take(&bus->queues.lock);
    bool room = bus->started && !bus->queues.stopping && door->count < PUSHES_MAX;
    if (room) {
        *door->last = push;
        door->last = &push->next;
        door->count++;
        cond_wake_one(&door->wake);
    }
    lock_drop(&bus->queues.lock);
    if (!room)
        answer(push, false);
    return true;
}

/* ---- taking ---- */

/* Unlinks the first of them. The lock is held. */
static size_t take_some(struct direct_door *door, struct direct_push **pushes)
{
    size_t count = 0;
    while (door->first && count < BUS_BATCH_MAX) {
        pushes[count++] = door->first;
        door->first = door->first->next;
    }
    if (!door->first)
        door->last = &door->first;
    door->count -= count;
    return count;
}

/* Those behind what was not taken may be well: they are before all others. The lock is held. */
static void put_back(struct direct_door *door, struct direct_push **pushes, size_t from,
                     size_t count)
{
    for (size_t i = count; i-- > from;) {
        pushes[i]->next = door->first;
        if (!door->first)
            door->last = &pushes[i]->next;
        door->first = pushes[i];
        door->count++;
    }
}

static void deliver(struct direct_door *door, struct direct_push **pushes, size_t count)
{
    struct direct *bus = door->bus;
    const struct bus_consumer *consumer = &door->subscription.consumer;
    struct bus_event events[BUS_BATCH_MAX];
    ASSERT(count > 0 && count <= BUS_BATCH_MAX);
    for (size_t i = 0; i < count; i++)
        events[i] = pushes[i]->event;
    size_t taken = consumer->take(consumer->self, events, count);
    ASSERT(taken <= count);
    if (taken < count) {
        lock_take(&bus->queues.lock);
        put_back(door, pushes, taken + 1, count);
        lock_drop(&bus->queues.lock);
        answer(pushes[taken], false);
    }
    for (size_t i = 0; i < taken; i++)
        answer(pushes[i], true);
}

static void door_run(void *subject)
{
    struct direct_door *door = subject;
    struct direct *bus = door->bus;
    struct direct_push *pushes[BUS_BATCH_MAX];
    lock_take(&bus->queues.lock);
    while (!bus->queues.stopping) {
        size_t count = take_some(door, pushes);
        if (count == 0) {
            cond_wait(&door->wake, &bus->queues.lock);
            continue;
        }
        lock_drop(&bus->queues.lock);
        deliver(door, pushes, count);
        lock_take(&bus->queues.lock);
    }
    lock_drop(&bus->queues.lock);
}

/* ---- beginning and end ---- */

void direct_doors_start(struct direct *bus)
{
    for (int i = 0; i < bus->doors_count; i++)
        bus->doors[i].thread = thread_start("bus-take", door_run, &bus->doors[i]);
}

void direct_doors_stop(struct direct *bus)
{
    struct direct_push *pushes[BUS_BATCH_MAX];
    for (int i = 0; i < bus->doors_count; i++) {
        struct direct_door *door = &bus->doors[i];
        lock_take(&bus->queues.lock);
        cond_wake_all(&door->wake);
        lock_drop(&bus->queues.lock);
        if (door->thread)
            thread_join(door->thread);
        door->thread = NULL;
        for (size_t count; (count = take_some(door, pushes)) > 0;)
            for (size_t j = 0; j < count; j++)
                answer(pushes[j], false);
    }
}

void direct_doors_close(struct direct *bus)
{
    for (int i = 0; i < bus->doors_count; i++)
        cond_done(&bus->doors[i].wake);
}
