#include "base/text.h"
#include "os/sync.h"
#include "tests/sim/dice.h"
#include "tests/sim/people.h"
#include "tests/sim/story.h"
#include <stdio.h>

enum { AT_ONCE = 3, RECENT = 12 };

static struct model *model_of(struct person *staff) { return staff->client.model; }

static str copied(struct person *staff, str text) { return str_copy(model_of(staff)->arena, text); }

#define FORMAT(staff, ...) \
    str_z(model_of(staff)->arena, str_format(model_of(staff)->arena, __VA_ARGS__))

/* ---- the catalog ---- */

void staff_open_shop(struct person *staff)
{
    struct model *model = model_of(staff);
    for (int i = 0; i < model->plan->skus_count; i++) {
        struct model_sku *sku = &model->skus[model->skus_count++];
        *sku = (struct model_sku){ .initial = 1 + dice((int)model->plan->stock_max) };
        snprintf(sku->sku, sizeof sku->sku, "sim-%d", i);
        model_price(model, i, 100 + dice(5000));
        struct ask ask = { .kind = ASK_OTHER, .method = HTTP_POST, .path = "/products" };
        ask.body = FORMAT(staff,
                          "{\"title\":\"Thing %d\",\"status\":\"active\",\"variants\":[{\"sku\":"
                          "\"%s\",\"price\":{\"amount\":%lld,\"currency\":\"EUR\"},"
                          "\"on_hand\":%lld}]}",
                          i, sku->sku, (long long)sku->prices[0], (long long)sku->initial);
        struct exchange *exchange = client_ask(&staff->client, &ask);
        const struct reply *reply = client_reply(exchange);
        RULE(reply->status == 201, "catalog", "%d %" STR_F, reply->status, STR_A(reply->body));
        snprintf(sku->product, sizeof sku->product, "%" STR_F, STR_A(peek_text(reply->json, "id")));
        client_done(exchange);
    }
}

static void change_price(struct person *staff)
{
    struct model *model = model_of(staff);
    int index = dice(model->skus_count);
    struct model_sku *sku = &model->skus[index];
    if (!sku->product[0])
        return; /* it was imported */
    struct ask read = { .kind = ASK_OTHER, .method = HTTP_GET };
    read.path = FORMAT(staff, "/products/%s", sku->product);
    struct exchange *exchange = client_ask(&staff->client, &read);
    str etag = copied(staff, client_reply(exchange)->etag);
    client_done(exchange);
    int64_t price = 100 + dice(5000);
    model_price(model, index, price); /* from the moment it is asked for, whoever answers */
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_PATCH, .path = read.path };
    ask.if_match = str_z(model->arena, etag);
    ask.body = FORMAT(staff,
                      "{\"variants\":[{\"sku\":\"%s\",\"price\":{\"amount\":%lld,"
                      "\"currency\":\"EUR\"}}]}",
                      sku->sku, (long long)price);
    exchange = client_ask(&staff->client, &ask);
    int status = client_reply(exchange)->status;
    RULE(status == 200 || status == 412, "catalog", "%d %" STR_F, status,
         STR_A(client_reply(exchange)->body));
    client_done(exchange);
}

/* ---- stock ---- */

static int64_t read_on_hand(struct person *staff, const struct model_sku *sku)
{
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_GET };
    ask.path = FORMAT(staff, "/products/stock/%s", sku->sku);
    struct exchange *exchange = client_ask(&staff->client, &ask);
    const struct reply *reply = client_reply(exchange);
    int64_t on_hand = peek_int(reply->json, "on_hand");
    RULE(reply->status == 200 && on_hand >= 0 &&
             peek_int(reply->json, "available") == on_hand - peek_int(reply->json, "reserved"),
         "stock", "%d %" STR_F, reply->status, STR_A(reply->body));
    client_done(exchange);
    return on_hand;
}

static struct ask any_adjustment(struct person *staff, int index)
{
    const struct model_sku *sku = &model_of(staff)->skus[index];
    struct ask ask = { .kind = ASK_ADJUST, .method = HTTP_POST, .sku = index, .expected = -1 };
    ask.path = FORMAT(staff, "/products/stock/%s/adjustments", sku->sku);
    ask.key = client_new_key(&staff->client);
    ask.delta = dice_one_in(4) ? -1 - dice(2) : 1 + dice(20);
    int kind = dice(3);
    if (kind == 0) {
        ask.body = FORMAT(staff, "{\"delta\":%lld,\"reason\":\"received\"}", (long long)ask.delta);
        return ask;
    }
    ask.expected = read_on_hand(staff, sku);
    if (ask.expected + ask.delta < 0)
        ask.delta = 1;
    long long expected = ask.expected, delta = ask.delta;
    ask.body = kind == 1 ? FORMAT(staff,
                                  "{\"delta\":%lld,\"reason\":\"corrected\","
                                  "\"expected_on_hand\":{\"quantity\":%lld}}",
                                  delta, expected)
                         : FORMAT(staff,
                                  "{\"on_hand\":{\"quantity\":%lld},\"reason\":\"counted\","
                                  "\"expected_on_hand\":{\"quantity\":%lld}}",
                                  expected + delta, expected);
    return ask;
}

/* Sometimes the same key several times at once, sometimes two that expect the same number. */
static void adjust(struct person *staff)
{
    struct ask asks[AT_ONCE];
    int index = dice(model_of(staff)->skus_count), count = 1 + dice(AT_ONCE);
    asks[0] = any_adjustment(staff, index);
    for (int i = 1; i < count; i++) {
        asks[i] = asks[0];
        if (dice_one_in(2))
            asks[i].key = client_new_key(&staff->client);
    }
    client_ask_all(&staff->client, asks, count);
}

static void read_ledger(struct person *staff)
{
    const struct model_sku *sku = &model_of(staff)->skus[dice(model_of(staff)->skus_count)];
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_GET, .query = "limit=5" };
    ask.path = FORMAT(staff, "/products/stock/%s/ledger", sku->sku);
    client_done(client_ask(&staff->client, &ask));
}

/* ---- orders ---- */

static struct ask ask_of(struct person *staff, enum ask_kind kind, struct model_order *order,
                         const char *rest)
{
    struct ask ask = { .kind = kind, .method = HTTP_POST, .order = order };
    ask.path = FORMAT(staff, "/orders/%s%s", order->id, rest);
    ask.key = client_new_key(&staff->client);
    return ask;
}

static struct ask any_shipment(struct person *staff, struct model_order *order,
                               const struct json *shown)
{
    struct ask ask = ask_of(staff, ASK_FULFIL, order, "/fulfilments");
    ask.body = "{}";
    if (dice_one_in(2))
        return ask;
    struct json_walk walk = json_walk_of(peek(shown, "lines"));
    while (json_next(&walk)) {
        int64_t open = peek_int(walk.value, "quantity") - peek_int(walk.value, "shipped");
        int64_t wanted = open > 0 ? 1 + dice((int)open) : dice_one_in(6);
        if (wanted == 0)
            continue;
        ask.body = FORMAT(staff,
                          "{\"lines\":[{\"sku\":\"%" STR_F "\",\"quantity\":%lld}],"
                          "\"carrier\":\"ship\",\"tracking\":\"t-1\"}",
                          STR_A(peek_text(walk.value, "sku")), (long long)wanted);
        if (dice_one_in(2))
            break;
    }
    return ask;
}

static struct ask payment_of(struct person *staff, struct model_order *order,
                             const struct json *shown)
{
    struct ask ask = ask_of(staff, ASK_PAY, order, "/payments");
    ask.body = FORMAT(staff, "{\"amount\":{\"amount\":%lld,\"currency\":\"EUR\"}}",
                      (long long)peek_int(peek(shown, "total"), "amount") + dice_one_in(8));
    return ask;
}

static struct ask refund_of(struct person *staff, struct model_order *order)
{
    struct ask ask = ask_of(staff, ASK_REFUND, order, "/refunds");
    ask.restock = dice_one_in(2);
    ask.body = ask.restock ? "{\"restock\":true,\"reason\":\"came back\"}" : "{}";
    return ask;
}

/* What may be done to an order as it is shown. */
static bool next_step(struct person *staff, struct model_order *order, const struct json *shown,
                      struct ask *ask)
{
    str status = peek_text(shown, "status"), payment = peek_text(shown, "payment_status");
    bool is_manual = str_equal(peek_text(shown, "payment_provider"), STR("manual"));
    if (is_manual && str_equal(status, STR("reserved"))) {
        *ask = payment_of(staff, order, shown);
        return !dice_one_in(3); /* some are never paid */
    }
    if (str_equal(payment, STR("captured")) && dice_one_in(5))
        *ask = refund_of(staff, order);
    else if (is_manual && str_equal(payment, STR("refunding")))
        *ask = refund_of(staff, order);
    else if (str_equal(status, STR("confirmed")))
        *ask = any_shipment(staff, order, shown);
    else if (str_equal(peek_text(shown, "fulfilment_status"), STR("fulfilled")) && dice_one_in(2)) {
        *ask = ask_of(staff, ASK_DELIVER, order, "/deliveries");
        ask->body = "{}";
    } else if (dice_one_in(10)) {
        *ask = ask_of(staff, ASK_CANCEL, order, "/cancel");
        ask->body = "{\"reason\":\"staff\"}";
    } else
        return false;
    return true;
}

static bool work_on_order(struct person *staff, struct model_order *order)
{
    struct ask read = { .kind = ASK_READ, .method = HTTP_GET, .order = order };
    read.path = FORMAT(staff, "/orders/%s", order->id);
    struct exchange *exchange = client_ask(&staff->client, &read);
    struct ask asks[AT_ONCE];
    RULE(client_reply(exchange)->status == 200, "answers", "staff cannot see order %s", order->id);
    bool has_step = next_step(staff, order, client_reply(exchange)->json, &asks[0]);
    client_done(exchange);
    if (!has_step)
        return false;
    int count = dice_one_in(3) ? 2 + dice(AT_ONCE - 1) : 1;
    for (int i = 1; i < count; i++) {
        asks[i] = asks[0];
        if (dice_one_in(3))
            asks[i].key = client_new_key(&staff->client);
    }
    client_ask_all(&staff->client, asks, count);
    return true;
}

static void work_on_any(struct person *staff)
{
    struct model *model = model_of(staff);
    for (int tries = 0; model->orders_count > 0 && tries < 10; tries++) {
        int among = tries % 2 && model->orders_count > RECENT ? RECENT : model->orders_count;
        if (work_on_order(staff, &model->orders[model->orders_count - 1 - dice(among)]))
            return;
    }
}

bool staff_close_shop(struct person *staff)
{
    struct model *model = model_of(staff);
    bool has_worked = false;
    for (int i = 0; i < model->orders_count; i++) {
        struct model_order *order = &model->orders[i];
        if (!order->paid_by_hand || order->refunded)
            continue;
        struct ask read = { .kind = ASK_READ, .method = HTTP_GET, .order = order };
        read.path = FORMAT(staff, "/orders/%s", order->id);
        struct exchange *exchange = client_ask(&staff->client, &read);
        str payment = peek_text(client_reply(exchange)->json, "payment_status");
        bool is_due = str_equal(payment, STR("refunding"));
        client_done(exchange);
        if (!is_due)
            continue;
        struct ask ask = refund_of(staff, order);
        client_done(client_ask(&staff->client, &ask));
        has_worked = true;
    }
    return has_worked;
}

static void staff_run(void *subject)
{
    struct person *staff = subject;
    const struct plan *plan = staff->client.world->plan;
    int import_at = plan->imports && staff->is_first ? dice(staff->asks) : -1;
    for (int i = 0; i < staff->asks; i++) {
        int what = dice(20);
        if (i == import_at)
            staff_import(&staff->client);
        client_think(&staff->client, staff->client.world->plan->think_us);
        if (what < 13)
            work_on_any(staff);
        else if (what < 17)
            adjust(staff);
        else if (what < 19)
            change_price(staff);
        else
            read_ledger(staff);
    }
    staff->has_gone = true;
}

void staff_start(struct person *staff)
{
    staff->thread = thread_start(staff->client.name, staff_run, staff);
}

/* ---- the bank ---- */

/* What the bank's own books say of a payment; NULL where it knows none. */
static const char *truth_of(struct person *bank, const struct model_order *order)
{
    static const char *const words[] = { "unknown",  "pending", "authorized", "captured",
                                         "declined", "voided",  "refunded" };
    int known = check_bank_knows(bank->client.check, order->id);
    return known < 1 ? NULL : words[known];
}

static const struct model_order *any_recent(const struct model *model)
{
    int among = dice_one_in(2) && model->orders_count > RECENT ? RECENT : model->orders_count;
    return among ? &model->orders[model->orders_count - 1 - dice(among)] : NULL;
}

/* Tells what is true by its own books, whether the shop has asked yet or not, late and again; now
 * and then what is not signed, or about nothing. */
static void tell_again(struct person *bank)
{
    struct model *model = model_of(bank);
    struct ask ask = { .kind = ASK_OTHER, .method = HTTP_POST };
    ask.path = "/orders/payments/simulator/events";
    const struct model_order *order = dice_one_in(5) ? NULL : any_recent(model);
    const char *status = order ? truth_of(bank, order) : "authorized";
    const char *id = order ? order->id : "01890000-0000-7000-8000-000000000000";
    if (!status)
        return;
    ask.body = FORMAT(bank, "{\"event_id\":\"%s-%s-%d\",\"payment_id\":\"%s\",\"status\":\"%s\"}",
                      id, status, dice(2), id, status);
    str secret = conf_text(bank->client.world->conf, CONF_PAYMENT_SIMULATOR_SECRET);
    struct sha256 mac = hmac_sha256(secret, str_of_z(ask.body));
    bool is_signed = !dice_one_in(6);
    ask.signature =
        is_signed ? str_z(model->arena, hex(model->arena, str_of(mac.bytes, sizeof mac.bytes)))
                  : "00";
    struct exchange *exchange = client_ask(&bank->client, &ask);
    int answered = client_reply(exchange)->status;
    RULE(answered == (is_signed ? 204 : 401), "callbacks", "%d %" STR_F, answered,
         STR_A(client_reply(exchange)->body));
    client_done(exchange);
}

static void bank_run(void *subject)
{
    struct person *bank = subject;
    for (int i = 0; i < bank->asks; i++) {
        client_think(&bank->client, bank->client.world->plan->think_us + 2 * TIME_MS);
        tell_again(bank);
    }
    bank->has_gone = true;
}

void bank_start(struct person *bank)
{
    bank->thread = thread_start(bank->client.name, bank_run, bank);
}
