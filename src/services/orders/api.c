/* What each call of contracts/orders/v1/orders.proto does: read, decide, hand over one write. */
#include "chassis/audit.h"
#include "chassis/request.h"
#include "chassis/trace.h"
#include "gen/products_client.h"
#include "gen/users.h"
#include "gen/users_client.h"
#include "services/orders/flat.h"
#include "services/orders/inside.h"

enum { PAGE_STANDARD = 20 };

static struct actor actor_of(const struct call *call, const struct order *order)
{
    bool own = uuid_equal(call->who.user, order->customer);
    return (struct actor){ .kind = own ? ACTOR_CUSTOMER : ACTOR_STAFF, .id = call->who.user };
}

/* Others' orders do not exist, except for staff. */
static err load_visible(struct orders *self, struct call *call, ProtobufCBinaryData id,
                        struct order_save *save)
{
    TRY(orders_load(self, call, uuid_of_field(id), save));
    if (!uuid_equal(save->order.customer, call->who.user) && !identity_is_staff(&call->who))
        return fail(call->arena, NOT_FOUND, "no such order");
    return OK;
}

/* Hands over and answers with the order as it will be. */
static err save_and_answer(struct orders *self, struct call *call, struct order_save *save)
{
    const void *message;
    struct order *order = &save->order;
    TRY(orders_hand_over(self, call, save, store_save_orders));
    struct order now = *order;
    now.version++;
    if (save->fulfilment) {
        struct db_reader *reader;
        const struct fulfilment *past;
        size_t past_count;
        TRY(call_reader(call, &reader));
        TRY(store_find_fulfilments(reader, call->arena, order->id, &past, &past_count));
        struct fulfilment *all = arena_array(call->arena, struct fulfilment, past_count + 1);
        for (size_t i = 0; i < past_count; i++)
            all[i] = past[i];
        all[past_count] = *save->fulfilment;
        message = view_of_order(call->arena, &now, all, past_count + 1);
    } else {
        TRY(orders_view(call, &now, &message));
    }
    call_etag(call, now.version);
    return call_answer(call, message);
}

/* ---- placing ---- */

/* Prices that we do not have are asked for; a neighbour that is away leaves them unknown only where
 * we have no copy. */
static err quote_unknown(struct orders *self, struct call *call, const str *skus, size_t count,
                         struct price *prices)
{
    Products__QuoteRequest ask = PRODUCTS__QUOTE_REQUEST__INIT;
    ask.skus = arena_array(call->arena, ProtobufCBinaryData, count);
    for (size_t i = 0; i < count; i++)
        if (!prices[i].known)
            ask.skus[ask.n_skus++] = field_of(skus[i]);
    if (ask.n_skus == 0)
        return OK;
    const Products__QuoteResponse *quotes;
    TRY(products_client_quote(self->products, call, &ask, &quotes));
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; !prices[i].known && j < quotes->n_items; j++)
            if (str_equal(text_of(quotes->items[j]->sku), skus[i]))
                prices[i] = view_price_of_quote(quotes->items[j]);
    return OK;
}

/* Prices that were read before: true where all of these are at hand. */
static bool recall_prices(struct orders *self, struct call *call, const str *skus, size_t count,
                          struct price *prices)
{
    for (size_t i = 0; i < count; i++) {
        str flat = recent_look(self->prices, call->arena, recent_id_of_text(skus[i]));
        if (flat.len == 0)
            return false;
        prices[i] = price_unflatten(flat);
        if (!str_equal(prices[i].sku, skus[i]))
            return false;
    }
    return true;
}

static void keep_prices(struct orders *self, const struct price *prices, size_t count)
{
    alignas(max_align_t) char flat[PRICE_BYTES_MAX];
    for (size_t i = 0; i < count; i++)
        if (prices[i].known)
            recent_put(self->prices, recent_id_of_text(prices[i].sku), flat,
                       price_flatten(&prices[i], flat, sizeof flat));
}

/* Our own copy of the prices, fed by Products' events: an order can be placed while Products is
 * away. Those that come from memory are held against the table when the order is written. */
static err price_lines(struct orders *self, struct call *call, const Orders__CreateOrderRequest *in,
                       bool from_memory, struct order_save *save, struct order_line **lines)
{
    struct db_reader *reader;
    size_t count = in->n_lines;
    str *skus = arena_array(call->arena, str, count);
    struct price *prices = arena_array(call->arena, struct price, count);
    for (size_t i = 0; i < count; i++)
        skus[i] = text_of(in->lines[i]->sku);
    save->prices_count = 0;
    if (from_memory && recall_prices(self, call, skus, count, prices)) {
        save->prices = prices;
        save->prices_count = count;
        save->prices_kept = self->prices;
        return view_lines(call->arena, in, prices, lines);
    }
    TRY(call_reader(call, &reader));
    TRY(store_find_prices(reader, call->arena, skus, count, prices));
    keep_prices(self, prices, count);
    TRY(quote_unknown(self, call, skus, count, prices));
    return view_lines(call->arena, in, prices, lines);
}

static err check_payment(struct orders *self, struct call *call,
                         const Orders__CreateOrderPayment *payment)
{
    str name = text_of(payment->provider);
    if (str_equal(name, STR("manual")))
        return OK;
    const struct provider *provider = orders_provider(self, name);
    if (!provider)
        return fail_field(call->arena, PAYMENT_PROVIDER_UNKNOWN, STR("/payment/provider"),
                          "must be manual or simulator");
    if (!provider->is_token(provider->self, text_of(payment->token)))
        return fail_field(call->arena, PAYMENT_TOKEN_INVALID, STR("/payment/token"),
                          "is not a token of this provider");
    return OK;
}

/* The address is kept as it was when the order was placed. */
static err find_address(struct orders *self, struct call *call,
                        const Orders__CreateOrderRequest *in, str *packed)
{
    const Duka__Address *address = in->shipping_address;
    if (in->address_id.len > 0 && address)
        return fail_field(call->arena, FIELD_INVALID, STR("/address_id"),
                          "give address_id or shipping_address, not both");
    if (in->address_id.len > 0) {
        Users__FindAddressRequest ask = USERS__FIND_ADDRESS_REQUEST__INIT;
        const Users__SavedAddress *saved;
        ask.user_id = field_of_uuid(call->arena, call->who.user);
        ask.address_id = in->address_id;
        err error = users_client_find_address(self->users, call, &ask, &saved);
        if (err_is(error, NOT_FOUND))
            return fail_field(call->arena, ORDER_ADDRESS_UNKNOWN, STR("/address_id"),
                              "is not an address of yours");
        TRY(error);
        address = saved->address;
    }
    *packed = address ? message_pack(call->arena, address) : STR("");
    return OK;
}

static err check_total(struct call *call, const Orders__CreateOrderRequest *in,
                       const struct order *order)
{
    if (!in->expected_total)
        return OK;
    struct money expected = money_of_field(in->expected_total);
    if (expected.minor == order->total.minor &&
        currency_equal(expected.currency, order->total.currency))
        return OK;
    return fail_field(call->arena, PRICE_CHANGED, STR("/expected_total"),
                      "the total is %lld %s now", (long long)order->total.minor,
                      order->total.currency.letters);
}

static err price_order(struct orders *self, struct call *call, const Orders__CreateOrderRequest *in,
                       bool from_memory, struct order_save *save)
{
    struct order_line *lines;
    TRY(price_lines(self, call, in, from_memory, save, &lines));
    TRY(order_place(call->arena, call_new_id(call), call->who.user, lines, in->n_lines, call->now,
                    &save->order));
    return check_total(call, in, &save->order);
}

/* What memory would refuse, the table decides: memory may be of before a price changed. */
static err price_order_now(struct orders *self, struct call *call,
                           const Orders__CreateOrderRequest *in, struct order_save *save)
{
    err error = price_order(self, call, in, true, save);
    return error != OK && save->prices_count > 0 ? price_order(self, call, in, false, save) : error;
}

err orders_create_order(struct orders *self, struct call *call,
                        const Orders__CreateOrderRequest *in)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    struct order *order = &save->order;
    if (self->needs_verified_email && !call->who.email_verified)
        return fail(call->arena, EMAIL_UNVERIFIED, "this shop takes orders of verified addresses");
    TRY(check_payment(self, call, in->payment));
    TRY(price_order_now(self, call, in, save));
    TRY(find_address(self, call, in, &order->address));
    order->provider = text_of(in->payment->provider);
    order->payment_token = text_of(in->payment->token);
    order->traceparent = trace_is_on() ? call->traceparent : STR_NONE;

    /* The order, the event that announces it and the claim of the idempotency key: all or none. The
     * worker goes on; the answer leaves when this is on disk and the order has settled. */
    TRY(orders_hand_over(self, call, save, store_place_orders));
    struct order placed = *order;
    placed.version = 1;
    return call_answer_when_settled(call, order->id, view_of_order(call->arena, &placed, NULL, 0));
}

/* ---- reading ---- */

err orders_get_order(struct orders *self, struct call *call, const Orders__GetOrderRequest *in)
{
    struct order_save save;
    const void *message;
    TRY(load_visible(self, call, in->id, &save));
    TRY(orders_view(call, &save.order, &message));
    call_etag(call, save.order.version);
    return call_answer(call, message);
}

err orders_get_timeline(struct orders *self, struct call *call,
                        const Orders__GetTimelineRequest *in)
{
    struct order_save save;
    struct db_reader *reader;
    struct past_step *steps;
    size_t count;
    TRY(load_visible(self, call, in->id, &save));
    TRY(call_reader(call, &reader));
    TRY(store_find_steps(reader, call->arena, save.order.id, &steps, &count));
    return call_answer(call, view_of_timeline(call->arena, steps, count));
}

/* A page begins after the last order of the one before: its time and id. */
static err read_position(struct call *call, ProtobufCBinaryData after, struct order_page *page)
{
    page->before = INT64_MAX;
    memset(page->before_id.bytes, 0xff, sizeof(page->before_id.bytes));
    if (after.len == 0)
        return OK;
    str position;
    TRY(cursor_read(call, text_of(after), &position));
    str time = str_cut(&position, ' ');
    if (!str_to_int64(time, 0, INT64_MAX, &page->before) || !uuid_parse(position, &page->before_id))
        return fail(call->arena, CURSOR_INVALID, "the cursor cannot be read");
    return OK;
}

static err ask_page(struct call *call, const Orders__ListOrdersRequest *in, struct order_page *page)
{
    bool all = in->scope == ORDERS__ORDER_SCOPE__ORDER_SCOPE_ALL;
    if (all && !identity_is_staff(&call->who))
        return fail(call->arena, ROLE_MISSING, "scope=all needs the role staff");
    if (!all && call->who.is_key)
        return fail_field(call->arena, FIELD_INVALID, STR("/scope"),
                          "an API key has no orders of its own: give scope=all");
    if (in->customer_id.len > 0 && !all)
        return fail_field(call->arena, FIELD_INVALID, STR("/customer_id"), "goes with scope=all");
    *page = (struct order_page){ .count = (in->limit ? in->limit : PAGE_STANDARD) + 1 };
    page->customer = all ? uuid_of_field(in->customer_id) : call->who.user;
    page->status =
        in->status ? str_of_z(order_status_word((enum order_status)in->status)) : STR("");
    return read_position(call, in->after, page);
}

err orders_list_orders(struct orders *self, struct call *call, const Orders__ListOrdersRequest *in)
{
    (void)self;
    struct db_reader *reader;
    struct order_page page;
    struct order *orders;
    size_t count;
    TRY(ask_page(call, in, &page));
    TRY(call_reader(call, &reader));
    TRY(store_list_orders(reader, call->arena, &page, &orders, &count));

    Orders__OrderList *list = arena_new(call->arena, Orders__OrderList);
    *list = (Orders__OrderList)ORDERS__ORDER_LIST__INIT;
    bool more = count == (size_t)page.count;
    list->n_items = more ? count - 1 : count;
    list->items = arena_array(call->arena, Orders__Order *, list->n_items);
    for (size_t i = 0; i < list->n_items; i++) {
        const void *message;
        TRY(orders_view(call, &orders[i], &message));
        list->items[i] = (Orders__Order *)(uintptr_t)message;
    }
    if (more) {
        const struct order *last = &orders[list->n_items - 1];
        list->next = field_of(
            cursor_write(call, str_format(call->arena, "%lld %" STR_F, (long long)last->created_at,
                                          STR_A(uuid_text(call->arena, last->id)))));
    }
    return call_answer(call, list);
}

/* ---- moving ---- */

err orders_cancel_order(struct orders *self, struct call *call,
                        const Orders__CancelOrderRequest *in)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    TRY(load_visible(self, call, in->id, save));
    struct actor actor = actor_of(call, &save->order);
    TRY(order_cancel(call->arena, &save->order, actor, text_of(in->reason)));
    if (actor.kind == ACTOR_STAFF)
        call_audit(call);
    return save_and_answer(self, call, save);
}

err orders_record_payment(struct orders *self, struct call *call,
                          const Orders__RecordPaymentRequest *in)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    struct actor staff = { .kind = ACTOR_STAFF, .id = call->who.user };
    TRY(orders_load(self, call, uuid_of_field(in->id), save));
    TRY(order_record_payment(call->arena, &save->order, money_of_field(in->amount), staff));
    return save_and_answer(self, call, save);
}

err orders_create_fulfilment(struct orders *self, struct call *call,
                             const Orders__CreateFulfilmentRequest *in)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    struct actor staff = { .kind = ACTOR_STAFF, .id = call->who.user };
    struct shipment_line *shipment =
        arena_array(call->arena, struct shipment_line, ORDER_LINES_MAX);
    size_t count = in->n_lines;
    for (size_t i = 0; i < count; i++)
        shipment[i] = (struct shipment_line){ .sku = text_of(in->lines[i]->sku),
                                              .quantity = in->lines[i]->quantity };
    TRY(orders_load(self, call, uuid_of_field(in->id), save));
    TRY(order_ship(call->arena, &save->order, shipment, &count, staff));

    struct fulfilment *parcel = arena_new(call->arena, struct fulfilment);
    *parcel = (struct fulfilment){ .id = call_new_id(call),
                                   .carrier = text_of(in->carrier),
                                   .tracking = text_of(in->tracking),
                                   .lines = shipment,
                                   .lines_count = count,
                                   .created_at = call->now };
    save->fulfilment = parcel;
    return save_and_answer(self, call, save);
}

err orders_record_delivery(struct orders *self, struct call *call,
                           const Orders__RecordDeliveryRequest *in)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    struct actor staff = { .kind = ACTOR_STAFF, .id = call->who.user };
    TRY(orders_load(self, call, uuid_of_field(in->id), save));
    TRY(order_deliver(call->arena, &save->order, staff));
    return save_and_answer(self, call, save);
}

err orders_create_refund(struct orders *self, struct call *call,
                         const Orders__CreateRefundRequest *in)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    struct actor staff = { .kind = ACTOR_STAFF, .id = call->who.user };
    TRY(orders_load(self, call, uuid_of_field(in->id), save));
    if (in->restock)
        TRY(order_may_return(call->arena, &save->order, call->now, self->return_us));
    TRY(order_refund(call->arena, &save->order, in->restock, staff, text_of(in->reason)));
    return save_and_answer(self, call, save);
}

/* ---- callbacks of providers ---- */

err orders_receive_payment_event(struct orders *self, struct call *call,
                                 const Orders__ReceivePaymentEventRequest *in)
{
    str name = text_of(in->provider);
    const struct provider *provider = orders_provider(self, name);
    if (!provider)
        return fail(call->arena, NOT_FOUND, "there is no such payment provider");
    str signature =
        call->request ? request_header(call->request, STR("simulator-signature")) : STR_NONE;
    struct payment_event event;
    TRY(provider->read_event(provider->self, call->arena, text_of(in->payload), signature, &event));

    struct db_reader *reader;
    bool taken;
    TRY(call_reader(call, &reader));
    TRY(store_is_event_taken(reader, call->arena, name, event.id, &taken));
    if (taken)
        return call_answer(call, message_new(call->arena, &duka_empty_spec));

    struct order_save *save = arena_new(call->arena, struct order_save);
    err error = orders_load(self, call, event.payment, save);
    if (err_is(error, NOT_FOUND)) /* money without an order is the sweeper's: no repeat is wanted */
        return call_answer(call, message_new(call->arena, &duka_empty_spec));
    TRY(error);
    if (!str_equal(save->order.provider, name))
        return fail_field(call->arena, FIELD_INVALID, STR("/payment_id"),
                          "is not a payment of this provider");
    TRY(order_learn_payment(call->arena, &save->order, event.known,
                            (struct actor){ .kind = ACTOR_PROVIDER }));
    save->event_provider = name;
    save->event_id = event.id;
    TRY(orders_hand_over(self, call, save, store_save_orders));
    return call_answer(call, message_new(call->arena, &duka_empty_spec));
}

/* ---- the audit trail ---- */

err orders_list_audit(struct orders *self, struct call *call, const Duka__ListAuditRequest *in)
{
    (void)self;
    return audit_answer(call, in);
}
