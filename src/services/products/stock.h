/* Stock of a SKU, and who gets it: what is on hand, what of that is promised to orders. Pure.
 *
 * on_hand falls at fulfilment only; reserved = unshipped units of open orders; available =
 * on_hand - reserved, which is never negative. A batch reads the levels that it touches, changes
 * them here, and writes one delta a SKU: what others share is decided under the writer's lock.
 * Levels and lines are sorted by SKU; all texts are borrowed. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

/* More units than any shop has; far from where sums overflow. */
#define STOCK_UNITS_MAX INT64_C(1000000000000)

enum availability {
    AVAILABILITY_IN_STOCK = 1,
    AVAILABILITY_LOW = 2,
    AVAILABILITY_OUT = 3,
};

struct stock_units {
    int64_t on_hand, reserved;
    int64_t version; /* grows by one with each change */
};

/* A SKU within a batch: as it was read and as it is by now. */
struct stock_level {
    str sku;
    bool known; /* false: nobody ever stocked it; nothing is available */
    struct stock_units now, before;
};

struct stock_line {
    str sku;
    int64_t quantity;
};

struct stock_short {
    str sku;
    int64_t wanted, available;
};

/* An order that asks for all of its lines or nothing. */
struct stock_order {
    const struct stock_line *lines; /* one a SKU: stock_sum */
    size_t lines_count;
    bool granted;
    struct stock_short *shorts; /* where it was not granted: every line that is short */
    size_t shorts_count;
};

/* A change of what is on hand: by a delta, or to a counted number. */
struct stock_adjustment {
    bool counted;
    int64_t units; /* the delta, or the counted number */
    bool expects;  /* compare-and-swap */
    int64_t expected_on_hand;
};

/* A level as it was read. */
struct stock_level stock_level_of(str sku, struct stock_units units);

/* Units that may be promised. */
int64_t stock_available(const struct stock_level *level);

/* What `available` units show as; `low` is the setting STOCK_LOW. */
enum availability stock_availability(int64_t available, int64_t low);

/* Whether the batch has changed it. */
bool stock_is_changed(const struct stock_level *level);

/* Changes a level by deltas; what is left must be a level. */
void stock_move(struct stock_level *level, int64_t on_hand, int64_t reserved);

/* Sorts and drops what comes twice; gives how many are left. */
size_t stock_sort_skus(str *skus, size_t count);

/* The level of a SKU, or NULL. */
struct stock_level *stock_find(struct stock_level *levels, size_t levels_count, str sku);

/* One line a SKU, sorted: an order may name a SKU on several lines. Fails with EVENT_UNDECODABLE
 * where a quantity is not from 1 to STOCK_UNITS_MAX. */
err stock_sum(struct arena *arena, const struct stock_line *lines, size_t lines_count,
              struct stock_line **out, size_t *out_count);

/* Grants whole orders in turn: reserves all lines of an order, or names those that are short. The
 * levels hold every SKU that the orders name. */
void stock_allocate(struct arena *arena, struct stock_level *levels, size_t levels_count,
                    struct stock_order *orders, size_t orders_count);

/* Changes what is on hand, and tells by how much. Fails with STOCK_CONFLICT (it is another number
 * than expected), STOCK_NEGATIVE (less than is reserved) or FIELD_INVALID (too much). */
err stock_adjust(struct arena *arena, struct stock_level *level,
                 const struct stock_adjustment *adjustment, int64_t *delta);
