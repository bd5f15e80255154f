#include "tests/fuzz/calls.h"

#include "base/json.h"
#include "chassis/grpc.h"
#include "chassis/grpc_status.h"
#include "gen/orders.h"
#include "gen/products.h"
#include "gen/users.h"
#include "tests/fuzz/fuzz.h"

static const struct event_spec *const events[] = {
    &orders_event_order_placed,     &orders_event_order_confirmed,  &orders_event_order_closed,
    &orders_event_order_shipped,    &orders_event_order_returned,   &orders_event_order_news,
    &users_event_user_erased,       &products_event_stock_reserved, &products_event_stock_refused,
    &products_event_variant_priced,
};

static void add_message(struct calls *calls, const struct message_spec *spec)
{
    for (int i = 0; i < calls->messages_count; i++)
        if (calls->messages[i] == spec)
            return;
    FUZZ_CHECK(calls->messages_count < MESSAGES_MAX);
    calls->messages[calls->messages_count++] = spec;
    for (unsigned i = 0; i < spec->descriptor->n_fields; i++)
        if (spec->fields[i].message)
            add_message(calls, spec->fields[i].message);
}

static void add_calls(struct calls *calls, const struct call_spec *const *items, int count)
{
    for (int i = 0; i < count; i++) {
        FUZZ_CHECK(calls->count < CALLS_MAX);
        calls->items[calls->count++] = items[i];
        add_message(calls, items[i]->request);
        add_message(calls, items[i]->response);
    }
}

const struct calls *calls_all(void)
{
    static struct calls calls;

    if (calls.count > 0)
        return &calls;
    add_calls(&calls, users_calls, USERS_CALLS_COUNT);
    add_calls(&calls, products_calls, PRODUCTS_CALLS_COUNT);
    add_calls(&calls, orders_calls, ORDERS_CALLS_COUNT);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        add_message(&calls, events[i]->message);
    calls.memory = arena_open(SIZE_MAX);
    calls.router = router_of_calls(calls.memory, calls.items, calls.count);
    return &calls;
}

static void check_problem(struct arena *arena, err error)
{
    struct request request = { .arena = arena };
    const struct json *root;

    request_identify(&request);
    response_problem(&request, error);
    FUZZ_CHECK(request.response.status >= 400 && request.response.status < 600);
    FUZZ_CHECK(json_read(arena, request.response.body, &root) == OK);
    FUZZ_CHECK(json_member(root, STR("code")) != NULL);
    for (int i = 0; i < request.response.headers_count; i++)
        for (size_t at = 0; at < request.response.headers[i].value.len; at++)
            FUZZ_CHECK((unsigned char)request.response.headers[i].value.ptr[at] >= ' ');
}

/* What a neighbour reads is what was refused. */
static void check_status(struct arena *arena, err error)
{
    struct request request = { .arena = arena, .grpc = true };
    struct header trailers[GRPC_TRAILERS_MAX];

    request_identify(&request);
    grpc_refuse(&request, error);
    FUZZ_CHECK(request.response.grpc_status > 0 && request.response.grpc_status <= 16);
    int count = grpc_trailers(&request, trailers);
    for (int i = 0; i < count; i++)
        for (size_t at = 0; at < trailers[i].value.len; at++)
            FUZZ_CHECK(trailers[i].value.ptr[at] >= ' ' && trailers[i].value.ptr[at] <= '~');

    err again = grpc_status_error(arena, &request.response);
    FUZZ_CHECK(again && again->code == error->code);
    FUZZ_CHECK(again->fields_count == error->fields_count);
    for (size_t i = 0; i < error->fields_count; i++)
        FUZZ_SAME(again->fields[i].message, error->fields[i].message);
}

void calls_check_error(struct arena *arena, err error)
{
    FUZZ_CHECK(error != OK);
    check_problem(arena, error);
    check_status(arena, error);
}
