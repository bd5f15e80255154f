#include "chassis/client_inside.h"

#include "chassis/grpc.h"
#include "chassis/http.h"
#include "chassis/upstream.h"
#include "counter.h"
#include "os/clock.h"
#include "tests/lib/client.h"

#include <stdio.h>

/* A counter service behind a port, and who asks it by gRPC; server and upstream are on one loop. */
struct shop {
    struct counter *counter;
    struct loop *loop;
    struct thread *thread;
    struct http_server *server;
    struct upstream *upstream;
    struct client *client;
    struct call *call;
    char seen[512];             /* headers of the request that came last */
    int requests, closed, left; /* left: requests whose caller went */
    struct request outer;       /* what the caller is at work on */
    size_t answer_bytes;        /* it answers so many itself; 0: the service does */
    struct loop_task task;
};

static void see(struct shop *shop, const struct request *request)
{
    static const char *const names[] = { "traceparent", "x-caller", "content-type", "te" };
    size_t len = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        str value = request_header(request, str_of_z(names[i]));
        len += (size_t)snprintf(shop->seen + len, sizeof(shop->seen) - len, "%s=%" STR_F "\n",
                                names[i], STR_A(value));
    }
    snprintf(shop->seen + len, sizeof(shop->seen) - len, "timeout=%d\n",
             request_header(request, STR("grpc-timeout")).len > 0);
}

static void answer_long(struct request *request, size_t bytes)
{
    Products__Stock stock = PRODUCTS__STOCK__INIT;
    char *text = arena_alloc(request->arena, bytes, 1);

    memset(text, 'x', bytes);
    stock.sku = field_of(str_of(text, bytes));
    grpc_answer(request, &stock);
    request_respond(request);
}

static void on_left(void *shop)
{
    __atomic_fetch_add(&((struct shop *)shop)->left, 1, __ATOMIC_SEQ_CST);
}

static void handle(void *self, struct request *request)
{
    struct shop *shop = self;

    request_identify(request);
    see(shop, request);
    __atomic_fetch_add(&shop->requests, 1, __ATOMIC_SEQ_CST);
    if (shop->answer_bytes > 0) {
        answer_long(request, shop->answer_bytes);
        return;
    }
    service_handle(shop->counter->service, request);
    if (shop->call->request == &shop->outer) {
        request->left = &on_left;
        request->left_subject = shop;
    }
}

static int add_headers(void *self, const struct call *caller, struct arena *arena,
                       struct header added[CLIENT_ADDED_MAX])
{
    (void)self, (void)caller;
    added[0] = (struct header){ STR("x-caller"), str_copy(arena, STR("orders")) };
    return 1;
}

static void run_loop(void *subject) { loop_run(subject); }

static void on_closed(void *subject)
{
    __atomic_fetch_add(&((struct shop *)subject)->closed, 1, __ATOMIC_SEQ_CST);
}

static void act_close(struct loop_task *task)
{
    struct shop *shop = (struct shop *)((char *)task - offsetof(struct shop, task));
    http_close(shop->server, CLIENT_WAIT_MS, on_closed, shop);
}

static void wait_for(int *counter, int least)
{
    int64_t deadline_us = clock_mono_us() + CLIENT_WAIT_MS * TIME_MS;
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < least) {
        if (clock_mono_us() > deadline_us)
            FAIL("waited in vain for %d", least);
        sleep_until(clock_mono_us() + 500);
    }
}

static void close_server(struct shop *shop)
{
    if (!shop->server)
        return;
    shop->task.run = act_close;
    loop_post(shop->loop, &shop->task);
    wait_for(&shop->closed, 1);
    shop->server = NULL;
}

static void close_shop(void *subject)
{
    struct shop *shop = subject;

    service_job_close(shop->call);
    close_server(shop);
    loop_stop(shop->loop);
    thread_join(shop->thread);
    client_close(shop->client);
    upstream_close(shop->upstream);
}

/* After the service's workers are gone, which may be waking it. */
static void close_loop(void *loop) { loop_close(loop); }

static struct shop *shop_of(struct test *t, int calls_max)
{
    struct shop *shop = arena_new(t->arena, struct shop);
    struct http_config config = { .address = STR("127.0.0.1:0"),
                                  .setting = "ADDR",
                                  .head_bytes_max = 16384,
                                  .target_bytes_max = 4096,
                                  .body_bytes_max = 65536,
                                  .head_timeout_ms = 20000,
                                  .body_timeout_ms = 20000,
                                  .idle_timeout_ms = 20000,
                                  .write_timeout_ms = 20000,
                                  .connections_max = 100,
                                  .arena_bytes_max = 32 * 1024 * 1024 };
    struct http_handler handler = { .self = shop, .handle = handle };

    shop->loop = loop_open();
    arena_defer(t->arena, close_loop, shop->loop);
    shop->counter = counter_started(t);
    CHECK_OK(http_open(t->arena, shop->loop, &config, &handler, &shop->server));
    struct upstream_config upstream = { .name = "counter",
                                        .url = str_format(t->arena, "http://127.0.0.1:%d",
                                                          http_port(shop->server)),
                                        .setting = "COUNTER_URL",
                                        .conf = shop->counter->house.conf };
    CHECK_OK(upstream_open(t->arena, shop->loop, &upstream, &shop->upstream));
    struct client_remote remote = { .upstream = shop->upstream,
                                    .calls_max = calls_max,
                                    .add_headers = add_headers };
    shop->client = client_open_remote(&remote);
    shop->call = service_job_open(shop->counter->service, "asker");
    shop->thread = thread_start("shop", run_loop, shop->loop);
    arena_defer(t->arena, close_shop, shop);
    return shop;
}

static err ask_of(struct shop *shop, enum counter_call which, const char *sku,
                  const Products__Stock **stock)
{
    Products__GetStockRequest in = PRODUCTS__GET_STOCK_REQUEST__INIT;
    const void *out = NULL;

    in.sku = field_of(str_of_z(sku));
    err error = client_call(shop->client, shop->call, &counter_spec.calls[which], &in, &out);
    *stock = out;
    return error;
}

static err ask(struct shop *shop, const char *sku, const Products__Stock **stock)
{
    return ask_of(shop, COUNTER_MEMORY, sku, stock);
}

TEST(a_neighbour_in_another_process_answers_in_the_callers_arena)
{
    struct shop *shop = shop_of(t, 2);
    const Products__Stock *stock;

    shop->call->traceparent = STR("00-0123456789abcdef0123456789abcdef-00f067aa0ba902b7-01");
    shop->call->deadline_us = clock_mono_us() + 10 * TIME_SECOND;
    CHECK_OK(ask(shop, "mug", &stock));
    CHECK_INT(stock->on_hand, 7);
    CHECK_STR(text_of(stock->sku), "mug");
    CHECK_STR((const char *)shop->seen,
              "traceparent=00-0123456789abcdef0123456789abcdef-00f067aa0ba902b7-01\n"
              "x-caller=orders\ncontent-type=application/grpc+proto\nte=trailers\ntimeout=1\n");
    for (int i = 0; i < 100; i++)
        CHECK_OK(ask(shop, "tea", &stock));
    CHECK_INT(shop->requests, 101);
}

TEST(the_neighbours_error_is_the_callers_as_it_was)
{
    struct shop *shop = shop_of(t, 2);
    const Products__Stock *stock;

    err error = ask(shop, "fail", &stock);
    CHECK_ERR(error, STOCK_CONFLICT);
    CHECK_STR(error->detail, "as the note says");
    CHECK_ERR(ask(shop, "broken", &stock), DB_FAILED);
    error = ask_of(shop, COUNTER_QUOTE, "mug", &stock); /* it does not know who calls */
    CHECK(error != OK && err_http_status(error) / 100 == 4);
}

TEST(a_long_answer_comes_whole_and_one_that_is_too_long_does_not)
{
    enum { LONG = 3 * 1024 * 1024, TOO_LONG = 5 * 1024 * 1024 };
    struct shop *shop = shop_of(t, 2);
    const Products__Stock *stock;

    shop->answer_bytes = LONG;
    CHECK_OK(ask(shop, "mug", &stock));
    CHECK_INT(stock->sku.len, LONG);
    CHECK(stock->sku.data[0] == 'x' && stock->sku.data[LONG - 1] == 'x');
    shop->answer_bytes = TOO_LONG;
    CHECK_ERR(ask(shop, "mug", &stock), UPSTREAM_FAILED);
    shop->answer_bytes = 0;
    CHECK_OK(ask(shop, "mug", &stock));
}

TEST(a_request_that_the_contract_does_not_take_is_not_sent)
{
    struct shop *shop = shop_of(t, 2);
    const Products__Stock *stock;

    CHECK_ERR(ask(shop, "", &stock), FIELD_INVALID);
    shop->call->deadline_us = clock_mono_us() - 1;
    CHECK_ERR(ask(shop, "mug", &stock), CALL_DEADLINE);
    CHECK_INT(shop->requests, 0);
}

TEST(the_callers_deadline_ends_the_wait)
{
    struct shop *shop = shop_of(t, 2);
    const Products__Stock *stock;

    counter_shut_gate(shop->counter);
    shop->call->deadline_us = clock_mono_us() + 200 * TIME_MS;
    int64_t began_us = clock_mono_us();
    CHECK_ERR(ask_of(shop, COUNTER_BRIEF, "gate", &stock), CALL_DEADLINE);
    CHECK(clock_mono_us() - began_us < 5 * TIME_SECOND);
    counter_open_gate(shop->counter);
}

static void leave_soon(void *subject)
{
    struct shop *shop = subject;
    counter_wait_gate(shop->counter, 1);
    request_leave(&shop->outer);
}

TEST(whose_client_leaves_waits_no_more_and_the_neighbour_hears_so)
{
    struct shop *shop = shop_of(t, 2);
    const Products__Stock *stock;

    counter_shut_gate(shop->counter);
    shop->call->request = &shop->outer;
    struct thread *thread = thread_start("leaver", leave_soon, shop);
    int64_t began_us = clock_mono_us();
    CHECK_ERR(ask_of(shop, COUNTER_BRIEF, "gate", &stock), CALL_CANCELLED);
    CHECK(clock_mono_us() - began_us < 5 * TIME_SECOND);
    thread_join(thread);
    wait_for(&shop->left, 1);
    counter_open_gate(shop->counter);
    shop->outer = (struct request){ 0 };
    CHECK_OK(ask(shop, "mug", &stock)); /* the connection is as good as before */
    shop->call->request = NULL;
}

TEST(a_neighbour_that_is_away_is_unavailable)
{
    struct shop *shop = shop_of(t, 2);
    const Products__Stock *stock;

    close_server(shop);
    CHECK_ERR(ask(shop, "mug", &stock), UPSTREAM_UNAVAILABLE);
}

struct other {
    struct shop *shop;
    struct call *call;
    err error;
};

static void ask_besides(void *subject)
{
    struct other *other = subject;
    Products__GetStockRequest in = PRODUCTS__GET_STOCK_REQUEST__INIT;
    const void *out;

    in.sku = field_of(STR("gate"));
    other->error = client_call(other->shop->client, other->call, &counter_spec.calls[COUNTER_BRIEF],
                               &in, &out);
}

TEST(only_so_many_wait_for_a_neighbour_and_the_next_hears_so_at_once)
{
    struct shop *shop = shop_of(t, 1);
    struct other other = { .shop = shop,
                           .call = service_job_open(shop->counter->service, "other") };
    const Products__Stock *stock;

    counter_shut_gate(shop->counter);
    struct thread *thread = thread_start("other", ask_besides, &other);
    counter_wait_gate(shop->counter, 1);
    err error = ask(shop, "mug", &stock);
    CHECK_ERR(error, UPSTREAM_UNAVAILABLE);
    CHECK(str_find(error->detail, STR("wait for this neighbour already")) >= 0);
    counter_open_gate(shop->counter);
    thread_join(thread);
    CHECK_OK(other.error);
    CHECK_OK(ask(shop, "mug", &stock)); /* there is room again */
    service_job_close(other.call);
}

static bool ask_with_no_room(struct shop *shop)
{
    const Products__Stock *stock;
    jmp_buf guard;

    if (setjmp(guard))
        return true;
    arena_guard(shop->call->arena, &guard);
    for (;;)
        if (ask(shop, "mug", &stock) != OK)
            return false;
}

TEST(a_caller_that_ends_over_its_ceiling_gives_its_place_back)
{
    struct shop *shop = shop_of(t, 1);
    const Products__Stock *stock;

    CHECK(ask_with_no_room(shop));
    arena_guard(shop->call->arena, NULL);
    service_job_reset(shop->call);
    CHECK_OK(ask(shop, "mug", &stock));
}
