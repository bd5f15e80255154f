/* The bus inside one process: a queue and a thread for each consumer. Nothing is kept here: what
 * was not acked is still in the outbox of its service, and comes again after a restart. */
#include "chassis/bus_queues.h"
#include "chassis/obs.h"
#include <stdlib.h>

struct local {
    struct bus base;
    struct bus_queues queues;
    struct thread *threads[BUS_CONSUMERS_MAX];
    bool started;
};

static void local_subscribe(struct bus *base, const struct bus_consumer *consumer,
                            const char *const *topics, int topics_count)
{
    struct local *bus = (struct local *)base;
    ASSERT(!bus->started && bus->queues.count < BUS_CONSUMERS_MAX);
    (void)bus_queues_add(&bus->queues, consumer, topics, topics_count);
}

static void local_publish(struct bus *base, const struct bus_event *events, size_t count,
                          void (*acked)(void *subject, const struct uuid *ids, size_t count),
                          void *subject)
{
    bus_queues_publish(&((struct local *)base)->queues, events, count, acked, subject);
}

static int64_t local_backlog(struct bus *base)
{
    return bus_queues_backlog(&((struct local *)base)->queues);
}

static void consumer_run(void *subject)
{
    struct bus_queue *queue = subject;
    const struct bus_consumer *consumer = &queue->listens.consumer;
    struct bus_item *items[BUS_BATCH_MAX];
    struct bus_event events[BUS_BATCH_MAX];
    for (size_t count; (count = bus_queue_take(queue, bus_line_take, items)) > 0;) {
        for (size_t i = 0; i < count; i++)
            events[i] = *items[i]->event;
        size_t taken = consumer->take(consumer->self, events, count);
        bus_queue_settle(queue, items, count, taken);
    }
}

static void local_start(struct bus *base)
{
    struct local *bus = (struct local *)base;
    ASSERT(!bus->started);
    bus->started = true;
    for (int i = 0; i < bus->queues.count; i++)
        bus->threads[i] = thread_start("bus", consumer_run, &bus->queues.of[i]);
}

static void local_stop(struct bus *base)
{
    struct local *bus = (struct local *)base;
    bus_queues_stop(&bus->queues);
    for (int i = 0; i < bus->queues.count; i++) {
        if (bus->threads[i])
            thread_join(bus->threads[i]);
        bus->threads[i] = NULL;
    }
}

static void local_close(struct bus *base)
{
    bus_queues_done(&((struct local *)base)->queues);
    free(base);
}

static const struct bus_driver local_driver = {
    .subscribe = local_subscribe,
    .start = local_start,
    .stop = local_stop,
    .close = local_close,
    .publish = local_publish,
    .backlog = local_backlog,
    .name = "local",
};

struct bus *bus_open_local(size_t events_max, const struct bus_faults *faults)
{
    ASSERT(events_max >= BUS_BATCH_MAX);
    struct local *bus = calloc(1, sizeof(*bus));
    ASSERT(bus);
    bus->base.driver = &local_driver;
    bus_queues_init(&bus->queues, events_max, faults);
    (void)metric_series(METRIC_BUS_CONNECTS, "local", NULL, NULL); /* is there, and stays 0 */
    return &bus->base;
}
