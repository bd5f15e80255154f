/* What happens to an order after it was placed: money, cancelling, shipping, giving back. */
#include "tests/api/orders_shop.h"

#define MUG(n) "{\"sku\":\"mug\",\"quantity\":" #n "}"
#define CALLBACK                                                                    \
    "{\"event_id\":\"e1\",\"payment_id\":\"01890000-0000-7000-8000-000000000001\"," \
    "\"status\":\"captured\"}"
#define MANUAL(n) "{\"lines\":[" MUG(n) "],\"payment\":{\"provider\":\"manual\"}}"

static struct answer_seen act(struct orders_shop *shop, struct inline_client *client,
                              const char *id, const char *what, const char *body)
{
    static int keys; /* every act is an intention of its own */
    struct arena *arena = shop->t->arena;
    const char *target = str_z(arena, str_format(arena, "/orders/%s/%s", id, what));
    const char *key = str_z(arena, str_format(arena, "act-%d", ++keys));
    return orders_shop_post(client, target, str_of_z(body), key, NULL);
}

TEST(a_manual_order_waits_reserved_until_staff_records_the_whole_amount)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, STR(MANUAL(2)), "k1", 201);
    orders_shop_until(shop, id, "/status", "reserved");
    CHECK_PROBLEM(act(shop, &shop->staff, id, "payments",
                      "{\"amount\":{\"amount\":899,\"currency\":\"EUR\"}}"),
                  422, "payment.amount");
    CHECK_PROBLEM(act(shop, &shop->shopper, id, "payments",
                      "{\"amount\":{\"amount\":900,\"currency\":\"EUR\"}}"),
                  403, "auth.role_missing");
    struct answer_seen paid = act(shop, &shop->staff, id, "payments",
                                  "{\"amount\":{\"amount\":900,\"currency\":\"EUR\"}}");
    CHECK_STATUS(paid, 200);
    CHECK_STR(inline_text(t, &paid, "/status"), "confirmed");
    CHECK_STR(inline_text(t, &paid, "/payment_status"), "captured");
    CHECK_PROBLEM(act(shop, &shop->staff, id, "payments",
                      "{\"amount\":{\"amount\":900,\"currency\":\"EUR\"}}"),
                  409, "order.state");

    /* Cancelled by its buyer, the money goes back by hand. */
    struct answer_seen cancelled =
        act(shop, &shop->shopper, id, "cancel", "{\"reason\":\"too slow\"}");
    CHECK_STR(inline_text(t, &cancelled, "/status"), "cancelling");
    CHECK_STATUS(act(shop, &shop->staff, id, "refunds", "{}"), 200);
    orders_shop_until(shop, id, "/status", "cancelled");
    orders_shop_until(shop, id, "/paid/amount", "0");
    orders_shop_stock(shop, "mug", 5, 0);
}

TEST(a_hold_ends_and_its_stock_is_free_again)
{
    struct orders_shop *shop = orders_shop_open(t, (const char *const[]){ "HOLD_TIME=1s", NULL });
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, STR(MANUAL(2)), "k1", 201);
    orders_shop_stock(shop, "mug", 5, 2);
    orders_shop_until(shop, id, "/status", "cancelled");
    orders_shop_until(shop, id, "/reason", "hold.expired");
    orders_shop_stock(shop, "mug", 5, 0);
}

TEST(a_payment_whose_answer_never_came_is_asked_again_until_it_is_known)
{
    struct orders_shop *shop =
        orders_shop_open(t, (const char *const[]){ "PAYMENT_TIMEOUT=200ms", NULL });
    orders_shop_sell(shop, "mug", 9);
    const char *yes = orders_shop_place(shop, orders_shop_body(shop, MUG(1), "timeout"), "k1", 201);
    orders_shop_until(shop, yes, "/payment_status", "captured");
    const char *no =
        orders_shop_place(shop, orders_shop_body(shop, MUG(1), "timeout-decline"), "k2", 402);
    orders_shop_until(shop, no, "/status", "rejected");
    orders_shop_stock(shop, "mug", 9, 1);
}

TEST(an_authorization_that_lapses_before_its_capture_cancels_the_order_and_frees_its_stock)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *lost = orders_shop_place(shop, orders_shop_body(shop, MUG(2), "lapse"), "k1", 201);
    const char *kept =
        orders_shop_place(shop, orders_shop_body(shop, MUG(1), "approve"), "k2", 201);
    orders_shop_until(shop, lost, "/status", "cancelled");
    orders_shop_until(shop, lost, "/reason", "payment.voided");
    orders_shop_until(shop, lost, "/paid/amount", "0");
    orders_shop_until(shop, kept, "/payment_status", "captured");
    orders_shop_stock(shop, "mug", 5, 1);
}

TEST(a_callback_alone_confirms_or_rejects_and_its_repeat_changes_nothing)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 9);
    const char *yes = orders_shop_place(shop, orders_shop_body(shop, MUG(1), "webhook"), "k1", 201);
    const char *no =
        orders_shop_place(shop, orders_shop_body(shop, MUG(1), "webhook-decline"), "k2", 402);
    const char *twice = orders_shop_place(shop, orders_shop_body(shop, MUG(1), "twice"), "k3", 201);
    orders_shop_until(shop, yes, "/payment_status", "captured");
    orders_shop_until(shop, no, "/payment_status", "declined");
    orders_shop_until(shop, twice, "/payment_status", "captured");
    orders_shop_stock(shop, "mug", 9, 2);
}

TEST(a_callback_needs_the_signature_of_its_provider)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    struct sha256 mac = hmac_sha256(STR("simulator-secret"), STR(CALLBACK));
    str signature = hex(t->arena, str_of(mac.bytes, sizeof mac.bytes));
    const char *right =
        str_z(t->arena, str_format(t->arena, "simulator-signature: %" STR_F, STR_A(signature)));
    static const char target[] = "/orders/payments/simulator/events";
    CHECK_PROBLEM(inline_request(&shop->anyone, "POST", target, NULL, STR(CALLBACK)), 401,
                  "payment.signature");
    CHECK_PROBLEM(inline_request(&shop->anyone, "POST", target,
                                 (const char *const[]){ "simulator-signature: 00", NULL },
                                 STR(CALLBACK)),
                  401, "payment.signature");
    CHECK_STATUS(inline_request(&shop->anyone, "POST", target, (const char *const[]){ right, NULL },
                                STR(CALLBACK)),
                 204);
    CHECK_PROBLEM(inline_request(&shop->anyone, "POST", "/orders/payments/bank/events",
                                 (const char *const[]){ right, NULL }, STR(CALLBACK)),
                  404, "not_found");
}

TEST(a_confirmed_order_can_be_cancelled_once_and_nets_zero)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, orders_shop_body(shop, MUG(2), "approve"), "k1", 201);
    CHECK_STATUS(act(shop, &shop->shopper, id, "cancel", "{}"), 200);
    orders_shop_until(shop, id, "/status", "cancelled");
    orders_shop_until(shop, id, "/paid/amount", "0");
    orders_shop_stock(shop, "mug", 5, 0);
    CHECK_PROBLEM(act(shop, &shop->shopper, id, "cancel", "{}"), 409, "order.state");
}

TEST(parcels_take_units_off_the_shelf_and_the_last_one_completes_the_order)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, orders_shop_body(shop, MUG(3), "approve"), "k1", 201);
    CHECK_PROBLEM(act(shop, &shop->staff, id, "fulfilments", "{\"lines\":[" MUG(4) "]}"), 422,
                  "fulfilment.invalid");
    struct answer_seen part =
        act(shop, &shop->staff, id, "fulfilments", "{\"lines\":[" MUG(1) "],\"tracking\":\"T1\"}");
    CHECK_STATUS(part, 200);
    CHECK_STR(inline_text(t, &part, "/fulfilment_status"), "partial");
    CHECK_STR(inline_text(t, &part, "/fulfilments/0/tracking"), "T1");
    orders_shop_stock(shop, "mug", 4, 2);
    CHECK_PROBLEM(act(shop, &shop->shopper, id, "cancel", "{}"), 409, "order.state");
    orders_shop_until(shop, id, "/payment_status", "captured");
    CHECK_STATUS(act(shop, &shop->staff, id, "fulfilments", "{}"), 200);
    orders_shop_until(shop, id, "/status", "completed");
    orders_shop_stock(shop, "mug", 2, 0);
    CHECK_PROBLEM(act(shop, &shop->staff, id, "fulfilments", "{}"), 409, "order.state");
}

TEST(an_order_is_delivered_after_its_last_parcel_has_left)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, orders_shop_body(shop, MUG(2), "approve"), "k1", 201);
    CHECK_PROBLEM(act(shop, &shop->staff, id, "deliveries", "{}"), 409, "order.state");
    CHECK_STATUS(act(shop, &shop->staff, id, "fulfilments", "{}"), 200);
    struct answer_seen delivered = act(shop, &shop->staff, id, "deliveries", "{}");
    CHECK_STATUS(delivered, 200);
    CHECK_STR(inline_text(t, &delivered, "/fulfilment_status"), "delivered");
    CHECK_PROBLEM(act(shop, &shop->staff, id, "deliveries", "{}"), 409, "order.state");
    CHECK_PROBLEM(act(shop, &shop->shopper, id, "deliveries", "{}"), 403, "auth.role_missing");
}

TEST(a_refund_gives_all_back_and_restock_puts_shipped_units_on_the_shelf)
{
    struct orders_shop *shop = orders_shop_open(t, NULL);
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, orders_shop_body(shop, MUG(3), "approve"), "k1", 201);
    orders_shop_until(shop, id, "/payment_status", "captured");
    CHECK_STATUS(act(shop, &shop->staff, id, "fulfilments", "{\"lines\":[" MUG(2) "]}"), 200);
    CHECK_STATUS(act(shop, &shop->staff, id, "refunds", "{\"restock\":true}"), 200);
    orders_shop_until(shop, id, "/payment_status", "refunded");
    orders_shop_until(shop, id, "/fulfilment_status", "returned");
    orders_shop_until(shop, id, "/paid/amount", "0");
    orders_shop_stock(shop, "mug", 5, 0);
    CHECK_PROBLEM(act(shop, &shop->staff, id, "refunds", "{}"), 409, "refund.invalid");
}

TEST(money_is_captured_with_the_first_parcel_where_the_setting_says_so)
{
    struct orders_shop *shop =
        orders_shop_open(t, (const char *const[]){ "PAYMENT_CAPTURE=fulfil", NULL });
    orders_shop_sell(shop, "mug", 5);
    const char *id = orders_shop_place(shop, orders_shop_body(shop, MUG(1), "approve"), "k1", 201);
    orders_shop_until(shop, id, "/payment_status", "authorized");
    CHECK_STATUS(act(shop, &shop->staff, id, "fulfilments", "{}"), 200);
    orders_shop_until(shop, id, "/payment_status", "captured");
    orders_shop_until(shop, id, "/status", "completed");
}
