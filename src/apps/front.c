#include "apps/front.h"

#include "apps/neighbours.h"
#include "gen/orders.h"
#include "gen/products.h"
#include "gen/users.h"
#include "services/gateway/service.h"

/* What the gateway may lead to: the services by name, and their calls by contract. */
static const struct leads {
    const char *name;
    enum shop_part part;
    const struct call_spec *const *calls;
    int calls_count;
} LEADS[SHOP_MEMBERS_MAX] = {
    { "users", SHOP_USERS, users_calls, USERS_CALLS_COUNT },
    { "products", SHOP_PRODUCTS, products_calls, PRODUCTS_CALLS_COUNT },
    { "orders", SHOP_ORDERS, orders_calls, ORDERS_CALLS_COUNT },
};

static err open_front(struct arena *arena, struct shop *shop, struct loop *loop,
                      struct gateway **out)
{
    struct gateway_target targets[SHOP_MEMBERS_MAX];

    for (int i = 0; i < SHOP_MEMBERS_MAX; i++) {
        struct service *service = shop_service(shop, str_of_z(LEADS[i].name));
        targets[i] = (struct gateway_target){
            .name = LEADS[i].name,
            .service = service,
            .calls = LEADS[i].calls,
            .calls_count = LEADS[i].calls_count,
            .upstream = service ? NULL : neighbours_upstream(shop->neighbours, LEADS[i].part),
        };
    }
    err error = gateway_open(arena, &shop->house, loop, targets, SHOP_MEMBERS_MAX, out);
    if (err_is(error, OS_FAILED)) /* it reads one file */
        return fail_over(arena, SETTING_INVALID, error, "ROUTES_FILE: %" STR_F,
                         STR_A(error->detail));
    TRY(error);
    return gateway_listen(*out, arena);
}

const struct front front_gateway = {
    .open = open_front,
    .server = gateway_server,
    .reload = gateway_reload,
    .drain = gateway_drain,
    .stop = gateway_stop,
    .close = gateway_close,
    .flights = gateway_flights,
    .way = gateway_way,
};
