#include "apps/members.h"
#include "base/json.h"
#include "gen/orders.h"
#include "services/orders/service.h"

static err open_orders(struct arena *arena, const struct house *house, struct client *users,
                       struct client *products, void **out)
{
    struct orders *self;
    TRY(orders_open(arena, house, users, products, &self));
    *out = self;
    return OK;
}

static void add_job(struct text *out, struct arena *arena, const struct orders_job_book *job)
{
    bool first = true;
    text_add_byte(out, '{');
    json_add_name(out, &first, STR("kind"));
    json_add_string(out, job->kind);
    json_add_name(out, &first, STR("tries"));
    text_add_int(out, job->tries);
    json_add_name(out, &first, STR("due_at"));
    json_add_string(out, time_text(arena, job->due_at));
    json_add_name(out, &first, STR("since"));
    json_add_string(out, time_text(arena, job->since));
    text_add_byte(out, '}');
}

/* The call to its provider that is due. */
static err tell_job(struct db_reader *reader, struct arena *arena, struct uuid order,
                    struct text *out, bool *first)
{
    struct orders_job_book job;
    bool has_job;
    TRY(orders_read_job(reader, arena, order, &job, &has_job));
    if (!has_job)
        return OK;
    json_add_name(out, first, STR("job"));
    add_job(out, arena, &job);
    return OK;
}

static err tell_life(struct db_reader *reader, struct arena *arena, struct uuid order,
                     struct text *out, bool *first)
{
    struct orders_life life;
    bool found;
    TRY(orders_read_life(reader, arena, order, &life, &found));
    if (!found)
        return OK;
    json_add_name(out, first, STR("order"));
    message_to_json(out, &orders_order_spec, life.order);
    json_add_name(out, first, STR("timeline"));
    message_to_json(out, &orders_timeline_spec, life.timeline);
    json_add_name(out, first, STR("trace_id"));
    json_add_string(out, life.trace_id);
    return tell_job(reader, arena, order, out, first);
}

/* What the simulated provider itself knows of it. */
static err tell_payment(struct db_reader *reader, struct arena *arena, struct uuid order,
                        struct text *out, bool *first)
{
    struct orders_payment_book payment;
    bool found, first_inside = true;
    TRY(orders_read_payment(reader, arena, order, &payment, &found));
    if (!found)
        return OK;
    json_add_name(out, first, STR("payment"));
    text_add_byte(out, '{');
    json_add_name(out, &first_inside, STR("state"));
    json_add_string(out, payment.state);
    json_add_name(out, &first_inside, STR("amount"));
    text_add_int(out, payment.amount_minor);
    text_add_byte(out, '}');
    return OK;
}

static err tell_by(struct db *db, struct arena *arena, struct uuid order, struct text *out,
                   bool *first,
                   err (*tell)(struct db_reader *reader, struct arena *arena, struct uuid order,
                               struct text *out, bool *first))
{
    struct db_reader *reader;
    TRY(db_read_begin(db, arena, &reader));
    err error = tell(reader, arena, order, out, first);
    db_read_end(reader);
    return error;
}

static err tell_order(void *self, struct arena *arena, struct uuid order, struct text *out,
                      bool *first)
{
    TRY(tell_by(service_db(orders_service(self)), arena, order, out, first, tell_life));
    return tell_by(orders_simulator_db(self), arena, order, out, first, tell_payment);
}

static struct service *service_of(void *self) { return orders_service(self); }
static struct db *simulator_of(void *self) { return orders_simulator_db(self); }
static void start(void *self) { orders_start(self); }
static void stop(void *self) { orders_stop(self); }
static void close_orders(void *self) { orders_close(self); }

const struct shop_member orders_member = {
    .part = SHOP_ORDERS,
    .name = "orders",
    .own_door = CONF_ORDERS_ADDR,
    .calls = SHOP_USERS | SHOP_PRODUCTS,
    .extra_name = "payments-simulator",
    .migrate = orders_migrate,
    .open = open_orders,
    .service = service_of,
    .extra = simulator_of,
    .start = start,
    .stop = stop,
    .close = close_orders,
    .tell_order = tell_order,
};
