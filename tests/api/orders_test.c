/* Placing, and its answers. */
#include "os/clock.h"
#include "os/sync.h"
#include "tests/api/orders_shop.h"

#define MUG(n) "{\"sku\":\"mug\",\"quantity\":" #n "}"

static const char *path(struct test *t, const char *format, const char *id)
{
    struct text out = text_init(t->arena, 128);
    for (; *format; format++) {
        if (*format == '$')
            text_add(&out, str_of_z(id));
        else
            text_add_byte(&out, *format);
    }
    return str_z(t->arena, text_str(&out));
}

TEST(a_placed_order_is_confirmed_then_captured_and_its_timeline_tells_each_state)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, orders_shop_body(shop, MUG(2), "approve"), "k1", 201);

    struct answer_seen order = inline_get(&shop->shopper, path(t, "/orders/$", id));
    CHECK_STATUS(order, 200);
    CHECK_STR(inline_header(&order, "cache-control"), "no-store");
    CHECK_STR(inline_text(t, &order, "/status"), "confirmed");
    CHECK_STR(inline_text(t, &order, "/total/amount"), "900");
    CHECK_STR(inline_text(t, &order, "/lines/0/title"), "mug");
    orders_shop_until(shop, id, "/payment_status", "captured");
    orders_shop_until(shop, id, "/paid/amount", "900");
    orders_shop_stock(shop, "mug", 5, 2);

    struct answer_seen timeline = inline_get(&shop->shopper, path(t, "/orders/$/timeline", id));
    static const char *const steps[] = { "placed",          "reserved",
                                         "payment.pending", "payment.authorized",
                                         "confirmed",       "payment.captured" };
    CHECK_STR(inline_text(t, &timeline, "/items"), "6");
    for (int i = 0; i < 6; i++)
        CHECK_STR(
            inline_text(t, &timeline, str_z(t->arena, str_format(t->arena, "/items/%d/what", i))),
            steps[i]);
}

TEST(a_repeated_key_hears_the_first_answer_and_makes_no_second_order)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    str body = orders_shop_body(shop, MUG(1), "approve");
    struct answer_seen first = orders_shop_post(&shop->shopper, "/orders", body, "k1", "wait=10");
    struct answer_seen again = orders_shop_post(&shop->shopper, "/orders", body, "k1", NULL);
    CHECK_STATUS(first, 201);
    CHECK_STATUS(again, 201);
    CHECK(str_equal(first.body, again.body));
    CHECK(!inline_header(&first, "idempotent-replayed").ptr);
    CHECK_STR(inline_header(&again, "idempotent-replayed"), "true");
    struct answer_seen list = inline_get(&shop->shopper, "/orders");
    CHECK_STR(inline_text(t, &list, "/items"), "1");

    /* Another caller's key is another key. */
    CHECK_STATUS(orders_shop_post(&shop->other, "/orders", body, "k1", "wait=10"), 201);
}

TEST(a_key_is_required_and_belongs_to_its_body)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    str one = orders_shop_body(shop, MUG(1), "approve"),
        two = orders_shop_body(shop, MUG(2), "approve");
    CHECK_PROBLEM(orders_shop_post(&shop->shopper, "/orders", one, NULL, NULL), 400,
                  "idempotency.key_required");
    CHECK_STATUS(orders_shop_post(&shop->shopper, "/orders", one, "k1", "wait=10"), 201);
    CHECK_PROBLEM(orders_shop_post(&shop->shopper, "/orders", two, "k1", NULL), 422,
                  "idempotency.key_reused");
    orders_shop_stock(shop, "mug", 5, 1);
}

TEST(too_little_stock_names_every_short_line_and_holds_nothing)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 2);
    orders_shop_sell(shop, "pot", 1);
    orders_shop_sell(shop, "cup", 9);
    str body = orders_shop_body(
        shop, MUG(3) ",{\"sku\":\"cup\",\"quantity\":1},{\"sku\":\"pot\",\"quantity\":2}",
        "approve");
    struct answer_seen answer = orders_shop_post(&shop->shopper, "/orders", body, "k1", "wait=10");
    CHECK_PROBLEM(answer, 409, "stock.insufficient");
    CHECK_STR(inline_text(t, &answer, "/errors"), "2");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/lines/0/quantity");
    CHECK_STR(inline_text(t, &answer, "/errors/1/pointer"), "/lines/2/quantity");
    const char *id = str_z(t->arena, inline_text(t, &answer, "/subject"));
    orders_shop_until(shop, id, "/status", "rejected");
    orders_shop_until(shop, id, "/reason", "stock.insufficient");
    orders_shop_stock(shop, "cup", 9, 0);

    struct answer_seen again = orders_shop_post(&shop->shopper, "/orders", body, "k1", NULL);
    CHECK_PROBLEM(again, 409, "stock.insufficient");
    CHECK_STR(inline_text(t, &again, "/errors"), "2");
    CHECK_STR(inline_header(&again, "idempotent-replayed"), "true");
}

TEST(a_sku_on_two_lines_is_wanted_as_often_as_both_say)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    CHECK_PROBLEM(orders_shop_post(&shop->shopper, "/orders",
                                   orders_shop_body(shop, MUG(3) "," MUG(3), "approve"), "k1",
                                   "wait=10"),
                  409, "stock.insufficient");
    orders_shop_place(shop, orders_shop_body(shop, MUG(3) "," MUG(2), "approve"), "k2", 201);
    orders_shop_stock(shop, "mug", 5, 5);
}

TEST(a_declined_payment_rejects_the_order_and_frees_its_stock)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, orders_shop_body(shop, MUG(2), "decline"), "k1", 402);
    orders_shop_until(shop, id, "/status", "rejected");
    orders_shop_until(shop, id, "/payment_status", "declined");
    orders_shop_stock(shop, "mug", 5, 0);
}

TEST(lines_tokens_providers_and_totals_that_do_not_fit_are_refused_by_name)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    struct answer_seen answer = orders_shop_post(
        &shop->shopper, "/orders",
        orders_shop_body(shop, MUG(1) ",{\"sku\":\"none\",\"quantity\":1}", "approve"), "k1", NULL);
    CHECK_PROBLEM(answer, 422, "order.sku_unknown");
    CHECK_STR(inline_text(t, &answer, "/errors/0/pointer"), "/lines/1/sku");

    CHECK_PROBLEM(orders_shop_post(&shop->shopper, "/orders",
                                   orders_shop_body(shop, MUG(1), "what"), "k2", NULL),
                  422, "payment.token_invalid");
    CHECK_PROBLEM(
        orders_shop_post(&shop->shopper, "/orders",
                         STR("{\"lines\":[" MUG(1) "],\"payment\":{\"provider\":\"bank\"}}"), "k3",
                         NULL),
        422, "payment.provider_unknown");
    CHECK_PROBLEM(
        orders_shop_post(
            &shop->shopper, "/orders",
            STR("{\"lines\":[" MUG(1) "],\"payment\":{\"provider\":\"manual\"},"
                                      "\"expected_total\":{\"amount\":449,\"currency\":\"EUR\"}}"),
            "k4", NULL),
        409, "price.changed");
    CHECK_STATUS(
        orders_shop_post(
            &shop->shopper, "/orders",
            STR("{\"lines\":[" MUG(1) "],\"payment\":{\"provider\":\"manual\"},"
                                      "\"expected_total\":{\"amount\":450,\"currency\":\"EUR\"}}"),
            "k5", "wait=10"),
        201);
    orders_shop_stock(shop, "mug", 5, 1);
}

static void reprice(struct orders_shop *shop, const char *sku, int amount)
{
    struct test *t = shop->t;
    struct arena *arena = t->arena;
    struct answer_seen seen =
        inline_get(&shop->catalog, str_z(arena, str_format(arena, "/products/%s", sku)));
    CHECK_STATUS(seen, 200);
    str id = inline_text(t, &seen, "/id"), tag = inline_header(&seen, "etag");
    const char *headers[] = { str_z(arena, str_format(arena, "if-match: %" STR_F, STR_A(tag))),
                              NULL };
    str body = str_format(
        arena, "{\"variants\":[{\"sku\":\"%s\",\"price\":{\"amount\":%d,\"currency\":\"EUR\"}}]}",
        sku, amount);
    const char *target = str_z(arena, str_format(arena, "/products/%" STR_F, STR_A(id)));
    CHECK_STATUS(inline_request(&shop->catalog, "PATCH", target, headers, body), 200);
}

/* The first order leaves the price in memory. */
TEST(an_order_has_the_price_of_now_also_where_another_was_read_before)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 50);
    str manual = STR("{\"lines\":[" MUG(1) "],\"payment\":{\"provider\":\"manual\"}}");
    CHECK_STATUS(orders_shop_post(&shop->shopper, "/orders", manual, "k1", "wait=10"), 201);
    CHECK_STATUS(orders_shop_post(&shop->shopper, "/orders", manual, "k2", "wait=10"), 201);
    reprice(shop, "mug", 500);
    const char *total = "450";
    for (int i = 0; i < 500 && strcmp(total, "450") == 0; i++) {
        const char *key = str_z(t->arena, str_format(t->arena, "again-%d", i));
        struct answer_seen answer =
            orders_shop_post(&shop->shopper, "/orders", manual, key, "respond-async");
        CHECK_STATUS(answer, 202);
        total = str_z(t->arena, str_copy(t->arena, inline_text(t, &answer, "/total/amount")));
        sleep_until(clock_mono_us() + 10000);
    }
    CHECK_STR(str_of_z(total), "500");
}

TEST(respond_async_answers_202_and_the_order_settles_by_itself)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    str body = orders_shop_body(shop, MUG(1), "approve");
    struct answer_seen answer =
        orders_shop_post(&shop->shopper, "/orders", body, "k1", "respond-async");
    CHECK_STATUS(answer, 202);
    const char *id = str_z(t->arena, inline_text(t, &answer, "/id"));
    CHECK_STR(inline_header(&answer, "location"), path(t, "/orders/$", id));
    orders_shop_until(shop, id, "/status", "confirmed");
    struct answer_seen again = orders_shop_post(&shop->shopper, "/orders", body, "k1", "wait=10");
    CHECK_STATUS(again, 202);
    CHECK(str_equal(again.body, answer.body));
}

TEST(an_order_belongs_to_its_buyer_and_to_staff)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, orders_shop_body(shop, MUG(1), "approve"), "k1", 201);
    static const char *const targets[] = { "/orders/$", "/orders/$/timeline" };
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(inline_get(&shop->shopper, path(t, targets[i], id)), 200);
        CHECK_STATUS(inline_get(&shop->staff, path(t, targets[i], id)), 200);
        CHECK_PROBLEM(inline_get(&shop->other, path(t, targets[i], id)), 404, "not_found");
        CHECK_PROBLEM(inline_get(&shop->anyone, path(t, targets[i], id)), 401,
                      "auth.token_missing");
    }
    CHECK_PROBLEM(
        orders_shop_post(&shop->other, path(t, "/orders/$/cancel", id), STR("{}"), "c", NULL), 404,
        "not_found");
    static const char *const of_staff[] = { "/orders/$/fulfilments", "/orders/$/refunds" };
    for (int i = 0; i < 2; i++)
        CHECK_PROBLEM(
            orders_shop_post(&shop->shopper, path(t, of_staff[i], id), STR("{}"), "s", NULL), 403,
            "auth.role_missing");
    CHECK_PROBLEM(inline_get(&shop->shopper, "/orders?scope=all"), 403, "auth.role_missing");
    CHECK_STATUS(inline_get(&shop->staff, "/orders?scope=all"), 200);
}

TEST(history_is_paged_newest_first_and_a_changed_cursor_is_refused)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 50);
    for (int i = 0; i < 5; i++)
        orders_shop_place(shop, orders_shop_body(shop, MUG(1), "approve"),
                          str_z(t->arena, str_format(t->arena, "k%d", i)), 201);
    str seen[5], next = STR("");
    int count = 0;
    for (int page = 0; page < 3; page++) {
        struct answer_seen list = inline_get(
            &shop->shopper, str_z(t->arena, str_format(t->arena, "/orders?limit=2%s%" STR_F,
                                                       next.len ? "&after=" : "", STR_A(next))));
        CHECK_STATUS(list, 200);
        for (int i = 0; i < (page < 2 ? 2 : 1); i++)
            seen[count++] =
                inline_text(t, &list, str_z(t->arena, str_format(t->arena, "/items/%d/id", i)));
        next = inline_text(t, &list, "/next");
        CHECK((next.len > 0) == (page < 2));
        if (page == 0)
            CHECK_PROBLEM(
                inline_get(
                    &shop->shopper,
                    str_z(t->arena, str_format(t->arena, "/orders?status=placed&after=%" STR_F,
                                               STR_A(next)))),
                400, "cursor.invalid");
    }
    for (int i = 1; i < 5; i++)
        CHECK(str_compare(seen[i - 1], seen[i]) > 0);
    CHECK_PROBLEM(inline_get(&shop->shopper, "/orders?after=AAAAAAAAAAAAAAAA"), 400,
                  "cursor.invalid");
}

enum { BUYERS = 60 };

TEST(one_of_many_buyers_gets_the_last_unit_and_all_others_hear_so_in_their_first_answer)
{
    struct orders_shop *shop = orders_shop_open(t, (const char *const[]){ "QUEUE_MAX=4096", NULL });
    orders_shop_sell(shop, "mug", 1);
    struct inline_pending *pending[BUYERS];
    for (int i = 0; i < BUYERS; i++) {
        const char *key = str_z(t->arena, str_format(t->arena, "idempotency-key: b%d", i));
        pending[i] = inline_send(&shop->shopper, "POST", "/orders",
                                 (const char *const[]){ key, "prefer: wait=10", NULL },
                                 orders_shop_body(shop, MUG(1), "approve"));
    }
    int won = 0, lost = 0;
    for (int i = 0; i < BUYERS; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        won += answer.status == 201;
        lost += answer.status == 409;
        if (answer.status == 409)
            CHECK_PROBLEM(answer, 409, "stock.insufficient");
    }
    CHECK_INT(won, 1);
    CHECK_INT(lost, BUYERS - 1);
    orders_shop_stock(shop, "mug", 1, 1);
}

/* ---- more orders than come through ---- */

enum { FLOOD = 600 };

/* So many at once, behind one that has come through; gives the answer of the last that was refused,
 * and its key. */
static struct answer_seen flood(struct test *t, struct orders_shop *shop, int round,
                                const char **key)
{
    struct inline_pending *pending[FLOOD];
    const char *keys[FLOOD];
    struct answer_seen refused = { 0 };
    str body = orders_shop_body(shop, MUG(1), "approve");

    keys[0] = str_z(t->arena, str_format(t->arena, "first-%d", round));
    (void)orders_shop_post(&shop->shopper, "/orders", body, keys[0], "wait=10");
    for (int i = 0; i < FLOOD; i++) {
        keys[i] = str_z(t->arena, str_format(t->arena, "flood-%d-%d", round, i));
        pending[i] =
            inline_send(&shop->shopper, "POST", "/orders",
                        (const char *const[]){
                            str_z(t->arena, str_format(t->arena, "idempotency-key: %s", keys[i])),
                            "prefer: respond-async", NULL },
                        body);
    }
    for (int i = 0; i < FLOOD; i++) {
        struct answer_seen answer = inline_wait(pending[i]);
        CHECK(answer.status == 202 || answer.status == 503);
        if (answer.status == 503) {
            refused = answer;
            *key = keys[i];
        }
    }
    return refused;
}

TEST(of_more_orders_than_come_through_some_hear_503_and_come_again)
{
    struct orders_shop *shop = orders_shop_open(t, (const char *const[]){ "QUEUE_MAX=4096", NULL });
    orders_shop_sell(shop, "mug", 100000);
    struct answer_seen answer = { 0 };
    const char *key = "";
    int64_t until_us = clock_mono_us() + 20 * TIME_SECOND;
    for (int i = 0; answer.status != 503; i++) {
        CHECK(clock_mono_us() < until_us);
        answer = flood(t, shop, i, &key);
    }
    CHECK_PROBLEM(answer, 503, "call.overloaded");
    CHECK_STR(inline_header(&answer, "retry-after"), "1");
    CHECK_STATUS(inline_get(&shop->shopper, "/orders"), 200); /* what is no burden is served */
    until_us = clock_mono_us() + 20 * TIME_SECOND;
    while (answer.status == 503) {
        CHECK(clock_mono_us() < until_us);
        answer = orders_shop_post(&shop->shopper, "/orders",
                                  orders_shop_body(shop, MUG(1), "approve"), key, "wait=10");
    }
    CHECK_STATUS(answer, 201);
}
