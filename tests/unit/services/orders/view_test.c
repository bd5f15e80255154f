#include "chassis/message.h"
#include "services/orders/view.h"
#include "tests/lib/test.h"

static const struct currency EUR = { "EUR" };
static const struct uuid ID = { { 1, 2, 3 } }, CUSTOMER = { { 9 } }, PARCEL = { { 7 } };

static struct order *order_of(struct test *t)
{
    struct order_line *lines = arena_array(t->arena, struct order_line, 2);
    struct order *order = arena_new(t->arena, struct order);
    lines[0] = (struct order_line){ .sku = STR("mug"),
                                    .title = STR("Mug"),
                                    .variant_title = STR("Blue"),
                                    .quantity = 3,
                                    .shipped = 2,
                                    .unit_price = { 450, EUR } };
    lines[1] = (struct order_line){
        .sku = STR("tea"), .title = STR("Tea"), .quantity = 1, .unit_price = { 250, EUR }
    };
    *order = (struct order){ .id = ID,
                             .customer = CUSTOMER,
                             .status = ORDER_CONFIRMED,
                             .payment = PAYMENT_CAPTURED,
                             .fulfilment = FULFILMENT_PARTIAL,
                             .lines = lines,
                             .lines_count = 2,
                             .total = { 1600, EUR },
                             .captured_minor = 1600,
                             .provider = STR("simulator"),
                             .payment_token = STR("approve"),
                             .hold_until = 5 * TIME_SECOND,
                             .created_at = 1 * TIME_SECOND,
                             .updated_at = 2 * TIME_SECOND,
                             .version = 4 };
    return order;
}

static const struct shipment_line two_mugs[] = { { .sku = { "mug", 3 }, .quantity = 2 } };

static str json_of(struct test *t, const Orders__Order *view)
{
    struct text out = text_init(t->arena, 1024);
    message_to_json(&out, &orders_order_spec, view);
    return text_str(&out);
}

static bool says(struct test *t, const Orders__Order *view, const char *words)
{
    return str_find(json_of(t, view), str_of_z(words)) >= 0;
}

/* ---- orders ---- */

TEST(an_order_is_shown_with_its_states_lines_and_money)
{
    struct order *order = order_of(t);
    order->refunded_minor = 100;
    Orders__Order *view = view_of_order(t->arena, order, NULL, 0);
    CHECK(uuid_equal(uuid_of_field(view->id), ID));
    CHECK(uuid_equal(uuid_of_field(view->customer_id), CUSTOMER));
    CHECK_INT(view->status, ORDERS__ORDER_STATUS__ORDER_STATUS_CONFIRMED);
    CHECK_INT(view->payment_status, ORDERS__PAYMENT_STATUS__PAYMENT_STATUS_CAPTURED);
    CHECK_INT(view->fulfilment_status, ORDERS__FULFILMENT_STATUS__FULFILMENT_STATUS_PARTIAL);
    CHECK_INT(view->n_lines, 2);
    CHECK_STR(text_of(view->lines[0]->sku), "mug");
    CHECK_STR(text_of(view->lines[0]->variant_title), "Blue");
    CHECK_INT(view->lines[0]->quantity, 3);
    CHECK_INT(view->lines[0]->shipped, 2);
    CHECK_INT(view->lines[0]->total->amount, 1350);
    CHECK_INT(view->total->amount, 1600);
    CHECK_STR(text_of(view->total->currency), "EUR");
    CHECK_INT(view->paid->amount, 1500); /* what came less what went back */
    CHECK_INT(view->version, 4);
    CHECK_INT(time_of_field(view->created_at), 1 * TIME_SECOND);
    CHECK_INT(time_of_field(view->updated_at), 2 * TIME_SECOND);
    CHECK_INT(view->n_fulfilments, 0);
    CHECK(!view->shipping_address);
}

TEST(the_token_of_the_payment_is_never_shown)
{
    CHECK(!says(t, view_of_order(t->arena, order_of(t), NULL, 0), "approve"));
}

TEST(the_hold_is_shown_while_it_runs)
{
    struct order *order = order_of(t);
    CHECK(!view_of_order(t->arena, order, NULL, 0)->hold_until);
    order->status = ORDER_RESERVED;
    CHECK_INT(time_of_field(view_of_order(t->arena, order, NULL, 0)->hold_until), 5 * TIME_SECOND);
}

TEST(parcels_are_shown_with_what_is_in_them)
{
    struct fulfilment parcel = { .id = PARCEL,
                                 .carrier = STR("Post"),
                                 .tracking = STR("X1"),
                                 .lines = two_mugs,
                                 .lines_count = 1,
                                 .created_at = 3 * TIME_SECOND };
    Orders__Order *view = view_of_order(t->arena, order_of(t), &parcel, 1);
    CHECK_INT(view->n_fulfilments, 1);
    CHECK(uuid_equal(uuid_of_field(view->fulfilments[0]->id), PARCEL));
    CHECK_STR(text_of(view->fulfilments[0]->carrier), "Post");
    CHECK_STR(text_of(view->fulfilments[0]->tracking), "X1");
    CHECK_STR(text_of(view->fulfilments[0]->lines[0]->sku), "mug");
    CHECK_INT(view->fulfilments[0]->lines[0]->quantity, 2);
}

TEST(the_address_is_shown_as_it_was_kept)
{
    Duka__Address address = DUKA__ADDRESS__INIT;
    address.city = field_of(STR("Nairobi"));
    struct order *order = order_of(t);
    order->address = message_pack(t->arena, &address);
    CHECK_STR(text_of(view_of_order(t->arena, order, NULL, 0)->shipping_address->city), "Nairobi");
    order->address = STR("\xff\xff"); /* what cannot be read does not hide the order */
    CHECK(!view_of_order(t->arena, order, NULL, 0)->shipping_address);
}

TEST(each_state_has_its_word_in_json)
{
    struct order *order = order_of(t);
    order->lines_count = 0;
    for (int i = ORDER_PLACED; i <= ORDER_CANCELLED; i++) {
        order->status = (enum order_status)i;
        Orders__Order *view = view_of_order(t->arena, order, NULL, 0);
        str words = str_format(t->arena, "\"status\":\"%s\"", order_status_word(order->status));
        CHECK(says(t, view, str_z(t->arena, words)));
    }
    for (int i = PAYMENT_NONE; i <= PAYMENT_REFUNDED; i++) {
        order->payment = (enum payment_status)i;
        Orders__Order *view = view_of_order(t->arena, order, NULL, 0);
        str words =
            str_format(t->arena, "\"payment_status\":\"%s\"", payment_status_word(order->payment));
        CHECK(says(t, view, str_z(t->arena, words)));
    }
    for (int i = FULFILMENT_NONE; i <= FULFILMENT_RETURNED; i++) {
        order->fulfilment = (enum fulfilment_status)i;
        Orders__Order *view = view_of_order(t->arena, order, NULL, 0);
        str words = str_format(t->arena, "\"fulfilment_status\":\"%s\"",
                               fulfilment_status_word(order->fulfilment));
        CHECK(says(t, view, str_z(t->arena, words)));
    }
}

TEST(a_timeline_names_who_did_what_and_why)
{
    struct past_step steps[] = {
        { .at = 1 * TIME_SECOND,
          .what = STR("placed"),
          .actor = STR("customer"),
          .actor_id = CUSTOMER },
        { .at = 2 * TIME_SECOND,
          .what = STR("cancelling"),
          .actor = STR("system"),
          .reason = STR("hold.expired") },
    };
    Orders__Timeline *view = view_of_timeline(t->arena, steps, 2);
    CHECK_INT(view->n_items, 2);
    CHECK_STR(text_of(view->items[0]->what), "placed");
    CHECK(uuid_equal(uuid_of_field(view->items[0]->actor_id), CUSTOMER));
    CHECK_INT(text_of(view->items[1]->actor_id).len, 0); /* the system is nobody */
    CHECK_STR(text_of(view->items[1]->reason), "hold.expired");
    CHECK_INT(time_of_field(view->items[1]->at), 2 * TIME_SECOND);
}

/* ---- placing ---- */

static Orders__CreateOrderRequest *request_of(struct test *t, int count)
{
    static const char *const skus[] = { "mug", "tea", "cup" };
    Orders__CreateOrderRequest *in = arena_new(t->arena, Orders__CreateOrderRequest);
    *in = (Orders__CreateOrderRequest)ORDERS__CREATE_ORDER_REQUEST__INIT;
    in->n_lines = (size_t)count;
    in->lines = arena_array(t->arena, Orders__CreateOrderLine *, 3);
    for (int i = 0; i < count; i++) {
        in->lines[i] = arena_new(t->arena, Orders__CreateOrderLine);
        *in->lines[i] = (Orders__CreateOrderLine)ORDERS__CREATE_ORDER_LINE__INIT;
        in->lines[i]->sku = field_of(str_of_z(skus[i]));
        in->lines[i]->quantity = i + 1;
    }
    return in;
}

TEST(lines_take_the_prices_and_names_that_are_known)
{
    struct price prices[] = { { .sku = STR("mug"),
                                .title = STR("Mug"),
                                .unit = { 450, EUR },
                                .known = true,
                                .for_sale = true },
                              { .sku = STR("tea"),
                                .title = STR("Tea"),
                                .unit = { 250, EUR },
                                .known = true,
                                .for_sale = true } };
    struct order_line *lines;
    CHECK_OK(view_lines(t->arena, request_of(t, 2), prices, &lines));
    CHECK_STR(lines[1].sku, "tea");
    CHECK_STR(lines[1].title, "Tea");
    CHECK_INT(lines[1].quantity, 2);
    CHECK_MONEY(lines[0].unit_price, ((struct money){ 450, EUR }));
}

TEST(every_line_that_is_not_for_sale_is_named)
{
    struct price prices[] = { { .known = true, .for_sale = false },
                              { .known = true, .for_sale = true },
                              { .known = false } };
    struct order_line *lines;
    err error = view_lines(t->arena, request_of(t, 3), prices, &lines);
    CHECK_ERR(error, ORDER_SKU_UNKNOWN);
    CHECK_INT(error->fields_count, 2);
    CHECK_STR(error->fields[0].pointer, "/lines/0/sku");
    CHECK_STR(error->fields[1].pointer, "/lines/2/sku");
}

/* ---- refusals ---- */

TEST(every_short_line_is_named_with_what_there_is)
{
    struct order_short shorts[] = { { STR("tea"), 1, 0 }, { STR("mug"), 3, 2 } };
    err error = view_short_error(t->arena, order_of(t), shorts, 2);
    CHECK_ERR(error, STOCK_INSUFFICIENT);
    CHECK_INT(error->fields_count, 2);
    CHECK_STR(error->fields[0].pointer, "/lines/0/quantity");
    CHECK_STR(error->fields[0].message, "3 of mug wanted, 2 available");
    CHECK_STR(error->fields[1].message, "1 of tea wanted, 0 available");
    CHECK_STR(error->subject, uuid_text(t->arena, ID));
}

TEST(a_sku_that_is_told_twice_as_short_is_named_once)
{
    struct order_short shorts[6];
    for (int i = 0; i < 6; i++)
        shorts[i] = (struct order_short){ STR("mug"), 3, i };
    err error = view_short_error(t->arena, order_of(t), shorts, 6);
    CHECK_INT(error->fields_count, 1);
    CHECK_STR(error->fields[0].message, "3 of mug wanted, 0 available");
    CHECK_INT(view_short_error(t->arena, order_of(t), NULL, 0)->fields_count, 0);
}

TEST(a_declined_payment_names_the_order)
{
    err error = view_declined_error(t->arena, order_of(t));
    CHECK_ERR(error, PAYMENT_DECLINED);
    CHECK_STR(error->subject, uuid_text(t->arena, ID));
}

/* ---- products ---- */

TEST(a_price_is_the_same_from_an_event_and_from_a_quote)
{
    Products__VariantPriced event = PRODUCTS__VARIANT_PRICED__INIT;
    event.sku = field_of(STR("mug"));
    event.number = 8;
    event.product_id = field_of_uuid(t->arena, ID);
    event.title = field_of(STR("Mug"));
    event.variant_title = field_of(STR("Blue"));
    event.amount = 450;
    event.currency = field_of(STR("EUR"));
    event.for_sale = true;
    Products__Quoted quoted = PRODUCTS__QUOTED__INIT;
    quoted.sku = event.sku;
    quoted.number = event.number;
    quoted.product_id = event.product_id;
    quoted.title = event.title;
    quoted.variant_title = event.variant_title;
    quoted.price = field_of_money(t->arena, (struct money){ 450, EUR });
    quoted.for_sale = true;
    struct price prices[] = { view_price_of_event(&event), view_price_of_quote(&quoted) };
    for (int i = 0; i < 2; i++) {
        CHECK_STR(prices[i].sku, "mug");
        CHECK_STR(prices[i].title, "Mug");
        CHECK_STR(prices[i].variant_title, "Blue");
        CHECK(uuid_equal(prices[i].product, ID));
        CHECK_MONEY(prices[i].unit, ((struct money){ 450, EUR }));
        CHECK_INT(prices[i].number, 8);
        CHECK(prices[i].known && prices[i].for_sale);
    }
}

TEST(what_products_refuse_is_read_line_by_line)
{
    Products__ShortLine line = PRODUCTS__SHORT_LINE__INIT, *lines[] = { &line };
    Products__StockRefused event = PRODUCTS__STOCK_REFUSED__INIT;
    line.sku = field_of(STR("mug"));
    line.wanted = 3;
    line.available = 2;
    event.lines = lines;
    event.n_lines = 1;
    struct order_short *shorts = view_shorts(t->arena, &event);
    CHECK_STR(shorts[0].sku, "mug");
    CHECK_INT(shorts[0].wanted, 3);
    CHECK_INT(shorts[0].available, 2);
}

/* ---- events ---- */

TEST(each_event_names_the_order_and_its_number)
{
    static const enum order_event events[] = { EVENT_PLACED, EVENT_CONFIRMED, EVENT_CLOSED,
                                               EVENT_SHIPPED, EVENT_RETURNED };
    static const struct event_spec *const specs[] = {
        &orders_event_order_placed, &orders_event_order_confirmed, &orders_event_order_closed,
        &orders_event_order_shipped, &orders_event_order_returned
    };
    struct fulfilment parcel = { .id = PARCEL, .lines = two_mugs, .lines_count = 1 };
    for (int i = 0; i < 5; i++) {
        const struct event_spec *spec;
        const void *event = view_of_event(t->arena, order_of(t), events[i], 40 + i, &parcel, &spec);
        CHECK(spec == specs[i]);
        CHECK_STR(spec->topic, "orders.v1");
        str key =
            text_of(*(ProtobufCBinaryData *)message_field(event, spec->message, spec->key_field));
        CHECK_STR(key, uuid_text(t->arena, ID));
        CHECK_INT(*(int64_t *)message_field(event, spec->message, spec->number_field), 40 + i);
        CHECK_OK(message_validate(t->arena, spec->message, event));
    }
}

TEST(an_event_of_placing_has_all_lines)
{
    const struct event_spec *spec;
    const Orders__OrderPlaced *event =
        view_of_event(t->arena, order_of(t), EVENT_PLACED, 1, NULL, &spec);
    CHECK_INT(event->n_lines, 2);
    CHECK_STR(text_of(event->lines[0]->sku), "mug");
    CHECK_INT(event->lines[0]->quantity, 3);
    CHECK_INT(event->lines[1]->quantity, 1);
}

TEST(an_event_of_shipping_has_what_is_in_the_parcel)
{
    const struct event_spec *spec;
    struct fulfilment parcel = { .id = PARCEL, .lines = two_mugs, .lines_count = 1 };
    const Orders__OrderShipped *event =
        view_of_event(t->arena, order_of(t), EVENT_SHIPPED, 1, &parcel, &spec);
    CHECK(uuid_equal(uuid_of_field(event->fulfilment_id), PARCEL));
    CHECK_INT(event->n_lines, 1);
    CHECK_INT(event->lines[0]->quantity, 2);
}

TEST(an_event_of_returning_has_what_was_shipped)
{
    const struct event_spec *spec;
    const Orders__OrderReturned *event =
        view_of_event(t->arena, order_of(t), EVENT_RETURNED, 1, NULL, &spec);
    CHECK_INT(event->n_lines, 1);
    CHECK_STR(text_of(event->lines[0]->sku), "mug");
    CHECK_INT(event->lines[0]->quantity, 2);
}

/* ---- what customers hear ---- */

static const Orders__OrderNews *news_of(struct test *t, const struct order *order,
                                        enum order_event event)
{
    struct fulfilment parcel = { .id = PARCEL, .lines = two_mugs, .lines_count = 1 };
    const Orders__OrderNews *news = view_of_news(t->arena, order, event, &parcel);
    if (news) {
        CHECK_OK(message_validate(t->arena, &orders_order_news_spec, news));
        CHECK_STR(text_of(news->order_id), uuid_text(t->arena, order->id));
        CHECK_STR(text_of(news->customer_id), uuid_text(t->arena, order->customer));
        CHECK_INT(news->number, 1);
    }
    return news;
}

TEST(news_has_an_id_of_its_own_by_order_kind_and_parcel)
{
    struct order *order = order_of(t);
    str id = uuid_text(t->arena, order->id);
    str shipped = str_format(t->arena, "%" STR_F ".shipped.%" STR_F, STR_A(id),
                             STR_A(uuid_text(t->arena, PARCEL)));
    CHECK_STR(text_of(news_of(t, order, EVENT_SHIPPED)->news_id), shipped);
    const Orders__OrderNews *confirmed = news_of(t, order, EVENT_CONFIRMED);
    CHECK_STR(text_of(confirmed->news_id), str_format(t->arena, "%" STR_F ".confirmed", STR_A(id)));
    CHECK_INT(confirmed->amount->amount, order->total.minor);
    CHECK_STR(text_of(confirmed->amount->currency), order->total.currency.letters);
    order->captured_minor = order->refunded_minor = order->total.minor;
    const Orders__OrderNews *refunded = news_of(t, order, EVENT_REFUNDED);
    CHECK_STR(text_of(refunded->news_id), str_format(t->arena, "%" STR_F ".refunded", STR_A(id)));
    CHECK_INT(refunded->amount->amount, order->total.minor);
    CHECK(!news_of(t, order, EVENT_PLACED));
    CHECK(!news_of(t, order, EVENT_RETURNED));
}

TEST(of_a_closed_order_its_customer_hears_why_but_no_word_that_people_wrote)
{
    struct order *order = order_of(t);
    order->status = ORDER_CANCELLING;
    order->reason = STR("Amina moved to Moi Avenue");
    const Orders__OrderNews *news = news_of(t, order, EVENT_CLOSED);
    CHECK_INT(news->kind, ORDERS__NEWS_KIND__NEWS_KIND_CANCELLED);
    CHECK_INT(news->reason.len, 0);
    order->status = ORDER_CANCELLED;
    order->reason = STR("hold.expired");
    news = news_of(t, order, EVENT_CLOSED);
    CHECK_INT(news->kind, ORDERS__NEWS_KIND__NEWS_KIND_CANCELLED);
    CHECK_STR(text_of(news->reason), "hold.expired");
    order->status = ORDER_REJECTED;
    CHECK_INT(news_of(t, order, EVENT_CLOSED)->kind, ORDERS__NEWS_KIND__NEWS_KIND_REJECTED);
    order->status = ORDER_COMPLETED; /* it goes on without what was not shipped */
    CHECK(!news_of(t, order, EVENT_CLOSED));
}

/* ---- shipments as they are kept ---- */

TEST(a_shipment_is_the_same_after_it_was_kept)
{
    const struct shipment_line lines[] = { { STR("mug"), 2 },
                                           { STR("tea"), 1 },
                                           { STR("mug"), 3 } };
    const struct shipment_line *kept;
    size_t count;
    str packed = view_pack_shipment(t->arena, lines, 3);
    CHECK_OK(view_unpack_shipment(t->arena, packed, &kept, &count));
    CHECK_INT(count, 3);
    for (int i = 0; i < 3; i++) {
        CHECK_STR(kept[i].sku, lines[i].sku);
        CHECK_INT(kept[i].quantity, lines[i].quantity);
    }
    CHECK_OK(view_unpack_shipment(t->arena, view_pack_shipment(t->arena, NULL, 0), &kept, &count));
    CHECK_INT(count, 0);
    CHECK_ERR(view_unpack_shipment(t->arena, STR("\xff"), &kept, &count), PROTOBUF_MALFORMED);
}
