#include "chassis/bus_line.h"

#include "os/clock.h"

enum { REST_US_MIN = 10000, REST_US_MAX = 5000000 };

void bus_line_init(struct bus_line *line)
{
    *line = (struct bus_line){ 0 };
    line->last = &line->first;
}

void bus_line_add(struct bus_line *line, struct bus_item *item)
{
    item->next = NULL;
    *line->last = item;
    line->last = &item->next;
    line->count++;
}

static int64_t due_us(const struct bus_line *line, const struct bus_item *item)
{
    int64_t rested_us = line->rests[item->shard].until_us;
    return item->not_before_us > rested_us ? item->not_before_us : rested_us;
}

size_t bus_line_take(struct bus_line *line, struct bus_item **items, int64_t now_us,
                     int64_t *next_us)
{
    size_t count = 0;
    *next_us = INT64_MAX;
    struct bus_item **link = &line->first;
    while (*link && count < BUS_BATCH_MAX) {
        struct bus_item *item = *link;
        int64_t item_us = due_us(line, item);
        if (item_us > now_us) {
            if (item_us < *next_us)
                *next_us = item_us;
            link = &item->next;
            continue;
        }
        *link = item->next;
        items[count++] = item;
    }
    if (!*link)
        line->last = link;
    line->count -= count;
    return count;
}

size_t bus_line_take_heads(struct bus_line *line, struct bus_item **items, int64_t now_us,
                           int64_t *next_us)
{
    size_t count = 0;
    unsigned seen = 0; /* shards whose first was looked at */
    *next_us = INT64_MAX;
    struct bus_item **link = &line->first;
    while (*link && seen != (1U << BUS_SHARDS) - 1) {
        struct bus_item *item = *link;
        bool first = (seen & 1U << item->shard) == 0;
        int64_t item_us = due_us(line, item);
        seen |= 1U << item->shard;
        if (!first || item_us > now_us) {
            if (first && item_us < *next_us)
                *next_us = item_us;
            link = &item->next;
            continue;
        }
        *link = item->next;
        items[count++] = item;
    }
    if (!*link)
        line->last = link;
    line->count -= count;
    return count;
}

/* Those behind it in the batch may be well, and come again at once. */
static void let_rest(struct bus_line *line, const struct bus_item *item)
{
    struct bus_rest *rest = &line->rests[item->shard];
    rest->backoff_us = rest->backoff_us ? rest->backoff_us * 2 : REST_US_MIN;
    if (rest->backoff_us > REST_US_MAX)
        rest->backoff_us = REST_US_MAX;
    rest->until_us = clock_mono_us() + rest->backoff_us;
}

void bus_line_settle(struct bus_line *line, struct bus_item **items, size_t count, size_t taken)
{
    ASSERT(taken <= count);
    for (size_t i = 0; i < taken; i++)
        line->rests[items[i]->shard].backoff_us = 0;
    if (taken < count)
        let_rest(line, items[taken]);
    for (size_t i = count; i-- > taken;) {
        items[i]->next = line->first;
        if (!line->first)
            line->last = &items[i]->next;
        line->first = items[i];
        line->count++;
    }
}

struct bus_item *bus_line_drop(struct bus_line *line)
{
    struct bus_item *item = line->first;
    if (!item)
        return NULL;
    line->first = item->next;
    if (!line->first)
        line->last = &line->first;
    line->count--;
    return item;
}
