#include "services/orders/flat.h"
#include "tests/lib/test.h"
#include <string.h>

enum { ROOM = 2048 };
static const struct currency EUR = { "EUR" };

static struct order *order_of(struct test *t, size_t lines_count)
{
    struct order *order = arena_new(t->arena, struct order);
    *order = (struct order){ .id = { { 7 } },
                             .status = ORDER_RESERVED,
                             .payment = PAYMENT_PENDING,
                             .fulfilment = FULFILMENT_NONE,
                             .provider = STR("simulator"),
                             .payment_token = STR("approve"),
                             .address = STR("Mombasa"),
                             .total = { 700, EUR },
                             .version = 3,
                             .event_number = 2,
                             .lines = arena_array(t->arena, struct order_line, lines_count),
                             .lines_count = lines_count,
                             .steps_count = 2,
                             .events_count = 1 };
    for (size_t i = 0; i < lines_count; i++)
        order->lines[i] = (struct order_line){ .sku = str_format(t->arena, "sku-%zu", i),
                                               .title = STR("A mug"),
                                               .quantity = 1 + (int32_t)i,
                                               .unit_price = { 350, EUR } };
    return order;
}

TEST(an_order_comes_back_as_it_was_without_its_steps_from_memory_of_its_own)
{
    struct order *order = order_of(t, 2);
    char *flat = arena_alloc(t->arena, ROOM, alignof(max_align_t));
    size_t len = order_flatten(order, flat, ROOM);
    CHECK(len > 0 && len <= ROOM);
    memset(order->lines, 0xff, 2 * sizeof *order->lines);

    struct order back = order_unflatten(str_of(flat, len));
    CHECK(uuid_equal(back.id, order->id));
    CHECK_INT(back.version, 3);
    CHECK_INT(back.event_number, 2);
    CHECK_INT(back.status, ORDER_RESERVED);
    CHECK_MONEY(back.total, ((struct money){ 700, EUR }));
    CHECK_STR(back.provider, "simulator");
    CHECK_STR(back.payment_token, "approve");
    CHECK_STR(back.address, "Mombasa");
    CHECK_STR(back.reason, "");
    CHECK_INT(back.lines_count, 2);
    CHECK_STR(back.lines[1].sku, "sku-1");
    CHECK_STR(back.lines[1].title, "A mug");
    CHECK_INT(back.lines[1].quantity, 2);
    CHECK_INT(back.steps_count, 0);
    CHECK_INT(back.events_count, 0);
}

TEST(an_order_is_written_into_exactly_the_room_it_needs_and_not_into_less)
{
    struct order *order = order_of(t, 3);
    char *flat = arena_alloc(t->arena, ROOM, alignof(max_align_t));
    size_t len = order_flatten(order, flat, ROOM);
    CHECK_INT(order_flatten(order, flat, len), len);
    for (size_t cap = 0; cap < len; cap++)
        CHECK_INT(order_flatten(order, flat, cap), 0);
    CHECK_INT(order_flatten(order_of(t, ORDER_LINES_MAX), flat, ROOM), 0);
}

TEST(a_price_comes_back_as_it_was_and_not_from_less_room)
{
    struct price price = { .sku = STR("mug-blue"),
                           .title = STR("A mug"),
                           .product = { { 3 } },
                           .unit = { 450, EUR },
                           .number = 12,
                           .known = true };
    char *flat = arena_alloc(t->arena, ROOM, alignof(max_align_t));
    size_t len = price_flatten(&price, flat, ROOM);
    CHECK(len > 0);
    struct price back = price_unflatten(str_of(flat, len));
    CHECK_STR(back.sku, "mug-blue");
    CHECK_STR(back.title, "A mug");
    CHECK_STR(back.variant_title, "");
    CHECK(uuid_equal(back.product, price.product));
    CHECK_MONEY(back.unit, ((struct money){ 450, EUR }));
    CHECK_INT(back.number, 12);
    CHECK(back.known && !back.for_sale);
    for (size_t cap = 0; cap < len; cap++)
        CHECK_INT(price_flatten(&price, flat, cap), 0);
}
