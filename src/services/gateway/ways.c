#include "services/gateway/ways.h"

#include "base/arena.h"
#include "chassis/inner.h"
#include "chassis/obs.h"
#include "chassis/tls_files.h"
#include "chassis/upstream.h"

enum { WAY_NAMES_MAX = 24 /* of metrics; later ones share a name: their number has an end */ };

struct way {
    struct arena *memory; /* NULL: free */
    const struct ways *all;
    str url;
    str service; /* whose other version it is; none: not ours */
    struct upstream *upstream;
    bool wanted; /* by the routes that are read */
    bool fresh;  /* opened for them */
};

struct ways {
    struct arena *memory; /* holds this struct */
    const struct house *house;
    struct loop *loop;
    struct way each[WAYS_MAX];
    str names[WAY_NAMES_MAX];
    int names_count;
};

struct ways *ways_open(const struct house *house, struct loop *loop)
{
    ASSERT(house && loop);
    struct arena *memory = arena_open(ARENA_CHUNK_BYTES);
    struct ways *ways = arena_new(memory, struct ways);
    *ways = (struct ways){ .memory = memory, .house = house, .loop = loop };
    return ways;
}

static void way_close(struct way *way)
{
    if (!way->memory)
        return;
    upstream_close(way->upstream);
    arena_close(way->memory);
    *way = (struct way){ 0 };
}

void ways_close(struct ways *ways)
{
    if (!ways)
        return;
    for (int i = 0; i < WAYS_MAX; i++)
        way_close(&ways->each[i]);
    arena_close(ways->memory);
}

/* Who calls, as the gateway tells the service itself. */
static int vouch(void *self, const struct request *request, struct header added[UPSTREAM_ADDED_MAX])
{
    const struct way *way = self;
    str token = auth_vouch(way->all->house->auth, request->arena, way->service, request->call,
                           request->client_address);
    if (!token.ptr)
        return 0;
    added[0] = (struct header){ STR(INNER_HEADER), token };
    return 1;
}

/* What logs and metrics call it. */
static const char *name_of(struct ways *ways, str url)
{
    for (int i = 0; i < ways->names_count; i++)
        if (str_equal(ways->names[i], url))
            return ways->names[i].ptr;
    if (ways->names_count == WAY_NAMES_MAX || url.len > METRIC_LABEL_BYTES_MAX)
        return "other";
    str name = str_of_z(str_z(ways->memory, url));
    ways->names[ways->names_count++] = name;
    return name.ptr;
}

static struct way *way_known(struct ways *ways, str url, str service)
{
    for (int i = 0; i < WAYS_MAX; i++) {
        struct way *way = &ways->each[i];
        if (way->memory && str_equal(way->url, url) && str_equal(way->service, service))
            return way;
    }
    return NULL;
}

static struct way *way_free(struct ways *ways)
{
    for (int i = 0; i < WAYS_MAX; i++)
        if (!ways->each[i].memory)
            return &ways->each[i];
    return NULL;
}

static err way_open(struct ways *ways, struct arena *arena, str url, str service,
                    struct tls_context *tls, struct way **out)
{
    struct way *way = way_free(ways);
    if (!way)
        return fail(arena, SETTING_INVALID,
                    "ROUTES_FILE: more than %d upstreams by URL, those that still end among them",
                    WAYS_MAX);
    struct arena *memory = arena_open(ARENA_CHUNK_BYTES);
    struct upstream_config config = { .name = name_of(ways, url),
                                      .url = url,
                                      .setting = "ROUTES_FILE",
                                      .conf = ways->house->conf,
                                      .tls = tls,
                                      .add_headers = service.ptr ? vouch : NULL,
                                      .self = way };
    struct upstream *upstream;
    err error = upstream_open(arena, ways->loop, &config, &upstream);
    if (error != OK) {
        arena_close(memory);
        return error;
    }
    *way = (struct way){ .memory = memory,
                         .all = ways,
                         .url = str_copy(memory, url),
                         .service = service.ptr ? str_copy(memory, service) : STR_NONE,
                         .upstream = upstream,
                         .fresh = true };
    *out = way;
    return OK;
}

static err route_load(struct ways *ways, struct arena *arena, const struct route *route,
                      const str *services, struct tls_context *tls)
{
    str service = route->upstream == ROUTE_FOREIGN ? STR_NONE : services[route->upstream];
    for (int i = 0; i < route->ways_count; i++) {
        struct route_way *to = &route->ways[i];
        if (!to->url.ptr)
            continue;
        struct way *way = way_known(ways, to->url, service);
        if (!way)
            TRY(way_open(ways, arena, to->url, service, tls, &way));
        way->wanted = true;
        to->upstream = way->upstream;
    }
    return OK;
}

static bool wants_tls(const struct routes *routes)
{
    for (int i = 0; i < routes->count; i++)
        for (int j = 0; j < routes->items[i].ways_count; j++)
            if (str_starts(routes->items[i].ways[j].url, STR("https://")))
                return true;
    return false;
}

static err load_all(struct ways *ways, struct arena *arena, const struct routes *routes,
                    const str *services, struct tls_context *tls)
{
    for (int i = 0; i < routes->count; i++)
        TRY(route_load(ways, arena, &routes->items[i], services, tls));
    return OK;
}

/* Those of a load that failed, or those that no route wants any more and nobody waits for. */
static void sweep(struct ways *ways, bool failed, struct tls_context *tls)
{
    for (int i = 0; i < WAYS_MAX; i++) {
        struct way *way = &ways->each[i];
        if (!way->memory)
            continue;
        bool ends = failed ? way->fresh : !way->wanted && upstream_is_idle(way->upstream);
        if (ends)
            way_close(way);
        else if (!failed && tls)
            upstream_use_tls(way->upstream, tls);
    }
}

err ways_load(struct ways *ways, struct arena *arena, const struct routes *routes,
              const str *services)
{
    ASSERT(ways && arena && routes && services);
    struct tls_context *tls = NULL;
    if (wants_tls(routes))
        TRY(tls_files_open_client(arena, ways->house->conf, &tls));
    for (int i = 0; i < WAYS_MAX; i++)
        ways->each[i].wanted = ways->each[i].fresh = false;
    err error = load_all(ways, arena, routes, services, tls);
    sweep(ways, error != OK, tls);
    tls_close(tls);
    return error;
}

const struct upstream *ways_at(const struct ways *ways, int nth)
{
    ASSERT(ways && nth >= 0);
    for (int i = 0; i < WAYS_MAX; i++)
        if (ways->each[i].memory && nth-- == 0)
            return ways->each[i].upstream;
    return NULL;
}
