/* The gateway's routes: the file in YAML, and what it makes of a request.
 *
 * Each route finds itself, or one before it; what is found leads to a service that is there.
 *
 * Input: a line with host, a line with path; the file. */
#include "services/gateway/routes.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

static const str SERVICES[] = { { "users", 5 }, { "products", 8 }, { "orders", 6 } };

void fuzz_begin(void) {}

/* A service that is there, or a way with an address; the same for a caller every time. */
static void check_way(const struct route *route, uint64_t caller)
{
    const struct route_way *way = route_way_of(route, (uint32_t)caller);

    FUZZ_CHECK(route->upstream == ROUTE_FOREIGN || (route->upstream >= 0 && route->upstream < 3));
    FUZZ_CHECK(route->ways_count <= ROUTE_WAYS_MAX);
    FUZZ_CHECK(route->upstream != ROUTE_FOREIGN || (way && way->url.len > 0));
    FUZZ_CHECK(!way || (way->weight > 0 && way->weight <= ROUTE_WEIGHT_MAX));
    FUZZ_CHECK(way == route_way_of(route, (uint32_t)caller));
}

static void check_found(struct arena *arena, const struct routes *routes, str host, str path)
{
    for (int method = 0; method < HTTP_OTHER; method++) {
        struct route_found found = routes_find(routes, host, (enum http_method)method, path);
        if (!found.route)
            continue;
        FUZZ_CHECK(found.route >= routes->items && found.route < routes->items + routes->count);
        FUZZ_CHECK(found.route->methods & (1U << method));
        check_way(found.route, str_hash(path));
        str seen = route_path(arena, found.route, path);
        FUZZ_CHECK(str_starts(seen, STR("/")));
    }
}

void fuzz_run(struct arena *arena, str input)
{
    str host = str_cut(&input, '\n'), path = input.ptr ? str_cut(&input, '\n') : STR_NONE;
    struct routes routes;

    fuzz_plant_overread(input, STR("- bug"));
    err error =
        routes_parse(arena, input.ptr ? input : STR(""), STR("routes.yaml"), SERVICES, 3, &routes);
    if (error != OK) {
        FUZZ_CHECK(error->code == SETTING_INVALID);
        calls_check_error(arena, error);
        return;
    }
    FUZZ_CHECK(routes.count <= ROUTES_MAX);
    if (str_starts(path, STR("/")))
        check_found(arena, &routes, host, path);
    for (int i = 0; i < routes.count; i++) {
        const struct route *route = &routes.items[i];
        check_found(arena, &routes, route->host, route->path);
        for (int method = 0; method < HTTP_OTHER; method++)
            if (route->methods & (1U << method))
                FUZZ_CHECK(routes_find(&routes, route->host, (enum http_method)method, route->path)
                               .route <= route);
    }
}
