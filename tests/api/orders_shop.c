#include "tests/api/orders_shop.h"
#include "os/random.h"

static void close_shop(void *subject)
{
    struct orders_shop *shop = subject;
    orders_stop(shop->orders);
    products_stop(shop->products);
    bus_stop(shop->house->bus);
    orders_close(shop->orders);
    products_close(shop->products);
    users_close(shop->users);
}

static struct inline_client signed_in(struct orders_shop *shop, struct service *service,
                                      unsigned roles)
{
    struct inline_client client =
        inline_client(shop->t, shop->house, inline_handle_service, service);
    inline_sign_in(&client, id_new(), roles);
    return client;
}

struct orders_shop *orders_shop_open(struct test *t, const char *const *settings)
{
    return orders_shop_open_with(t, settings, NULL);
}

struct orders_shop *orders_shop_open_with(struct test *t, const char *const *settings,
                                          void (*prepare)(struct orders_shop *shop))
{
    struct orders_shop *shop = arena_new(t->arena, struct orders_shop);
    shop->t = t;
    shop->house = inline_house(t, settings);
    CHECK_OK(users_open(t->arena, shop->house, &shop->users));
    CHECK_OK(products_open(t->arena, shop->house, &shop->products));
    CHECK_OK(orders_open(t->arena, shop->house, client_open_inline(users_service(shop->users)),
                         client_open_inline(products_service(shop->products)), &shop->orders));
    struct service *orders = orders_service(shop->orders);
    shop->anyone = inline_client(t, shop->house, inline_handle_service, orders);
    shop->shopper = signed_in(shop, orders, ROLE_BIT_CUSTOMER);
    shop->other = signed_in(shop, orders, ROLE_BIT_CUSTOMER);
    shop->staff = signed_in(shop, orders, ROLE_BIT_STAFF);
    shop->catalog = signed_in(shop, products_service(shop->products), ROLE_BIT_STAFF);
    if (prepare)
        prepare(shop);
    /* Users does not run: its timer would take back the keys of the tests. */
    bus_start(shop->house->bus);
    products_start(shop->products);
    orders_start(shop->orders);
    arena_defer(t->arena, close_shop, shop);
    return shop;
}

void orders_shop_sell(struct orders_shop *shop, const char *sku, int on_hand)
{
    struct test *t = shop->t;
    str body = str_format(t->arena,
                          "{\"title\":\"%s\",\"status\":\"active\",\"variants\":[{\"sku\":\"%s\","
                          "\"price\":{\"amount\":450,\"currency\":\"EUR\"},\"on_hand\":%d}]}",
                          sku, sku, on_hand);
    CHECK_STATUS(inline_post(&shop->catalog, "/products", str_z(t->arena, body)), 201);
}

str orders_shop_body(struct orders_shop *shop, const char *lines, const char *token)
{
    return str_format(shop->t->arena,
                      "{\"lines\":[%s],\"payment\":{\"provider\":\"simulator\",\"token\":\"%s\"}}",
                      lines, token);
}

struct answer_seen orders_shop_post(struct inline_client *client, const char *target, str body,
                                    const char *key, const char *prefer)
{
    struct arena *arena = client->t->arena;
    const char *headers[3] = { NULL, NULL, NULL };
    int count = 0;
    if (key)
        headers[count++] = str_z(arena, str_format(arena, "idempotency-key: %s", key));
    if (prefer)
        headers[count++] = str_z(arena, str_format(arena, "prefer: %s", prefer));
    return inline_request(client, "POST", target, headers, body);
}

const char *orders_shop_place(struct orders_shop *shop, str body, const char *key, int status)
{
    struct test *t = shop->t;
    struct answer_seen answer = orders_shop_post(&shop->shopper, "/orders", body, key, "wait=10");
    CHECK_STATUS(answer, status);
    return str_z(t->arena, inline_text(t, &answer, status < 400 ? "/id" : "/subject"));
}

struct wanted {
    struct inline_client *client;
    const char *target, *pointer, *text;
    str seen;
};

static bool shows(void *subject)
{
    struct wanted *wanted = subject;
    struct answer_seen answer = inline_get(wanted->client, wanted->target);
    if (answer.status == 200)
        wanted->seen = inline_text(wanted->client->t, &answer, wanted->pointer);
    return answer.status == 200 && str_equal(wanted->seen, str_of_z(wanted->text));
}

static void until(struct wanted wanted)
{
    if (!inline_until(shows, &wanted))
        CHECK_STR(wanted.seen, wanted.text);
}

void orders_shop_until(struct orders_shop *shop, const char *id, const char *pointer,
                       const char *text)
{
    struct test *t = shop->t;
    const char *target = str_z(t->arena, str_format(t->arena, "/orders/%s", id));
    until((struct wanted){ &shop->staff, target, pointer, text, STR_NONE });
}

void orders_shop_stock(struct orders_shop *shop, const char *sku, int on_hand, int reserved)
{
    struct test *t = shop->t;
    const char *target = str_z(t->arena, str_format(t->arena, "/products/stock/%s", sku));
    const char *held = str_z(t->arena, str_format(t->arena, "%d", reserved));
    const char *there = str_z(t->arena, str_format(t->arena, "%d", on_hand));
    until((struct wanted){ &shop->catalog, target, "/reserved", held, STR_NONE });
    until((struct wanted){ &shop->catalog, target, "/on_hand", there, STR_NONE });
}
