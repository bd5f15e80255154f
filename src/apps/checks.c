#include "apps/checks.h"

#include "apps/follower.h"
#include "apps/neighbours.h"

/* ---- what is looked at ---- */

static enum admin_health look_service(void *service, const char **words)
{
    if (service_ready(service))
        return ADMIN_WELL;
    *words = "it has not been started, or is being stopped";
    return ADMIN_FAILED;
}

static enum admin_health look_database(void *service, const char **words)
{
    if (db_away_us(service_db(service)) == 0)
        return ADMIN_WELL;
    *words = "the database does not answer";
    return ADMIN_FAILED;
}

/* A program of a shop waits for the keys when it starts, for a while; without them it serves what
 * anyone may call. A service behind a gateway believes its word (INNER_KEY) and can do without. */
static enum admin_health look_keys(void *subject, const char **words)
{
    struct shop *shop = subject;
    struct auth_state state = auth_state_of(shop->house.auth);
    bool is_door = (shop->parts & SHOP_GATEWAY) != 0;
    if (state.vouches && shop->follower && !follower_settled(shop->follower)) {
        *words = "the keys that verify tokens have not been heard from Users yet";
        return ADMIN_FAILED;
    }
    if (state.keys == 0 && (is_door || !state.vouches)) {
        *words = "no key is known that verifies tokens: who shows one hears 503";
        return ADMIN_DEGRADED;
    }
    if (state.is_stale) {
        *words = "Users is away: calls of staff and of API keys are refused, customers go on";
        return ADMIN_DEGRADED;
    }
    return ADMIN_WELL;
}

static enum admin_health look_bus(void *bus, const char **words)
{
    if (bus_state_of(bus).is_up)
        return ADMIN_WELL;
    *words = "the broker is away: orders are taken, their events wait in the outbox";
    return ADMIN_DEGRADED;
}

static enum admin_health look_upstream(void *upstream, const char **words)
{
    if (upstream_ready(upstream))
        return ADMIN_WELL;
    *words = "no address of it can be asked: what needs it hears 503";
    return ADMIN_DEGRADED;
}

/* ---- which there are ---- */

static void add(struct admin_check *checks, int *count, const char *name,
                enum admin_health (*look)(void *subject, const char **words), void *subject)
{
    ASSERT(*count < ADMIN_CHECKS_MAX);
    checks[(*count)++] = (struct admin_check){ name, look, subject };
}

static const char *named(struct shop *shop, const char *service, const char *part)
{
    return str_z(shop->arena, str_format(shop->arena, "%s.%s", service, part));
}

static void add_neighbours(struct shop *shop, struct admin_check *checks, int *count)
{
    static const struct {
        enum shop_part part;
        const char *name;
    } all[] = { { SHOP_USERS, "to_users" },
                { SHOP_PRODUCTS, "to_products" },
                { SHOP_ORDERS, "to_orders" } };
    for (size_t i = 0; shop->neighbours && i < sizeof all / sizeof all[0]; i++) {
        struct upstream *upstream = neighbours_upstream(shop->neighbours, all[i].part);
        if (upstream)
            add(checks, count, all[i].name, look_upstream, upstream);
    }
}

int checks_of_shop(struct shop *shop, struct admin_check checks[ADMIN_CHECKS_MAX])
{
    ASSERT(shop && checks);
    int count = 0;
    for (int i = 0; i < shop->places_count; i++) {
        const struct shop_place *place = &shop->places[i];
        add(checks, &count, place->member->name, look_service, place->service);
        add(checks, &count, named(shop, place->member->name, "database"), look_database,
            place->service);
    }
    add(checks, &count, "keys", look_keys, shop);
    if (shop->house.bus)
        add(checks, &count, "bus", look_bus, shop->house.bus);
    add_neighbours(shop, checks, &count);
    return count;
}
