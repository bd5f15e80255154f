/* A request and its answer, whichever version of HTTP carries them. */
#include "chassis/http_server.h"
#include "os/clock.h"

static const char ROUTE_REFUSED[] = "http.refused";
static const char ROUTE_OPTIONS[] = "http.options";

static void respond(struct request *request);
static void piece_taken(struct request *request);
static void piece_made(struct request *request);

struct http_exchange *http_exchange_open(struct http_connection *connection,
                                         const struct http_version *version)
{
    ASSERT(connection && connection->net && version);

    struct http_server *server = connection->server;
    struct arena *arena = http_arena_take(server);
    struct http_exchange *exchange = arena_new(arena, struct http_exchange);
    struct request *request = &exchange->request;

    exchange->server = server;
    exchange->connection = connection;
    exchange->version = version;
    exchange->began_us = clock_mono_us();
    request->arena = arena;
    request->transport = exchange;
    request->respond = &respond;
    request->taken = &piece_taken;
    request->made = &piece_made;
    request->peer_address = str_copy(arena, net_peer(connection->net));
    request->client_address = request->peer_address;
    request->operator_socket = net_is_unix(connection->net);
    server->exchanges_count++;
    return exchange;
}

void http_exchange_close(struct http_exchange *exchange)
{
    ASSERT(exchange);

    struct http_server *server = exchange->server;
    struct request *request = &exchange->request;

    if (exchange->connection)
        exchange->connection->exchange = NULL;
    if (exchange->answered)
        http_turns_answered(server, request->response.status);
    if (exchange->answered && server->handler.served && !server->ended) {
        int64_t from_us = request->received_us ? request->received_us : exchange->began_us;
        server->handler.served(server->handler.self, request, clock_mono_us() - from_us);
    }
    if (request->response.stream)
        request->response.stream->end(request);
    if (exchange->head_arena)
        http_arena_drop(server, exchange->head_arena);
    http_arena_drop(server, request->arena);
    server->exchanges_count--;
    if (server->closing)
        http_server_look(server);
}

void http_exchange_leave(struct http_exchange *exchange)
{
    ASSERT(exchange && !exchange->handling);
    exchange->connection = NULL;
    request_leave(&exchange->request); /* it may answer at once, and be gone */
}

void http_exchange_answer(struct http_exchange *exchange)
{
    ASSERT(exchange && exchange->request.response.status > 0);

    exchange->answered = true;
    if (exchange->connection)
        exchange->version->answer(exchange);
    else
        http_exchange_close(exchange);
}

static void on_answer_came(struct loop_task *task)
{
    http_exchange_answer(
        (struct http_exchange *)((char *)task - offsetof(struct http_exchange, task)));
}

/* The handler has answered, on whatever thread. Inside `handle` it is written when that has
 * returned, so that no handler runs inside another one's answer. */
static void respond(struct request *request)
{
    struct http_exchange *exchange = request->transport;

    if (!loop_is_here(exchange->server->loop)) {
        exchange->task.run = &on_answer_came;
        loop_post(exchange->server->loop, &exchange->task);
    } else if (exchange->handling) {
        exchange->answered = true;
    } else {
        http_exchange_answer(exchange);
    }
}

/* ---- Bodies in pieces ---- */

static struct http_exchange *exchange_of(struct loop_task *task)
{
    return (struct http_exchange *)((char *)task - offsetof(struct http_exchange, task));
}

static void on_piece_taken(struct loop_task *task)
{
    struct http_exchange *exchange = exchange_of(task);

    exchange->spooling = false;
    if (exchange->connection)
        exchange->version->piece_taken(exchange);
    else
        http_exchange_close(exchange);
}

static void piece_taken(struct request *request)
{
    struct http_exchange *exchange = request->transport;

    exchange->task.run = &on_piece_taken;
    loop_post(exchange->server->loop, &exchange->task);
}

static void on_piece_made(struct loop_task *task)
{
    struct http_exchange *exchange = exchange_of(task);

    exchange->making = false;
    if (exchange->connection)
        exchange->version->piece_made(exchange);
    else
        http_exchange_close(exchange);
}

static void piece_made(struct request *request)
{
    struct http_exchange *exchange = request->transport;

    exchange->task.run = &on_piece_made;
    loop_post(exchange->server->loop, &exchange->task);
}

/* ---- Requests ---- */

void http_exchange_fail(struct http_exchange *exchange, enum err_code code, const char *reason)
{
    struct request *request = &exchange->request;
    ptrdiff_t mark = str_find_byte(request->path, '?');

    if (mark >= 0)
        request->path = str_slice(request->path, 0, (size_t)mark);
    request->route = ROUTE_REFUSED;
    request_identify(request);
    response_problem(request, fail(request->arena, code, "%s", reason));
}

static void options_answer(struct request *request)
{
    request->route = ROUTE_OPTIONS;
    request_identify(request);
    request->response = (struct response){ .status = 204 };
    response_add(&request->response, STR("Allow"),
                 STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
}

void http_exchange_run(struct http_exchange *exchange, bool asterisk)
{
    struct http_server *server = exchange->server;
    struct request *request = &exchange->request;

    request->received_us = clock_mono_us();
    http_count(&server->stats.requests, 1);
    if (asterisk) {
        options_answer(request);
        http_exchange_answer(exchange);
        return;
    }
    exchange->handling = true;
    server->handler.handle(server->handler.self, request);
    exchange->handling = false;
    if (exchange->answered)
        http_exchange_answer(exchange);
}
