#include "tests/sim/broker.h"

#include "gen/listeners.h"
#include "os/clock.h"
#include "os/sync.h"

#include <stdlib.h>
#include <string.h>

enum { REST_US = 200000, READERS_MAX = 4 };

/* An event for one of those who listen. */
struct item {
    struct bus_event event;
    int64_t not_before_us;
    bool is_taken; /* a reader has it, and has not said yet what became of it */
    struct item *next;
};

struct reader;

struct queue {
    struct item *first, **last;
    struct reader *reader; /* NULL: its program is away */
};

struct broker {
    struct broker_config config;
    struct queue queues[BUS_LISTENERS_MAX]; /* as bus_listeners */
};

struct reader {
    struct broker_bus *bus;
    struct queue *queue;
    struct bus_consumer consumer;
    struct cond wake;
    struct thread *thread;
};

struct broker_bus {
    struct bus base;
    struct broker *broker;
    struct lock lock; /* of the program, for its readers' waits */
    struct reader readers[READERS_MAX];
    int readers_count;
    bool stopping;
};

/* ---- the broker's own part ---- */

struct broker *broker_make(const struct broker_config *config)
{
    struct broker *broker = calloc(1, sizeof *broker);
    ASSERT(broker && bus_listeners_count <= BUS_LISTENERS_MAX);
    broker->config = *config;
    for (int i = 0; i < bus_listeners_count; i++)
        broker->queues[i].last = &broker->queues[i].first;
    return broker;
}

void broker_free(struct broker *broker)
{
    for (int i = 0; broker && i < bus_listeners_count; i++)
        for (struct item *item = broker->queues[i].first, *next; item; item = next) {
            next = item->next;
            free(item);
        }
    free(broker);
}

int broker_backlog(const struct broker *broker)
{
    int count = 0;
    for (int i = 0; i < bus_listeners_count; i++)
        for (const struct item *item = broker->queues[i].first; item; item = item->next)
            count++;
    return count;
}

void broker_bury(struct broker *broker, const struct bus *bus)
{
    for (int i = 0; i < bus_listeners_count; i++) {
        struct queue *queue = &broker->queues[i];
        if (!queue->reader || (const struct bus *)queue->reader->bus != bus)
            continue;
        queue->reader = NULL;
        for (struct item *item = queue->first; item; item = item->next)
            item->is_taken = false;
    }
}

static void keep(struct queue *queue, const struct bus_event *event, int64_t late_us)
{
    struct bus_event kept;
    struct item *item = bus_event_keep(sizeof *item, event, &kept);
    *item = (struct item){ .event = kept, .not_before_us = clock_mono_us() + late_us };
    *queue->last = item;
    queue->last = &item->next;
}

static size_t take(struct queue *queue, struct item **items, int64_t *next_us)
{
    size_t count = 0;
    int64_t now_us = clock_mono_us();
    *next_us = INT64_MAX;
    for (struct item *item = queue->first; item && count < BUS_BATCH_MAX; item = item->next) {
        if (item->is_taken)
            continue;
        if (item->not_before_us > now_us) {
            *next_us = item->not_before_us < *next_us ? item->not_before_us : *next_us;
            continue;
        }
        item->is_taken = true;
        items[count++] = item;
    }
    return count;
}

static void drop(struct queue *queue, struct item *item)
{
    struct item **link = &queue->first;
    while (*link != item)
        link = &(*link)->next;
    *link = item->next;
    if (!*link)
        queue->last = link;
    free(item);
}

/* Those that were not taken come again, after a while. */
static void settle(struct queue *queue, struct item **items, size_t count, size_t taken)
{
    int64_t again_us = clock_mono_us() + REST_US;
    for (size_t i = 0; i < count; i++) {
        if (i < taken) {
            drop(queue, items[i]);
            continue;
        }
        items[i]->is_taken = false;
        items[i]->not_before_us = i == taken ? again_us : items[i]->not_before_us;
    }
}

/* ---- the driver in a program ---- */

static struct broker_bus *of(struct bus *bus) { return (struct broker_bus *)bus; }

static void bus_subscribe_here(struct bus *base, const struct bus_consumer *consumer,
                               const char *const *topics, int topics_count)
{
    struct broker_bus *bus = of(base);
    (void)topics, (void)topics_count; /* as bus_listeners has them */
    ASSERT(bus->readers_count < READERS_MAX);
    struct reader *reader = &bus->readers[bus->readers_count++];
    *reader = (struct reader){ .bus = bus, .consumer = *consumer };
    cond_init(&reader->wake);
    for (int i = 0; i < bus_listeners_count; i++)
        if (strcmp(bus_listeners[i].name, consumer->name) == 0)
            reader->queue = &bus->broker->queues[i];
    ASSERT(reader->queue);
}

static bool listens(const struct bus_listener *listener, str topic)
{
    for (int i = 0; i < listener->topics_count; i++)
        if (str_equal(str_of_z(listener->topics[i]), topic))
            return true;
    return false;
}

static void publish_one(struct broker *broker, const struct bus_event *event)
{
    const struct bus_faults *faults = &broker->config.faults;
    for (int i = 0; i < bus_listeners_count; i++) {
        if (!listens(&bus_listeners[i], event->topic))
            continue;
        bool repeat = false;
        int64_t late_us = faults->fate(faults->self, bus_listeners[i].name, event, &repeat);
        for (int j = 0; j < 1 + repeat; j++)
            keep(&broker->queues[i], event, late_us);
        if (broker->queues[i].reader)
            cond_wake_one(&broker->queues[i].reader->wake);
    }
}

static void bus_publish_here(struct bus *base, const struct bus_event *events, size_t count,
                             void (*acked)(void *subject, const struct uuid *ids, size_t count),
                             void *subject)
{
    for (size_t i = 0; i < count; i++) {
        publish_one(of(base)->broker, &events[i]);
        acked(subject, &events[i].id, 1);
    }
}

static size_t wait_for_some(struct reader *reader, struct item **items)
{
    struct broker_bus *bus = reader->bus;
    int64_t next_us;
    size_t count = 0;
    lock_take(&bus->lock);
    while (!bus->stopping && (count = take(reader->queue, items, &next_us)) == 0) {
        if (next_us == INT64_MAX)
            cond_wait(&reader->wake, &bus->lock);
        else
            cond_wait_until(&reader->wake, &bus->lock, next_us);
    }
    lock_drop(&bus->lock);
    return count;
}

static void reader_run(void *subject)
{
    struct reader *reader = subject;
    const struct broker_config *config = &reader->bus->broker->config;
    struct item *items[BUS_BATCH_MAX];
    struct bus_event events[BUS_BATCH_MAX];
    for (size_t count; (count = wait_for_some(reader, items)) > 0;) {
        config->comes(config->self);
        for (size_t i = 0; i < count; i++)
            events[i] = items[i]->event;
        size_t taken = reader->consumer.take(reader->consumer.self, events, count);
        settle(reader->queue, items, count, taken);
    }
}

static void bus_start_here(struct bus *base)
{
    struct broker_bus *bus = of(base);
    for (int i = 0; i < bus->readers_count; i++) {
        bus->readers[i].queue->reader = &bus->readers[i];
        bus->readers[i].thread = thread_start("bus", reader_run, &bus->readers[i]);
    }
}

static void bus_stop_here(struct bus *base)
{
    struct broker_bus *bus = of(base);
    lock_take(&bus->lock);
    bus->stopping = true;
    for (int i = 0; i < bus->readers_count; i++)
        cond_wake_all(&bus->readers[i].wake);
    lock_drop(&bus->lock);
    for (int i = 0; i < bus->readers_count; i++)
        thread_join(bus->readers[i].thread);
    broker_bury(bus->broker, base);
}

static void bus_close_here(struct bus *base)
{
    struct broker_bus *bus = of(base);
    for (int i = 0; i < bus->readers_count; i++)
        cond_done(&bus->readers[i].wake);
    lock_done(&bus->lock);
    free(bus);
}

static int64_t no_backlog(struct bus *base)
{
    (void)base;
    return 0; /* the broker has it */
}

static const struct bus_driver driver = {
    .subscribe = bus_subscribe_here,
    .start = bus_start_here,
    .stop = bus_stop_here,
    .close = bus_close_here,
    .publish = bus_publish_here,
    .backlog = no_backlog,
    .name = "simulated",
};

struct bus *broker_bus(struct broker *broker)
{
    struct broker_bus *bus = calloc(1, sizeof *bus);
    ASSERT(bus);
    bus->base.driver = &driver;
    bus->broker = broker;
    lock_init(&bus->lock);
    return &bus->base;
}
