/* Users, products and orders together, inline, for the api tests of orders: a fresh folder, a bus
 * that runs, a shopper, another one, and staff. */
#pragma once
#include "services/orders/service.h"
#include "services/products/service.h"
#include "services/users/service.h"
#include "tests/lib/inline.h"

struct orders_shop {
    struct test *t;
    struct house *house;
    struct users *users;
    struct products *products;
    struct orders *orders;
    struct inline_client shopper, other, staff, anyone; /* of orders */
    struct inline_client catalog;                       /* staff, of products */
};

/* Opens the shop with settings ("NAME=value", ended by NULL, or NULL). Closed when the test ends.
 */
struct orders_shop *orders_shop_open(struct test *t, const char *const *settings);

/* The same; `prepare` is called when all is open and nothing runs yet. */
struct orders_shop *orders_shop_open_with(struct test *t, const char *const *settings,
                                          void (*prepare)(struct orders_shop *shop));

/* Puts a product with one variant on sale; its price is 4.50 EUR. */
void orders_shop_sell(struct orders_shop *shop, const char *sku, int on_hand);

/* A body for POST /orders: `lines` as JSON ("{\"sku\":\"mug\",\"quantity\":1}"), simulator's token.
 */
str orders_shop_body(struct orders_shop *shop, const char *lines, const char *token);

/* POSTs with an Idempotency-Key; `prefer` may be NULL. */
struct answer_seen orders_shop_post(struct inline_client *client, const char *target, str body,
                                    const char *key, const char *prefer);

/* Places an order that must be answered so; its id. */
const char *orders_shop_place(struct orders_shop *shop, str body, const char *key, int status);

/* Waits until the order shows this text at a JSON pointer; fails the test if it never does. */
void orders_shop_until(struct orders_shop *shop, const char *id, const char *pointer,
                       const char *text);

/* Checks what a SKU shows: on hand and reserved; waits for it. */
void orders_shop_stock(struct orders_shop *shop, const char *sku, int on_hand, int reserved);
