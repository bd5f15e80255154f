#include "tests/sim/door.h"

#include "gen/orders.h"
#include "gen/products.h"
#include "gen/users.h"
#include "os/loop.h"
#include "tests/sim/story.h"

struct gateway *door_open(struct arena *arena, struct shop *shop)
{
    static struct loop *loop; /* of sockets, which there are none of: never run */
    if (!loop)
        loop = loop_open();
    struct gateway_target targets[SHOP_MEMBERS_MAX] = {
        { .name = "users", .calls = users_calls, .calls_count = USERS_CALLS_COUNT },
        { .name = "products", .calls = products_calls, .calls_count = PRODUCTS_CALLS_COUNT },
        { .name = "orders", .calls = orders_calls, .calls_count = ORDERS_CALLS_COUNT },
    };
    struct gateway *gateway;
    for (int i = 0; i < SHOP_MEMBERS_MAX; i++)
        targets[i].service = shop_service(shop, str_of_z(targets[i].name));
    err error = gateway_open(arena, &shop->house, loop, targets, SHOP_MEMBERS_MAX, &gateway);
    RULE(error == OK, "opening", "%" STR_F, STR_A(err_describe(arena, error)));
    return gateway;
}
