/* Messages to domain and back. Pure. */
#pragma once
#include "gen/orders.h"
#include "gen/products.h"
#include "services/orders/order.h"

/* A price as our own copy tells it. */
struct price {
    str sku, title, variant_title;
    struct uuid product;
    struct money unit;
    int64_t number;
    bool known, for_sale;
};

/* A parcel that left. */
struct fulfilment {
    struct uuid id;
    str carrier, tracking;
    const struct shipment_line *lines;
    size_t lines_count;
    time_us created_at;
};

/* A step of the timeline as it was kept. */
struct past_step {
    time_us at;
    str what, actor, reason;
    struct uuid actor_id;
};

/* An order as the caller sees it, with the parcels that left. */
Orders__Order *view_of_order(struct arena *arena, const struct order *order,
                             const struct fulfilment *fulfilments, size_t fulfilments_count);
Orders__Timeline *view_of_timeline(struct arena *arena, const struct past_step *steps,
                                   size_t count);

/* The lines of a new order at the prices that are known. Fails with ORDER_SKU_UNKNOWN naming each
 * line that is not for sale. */
err view_lines(struct arena *arena, const Orders__CreateOrderRequest *in,
               const struct price *prices, struct order_line **lines);

/* 409 stock.insufficient, with every line that is short. */
err view_short_error(struct arena *arena, const struct order *order,
                     const struct order_short *shorts, size_t count);

/* 402 payment.declined. */
err view_declined_error(struct arena *arena, const struct order *order);

/* A price from Products' event, and from Products' answer. */
struct price view_price_of_event(const Products__VariantPriced *event);
struct price view_price_of_quote(const Products__Quoted *quoted);

/* The short lines of Products' refusal. */
struct order_short *view_shorts(struct arena *arena, const Products__StockRefused *event);

/* The event messages; `number` is the event's. (EVENT_REFUNDED has none: it is only news.) */
const void *view_of_event(struct arena *arena, const struct order *order, enum order_event event,
                          int64_t number, const struct fulfilment *fulfilment,
                          const struct event_spec **spec);

/* What the customer is to hear of an event; NULL where that is nothing. */
const void *view_of_news(struct arena *arena, const struct order *order, enum order_event event,
                         const struct fulfilment *fulfilment);

/* Lines of a fulfilment as they are kept, and back. */
str view_pack_shipment(struct arena *arena, const struct shipment_line *lines, size_t count);
err view_unpack_shipment(struct arena *arena, str packed, const struct shipment_line **lines,
                         size_t *count);
