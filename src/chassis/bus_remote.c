#include "chassis/bus_remote.h"

#include "chassis/obs.h"
#include "os/clock.h"
#include "os/sync.h"
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_US_MIN = 100000,
    BACKOFF_US_MAX = 5000000,
    PENDING_MAX = 4096,   /* caught and not acked, of one consumer: beyond it nothing is received */
    WAITING_US = 5000000, /* how often the broker is asked how much waits */
    REMOTE_ARENA_BYTES = 256 * 1024 * 1024
};

/* An event on its way to the broker. */
struct parcel {
    struct parcel *next;
    struct bus_event event;
    void (*acked)(void *subject, const struct uuid *ids, size_t count);
    void *subject;
};

/* A wire that is opened again when it breaks. */
struct plug {
    const char *role; /* "publisher", or the consumer's name: for the log */
    struct arena *arena;
    struct bus_wire *wire;
    int64_t backoff_us;
    bool is_lost; /* it broke, or could not be made, and is not there again */
};

struct bus_side {
    struct bus_remote *bus;
    struct bus_subscription subscription;
    struct bus_line line;
    size_t pending; /* in the line, and given to the consumer */
    struct plug plug;
    struct thread *thread;
    struct series *waiting;
    int64_t waiting_at_us;
};

struct bus_remote {
    struct bus base;
    const struct bus_wire_ops *ops;
    void *driver;
    struct lock lock;
    struct cond room, wake, stop;
    struct parcel *first, **last;
    size_t parcels, parcels_max;
    struct plug plug; /* the publisher's */
    struct thread *publisher;
    struct bus_side sides[BUS_CONSUMERS_MAX];
    int sides_count;
    const struct bus_listener *listeners;
    int listeners_count;
    struct series *connects;
    int lost; /* of the plugs; atomic */
    bool started, stopping;
};

static bool is_stopping(const struct bus_remote *bus)
{
    return __atomic_load_n(&bus->stopping, __ATOMIC_ACQUIRE);
}

bool bus_remote_stopping(struct bus *bus) { return is_stopping((struct bus_remote *)bus); }

bool bus_side_stopping(const struct bus_side *side) { return is_stopping(side->bus); }

const struct bus_subscription *bus_side_subscription(const struct bus_side *side)
{
    return &side->subscription;
}

static bool is_among(const struct bus_subscription *known, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(known[i].consumer.name, name) == 0)
            return true;
    return false;
}

int bus_remote_known(struct bus *base, struct bus_subscription out[BUS_KNOWN_MAX])
{
    struct bus_remote *bus = (struct bus_remote *)base;
    int count = 0;
    for (int i = 0; i < bus->sides_count; i++)
        out[count++] = bus->sides[i].subscription;
    for (int i = 0; i < bus->listeners_count; i++) {
        const struct bus_listener *listener = &bus->listeners[i];
        if (!is_among(out, bus->sides_count, listener->name))
            bus_subscription_set(&out[count++], &(struct bus_consumer){ .name = listener->name },
                                 listener->topics, listener->topics_count);
    }
    return count;
}

/* ---- wires that break ---- */

/* Sleeps unless the bus stops. */
static void rest(struct bus_remote *bus, int64_t us)
{
    int64_t until_us = clock_mono_us() + us;
    lock_take(&bus->lock);
    while (!is_stopping(bus) && cond_wait_until(&bus->stop, &bus->lock, until_us))
        ;
    lock_drop(&bus->lock);
}

/* Closes the wire, says why, and rests: longer each time, until a wire did its work again. */
static void plug_lose(struct bus_remote *bus, struct plug *plug, err why)
{
    if (plug->wire)
        bus->ops->close(plug->wire);
    plug->wire = NULL;
    if (is_stopping(bus))
        return;
    if (!plug->is_lost)
        __atomic_fetch_add(&bus->lost, 1, __ATOMIC_RELAXED);
    plug->is_lost = true;
    plug->backoff_us = plug->backoff_us ? plug->backoff_us * 2 : BACKOFF_US_MIN;
    if (plug->backoff_us > BACKOFF_US_MAX)
        plug->backoff_us = BACKOFF_US_MAX;
    LOG(LOG_WARN, "bus.lost", LOG_TEXT("bus", str_of_z(bus->ops->name)),
        LOG_TEXT("role", str_of_z(plug->role)), LOG_TEXT("error", err_describe(plug->arena, why)),
        LOG_NUMBER("again_in_ms", plug->backoff_us / 1000));
    rest(bus, plug->backoff_us);
}

static void plug_opened(struct bus_remote *bus, struct plug *plug)
{
    series_add(bus->connects, 1);
    if (plug->is_lost)
        __atomic_fetch_sub(&bus->lost, 1, __ATOMIC_RELAXED);
    plug->is_lost = false;
    LOG(LOG_INFO, "bus.connected", LOG_TEXT("bus", str_of_z(bus->ops->name)),
        LOG_TEXT("role", str_of_z(plug->role)));
}

static void plug_done(struct bus_remote *bus, struct plug *plug)
{
    if (plug->wire)
        bus->ops->close(plug->wire);
    plug->wire = NULL;
    arena_close(plug->arena);
    plug->arena = NULL;
}

/* ---- publishing ---- */

static void remote_publish(struct bus *base, const struct bus_event *events, size_t count,
                           void (*acked)(void *subject, const struct uuid *ids, size_t count),
                           void *subject)
{
    struct bus_remote *bus = (struct bus_remote *)base;
    ASSERT(count <= bus->parcels_max);
    lock_take(&bus->lock);
    while (bus->parcels + count > bus->parcels_max && !is_stopping(bus))
        cond_wait(&bus->room, &bus->lock);
    for (size_t i = 0; i < count; i++) {
        struct bus_event kept;
        struct parcel *parcel = bus_event_keep(sizeof(*parcel), &events[i], &kept);
        *parcel = (struct parcel){ .event = kept, .acked = acked, .subject = subject };
        *bus->last = parcel;
        bus->last = &parcel->next;
    }
    bus->parcels += count;
    cond_wake_one(&bus->wake);
    lock_drop(&bus->lock);
}

static int64_t remote_backlog(struct bus *base)
{
    struct bus_remote *bus = (struct bus_remote *)base;
    lock_take(&bus->lock);
    int64_t backlog = (int64_t)bus->parcels;
    lock_drop(&bus->lock);
    return backlog;
}

static const char *remote_name(const struct bus *base)
{
    return ((const struct bus_remote *)base)->ops->name;
}

static bool remote_is_up(struct bus *base)
{
    return __atomic_load_n(&((struct bus_remote *)base)->lost, __ATOMIC_RELAXED) == 0;
}

/* Waits for something to publish: the first events of the queue, which stay in it. */
static size_t wait_batch(struct bus_remote *bus, const struct bus_event **events)
{
    size_t count = 0;
    lock_take(&bus->lock);
    while (!bus->first && !is_stopping(bus))
        cond_wait(&bus->wake, &bus->lock);
    for (struct parcel *parcel = bus->first; parcel && count < BUS_BATCH_MAX; parcel = parcel->next)
        events[count++] = &parcel->event;
    lock_drop(&bus->lock);
    return count;
}

/* Takes what was confirmed out of the queue, and tells whose it was. */
static void settle_batch(struct bus_remote *bus, const bool *confirmed, size_t count)
{
    struct parcel *done = NULL, **done_last = &done;
    lock_take(&bus->lock);
    struct parcel **link = &bus->first;
    for (size_t i = 0; i < count; i++) {
        struct parcel *parcel = *link;
        if (!confirmed[i]) {
            link = &parcel->next;
            continue;
        }
        *link = parcel->next;
        *done_last = parcel;
        done_last = &parcel->next;
        bus->parcels--;
    }
    *done_last = NULL;
    if (!*link)
        bus->last = link;
    cond_wake_all(&bus->room);
    lock_drop(&bus->lock);
    while (done) {
        struct parcel *parcel = done;
        done = parcel->next;
        parcel->acked(parcel->subject, &parcel->event.id, 1);
        free(parcel);
    }
}

static err send_batch(struct bus_remote *bus, const struct bus_event **events, size_t count)
{
    struct plug *plug = &bus->plug;
    bool confirmed[BUS_BATCH_MAX] = { false };
    if (!plug->wire) {
        TRY(bus->ops->open_publisher(bus->driver, plug->arena, &plug->wire));
        plug_opened(bus, plug);
    }
    err error = bus->ops->publish(plug->wire, plug->arena, events, count, confirmed);
    settle_batch(bus, confirmed, count);
    if (error == OK)
        plug->backoff_us = 0;
    return error;
}

static void publisher_run(void *subject)
{
    struct bus_remote *bus = subject;
    const struct bus_event *events[BUS_BATCH_MAX];
    while (!is_stopping(bus)) {
        arena_reset(bus->plug.arena);
        size_t count = wait_batch(bus, events);
        if (is_stopping(bus))
            break;
        err error = send_batch(bus, events, count);
        if (error != OK)
            plug_lose(bus, &bus->plug, error);
    }
}

/* ---- consuming ---- */

void bus_side_catch(struct bus_side *side, const struct bus_event *event, uint64_t tag, int lane,
                    str receipt)
{
    struct bus_event kept;
    struct bus_delivery *delivery =
        bus_event_keep(sizeof(*delivery) + receipt.len + 1, event, &kept);
    *delivery = (struct bus_delivery){
        .event = kept, .caught_us = clock_mono_us(), .tag = tag, .lane = lane
    };
    if (receipt.ptr) {
        delivery->receipt = (char *)(delivery + 1);
        memcpy(delivery->receipt, receipt.ptr, receipt.len);
        delivery->receipt[receipt.len] = '\0';
    }
    delivery->item = (struct bus_item){ .event = &delivery->event, .shard = bus_shard(kept.key) };
    bus_line_add(&side->line, &delivery->item);
    side->pending++;
}

bool bus_side_is_idle(const struct bus_side *side) { return side->line.count == 0; }

void bus_side_forget(struct bus_side *side)
{
    for (struct bus_item *item; (item = bus_line_drop(&side->line));)
        free(item);
    side->pending = 0;
}

/* How long a receive may wait: until what rests is due again. */
static int wait_ms(const struct bus_side *side, int64_t next_us)
{
    if (side->line.count == 0)
        return BUS_SLICE_MS;
    int64_t ms = (next_us - clock_mono_us() + 999) / 1000;
    return ms < 0 ? 0 : ms > BUS_SLICE_MS ? BUS_SLICE_MS : (int)ms;
}

static err receive(struct bus_side *side, int64_t next_us)
{
    struct bus_remote *bus = side->bus;
    int ms = wait_ms(side, next_us);
    if (side->pending < PENDING_MAX)
        return bus->ops->receive(side->plug.wire, side->plug.arena, ms);
    rest(bus, ms * INT64_C(1000));
    return OK;
}

static err deliver(struct bus_side *side, struct bus_item **items, size_t count)
{
    struct bus_remote *bus = side->bus;
    const struct bus_consumer *consumer = &side->subscription.consumer;
    struct bus_event events[BUS_BATCH_MAX];
    for (size_t i = 0; i < count; i++)
        events[i] = *items[i]->event;
    size_t taken = consumer->take(consumer->self, events, count);
    ASSERT(taken <= count);
    bus_line_settle(&side->line, items, count, taken);
    struct bus_delivery *deliveries[BUS_BATCH_MAX];
    for (size_t i = 0; i < taken; i++)
        deliveries[i] = (struct bus_delivery *)items[i];
    err error =
        taken > 0 ? bus->ops->ack(side->plug.wire, side->plug.arena, deliveries, taken) : OK;
    for (size_t i = 0; i < taken; i++)
        free(deliveries[i]);
    side->pending -= taken;
    return error;
}

static bool is_held_too_long(const struct bus_side *side)
{
    int64_t max_us = side->bus->ops->caught_us_max;
    const struct bus_delivery *oldest = (const struct bus_delivery *)side->line.first;
    return max_us > 0 && oldest && clock_mono_us() - oldest->caught_us > max_us;
}

static err ask_waiting(struct bus_side *side)
{
    struct bus_remote *bus = side->bus;
    int64_t waiting = -1;
    if (!bus->ops->waiting || clock_mono_us() < side->waiting_at_us)
        return OK;
    side->waiting_at_us = clock_mono_us() + WAITING_US;
    TRY(bus->ops->waiting(side->plug.wire, side->plug.arena, &waiting));
    if (waiting >= 0)
        series_set(side->waiting, waiting + (int64_t)side->pending);
    return OK;
}

static err side_turn(struct bus_side *side, int64_t *next_us)
{
    struct bus_remote *bus = side->bus;
    struct bus_item *items[BUS_BATCH_MAX];
    if (!side->plug.wire) {
        TRY(bus->ops->open_consumer(bus->driver, side->plug.arena, side, &side->plug.wire));
        plug_opened(bus, &side->plug);
    }
    TRY(ask_waiting(side));
    TRY(receive(side, *next_us));
    side->plug.backoff_us = 0;
    if (is_held_too_long(side))
        bus_side_forget(side);
    size_t count = bus_line_take(&side->line, items, clock_mono_us(), next_us);
    return count > 0 ? deliver(side, items, count) : OK;
}

/* At the end: what was caught and not taken. */
static void release(struct bus_side *side)
{
    const struct bus_wire_ops *ops = side->bus->ops;
    if (!side->plug.wire || !ops->release || side->line.count == 0)
        return;
    struct bus_delivery **deliveries =
        arena_array(side->plug.arena, struct bus_delivery *, side->line.count);
    size_t count = 0;
    for (struct bus_item *item = side->line.first; item; item = item->next)
        deliveries[count++] = (struct bus_delivery *)item;
    ops->release(side->plug.wire, side->plug.arena, deliveries, count);
}

static void side_run(void *subject)
{
    struct bus_side *side = subject;
    struct bus_remote *bus = side->bus;
    int64_t next_us = INT64_MAX;
    while (!is_stopping(bus)) {
        arena_reset(side->plug.arena);
        err error = side_turn(side, &next_us);
        if (error == OK)
            continue;
        if (is_stopping(bus))
            release(side);
        bus_side_forget(side);
        next_us = INT64_MAX;
        plug_lose(bus, &side->plug, error);
    }
    release(side);
    bus_side_forget(side);
}

/* ---- beginning and end ---- */

static void remote_subscribe(struct bus *base, const struct bus_consumer *consumer,
                             const char *const *topics, int topics_count)
{
    struct bus_remote *bus = (struct bus_remote *)base;
    ASSERT(!bus->started && bus->sides_count < BUS_CONSUMERS_MAX);
    struct bus_side *side = &bus->sides[bus->sides_count++];
    side->bus = bus;
    bus_subscription_set(&side->subscription, consumer, topics, topics_count);
    bus_line_init(&side->line);
    side->plug = (struct plug){ .role = consumer->name };
    side->waiting = metric_series(METRIC_BUS_WAITING, consumer->name, NULL, NULL);
}

static err remote_setup(struct arena *arena, struct bus *base)
{
    struct bus_remote *bus = (struct bus_remote *)base;
    struct bus_wire *wire = NULL;
    TRY(bus->ops->open_publisher(bus->driver, arena, &wire));
    bus->ops->close(wire);
    return OK;
}

static void remote_start(struct bus *base)
{
    struct bus_remote *bus = (struct bus_remote *)base;
    ASSERT(!bus->started);
    bus->started = true;
    bus->plug.arena = arena_open(REMOTE_ARENA_BYTES);
    bus->publisher = thread_start("bus-publish", publisher_run, bus);
    for (int i = 0; i < bus->sides_count; i++) {
        bus->sides[i].plug.arena = arena_open(REMOTE_ARENA_BYTES);
        bus->sides[i].thread = thread_start("bus-consume", side_run, &bus->sides[i]);
    }
}

static void remote_stop(struct bus *base)
{
    struct bus_remote *bus = (struct bus_remote *)base;
    lock_take(&bus->lock);
    __atomic_store_n(&bus->stopping, true, __ATOMIC_RELEASE);
    cond_wake_all(&bus->room);
    cond_wake_all(&bus->wake);
    cond_wake_all(&bus->stop);
    lock_drop(&bus->lock);
    if (!bus->publisher)
        return;
    thread_join(bus->publisher);
    bus->publisher = NULL;
    plug_done(bus, &bus->plug);
    for (int i = 0; i < bus->sides_count; i++) {
        thread_join(bus->sides[i].thread);
        bus->sides[i].thread = NULL;
        plug_done(bus, &bus->sides[i].plug);
    }
}

static void remote_close(struct bus *base)
{
    struct bus_remote *bus = (struct bus_remote *)base;
    ASSERT(!bus->publisher);
    while (bus->first) {
        struct parcel *parcel = bus->first;
        bus->first = parcel->next;
        free(parcel);
    }
    if (bus->ops->free)
        bus->ops->free(bus->driver);
    cond_done(&bus->room);
    cond_done(&bus->wake);
    cond_done(&bus->stop);
    lock_done(&bus->lock);
    free(bus);
}

static const struct bus_driver remote_driver = {
    .subscribe = remote_subscribe,
    .setup = remote_setup,
    .start = remote_start,
    .stop = remote_stop,
    .close = remote_close,
    .publish = remote_publish,
    .backlog = remote_backlog,
    .name_of = remote_name,
    .is_up = remote_is_up,
};

struct bus *bus_remote_open(const struct bus_wire_ops *ops, void *driver,
                            const struct bus_config *config)
{
    ASSERT(config->listeners_count <= BUS_LISTENERS_MAX);
    struct bus_remote *bus = calloc(1, sizeof(*bus));
    ASSERT(bus);
    *bus = (struct bus_remote){ .base = { .driver = &remote_driver },
                                .ops = ops,
                                .driver = driver,
                                .parcels_max = config->events_max,
                                .listeners = config->listeners,
                                .listeners_count = config->listeners_count,
                                .plug = { .role = "publisher" } };
    bus->last = &bus->first;
    bus->connects = metric_series(METRIC_BUS_CONNECTS, ops->name, NULL, NULL);
    lock_init(&bus->lock);
    cond_init(&bus->room);
    cond_init(&bus->wake);
    cond_init(&bus->stop);
    return &bus->base;
}
