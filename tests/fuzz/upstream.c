/* A server of HTTP/2 that we ask (a service behind the gateway, a neighbour), with answers of the
 * fuzzer's: frames, fields, statuses of gRPC.
 *
 * Each call hears its end once, whole or failed, whatever comes; nothing is left when the
 * connection has gone.
 *
 * Input: '0' SETTINGS is sent first, '1' not; how many calls; a number for the cut; frames. */
#include "chassis/grpc_status.h"
#include "chassis/obs.h"
#include "chassis/upstream_fields.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/net_fake.h"

#include <stdlib.h>

enum { CALLS_AT_ONCE_MAX = 8, BODY_BYTES_MAX = 1024 * 1024 };

struct asked {
    struct http2_call call; /* first */
    struct request request;
    size_t given, heard;
    int ends;
    bool head;
};

static struct loop *loop;
static bool is_closed;

void fuzz_begin(void)
{
    log_setup(LOG_ERROR, false);
    loop = loop_open();
}

static struct asked *asked_of(struct http2_call *call) { return (struct asked *)call; }

static bool on_field(struct http2_call *call, str name, str value, bool trailer)
{
    struct request *request = &asked_of(call)->request;

    fuzz_plant_overread(value, STR("bug"));
    return upstream_answer_field(request->arena, request, name, value, trailer);
}

static void on_head(struct http2_call *call)
{
    struct asked *asked = asked_of(call);

    FUZZ_CHECK(!asked->head);
    asked->head = true;
    FUZZ_CHECK(asked->request.response.headers_count <= RESPONSE_HEADERS_MAX);
}

static void on_body(struct http2_call *call, str bytes)
{
    struct asked *asked = asked_of(call);

    FUZZ_CHECK(asked->head);
    asked->heard += bytes.len;
    FUZZ_CHECK(asked->heard <= HTTP2_CLIENT_WINDOW_BYTES * 4);
    if (asked->heard % 3 > 0)
        http2_call_consume(call, bytes.len);
}

static void on_end(struct http2_call *call)
{
    struct asked *asked = asked_of(call);

    asked->ends++;
    if (asked->request.response.grpc_status > 0)
        (void)grpc_status_error(asked->request.arena, &asked->request.response);
}

static void on_failed(struct http2_call *call, enum http2_failure failure, const char *why)
{
    (void)failure;
    FUZZ_CHECK(why && why[0]);
    asked_of(call)->ends++;
}

static size_t give(struct http2_call *call, char *room, size_t room_len, bool *ended)
{
    struct asked *asked = asked_of(call);
    size_t left = 100000 - asked->given, len = left < room_len ? left : room_len;

    memset(room, 'b', len);
    asked->given += len;
    *ended = asked->given == 100000;
    return len;
}

static void on_opened(void *subject) { (void)subject; }
static void on_room(void *subject) { (void)subject; }
static void on_drains(void *subject) { (void)subject; }

static void on_closed(void *subject, const char *why)
{
    (void)subject;
    FUZZ_CHECK(why && !is_closed);
    is_closed = true;
}

static const struct http2_call_events CALL = { .field = on_field,
                                               .head = on_head,
                                               .body = on_body,
                                               .ended = on_end,
                                               .failed = on_failed,
                                               .give = give };

static int ask(struct arena *arena, struct http2_client *client, struct asked *asked, int count)
{
    const struct header fields[] = { { STR(":method"), STR("POST") },
                                     { STR(":scheme"), STR("http") },
                                     { STR(":authority"), STR("orders") },
                                     { STR(":path"), STR("/orders.v1.Orders/GetOrder") } };
    int begun = 0;

    for (; begun < count && http2_client_has_room(client); begun++) {
        asked[begun].request = (struct request){ .arena = arena, .grpc = begun % 2 == 1 };
        http2_client_ask(client, &asked[begun].call, &CALL, fields, 4, begun % 3 == 2);
    }
    return begun;
}

static void send(struct net_connection *connection, str bytes, struct fuzz_dice *dice,
                 struct http2_client *client)
{
    net_fake_takes(connection, fuzz_dice(dice, 3) ? SIZE_MAX : fuzz_dice(dice, 200));
    while (bytes.len > 0 && !is_closed) {
        str piece = str_slice(bytes, 0, 1 + fuzz_dice(dice, 400));
        (void)net_fake_send(connection, piece);
        bytes = str_slice(bytes, piece.len, SIZE_MAX);
        net_fake_turn(loop);
        if (fuzz_dice(dice, 4) == 0)
            net_fake_read(connection, true);
        if (fuzz_dice(dice, 8) == 0)
            net_fake_pass(loop, 2000);
        if (!is_closed)
            (void)http2_client_look(client);
    }
}

void fuzz_run(struct arena *arena, str input)
{
    bool is_bare = fuzz_number(&input, 2) == 1;
    int count = 1 + (int)fuzz_number(&input, CALLS_AT_ONCE_MAX), begun = 0;
    struct fuzz_dice dice = { .state = fuzz_number(&input, 256) };
    const struct net_address address = { .text = "192.0.2.1", .port = 80 };
    const struct http2_client_config config = { .loop = loop,
                                                .address = &address,
                                                .name = STR("orders"),
                                                .connect_timeout_ms = 1000,
                                                .ping_interval_ms = 3000,
                                                .ping_timeout_ms = 1000 };
    const struct http2_client_events events = {
        .opened = on_opened, .room = on_room, .drains = on_drains, .closed = on_closed
    };
    struct asked *asked = arena_array(arena, struct asked, (size_t)count);
    const char *failure;

    is_closed = false;
    struct http2_client *client = http2_client_open(&config, &events, NULL, &failure);
    struct net_connection *connection = net_fake_connected(0);
    FUZZ_CHECK(client && connection);
    net_fake_open(connection);
    if (!is_bare)
        (void)net_fake_send(connection, STR("\0\0\0\4\0\0\0\0\0"));
    net_fake_turn(loop);
    if (!is_closed)
        begun = ask(arena, client, asked, count);
    net_fake_turn(loop);
    send(connection, input, &dice, client);
    (void)net_fake_end(connection, true);
    net_fake_turn(loop);
    if (!is_closed)
        http2_client_close(client);
    else
        for (int i = 0; i < begun; i++)
            FUZZ_CHECK(asked[i].ends == 1);
    for (int i = 0; i < begun; i++)
        FUZZ_CHECK(asked[i].ends <= 1);
    net_fake_turn(loop);
    FUZZ_CHECK(net_fake_is_closed(connection));
    net_fake_drop(connection);
}
