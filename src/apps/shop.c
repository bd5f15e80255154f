#include "apps/shop.h"

#include "apps/follower.h"
#include "apps/neighbours.h"
#include "chassis/obs.h"
#include "gen/listeners.h"
#include "os/spare.h"
#include "os/workers.h"

#include <string.h>

enum { BUS_EVENTS_MAX = 16384, PASSWORDS_QUEUE_MAX = 256 };

static int64_t ask_backlog(void *bus) { return bus_backlog(bus); }
static int64_t ask_is_up(void *bus) { return bus_state_of(bus).is_up; }

static void ask_bus(struct bus *bus, bool on)
{
    metric_ask(METRIC_BUS_BACKLOG, NULL, on ? ask_backlog : NULL, bus);
    metric_ask(METRIC_BUS_UP, bus_state_of(bus).name, on ? ask_is_up : NULL, bus);
}

/* Where a program that is part of a shop finds its consumers; of one that is the whole shop only
 * what was set. */
static str place_of(const struct conf *conf, const char *name, bool is_whole)
{
    static const struct {
        const char *name;
        enum setting setting;
    } places[] = { { "users", CONF_USERS_URL },
                   { "products", CONF_PRODUCTS_URL },
                   { "orders", CONF_ORDERS_URL } };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strcmp(places[i].name, name) == 0 &&
            (!is_whole || conf_is_set(conf, places[i].setting)))
            return conf_text(conf, places[i].setting);
    return STR_NONE;
}

static err open_bus(struct arena *arena, const struct conf *conf, const struct bus_faults *faults,
                    bool is_whole, struct bus **out)
{
    str *places = arena_array(arena, str, (size_t)bus_listeners_count);
    for (int i = 0; i < bus_listeners_count; i++)
        places[i] = place_of(conf, bus_listeners[i].name, is_whole);
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
        .places = places,
        .events_max = BUS_EVENTS_MAX,
        .faults = faults,
    };
    return bus_open(arena, &config, out);
}

err shop_bus_setup(struct arena *arena, const struct conf *conf)
{
    ASSERT(arena && conf);
    struct bus *bus;
    TRY(open_bus(arena, conf, NULL, false, &bus));
    err error = bus_setup(arena, bus);
    bus_close(bus);
    return error;
}

static bool has(const struct shop *shop, unsigned parts) { return (shop->parts & parts) == parts; }

static err open_house(struct shop *shop, struct arena *arena, const struct shop_config *config)
{
    const struct conf *conf = config->conf;
    struct auth_config auth = { .issuer = conf_text(conf, CONF_TOKEN_ISSUER),
                                .audience = conf_text(conf, CONF_TOKEN_AUDIENCE),
                                .name = config->name,
                                .inner = { .key = conf_text(conf, CONF_INNER_KEY),
                                           .second = conf_text(conf, CONF_INNER_KEY_SECOND) } };
    TRY(inner_keys_check(arena, &auth.inner));
    shop->house = (struct house){
        .conf = conf,
        .workers = workers_open("worker", (int)conf_int(conf, CONF_WORKERS),
                                (int)conf_int(conf, CONF_QUEUE_MAX)),
        .auth = auth_open(&auth),
    };
    if (has(shop, SHOP_USERS)) {
        int lanes = (int)conf_int(conf, CONF_PASSWORD_LANES);
        shop->house.password_lanes = workers_open("password", lanes, PASSWORDS_QUEUE_MAX);
        shop->house.spare = spare_open("hash", lanes);
    }
    return OK;
}

/* There is somebody whom events can reach. */
static bool has_bus(const struct shop *shop, const struct shop_config *config)
{
    str url = conf_text(config->conf, CONF_BUS_URL);
    if (has(shop, SHOP_SERVICES) || config->bus)
        return true;
    return shop->places_count > 0 && !str_starts(url, STR("local:"));
}

/* What cannot be right, whatever else is set. */
static err check_settings(const struct shop *shop, struct arena *arena, const struct conf *conf)
{
    if (has(shop, SHOP_SERVICES) && conf_text(conf, CONF_DATABASE_URL).len > 0)
        return fail(arena, SETTING_INVALID,
                    "DATABASE_URL is the database of one service, and this program has three; set "
                    "DATABASE_URL_USERS, DATABASE_URL_PRODUCTS and DATABASE_URL_ORDERS");
    if (shop->parts == SHOP_GATEWAY && conf_text(conf, CONF_INNER_KEY).len == 0)
        return fail(arena, SETTING_INVALID,
                    "INNER_KEY is not set: the programs of a shop know each other by it; give all "
                    "of them the same 32 random bytes or more (INNER_KEY_FILE)");
    return OK;
}

/* A service by itself serves what it can alone, and says what it lacks. */
static void tell_what_is_missing(const struct shop *shop, const struct shop_config *config)
{
    const struct conf *conf = config->conf;
    if (has(shop, SHOP_SERVICES) || shop->places_count == 0)
        return;
    if (conf_text(conf, CONF_INNER_KEY).len == 0)
        LOG(LOG_WARN, "inner.no_key", LOG_TEXT("setting", STR("INNER_KEY")),
            LOG_TEXT("words", STR("no other program of the shop is believed")));
    if (!has_bus(shop, config))
        LOG(LOG_WARN, "bus.none", LOG_TEXT("setting", STR("BUS_URL")),
            LOG_TEXT("words", STR("local: does not leave this process: events wait here until a "
                                  "broker is named")));
}

/* The services that this program asks, and that are not in it. */
static unsigned elsewhere(const struct shop *shop)
{
    unsigned called = has(shop, SHOP_GATEWAY) ? SHOP_SERVICES : 0;
    for (int i = 0; i < shop->places_count; i++)
        called |= shop->places[i].member->calls;
    if (shop->places_count > 0)
        called |= SHOP_USERS; /* for keys and revocations */
    return called & ~shop->parts;
}

static err open_house_bus(struct shop *shop, struct arena *arena, const struct shop_config *config)
{
    if (config->bus)
        shop->house.bus = config->bus;
    else
        TRY(open_bus(arena, config->conf, config->faults, has(shop, SHOP_SERVICES),
                     &shop->house.bus));
    ask_bus(shop->house.bus, true);
    return OK;
}

static struct client *way_to(struct shop *shop, const struct shop_config *config,
                             enum shop_part service)
{
    return config->way_to ? config->way_to(config->self, service)
                          : neighbours_client(shop->neighbours, service);
}

static err open_neighbours(struct shop *shop, struct arena *arena, const struct shop_config *config)
{
    unsigned services = elsewhere(shop);
    if (services == 0)
        return OK;
    ASSERT(config->loop || config->way_to);
    if (!config->way_to)
        TRY(neighbours_open(arena, config->conf, config->loop, shop->house.auth, services,
                            &shop->neighbours));
    if (services & SHOP_USERS)
        shop->follower = follower_open(shop->house.auth, way_to(shop, config, SHOP_USERS));
    return OK;
}

/* A client of a service, wherever it is; NULL where the member does not ask it. */
static struct client *client_for(struct shop *shop, const struct shop_config *config,
                                 const struct shop_member *member, enum shop_part part,
                                 const char *name)
{
    if (!(member->calls & part))
        return NULL;
    if (shop->parts & part)
        return client_open_inline(shop_service(shop, str_of_z(name)));
    return way_to(shop, config, part);
}

static err open_place(struct shop *shop, struct arena *arena, const struct shop_config *config,
                      struct shop_place *place)
{
    const struct shop_member *member = place->member;
    TRY(member->open(arena, &shop->house, client_for(shop, config, member, SHOP_USERS, "users"),
                     client_for(shop, config, member, SHOP_PRODUCTS, "products"), &place->self));
    place->service = member->service(place->self);
    return OK;
}

static err open_all(struct shop *shop, struct arena *arena, const struct shop_config *config)
{
    TRY(check_settings(shop, arena, config->conf));
    TRY(open_house(shop, arena, config));
    tell_what_is_missing(shop, config);
    if (has_bus(shop, config))
        TRY(open_house_bus(shop, arena, config));
    TRY(open_neighbours(shop, arena, config));
    for (int i = 0; i < shop->places_count; i++)
        TRY(open_place(shop, arena, config, &shop->places[i]));
    return OK;
}

static struct shop *shop_new(const struct shop_config *config)
{
    struct arena *own = arena_open(ARENA_CHUNK_BYTES);
    struct shop *shop = arena_new(own, struct shop);
    shop->arena = own;
    shop->parts = config->has_gateway ? SHOP_GATEWAY : 0;
    shop->places_count = config->members_count;
    for (int i = 0; i < config->members_count; i++) {
        shop->places[i].member = config->members[i];
        shop->parts |= config->members[i]->part;
    }
    return shop;
}

err shop_open(struct arena *arena, const struct shop_config *config, struct shop **out)
{
    ASSERT(arena && config && config->conf && out);
    ASSERT(config->members_count <= SHOP_MEMBERS_MAX);
    struct shop *shop = shop_new(config);
    err error = open_all(shop, arena, config);
    if (error != OK) {
        shop_close(shop);
        return error;
    }
    *out = shop;
    return OK;
}

void shop_start(struct shop *shop)
{
    ASSERT(shop && !shop->started);
    shop->started = true;
    if (shop->follower)
        follower_start(shop->follower);
    if (shop->house.bus)
        bus_start(shop->house.bus);
    for (int i = 0; i < shop->places_count; i++)
        shop->places[i].member->start(shop->places[i].self);
}

void shop_stop(struct shop *shop)
{
    if (!shop || !shop->started)
        return;
    shop->started = false;
    if (shop->house.bus)
        bus_stop(shop->house.bus); /* first: a relay may be waiting for room in it */
    for (int i = shop->places_count; i-- > 0;)
        shop->places[i].member->stop(shop->places[i].self);
    follower_stop(shop->follower);
}

void shop_close(struct shop *shop)
{
    if (!shop)
        return;
    ASSERT(!shop->started);
    workers_close(shop->house.password_lanes);
    spare_close(shop->house.spare);
    workers_close(shop->house.workers);
    for (int i = shop->places_count; i-- > 0;)
        shop->places[i].member->close(shop->places[i].self);
    follower_close(shop->follower);
    neighbours_close(shop->neighbours);
    if (shop->house.bus)
        ask_bus(shop->house.bus, false);
    bus_close(shop->house.bus);
    auth_close(shop->house.auth);
    arena_close(shop->arena);
}

struct service *shop_service(struct shop *shop, str name)
{
    ASSERT(shop);
    for (int i = 0; i < shop->places_count; i++)
        if (str_equal(name, str_of_z(shop->places[i].member->name)))
            return shop->places[i].service;
    return NULL;
}
