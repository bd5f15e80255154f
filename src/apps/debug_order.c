#include "apps/debug.h"
#include "apps/life.h"
#include "base/json.h"
#include "chassis/html.h"
#include "os/clock.h"

static const str PATH = { "/debug/orders/", 14 };

str debug_trace_url(struct arena *arena, const struct conf *conf, str trace_id)
{
    static const str place = { "{trace_id}", 10 };
    str url = conf_text(conf, CONF_TRACE_URL);
    ptrdiff_t at = str_find(url, place);
    if (trace_id.len == 0 || at < 0)
        return STR("");
    return str_format(arena, "%" STR_F "%" STR_F "%" STR_F, STR_A(str_slice(url, 0, (size_t)at)),
                      STR_A(trace_id), STR_A(str_slice(url, (size_t)at + place.len, url.len)));
}

/* ---- what was gathered ---- */

/* A member as a text; empty where it is neither a text nor a number. */
static str told(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, str_of_z(name));
    enum json_kind kind = value ? json_kind_of(value) : JSON_NULL;
    if (kind == JSON_NUMBER)
        return json_number_text(value);
    return kind == JSON_STRING ? json_string(value) : STR("");
}

/* "12.99 EUR" would need the currency's digits: minor units say what was stored. */
static str money(struct arena *arena, const struct json *object, const char *name)
{
    const struct json *value = json_member(object, str_of_z(name));
    return value ? str_format(arena, "%" STR_F " %" STR_F " (minor units)",
                              STR_A(told(value, "amount")), STR_A(told(value, "currency")))
                 : STR("");
}

static enum html_tone tone_of(str state)
{
    static const char *const good[] = { "confirmed", "completed", "captured", "authorized",
                                        "fulfilled", "delivered", "reserved" };
    static const char *const bad[] = { "rejected",   "declined", "unknown", "cancelled",
                                       "cancelling", "refused",  "dead" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (str_equal(state, str_of_z(good[i])))
            return HTML_GOOD;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (str_equal(state, str_of_z(bad[i])))
            return HTML_WARN;
    return HTML_PLAIN;
}

static void fact(struct html *page, const char *name, str value)
{
    if (value.len > 0)
        html_fact(page, name, value, HTML_PLAIN);
}

/* ---- the order ---- */

/* What its timeline has been through, for the path at the top. */
static str reached_states(struct arena *arena, const struct json *timeline)
{
    struct text out = text_init(arena, 128);
    struct json_walk walk = json_walk_of(json_member(timeline, STR("items")));
    while (json_next(&walk)) {
        text_add(&out, told(walk.value, "what"));
        text_add_byte(&out, '|');
    }
    return text_str(&out);
}

static void add_path(struct html *page, const struct json *life, const struct json *order)
{
    str now = told(order, "status");
    str reached = reached_states(page->out.arena, json_member(life, STR("timeline")));
    str states = STR("placed|reserved|confirmed|completed");
    if (str_equal(now, STR("rejected")))
        states = STR("placed|reserved|rejected");
    else if (str_equal(now, STR("cancelling")) || str_equal(now, STR("cancelled")))
        states = STR("placed|reserved|confirmed|cancelling|cancelled");
    html_path(page, states, reached, now);
}

static void add_facts(struct shop *shop, struct html *page, const struct json *life,
                      const struct json *order)
{
    struct arena *arena = page->out.arena;
    str trace = told(life, "trace_id"), url = debug_trace_url(arena, shop->house.conf, trace);

    html_facts(page);
    html_fact(page, "Status", told(order, "status"), tone_of(told(order, "status")));
    html_fact(page, "Payment", told(order, "payment_status"),
              tone_of(told(order, "payment_status")));
    html_fact(page, "Fulfilment", told(order, "fulfilment_status"), HTML_PLAIN);
    fact(page, "Reason", told(order, "reason"));
    fact(page, "Total", money(arena, order, "total"));
    fact(page, "Paid", money(arena, order, "paid"));
    fact(page, "Provider", told(order, "payment_provider"));
    fact(page, "Customer (hashed)", told(order, "customer_id"));
    fact(page, "Placed", told(order, "created_at"));
    fact(page, "Changed", told(order, "updated_at"));
    fact(page, "Stock held until", told(order, "hold_until"));
    fact(page, "Version", told(order, "version"));
    if (trace.len > 0)
        html_fact_link(page, "Trace", trace, url);
    html_facts_end(page);
    html_table(page, "SKU|>Quantity|>Shipped|>Unit price");
    struct json_walk walk = json_walk_of(json_member(order, STR("lines")));
    while (json_next(&walk)) {
        html_row(page);
        html_cell(page, told(walk.value, "sku"), HTML_PLAIN);
        html_cell_right(page, told(walk.value, "quantity"));
        html_cell_right(page, told(walk.value, "shipped"));
        html_cell_right(page, told(json_member(walk.value, STR("unit_price")), "amount"));
    }
    html_table_end(page);
}

/* ---- its timeline ---- */

static time_us time_of(const struct json *entry, const char *name)
{
    time_us at;
    return time_parse(told(entry, name), &at) ? at : 0;
}

static int64_t span_of(const struct json *items)
{
    time_us first = 0, last = 0;
    struct json_walk walk = json_walk_of(items);
    while (json_next(&walk)) {
        last = time_of(walk.value, "at");
        first = first ? first : last;
    }
    return last - first;
}

static void add_timeline(struct html *page, const struct json *life)
{
    const struct json *items = json_member(json_member(life, STR("timeline")), STR("items"));
    int64_t whole_us = span_of(items);
    time_us before = 0;

    html_section(page, "Timeline", "The bar is the time since the step before.");
    html_table(page, "When|Since the step before|What|By|Why");
    struct json_walk walk = json_walk_of(items);
    while (json_next(&walk)) {
        time_us at = time_of(walk.value, "at");
        str actor = told(walk.value, "actor"), id = told(walk.value, "actor_id");
        html_row(page);
        html_cell(page, told(walk.value, "at"), HTML_PLAIN);
        html_cell_time(page, before ? at - before : 0, whole_us);
        html_cell(page, told(walk.value, "what"), tone_of(told(walk.value, "what")));
        html_cell(page,
                  id.len > 0
                      ? str_format(page->out.arena, "%" STR_F " %" STR_F, STR_A(actor), STR_A(id))
                      : actor,
                  HTML_PLAIN);
        html_cell(page, told(walk.value, "reason"), HTML_QUIET);
        before = at;
    }
    html_table_end(page);
}

/* ---- money, stock, events ---- */

static void add_payment(struct html *page, const struct json *life)
{
    struct arena *arena = page->out.arena;
    const struct json *job = json_member(life, STR("job"));
    const struct json *payment = json_member(life, STR("payment"));

    html_section(page, "Payment", "");
    html_facts(page);
    if (payment)
        html_fact(page, "The provider says",
                  str_format(arena, "%" STR_F ", %" STR_F " (minor units)",
                             STR_A(told(payment, "state")), STR_A(told(payment, "amount"))),
                  tone_of(told(payment, "state")));
    if (job) {
        time_us due = time_of(job, "due_at"), now = clock_wall_us();
        html_fact(page, "Call that is due",
                  str_format(arena, "%" STR_F ", tried %" STR_F " times since %" STR_F,
                             STR_A(told(job, "kind")), STR_A(told(job, "tries")),
                             STR_A(told(job, "since"))),
                  HTML_WARN);
        html_fact(page, due > now ? "Next try in" : "Late by",
                  html_time(arena, due > now ? due - now : now - due), HTML_PLAIN);
    } else {
        html_fact(page, "Call that is due", STR("none"), HTML_QUIET);
    }
    html_facts_end(page);
}

static void add_stock(struct html *page, const struct json *life)
{
    static const char *const numbers[] = { "quantity", "shipped", "returned", "released" };
    html_section(page, "Stock", "");
    if (!json_member(life, STR("reservation"))) {
        html_words(page, STR("It is with Products, in another program: look at its own page."));
        return;
    }
    html_facts(page);
    html_fact(page, "Reservation", told(life, "reservation"), tone_of(told(life, "reservation")));
    html_facts_end(page);
    html_table(page, "SKU|>Held|>Shipped|>Returned|>Released");
    struct json_walk walk = json_walk_of(json_member(life, STR("holds")));
    while (json_next(&walk)) {
        html_row(page);
        html_cell(page, told(walk.value, "sku"), HTML_PLAIN);
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
            html_cell_right(page, told(walk.value, numbers[i]));
    }
    html_table_end(page);
}

static void add_events(struct html *page, const struct json *life)
{
    const struct json *items = json_member(life, STR("events"));
    html_section(page, "Events",
                 "Outbox: not yet sent. Held: waits for the one before it. Dead: put aside. "
                 "Applied: the newest that took effect.");
    html_table(page, "Service|Place|Topic|>Number|Type|When");
    struct json_walk walk = json_walk_of(items);
    while (json_next(&walk)) {
        str place = told(walk.value, "place");
        bool is_done = str_equal(place, STR("applied"));
        html_row(page);
        html_cell(page, told(walk.value, "service"), HTML_PLAIN);
        html_cell(page, place, is_done ? HTML_GOOD : HTML_WARN);
        html_cell(page, told(walk.value, "topic"), HTML_PLAIN);
        html_cell_right(page, told(walk.value, "number"));
        html_cell(page, told(walk.value, "type"), HTML_PLAIN);
        html_cell(page, told(walk.value, "at"), HTML_QUIET);
    }
    html_table_end(page);
    if (json_count(items) == 0)
        html_words(page, STR("None is known here."));
}

/* ---- the page ---- */

static bool id_of(const struct request *request, struct uuid *out)
{
    static const str parameter = { "id=", 3 };
    str text = str_starts(request->path, PATH)
                   ? str_slice(request->path, PATH.len, request->path.len)
               : str_starts(request->query, parameter)
                   ? str_slice(request->query, parameter.len, request->query.len)
                   : STR("");
    return uuid_parse(text, out);
}

static void say_nothing(struct request *request, int status, str title, str words)
{
    struct html page = html_begin(request->arena, title, words);
    html_form(&page, "/debug/orders", "id", "An order's id");
    html_answer(request, status, html_end(&page));
}

err debug_show_order(struct shop *shop, struct request *request)
{
    ASSERT(shop && request);
    struct arena *arena = request->arena;
    const struct json *life;
    struct uuid id;
    str json;
    if (!id_of(request, &id)) {
        say_nothing(request, 400, STR("No order's id"),
                    STR("An id looks like 019384c2-8d5e-7b2a-9f10-3a5b7c9d1e2f."));
        return OK;
    }
    err error = life_gather(shop, arena, id, &json);
    if (err_is(error, NOT_FOUND)) {
        say_nothing(request, 404, STR("Nothing is known of this order"),
                    STR("Neither a row nor an event of it is in this program."));
        return OK;
    }
    TRY(error);
    TRY(json_read(arena, json, &life));
    struct html page = html_begin(
        arena, str_format(arena, "Order %" STR_F, STR_A(uuid_text(arena, id))),
        str_format(arena, "As this program knows it, at %" STR_F ".",
                   STR_A(time_text(arena, clock_wall_us() / TIME_SECOND * TIME_SECOND))));
    const struct json *order = json_member(life, STR("order"));
    if (order) {
        html_section(&page, "As it stands", "");
        add_path(&page, life, order);
        add_facts(shop, &page, life, order);
        add_timeline(&page, life);
        add_payment(&page, life);
    } else {
        html_words(&page, STR("The order itself is with Orders: in another program, or nowhere."));
    }
    add_stock(&page, life);
    add_events(&page, life);
    html_answer(request, 200, html_end(&page));
    return OK;
}
