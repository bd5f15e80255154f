/* What a call between two services costs each of them: gRPC over one connection, many at once.
 *
 *     inner-call serve ADDRESS              answers each quote on the loop, from memory
 *     inner-call ask URL AT_ONCE SECONDS    asks it from a loop, as the gateway does
 *     inner-call wait URL THREADS SECONDS   asks it from threads that wait, as workers do
 *
 * The latter two print how many were answered. CPU is measured from outside (bench.py). */
#include "chassis/client.h"
#include "chassis/grpc.h"
#include "chassis/http.h"
#include "chassis/upstream.h"
#include "gen/products.h"
#include "os/clock.h"
#include "os/sync.h"

#include <stdio.h>
#include <stdlib.h>

enum { AT_ONCE_MAX = 256, ARENA_BYTES_MAX = 4 * 1024 * 1024, HEADERS = 2, SECONDS_MAX = 600 };

static struct arena *life;

static _Noreturn void give_up(const char *why)
{
    (void)fprintf(stderr, "inner-call: %s\n", why);
    exit(1);
}

static void must(err error)
{
    if (error)
        give_up(str_z(life, err_describe(life, error)));
}

/* ---- The side that answers ---- */

static void answer(struct request *request)
{
    Products__Quoted quoted = PRODUCTS__QUOTED__INIT, *items[] = { &quoted };
    Products__QuoteResponse out = PRODUCTS__QUOTE_RESPONSE__INIT;
    Products__QuoteRequest *in;
    void *message;
    str bytes;

    err error = grpc_message(request->arena, request, ARENA_BYTES_MAX, &bytes);
    if (!error)
        error = message_unpack(request->arena, bytes, products_call_quote.request, &message);
    if (error) {
        response_problem(request, error);
        return;
    }
    in = message;
    quoted.sku = in->skus[0];
    quoted.product_id = field_of(STR("01975b6f-0000-7000-8000-000000000001"));
    quoted.title = field_of(STR("A mug made to be sold and shipped"));
    quoted.price = field_of_money(request->arena, (struct money){ 1299, { "EUR" } });
    quoted.for_sale = true;
    quoted.number = 7;
    out.items = items;
    out.n_items = 1;
    grpc_answer(request, &out);
}

static void handle(void *self, struct request *request)
{
    (void)self;
    request->route = "bench";
    request_identify(request);
    if (request->grpc)
        answer(request);
    else
        request->response = (struct response){ .status = 204 };
    request_respond(request);
}

static void serve(struct loop *loop, const char *address)
{
    struct http_config config = { .address = str_of_z(address),
                                  .setting = "ADDRESS",
                                  .head_bytes_max = 16384,
                                  .target_bytes_max = 8192,
                                  .body_bytes_max = 65536,
                                  .head_timeout_ms = 10000,
                                  .body_timeout_ms = 10000,
                                  .idle_timeout_ms = 60000,
                                  .write_timeout_ms = 10000,
                                  .connections_max = 100,
                                  .arena_bytes_max = ARENA_BYTES_MAX };
    struct http_handler handler = { .handle = handle };
    struct http_server *server;

    must(http_open(life, loop, &config, &handler, &server));
    loop_run(loop);
}

/* ---- The side that asks, from its loop ---- */

struct asking {
    struct upstream *upstream;
    struct loop *loop;
    struct loop_task start;
    int at_once, open;
    int64_t count, until_us;
    str body;
};

struct slot {
    struct asking *asking;
    struct arena *arena;
};

static void ask_again(struct slot *slot);

static void on_answer(struct request *request)
{
    struct slot *slot = request->transport;
    str rest = request->response.body, bytes;
    void *message;
    err error = OK;

    if (request->response.grpc_status != 0 || request->response.stream)
        give_up("it was refused");
    if (grpc_take(request->arena, STR_NONE, ARENA_BYTES_MAX, &rest, &bytes, &error) != GRPC_MESSAGE)
        give_up("it was answered with no message");
    must(message_unpack(request->arena, bytes, products_call_quote.response, &message));
    slot->asking->count++;
    ask_again(slot);
}

static void ask_again(struct slot *slot)
{
    struct asking *asking = slot->asking;

    if (clock_mono_us() >= asking->until_us) {
        if (--asking->open == 0)
            loop_stop(asking->loop);
        return;
    }
    arena_reset(slot->arena);
    struct request *request = arena_new(slot->arena, struct request);
    struct header *headers = arena_array(slot->arena, struct header, HEADERS);
    headers[0] = (struct header){ STR("content-type"), STR("application/grpc+proto") };
    *request = (struct request){ .arena = slot->arena,
                                 .method = HTTP_POST,
                                 .method_text = STR("POST"),
                                 .path = STR("/products.v1.Products/Quote"),
                                 .headers = headers,
                                 .headers_count = 1,
                                 .body = asking->body,
                                 .grpc = true,
                                 .repeatable = true,
                                 .received_us = clock_mono_us(),
                                 .respond = on_answer,
                                 .transport = slot };
    request_identify(request);
    upstream_forward(asking->upstream, request);
}

static void on_start(struct loop_task *task)
{
    struct asking *asking = (struct asking *)((char *)task - offsetof(struct asking, start));

    asking->open = asking->at_once;
    for (int i = 0; i < asking->at_once; i++) {
        struct slot *slot = arena_new(life, struct slot);
        *slot = (struct slot){ asking, arena_open(ARENA_BYTES_MAX) };
        ask_again(slot);
    }
}

static Products__QuoteRequest quote_of(ProtobufCBinaryData *sku)
{
    Products__QuoteRequest in = PRODUCTS__QUOTE_REQUEST__INIT;

    *sku = field_of(STR("SKU-1234"));
    in.skus = sku;
    in.n_skus = 1;
    return in;
}

static int64_t ask(struct loop *loop, struct upstream *upstream, int at_once, int seconds)
{
    struct asking asking = { .upstream = upstream, .loop = loop, .at_once = at_once };
    struct text body = text_init(life, 256);
    ProtobufCBinaryData sku;
    Products__QuoteRequest in = quote_of(&sku);

    grpc_frame(life, &body, message_pack(life, &in), false);
    asking.body = text_str(&body);
    asking.until_us = clock_mono_us() + seconds * TIME_SECOND;
    asking.start.run = on_start;
    loop_post(loop, &asking.start);
    loop_run(loop);
    return asking.count;
}

/* ---- The side that asks, from threads ---- */

struct waiting {
    struct client *client;
    struct thread *thread;
    int64_t count, until_us;
};

static void run_waiting(void *subject)
{
    struct waiting *waiting = subject;
    struct arena *arena = arena_open(ARENA_BYTES_MAX);
    ProtobufCBinaryData sku;
    Products__QuoteRequest in = quote_of(&sku);

    while (clock_mono_us() < waiting->until_us) {
        struct call call = { .arena = arena, .deadline_us = INT64_MAX };
        const void *out;
        err error = client_call(waiting->client, &call, &products_call_quote, &in, &out);
        if (error)
            give_up("a call failed");
        waiting->count++;
        arena_reset(arena);
    }
    arena_close(arena);
}

static void run_loop(void *loop) { loop_run(loop); }

static int64_t wait_for(struct loop *loop, struct upstream *upstream, int threads, int seconds)
{
    struct waiting *all = arena_array(life, struct waiting, (size_t)threads);
    struct client_remote remote = { .upstream = upstream, .calls_max = threads };
    struct client *client = client_open_remote(&remote);
    struct thread *loop_thread = thread_start("loop", run_loop, loop);
    int64_t count = 0;

    for (int i = 0; i < threads; i++) {
        all[i] = (struct waiting){ .client = client,
                                   .until_us = clock_mono_us() + seconds * TIME_SECOND };
        all[i].thread = thread_start("asker", run_waiting, &all[i]);
    }
    for (int i = 0; i < threads; i++) {
        thread_join(all[i].thread);
        count += all[i].count;
    }
    loop_stop(loop);
    thread_join(loop_thread);
    client_close(client);
    return count;
}

static int number_of(const char *text, int max)
{
    int64_t number;

    if (!str_to_int64(str_of_z(text), 1, max, &number))
        give_up("a number is out of its range");
    return (int)number;
}

int main(int argc, char **argv)
{
    char *none[] = { argv[0], NULL }, *environment[] = { NULL };
    struct upstream_config config = { .name = "products", .setting = "URL" };
    struct upstream *upstream;
    struct loop *loop = loop_open();

    life = arena_open(ARENA_BYTES_MAX);
    if (argc == 3 && str_equal(str_of_z(argv[1]), STR("serve")))
        serve(loop, argv[2]);
    if (argc != 5)
        give_up("serve ADDRESS | ask URL AT_ONCE SECONDS | wait URL THREADS SECONDS");
    must(conf_load(life, 1, none, environment, &config.conf, NULL));
    config.url = str_of_z(argv[2]);
    must(upstream_open(life, loop, &config, &upstream));
    int at_once = number_of(argv[3], AT_ONCE_MAX), seconds = number_of(argv[4], SECONDS_MAX);
    bool waits = str_equal(str_of_z(argv[1]), STR("wait"));
    int64_t count = (waits ? wait_for : ask)(loop, upstream, at_once, seconds);
    upstream_close(upstream);
    loop_close(loop);
    (void)printf("%lld\n", (long long)count);
    return 0;
}
