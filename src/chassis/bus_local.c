/* The bus inside one process: a queue and a thread for each consumer. Nothing is kept here: what
 * was not acked is still in the outbox of its service, and comes again after a restart. */
#include "chassis/bus_driver.h"
#include "chassis/bus_line.h"
#include "chassis/obs.h"
#include "os/clock.h"
#include "os/sync.h"
#include <stdlib.h>

/* One event for all its consumers; freed when the last has acked. */
struct parcel {
    struct bus_event event;
    int waiting; /* consumers that have not acked */
    void (*acked)(void *subject, const struct uuid *ids, size_t count);
    void *subject;
};

/* A parcel in the queue of one consumer. */
struct item {
    struct bus_item base;
    struct parcel *parcel;
};

struct side {
    struct local *bus;
    struct bus_subscription subscription;
    struct bus_line line;
    struct cond wake;
    struct thread *thread;
    struct series *waiting;
};

struct local {
    struct bus base;
    struct lock lock;
    struct cond room;
    struct side sides[BUS_CONSUMERS_MAX];
    int sides_count;
    size_t parcels, parcels_max;
    struct bus_faults faults;
    bool started, stopping;
};

static void local_subscribe(struct bus *base, const struct bus_consumer *consumer,
                            const char *const *topics, int topics_count)
{
    struct local *bus = (struct local *)base;
    ASSERT(!bus->started && bus->sides_count < BUS_CONSUMERS_MAX);
    struct side *side = &bus->sides[bus->sides_count++];
    side->bus = bus;
    bus_subscription_set(&side->subscription, consumer, topics, topics_count);
    bus_line_init(&side->line);
    side->waiting = metric_series(METRIC_BUS_WAITING, consumer->name, NULL, NULL);
    cond_init(&side->wake);
}

/* ---- publishing ---- */

/* What the faults of a test decide about a delivery; nothing on the machine. */
static void enqueue(struct side *side, struct parcel *parcel)
{
    struct local *bus = side->bus;
    bool repeat = false;
    int64_t delay_us = 0;
    if (bus->faults.fate)
        delay_us = bus->faults.fate(bus->faults.self, side->subscription.consumer.name,
                                    &parcel->event, &repeat);
    for (int i = 0; i < 1 + repeat; i++) {
        struct item *item = malloc(sizeof(*item));
        ASSERT(item);
        *item = (struct item){
            .base = { .event = &parcel->event,
                      .not_before_us = delay_us ? clock_mono_us() + delay_us : 0,
                      .shard = bus_shard(parcel->event.key) },
            .parcel = parcel,
        };
        parcel->waiting++;
        bus_line_add(&side->line, &item->base);
    }
    series_set(side->waiting, (int64_t)side->line.count);
}

static struct parcel *parcel_of(const struct bus_event *event)
{
    struct bus_event kept;
    struct parcel *parcel = bus_event_keep(sizeof(*parcel), event, &kept);
    *parcel = (struct parcel){ .event = kept };
    return parcel;
}

static void publish_one(struct local *bus, const struct bus_event *event,
                        void (*acked)(void *subject, const struct uuid *ids, size_t count),
                        void *subject)
{
    struct parcel *parcel = NULL;
    for (int i = 0; i < bus->sides_count; i++) {
        if (!bus_subscription_has(&bus->sides[i].subscription, event->topic))
            continue;
        if (!parcel) {
            parcel = parcel_of(event);
            parcel->acked = acked;
            parcel->subject = subject;
            bus->parcels++;
        }
        enqueue(&bus->sides[i], parcel);
    }
    if (!parcel)
        acked(subject, &event->id, 1);
}

static void local_publish(struct bus *base, const struct bus_event *events, size_t count,
                          void (*acked)(void *subject, const struct uuid *ids, size_t count),
                          void *subject)
{
    struct local *bus = (struct local *)base;
    ASSERT(count <= bus->parcels_max);
    lock_take(&bus->lock);
    while (bus->parcels + count > bus->parcels_max && !bus->stopping)
        cond_wait(&bus->room, &bus->lock);
    for (size_t i = 0; i < count; i++)
        publish_one(bus, &events[i], acked, subject);
    for (int i = 0; i < bus->sides_count; i++)
        if (bus->sides[i].line.first)
            cond_wake_one(&bus->sides[i].wake);
    lock_drop(&bus->lock);
}

static int64_t local_backlog(struct bus *base)
{
    struct local *bus = (struct local *)base;
    lock_take(&bus->lock);
    int64_t backlog = (int64_t)bus->parcels;
    lock_drop(&bus->lock);
    return backlog;
}

/* ---- delivering ---- */

/* Acks parcels that nobody waits for any more. The lock is held. */
static void ack(struct local *bus, struct bus_item **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct parcel *parcel = ((struct item *)items[i])->parcel;
        free(items[i]);
        if (--parcel->waiting > 0)
            continue;
        parcel->acked(parcel->subject, &parcel->event.id, 1);
        free(parcel);
        bus->parcels--;
    }
    cond_wake_all(&bus->room);
}

static void deliver(struct side *side, struct bus_item **items, size_t count)
{
    struct local *bus = side->bus;
    const struct bus_consumer *consumer = &side->subscription.consumer;
    struct bus_event events[BUS_BATCH_MAX];
    for (size_t i = 0; i < count; i++)
        events[i] = *items[i]->event;
    lock_drop(&bus->lock);
    size_t taken = consumer->take(consumer->self, events, count);
    lock_take(&bus->lock);
    bus_line_settle(&side->line, items, count, taken);
    series_set(side->waiting, (int64_t)side->line.count);
    ack(bus, items, taken);
}

static void side_run(void *subject)
{
    struct side *side = subject;
    struct local *bus = side->bus;
    struct bus_item *items[BUS_BATCH_MAX];
    lock_take(&bus->lock);
    while (!bus->stopping) {
        int64_t next_us;
        size_t count = bus_line_take(&side->line, items, clock_mono_us(), &next_us);
        if (count > 0)
            deliver(side, items, count);
        else if (next_us == INT64_MAX)
            cond_wait(&side->wake, &bus->lock);
        else
            cond_wait_until(&side->wake, &bus->lock, next_us);
    }
    lock_drop(&bus->lock);
}

/* ---- beginning and end ---- */

static void local_start(struct bus *base)
{
    struct local *bus = (struct local *)base;
    ASSERT(!bus->started);
    bus->started = true;
    for (int i = 0; i < bus->sides_count; i++)
        bus->sides[i].thread = thread_start("bus", side_run, &bus->sides[i]);
}

static void local_stop(struct bus *base)
{
    struct local *bus = (struct local *)base;
    lock_take(&bus->lock);
    bus->stopping = true;
    cond_wake_all(&bus->room);
    for (int i = 0; i < bus->sides_count; i++)
        cond_wake_all(&bus->sides[i].wake);
    lock_drop(&bus->lock);
    for (int i = 0; i < bus->sides_count; i++) {
        if (bus->sides[i].thread)
            thread_join(bus->sides[i].thread);
        bus->sides[i].thread = NULL;
    }
}

static void local_close(struct bus *base)
{
    struct local *bus = (struct local *)base;
    for (int i = 0; i < bus->sides_count; i++) {
        struct side *side = &bus->sides[i];
        for (struct bus_item *item; (item = bus_line_drop(&side->line));) {
            struct parcel *parcel = ((struct item *)item)->parcel;
            if (--parcel->waiting == 0)
                free(parcel);
            free(item);
        }
        cond_done(&side->wake);
    }
    cond_done(&bus->room);
    lock_done(&bus->lock);
    free(bus);
}

static const struct bus_driver local_driver = {
    .subscribe = local_subscribe,
    .start = local_start,
    .stop = local_stop,
    .close = local_close,
    .publish = local_publish,
    .backlog = local_backlog,
};

struct bus *bus_open_local(size_t events_max, const struct bus_faults *faults)
{
    ASSERT(events_max >= BUS_BATCH_MAX);
    struct local *bus = calloc(1, sizeof(*bus));
    ASSERT(bus);
    bus->base.driver = &local_driver;
    bus->parcels_max = events_max;
    if (faults)
        bus->faults = *faults;
    lock_init(&bus->lock);
    cond_init(&bus->room);
    (void)metric_series(METRIC_BUS_CONNECTS, "local", NULL, NULL); /* is there, and stays 0 */
    return &bus->base;
}
