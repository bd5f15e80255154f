#include "apps/members.h"
#include "services/users/service.h"

static err open_users(struct arena *arena, const struct house *house, struct client *users,
                      struct client *products, void **out)
{
    struct users *self;
    ASSERT(!users && !products);
    TRY(users_open(arena, house, &self));
    *out = self;
    return OK;
}

static err rotate_keys(void *self, struct arena *arena, bool drops_others, time_us now, str *kid)
{
    return users_rotate_keys(self, arena, drops_others, now, kid);
}

static struct service *service_of(void *self) { return users_service(self); }
static void start(void *self) { users_start(self); }
static void stop(void *self) { users_stop(self); }
static void close_users(void *self) { users_close(self); }

const struct shop_member users_member = {
    .part = SHOP_USERS,
    .name = "users",
    .own_door = CONF_USERS_ADDR,
    .migrate = users_migrate,
    .open = open_users,
    .service = service_of,
    .start = start,
    .stop = stop,
    .close = close_users,
    .rotate_keys = rotate_keys,
};
