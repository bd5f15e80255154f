/* What waits for one consumer: in order, a shard that failed resting for a while so that none of a
 * key overtakes another. One thread uses a line at a time; its owner sees to that. */
#pragma once
#include "chassis/bus.h"

/* In the line of one consumer; embedded by its owner. */
struct bus_item {
    struct bus_item *next;
    const struct bus_event *event;
    int64_t not_before_us; /* monotonic; 0: at once */
    int shard;
};

struct bus_line {
    struct bus_item *first, **last;
    size_t count; /* that wait, those taken left out */
    struct bus_rest {
        int64_t until_us, backoff_us;
    } rests[BUS_SHARDS];
};

/* An empty line; it may not be moved. */
void bus_line_init(struct bus_line *line);

/* Adds one at its end. */
void bus_line_add(struct bus_line *line, struct bus_item *item);

/* Unlinks up to BUS_BATCH_MAX items that are due at `now_us`, in their order; *next_us is when the
 * first of the others is (INT64_MAX: there is none). */
size_t bus_line_take(struct bus_line *line, struct bus_item **items, int64_t now_us,
                     int64_t *next_us);

/* The same, but of each shard only its first, so BUS_SHARDS at most: for who has one of a shard
 * under way at a time. */
size_t bus_line_take_heads(struct bus_line *line, struct bus_item **items, int64_t now_us,
                           int64_t *next_us);

/* After a delivery of `count` items of which the first `taken` had their effect: the first of the
 * others is what failed, so its shard rests, longer each time; they go back before everything else.
 */
void bus_line_settle(struct bus_line *line, struct bus_item **items, size_t count, size_t taken);

/* Unlinks the first, due or not; NULL when it is empty. */
struct bus_item *bus_line_drop(struct bus_line *line);
