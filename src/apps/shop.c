#include "apps/shop.h"
#include "chassis/obs.h"
#include "gen/listeners.h"
#include "os/workers.h"

enum { BUS_EVENTS_MAX = 16384, PASSWORDS_QUEUE_MAX = 256 };

static struct client *client_of(struct service *service) { return client_open_inline(service); }

static int64_t ask_backlog(void *bus) { return bus_backlog(bus); }

static err open_bus(struct arena *arena, const struct conf *conf, const struct bus_faults *faults,
                    struct bus **out)
{
    struct bus_config config = {
        .url = conf_text(conf, CONF_BUS_URL),
        .prefix = conf_text(conf, CONF_BUS_PREFIX),
        .user = conf_text(conf, CONF_BUS_USER),
        .password = conf_text(conf, CONF_BUS_PASSWORD),
        .tls_ca = conf_text(conf, CONF_BUS_TLS_CA_FILE),
        .tls_cert = conf_text(conf, CONF_BUS_TLS_CERT_FILE),
        .tls_key = conf_text(conf, CONF_BUS_TLS_KEY_FILE),
        .listeners = bus_listeners,
        .listeners_count = bus_listeners_count,
        .events_max = BUS_EVENTS_MAX,
        .faults = faults,
    };
    return bus_open(arena, &config, out);
}

err shop_bus_setup(struct arena *arena, const struct conf *conf)
{
    ASSERT(arena && conf);
    struct bus *bus;
    TRY(open_bus(arena, conf, NULL, &bus));
    err error = bus_setup(arena, bus);
    bus_close(bus);
    return error;
}

static void open_house(struct shop *shop, const struct conf *conf)
{
    struct auth_config auth = { .issuer = conf_text(conf, CONF_TOKEN_ISSUER),
                                .audience = conf_text(conf, CONF_TOKEN_AUDIENCE) };
    shop->house = (struct house){
        .conf = conf,
        .workers = workers_open("worker", (int)conf_int(conf, CONF_WORKERS),
                                (int)conf_int(conf, CONF_QUEUE_MAX)),
        .password_lanes =
            workers_open("password", (int)conf_int(conf, CONF_PASSWORD_LANES), PASSWORDS_QUEUE_MAX),
        .auth = auth_open(&auth),
    };
}

static err open_services(struct shop *shop, struct arena *arena)
{
    TRY(users_open(arena, &shop->house, &shop->users));
    TRY(products_open(arena, &shop->house, &shop->products));
    return orders_open(arena, &shop->house, client_of(users_service(shop->users)),
                       client_of(products_service(shop->products)), &shop->orders);
}

err shop_open(struct arena *arena, const struct conf *conf, const struct bus_faults *faults,
              struct shop **out)
{
    ASSERT(arena && conf && out);
    struct arena *own = arena_open(ARENA_CHUNK_BYTES);
    struct shop *shop = arena_new(own, struct shop);
    shop->arena = own;
    open_house(shop, conf);
    err error = open_bus(arena, conf, faults, &shop->house.bus);
    if (error == OK) {
        metric_ask(METRIC_BUS_BACKLOG, NULL, ask_backlog, shop->house.bus);
        error = open_services(shop, arena);
    }
    if (error != OK) {
        shop_close(shop);
        return error;
    }
    *out = shop;
    return OK;
}

err shop_migrate(struct arena *arena, const struct conf *conf, struct migrated *out)
{
    ASSERT(arena && conf && out);
    TRY(users_migrate(arena, conf, &out->users));
    TRY(products_migrate(arena, conf, &out->products));
    return orders_migrate(arena, conf, &out->orders);
}

void shop_start(struct shop *shop)
{
    ASSERT(shop && !shop->started);
    shop->started = true;
    bus_start(shop->house.bus);
    users_start(shop->users);
    products_start(shop->products);
    orders_start(shop->orders);
}

void shop_stop(struct shop *shop)
{
    if (!shop || !shop->started)
        return;
    shop->started = false;
    bus_stop(shop->house.bus); /* first: a relay may be waiting for room in it */
    orders_stop(shop->orders);
    products_stop(shop->products);
    users_stop(shop->users);
}

void shop_close(struct shop *shop)
{
    if (!shop)
        return;
    ASSERT(!shop->started);
    workers_close(shop->house.password_lanes);
    workers_close(shop->house.workers);
    orders_close(shop->orders);
    products_close(shop->products);
    users_close(shop->users);
    metric_ask(METRIC_BUS_BACKLOG, NULL, NULL, NULL);
    bus_close(shop->house.bus);
    auth_close(shop->house.auth);
    arena_close(shop->arena);
}

struct service *shop_service(struct shop *shop, str name)
{
    if (str_equal(name, STR("users")))
        return users_service(shop->users);
    if (str_equal(name, STR("products")))
        return products_service(shop->products);
    if (str_equal(name, STR("orders")))
        return orders_service(shop->orders);
    return NULL;
}
