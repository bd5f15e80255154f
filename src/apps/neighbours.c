#include "apps/neighbours.h"

#include "chassis/tls_files.h"
#include "os/tls.h"

enum { NEIGHBOURS = 3 };

struct neighbour {
    struct neighbours *all;
    enum shop_part part;
    const char *name;
    enum setting setting;
    const char *setting_name;
    struct upstream *upstream; /* NULL: not asked for */
};

struct neighbours {
    struct arena *memory; /* holds this struct */
    const struct conf *conf;
    struct auth *auth;
    struct neighbour each[NEIGHBOURS];
};

static int vouch(void *self, const struct request *request, struct header added[UPSTREAM_ADDED_MAX])
{
    static const struct identity this_program = { .known = true, .neighbour = true };
    const struct neighbour *to = self;
    const struct identity *who = request->call ? request->call : &this_program;
    str token =
        auth_vouch(to->all->auth, request->arena, str_of_z(to->name), who, request->client_address);
    if (!token.ptr)
        return 0;
    added[0] = (struct header){ STR(INNER_HEADER), token };
    return 1;
}

/* https:// is wanted by one of them. */
static bool wants_tls(const struct neighbours *self, unsigned services)
{
    for (int i = 0; i < NEIGHBOURS; i++)
        if ((services & self->each[i].part) &&
            str_starts(conf_text(self->conf, self->each[i].setting), STR("https://")))
            return true;
    return false;
}

static err open_each(struct neighbours *self, struct arena *arena, struct loop *loop,
                     struct tls_context *tls, unsigned services)
{
    for (int i = 0; i < NEIGHBOURS; i++) {
        struct neighbour *to = &self->each[i];
        struct upstream_config config = { .name = to->name,
                                          .url = conf_text(self->conf, to->setting),
                                          .setting = to->setting_name,
                                          .conf = self->conf,
                                          .tls = tls,
                                          .add_headers = vouch,
                                          .self = to };
        if (services & to->part)
            TRY(upstream_open(arena, loop, &config, &to->upstream));
    }
    return OK;
}

err neighbours_open(struct arena *arena, const struct conf *conf, struct loop *loop,
                    struct auth *auth, unsigned services, struct neighbours **out)
{
    ASSERT(arena && conf && loop && auth && out);
    ASSERT((services & ~(unsigned)SHOP_SERVICES) == 0);

    struct arena *memory = arena_open(ARENA_CHUNK_BYTES);
    struct neighbours *self = arena_new(memory, struct neighbours);
    *self = (struct neighbours){
        .memory = memory,
        .conf = conf,
        .auth = auth,
        .each = { { self, SHOP_USERS, "users", CONF_USERS_URL, "USERS_URL", NULL },
                  { self, SHOP_PRODUCTS, "products", CONF_PRODUCTS_URL, "PRODUCTS_URL", NULL },
                  { self, SHOP_ORDERS, "orders", CONF_ORDERS_URL, "ORDERS_URL", NULL } },
    };
    struct tls_context *tls = NULL;
    err error = wants_tls(self, services) ? tls_files_open_client(arena, conf, &tls) : OK;
    if (error == OK)
        error = open_each(self, arena, loop, tls, services);
    tls_close(tls);
    if (error != OK) {
        neighbours_close(self);
        return error;
    }
    *out = self;
    return OK;
}

static struct neighbour *neighbour_of(struct neighbours *self, enum shop_part service)
{
    for (int i = 0; i < NEIGHBOURS; i++)
        if (self->each[i].part == service)
            return &self->each[i];
    panic(ERR_PLACE, "a neighbour that the shop does not have", __func__);
}

struct upstream *neighbours_upstream(struct neighbours *neighbours, enum shop_part service)
{
    ASSERT(neighbours);
    return neighbour_of(neighbours, service)->upstream;
}

struct client *neighbours_client(struct neighbours *neighbours, enum shop_part service)
{
    struct upstream *upstream = neighbours_upstream(neighbours, service);
    ASSERT(upstream);
    /* Half of the workers, so that the rest can do without the neighbour. */
    int calls_max = ((int)conf_int(neighbours->conf, CONF_WORKERS) + 1) / 2;
    return client_open_remote(&(struct client_remote){
        .upstream = upstream,
        .calls_max = calls_max,
        .waiting_max = (int)conf_int(neighbours->conf, CONF_UPSTREAM_WAITING_MAX) });
}

err neighbours_reload(struct neighbours *neighbours, struct arena *arena)
{
    ASSERT(neighbours && arena);
    struct tls_context *tls;
    if (!wants_tls(neighbours, SHOP_SERVICES))
        return OK;
    TRY(tls_files_open_client(arena, neighbours->conf, &tls));
    for (int i = 0; i < NEIGHBOURS; i++)
        if (neighbours->each[i].upstream)
            upstream_use_tls(neighbours->each[i].upstream, tls);
    tls_close(tls);
    return OK;
}

void neighbours_close(struct neighbours *neighbours)
{
    if (!neighbours)
        return;
    for (int i = 0; i < NEIGHBOURS; i++)
        upstream_close(neighbours->each[i].upstream);
    arena_close(neighbours->memory);
}
