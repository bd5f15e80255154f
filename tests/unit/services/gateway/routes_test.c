#include "services/gateway/routes.h"

#include "tests/lib/test.h"

static const str UPSTREAMS[] = { { "users", 5 }, { "products", 8 }, { "orders", 6 } };

static err parse(struct test *t, const char *yaml, struct routes *out)
{
    return routes_parse(t->arena, str_of_z(yaml), STR("routes.yaml"), UPSTREAMS, 3, out);
}

static struct routes routes_of(struct test *t, const char *yaml)
{
    struct routes routes;
    CHECK_OK(parse(t, yaml, &routes));
    return routes;
}

/* The index of the route that fits, or -1. */
static int find(const struct routes *routes, const char *host, enum http_method method,
                const char *path)
{
    struct route_found found = routes_find(routes, str_of_z(host), method, str_of_z(path));
    return found.route ? (int)(found.route - routes->items) : -1;
}

/* ---- Reading ---- */

TEST(a_route_is_read_with_all_its_keys)
{
    struct routes routes = routes_of(t, "- path: /shop\n"
                                        "  exact: true\n"
                                        "  host: Shop.Example.org\n"
                                        "  methods: [GET, POST]\n"
                                        "  upstream: service:orders\n"
                                        "  rewrite: /orders\n"
                                        "  access: staff\n"
                                        "  rate: none\n");
    const struct route *route = &routes.items[0];

    CHECK_INT(routes.count, 1);
    CHECK_STR(route->path, "/shop");
    CHECK(route->exact);
    CHECK_STR(route->host, "shop.example.org");
    CHECK_INT(route->methods, 1 << HTTP_GET | 1 << HTTP_HEAD | 1 << HTTP_POST);
    CHECK_INT(route->upstream, 2);
    CHECK(route->rewrites);
    CHECK_STR(route->rewrite, "/orders");
    CHECK_INT(route->access, ACCESS_STAFF);
    CHECK_INT(route->rate, RATE_NONE);
}

TEST(a_route_may_lead_to_a_url_or_be_divided)
{
    struct routes routes =
        routes_of(t, "- {path: /a, upstream: 'http://a:3000,b:3000', timeout: 5s}\n"
                     "- path: /b\n"
                     "  upstream:\n"
                     "    - {to: 'http://next', weight: 5}\n"
                     "    - {to: 'service:orders', weight: 95}\n");
    const struct route *plain = &routes.items[0], *divided = &routes.items[1];

    CHECK_INT(plain->upstream, ROUTE_FOREIGN);
    CHECK_INT(plain->timeout_ms, 5000);
    CHECK_INT(plain->ways_count, 1);
    CHECK_STR(plain->ways[0].url, "http://a:3000,b:3000");
    CHECK_INT(divided->upstream, 2);
    CHECK_INT(divided->ways_count, 2);
    CHECK(!divided->ways[1].url.ptr);
}

TEST(callers_are_divided_by_the_weights_and_each_goes_one_way)
{
    struct routes routes = routes_of(t, "- path: /b\n"
                                        "  upstream:\n"
                                        "    - {to: 'http://next', weight: 5}\n"
                                        "    - {to: 'http://never', weight: 0}\n"
                                        "    - {to: 'service:orders', weight: 95}\n"
                                        "- {path: /, upstream: 'service:orders'}\n");
    const struct route *route = &routes.items[0];
    int seen[3] = { 0 };

    for (uint32_t caller = 0; caller < 10000; caller++) {
        const struct route_way *way = route_way_of(route, caller * 2654435761U);
        CHECK(way == route_way_of(route, caller * 2654435761U));
        seen[way - route->ways]++;
    }
    CHECK(seen[0] > 350 && seen[0] < 650); /* of 500 */
    CHECK_INT(seen[1], 0);
    CHECK_INT(seen[2], 10000 - seen[0]);
    CHECK(!route_way_of(&routes.items[1], 7));
}

TEST(what_a_route_does_not_say_has_a_standard)
{
    struct routes routes = routes_of(t, "[{path: /, upstream: \"service:users\"}]");
    const struct route *route = &routes.items[0];

    CHECK(!route->exact && !route->rewrites && !route->host.ptr);
    CHECK_INT(route->methods, (1 << HTTP_METHODS_COUNT) - 1);
    CHECK_INT(route->access, ACCESS_ANYONE);
    CHECK_INT(route->rate, RATE_DEFAULT);
}

TEST(the_built_in_routes_are_a_file_like_any_other)
{
    struct routes routes;
    CHECK_OK(routes_parse(t->arena, ROUTES_BUILTIN, STR("built-in"), UPSTREAMS, 3, &routes));

    static const struct {
        enum http_method method;
        const char *path;
        int upstream;
        enum rate_class rate;
    } cases[] = {
        { HTTP_POST, "/users", 0, RATE_SIGN_IN },
        { HTTP_GET, "/users", 0, RATE_DEFAULT },
        { HTTP_POST, "/users/login", 0, RATE_SIGN_IN },
        { HTTP_POST, "/users/refresh", 0, RATE_SIGN_IN },
        { HTTP_POST, "/users/logout", 0, RATE_DEFAULT },
        { HTTP_GET, "/users/login", 0, RATE_DEFAULT },
        { HTTP_GET, "/products", 1, RATE_DEFAULT },
        { HTTP_DELETE, "/products/x/y", 1, RATE_DEFAULT },
        { HTTP_POST, "/orders", 2, RATE_DEFAULT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct route_found found =
            routes_find(&routes, STR("h"), cases[i].method, str_of_z(cases[i].path));
        CHECK(found.route);
        CHECK_INT(found.route->upstream, cases[i].upstream);
        CHECK_INT(found.route->rate, cases[i].rate);
        CHECK_INT(found.route->access, ACCESS_ANYONE);
    }
    CHECK_INT(find(&routes, "h", HTTP_GET, "/"), -1);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/usersx"), -1);
}

TEST(a_mistake_is_told_with_file_and_line_and_what_is_allowed)
{
    static const struct {
        const char *yaml;
        const char *told;
    } cases[] = {
        { "", "routes.yaml: the file is a list of routes" },
        { "path: /x\n", "routes.yaml: the file is a list of routes" },
        { "[]", "routes.yaml:1: 0 routes; allowed: 1 to 256" },
        { "- x\n", "routes.yaml:1: a route has keys" },
        { "- path: /x\n", "routes.yaml:1: a route needs path and upstream" },
        { "- upstream: service:users\n", "routes.yaml:1: a route needs path and upstream" },
        { "- path: /x\n  upstream: service:users\n- path: /y\n  upstream: service:nobody\n",
          "routes.yaml:4: upstream is \"service:nobody\"; allowed: service:users, "
          "service:products, service:orders" },
        { "- path: /x\n  upstream: http://orders:none\n",
          "routes.yaml:2: upstream: \"http://orders:none\" has a host or port that cannot be one" },
        { "- path: /x\n  upstream: ftp://orders\n",
          "routes.yaml:2: upstream: \"ftp://orders\" has no" },
        { "- path: /x\n  timeout: 1x\n", "routes.yaml:2: timeout is \"1x\"; give a duration" },
        { "- path: /x\n  upstream: users\n", "routes.yaml:2: upstream is \"users\"" },
        { "- path: x\n  upstream: service:users\n", "routes.yaml:1: path is \"x\"" },
        { "- path: /x/\n  upstream: service:users\n", "routes.yaml:1: path is \"/x/\"" },
        { "- path: /x?y\n  upstream: service:users\n", "routes.yaml:1: path is \"/x?y\"" },
        { "- path: ''\n  upstream: service:users\n", "routes.yaml:1: path is \"\"" },
        { "- path: [/x]\n  upstream: service:users\n", "routes.yaml:1: path is one word" },
        { "- path: /x\n  pfad: /y\n", "routes.yaml:2: the key is \"pfad\"; allowed: path, exact" },
        { "- path: /x\n  path: /y\n", "routes.yaml:2: path comes twice" },
        { "- path: /x\n  methods: GET\n", "routes.yaml:2: methods is a list" },
        { "- path: /x\n  methods: []\n", "routes.yaml:2: methods names none" },
        { "- path: /x\n  methods:\n    - GET\n    - FETCH\n",
          "routes.yaml:4: a method is \"FETCH\"; allowed: GET, HEAD" },
        { "- path: /x\n  exact: yes\n", "routes.yaml:2: exact is \"yes\"; allowed: false, true" },
        { "- path: /x\n  access: root\n",
          "routes.yaml:2: access is \"root\"; allowed: anyone, customer, staff, admin" },
        { "- path: /x\n  rate: slow\n",
          "routes.yaml:2: rate is \"slow\"; allowed: default, sign_in, none" },
        { "- path: /x\n  host: h:80\n", "routes.yaml:2: host is \"h:80\"" },
        { "- path: /x\n  host: ''\n", "routes.yaml:2: host is \"\"" },
        { "- path: /x\n  rewrite: y\n", "routes.yaml:2: rewrite is \"y\"" },
        { "- path: /x\n  upstream: service:users\n  timeout: 5s\n",
          "routes.yaml:1: timeout is for upstreams by URL" },
        { "- path: /x\n upstream: [\n", "routes.yaml:2: " },
        { "- path: /x\n  upstream: service:users\n---\n- x\n",
          "routes.yaml: more than one document" },
        { "- path: /x\n  upstream: service:users\n...\n}\n", "routes.yaml:4: " },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct routes routes;
        err error = parse(t, cases[i].yaml, &routes);
        CHECK_ERR(error, SETTING_INVALID);
        if (!str_starts(error->detail, str_of_z(cases[i].told)))
            FAIL("\"%s\" is told as \"%" STR_F "\"", cases[i].told, STR_A(error->detail));
    }
}

TEST(a_mistake_in_what_is_divided_is_told_likewise)
{
    static const struct {
        const char *yaml;
        const char *told;
    } cases[] = {
        { "- path: /x\n  upstream: []\n", "routes.yaml:2: 0 upstreams; allowed: 1 to 8" },
        { "- path: /x\n  upstream:\n  - service:users\n",
          "routes.yaml:3: each upstream of a list" },
        { "- path: /x\n  upstream:\n  - to: service:users\n", "routes.yaml:3: each upstream of a" },
        { "- path: /x\n  upstream:\n  - {to: 'service:users', weight: 1001}\n",
          "routes.yaml:3: weight is \"1001\"; allowed: 0 to 1000" },
        { "- path: /x\n  upstream:\n  - {to: 'service:users', weight: -1}\n",
          "routes.yaml:3: weight" },
        { "- path: /x\n  upstream:\n  - {to: 'service:users', weight: 0}\n",
          "routes.yaml:3: the weights are all 0" },
        { "- path: /x\n  upstream:\n  - {to: 'service:users', weight: 1}\n"
          "  - {to: 'service:orders', weight: 1}\n",
          "routes.yaml:4: a second upstream that is a service" },
        { "- path: /x\n  upstream:\n  - {to: 'http://a', weight: 1}\n"
          "  - {to: 'http://a', weight: 1}\n",
          "routes.yaml:4: a second upstream that is the same" },
        { "- path: /x\n  upstream:\n  - {to: 'http://a', wait: 1}\n",
          "routes.yaml:3: the key is \"wait\"; allowed: to, weight" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct routes routes;
        err error = parse(t, cases[i].yaml, &routes);
        CHECK_ERR(error, SETTING_INVALID);
        if (!str_starts(error->detail, str_of_z(cases[i].told)))
            FAIL("\"%s\" is told as \"%" STR_F "\"", cases[i].told, STR_A(error->detail));
    }
}

TEST(there_are_at_most_so_many_routes)
{
    struct text yaml = text_init(t->arena, 1024);
    struct routes routes;

    for (int i = 0; i < ROUTES_MAX; i++)
        text_add_format(&yaml, "- {path: /%d, upstream: 'service:users'}\n", i);
    CHECK_INT(routes_of(t, str_z(t->arena, text_str(&yaml))).count, ROUTES_MAX);
    text_add(&yaml, STR("- {path: /x, upstream: 'service:users'}\n"));
    CHECK_ERR(parse(t, str_z(t->arena, text_str(&yaml)), &routes), SETTING_INVALID);
}

/* ---- Finding ---- */

TEST(a_path_fits_by_whole_segments)
{
    struct routes routes = routes_of(t, "- {path: /a/b, upstream: 'service:users'}\n"
                                        "- {path: /a, exact: true, upstream: 'service:users'}\n");
    CHECK_INT(find(&routes, "h", HTTP_GET, "/a/b"), 0);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/a/b/"), 0);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/a/b/c"), 0);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/a/bc"), -1);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/a"), 1);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/a/"), -1);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/A/b"), -1);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/"), -1);
}

TEST(the_root_takes_all_and_the_exact_root_only_itself)
{
    struct routes routes = routes_of(t, "- {path: /, exact: true, upstream: 'service:users'}\n"
                                        "- {path: /, upstream: 'service:users'}\n");
    CHECK_INT(find(&routes, "h", HTTP_GET, "/"), 0);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/x"), 1);
}

TEST(the_first_route_that_fits_is_taken)
{
    struct routes routes = routes_of(t, "- {path: /a/b, upstream: 'service:users'}\n"
                                        "- {path: /a, upstream: 'service:users'}\n"
                                        "- {path: /a/c, upstream: 'service:users'}\n");
    CHECK_INT(find(&routes, "h", HTTP_GET, "/a/b"), 0);
    CHECK_INT(find(&routes, "h", HTTP_GET, "/a/c"), 1);
}

TEST(a_host_fits_whatever_its_case_and_port)
{
    struct routes routes = routes_of(t, "- {path: /, host: a.example, upstream: 'service:users'}\n"
                                        "- {path: /, host: '[::1]', upstream: 'service:users'}\n");
    CHECK_INT(find(&routes, "a.example", HTTP_GET, "/"), 0);
    CHECK_INT(find(&routes, "A.Example:3000", HTTP_GET, "/"), 0);
    CHECK_INT(find(&routes, "a.example.org", HTTP_GET, "/"), -1);
    CHECK_INT(find(&routes, "b.example", HTTP_GET, "/"), -1);
    CHECK_INT(find(&routes, "", HTTP_GET, "/"), -1);
    CHECK_INT(find(&routes, "[::1]:3000", HTTP_GET, "/"), 1);
}

TEST(where_only_the_method_does_not_fit_the_allowed_ones_are_told)
{
    struct routes routes = routes_of(t, "- {path: /a, methods: [POST], upstream: 'service:users'}\n"
                                        "- {path: /a, methods: [GET], upstream: 'service:users'}\n"
                                        "- {path: /a, host: other, upstream: 'service:users'}\n");
    struct route_found found = routes_find(&routes, STR("h"), HTTP_PUT, STR("/a"));
    CHECK(!found.route);
    CHECK_INT(found.allow, 1 << HTTP_POST | 1 << HTTP_GET | 1 << HTTP_HEAD);
    CHECK_INT(routes_find(&routes, STR("h"), HTTP_PUT, STR("/b")).allow, 0);
    CHECK_INT(find(&routes, "h", HTTP_HEAD, "/a"), 1);
}

TEST(a_rewrite_takes_the_place_of_the_paths_beginning)
{
    struct routes routes =
        routes_of(t, "- {path: /api/v1, rewrite: /orders, upstream: 'service:orders'}\n"
                     "- {path: /api, rewrite: /, upstream: 'service:orders'}\n"
                     "- {path: /, rewrite: /orders, upstream: 'service:orders'}\n"
                     "- {path: /x, upstream: 'service:orders'}\n");
    const struct route *items = routes.items;

    CHECK_STR(route_path(t->arena, &items[0], STR("/api/v1")), "/orders");
    CHECK_STR(route_path(t->arena, &items[0], STR("/api/v1/1")), "/orders/1");
    CHECK_STR(route_path(t->arena, &items[1], STR("/api")), "/");
    CHECK_STR(route_path(t->arena, &items[1], STR("/api/users/me")), "/users/me");
    CHECK_STR(route_path(t->arena, &items[2], STR("/1")), "/orders/1");
    CHECK_STR(route_path(t->arena, &items[3], STR("/x/%20y")), "/x/%20y");
}
