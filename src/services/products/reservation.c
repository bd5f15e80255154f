#include "services/products/reservation.h"
#include "base/planted.h"

static int64_t held(const struct hold *hold)
{
    int64_t units = hold->quantity - hold->shipped - hold->released;

    ASSERT(units >= 0 && hold->shipped >= 0 && hold->released >= 0);
    ASSERT(hold->returned >= 0 && hold->returned <= hold->shipped);
    return units;
}

static int64_t away(const struct hold *hold) { return hold->shipped - hold->returned; }

static struct hold *find_hold(const struct reservation *reservation, str sku)
{
    for (size_t i = 0; i < reservation->holds_count; i++)
        if (str_equal(reservation->holds[i].sku, sku))
            return &reservation->holds[i];
    return NULL;
}

/* The batch has read the level of every hold. */
static struct stock_level *level_of(struct stock_levels *stock, str sku)
{
    struct stock_level *level = stock_find(stock->levels, stock->count, sku);

    ASSERT(level && level->known);
    return level;
}

/* ---- placing ---- */

static void take_holds(struct arena *arena, struct reservation *reservation,
                       const struct stock_line *lines, size_t lines_count)
{
    ASSERT(reservation->holds_count == 0);
    reservation->holds = arena_array(arena, struct hold, lines_count + 1);
    reservation->holds_count = lines_count;
    for (size_t i = 0; i < lines_count; i++)
        reservation->holds[i] =
            (struct hold){ .sku = lines[i].sku, .quantity = lines[i].quantity, .is_new = true };
}

enum reservation_answer reservation_place(struct arena *arena, struct reservation *reservation,
                                          struct stock_levels *stock,
                                          const struct stock_line *lines, size_t lines_count,
                                          struct stock_order *order)
{
    *order = (struct stock_order){ .lines = lines, .lines_count = lines_count };
    if (reservation->number > 0)
        return RESERVATION_SAYS_NOTHING;
    reservation->number = 1;
    reservation->is_changed = true;
    if (reservation->state == RESERVATION_CLOSED)
        return RESERVATION_SAYS_REFUSED;

    ASSERT(reservation->state == RESERVATION_NONE);
    stock_allocate(arena, stock->levels, stock->count, order, 1);
    reservation->state = order->granted ? RESERVATION_HELD : RESERVATION_REFUSED;
    if (order->granted)
        take_holds(arena, reservation, lines, lines_count);
    return order->granted ? RESERVATION_SAYS_RESERVED : RESERVATION_SAYS_REFUSED;
}

/* ---- closing ---- */

void reservation_close(struct reservation *reservation, struct stock_levels *stock)
{
    if (reservation->state == RESERVATION_CLOSED && !PLANTED(hold_two_owners))
        return;
    for (size_t i = 0; i < reservation->holds_count; i++) {
        struct hold *hold = &reservation->holds[i];
        int64_t units = PLANTED(hold_two_owners) ? hold->quantity - hold->shipped : held(hold);
        if (units == 0)
            continue;
        hold->released += units;
        hold->is_changed = true;
        stock_move(level_of(stock, hold->sku), 0, -units);
    }
    reservation->state = RESERVATION_CLOSED;
    reservation->is_changed = true;
}

/* ---- leaving the house and coming back ---- */

static err not_yet(struct arena *arena, const struct reservation *reservation)
{
    return fail(arena, TRANSITION_NOT_YET, "nothing was reserved yet for order %" STR_F,
                STR_A(uuid_text(arena, reservation->order)));
}

err reservation_ship(struct arena *arena, struct reservation *reservation,
                     struct stock_levels *stock, const struct stock_line *lines, size_t lines_count,
                     bool *applied)
{
    *applied = false;
    if (reservation->state == RESERVATION_NONE)
        return not_yet(arena, reservation);
    if (reservation->state != RESERVATION_HELD)
        return OK;
    for (size_t i = 0; i < lines_count; i++) {
        const struct hold *hold = find_hold(reservation, lines[i].sku);
        if (!hold || held(hold) < lines[i].quantity)
            return fail(arena, FULFILMENT_INVALID, "%lld x %" STR_F " shipped, %lld held",
                        (long long)lines[i].quantity, STR_A(lines[i].sku),
                        (long long)(hold ? held(hold) : 0));
    }
    for (size_t i = 0; i < lines_count; i++) {
        struct hold *hold = find_hold(reservation, lines[i].sku);
        hold->shipped += lines[i].quantity;
        hold->is_changed = true;
        stock_move(level_of(stock, hold->sku), -lines[i].quantity, -lines[i].quantity);
    }
    *applied = true;
    return OK;
}

err reservation_return(struct arena *arena, struct reservation *reservation,
                       struct stock_levels *stock, const struct stock_line *lines,
                       size_t lines_count, bool *applied)
{
    *applied = false;
    if (reservation->state == RESERVATION_NONE)
        return not_yet(arena, reservation);
    for (size_t i = 0; i < lines_count; i++) {
        const struct hold *hold = find_hold(reservation, lines[i].sku);
        if (!hold || away(hold) < lines[i].quantity)
            return fail(arena, FULFILMENT_INVALID, "%lld x %" STR_F " returned, %lld away",
                        (long long)lines[i].quantity, STR_A(lines[i].sku),
                        (long long)(hold ? away(hold) : 0));
    }
    for (size_t i = 0; i < lines_count; i++) {
        struct hold *hold = find_hold(reservation, lines[i].sku);
        hold->returned += lines[i].quantity;
        hold->is_changed = true;
        stock_move(level_of(stock, hold->sku), lines[i].quantity, 0);
    }
    *applied = true;
    return OK;
}
