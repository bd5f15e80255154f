/* What an order holds of the stock, from its placing to its end. Pure.
 *
 *     none --place--> held | refused        held --close--> closed
 *     none --close--> closed (a tombstone: it refuses a place that comes later)
 *
 * Units are shipped and returned while it is held; returned also later. Events come at least once
 * and reactions may be late, so what is past a move takes it as done. */
#pragma once
#include "base/uuid.h"
#include "services/products/stock.h"

enum reservation_state {
    RESERVATION_NONE,
    RESERVATION_HELD,
    RESERVATION_REFUSED,
    RESERVATION_CLOSED,
};

/* Of one SKU: quantity = still held + shipped + released. */
struct hold {
    str sku;
    int64_t quantity, shipped, returned, released;
    bool is_new, is_changed;
};

struct reservation {
    struct uuid order;
    enum reservation_state state;
    int64_t number; /* of the latest event that was announced of it; 0: none yet */
    struct hold *holds;
    size_t holds_count;
    bool is_changed;
};

/* The levels of a batch. */
struct stock_levels {
    struct stock_level *levels;
    size_t count;
};

enum reservation_answer {
    RESERVATION_SAYS_NOTHING,
    RESERVATION_SAYS_RESERVED,
    RESERVATION_SAYS_REFUSED,
};

/* Takes all lines (one a SKU) or none, and tells what to announce; `*order` names the short lines.
 * A tombstone is refused without any; an order that was answered before says nothing. */
enum reservation_answer reservation_place(struct arena *arena, struct reservation *reservation,
                                          struct stock_levels *stock,
                                          const struct stock_line *lines, size_t lines_count,
                                          struct stock_order *order);

/* Frees what is held and was not shipped. */
void reservation_close(struct reservation *reservation, struct stock_levels *stock);

/* Units leave the house: all lines or none; *applied is false where the order is past it. Fails
 * with TRANSITION_NOT_YET where it was not placed yet, FULFILMENT_INVALID where a line is more than
 * what it still holds. */
err reservation_ship(struct arena *arena, struct reservation *reservation,
                     struct stock_levels *stock, const struct stock_line *lines, size_t lines_count,
                     bool *applied);

/* Shipped units come back on hand: all lines or none. Fails with TRANSITION_NOT_YET where it was
 * not placed yet, FULFILMENT_INVALID where a line is more than what was shipped and is still away.
 */
err reservation_return(struct arena *arena, struct reservation *reservation,
                       struct stock_levels *stock, const struct stock_line *lines,
                       size_t lines_count, bool *applied);
