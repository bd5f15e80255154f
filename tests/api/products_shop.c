#include "tests/api/products_shop.h"
#include "os/clock.h"
#include "os/random.h"

/* ---- the shop ---- */

static size_t take(void *self, const struct bus_event *events, size_t count)
{
    struct products_shop *shop = self;

    lock_take(&shop->lock);
    for (size_t i = 0; i < count; i++) {
        ASSERT(shop->announced_count < ANNOUNCED_MAX);
        shop->announced[shop->announced_count++] =
            (struct announced){ .type = str_copy(shop->arena, events[i].type),
                                .key = str_copy(shop->arena, events[i].key),
                                .payload = str_copy(shop->arena, events[i].payload),
                                .number = events[i].number };
    }
    lock_drop(&shop->lock);
    return count;
}

void products_shop_close(struct products_shop *shop)
{
    if (!shop->products)
        return;
    products_stop(shop->products);
    products_close(shop->products);
    shop->products = NULL;
}

static void shop_close(void *subject) { products_shop_close(subject); }

static void shop_done(void *subject)
{
    struct products_shop *shop = subject;

    lock_done(&shop->lock);
    arena_close(shop->arena);
}

static struct uuid id_named(const char *name)
{
    return uuid_of_name(STR("products_shop"), str_of_z(name));
}

static void shop_open_products(struct products_shop *shop)
{
    CHECK_OK(products_open(shop->t->arena, shop->house, &shop->products));
    shop->anyone = inline_client(shop->t, shop->house, inline_handle_service,
                                 products_service(shop->products));
    shop->customer = shop->staff = shop->anyone;
    inline_sign_in(&shop->customer, id_named("customer"), ROLE_BIT_CUSTOMER);
    inline_sign_in(&shop->staff, id_named("staff"), ROLE_BIT_STAFF);
}

struct products_shop *products_shop_open_alone(struct test *t, const char *const *settings)
{
    struct products_shop *shop = arena_new(t->arena, struct products_shop);

    shop->t = t;
    shop->arena = arena_open(TEST_ARENA_BYTES_MAX);
    shop->announced = arena_array(shop->arena, struct announced, ANNOUNCED_MAX);
    lock_init(&shop->lock);
    arena_defer(t->arena, shop_done, shop);
    shop->house = inline_house(t, settings);
    arena_defer(t->arena, shop_close, shop);
    shop_open_products(shop);
    products_start(shop->products);
    return shop;
}

struct products_shop *products_shop_open(struct test *t, const char *const *settings)
{
    static const char *const TOPICS[] = { "products.v1" };
    struct products_shop *shop = products_shop_open_alone(t, settings);
    struct bus_consumer ear = { .name = "test", .self = shop, .take = take };

    bus_subscribe(shop->house->bus, &ear, TOPICS, 1);
    inline_start(t, shop->house);
    return shop;
}

struct answer_seen products_shop_create(struct products_shop *shop, const char *json)
{
    struct answer_seen answer = inline_post(&shop->staff, "/products", json);

    CHECK_STATUS(answer, 201);
    return answer;
}

void products_shop_stock(struct products_shop *shop, const char *sku, int on_hand)
{
    str json = str_format(shop->t->arena,
                          "{\"handle\":\"%s\",\"title\":\"%s\",\"status\":\"active\",\"variants\":"
                          "[{\"price\":{\"amount\":450,\"currency\":\"EUR\"},\"on_hand\":%d}]}",
                          sku, sku, on_hand);

    products_shop_create(shop, str_z(shop->t->arena, json));
}

static const char *etag_header(struct products_shop *shop, const char *target)
{
    struct answer_seen now = inline_get(&shop->staff, target);

    CHECK_STATUS(now, 200);
    return str_z(shop->t->arena, str_format(shop->t->arena, "If-Match: %" STR_F,
                                            STR_A(inline_header(&now, "etag"))));
}

struct answer_seen products_shop_patch(struct products_shop *shop, const char *target,
                                       const char *json)
{
    const char *headers[] = { etag_header(shop, target), NULL };

    return inline_request(&shop->staff, "PATCH", target, headers, str_of_z(json));
}

struct answer_seen products_shop_delete(struct products_shop *shop, const char *target)
{
    const char *headers[] = { etag_header(shop, target), NULL };

    return inline_request(&shop->staff, "DELETE", target, headers, STR_NONE);
}

/* ---- messages of Orders ---- */

static Orders__PlacedLine **lines_of(struct test *t, const struct line_of_order *lines,
                                     size_t *count)
{
    *count = 0;
    while (lines[*count].sku)
        ++*count;
    Orders__PlacedLine **out = arena_array(t->arena, Orders__PlacedLine *, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        out[i] = message_new(t->arena, &orders_placed_line_spec);
        out[i]->sku = field_of(str_of_z(lines[i].sku));
        out[i]->quantity = lines[i].quantity;
    }
    return out;
}

Orders__OrderPlaced *order_placed(struct test *t, struct uuid order, int64_t number,
                                  const struct line_of_order *lines)
{
    Orders__OrderPlaced *out = message_new(t->arena, &orders_order_placed_spec);

    out->order_id = field_of_uuid(t->arena, order);
    out->number = number;
    out->lines = lines_of(t, lines, &out->n_lines);
    return out;
}

Orders__OrderClosed *order_closed(struct test *t, struct uuid order, int64_t number)
{
    Orders__OrderClosed *out = message_new(t->arena, &orders_order_closed_spec);

    out->order_id = field_of_uuid(t->arena, order);
    out->number = number;
    out->reason = field_of(STR("test"));
    return out;
}

Orders__OrderShipped *order_shipped(struct test *t, struct uuid order, int64_t number,
                                    const struct line_of_order *lines)
{
    Orders__OrderShipped *out = message_new(t->arena, &orders_order_shipped_spec);

    out->order_id = field_of_uuid(t->arena, order);
    out->number = number;
    out->lines = lines_of(t, lines, &out->n_lines);
    return out;
}

Orders__OrderReturned *order_returned(struct test *t, struct uuid order, int64_t number,
                                      const struct line_of_order *lines)
{
    Orders__OrderReturned *out = message_new(t->arena, &orders_order_returned_spec);

    out->order_id = field_of_uuid(t->arena, order);
    out->number = number;
    out->lines = lines_of(t, lines, &out->n_lines);
    return out;
}

/* ---- the bus ---- */

static void acked(void *subject, const struct uuid *ids, size_t count)
{
    struct products_shop *shop = subject;

    (void)ids;
    lock_take(&shop->lock);
    shop->acked_count += count;
    lock_drop(&shop->lock);
}

struct target {
    struct products_shop *shop;
    size_t acked_count;
};

static bool are_acked(void *subject)
{
    struct target *target = subject;

    lock_take(&target->shop->lock);
    bool is_so = target->shop->acked_count >= target->acked_count;
    lock_drop(&target->shop->lock);
    return is_so;
}

static struct bus_event event_of(struct test *t, const struct sent_event *sent)
{
    const struct message_spec *message = sent->spec->message;
    const ProtobufCBinaryData *key = message_field(sent->message, message, sent->spec->key_field);

    return (struct bus_event){
        .id = id_new(),
        .type = str_of_z(sent->spec->name),
        .topic = str_of_z(sent->spec->topic),
        .key = text_of(*key),
        .number = *(const int64_t *)message_field(sent->message, message, sent->spec->number_field),
        .payload = message_pack(t->arena, sent->message),
        .at = clock_wall_us(),
    };
}

static void publish(struct products_shop *shop, const struct bus_event *events, size_t count)
{
    struct target target = { shop, 0 };

    lock_take(&shop->lock);
    target.acked_count = shop->acked_count + count;
    lock_drop(&shop->lock);
    bus_publish(shop->house->bus, events, count, acked, shop);
    CHECK(inline_until(are_acked, &target));
}

void products_shop_send(struct products_shop *shop, const struct sent_event *sent, size_t count)
{
    struct bus_event *events = arena_array(shop->t->arena, struct bus_event, count + 1);

    for (size_t i = 0; i < count; i++)
        events[i] = event_of(shop->t, &sent[i]);
    for (size_t i = 0; i < count; i += BUS_BATCH_MAX)
        publish(shop, events + i, count - i < BUS_BATCH_MAX ? count - i : BUS_BATCH_MAX);
}

void products_shop_send_old(struct products_shop *shop, const struct sent_event *sent, time_us at)
{
    struct bus_event event = event_of(shop->t, sent);

    event.at = at;
    publish(shop, &event, 1);
}

void products_shop_send_one(struct products_shop *shop, const struct event_spec *spec,
                            const void *message)
{
    struct sent_event sent = { spec, message };

    products_shop_send(shop, &sent, 1);
}

struct wanted {
    struct products_shop *shop;
    const struct event_spec *spec;
    str key;
    int64_t number;
    str payload;
};

static bool is_announced(void *subject)
{
    struct wanted *wanted = subject;
    struct products_shop *shop = wanted->shop;
    bool found = false;

    lock_take(&shop->lock);
    for (size_t i = 0; i < shop->announced_count && !found; i++) {
        const struct announced *event = &shop->announced[i];
        found = event->number == wanted->number && str_equal(event->key, wanted->key) &&
                str_equal(event->type, str_of_z(wanted->spec->name));
        wanted->payload = event->payload;
    }
    lock_drop(&shop->lock);
    return found;
}

const void *products_shop_hears(struct products_shop *shop, const struct event_spec *spec, str key,
                                int64_t number)
{
    struct wanted wanted = { shop, spec, key, number, STR_NONE };
    void *message;

    if (!inline_until(is_announced, &wanted))
        FAIL("no %s %lld of %" STR_F, spec->name, (long long)number, STR_A(key));
    CHECK_OK(message_unpack(shop->t->arena, wanted.payload, spec->message, &message));
    return message;
}

bool products_shop_heard(struct products_shop *shop, const struct event_spec *spec, str key,
                         int64_t number)
{
    struct wanted wanted = { shop, spec, key, number, STR_NONE };

    return is_announced(&wanted);
}

void products_shop_restart(struct products_shop *shop)
{
    products_shop_close(shop);
    shop_open_products(shop);
    products_start(shop->products);
}

/* ---- stock ---- */

static int64_t number_at(struct test *t, const struct answer_seen *answer, const char *pointer)
{
    int64_t number;

    CHECK(str_to_int64(inline_text(t, answer, pointer), INT64_MIN, INT64_MAX, &number));
    return number;
}

struct units products_shop_units(struct products_shop *shop, const char *sku)
{
    struct test *t = shop->t;
    struct answer_seen answer =
        inline_get(&shop->staff, str_z(t->arena, str_format(t->arena, "/products/stock/%s", sku)));

    CHECK_STATUS(answer, 200);
    return (struct units){ number_at(t, &answer, "/on_hand"), number_at(t, &answer, "/reserved"),
                           number_at(t, &answer, "/available") };
}

void products_shop_check_ledger(struct products_shop *shop, const char *sku)
{
    struct test *t = shop->t;
    int64_t on_hand = products_shop_units(shop, sku).on_hand;
    str after = STR("");

    for (;;) {
        str target = str_format(t->arena, "/products/stock/%s/ledger?limit=3%s%" STR_F, sku,
                                after.len > 0 ? "&after=" : "", STR_A(after));
        struct answer_seen page = inline_get(&shop->staff, str_z(t->arena, target));
        CHECK_STATUS(page, 200);
        int64_t count = number_at(t, &page, "/items");
        for (int64_t i = 0; i < count; i++) {
            str at = str_format(t->arena, "/items/%lld/on_hand_after", (long long)i);
            CHECK_INT(number_at(t, &page, str_z(t->arena, at)), on_hand);
            at = str_format(t->arena, "/items/%lld/delta", (long long)i);
            on_hand -= number_at(t, &page, str_z(t->arena, at));
        }
        after = inline_text(t, &page, "/next");
        if (!after.ptr)
            break;
    }
    CHECK_INT(on_hand, 0);
}
