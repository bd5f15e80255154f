/* Stock of Products, whole and inline: adjusting, the ledger, and what the events of Orders do. */
#include "gen/products_client.h"
#include "os/random.h"
#include "services/products/store.h"
#include "tests/api/products_shop.h"

#define LINES(...) ((const struct line_of_order[]){ __VA_ARGS__, { NULL, 0 } })

static const struct event_spec *const PLACED = &orders_event_order_placed;
static const struct event_spec *const CLOSED = &orders_event_order_closed;
static const struct event_spec *const SHIPPED = &orders_event_order_shipped;
static const struct event_spec *const RETURNED = &orders_event_order_returned;
static const struct event_spec *const RESERVED = &products_event_stock_reserved;
static const struct event_spec *const REFUSED = &products_event_stock_refused;

static str key_of(struct test *t, struct uuid order) { return uuid_text(t->arena, order); }

static void check_units(struct products_shop *shop, const char *sku, int64_t on_hand,
                        int64_t reserved)
{
    struct units units = products_shop_units(shop, sku);

    CHECK_INT(units.on_hand, on_hand);
    CHECK_INT(units.reserved, reserved);
    CHECK_INT(units.available, on_hand - reserved);
}

static struct answer_seen adjust(struct products_shop *shop, const char *sku, const char *json)
{
    struct test *t = shop->t;
    str target = str_format(t->arena, "/products/stock/%s/adjustments", sku);
    str key = str_format(t->arena, "Idempotency-Key: %" STR_F, STR_A(key_of(t, id_new())));
    const char *headers[] = { str_z(t->arena, key), NULL };

    return inline_request(&shop->staff, "POST", str_z(t->arena, target), headers, str_of_z(json));
}

static str shown(struct products_shop *shop, const char *handle)
{
    struct test *t = shop->t;
    struct answer_seen answer =
        inline_get(&shop->anyone, str_z(t->arena, str_format(t->arena, "/products/%s", handle)));

    return inline_text(t, &answer, "/variants/0/availability");
}

/* ---- by hand ---- */

TEST(stock_opens_with_the_product_and_changes_by_hand)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen answer;

    products_shop_stock(shop, "mug", 10);
    check_units(shop, "mug", 10, 0);
    answer = adjust(shop, "mug", "{\"delta\":5,\"reason\":\"received\",\"note\":\"van\"}");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/on_hand"), "15");
    CHECK_STR(inline_text(t, &answer, "/version"), "2");
    answer = adjust(shop, "mug", "{\"delta\":-3,\"reason\":\"damaged\"}");
    CHECK_STR(inline_text(t, &answer, "/on_hand"), "12");
    answer = adjust(shop, "mug", "{\"on_hand\":{\"quantity\":7},\"reason\":\"counted\"}");
    CHECK_STR(inline_text(t, &answer, "/available"), "7");

    answer = inline_get(&shop->staff, "/products/stock/mug/ledger");
    CHECK_STR(inline_text(t, &answer, "/items"), "4");
    CHECK_STR(inline_text(t, &answer, "/items/0/delta"), "-5");
    CHECK_STR(inline_text(t, &answer, "/items/0/kind"), "adjusted");
    CHECK_STR(inline_text(t, &answer, "/items/0/reason"), "counted");
    CHECK_STR(inline_text(t, &answer, "/items/2/note"), "van");
    CHECK_STR(inline_text(t, &answer, "/items/3/kind"), "initial");
    CHECK_STR(inline_text(t, &answer, "/items/3/on_hand_after"), "10");
    CHECK(inline_text(t, &answer, "/items/0/actor_id").len == UUID_TEXT_LEN);
    products_shop_check_ledger(shop, "mug");
}

TEST(an_adjustment_is_refused_where_it_cannot_be)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    products_shop_stock(shop, "mug", 10);
    CHECK_PROBLEM(adjust(shop, "nobody", "{\"delta\":5,\"reason\":\"received\"}"), 404,
                  "not_found");
    CHECK_PROBLEM(adjust(shop, "mug", "{\"delta\":-11,\"reason\":\"lost\"}"), 409,
                  "stock.negative");
    CHECK_PROBLEM(adjust(shop, "mug",
                         "{\"delta\":1,\"reason\":\"received\","
                         "\"expected_on_hand\":{\"quantity\":9}}"),
                  409, "stock.conflict");
    CHECK_PROBLEM(adjust(shop, "mug", "{\"reason\":\"received\"}"), 422, "field.invalid");
    CHECK_PROBLEM(adjust(shop, "mug", "{\"delta\":1}"), 422, "field.invalid");
    CHECK_PROBLEM(inline_get(&shop->customer, "/products/stock/mug"), 403, "auth.role_missing");
    CHECK_PROBLEM(inline_get(&shop->staff, "/products/stock/nobody"), 404, "not_found");
    CHECK_PROBLEM(inline_get(&shop->staff, "/products/stock/nobody/ledger"), 404, "not_found");
    CHECK_PROBLEM(inline_post(&shop->staff, "/products/stock/mug/adjustments",
                              "{\"delta\":1,\"reason\":\"received\"}"),
                  400, "idempotency.key_required");
    check_units(shop, "mug", 10, 0);
}

TEST(a_repeated_adjustment_counts_once)
{
    const char *headers[] = { "Idempotency-Key: once", NULL };
    str body = STR("{\"delta\":5,\"reason\":\"received\"}");
    struct products_shop *shop = products_shop_open(t, NULL);
    struct answer_seen first, second;

    products_shop_stock(shop, "mug", 10);
    first = inline_request(&shop->staff, "POST", "/products/stock/mug/adjustments", headers, body);
    second = inline_request(&shop->staff, "POST", "/products/stock/mug/adjustments", headers, body);
    CHECK_STATUS(first, 200);
    CHECK_STATUS(second, 200);
    CHECK_STR(second.body, first.body);
    CHECK_STR(inline_header(&second, "idempotent-replayed"), "true");
    check_units(shop, "mug", 15, 0);
}

TEST(adjustments_at_once_are_taken_in_turn)
{
    enum { COUNT = 64 };
    struct inline_pending *pending[COUNT];
    struct products_shop *shop = products_shop_open(t, NULL);
    int taken = 0;

    products_shop_stock(shop, "mug", 40);
    for (int i = 0; i < COUNT; i++) {
        str key = str_format(t->arena, "Idempotency-Key: k%d", i);
        const char *headers[] = { str_z(t->arena, key), NULL };
        pending[i] = inline_send(&shop->staff, "POST", "/products/stock/mug/adjustments", headers,
                                 STR("{\"delta\":-1,\"reason\":\"lost\"}"));
    }
    for (int i = 0; i < COUNT; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        taken += answer.status == 200;
        if (answer.status != 200)
            CHECK_PROBLEM(answer, 409, "stock.negative");
    }
    CHECK_INT(taken, 40);
    check_units(shop, "mug", 0, 0);
    products_shop_check_ledger(shop, "mug");
    CHECK_STR(shown(shop, "mug"), "out");
}

TEST(what_a_product_shows_follows_its_stock)
{
    struct products_shop *shop =
        products_shop_open(t, (const char *const[]){ "STOCK_LOW=3", NULL });
    struct answer_seen answer;

    products_shop_stock(shop, "mug", 10);
    CHECK_STR(shown(shop, "mug"), "in_stock");
    adjust(shop, "mug", "{\"delta\":-6,\"reason\":\"lost\"}");
    answer = inline_get(&shop->anyone, "/products/mug");
    CHECK_STR(inline_text(t, &answer, "/version"), "1");
    adjust(shop, "mug", "{\"delta\":-1,\"reason\":\"lost\"}");
    answer = inline_get(&shop->anyone, "/products/mug");
    CHECK_STR(inline_text(t, &answer, "/variants/0/availability"), "low");
    CHECK_STR(inline_text(t, &answer, "/version"), "2");
    CHECK_STR(inline_header(&answer, "etag"), "\"v2\"");
    adjust(shop, "mug", "{\"on_hand\":{\"quantity\":0},\"reason\":\"counted\"}");
    CHECK_STR(shown(shop, "mug"), "out");
    answer = inline_get(&shop->anyone, "/products?availability=out");
    CHECK_STR(inline_text(t, &answer, "/items"), "1");
    adjust(shop, "mug", "{\"delta\":4,\"reason\":\"received\"}");
    CHECK_STR(shown(shop, "mug"), "in_stock");
}

/* ---- orders ---- */

TEST(an_order_holds_its_stock_and_hears_so)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();

    products_shop_stock(shop, "mug", 10);
    products_shop_stock(shop, "tea", 4);
    products_shop_send_one(shop, PLACED,
                           order_placed(t, order, 1, LINES({ "mug", 2 }, { "tea", 4 })));
    const Products__StockReserved *reserved =
        products_shop_hears(shop, RESERVED, key_of(t, order), 1);
    CHECK_STR(text_of(reserved->order_id), key_of(t, order));
    check_units(shop, "mug", 10, 2);
    check_units(shop, "tea", 4, 4);
    CHECK_STR(shown(shop, "tea"), "out");
    CHECK_PROBLEM(adjust(shop, "tea", "{\"delta\":-1,\"reason\":\"lost\"}"), 409, "stock.negative");
}

TEST(an_order_that_is_short_holds_nothing_and_hears_every_line)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();

    products_shop_stock(shop, "mug", 10);
    products_shop_stock(shop, "tea", 4);
    products_shop_send_one(
        shop, PLACED,
        order_placed(t, order, 1, LINES({ "tea", 3 }, { "mug", 2 }, { "ghost", 1 }, { "tea", 2 })));
    const Products__StockRefused *refused = products_shop_hears(shop, REFUSED, key_of(t, order), 1);
    CHECK_INT(refused->n_lines, 2);
    CHECK_STR(text_of(refused->lines[0]->sku), "ghost");
    CHECK_INT(refused->lines[0]->available, 0);
    CHECK_STR(text_of(refused->lines[1]->sku), "tea");
    CHECK_INT(refused->lines[1]->wanted, 5);
    CHECK_INT(refused->lines[1]->available, 4);
    check_units(shop, "mug", 10, 0);
    check_units(shop, "tea", 4, 0);
}

TEST(a_sku_on_two_lines_is_held_once_as_their_sum)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();

    products_shop_stock(shop, "mug", 5);
    products_shop_send_one(shop, PLACED,
                           order_placed(t, order, 1, LINES({ "mug", 2 }, { "mug", 3 })));
    products_shop_hears(shop, RESERVED, key_of(t, order), 1);
    check_units(shop, "mug", 5, 5);
    products_shop_send_one(shop, SHIPPED,
                           order_shipped(t, order, 2, LINES({ "mug", 4 }, { "mug", 1 })));
    check_units(shop, "mug", 0, 0);
    products_shop_check_ledger(shop, "mug");
}

struct asked {
    struct products_shop *shop;
    str key;
};

static bool is_answered(void *subject)
{
    const struct asked *asked = subject;

    return products_shop_heard(asked->shop, RESERVED, asked->key, 1) ||
           products_shop_heard(asked->shop, REFUSED, asked->key, 1);
}

TEST(sixty_four_orders_at_once_share_what_there_is)
{
    enum { ORDERS = 64 };
    struct products_shop *shop = products_shop_open(t, NULL);
    struct sent_event sent[ORDERS];
    struct uuid ids[ORDERS];
    int64_t mugs = 0, teas = 0, reserved = 0;

    products_shop_stock(shop, "mug", 60);
    products_shop_stock(shop, "tea", 25);
    for (int i = 0; i < ORDERS; i++) {
        ids[i] = id_new();
        sent[i] = (struct sent_event){
            PLACED,
            order_placed(t, ids[i], 1, LINES({ "mug", 1 + i % 3 }, { i % 2 ? "tea" : "mug", 1 }))
        };
    }
    products_shop_send(shop, sent, ORDERS);
    for (int i = 0; i < ORDERS; i++) {
        CHECK(inline_until(is_answered, &(struct asked){ shop, key_of(t, ids[i]) }));
        if (products_shop_heard(shop, RESERVED, key_of(t, ids[i]), 1)) {
            reserved++;
            mugs += 1 + i % 3 + (i % 2 ? 0 : 1);
            teas += i % 2;
        }
    }
    check_units(shop, "mug", 60, mugs);
    check_units(shop, "tea", 25, teas);
    CHECK(reserved > 0 && reserved < ORDERS);
    CHECK(products_shop_units(shop, "mug").available < 4);
}

TEST(an_event_that_comes_again_has_no_effect)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();
    struct line_of_order lines[] = { { "mug", 2 }, { NULL, 0 } };

    products_shop_stock(shop, "mug", 10);
    for (int i = 0; i < 3; i++)
        products_shop_send_one(shop, PLACED, order_placed(t, order, 1, lines));
    check_units(shop, "mug", 10, 2);
    for (int i = 0; i < 3; i++)
        products_shop_send_one(shop, SHIPPED, order_shipped(t, order, 2, LINES({ "mug", 1 })));
    check_units(shop, "mug", 9, 1);
    for (int i = 0; i < 3; i++)
        products_shop_send_one(shop, CLOSED, order_closed(t, order, 3));
    check_units(shop, "mug", 9, 0);
    for (int i = 0; i < 3; i++)
        products_shop_send_one(shop, RETURNED, order_returned(t, order, 4, LINES({ "mug", 1 })));
    check_units(shop, "mug", 10, 0);
    products_shop_check_ledger(shop, "mug");
    products_shop_hears(shop, RESERVED, key_of(t, order), 1);
    CHECK(!products_shop_heard(shop, RESERVED, key_of(t, order), 2));
}

TEST(an_order_placed_twice_under_two_numbers_is_held_once)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();

    products_shop_stock(shop, "mug", 10);
    products_shop_send_one(shop, PLACED, order_placed(t, order, 1, LINES({ "mug", 2 })));
    products_shop_send_one(shop, PLACED, order_placed(t, order, 2, LINES({ "mug", 2 })));
    check_units(shop, "mug", 10, 2);
}

TEST(closing_frees_what_is_held)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();

    products_shop_stock(shop, "mug", 3);
    products_shop_send_one(shop, PLACED, order_placed(t, order, 1, LINES({ "mug", 3 })));
    CHECK_STR(shown(shop, "mug"), "out");
    products_shop_send_one(shop, CLOSED, order_closed(t, order, 2));
    check_units(shop, "mug", 3, 0);
    CHECK_STR(shown(shop, "mug"), "low");
}

TEST(an_order_closed_before_it_was_placed_is_refused)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();

    products_shop_stock(shop, "mug", 3);
    products_shop_send_one(shop, CLOSED, order_closed(t, order, 1));
    products_shop_send_one(shop, PLACED, order_placed(t, order, 2, LINES({ "mug", 3 })));
    const Products__StockRefused *refused = products_shop_hears(shop, REFUSED, key_of(t, order), 1);
    CHECK_INT(refused->n_lines, 0);
    check_units(shop, "mug", 3, 0);
}

static bool is_shipped(void *subject) { return products_shop_units(subject, "mug").on_hand == 1; }

TEST(events_out_of_order_have_their_effect_in_order)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();

    products_shop_stock(shop, "mug", 3);
    products_shop_send_one(shop, SHIPPED, order_shipped(t, order, 2, LINES({ "mug", 2 })));
    check_units(shop, "mug", 3, 0);
    products_shop_send_one(shop, PLACED, order_placed(t, order, 1, LINES({ "mug", 2 })));
    CHECK(inline_until(is_shipped, shop));
    check_units(shop, "mug", 1, 0);
    products_shop_check_ledger(shop, "mug");
}

TEST(units_leave_and_come_back_through_the_ledger)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new();
    struct answer_seen ledger;

    products_shop_stock(shop, "mug", 10);
    products_shop_stock(shop, "tea", 4);
    products_shop_send_one(shop, PLACED,
                           order_placed(t, order, 1, LINES({ "mug", 5 }, { "tea", 1 })));
    products_shop_send_one(shop, SHIPPED, order_shipped(t, order, 2, LINES({ "mug", 2 })));
    check_units(shop, "mug", 8, 3);
    products_shop_send_one(shop, SHIPPED,
                           order_shipped(t, order, 3, LINES({ "mug", 3 }, { "tea", 1 })));
    check_units(shop, "mug", 5, 0);
    check_units(shop, "tea", 3, 0);
    products_shop_send_one(shop, RETURNED, order_returned(t, order, 4, LINES({ "mug", 4 })));
    check_units(shop, "mug", 9, 0);

    ledger = inline_get(&shop->staff, "/products/stock/mug/ledger");
    CHECK_STR(inline_text(t, &ledger, "/items"), "4");
    CHECK_STR(inline_text(t, &ledger, "/items/0/kind"), "returned");
    CHECK_STR(inline_text(t, &ledger, "/items/0/delta"), "4");
    CHECK_STR(inline_text(t, &ledger, "/items/1/kind"), "shipped");
    CHECK_STR(inline_text(t, &ledger, "/items/1/delta"), "-3");
    CHECK_STR(inline_text(t, &ledger, "/items/1/order_id"), key_of(t, order));
    products_shop_check_ledger(shop, "mug");
    products_shop_check_ledger(shop, "tea");
}

TEST(more_than_is_held_is_never_shipped)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid order = id_new(), other = id_new();

    products_shop_stock(shop, "mug", 10);
    products_shop_send_one(shop, PLACED, order_placed(t, order, 1, LINES({ "mug", 2 })));
    products_shop_send_one(shop, PLACED, order_placed(t, other, 1, LINES({ "mug", 5 })));
    products_shop_send_one(shop, SHIPPED, order_shipped(t, order, 2, LINES({ "mug", 3 })));
    check_units(shop, "mug", 10, 7);
    products_shop_check_ledger(shop, "mug");
}

TEST(the_books_survive_a_restart)
{
    struct products_shop *shop = products_shop_open_alone(t, NULL);

    products_shop_stock(shop, "mug", 10);
    adjust(shop, "mug", "{\"delta\":-3,\"reason\":\"lost\"}");
    products_shop_restart(shop);
    check_units(shop, "mug", 7, 0);
    products_shop_check_ledger(shop, "mug");
}

/* ---- what is forgotten ---- */

static err sweep_all(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    int64_t dropped;
    CHECK_INT(count, 1);
    outcomes[0] = store_sweep_reservations(tx, *(time_us *)writes[0]->subject, 100, &dropped);
    return OK;
}

static void sweep(struct products_shop *shop)
{
    struct call *call = service_job_open(products_service(shop->products), "test");
    time_us before = call->now + TIME_SECOND;

    CHECK_OK(job_write(call, write_new(call->arena, sweep_all, &before)));
    service_job_close(call);
}

TEST(what_is_over_is_forgotten_but_not_what_is_held)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct uuid open = id_new(), refused = id_new(), away = id_new();
    struct line_of_order two[] = { { "mug", 2 }, { NULL, 0 } };

    products_shop_stock(shop, "mug", 6);
    products_shop_send_one(shop, PLACED, order_placed(t, open, 1, two));
    products_shop_send_one(shop, PLACED, order_placed(t, refused, 1, LINES({ "mug", 9 })));
    products_shop_send_one(shop, PLACED, order_placed(t, away, 1, two));
    products_shop_send_one(shop, SHIPPED, order_shipped(t, away, 2, LINES({ "mug", 1 })));
    sweep(shop);
    check_units(shop, "mug", 5, 3); /* nothing that is held went */
    products_shop_send_one(shop, CLOSED, order_closed(t, away, 3));
    products_shop_send_one(shop, RETURNED, order_returned(t, away, 4, LINES({ "mug", 1 })));
    check_units(shop, "mug", 6, 2);
    sweep(shop);
    products_shop_send_one(shop, SHIPPED, order_shipped(t, open, 2, two));
    check_units(shop, "mug", 4, 0);
    products_shop_check_ledger(shop, "mug");
    sweep(shop);
    products_shop_send_one(shop, RETURNED, order_returned(t, open, 3, LINES({ "mug", 1 })));
    check_units(shop, "mug", 4, 0); /* its head went, too: this waits for what came before it */
}

/* ---- neighbours ---- */

TEST(neighbours_hear_what_skus_cost)
{
    struct products_shop *shop = products_shop_open(t, NULL);
    struct call *call = service_job_open(products_service(shop->products), "test");
    struct client *client = client_open_inline(products_service(shop->products));
    Products__QuoteRequest *in = message_new(t->arena, &products_quote_request_spec);
    ProtobufCBinaryData skus[] = { field_of(STR("tea")), field_of(STR("ghost")),
                                   field_of(STR("mug")) };
    const Products__QuoteResponse *out;

    products_shop_stock(shop, "mug", 1);
    products_shop_stock(shop, "tea", 0);
    products_shop_delete(shop, "/products/tea");
    in->skus = skus;
    in->n_skus = 3;
    CHECK_OK(products_client_quote(client, call, in, &out));
    CHECK_INT(out->n_items, 2);
    CHECK_STR(text_of(out->items[0]->sku), "tea");
    CHECK(!out->items[0]->for_sale);
    CHECK_INT(out->items[0]->number, 2);
    CHECK_STR(text_of(out->items[1]->title), "mug");
    CHECK_INT(out->items[1]->price->amount, 450);
    CHECK(out->items[1]->for_sale);
    CHECK_INT(out->items[1]->number, 1);
    client_close(client);
    service_job_close(call);
}

TEST(neighbours_are_not_let_in_from_outside)
{
    struct products_shop *shop = products_shop_open(t, NULL);

    CHECK_PROBLEM(inline_post(&shop->staff, "/products.v1.Products/Quote", "{}"), 404,
                  "route.unknown");
}
