/* The queues of a bus without a broker (bus_local.c, bus_direct.c): one for each consumer. An event
 * is one parcel for all that listen to it, and acked when the last of them has it. Nothing is kept
 * here: what was not acked is still in the outbox of its service. */
#pragma once
#include "chassis/bus_driver.h"
#include "chassis/bus_line.h"
#include "os/sync.h"

enum { BUS_QUEUES_MAX = BUS_LISTENERS_MAX };

struct bus_queues;
struct series;

/* Of one consumer; one thread takes from it. */
struct bus_queue {
    struct bus_queues *all;
    struct bus_subscription listens;
    struct bus_line line;
    struct cond wake;
    struct series *waiting;
};

struct bus_queues {
    struct lock lock; /* of all that is here */
    struct cond room;
    struct bus_queue of[BUS_QUEUES_MAX];
    int count;
    size_t parcels, parcels_max;
    struct bus_faults faults;
    bool stopping;
};

/* None yet, for up to `parcels_max` events at once; `faults` may be NULL. They may not be moved. */
void bus_queues_init(struct bus_queues *queues, size_t parcels_max,
                     const struct bus_faults *faults);

/* Frees what waits in them. */
void bus_queues_done(struct bus_queues *queues);

/* Adds the queue of a consumer, before anything is published. */
struct bus_queue *bus_queues_add(struct bus_queues *queues, const struct bus_consumer *consumer,
                                 const char *const *topics, int topics_count);

/* As bus_publish. Waits for room while too much is held. */
void bus_queues_publish(struct bus_queues *queues, const struct bus_event *events, size_t count,
                        void (*acked)(void *subject, const struct uuid *ids, size_t count),
                        void *subject);

/* How many events are held. */
int64_t bus_queues_backlog(struct bus_queues *queues);

/* Nobody waits any more, for events or for room. */
void bus_queues_stop(struct bus_queues *queues);
bool bus_queues_stopping(const struct bus_queues *queues);

/* Waits for what is due, and unlinks it by `take` (bus_line_take, bus_line_take_heads); 0 when the
 * queues were stopped. */
size_t bus_queue_take(struct bus_queue *queue,
                      size_t (*take)(struct bus_line *line, struct bus_item **items, int64_t now_us,
                                     int64_t *next_us),
                      struct bus_item **items);

/* After a delivery, as bus_line_settle; the first `taken` are acked and freed. */
void bus_queue_settle(struct bus_queue *queue, struct bus_item **items, size_t count, size_t taken);
