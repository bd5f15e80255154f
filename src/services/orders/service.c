#include "base/planted.h"
#include "gen/orders.sql.h"
#include "services/orders/flat.h"
#include "services/orders/inside.h"

enum {
    PAYMENTS_TICK_MS = 250,
    HOLDS_TICK_MS = 500,
    CALLBACKS_TICK_MS = 250,
    ERASURES_TICK_MS = 2000,
    ORDERS_KEPT = 2048,
    ORDER_AGE_US = 2 * 1000 * 1000,
    PRICES_KEPT = 4096,
    PRICE_AGE_US = 60 * 1000 * 1000
};

/* ---- what the entry points share ---- */

const struct provider *orders_provider(const struct orders *self, str name)
{
    for (int i = 0; i < self->providers_count; i++)
        if (str_equal(str_of_z(self->providers[i].name), name))
            return &self->providers[i];
    return NULL;
}

/* What it wants and is before it is moved. */
static void note_before(const struct orders *self, struct order_save *save)
{
    save->job_was = order_wants(&save->order, self->capture_at_confirm);
    save->settled_was = order_is_settled(&save->order);
}

err orders_load(struct orders *self, struct call *call, struct uuid id, struct order_save *out)
{
    struct db_reader *reader;
    str stale = PLANTED(stale_cache) ? recent_take(self->recent, call->arena, id) : STR_NONE;
    if (stale.len > 0) {
        recent_put(self->recent, id, stale.ptr, stale.len);
        *out = (struct order_save){ .order = order_unflatten(stale) };
        note_before(self, out);
        return OK;
    }
    TRY(call_reader(call, &reader));
    *out = (struct order_save){ 0 };
    TRY(store_find_order(reader, call->arena, id, &out->order));
    note_before(self, out);
    return OK;
}

err orders_load_recent(struct orders *self, struct call *call, struct uuid id,
                       struct order_save *out)
{
    str flat = recent_take(self->recent, call->arena, id);
    if (flat.len == 0)
        return orders_load(self, call, id, out);
    *out = (struct order_save){ .order = order_unflatten(flat) };
    note_before(self, out);
    return OK;
}

err orders_view(struct call *call, const struct order *order, const void **message)
{
    struct db_reader *reader;
    const struct fulfilment *fulfilments;
    size_t count;
    TRY(call_reader(call, &reader));
    TRY(store_find_fulfilments(reader, call->arena, order->id, &fulfilments, &count));
    *message = view_of_order(call->arena, order, fulfilments, count);
    return OK;
}

static void announce_events(struct call *call, struct write *write, struct order_save *save)
{
    struct order *order = &save->order;
    for (int i = 0; i < order->events_count; i++) {
        enum order_event event = order->events[i];
        if (event != EVENT_REFUNDED) {
            const struct event_spec *spec;
            const void *message = view_of_event(call->arena, order, event, ++order->event_number,
                                                save->fulfilment, &spec);
            write_announce(write, spec, message);
        }
        const void *news = view_of_news(call->arena, order, event, save->fulfilment);
        if (news)
            write_announce(write, &orders_event_order_news, news);
    }
}

/* The answer of POST /orders: fixed by the write that settles the order. */
static void fix_answer(struct call *call, struct write *write, const struct order_save *save)
{
    struct order now = save->order;
    now.version++;
    if (now.status != ORDER_REJECTED)
        write_answer_subject(write, now.id, &orders_order_spec,
                             view_of_order(call->arena, &now, NULL, 0), 201);
    else if (str_equal(now.reason, STR("stock.insufficient")))
        write_answer_subject_error(
            write, now.id, view_short_error(call->arena, &now, save->shorts, save->shorts_count));
    else
        write_answer_subject_error(write, now.id, view_declined_error(call->arena, &now));
}

/* Money that came or went, by its currency. */
static void count_money(const struct order *order, str step)
{
    bool is_refund = str_equal(step, STR("payment.refunded"));
    if (!is_refund && !str_equal(step, STR("payment.captured")))
        return;
    series_add(metric_series(is_refund ? METRIC_REFUNDS : METRIC_REVENUE,
                             order->total.currency.letters, NULL, NULL),
               is_refund ? order->refunded_minor : order->captured_minor);
}

/* Counts each state that the moves have come to. */
static void count_reached(struct orders *self, const struct order *order)
{
    for (int i = 0; i < order->steps_count; i++) {
        enum order_status status = order_status_of(str_of_z(order->steps[i].what));
        if (status != 0)
            series_add(self->reached[status], 1);
        count_money(order, str_of_z(order->steps[i].what));
        if (status == ORDER_CANCELLING && str_equal(order->steps[i].reason, STR("hold.expired")))
            series_add(self->holds_expired, 1);
    }
}

/* Kept for whoever moves it next: the reaction to what Products says of it, or a payment lane. */
static void keep_recent(struct orders *self, const struct order_save *save)
{
    bool is_moved_soon = save->order.status == ORDER_PLACED || save->job != JOB_NONE;
    if (!is_moved_soon || save->order.steps_count == 0)
        return;
    struct order now = save->order;
    alignas(max_align_t) char flat[ORDER_BYTES_MAX];
    now.version++;
    recent_put(self->recent, now.id, flat, order_flatten(&now, flat, sizeof flat));
}

/* Products has answered for an order, and nobody is to be asked for money: how long that took tells
 * whether more can be let in. Of others a payment lane tells it. */
static void tell_reached(struct orders *self, const struct order_save *save)
{
    bool is_refused = save->shorts_count > 0;
    if (save->job != JOB_NONE)
        return;
    for (int i = 0; i < save->order.steps_count; i++)
        if (is_refused || order_status_of(str_of_z(save->order.steps[i].what)) == ORDER_RESERVED) {
            service_reached(self->service, save->at - save->order.created_at);
            return;
        }
}

/* After the commit: counts what was reached and wakes a lane. */
static void after_save(struct write *write)
{
    struct orders *self = write->after_subject;
    const struct order_save *save = write->subject;
    keep_recent(self, save);
    count_reached(self, &save->order);
    tell_reached(self, save);
    if (!save->settled_was && order_is_settled(&save->order))
        series_time(self->settle_time, save->at - save->order.created_at);
    if (save->job != JOB_NONE && save->job != save->job_was)
        lanes_give(self->lanes, save->order.id);
}

err orders_hand_over(struct orders *self, struct call *call, struct order_save *save,
                     write_batch *batch)
{
    save->at = call->now;
    save->job = order_wants(&save->order, self->capture_at_confirm);
    save->order.updated_at = call->now;
    struct write *write = call_write(call, batch, save);
    announce_events(call, write, save);
    if (!save->settled_was && order_is_settled(&save->order))
        fix_answer(call, write, save);
    write->after = after_save;
    write->after_subject = self;
    return OK;
}

/* The order as it stands, for a call whose time to wait is up. */
static err standing(void *subject, struct call *call, struct uuid id, const void **message)
{
    struct order_save save;
    TRY(orders_load(subject, call, id, &save));
    return orders_view(call, &save.order, message);
}

/* ---- opening ---- */

static str database_url(struct arena *arena, const struct conf *conf)
{
    return service_database_url(arena, conf, CONF_DATABASE_URL_ORDERS, "orders.db");
}

/* The simulated provider keeps its books in a file of its own, or, where Orders has replicas,
 * beside Orders' tables: all of them ask one provider. */
static str simulator_url(struct arena *arena, const struct conf *conf)
{
    str url = database_url(arena, conf);
    if (str_starts(url, STR("postgres")))
        return url;
    return str_format(arena, "sqlite:%" STR_F "/payments-simulator.db",
                      STR_A(conf_text(conf, CONF_DATA_DIR)));
}

err orders_migrate(struct arena *arena, const struct conf *conf, int *applied)
{
    ASSERT(arena && conf && applied);
    int of_simulator = 0;
    TRY(service_migrate(arena, database_url(arena, conf), &orders_schema, applied));
    TRY(simulator_migrate(arena, simulator_url(arena, conf), &of_simulator));
    *applied += of_simulator;
    return OK;
}

static err open_providers(struct orders *self, struct arena *arena, const struct conf *conf)
{
    str url = simulator_url(arena, conf);
    TRY(simulator_open(arena, url, conf_text(conf, CONF_PAYMENT_SIMULATOR_SECRET),
                       &self->simulator));
    self->providers[self->providers_count++] = simulator_provider(self->simulator);
    return OK;
}

static err read_settings(struct orders *self, struct arena *arena, const struct conf *conf)
{
    str capture = conf_text(conf, CONF_PAYMENT_CAPTURE);
    self->capture_at_confirm = str_equal(capture, STR("confirm"));
    if (!self->capture_at_confirm && !str_equal(capture, STR("fulfil")))
        return fail(arena, SETTING_INVALID,
                    "PAYMENT_CAPTURE is \"%" STR_F "\"; allowed: confirm, fulfil", STR_A(capture));
    self->needs_verified_email = conf_int(conf, CONF_ORDER_NEEDS_VERIFIED_EMAIL) != 0;
    self->forget_again_us = conf_int(conf, CONF_ERASURE_INTERVAL) * TIME_MS;
    self->hold_us = conf_int(conf, CONF_HOLD_TIME) * TIME_MS;
    self->payment_timeout_us = conf_int(conf, CONF_PAYMENT_TIMEOUT) * TIME_MS;
    self->return_us = conf_int(conf, CONF_RETURN_TIME) * TIME_MS;
    return OK;
}

static void open_timers(struct orders *self, const struct conf *conf)
{
    uint32_t sweep_ms = (uint32_t)conf_int(conf, CONF_PAYMENT_SWEEP_INTERVAL);
    self->payments =
        service_every(self->service, "payments", PAYMENTS_TICK_MS, orders_give_due_payments);
    service_every(self->service, "holds", HOLDS_TICK_MS, orders_expire_holds);
    service_every(self->service, "callbacks", CALLBACKS_TICK_MS, orders_send_callbacks);
    service_every(self->service, "orphans", sweep_ms, orders_sweep_orphans);
    service_every(self->service, "erasures", ERASURES_TICK_MS, orders_forget_people);
}

static void open_sweeping(struct orders *self, const struct conf *conf)
{
    int64_t events_us = conf_int(conf, CONF_PAYMENT_EVENT_RETENTION) * TIME_MS;
    self->swept[0] =
        (struct swept){ "payment_events", events_us, SWEEP_ROWS_MAX, store_sweep_payment_events };
    self->swept[1] = (struct swept){ .table = "payment_jobs" }; /* go when they are done */
    self->swept[2] = (struct swept){ .table = "erasures" };     /* the same */
    struct swept_room room = { self->swept, 3, store_orders_rows, store_orders_due };
    service_sweeps(self->service, &room);
}

static void open_metrics(struct orders *self)
{
    for (int i = ORDER_PLACED; i <= ORDER_CANCELLED; i++)
        self->reached[i] =
            metric_series(METRIC_ORDERS, order_status_word((enum order_status)i), NULL, NULL);
    self->settle_time = metric_series(METRIC_ORDER_SETTLE_SECONDS, NULL, NULL, NULL);
    self->holds_expired = metric_series(METRIC_HOLDS_EXPIRED, NULL, NULL, NULL);
    for (int i = 0; i < self->providers_count; i++)
        self->asked_time[i] =
            metric_series(METRIC_PAYMENT_SECONDS, self->providers[i].name, NULL, NULL);
    const char *currency = str_z(self->arena, conf_text(self->house->conf, CONF_SHOP_CURRENCY));
    (void)metric_series(METRIC_REVENUE, currency, NULL, NULL); /* it is there from the beginning */
    (void)metric_series(METRIC_REFUNDS, currency, NULL, NULL);
    for (int i = 0; i < self->providers_count; i++)
        for (int known = KNOWN_UNKNOWN; known <= KNOWN_REFUNDED; known++)
            self->answered[i][known] =
                metric_series(METRIC_PAYMENTS, self->providers[i].name,
                              payment_known_word((enum payment_known)known), NULL);
}

static err open_parts(struct orders *self, struct arena *arena, const struct conf *conf)
{
    TRY(read_settings(self, arena, conf));
    struct service_config config = { .spec = &orders_service_spec,
                                     .schema = &orders_schema,
                                     .house = self->house,
                                     .database_url = database_url(arena, conf),
                                     .durable = conf_int(conf, CONF_DATABASE_DURABLE) != 0,
                                     .self = self,
                                     .standing = standing };
    TRY(service_open(arena, &config, &self->service));
    TRY(open_providers(self, arena, conf));
    self->recent =
        recent_open((struct recent_limits){ ORDERS_KEPT, ORDER_BYTES_MAX, ORDER_AGE_US });
    self->prices =
        recent_open((struct recent_limits){ PRICES_KEPT, PRICE_BYTES_MAX, PRICE_AGE_US });
    self->lanes = lanes_open(self->service, "payments", orders_run_payment);
    open_timers(self, conf);
    open_sweeping(self, conf);
    open_metrics(self);
    return OK;
}

err orders_open(struct arena *arena, const struct house *house, struct client *users,
                struct client *products, struct orders **out)
{
    ASSERT(arena && house && users && products && out);
    struct arena *own = arena_open(SIZE_MAX);
    struct orders *self = arena_new(own, struct orders);
    *self = (struct orders){ .arena = own, .house = house, .users = users, .products = products };
    err error = open_parts(self, arena, house->conf);
    if (error != OK) {
        orders_close(self);
        return error;
    }
    *out = self;
    return OK;
}

struct service *orders_service(struct orders *self) { return self->service; }

void orders_start(struct orders *self)
{
    service_start(self->service);
    lanes_start(self->lanes, (int)conf_int(self->house->conf, CONF_PAYMENT_LANES));
}

/* Calls hear how things stand before the lanes end what they have. */
void orders_stop(struct orders *self)
{
    service_stop(self->service);
    lanes_stop(self->lanes);
}

void orders_close(struct orders *self)
{
    if (!self)
        return;
    lanes_close(self->lanes);
    recent_close(self->recent);
    recent_close(self->prices);
    service_close(self->service);
    simulator_close(self->simulator);
    client_close(self->users);
    client_close(self->products);
    arena_close(self->arena);
}

struct db *orders_simulator_db(struct orders *self) { return simulator_db(self->simulator); }
