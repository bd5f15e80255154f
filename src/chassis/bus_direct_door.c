/* The receiving side of the direct bus: POST /internal/events/CONSUMER, signed. Answered when each
 * event of it has its effect, or was seen before, or is kept by its consumer (204), or was not
 * taken: 200 with '1' or '0' for each, 503 where none was; 401 for a signature that is none of
 * ours. An event that was not taken holds back those of its shard that came with it. What came
 * while a batch was worked on is the next batch. */
#include "chassis/bus_direct.h"
#include "chassis/request.h"
#include "os/clock.h"

enum { PUSHES_MAX = 4096 };

/* What came together; lies in the arena of its request, with its events. */
struct together {
    struct request *request;
    size_t count, waiting; /* events; those that are not settled */
    char *taken;           /* '1' or '0' for each */
    unsigned held_back;    /* shards of which one was not taken */
};

struct direct_push {
    struct direct_push *next;
    struct together *all;
    size_t index;
    int shard;
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

static struct direct_door *find_door(struct direct *bus, str name)
{
    for (int i = 0; i < bus->doors_count; i++)
        if (str_equal(str_of_z(bus->doors[i].subscription.consumer.name), name))
            return &bus->doors[i];
    return NULL;
}

static err check(struct direct *bus, struct request *request, struct direct_door **door)
{
    struct direct_signed what = { .path = request->path, .body = request->body };
    if (request->method != HTTP_POST) {
        response_add(&request->response, STR("Allow"), STR("POST"));
        return fail(request->arena, METHOD_NOT_ALLOWED, "Events are POSTed.");
    }
    if (!direct_verify(request->arena, bus->keys, clock_wall_us(),
                       request_header(request, STR(DIRECT_SIGNATURE)), &what))
        return fail(request->arena, TOKEN_INVALID, "This is not signed as our neighbours sign.");
    *door = find_door(bus, str_slice(request->path, sizeof(DIRECT_PATH) - 1, SIZE_MAX));
    if (!*door)
        return fail(request->arena, ROUTE_UNKNOWN, "Nobody here listens to this.");
    return OK;
}

/* The events of a request, linked in their order; those of topics that nobody here listens to are
 * not taken. */
static err read_events(struct request *request, const struct direct_door *door,
                       struct together **out, struct direct_push **first)
{
    struct together *all = arena_new(request->arena, struct together);
    *all = (struct together){ .request = request,
                              .taken = arena_alloc(request->arena, BUS_BATCH_MAX, 1) };
    struct direct_push **last = first;
    for (str rest = request->body; rest.len > 0; all->count++) {
        struct direct_push *push = arena_new(request->arena, struct direct_push);
        if (all->count == BUS_BATCH_MAX || !direct_event_read(request->arena, &rest, &push->event))
            return fail(request->arena, HTTP_MALFORMED, "These are no events as neighbours send.");
        all->taken[all->count] = '0';
        if (!bus_subscription_has(&door->subscription, push->event.topic))
            continue;
        push->all = all;
        push->index = all->count;
        push->shard = bus_shard(push->event.key);
        *last = push;
        last = &push->next;
        all->waiting++;
    }
    *last = NULL;
    *out = all;
    return OK;
}

/* ---- answering ---- */

static void refuse(struct request *request, err error)
{
    response_problem(request, error);
    request_respond(request);
}

static void answer(const struct together *all)
{
    struct request *request = all->request;
    size_t taken = 0;
    for (size_t i = 0; i < all->count; i++)
        taken += all->taken[i] == '1';
    if (taken == 0) {
        refuse(request, fail(request->arena, BUS_UNAVAILABLE, "It was not taken; send it again."));
        return;
    }
    request->response = (struct response){ .status = DIRECT_ALL_TAKEN };
    if (taken < all->count)
        request->response = (struct response){ .status = DIRECT_SOME_TAKEN,
                                               .content_type = STR("text/plain"),
                                               .body = str_of(all->taken, all->count) };
    request_respond(request);
}

/* What became of one of them; the last one to be told of answers. */
static void settle(struct direct_push *push, bool taken)
{
    struct together *all = push->all;
    all->taken[push->index] = taken ? '1' : '0';
    if (!taken)
        all->held_back |= 1U << push->shard;
    if (--all->waiting == 0)
        answer(all);
}

static void add_all(struct direct_door *door, struct direct_push *first, size_t count)
{
    *door->last = first;
    for (; first->next; first = first->next)
        ;
    door->last = &first->next;
    door->count += count;
    cond_wake_one(&door->wake);
}

bool direct_receive(struct bus *base, struct request *request)
{
    struct direct *bus = (struct direct *)base;
    if (!bus_is_push(request->path))
        return false;
    struct direct_door *door = NULL;
    struct direct_push *first = NULL;
    struct together *all = NULL;
    err error = check(bus, request, &door);
    if (error == OK)
        error = read_events(request, door, &all, &first);
    if (error != OK) {
        refuse(request, error);
        return true;
    }
    lock_take(&bus->queues.lock);
    bool room = bus->started && !bus->queues.stopping && door->count < PUSHES_MAX && first;
    if (room)
        add_all(door, first, all->waiting);
    lock_drop(&bus->queues.lock);
    if (!room)
        answer(all);
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

/* Those whose turn it is not, for one before them was not taken, are settled; gives how many are
 * left. */
static size_t hold_back(struct direct_push **pushes, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (pushes[i]->all->held_back & 1U << pushes[i]->shard)
            settle(pushes[i], false);
        else
            pushes[left++] = pushes[i];
    }
    return left;
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
        settle(pushes[taken], false);
    }
    for (size_t i = 0; i < taken; i++)
        settle(pushes[i], true);
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
        count = hold_back(pushes, count);
        if (count > 0)
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
                settle(pushes[j], false);
    }
}

void direct_doors_close(struct direct *bus)
{
    for (int i = 0; i < bus->doors_count; i++)
        cond_done(&bus->doors[i].wake);
}
