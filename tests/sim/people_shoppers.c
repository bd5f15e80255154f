#include "os/sync.h"
#include "tests/sim/dice.h"
#include "tests/sim/people.h"
#include "tests/sim/story.h"
#include <stdio.h>

enum { BURST_MAX = 12, BODY_BYTES = 700, ORDERS_PAGE = 7, RECENT = 30 };

static const char address_json[] =
    "{\"name\":\"A. Buyer\",\"line1\":\"Moi Avenue 12\",\"city\":\"Nairobi\",\"country\":\"KE\"}";

/* ---- what a shopper wants ---- */

static const char *any_token(void)
{
    static const char *const tokens[] = {
        "approve", "approve", "approve",      "approve",         "approve", "approve",
        "decline", "timeout", "late",         "timeout-decline", "twice",   "twice",
        "webhook", "webhook", "manual",       "webhook-decline", "manual",  "manual",
        "early",   "early",   "webhook-late",
    };
    return tokens[dice((int)(sizeof tokens / sizeof tokens[0]))];
}

static void any_lines(const struct model *model, struct ask *ask)
{
    ask->lines_count = 1 + dice(3);
    for (int i = 0; i < ask->lines_count; i++)
        ask->lines[i] =
            (struct model_line){ .sku = dice(model->skus_count), .quantity = 1 + dice(3) };
    if (ask->lines_count > 1 && dice_one_in(4)) /* the same SKU on two lines */
        ask->lines[1].sku = ask->lines[0].sku;
}

static const char *body_of(const struct person *shopper, const struct ask *ask)
{
    const struct model *model = shopper->client.model;
    struct text body = text_init(model->arena, BODY_BYTES);
    text_add(&body, STR("{\"lines\":["));
    int64_t total = 0;
    for (int i = 0; i < ask->lines_count; i++) {
        const struct model_sku *sku = &model->skus[ask->lines[i].sku];
        text_add_format(&body, "%s{\"sku\":\"%s\",\"quantity\":%d}", i ? "," : "", sku->sku,
                        ask->lines[i].quantity);
        total += sku->prices[sku->prices_count - 1] * ask->lines[i].quantity;
    }
    bool is_manual = str_equal(str_of_z(ask->token), STR("manual"));
    text_add_format(&body, "],\"payment\":{\"provider\":\"%s\"%s%s%s}",
                    is_manual ? "manual" : "simulator", is_manual ? "" : ",\"token\":\"",
                    is_manual ? "" : ask->token, is_manual ? "" : "\"");
    if (shopper->address_id && dice_one_in(2))
        text_add_format(&body, ",\"address_id\":\"%s\"", shopper->address_id);
    else if (dice_one_in(3))
        text_add_format(&body, ",\"shipping_address\":%s", address_json);
    if (dice_one_in(8))
        text_add_format(&body, ",\"expected_total\":{\"amount\":%lld,\"currency\":\"EUR\"}",
                        (long long)total + dice_one_in(4));
    text_add_byte(&body, '}');
    return str_z(model->arena, text_str(&body));
}

static void any_wait(const struct model *model, struct ask *ask)
{
    ask->wait_ms = 1000;
    ask->prefer = NULL;
    int kind = dice(5);
    if (kind == 0) {
        ask->wait_ms = 0;
        ask->prefer = dice_one_in(2) ? "respond-async" : "wait=0";
    } else if (kind < 4) {
        int seconds = 1 + dice(10);
        ask->wait_ms = seconds * 1000;
        ask->prefer = str_z(model->arena, str_format(model->arena, "wait=%d", seconds));
    }
}

static struct ask any_order(struct person *shopper)
{
    struct ask ask = { .kind = ASK_PLACE, .method = HTTP_POST, .path = "/orders" };
    any_lines(shopper->client.model, &ask);
    ask.token = any_token();
    ask.body = body_of(shopper, &ask);
    ask.key = client_new_key(&shopper->client);
    any_wait(shopper->client.model, &ask);
    return ask;
}

/* ---- placing ---- */

/* Some orders at once; among them repeats of the same key, now and then with another body. */
static int place_some(struct person *shopper, struct ask *kept, int kept_max, int kept_count)
{
    struct client_of_shop *client = &shopper->client;
    struct ask asks[BURST_MAX];
    int count = 0, orders = 1 + dice(client->world->plan->burst_max);
    for (int i = 0; i < orders && count < BURST_MAX - 3; i++) {
        struct ask ask = any_order(shopper);
        int times = dice_one_in(3) ? 2 + dice(2) : 1;
        for (int j = 0; j < times; j++) {
            asks[count] = ask;
            if (j > 0)
                any_wait(client->model, &asks[count]);
            count++;
        }
        if (dice_one_in(8)) { /* the key of an order, with another body */
            struct ask other = any_order(shopper);
            other.key = ask.key;
            asks[count++] = other;
        }
        kept[kept_count++ % kept_max] = ask;
    }
    client_ask_all(client, asks, count);
    return kept_count;
}

static void repeat_one(struct person *shopper, const struct ask *kept, int kept_count)
{
    struct ask ask = kept[dice(kept_count)];
    any_wait(shopper->client.model, &ask);
    if (dice_one_in(6)) {
        struct ask other = any_order(shopper);
        other.key = ask.key;
        other.kept = ask.kept;
        ask = other;
    }
    client_done(client_ask(&shopper->client, &ask));
}

/* What must be refused and leave nothing behind. */
static void place_nonsense(struct person *shopper)
{
    static const char *const bodies[] = {
        "{\"lines\":[{\"sku\":\"no-such-thing\",\"quantity\":1}],"
        "\"payment\":{\"provider\":\"simulator\",\"token\":\"approve\"}}",
        "{\"lines\":[{\"sku\":\"sim-0\",\"quantity\":0}],"
        "\"payment\":{\"provider\":\"simulator\",\"token\":\"approve\"}}",
        "{\"lines\":[],\"payment\":{\"provider\":\"manual\"}}",
        "{\"lines\":[{\"sku\":\"sim-0\",\"quantity\":1}],"
        "\"payment\":{\"provider\":\"simulator\",\"token\":\"no-such-token\"}}",
        "{\"lines\":[{\"sku\":\"sim-0\",\"quantity\":1}],"
        "\"address_id\":\"00000000-0000-7000-8000-000000000000\","
        "\"payment\":{\"provider\":\"simulator\",\"token\":\"approve\"}}",
        "{\"lines\":[{\"sku\":\"sim-0\",\"quantity\":1}],\"payment\":{\"provider\":\"x\"}}",
    };
    struct ask ask = { .kind = ASK_PLACE, .method = HTTP_POST, .path = "/orders" };
    ask.key = client_new_key(&shopper->client);
    ask.body = bodies[dice((int)(sizeof bodies / sizeof bodies[0]))];
    ask.token = "approve";
    struct exchange *exchange = client_ask(&shopper->client, &ask);
    RULE(client_reply(exchange)->status == 422, "answers", "%d for %s",
         client_reply(exchange)->status, ask.body);
    client_done(exchange);
}

/* ---- what comes after ---- */

/* One of my orders, or NULL; now and then somebody else's. */
static struct model_order *any_known(struct person *shopper, bool *is_mine)
{
    struct model *model = shopper->client.model;
    bool any = dice_one_in(8);
    for (int tries = 0; model->orders_count > 0 && tries < 20; tries++) {
        int among = tries < 12 && model->orders_count > RECENT ? RECENT : model->orders_count;
        struct model_order *order = &model->orders[model->orders_count - 1 - dice(among)];
        *is_mine = uuid_equal(order->customer, shopper->client.user);
        if (any || *is_mine)
            return order;
    }
    return NULL;
}

static const char *path_of(struct model *model, const struct model_order *order, const char *rest)
{
    return str_z(model->arena, str_format(model->arena, "/orders/%s%s", order->id, rest));
}

static void cancel(struct person *shopper, struct model_order *order, bool is_mine)
{
    struct ask asks[3] = { { .kind = ASK_CANCEL, .method = HTTP_POST, .order = order } };
    int count = 1 + (dice_one_in(3) ? 1 + dice(2) : 0);
    asks[0].path = path_of(shopper->client.model, order, "/cancel");
    asks[0].key = client_new_key(&shopper->client);
    asks[0].body = dice_one_in(2) ? "{\"reason\":\"changed my mind\"}" : "{}";
    asks[1] = asks[2] = asks[0];
    if (dice_one_in(2)) /* twice with two keys: the second finds it cancelled */
        asks[1].key = client_new_key(&shopper->client);
    client_ask_all(&shopper->client, asks, count);
    for (int i = 0; i < count; i++)
        RULE(is_mine || !asks[i].kept->is_concluded, "privacy",
             "%s cancelled order %s of somebody else", shopper->client.name, order->id);
}

static void cancel_one(struct person *shopper)
{
    bool is_mine;
    struct model_order *order = any_known(shopper, &is_mine);
    if (order)
        cancel(shopper, order, is_mine);
}

/* Changes its mind the moment it hears, while money and stock are still on their way. */
static void place_and_cancel(struct person *shopper)
{
    struct ask ask = any_order(shopper);
    client_done(client_ask(&shopper->client, &ask));
    if (dice_one_in(3))
        client_think(&shopper->client, 3 * TIME_SECOND);
    if (ask.kept->order)
        cancel(shopper, ask.kept->order, true);
}

static void read_one(struct person *shopper)
{
    bool is_mine;
    struct model_order *order = any_known(shopper, &is_mine);
    if (!order)
        return;
    struct ask ask = { .kind = ASK_READ, .method = HTTP_GET, .order = order };
    ask.path = path_of(shopper->client.model, order, dice_one_in(3) ? "/timeline" : "");
    struct exchange *exchange = client_ask(&shopper->client, &ask);
    RULE(client_reply(exchange)->status == (is_mine ? 200 : 404), "privacy", "%d for %s of %s",
         client_reply(exchange)->status, ask.path, is_mine ? "its buyer" : "somebody else");
    client_done(exchange);
}

/* Reads a whole list in pages; gives how many orders there were, each once. */
static int read_list(struct client_of_shop *client, const char *scope)
{
    struct arena *arena = arena_open(SIZE_MAX);
    str after = STR(""), *ids = arena_array(arena, str, MODEL_ORDERS_MAX);
    int count = 0;
    do {
        struct ask ask = { .kind = ASK_READ, .method = HTTP_GET, .path = "/orders" };
        ask.query = str_z(arena, str_format(arena, "limit=%d%s%s%" STR_F, ORDERS_PAGE, scope,
                                            after.len ? "&after=" : "", STR_A(after)));
        struct exchange *exchange = client_ask(client, &ask);
        RULE(client_reply(exchange)->status == 200, "lists", "%d for a page",
             client_reply(exchange)->status);
        struct json_walk walk = json_walk_of(peek(client_reply(exchange)->json, "items"));
        while (json_next(&walk)) {
            str id = peek_text(walk.value, "id");
            for (int i = 0; i < count; i++)
                RULE(!str_equal(ids[i], id), "lists", "order %" STR_F " stands on two pages",
                     STR_A(id));
            ids[count++] = str_copy(arena, id);
        }
        after = str_copy(arena, peek_text(client_reply(exchange)->json, "next"));
        client_done(exchange);
    } while (after.len > 0);
    arena_close(arena);
    return count;
}

static int known_of(const struct model *model, struct uuid customer)
{
    int count = 0;
    for (int i = 0; i < model->orders_count; i++)
        count += uuid_equal(model->orders[i].customer, customer);
    return count;
}

static void read_mine(struct person *shopper)
{
    int known = known_of(shopper->client.model, shopper->client.user);
    int seen = read_list(&shopper->client, "");
    RULE(seen >= known, "lists", "%s was told of %d orders, and sees %d", shopper->client.name,
         known, seen);
}

/* ---- the thread ---- */

static void shopper_run(void *subject)
{
    enum { KEPT_MAX = 24 };
    struct person *shopper = subject;
    struct ask kept[KEPT_MAX];
    int kept_count = 0, suspended_at = dice(shopper->asks);
    const struct plan *plan = shopper->client.world->plan;
    for (int i = 0; i < shopper->asks; i++) {
        if (shopper->address_id && plan->suspends && i == suspended_at)
            shopper_be_suspended(shopper);
        int what = dice(20);
        client_think(&shopper->client, shopper->client.world->plan->think_us);
        if (what < 7 || kept_count == 0)
            kept_count = place_some(shopper, kept, KEPT_MAX, kept_count);
        else if (what < 9)
            place_and_cancel(shopper);
        else if (what < 12)
            repeat_one(shopper, kept, kept_count < KEPT_MAX ? kept_count : KEPT_MAX);
        else if (what < 15)
            cancel_one(shopper);
        else if (what < 18)
            read_one(shopper);
        else if (what < 19)
            read_mine(shopper);
        else
            place_nonsense(shopper);
    }
    if (shopper->address_id && plan->erases)
        shopper_be_erased(shopper);
    shopper->has_gone = true;
}

void shopper_start(struct person *shopper)
{
    shopper->thread = thread_start(shopper->client.name, shopper_run, shopper);
}

void people_read_all(struct person *shoppers, int shoppers_count, struct person *staff)
{
    struct model *model = shoppers[0].client.model;
    for (int i = 0; i < model->orders_count; i++) {
        struct model_order *order = &model->orders[i];
        struct ask ask = { .kind = ASK_READ, .method = HTTP_GET, .order = order };
        ask.path = path_of(model, order, "");
        for (int j = 0; j < shoppers_count; j++) {
            bool is_mine = uuid_equal(order->customer, shoppers[j].client.user);
            if ((!is_mine && (i + j) % 7) || shoppers[j].is_erased)
                continue;
            struct exchange *exchange = client_ask(&shoppers[j].client, &ask);
            RULE(client_reply(exchange)->status == (is_mine ? 200 : 404), "privacy", "order %s: %d",
                 order->id, client_reply(exchange)->status);
            client_done(exchange);
        }
    }
    for (int i = 0; i < shoppers_count; i++) {
        if (shoppers[i].is_erased)
            continue;
        int known = known_of(model, shoppers[i].client.user);
        int seen = read_list(&shoppers[i].client, "");
        RULE(seen == known, "lists", "%s was told of %d orders, and sees %d",
             shoppers[i].client.name, known, seen);
    }
    int seen = read_list(&staff->client, "&scope=all");
    RULE(seen == model->orders_count, "lists", "staff sees %d orders of %d", seen,
         model->orders_count);
}
