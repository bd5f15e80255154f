/* The bus inside one process: a queue and a thread for each consumer. Nothing is kept here: what
 * was not acked is still in the outbox of its service, and comes again after a restart. */
#include "base/crypto.h"
#include "chassis/bus.h"
#include "os/clock.h"
#include "os/sync.h"
#include <stdlib.h>
#include <string.h>

enum { CONSUMERS_MAX = 8, TOPICS_MAX = 8, RETRY_US_MIN = 10000, RETRY_US_MAX = 5000000 };

/* One event for all its consumers; freed when the last has acked. */
struct parcel {
    struct bus_event event;
    int waiting; /* consumers that have not acked */
    void (*acked)(void *subject, const struct uuid *ids, size_t count);
    void *subject;
};

/* A parcel in the queue of one consumer. */
struct item {
    struct item *next;
    struct parcel *parcel;
    int64_t not_before_us;
    int shard;
};

/* After a delivery that was not taken the shard rests, so that none of a key overtakes another. */
struct rest {
    int64_t until_us, backoff_us;
};

struct side {
    struct bus *bus;
    struct bus_consumer consumer;
    const char *topics[TOPICS_MAX];
    int topics_count;
    struct item *first, **last;
    struct cond wake;
    struct thread *thread;
    struct rest rests[BUS_SHARDS];
};

struct bus {
    struct lock lock;
    struct cond room;
    struct side sides[CONSUMERS_MAX];
    int sides_count;
    size_t parcels, parcels_max;
    struct bus_faults faults;
    bool started, stopping;
};

int bus_shard(str key) { return (int)(crc32_of(key) % BUS_SHARDS); }

struct bus *bus_open_local(size_t events_max, const struct bus_faults *faults)
{
    ASSERT(events_max >= BUS_BATCH_MAX);
    struct bus *bus = calloc(1, sizeof(*bus));
    ASSERT(bus);
    bus->parcels_max = events_max;
    if (faults)
        bus->faults = *faults;
    lock_init(&bus->lock);
    cond_init(&bus->room);
    return bus;
}

void bus_subscribe(struct bus *bus, const struct bus_consumer *consumer, const char *const *topics,
                   int topics_count)
{
    ASSERT(!bus->started && bus->sides_count < CONSUMERS_MAX && topics_count <= TOPICS_MAX);
    struct side *side = &bus->sides[bus->sides_count++];
    *side = (struct side){ .bus = bus, .consumer = *consumer, .topics_count = topics_count };
    side->last = &side->first;
    for (int i = 0; i < topics_count; i++)
        side->topics[i] = topics[i];
    cond_init(&side->wake);
}

static bool side_takes(const struct side *side, str topic)
{
    for (int i = 0; i < side->topics_count; i++)
        if (str_equal(str_of_z(side->topics[i]), topic))
            return true;
    return false;
}

/* ---- publishing ---- */

static str keep(char **at, str s)
{
    memcpy(*at, s.ptr ? s.ptr : "", s.len);
    str kept = str_of(*at, s.len);
    *at += s.len;
    return kept;
}

/* One block holds the parcel and its bytes. */
static struct parcel *parcel_of(const struct bus_event *event)
{
    size_t bytes = event->type.len + event->topic.len + event->key.len + event->payload.len +
                   event->traceparent.len;
    struct parcel *parcel = malloc(sizeof(*parcel) + bytes);
    ASSERT(parcel);
    char *at = (char *)(parcel + 1);
    *parcel = (struct parcel){ .event = *event };
    parcel->event.type = keep(&at, event->type);
    parcel->event.topic = keep(&at, event->topic);
    parcel->event.key = keep(&at, event->key);
    parcel->event.payload = keep(&at, event->payload);
    parcel->event.traceparent = keep(&at, event->traceparent);
    return parcel;
}

static void append(struct side *side, struct item *item)
{
    item->next = NULL;
    *side->last = item;
    side->last = &item->next;
}

/* What the faults of a test decide about a delivery; nothing on the machine. */
static void enqueue(struct side *side, struct parcel *parcel)
{
    struct bus *bus = side->bus;
    bool repeat = false;
    int64_t delay_us = 0;
    if (bus->faults.fate)
        delay_us = bus->faults.fate(bus->faults.self, side->consumer.name, &parcel->event, &repeat);
    for (int i = 0; i < 1 + repeat; i++) {
        struct item *item = malloc(sizeof(*item));
        ASSERT(item);
        *item = (struct item){ .parcel = parcel,
                               .not_before_us = delay_us ? clock_mono_us() + delay_us : 0,
                               .shard = bus_shard(parcel->event.key) };
        parcel->waiting++;
        append(side, item);
    }
}

static void publish_one(struct bus *bus, const struct bus_event *event,
                        void (*acked)(void *subject, const struct uuid *ids, size_t count),
                        void *subject)
{
    struct parcel *parcel = NULL;
    for (int i = 0; i < bus->sides_count; i++) {
        if (!side_takes(&bus->sides[i], event->topic))
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

void bus_publish(struct bus *bus, const struct bus_event *events, size_t count,
                 void (*acked)(void *subject, const struct uuid *ids, size_t count), void *subject)
{
    ASSERT(bus && acked && (events || count == 0) && count <= bus->parcels_max);
    lock_take(&bus->lock);
    while (bus->parcels + count > bus->parcels_max && !bus->stopping)
        cond_wait(&bus->room, &bus->lock);
    for (size_t i = 0; i < count; i++)
        publish_one(bus, &events[i], acked, subject);
    for (int i = 0; i < bus->sides_count; i++)
        if (bus->sides[i].first)
            cond_wake_one(&bus->sides[i].wake);
    lock_drop(&bus->lock);
}

int64_t bus_backlog(struct bus *bus)
{
    lock_take(&bus->lock);
    int64_t backlog = (int64_t)bus->parcels;
    lock_drop(&bus->lock);
    return backlog;
}

/* ---- delivering ---- */

static int64_t due_us(const struct side *side, const struct item *item)
{
    int64_t rested_us = side->rests[item->shard].until_us;
    return item->not_before_us > rested_us ? item->not_before_us : rested_us;
}

/* Unlinks up to BUS_BATCH_MAX items that are due, in their order; *next_us is when the first of the
 * others is. */
static size_t take_due(struct side *side, struct item **items, int64_t now_us, int64_t *next_us)
{
    size_t count = 0;
    *next_us = INT64_MAX;
    for (struct item **link = &side->first; *link && count < BUS_BATCH_MAX;) {
        struct item *item = *link;
        int64_t item_us = due_us(side, item);
        if (item_us > now_us) {
            if (item_us < *next_us)
                *next_us = item_us;
            link = &item->next;
            continue;
        }
        *link = item->next;
        items[count++] = item;
    }
    side->last = &side->first;
    while (*side->last)
        side->last = &(*side->last)->next;
    return count;
}

/* The first that was not taken is what failed: its shard rests for a while, longer each time. Those
 * behind it in the batch may be well, and come again at once. */
static void let_rest(struct side *side, const struct item *item)
{
    struct rest *rest = &side->rests[item->shard];
    rest->backoff_us = rest->backoff_us ? rest->backoff_us * 2 : RETRY_US_MIN;
    if (rest->backoff_us > RETRY_US_MAX)
        rest->backoff_us = RETRY_US_MAX;
    rest->until_us = clock_mono_us() + rest->backoff_us;
}

/* Puts back, before everything else, what was not acked. */
static void put_back(struct side *side, struct item **items, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        items[i]->next = side->first;
        if (!side->first)
            side->last = &items[i]->next;
        side->first = items[i];
    }
}

/* Acks parcels that nobody waits for any more. The lock is held. */
static void ack(struct bus *bus, struct item **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct parcel *parcel = items[i]->parcel;
        free(items[i]);
        if (--parcel->waiting > 0)
            continue;
        parcel->acked(parcel->subject, &parcel->event.id, 1);
        free(parcel);
        bus->parcels--;
    }
    cond_wake_all(&bus->room);
}

static void deliver(struct side *side, struct item **items, size_t count)
{
    struct bus *bus = side->bus;
    struct bus_event events[BUS_BATCH_MAX];
    for (size_t i = 0; i < count; i++)
        events[i] = items[i]->parcel->event;
    lock_drop(&bus->lock);
    size_t taken = side->consumer.take(side->consumer.self, events, count);
    lock_take(&bus->lock);
    ASSERT(taken <= count);
    for (size_t i = 0; i < taken; i++)
        side->rests[items[i]->shard].backoff_us = 0;
    if (taken < count)
        let_rest(side, items[taken]);
    put_back(side, items + taken, count - taken);
    ack(bus, items, taken);
}

static void side_run(void *subject)
{
    struct side *side = subject;
    struct bus *bus = side->bus;
    struct item *items[BUS_BATCH_MAX];
    lock_take(&bus->lock);
    while (!bus->stopping) {
        int64_t next_us;
        size_t count = take_due(side, items, clock_mono_us(), &next_us);
        if (count > 0)
            deliver(side, items, count);
        else if (next_us == INT64_MAX)
            cond_wait(&side->wake, &bus->lock);
        else
            cond_wait_until(&side->wake, &bus->lock, next_us);
    }
    lock_drop(&bus->lock);
}

void bus_start(struct bus *bus)
{
    ASSERT(!bus->started);
    bus->started = true;
    for (int i = 0; i < bus->sides_count; i++)
        bus->sides[i].thread = thread_start("bus", side_run, &bus->sides[i]);
}

void bus_stop(struct bus *bus)
{
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

void bus_close(struct bus *bus)
{
    if (!bus)
        return;
    for (int i = 0; i < bus->sides_count; i++) {
        struct side *side = &bus->sides[i];
        while (side->first) {
            struct item *item = side->first;
            side->first = item->next;
            if (--item->parcel->waiting == 0)
                free(item->parcel);
            free(item);
        }
        cond_done(&side->wake);
    }
    cond_done(&bus->room);
    lock_done(&bus->lock);
    free(bus);
}
