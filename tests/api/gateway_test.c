/* The gateway before a real service (Products), inline and by a socket. */
#include "base/json.h"
#include "gen/products.h"
#include "os/disk.h"
#include "os/sync.h"
#include "services/gateway/service.h"
#include "services/products/service.h"
#include "tests/lib/client.h"
#include "tests/lib/inline.h"

#include <stdio.h>

struct door {
    struct test *t;
    struct house *house;
    struct products *products;
    struct loop *loop;
    struct gateway *gateway;
    struct thread *thread;
    struct inline_client anyone, customer, staff;
};

static void door_close(void *subject)
{
    struct door *door = subject;
    gateway_close(door->gateway);
    products_stop(door->products);
    products_close(door->products);
    loop_close(door->loop);
}

static void handle(void *gateway, struct request *request) { gateway_handle(gateway, request); }

static err gateway_of(struct door *door, struct gateway **out)
{
    struct service *products = products_service(door->products);
    static const char *const names[] = { "users", "products", "orders" };
    struct gateway_target targets[3];
    for (int i = 0; i < 3; i++)
        targets[i] = (struct gateway_target){ .name = names[i],
                                              .service = products,
                                              .calls = products_calls,
                                              .calls_count = PRODUCTS_CALLS_COUNT };
    return gateway_open(door->t->arena, door->house, door->loop, targets, 3, out);
}

static struct uuid id_of(const char *name) { return uuid_of_name(STR("test"), str_of_z(name)); }

static struct door *door_open(struct test *t, const char *const *settings)
{
    struct door *door = arena_new(t->arena, struct door);
    door->t = t;
    door->house = inline_house(t, settings);
    door->loop = loop_open();
    arena_defer(t->arena, door_close, door);
    CHECK_OK(products_open(t->arena, door->house, &door->products));
    products_start(door->products);
    CHECK_OK(gateway_of(door, &door->gateway));
    door->anyone = inline_client(t, door->house, handle, door->gateway);
    door->customer = door->staff = door->anyone;
    inline_sign_in(&door->customer, id_of("customer"), ROLE_BIT_CUSTOMER);
    inline_sign_in(&door->staff, id_of("staff"), ROLE_BIT_STAFF);
    return door;
}

/* A door with routes of its own, in a file. */
static struct door *door_with_routes(struct test *t, const char *yaml, str *file)
{
    *file = str_format(t->arena, "%s/routes.yaml", test_folder(t));
    CHECK_OK(disk_write(t->arena, *file, str_of_z(yaml), 0600));
    const char *setting =
        str_z(t->arena, str_format(t->arena, "ROUTES_FILE=%" STR_F, STR_A(*file)));
    return door_open(t, (const char *const[]){ setting, NULL });
}

/* ---- Routes ---- */

TEST(a_call_reaches_its_service_by_the_first_segment)
{
    struct door *door = door_open(t, NULL);
    struct answer_seen answer = inline_get(&door->anyone, "/products");
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/items"), "0");
}

TEST(what_is_on_no_route_is_not_found)
{
    struct door *door = door_open(t, NULL);
    static const char *const paths[] = { "/",           "/nothing",  "/productsx",
                                         "/%70roducts", "/Products", "//products",
                                         "/./products", "/docs/",    "/docs/x" };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        CHECK_PROBLEM(inline_get(&door->anyone, paths[i]), 404, "route.unknown");
}

TEST(calls_for_neighbours_and_operators_are_not_found_from_outside)
{
    struct door *door = door_open(t, NULL);
    CHECK_PROBLEM(inline_get(&door->staff, "/operator/products"), 404, "route.unknown");
    CHECK_PROBLEM(inline_post(&door->staff, "/operator/users", "{}"), 404, "route.unknown");
    CHECK_PROBLEM(inline_post(&door->staff, "/products.v1.Products/QuotePrices", "{}"), 404,
                  "route.unknown");
}

TEST(a_method_that_the_routes_of_a_path_do_not_take_is_told_those_they_do)
{
    str file;
    struct door *door = door_with_routes(
        t, "- {path: /products, methods: [GET, POST], upstream: 'service:products'}\n", &file);
    struct answer_seen answer = inline_delete(&door->staff, "/products");
    CHECK_PROBLEM(answer, 405, "route.method_not_allowed");
    CHECK_STR(inline_header(&answer, "allow"), "GET, HEAD, POST");
}

TEST(a_route_may_rewrite_the_path)
{
    str file;
    struct door *door = door_with_routes(
        t, "- {path: /api/shop, rewrite: /products, upstream: 'service:products'}\n", &file);
    CHECK_STATUS(inline_get(&door->anyone, "/api/shop"), 200);
    CHECK_STATUS(inline_get(&door->anyone, "/api/shop/categories?limit=1"), 400);
    CHECK_STATUS(inline_get(&door->anyone, "/api/shop/categories"), 200);
    CHECK_PROBLEM(inline_get(&door->anyone, "/products"), 404, "route.unknown");
}

TEST(a_route_may_want_a_role)
{
    str file;
    struct door *door = door_with_routes(
        t, "- {path: /products, access: staff, upstream: 'service:products'}\n", &file);
    struct answer_seen answer = inline_get(&door->anyone, "/products");
    CHECK_PROBLEM(answer, 401, "auth.token_missing");
    CHECK(inline_header(&answer, "www-authenticate").len > 0);
    CHECK_PROBLEM(inline_get(&door->customer, "/products"), 403, "auth.role_missing");
    CHECK_STATUS(inline_get(&door->staff, "/products"), 200);

    struct inline_client liar = door->anyone;
    liar.token = STR("not.a.token");
    CHECK_PROBLEM(inline_get(&liar, "/products"), 401, "auth.token_invalid");
}

TEST(routes_are_read_again_and_a_mistake_leaves_the_old_ones)
{
    str file;
    struct door *door = door_with_routes(t,
                                         "- {path: /a, rewrite: /products, upstream: 'service:"
                                         "products'}\n",
                                         &file);
    CHECK_STATUS(inline_get(&door->anyone, "/a"), 200);

    CHECK_OK(disk_write(t->arena, file,
                        STR("- {path: /b, rewrite: /products, upstream: 'service:products'}\n"),
                        0600));
    CHECK_STATUS(inline_get(&door->anyone, "/a"), 200);
    CHECK_OK(gateway_reload(door->gateway, t->arena));
    CHECK_PROBLEM(inline_get(&door->anyone, "/a"), 404, "route.unknown");
    CHECK_STATUS(inline_get(&door->anyone, "/b"), 200);

    CHECK_OK(disk_write(t->arena, file, STR("- {path: /c}\n"), 0600));
    err error = gateway_reload(door->gateway, t->arena);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("routes.yaml:1: ")) > 0);
    CHECK_STATUS(inline_get(&door->anyone, "/b"), 200);

    CHECK_OK(disk_remove(t->arena, file));
    CHECK_ERR(gateway_reload(door->gateway, t->arena), OS_FAILED);
    CHECK_STATUS(inline_get(&door->anyone, "/b"), 200);
}

TEST(settings_that_are_not_allowed_stop_the_start)
{
    struct door *door = door_open(t, NULL);
    struct gateway *gateway;

    struct house other = *door->house;
    char *environment[] = { (char *)(uintptr_t) "TRUSTED_PROXIES=10.0.0.0/99", NULL };
    char *arguments[] = { (char *)(uintptr_t) "test", NULL };
    CHECK_OK(conf_load(t->arena, 1, arguments, environment, &other.conf, NULL));
    door->house = &other;
    CHECK_ERR(gateway_of(door, &gateway), SETTING_INVALID);
}

/* ---- Pages of other origins ---- */

static const char LISTED[] = "Origin: https://shop.example";
static const char OTHER[] = "Origin: https://evil.example";
static const char ASKS[] = "Access-Control-Request-Method: POST";

static struct answer_seen by_page(struct door *door, const char *method, const char *target,
                                  const char *origin, const char *more)
{
    return inline_request(&door->anyone, method, target,
                          (const char *const[]){ origin, more, NULL }, STR_NONE);
}

TEST(a_page_of_a_listed_origin_may_ask_and_read_and_another_may_not)
{
    struct door *door =
        door_open(t, (const char *const[]){ "CORS_ORIGINS=https://shop.example", NULL });
    struct answer_seen asked = by_page(door, "OPTIONS", "/orders", LISTED, ASKS);
    CHECK_STATUS(asked, 204);
    CHECK_STR(inline_header(&asked, "access-control-allow-origin"), "https://shop.example");
    struct answer_seen refused = by_page(door, "OPTIONS", "/orders", OTHER, ASKS);
    CHECK_PROBLEM(refused, 403, "cors.origin");
    CHECK(!inline_header(&refused, "access-control-allow-origin").ptr);
    CHECK(!inline_header(&refused, "access-control-allow-methods").ptr);

    struct answer_seen read = by_page(door, "GET", "/products", LISTED, NULL);
    CHECK_STATUS(read, 200);
    CHECK_STR(inline_header(&read, "access-control-allow-origin"), "https://shop.example");
    CHECK(str_find(inline_header(&read, "access-control-expose-headers"), STR("ETag")) >= 0);
    struct answer_seen hidden = by_page(door, "GET", "/products", OTHER, NULL);
    CHECK(!inline_header(&hidden, "access-control-allow-origin").ptr);
    CHECK_STR(inline_header(&hidden, "vary"), "Origin");
}

TEST(a_page_may_read_refusals_too)
{
    struct door *door = door_open(
        t, (const char *const[]){ "CORS_ORIGINS=https://shop.example", "RATE_LIMIT=2", NULL });
    struct answer_seen missing = by_page(door, "GET", "/nothing", LISTED, NULL);
    CHECK_PROBLEM(missing, 404, "route.unknown");
    CHECK_STR(inline_header(&missing, "access-control-allow-origin"), "https://shop.example");
    by_page(door, "GET", "/products", LISTED, NULL);
    struct answer_seen limited = by_page(door, "OPTIONS", "/products", LISTED, ASKS);
    CHECK_PROBLEM(limited, 429, "rate.exceeded");
    CHECK_STR(inline_header(&limited, "access-control-allow-origin"), "https://shop.example");
}

TEST(options_that_no_browser_asks_before_a_call_is_a_method_that_is_not_taken)
{
    struct door *door = door_open(t, (const char *const[]){ "CORS_ORIGINS=*", NULL });
    CHECK_PROBLEM(by_page(door, "OPTIONS", "/products", LISTED, NULL), 405,
                  "route.method_not_allowed");
    CHECK_STATUS(by_page(door, "OPTIONS", "/products", LISTED, ASKS), 204);
}

/* ---- Rate limits ---- */

TEST(each_answer_tells_what_is_left_of_the_limit)
{
    struct door *door = door_open(t, NULL);
    struct answer_seen answer = inline_get(&door->anyone, "/products");
    CHECK_STR(inline_header(&answer, "ratelimit"), "\"default\";r=5999;t=1");
    CHECK_STR(inline_header(&answer, "ratelimit-policy"), "\"default\";q=6000;w=60");
    answer = inline_get(&door->anyone, "/nothing");
    CHECK_STR(inline_header(&answer, "ratelimit-policy"), "\"default\";q=6000;w=60");
    answer = inline_post(&door->anyone, "/users/login", "{}");
    CHECK_STR(inline_header(&answer, "ratelimit-policy"), "\"sign_in\";q=20;w=60");
}

TEST(who_asks_too_often_is_told_when_to_come_back_and_others_are_not_concerned)
{
    struct door *door = door_open(t, (const char *const[]){ "RATE_LIMIT=3", NULL });
    struct inline_client other = door->anyone;
    other.address = STR("192.0.2.77");

    for (int i = 0; i < 3; i++)
        CHECK_STATUS(inline_get(&door->anyone, "/products"), 200);
    struct answer_seen answer = inline_get(&door->anyone, "/products");
    CHECK_PROBLEM(answer, 429, "rate.exceeded");
    CHECK_STR(inline_header(&answer, "ratelimit"), "\"default\";r=0;t=60");
    int64_t seconds;
    CHECK(str_to_int64(inline_header(&answer, "retry-after"), 1, 20, &seconds));
    CHECK_STATUS(inline_get(&other, "/products"), 200);
}

TEST(signing_in_has_a_stricter_limit_by_address_whoever_one_is)
{
    struct door *door = door_open(t, (const char *const[]){ "RATE_LIMIT_SIGN_IN=2", NULL });

    /* The service behind is a stand-in: what it answers does not matter here. */
    CHECK_STATUS(inline_post(&door->anyone, "/users/login", "{}"), 404);
    CHECK_STATUS(inline_post(&door->customer, "/users/refresh", "{}"), 404);
    CHECK_PROBLEM(inline_post(&door->anyone, "/users", "{}"), 429, "rate.exceeded");
    CHECK_PROBLEM(inline_post(&door->customer, "/users/login", "{}"), 429, "rate.exceeded");
    CHECK_STATUS(inline_get(&door->anyone, "/products"), 200);
}

TEST(who_is_signed_in_is_limited_as_a_user_wherever_from)
{
    struct door *door = door_open(t, (const char *const[]){ "RATE_LIMIT=2", NULL });
    struct inline_client elsewhere = door->customer;
    elsewhere.address = STR("2001:db8::1");

    CHECK_STATUS(inline_get(&door->customer, "/products"), 200);
    CHECK_STATUS(inline_get(&elsewhere, "/products"), 200);
    CHECK_PROBLEM(inline_get(&door->customer, "/products"), 429, "rate.exceeded");
    CHECK_STATUS(inline_get(&door->staff, "/products"), 200);
    CHECK_STATUS(inline_get(&door->anyone, "/products"), 200);
}

TEST(tokens_that_are_not_valid_are_limited_by_address_in_a_class_of_their_own)
{
    struct door *door = door_open(t, (const char *const[]){ "RATE_LIMIT=2", NULL });
    struct inline_client liar = door->anyone;
    liar.token = STR("not.a.token");

    for (int i = 0; i < 2; i++) {
        struct answer_seen answer = inline_get(&liar, "/products");
        CHECK_STR(inline_header(&answer, "ratelimit-policy"), "\"bad_token\";q=2;w=60");
    }
    CHECK_PROBLEM(inline_get(&liar, "/products"), 429, "rate.exceeded");
    CHECK_STATUS(inline_get(&door->anyone, "/products"), 200);
}

TEST(no_limit_says_nothing)
{
    struct door *door = door_open(t, (const char *const[]){ "RATE_LIMIT=0", NULL });
    struct answer_seen answer = inline_get(&door->anyone, "/products");
    CHECK_STATUS(answer, 200);
    CHECK(!inline_header(&answer, "ratelimit").ptr);
}

TEST(behind_a_trusted_proxy_the_forwarded_client_is_limited)
{
    struct door *door =
        door_open(t, (const char *const[]){ "RATE_LIMIT=1", "TRUSTED_PROXIES=192.0.2.0/24", NULL });
    const char *const first[] = { "X-Forwarded-For: 203.0.113.1", NULL };
    const char *const second[] = { "X-Forwarded-For: 203.0.113.2", NULL };
    const char *const forged[] = { "X-Forwarded-For: 203.0.113.9, 203.0.113.1", NULL };

    CHECK_STATUS(inline_request(&door->anyone, "GET", "/products", first, STR_NONE), 200);
    CHECK_STATUS(inline_request(&door->anyone, "GET", "/products", second, STR_NONE), 200);
    CHECK_STATUS(inline_request(&door->anyone, "GET", "/products", first, STR_NONE), 429);
    CHECK_STATUS(inline_request(&door->anyone, "GET", "/products", forged, STR_NONE), 429);
}

/* ---- Pages ---- */

TEST(the_contract_and_its_page_are_served)
{
    struct door *door = door_open(t, NULL);

    struct answer_seen openapi = inline_get(&door->anyone, "/openapi.json");
    CHECK_STATUS(openapi, 200);
    CHECK_STR(openapi.content_type, "application/json");
    CHECK(str_starts(inline_text(t, &openapi, "/openapi"), STR("3.1")));

    struct answer_seen docs = inline_get(&door->anyone, "/docs");
    CHECK_STATUS(docs, 200);
    CHECK_STR(docs.content_type, "text/html; charset=utf-8");
    CHECK(str_find(inline_header(&docs, "content-security-policy"), STR("'sha256-")) > 0);
    CHECK_STR(inline_header(&docs, "x-content-type-options"), "nosniff");

    str etag = inline_header(&docs, "etag");
    const char *const headers[] = {
        str_z(t->arena, str_format(t->arena, "If-None-Match: %" STR_F, STR_A(etag))), NULL
    };
    CHECK_STATUS(inline_request(&door->anyone, "GET", "/docs", headers, STR_NONE), 304);
    CHECK_STATUS(inline_request(&door->anyone, "GET", "/openapi.json", headers, STR_NONE), 200);

    struct answer_seen answer = inline_post(&door->anyone, "/docs", "{}");
    CHECK_PROBLEM(answer, 405, "route.method_not_allowed");
    CHECK_STR(inline_header(&answer, "allow"), "GET, HEAD");
}

/* ---- By the socket ---- */

static void run_loop(void *loop) { loop_run(loop); }

static int door_listen(struct door *door)
{
    CHECK_OK(gateway_listen(door->gateway, door->t->arena));
    int port = http_port(gateway_server(door->gateway));
    door->thread = thread_start("gateway-test", run_loop, door->loop);
    return port;
}

struct stop {
    struct loop_task task;
    struct door *door;
};

static void stop_loop(void *loop) { loop_stop(loop); }

static void stop_door(struct loop_task *task)
{
    struct door *door = ((struct stop *)task)->door;
    gateway_stop(door->gateway, CLIENT_WAIT_MS, stop_loop, door->loop);
}

static void door_stop(struct door *door)
{
    struct stop stop = { .task.run = stop_door, .door = door };
    loop_post(door->loop, &stop.task);
    thread_join(door->thread);
    CHECK(!gateway_server(door->gateway));
}

static str ask(struct test *t, int port, str bytes)
{
    int fd = client_connect(port);
    client_send(fd, bytes);
    str answer = client_read_answer(t->arena, fd, true);
    close(fd);
    return answer;
}

TEST(by_the_socket_each_answer_has_its_ids)
{
    struct door *door = door_open(t, (const char *const[]){ "LISTEN_ADDR=127.0.0.1:0", NULL });
    int port = door_listen(door);

    str answer = ask(t, port, STR("GET /products HTTP/1.1\r\nHost: h\r\nX-Request-Id: a\r\n\r\n"));
    CHECK_INT(answer_status(answer), 200);
    CHECK_STR(answer_header(answer, STR("X-Request-Id")), "a");
    CHECK_INT(answer_header(answer, STR("traceparent")).len, 55);
    answer = ask(t, port, STR("GET /no HTTP/1.1\r\nHost: h\r\nX-Request-Id: b\r\n\r\n"));
    CHECK_INT(answer_status(answer), 404);
    CHECK_STR(answer_header(answer, STR("X-Request-Id")), "b");
    answer = ask(t, port, STR("GET /products HTTP/1.1\r\n\r\n"));
    CHECK_INT(answer_status(answer), 400);
    CHECK(answer_header(answer, STR("X-Request-Id")).len > 0);
    door_stop(door);
}

TEST(by_the_socket_a_body_has_the_limit_of_its_call)
{
    struct door *door = door_open(t, (const char *const[]){ "LISTEN_ADDR=127.0.0.1:0", NULL });
    int port = door_listen(door);

    str answer = ask(t, port,
                     STR("POST /nothing HTTP/1.1\r\nHost: h\r\n"
                         "Content-Length: 65537\r\n\r\n"));
    CHECK_INT(answer_status(answer), 413);

    /* Who may not import hears so before sending it. */
    answer = ask(t, port,
                 STR("POST /products/imports HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                     "Content-Type: text/csv\r\nContent-Length: 1000000\r\n\r\n"));
    CHECK_INT(answer_status(answer), 401);
    CHECK_STR(answer_header(answer, STR("Connection")), "close");
    CHECK(answer_header(answer, STR("X-Request-Id")).len > 0);

    str head = str_format(t->arena,
                          "POST /products/imports HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                          "Authorization: Bearer %" STR_F "\r\nContent-Type: text/csv\r\n"
                          "Content-Length: 1000000\r\n\r\n",
                          STR_A(door->staff.token));
    int fd = client_connect(port);
    client_send(fd, head);
    CHECK_STR(client_read(t->arena, fd, 25), "HTTP/1.1 100 Continue\r\n\r\n");
    close(fd);
    door_stop(door);
}

TEST(a_taken_public_address_names_its_setting)
{
    struct door *door = door_open(t, (const char *const[]){ "LISTEN_ADDR=127.0.0.1:0", NULL });
    int port = door_listen(door);
    const char *setting = str_z(t->arena, str_format(t->arena, "LISTEN_ADDR=127.0.0.1:%d", port));
    struct door *second = door_open(t, (const char *const[]){ setting, NULL });

    err error = gateway_listen(second->gateway, t->arena);
    CHECK_ERR(error, ADDRESS_TAKEN);
    CHECK(str_find(error->detail, STR("LISTEN_ADDR")) >= 0);
    door_stop(door);
}
