#include "chassis/bus_queues.h"

#include "chassis/obs.h"
#include "os/clock.h"
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

void bus_queues_init(struct bus_queues *queues, size_t parcels_max, const struct bus_faults *faults)
{
    *queues = (struct bus_queues){ .parcels_max = parcels_max };
    if (faults)
        queues->faults = *faults;
    lock_init(&queues->lock);
    cond_init(&queues->room);
}

void bus_queues_done(struct bus_queues *queues)
{
    for (int i = 0; i < queues->count; i++) {
        struct bus_queue *queue = &queues->of[i];
        for (struct bus_item *item; (item = bus_line_drop(&queue->line));) {
            struct parcel *parcel = ((struct item *)item)->parcel;
            if (--parcel->waiting == 0)
                free(parcel);
            free(item);
        }
        cond_done(&queue->wake);
    }
    cond_done(&queues->room);
    lock_done(&queues->lock);
}

struct bus_queue *bus_queues_add(struct bus_queues *queues, const struct bus_consumer *consumer,
                                 const char *const *topics, int topics_count)
{
    ASSERT(queues->count < BUS_QUEUES_MAX && queues->parcels == 0);
    struct bus_queue *queue = &queues->of[queues->count++];
    queue->all = queues;
    bus_subscription_set(&queue->listens, consumer, topics, topics_count);
    bus_line_init(&queue->line);
    queue->waiting = metric_series(METRIC_BUS_WAITING, consumer->name, NULL, NULL);
    cond_init(&queue->wake);
    return queue;
}

/* ---- publishing ---- */

/* What the faults of a test decide about a delivery; nothing on the machine. */
static void enqueue(struct bus_queue *queue, struct parcel *parcel)
{
    const struct bus_faults *faults = &queue->all->faults;
    bool repeat = false;
    int64_t delay_us = 0;
    if (faults->fate)
        delay_us =
            faults->fate(faults->self, queue->listens.consumer.name, &parcel->event, &repeat);
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
        bus_line_add(&queue->line, &item->base);
    }
    series_set(queue->waiting, (int64_t)queue->line.count);
}

static void publish_one(struct bus_queues *queues, const struct bus_event *event,
                        void (*acked)(void *subject, const struct uuid *ids, size_t count),
                        void *subject)
{
    struct parcel *parcel = NULL;
    for (int i = 0; i < queues->count; i++) {
        if (!bus_subscription_has(&queues->of[i].listens, event->topic))
            continue;
        if (!parcel) {
            struct bus_event kept;
            parcel = bus_event_keep(sizeof(*parcel), event, &kept);
            *parcel = (struct parcel){ .event = kept, .acked = acked, .subject = subject };
            queues->parcels++;
        }
        enqueue(&queues->of[i], parcel);
    }
    if (!parcel)
        acked(subject, &event->id, 1);
}

void bus_queues_publish(struct bus_queues *queues, const struct bus_event *events, size_t count,
                        void (*acked)(void *subject, const struct uuid *ids, size_t count),
                        void *subject)
{
    ASSERT(count <= queues->parcels_max);
    lock_take(&queues->lock);
    while (queues->parcels + count > queues->parcels_max && !queues->stopping)
        cond_wait(&queues->room, &queues->lock);
    for (size_t i = 0; i < count; i++)
        publish_one(queues, &events[i], acked, subject);
    for (int i = 0; i < queues->count; i++)
        if (queues->of[i].line.first)
            cond_wake_one(&queues->of[i].wake);
    lock_drop(&queues->lock);
}

int64_t bus_queues_backlog(struct bus_queues *queues)
{
    lock_take(&queues->lock);
    int64_t backlog = (int64_t)queues->parcels;
    lock_drop(&queues->lock);
    return backlog;
}

/* ---- delivering ---- */

void bus_queues_stop(struct bus_queues *queues)
{
    lock_take(&queues->lock);
    __atomic_store_n(&queues->stopping, true, __ATOMIC_RELEASE);
    cond_wake_all(&queues->room);
    for (int i = 0; i < queues->count; i++)
        cond_wake_all(&queues->of[i].wake);
    lock_drop(&queues->lock);
}

bool bus_queues_stopping(const struct bus_queues *queues)
{
    return __atomic_load_n(&queues->stopping, __ATOMIC_ACQUIRE);
}

size_t bus_queue_take(struct bus_queue *queue,
                      size_t (*take)(struct bus_line *line, struct bus_item **items, int64_t now_us,
                                     int64_t *next_us),
                      struct bus_item **items)
{
    struct bus_queues *queues = queue->all;
    size_t count = 0;
    lock_take(&queues->lock);
    while (!queues->stopping) {
        int64_t next_us;
        count = take(&queue->line, items, clock_mono_us(), &next_us);
        if (count > 0)
            break;
        if (next_us == INT64_MAX)
            cond_wait(&queue->wake, &queues->lock);
        else
            cond_wait_until(&queue->wake, &queues->lock, next_us);
    }
    lock_drop(&queues->lock);
    return count;
}

/* Acks those that nobody waits for any more. The lock is held. */
static void ack(struct bus_queues *queues, struct bus_item **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct parcel *parcel = ((struct item *)items[i])->parcel;
        free(items[i]);
        if (--parcel->waiting > 0)
            continue;
        parcel->acked(parcel->subject, &parcel->event.id, 1);
        free(parcel);
        queues->parcels--;
    }
    cond_wake_all(&queues->room);
}

void bus_queue_settle(struct bus_queue *queue, struct bus_item **items, size_t count, size_t taken)
{
    struct bus_queues *queues = queue->all;
    lock_take(&queues->lock);
    bus_line_settle(&queue->line, items, count, taken);
    series_set(queue->waiting, (int64_t)queue->line.count);
    ack(queues, items, taken);
    lock_drop(&queues->lock);
}
