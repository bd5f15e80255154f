#include "chassis/router.h"
#include "tests/lib/test.h"

enum { PIECES_MAX = 8, CALLS_MAX = 16 };

/* A contract of calls that only have a method and a template. */
struct contract {
    struct test *t;
    struct call_spec calls[CALLS_MAX];
    struct service_spec spec;
};

static struct contract *contract_of(struct test *t)
{
    struct contract *contract = arena_new(t->arena, struct contract);
    contract->t = t;
    contract->spec = (struct service_spec){ .name = "test", .calls = contract->calls };
    return contract;
}

/* Adds a call at a template like "/orders/{id}/cancel". */
static const struct call_spec *add(struct contract *contract, enum http_method method,
                                   const char *path)
{
    struct arena *arena = contract->t->arena;
    struct path_piece *pieces = arena_array(arena, struct path_piece, PIECES_MAX);
    int count = 0, field = 0;
    for (str rest = str_of_z(path); rest.ptr && rest.len > 0;) {
        str literal = str_cut(&rest, '{');
        if (literal.len > 0)
            pieces[count++].literal = str_z(arena, literal);
        if (!rest.ptr)
            break;
        str_cut(&rest, '}');
        pieces[count++].field = field++;
    }
    struct call_spec *call = &contract->calls[contract->spec.calls_count];
    *call = (struct call_spec){ .index = contract->spec.calls_count++,
                                .method = method,
                                .routed = true,
                                .path = path,
                                .pieces = pieces,
                                .pieces_count = count };
    return call;
}

static struct router router(struct contract *contract)
{
    return router_of(contract->t->arena, &contract->spec);
}

/* The template that a path is routed to, or "". */
static const char *found(struct router router, enum http_method method, const char *path)
{
    struct route_match match = router_find(&router, method, str_of_z(path));
    return match.spec ? match.spec->path : "";
}

TEST(a_path_goes_to_the_call_of_its_method_and_template)
{
    struct contract *contract = contract_of(t);
    add(contract, HTTP_GET, "/orders");
    add(contract, HTTP_POST, "/orders");
    add(contract, HTTP_GET, "/orders/{id}");
    add(contract, HTTP_POST, "/orders/{id}/cancel");
    struct router routes = router(contract);

    CHECK_STR(found(routes, HTTP_GET, "/orders"), "/orders");
    CHECK_STR(found(routes, HTTP_GET, "/orders/7"), "/orders/{id}");
    CHECK_STR(found(routes, HTTP_POST, "/orders/7/cancel"), "/orders/{id}/cancel");
    struct route_match match = router_find(&routes, HTTP_POST, STR("/orders"));
    CHECK_INT(match.spec->method, HTTP_POST);
}

TEST(variables_are_given_as_they_came_in_the_order_of_the_template)
{
    struct contract *contract = contract_of(t);
    add(contract, HTTP_GET, "/{a}/in/{b}/{c}");
    struct router routes = router(contract);
    struct route_match match = router_find(&routes, HTTP_GET, STR("/x%2Fy/in/1/%C3%A9"));
    CHECK(match.spec);
    CHECK_STR(match.variables[0], "x%2Fy");
    CHECK_STR(match.variables[1], "1");
    CHECK_STR(match.variables[2], "%C3%A9");
}

TEST(a_variable_is_one_whole_segment_that_is_not_empty)
{
    struct contract *contract = contract_of(t);
    add(contract, HTTP_GET, "/orders/{id}");
    struct router routes = router(contract);
    CHECK_STR(found(routes, HTTP_GET, "/orders/"), "");
    CHECK_STR(found(routes, HTTP_GET, "/orders/7/8"), "");
    CHECK_STR(found(routes, HTTP_GET, "/orders/7/"), "");
    CHECK_STR(found(routes, HTTP_GET, "/orders//"), "");
}

TEST(no_other_spelling_of_a_path_is_accepted)
{
    struct contract *contract = contract_of(t);
    add(contract, HTTP_GET, "/orders");
    struct router routes = router(contract);
    static const char *const others[] = { "",        "/",        "/order",   "/orders/",
                                          "/Orders", "//orders", "/ordersx", "/%6frders" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct route_match match = router_find(&routes, HTTP_GET, str_of_z(others[i]));
        CHECK(!match.spec && match.allow == 0);
    }
}

/* In every order in which the contract may name them. */
TEST(the_more_literal_template_is_tried_first_in_whatever_order_they_stand)
{
    static const char *const paths[] = { "/users/{id}", "/users/me", "/users/me/sessions",
                                         "/users/{id}/sessions", "/{a}/{b}" };
    static const char *const asked[][2] = {
        { "/users/me", "/users/me" },
        { "/users/7", "/users/{id}" },
        { "/users/me/sessions", "/users/me/sessions" },
        { "/users/7/sessions", "/users/{id}/sessions" },
        { "/other/me", "/{a}/{b}" },
    };
    enum { COUNT = 5, ORDERS = 120 };
    for (int order = 0; order < ORDERS; order++) {
        struct contract *contract = contract_of(t);
        int left[COUNT] = { 0, 1, 2, 3, 4 };
        for (int i = COUNT, rest = order; i > 0; i--) {
            int at = rest % i;
            rest /= i;
            add(contract, HTTP_GET, paths[left[at]]);
            memmove(&left[at], &left[at + 1], sizeof(int) * (size_t)(i - at - 1));
        }
        struct router routes = router(contract);
        for (int i = 0; i < COUNT; i++)
            CHECK_STR(found(routes, HTTP_GET, asked[i][0]), asked[i][1]);
    }
}

TEST(a_method_that_is_not_taken_hears_which_are)
{
    struct contract *contract = contract_of(t);
    add(contract, HTTP_GET, "/users/{id}");
    add(contract, HTTP_DELETE, "/users/me");
    add(contract, HTTP_PATCH, "/users/{id}");
    struct router routes = router(contract);
    struct route_match match = router_find(&routes, HTTP_POST, STR("/users/me"));
    CHECK(!match.spec);
    CHECK_STR(router_allow_text(t->arena, match.allow), "DELETE");
    match = router_find(&routes, HTTP_POST, STR("/users/7"));
    CHECK_STR(router_allow_text(t->arena, match.allow), "GET, HEAD, PATCH");
}

TEST(a_literal_that_does_not_take_the_method_does_not_leave_it_to_a_variable)
{
    struct contract *contract = contract_of(t);
    add(contract, HTTP_DELETE, "/users/me");
    add(contract, HTTP_GET, "/users/{id}");
    CHECK_STR(found(router(contract), HTTP_GET, "/users/me"), "");
    CHECK_STR(found(router(contract), HTTP_GET, "/users/7"), "/users/{id}");
    CHECK_STR(found(router(contract), HTTP_DELETE, "/users/me"), "/users/me");
}

TEST(head_goes_where_get_goes)
{
    struct contract *contract = contract_of(t);
    add(contract, HTTP_GET, "/orders");
    add(contract, HTTP_POST, "/imports");
    struct router routes = router(contract);
    CHECK_STR(found(routes, HTTP_HEAD, "/orders"), "/orders");
    CHECK_STR(found(routes, HTTP_HEAD, "/imports"), "");
    struct route_match match = router_find(&routes, HTTP_HEAD, STR("/imports"));
    CHECK_STR(router_allow_text(t->arena, match.allow), "POST");
}

TEST(a_call_without_a_path_is_never_found)
{
    struct contract *contract = contract_of(t);
    add(contract, HTTP_GET, "/orders");
    contract->calls[0].routed = false;
    struct router routes = router(contract);
    CHECK_INT(routes.calls_count, 0);
    CHECK_STR(found(routes, HTTP_GET, "/orders"), "");
}

TEST(an_empty_set_of_methods_is_an_empty_text)
{
    CHECK_STR(router_allow_text(t->arena, 0), "");
    CHECK_STR(router_allow_text(t->arena, 1U << HTTP_OPTIONS), "OPTIONS");
}
