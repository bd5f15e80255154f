#include "services/orders/flat.h"
#include "base/err.h"
#include <string.h>

/* Each text of an order, so that none is forgotten on the way in or out. */
static void for_each_text(struct order *order, void (*visit)(void *subject, str *text),
                          void *subject)
{
    visit(subject, &order->provider);
    visit(subject, &order->payment_token);
    visit(subject, &order->address);
    visit(subject, &order->reason);
    visit(subject, &order->traceparent);
    for (size_t i = 0; i < order->lines_count; i++) {
        visit(subject, &order->lines[i].sku);
        visit(subject, &order->lines[i].title);
        visit(subject, &order->lines[i].variant_title);
    }
}

struct room {
    char *at;
    size_t used, cap;
    bool is_full;
};

static void *take(struct room *room, size_t bytes)
{
    if (room->is_full || bytes > room->cap - room->used) {
        room->is_full = true;
        return NULL;
    }
    void *place = room->at + room->used;
    room->used += bytes;
    return place;
}

static void put_text(void *subject, str *text)
{
    char *place = take(subject, text->len);
    if (place && text->len > 0)
        memcpy(place, text->ptr, text->len);
}

size_t order_flatten(const struct order *order, char *out, size_t cap)
{
    ASSERT(order && out);
    struct room room = { .at = out, .cap = cap };
    struct order *flat = take(&room, sizeof *flat);
    struct order_line *lines = take(&room, order->lines_count * sizeof *lines);
    if (!flat || !lines)
        return 0;
    struct order copy = *order;
    copy.steps_count = copy.events_count = 0;
    for_each_text(&copy, put_text, &room);
    memcpy(flat, &copy, sizeof *flat);
    memcpy(lines, order->lines, order->lines_count * sizeof *lines);
    return room.is_full ? 0 : room.used;
}

static void get_text(void *subject, str *text)
{
    text->ptr = take(subject, text->len);
    ASSERT(text->ptr);
}

struct order order_unflatten(str flat)
{
    struct room room = { .at = (char *)(uintptr_t)flat.ptr, .cap = flat.len };
    const struct order *kept = take(&room, sizeof *kept);
    ASSERT(kept);
    struct order order = *kept;
    order.lines = take(&room, order.lines_count * sizeof *order.lines);
    ASSERT(order.lines);
    for_each_text(&order, get_text, &room);
    return order;
}

static void for_each_text_of_price(struct price *price, void (*visit)(void *subject, str *text),
                                   void *subject)
{
    visit(subject, &price->sku);
    visit(subject, &price->title);
    visit(subject, &price->variant_title);
}

size_t price_flatten(const struct price *price, char *out, size_t cap)
{
    ASSERT(price && out);
    struct room room = { .at = out, .cap = cap };
    struct price copy = *price, *flat = take(&room, sizeof *flat);
    for_each_text_of_price(&copy, put_text, &room);
    if (!room.is_full)
        memcpy(flat, &copy, sizeof *flat);
    return room.is_full ? 0 : room.used;
}

struct price price_unflatten(str flat)
{
    struct room room = { .at = (char *)(uintptr_t)flat.ptr, .cap = flat.len };
    const struct price *kept = take(&room, sizeof *kept);
    ASSERT(kept);
    struct price price = *kept;
    for_each_text_of_price(&price, get_text, &room);
    return price;
}
