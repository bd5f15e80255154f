#include "tests/sim/model.h"
#include "tests/sim/deeds.h"
#include "tests/sim/story.h"

enum {
    SLACK_US = 1500 * 1000,       /* of an answer that waits */
    OVERTAKEN_US_MAX = 100 * 1000 /* how long an answer may be on its way */
};

/* ---- JSON ---- */

const struct json *peek(const struct json *object, const char *name)
{
    return object ? json_member(object, str_of_z(name)) : NULL;
}

str peek_text(const struct json *object, const char *name)
{
    const struct json *value = peek(object, name);
    return value && json_kind_of(value) == JSON_STRING ? json_string(value) : STR("");
}

int64_t peek_int(const struct json *object, const char *name)
{
    int64_t number;
    const struct json *value = peek(object, name);
    return value && json_int64(value, &number) ? number : -1;
}

static bool is_word(str s, const char *word) { return str_equal(s, str_of_z(word)); }

/* ---- what there is ---- */

const char *const model_account[] = { "forgetful@example.com", "Ada Forgetful", "Erasure Road 17",
                                      NULL };

void model_init(struct model *model, struct arena *arena, const struct plan *plan)
{
    *model = (struct model){ .arena = arena, .plan = plan };
    model->orders = arena_array(arena, struct model_order, MODEL_ORDERS_MAX);
    model->keys = arena_array(arena, struct model_key, MODEL_KEYS_MAX);
}

struct model_order *model_order_of(struct model *model, str id)
{
    for (int i = model->orders_count - 1; i >= 0; i--)
        if (is_word(id, model->orders[i].id))
            return &model->orders[i];
    return NULL;
}

int model_sku_of(const struct model *model, str sku)
{
    for (int i = 0; i < model->skus_count; i++)
        if (is_word(sku, model->skus[i].sku))
            return i;
    return -1;
}

void model_price(struct model *model, int sku, int64_t minor)
{
    struct model_sku *known = &model->skus[sku];
    ASSERT(known->prices_count < MODEL_PRICES_MAX);
    known->prices[known->prices_count++] = minor;
}

int64_t model_ordered(const struct model_order *order, int sku)
{
    int64_t units = 0;
    for (int i = 0; i < order->lines_count; i++)
        units += order->lines[i].sku == sku ? order->lines[i].quantity : 0;
    return units;
}

int64_t model_shipped(const struct model_order *order, int sku)
{
    int64_t units = 0;
    for (int i = 0; i < order->parcels_count; i++)
        units += order->parcels[i].units[sku];
    return units;
}

struct model_key *model_key_of(struct model *model, const struct ask *ask)
{
    for (int i = 0; i < model->keys_count; i++) {
        struct model_key *known = &model->keys[i];
        if (uuid_equal(known->who, ask->who) &&
            str_equal(str_of_z(known->key), str_of_z(ask->key)) &&
            str_equal(str_of_z(known->path), str_of_z(ask->path)))
            return known;
    }
    ASSERT(model->keys_count < MODEL_KEYS_MAX);
    struct model_key *key = &model->keys[model->keys_count++];
    *key = (struct model_key){ .who = ask->who,
                               .path = str_z(model->arena, str_of_z(ask->path)),
                               .key = str_z(model->arena, str_of_z(ask->key)),
                               .kind = ask->kind };
    return key;
}

/* ---- orders as they are seen ---- */

static void check_line(const struct model *model, const struct model_order *order, int index,
                       const struct json *line)
{
    const struct model_line *wanted = &order->lines[index];
    int64_t quantity = peek_int(line, "quantity"), shipped = peek_int(line, "shipped");
    int64_t unit = peek_int(peek(line, "unit_price"), "amount");
    RULE(model_sku_of(model, peek_text(line, "sku")) == wanted->sku && quantity == wanted->quantity,
         "lines", "line %d of order %s is not what was asked for", index, order->id);
    RULE(shipped >= 0 && shipped <= quantity, "lines", "line %d of order %s: %lld of %lld shipped",
         index, order->id, (long long)shipped, (long long)quantity);
    RULE(peek_int(peek(line, "total"), "amount") == unit * quantity, "money",
         "line %d of order %s is not its price times its quantity", index, order->id);
    const struct model_sku *sku = &model->skus[wanted->sku];
    for (int i = 0; i < sku->prices_count; i++)
        if (sku->prices[i] == unit)
            return;
    story_violated("money", "%lld was never the price of %s (order %s)", (long long)unit, sku->sku,
                   order->id);
}

/* What a version says; the same for ever. */
static uint64_t state_of(const struct json *json)
{
    uint64_t hash = str_hash(peek_text(json, "status"));
    hash = hash * 31 + str_hash(peek_text(json, "payment_status"));
    hash = hash * 31 + str_hash(peek_text(json, "fulfilment_status"));
    hash = hash * 31 + (uint64_t)peek_int(peek(json, "paid"), "amount");
    struct json_walk walk = json_walk_of(peek(json, "lines"));
    while (json_next(&walk))
        hash = hash * 31 + (uint64_t)peek_int(walk.value, "shipped");
    return hash | 1;
}

/* The parcel that an answer tells of is the last that it shows. */
static void learn_parcel(struct model *model, struct model_order *order, const struct json *shown)
{
    const struct json *json = NULL;
    struct json_walk walk = json_walk_of(peek(shown, "fulfilments"));
    while (json_next(&walk))
        json = walk.value;
    str id = peek_text(json, "id");
    RULE(id.len == UUID_TEXT_LEN, "answers", "no parcel is shown of order %s", order->id);
    for (int i = 0; i < order->parcels_count; i++)
        RULE(!is_word(id, order->parcels[i].id), "parcels", "parcel %s answers two keys",
             order->parcels[i].id);
    RULE(order->parcels_count < MODEL_PARCELS_MAX, "parcels", "order %s has too many", order->id);
    struct model_parcel *parcel = &order->parcels[order->parcels_count++];
    *parcel = (struct model_parcel){ 0 };
    memcpy(parcel->id, id.ptr, UUID_TEXT_LEN);
    walk = json_walk_of(peek(json, "lines"));
    while (json_next(&walk)) {
        int sku = model_sku_of(model, peek_text(walk.value, "sku"));
        RULE(sku >= 0, "parcels", "a parcel of order %s holds what nobody sells", order->id);
        parcel->units[sku] += peek_int(walk.value, "quantity");
    }
}

static void check_version(struct model_order *order, const struct json *json, const struct ask *ask,
                          const struct reply *reply)
{
    int64_t version = peek_int(json, "version");
    RULE(version >= 1 && version < MODEL_VERSIONS_MAX, "versions", "order %s is at version %lld",
         order->id, (long long)version);
    uint64_t state = state_of(json), body = str_hash(reply->body) | 1;
    uint64_t *known = &order->states[version], *known_body = &order->bodies[version];
    RULE(*known == 0 || *known == state, "versions", "version %lld of order %s has two states",
         (long long)version, order->id);
    *known = state;
    if (reply->etag.len > 0 && json == reply->json) {
        RULE(*known_body == 0 || *known_body == body, "etag",
             "order %s under one strong ETag %" STR_F " has two bodies", order->id,
             STR_A(reply->etag));
        *known_body = body;
    }
    RULE(reply->is_replay || version >= ask->version_seen || ask->order != order, "versions",
         "order %s was seen at version %lld, and is at %lld later", order->id,
         (long long)ask->version_seen, (long long)version);
    if (version > order->version_seen)
        order->version_seen = version;
}

/* An order in an answer. One that nobody was told of before is made known by its own placing. */
static struct model_order *see_order(struct model *model, const struct json *json,
                                     const struct ask *ask, const struct reply *reply)
{
    struct model_order *order = model_order_of(model, peek_text(json, "id"));
    if (!order)
        return NULL;
    RULE(json_count(peek(json, "lines")) == (size_t)order->lines_count, "lines",
         "order %s has %zu lines, not %d", order->id, json_count(peek(json, "lines")),
         order->lines_count);
    int64_t total = 0;
    struct json_walk walk = json_walk_of(peek(json, "lines"));
    for (int i = 0; json_next(&walk); i++) {
        check_line(model, order, i, walk.value);
        total += peek_int(peek(walk.value, "total"), "amount");
    }
    RULE(peek_int(peek(json, "total"), "amount") == total, "money",
         "order %s: its total is not the sum of its lines", order->id);
    RULE(order->total == 0 || order->total == total, "money", "order %s has another total now",
         order->id);
    order->total = total;
    check_version(order, json, ask, reply);
    return order;
}

/* ---- placing ---- */

static struct model_order *add_order(struct model *model, const struct ask *ask, str id)
{
    RULE(!model_order_of(model, id), "once", "order %" STR_F " answers two keys", STR_A(id));
    RULE(id.len == UUID_TEXT_LEN, "answers", "\"%" STR_F "\" is no order", STR_A(id));
    ASSERT(model->orders_count < MODEL_ORDERS_MAX);
    struct model_order *order = &model->orders[model->orders_count++];
    *order = (struct model_order){ .customer = ask->who,
                                   .lines_count = ask->lines_count,
                                   .token = ask->token };
    memcpy(order->id, id.ptr, UUID_TEXT_LEN);
    memcpy(order->lines, ask->lines, sizeof order->lines);
    return order;
}

static bool declines(const char *token) { return str_ends(str_of_z(token), STR("decline")); }

/* Each short line is named, and was short indeed. */
static void check_shorts(const struct model *model, const struct ask *ask, const struct json *json)
{
    struct model_order asked = { .lines_count = ask->lines_count };
    memcpy(asked.lines, ask->lines, sizeof asked.lines);
    RULE(json_count(peek(json, "errors")) > 0, "answers", "no short line is named");
    struct json_walk walk = json_walk_of(peek(json, "errors"));
    while (json_next(&walk)) {
        int64_t line = -1, wanted = 0, available = 0;
        str rest = peek_text(walk.value, "pointer"), message = peek_text(walk.value, "message");
        rest = str_slice(rest, sizeof "/lines/" - 1, rest.len);
        (void)str_to_int64(str_cut(&rest, '/'), 0, MODEL_LINES_MAX, &line);
        RULE(line >= 0 && line < ask->lines_count, "answers",
             "a short line that was not asked for");
        (void)str_to_int64(str_cut(&message, ' '), 0, INT64_MAX, &wanted);
        ptrdiff_t comma = str_find(message, STR(", "));
        message = str_slice(message, (size_t)comma + 2, message.len);
        (void)str_to_int64(str_cut(&message, ' '), 0, INT64_MAX, &available);
        int sku = ask->lines[line].sku;
        RULE(wanted == model_ordered(&asked, sku) && available < wanted, "answers",
             "%s is said to be short: %lld of %lld", model->skus[sku].sku, (long long)wanted,
             (long long)available);
    }
}

static void check_placed_state(const struct ask *ask, const struct reply *reply)
{
    str status = peek_text(reply->json, "status");
    bool is_manual = is_word(str_of_z(ask->token), "manual");
    bool is_settled = is_word(status, "confirmed") || is_word(status, "cancelling") ||
                      is_word(status, "cancelled") || (is_manual && is_word(status, "reserved"));
    bool is_open = is_word(status, "placed") || (!is_manual && is_word(status, "reserved"));
    RULE(reply->status == 201 ? is_settled : is_open, "answers", "%d for an order that is %" STR_F,
         reply->status, STR_A(status));
    if (reply->status == 201 && is_word(status, "confirmed"))
        RULE(!declines(ask->token), "answers", "confirmed without the bank's consent");
}

static void check_wait(const struct model *model, const struct ask *ask, const struct reply *reply)
{
    int64_t waited_us = reply->at_us - reply->sent_us, wait_us = ask->wait_ms * INT64_C(1000);
    if (reply->is_replay || reply->shop_stopped)
        return;
    RULE(waited_us <= wait_us + SLACK_US + plan_slack_us(model->plan), "waiting",
         "asked to wait %d ms, answered after %lld us", ask->wait_ms, (long long)waited_us);
    RULE(reply->status != 202 || reply->at_us >= ask->kept->due_us, "waiting",
         "202 after %lld us of %d ms, though the shop was not stopping", (long long)waited_us,
         ask->wait_ms);
}

static void conclude_place(struct model *model, const struct ask *ask, const struct reply *reply)
{
    bool is_order = reply->status == 201 || reply->status == 202;
    str id = peek_text(reply->json, is_order ? "id" : "subject");
    struct model_order *order = ask->kept->order = add_order(model, ask, id);
    if (is_order) {
        RULE(see_order(model, reply->json, ask, reply) == order, "answers", "no order is shown");
        str location = str_format(model->arena, "/orders/%s", order->id);
        RULE(str_equal(reply->location, location), "answers", "Location is %" STR_F,
             STR_A(reply->location));
        str customer = peek_text(reply->json, "customer_id");
        RULE(str_equal(customer, uuid_text(model->arena, ask->who)), "answers",
             "the order belongs to %" STR_F, STR_A(customer));
        check_placed_state(ask, reply);
    } else if (reply->status == 409)
        check_shorts(model, ask, reply->json);
    else
        RULE(declines(ask->token), "answers", "402 for the token %s", ask->token);
    check_wait(model, ask, reply);
    deed_of_token(ask->token);
    if (model->plan->skus_count == 1)
        deed(DEED_FLASH_SALE);
}

/* ---- other writes ---- */

static void conclude_adjust(struct model *model, const struct ask *ask, const struct reply *reply)
{
    int64_t on_hand = peek_int(reply->json, "on_hand"),
            reserved = peek_int(reply->json, "reserved");
    RULE(peek_int(reply->json, "available") == on_hand - reserved && on_hand >= reserved, "stock",
         "%s: %lld on hand, %lld reserved", model->skus[ask->sku].sku, (long long)on_hand,
         (long long)reserved);
    RULE(ask->expected < 0 || on_hand == ask->expected + ask->delta, "stock",
         "%s: a compare-and-swap from %lld by %lld gave %lld", model->skus[ask->sku].sku,
         (long long)ask->expected, (long long)ask->delta, (long long)on_hand);
    model->skus[ask->sku].adjusted += ask->delta;
}

static void conclude(struct model *model, const struct ask *ask, const struct reply *reply)
{
    switch (ask->kind) {
    case ASK_PLACE: conclude_place(model, ask, reply); return;
    case ASK_ADJUST: conclude_adjust(model, ask, reply); return;
    case ASK_CANCEL: ask->order->cancelled = true; break;
    case ASK_PAY: ask->order->paid_by_hand = true; break;
    case ASK_DELIVER: ask->order->delivered = true; break;
    case ASK_REFUND:
        ask->order->refunded = true;
        deed(DEED_REFUND);
        ask->order->restocked |=
            ask->restock && is_word(peek_text(reply->json, "fulfilment_status"), "returned");
        break;
    case ASK_FULFIL: learn_parcel(model, ask->order, reply->json); break;
    case ASK_READ:
    case ASK_OTHER: break;
    }
    RULE(see_order(model, reply->json, ask, reply) == ask->order, "answers",
         "the answer shows another order");
}

/* ---- the clock ---- */

void model_jumped(struct model *model, int64_t to, int64_t by_us)
{
    ASSERT(model->jumps_count < PLAN_WALL_JUMPS_MAX);
    model->jumps[model->jumps_count++] = (struct model_jump){ to, by_us };
}

int64_t model_put_back_us(const struct model *model, int64_t at)
{
    enum { WRITTEN_WITHIN_US = 500 * 1000 };
    int64_t back_us = 0, drift_us = model->plan->drift_us;
    for (int i = 0; i < model->jumps_count; i++) {
        const struct model_jump *jump = &model->jumps[i];
        if (jump->by_us < 0 && at >= jump->to - drift_us &&
            at <= jump->to + WRITTEN_WITHIN_US + drift_us)
            back_us -= jump->by_us;
    }
    return back_us;
}

/* ---- one key, one answer ---- */

/* Whether an answer is one that is kept under its key. */
static bool is_kept(const struct ask *ask, const struct reply *reply)
{
    if (ask->kind == ASK_PLACE &&
        (is_word(reply->code, "stock.insufficient") || is_word(reply->code, "payment.declined")))
        return true;
    return reply->status >= 200 && reply->status < 300;
}

static bool is_later(const struct reply *reply)
{
    return reply->status == 503 || reply->status == 504 || reply->status == 507 ||
           is_word(reply->code, "db.failed") || is_word(reply->code, "idempotency.in_flight") ||
           is_word(reply->code, "version.conflict") || is_word(reply->code, "call.too_large");
}

/* A problem tells the trace of the request that asks. */
static const char *comparable(struct model *model, str body)
{
    ptrdiff_t at = str_find(body, STR(",\"trace_id\":\""));
    if (at < 0)
        return str_z(model->arena, body);
    size_t from = (size_t)at, to = from + sizeof ",\"trace_id\":\"" - 1;
    while (to < body.len && body.ptr[to] != '"')
        to++;
    str head = str_slice(body, 0, from), tail = str_slice(body, to + 1, body.len);
    return str_z(model->arena,
                 str_format(model->arena, "%" STR_F "%" STR_F, STR_A(head), STR_A(tail)));
}

static void check_repeat(struct model *model, const struct ask *ask, const struct reply *reply)
{
    struct model_key *key = ask->kept;
    const char *body = comparable(model, reply->body);
    if (model->flips_answers)
        body = "{}";
    RULE(str_equal(str_of_z(key->body), str_of_z(ask->body)), "once",
         "key %s was concluded with another body", key->key);
    RULE(key->status == reply->status && str_equal(str_of_z(key->answer), str_of_z(body)), "once",
         "key %s heard %d %s first, and %d %s later", key->key, key->status, key->answer,
         reply->status, body);
    RULE(str_equal(str_of_z(key->location), reply->location), "once",
         "key %s: Location was %s first, and is %" STR_F " later", key->key, key->location,
         STR_A(reply->location));
}

static void count_marks(struct model *model, const struct ask *ask, const struct reply *reply)
{
    struct model_key *key = ask->kept;
    key->unmarked += !reply->is_replay || model->unmarks_answers;
    RULE(key->unmarked <= 1, "once", "two answers under key %s are not marked as replays (%d)",
         key->key, reply->status);
}

/* When the answer was first given, and how long after that the slowest had to wait for it. */
static void note_times(struct model_key *key, const struct reply *reply)
{
    if (key->first_us == 0 || reply->at_us < key->first_us)
        key->first_us = reply->at_us;
    if (reply->shop_stopped || reply->at_us <= key->slowest_at_us)
        return;
    key->slowest_at_us = reply->at_us;
    key->slowest_sent_us = reply->sent_us;
}

/* Under a key about an order of somebody who asked to be forgotten. */
static bool is_gone(const struct model *model, const struct ask *ask, const struct reply *reply)
{
    return ask->kept && ask->order && model->erasure_asked &&
           uuid_equal(ask->order->customer, model->account) && is_word(reply->code, "not_found") &&
           (ask->kept->is_concluded || ask->kept->was_late || ask->kept->sent > 1);
}

/* Kept answers are forgotten with the person that they are about. What became of an attempt whose
 * answer nobody had heard by then, nobody will hear. */
static enum heard hear_gone(struct model *model, const struct ask *ask, const struct reply *reply)
{
    struct model_key *key = ask->kept;
    model->keys_uncertain += key->gone_at_us == 0 && !key->is_concluded;
    ask->order->is_uncertain |= !key->is_concluded;
    if (key->gone_at_us == 0)
        key->gone_at_us = reply->at_us;
    return HEARD_REFUSED;
}

static enum heard hear_kept(struct model *model, const struct ask *ask, const struct reply *reply)
{
    struct model_key *key = ask->kept;
    RULE(key->gone_at_us == 0 || reply->sent_us <= key->gone_at_us, "once",
         "key %s heard that who it was about is gone, and hears %d later", key->key, reply->status);
    count_marks(model, ask, reply);
    note_times(key, reply);
    if (key->is_concluded) {
        deed(DEED_RETRY);
        check_repeat(model, ask, reply);
        return HEARD_CONCLUDED;
    }
    key->is_concluded = true;
    key->status = reply->status;
    key->body = str_z(model->arena, str_of_z(ask->body));
    key->answer = comparable(model, reply->body);
    key->location = str_z(model->arena, reply->location);
    conclude(model, ask, reply);
    return HEARD_CONCLUDED;
}

/* Of two repeats at once one may be refused before the other has its answer, which overtakes the
 * refusal on the way, or is read before it. */
static bool was_refused_before(const struct model_key *key, const struct reply *reply)
{
    return reply->sent_us < key->first_us && reply->at_us < key->first_us + OVERTAKEN_US_MAX;
}

/* What is refused leaves nothing behind, so a key that has its answer refuses only other bodies. */
static enum heard hear_refusal(const struct ask *ask, const struct reply *reply)
{
    const struct model_key *key = ask->kept;
    bool is_same = key && key->is_concluded && str_equal(str_of_z(key->body), str_of_z(ask->body));
    RULE(!is_same || was_refused_before(key, reply), "once",
         "key %s has its answer, and hears %d %" STR_F, key->key, reply->status,
         STR_A(reply->code));
    RULE(!is_word(reply->code, "idempotency.key_reused") || (key && key->has_two_bodies), "once",
         "key %s is said to have come with another body, which its caller never sent", key->key);
    RULE(reply->status >= 400 && reply->status < 500, "answers", "%s: %d %" STR_F, ask->path,
         reply->status, STR_A(reply->body));
    return HEARD_REFUSED;
}

enum heard model_hear(struct model *model, const struct ask *ask, const struct reply *reply)
{
    model->answered++;
    if (is_later(reply)) {
        if (ask->kept)
            ask->kept->was_late = true;
        return HEARD_LATER;
    }
    if (is_gone(model, ask, reply))
        return hear_gone(model, ask, reply);
    if (ask->kept)
        return is_kept(ask, reply) ? hear_kept(model, ask, reply) : hear_refusal(ask, reply);
    if (reply->status >= 400)
        return hear_refusal(ask, reply);
    if (peek(reply->json, "payment_status"))
        see_order(model, reply->json, ask, reply);
    struct json_walk walk = json_walk_of(peek(reply->json, "items"));
    while (json_next(&walk))
        if (peek(walk.value, "payment_status"))
            see_order(model, walk.value, ask, reply);
    return HEARD_CONCLUDED;
}
