#include "services/orders/view.h"
#include "base/arena.h"
#include "chassis/message.h"

/* The contract's numbers are the domain's. */
_Static_assert((int)ORDER_CANCELLED == ORDERS__ORDER_STATUS__ORDER_STATUS_CANCELLED, "status");
_Static_assert((int)ORDER_REJECTED == ORDERS__ORDER_STATUS__ORDER_STATUS_REJECTED, "status");
_Static_assert((int)PAYMENT_REFUNDED == ORDERS__PAYMENT_STATUS__PAYMENT_STATUS_REFUNDED, "payment");
_Static_assert((int)PAYMENT_IS_DECLINED == ORDERS__PAYMENT_STATUS__PAYMENT_STATUS_DECLINED,
               "payment");
_Static_assert((int)FULFILMENT_RETURNED == ORDERS__FULFILMENT_STATUS__FULFILMENT_STATUS_RETURNED,
               "fulfilment");

/* ---- orders ---- */

static Orders__OrderLine *line_of(struct arena *arena, const struct order_line *line)
{
    Orders__OrderLine *out = arena_new(arena, Orders__OrderLine);
    struct money total;
    err error = money_times(arena, line->unit_price, line->quantity, &total);
    ASSERT(error == OK); /* it was summed when the order was placed */
    *out = (Orders__OrderLine)ORDERS__ORDER_LINE__INIT;
    out->sku = field_of(line->sku);
    out->title = field_of(line->title);
    out->variant_title = field_of(line->variant_title);
    out->quantity = line->quantity;
    out->shipped = line->shipped;
    out->unit_price = field_of_money(arena, line->unit_price);
    out->total = field_of_money(arena, total);
    return out;
}

static Orders__FulfilmentLine **shipment_of(struct arena *arena, const struct shipment_line *lines,
                                            size_t count)
{
    Orders__FulfilmentLine **out = arena_array(arena, Orders__FulfilmentLine *, count);
    for (size_t i = 0; i < count; i++) {
        out[i] = arena_new(arena, Orders__FulfilmentLine);
        *out[i] = (Orders__FulfilmentLine)ORDERS__FULFILMENT_LINE__INIT;
        out[i]->sku = field_of(lines[i].sku);
        out[i]->quantity = lines[i].quantity;
    }
    return out;
}

static Orders__Fulfilment *fulfilment_of(struct arena *arena, const struct fulfilment *fulfilment)
{
    Orders__Fulfilment *out = arena_new(arena, Orders__Fulfilment);
    *out = (Orders__Fulfilment)ORDERS__FULFILMENT__INIT;
    out->id = field_of_uuid(arena, fulfilment->id);
    out->carrier = field_of(fulfilment->carrier);
    out->tracking = field_of(fulfilment->tracking);
    out->n_lines = fulfilment->lines_count;
    out->lines = shipment_of(arena, fulfilment->lines, fulfilment->lines_count);
    out->created_at = field_of_time(arena, fulfilment->created_at);
    return out;
}

static Duka__Address *address_of(struct arena *arena, str packed)
{
    void *address = NULL;
    if (packed.len > 0 && message_unpack(arena, packed, &duka_address_spec, &address) != OK)
        return NULL;
    return address;
}

static void fill_lines(struct arena *arena, Orders__Order *out, const struct order *order)
{
    out->n_lines = order->lines_count;
    out->lines = arena_array(arena, Orders__OrderLine *, order->lines_count);
    for (size_t i = 0; i < order->lines_count; i++)
        out->lines[i] = line_of(arena, &order->lines[i]);
}

Orders__Order *view_of_order(struct arena *arena, const struct order *order,
                             const struct fulfilment *fulfilments, size_t fulfilments_count)
{
    ASSERT(arena && order);
    Orders__Order *out = arena_new(arena, Orders__Order);
    *out = (Orders__Order)ORDERS__ORDER__INIT;
    out->id = field_of_uuid(arena, order->id);
    out->customer_id = field_of_uuid(arena, order->customer);
    out->status = (Orders__OrderStatus)order->status;
    out->payment_status = (Orders__PaymentStatus)order->payment;
    out->fulfilment_status = (Orders__FulfilmentStatus)order->fulfilment;
    fill_lines(arena, out, order);
    out->total = field_of_money(arena, order->total);
    out->paid = field_of_money(
        arena, (struct money){ .minor = order->captured_minor - order->refunded_minor,
                               .currency = order->total.currency });
    out->payment_provider = field_of(order->provider);
    out->shipping_address = address_of(arena, order->address);
    out->n_fulfilments = fulfilments_count;
    out->fulfilments = arena_array(arena, Orders__Fulfilment *, fulfilments_count);
    for (size_t i = 0; i < fulfilments_count; i++)
        out->fulfilments[i] = fulfilment_of(arena, &fulfilments[i]);
    out->reason = field_of(order->reason);
    bool waits = order->status == ORDER_RESERVED;
    out->hold_until = field_of_time(arena, waits ? order->hold_until : 0);
    out->version = order->version;
    out->created_at = field_of_time(arena, order->created_at);
    out->updated_at = field_of_time(arena, order->updated_at);
    return out;
}

Orders__Timeline *view_of_timeline(struct arena *arena, const struct past_step *steps, size_t count)
{
    Orders__Timeline *out = arena_new(arena, Orders__Timeline);
    *out = (Orders__Timeline)ORDERS__TIMELINE__INIT;
    out->n_items = count;
    out->items = arena_array(arena, Orders__TimelineEntry *, count);
    for (size_t i = 0; i < count; i++) {
        Orders__TimelineEntry *entry = out->items[i] = arena_new(arena, Orders__TimelineEntry);
        *entry = (Orders__TimelineEntry)ORDERS__TIMELINE_ENTRY__INIT;
        entry->at = field_of_time(arena, steps[i].at);
        entry->what = field_of(steps[i].what);
        entry->actor = field_of(steps[i].actor);
        entry->actor_id = uuid_is_nil(steps[i].actor_id) ? field_of(STR(""))
                                                         : field_of_uuid(arena, steps[i].actor_id);
        entry->reason = field_of(steps[i].reason);
    }
    return out;
}

/* ---- placing ---- */

err view_lines(struct arena *arena, const Orders__CreateOrderRequest *in,
               const struct price *prices, struct order_line **lines)
{
    struct err_field *unknown = arena_array(arena, struct err_field, in->n_lines);
    size_t unknown_count = 0;
    *lines = arena_array(arena, struct order_line, in->n_lines);
    for (size_t i = 0; i < in->n_lines; i++) {
        const struct price *price = &prices[i];
        if (!price->known || !price->for_sale)
            unknown[unknown_count++] =
                (struct err_field){ .pointer = str_format(arena, "/lines/%zu/sku", i),
                                    .message = STR("is not for sale") };
        (*lines)[i] = (struct order_line){ .sku = text_of(in->lines[i]->sku),
                                           .title = price->title,
                                           .variant_title = price->variant_title,
                                           .quantity = in->lines[i]->quantity,
                                           .unit_price = price->unit };
    }
    if (unknown_count == 0)
        return OK;
    struct err_value *error = arena_new(arena, struct err_value);
    *error = (struct err_value){ .code = ORDER_SKU_UNKNOWN,
                                 .detail = STR("some lines are not for sale"),
                                 .fields = unknown,
                                 .fields_count = unknown_count,
                                 .place = ERR_PLACE };
    return error;
}

static const struct order_short *short_of(const struct order_short *shorts, size_t count, str sku)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(shorts[i].sku, sku))
            return &shorts[i];
    return NULL;
}

err view_short_error(struct arena *arena, const struct order *order,
                     const struct order_short *shorts, size_t count)
{
    struct err_field *fields = arena_array(arena, struct err_field, order->lines_count);
    size_t fields_count = 0;
    for (size_t i = 0; i < order->lines_count; i++) {
        const struct order_short *found = short_of(shorts, count, order->lines[i].sku);
        if (found)
            fields[fields_count++] = (struct err_field){
                .pointer = str_format(arena, "/lines/%zu/quantity", i),
                .message = str_format(arena, "%lld of %" STR_F " wanted, %lld available",
                                      (long long)found->wanted, STR_A(found->sku),
                                      (long long)found->available)
            };
    }
    struct err_value *error = arena_new(arena, struct err_value);
    *error = (struct err_value){ .code = STOCK_INSUFFICIENT,
                                 .detail = STR("there is not enough stock; the order is rejected"),
                                 .fields = fields,
                                 .fields_count = fields_count,
                                 .place = ERR_PLACE,
                                 .subject = uuid_text(arena, order->id) };
    return error;
}

err view_declined_error(struct arena *arena, const struct order *order)
{
    struct err_value *error = arena_new(arena, struct err_value);
    *error =
        (struct err_value){ .code = PAYMENT_DECLINED,
                            .detail = STR("the payment provider declined; the order is rejected"),
                            .place = ERR_PLACE,
                            .subject = uuid_text(arena, order->id) };
    return error;
}

/* ---- prices ---- */

static struct currency currency_of(str letters)
{
    struct currency currency = { { 0 } };
    memcpy(currency.letters, letters.ptr, letters.len < 3 ? letters.len : 3);
    return currency;
}

struct price view_price_of_event(const Products__VariantPriced *event)
{
    return (struct price){ .sku = text_of(event->sku),
                           .title = text_of(event->title),
                           .variant_title = text_of(event->variant_title),
                           .product = uuid_of_field(event->product_id),
                           .unit = { .minor = event->amount,
                                     .currency = currency_of(text_of(event->currency)) },
                           .number = event->number,
                           .known = true,
                           .for_sale = event->for_sale };
}

struct price view_price_of_quote(const Products__Quoted *quoted)
{
    return (struct price){ .sku = text_of(quoted->sku),
                           .title = text_of(quoted->title),
                           .variant_title = text_of(quoted->variant_title),
                           .product = uuid_of_field(quoted->product_id),
                           .unit = { .minor = quoted->price->amount,
                                     .currency = currency_of(text_of(quoted->price->currency)) },
                           .number = quoted->number,
                           .known = true,
                           .for_sale = quoted->for_sale };
}

struct order_short *view_shorts(struct arena *arena, const Products__StockRefused *event)
{
    struct order_short *shorts = arena_array(arena, struct order_short, event->n_lines);
    for (size_t i = 0; i < event->n_lines; i++)
        shorts[i] = (struct order_short){ .sku = text_of(event->lines[i]->sku),
                                          .wanted = event->lines[i]->wanted,
                                          .available = event->lines[i]->available };
    return shorts;
}

/* ---- events ---- */

static Orders__PlacedLine **placed_lines(struct arena *arena, size_t count)
{
    Orders__PlacedLine **lines = arena_array(arena, Orders__PlacedLine *, count);
    for (size_t i = 0; i < count; i++) {
        lines[i] = arena_new(arena, Orders__PlacedLine);
        *lines[i] = (Orders__PlacedLine)ORDERS__PLACED_LINE__INIT;
    }
    return lines;
}

static const void *placed_event(struct arena *arena, const struct order *order, int64_t number)
{
    Orders__OrderPlaced *event = arena_new(arena, Orders__OrderPlaced);
    *event = (Orders__OrderPlaced)ORDERS__ORDER_PLACED__INIT;
    event->order_id = field_of_uuid(arena, order->id);
    event->number = number;
    event->n_lines = order->lines_count;
    event->lines = placed_lines(arena, order->lines_count);
    for (size_t i = 0; i < order->lines_count; i++) {
        event->lines[i]->sku = field_of(order->lines[i].sku);
        event->lines[i]->quantity = order->lines[i].quantity;
    }
    return event;
}

static const void *shipped_event(struct arena *arena, const struct order *order, int64_t number,
                                 const struct fulfilment *fulfilment)
{
    Orders__OrderShipped *event = arena_new(arena, Orders__OrderShipped);
    *event = (Orders__OrderShipped)ORDERS__ORDER_SHIPPED__INIT;
    event->order_id = field_of_uuid(arena, order->id);
    event->number = number;
    event->fulfilment_id = field_of_uuid(arena, fulfilment->id);
    event->n_lines = fulfilment->lines_count;
    event->lines = placed_lines(arena, fulfilment->lines_count);
    for (size_t i = 0; i < fulfilment->lines_count; i++) {
        event->lines[i]->sku = field_of(fulfilment->lines[i].sku);
        event->lines[i]->quantity = fulfilment->lines[i].quantity;
    }
    return event;
}

static const void *returned_event(struct arena *arena, const struct order *order, int64_t number)
{
    Orders__OrderReturned *event = arena_new(arena, Orders__OrderReturned);
    *event = (Orders__OrderReturned)ORDERS__ORDER_RETURNED__INIT;
    event->order_id = field_of_uuid(arena, order->id);
    event->number = number;
    event->lines = placed_lines(arena, order->lines_count);
    for (size_t i = 0; i < order->lines_count; i++) {
        if (order->lines[i].shipped == 0)
            continue;
        event->lines[event->n_lines]->sku = field_of(order->lines[i].sku);
        event->lines[event->n_lines++]->quantity = order->lines[i].shipped;
    }
    return event;
}

static const void *confirmed_event(struct arena *arena, const struct order *order, int64_t number)
{
    Orders__OrderConfirmed *event = arena_new(arena, Orders__OrderConfirmed);
    *event = (Orders__OrderConfirmed)ORDERS__ORDER_CONFIRMED__INIT;
    event->order_id = field_of_uuid(arena, order->id);
    event->number = number;
    return event;
}

static const void *closed_event(struct arena *arena, const struct order *order, int64_t number)
{
    Orders__OrderClosed *event = arena_new(arena, Orders__OrderClosed);
    *event = (Orders__OrderClosed)ORDERS__ORDER_CLOSED__INIT;
    event->order_id = field_of_uuid(arena, order->id);
    event->number = number;
    return event;
}

const void *view_of_event(struct arena *arena, const struct order *order, enum order_event event,
                          int64_t number, const struct fulfilment *fulfilment,
                          const struct event_spec **spec)
{
    switch (event) {
    case EVENT_PLACED:
        *spec = &orders_event_order_placed;
        return placed_event(arena, order, number);
    case EVENT_CONFIRMED:
        *spec = &orders_event_order_confirmed;
        return confirmed_event(arena, order, number);
    case EVENT_CLOSED:
        *spec = &orders_event_order_closed;
        return closed_event(arena, order, number);
    case EVENT_SHIPPED:
        ASSERT(fulfilment);
        *spec = &orders_event_order_shipped;
        return shipped_event(arena, order, number, fulfilment);
    case EVENT_RETURNED:
        *spec = &orders_event_order_returned;
        return returned_event(arena, order, number);
    case EVENT_REFUNDED: break; /* only news */
    }
    ASSERT(false);
    return NULL;
}

/* ---- what customers hear ---- */

/* Closed is also an order that goes on without what was not shipped: of that its refund tells. */
static Orders__NewsKind news_kind(const struct order *order, enum order_event event)
{
    switch (event) {
    case EVENT_CONFIRMED: return ORDERS__NEWS_KIND__NEWS_KIND_CONFIRMED;
    case EVENT_SHIPPED: return ORDERS__NEWS_KIND__NEWS_KIND_SHIPPED;
    case EVENT_REFUNDED: return ORDERS__NEWS_KIND__NEWS_KIND_REFUNDED;
    case EVENT_CLOSED:
        if (order->status == ORDER_REJECTED)
            return ORDERS__NEWS_KIND__NEWS_KIND_REJECTED;
        if (order->status == ORDER_CANCELLING || order->status == ORDER_CANCELLED)
            return ORDERS__NEWS_KIND__NEWS_KIND_CANCELLED;
        break;
    case EVENT_PLACED:
    case EVENT_RETURNED: break;
    }
    return ORDERS__NEWS_KIND__NEWS_KIND_UNSPECIFIED;
}

static str news_id(struct arena *arena, const struct order *order, Orders__NewsKind kind,
                   const struct fulfilment *fulfilment)
{
    bool is_parcel = kind == ORDERS__NEWS_KIND__NEWS_KIND_SHIPPED;
    str parcel = is_parcel ? uuid_text(arena, fulfilment->id) : STR("");
    return str_format(arena, "%" STR_F ".%s%s%" STR_F, STR_A(uuid_text(arena, order->id)),
                      orders_news_kind_spec.words[kind], is_parcel ? "." : "", STR_A(parcel));
}

const void *view_of_news(struct arena *arena, const struct order *order, enum order_event event,
                         const struct fulfilment *fulfilment)
{
    Orders__NewsKind kind = news_kind(order, event);
    if (kind == ORDERS__NEWS_KIND__NEWS_KIND_UNSPECIFIED)
        return NULL;
    struct money back = { .minor = order->refunded_minor, .currency = order->total.currency };
    Orders__OrderNews *news = arena_new(arena, Orders__OrderNews);
    *news = (Orders__OrderNews)ORDERS__ORDER_NEWS__INIT;
    news->news_id = field_of(news_id(arena, order, kind, fulfilment));
    news->number = 1;
    news->order_id = field_of_uuid(arena, order->id);
    news->customer_id = field_of_uuid(arena, order->customer);
    news->kind = kind;
    if (event == EVENT_CONFIRMED)
        news->amount = field_of_money(arena, order->total);
    if (event == EVENT_REFUNDED)
        news->amount = field_of_money(arena, back);
    if (event == EVENT_CLOSED)
        news->reason = field_of(order_reason_of_shop(order));
    return news;
}

/* ---- shipments as they are kept ---- */

str view_pack_shipment(struct arena *arena, const struct shipment_line *lines, size_t count)
{
    Orders__Fulfilment kept = ORDERS__FULFILMENT__INIT;
    kept.n_lines = count;
    kept.lines = shipment_of(arena, lines, count);
    return message_pack(arena, &kept);
}

err view_unpack_shipment(struct arena *arena, str packed, const struct shipment_line **lines,
                         size_t *count)
{
    void *message;
    TRY(message_unpack(arena, packed, &orders_fulfilment_spec, &message));
    const Orders__Fulfilment *kept = message;
    struct shipment_line *out = arena_array(arena, struct shipment_line, kept->n_lines);
    for (size_t i = 0; i < kept->n_lines; i++)
        out[i] = (struct shipment_line){ .sku = text_of(kept->lines[i]->sku),
                                         .quantity = kept->lines[i]->quantity };
    *lines = out;
    *count = kept->n_lines;
    return OK;
}
