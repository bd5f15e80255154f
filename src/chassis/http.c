/* The server: its listener, its lists of deadlines, its pool of arenas, its end. */
#include "chassis/http.h"

#include "chassis/http2.h"
#include "chassis/http_write.h"
#include "os/clock.h"
#include "os/random.h"

enum { SERVER_ARENA_BYTES_MAX = 1024 * 1024, REQUEST_SPARE_BYTES = 128 * 1024 };

/* ---- Arenas ---- */

struct arena *http_arena_take(struct http_server *server)
{
    if (server->arenas_count > 0)
        return server->arenas[--server->arenas_count];

    /* The head and what the server itself needs do not count against the request's own memory. */
    return arena_open(server->config.arena_bytes_max + (size_t)4 * server->config.head_bytes_max +
                      REQUEST_SPARE_BYTES);
}

void http_arena_drop(struct http_server *server, struct arena *arena)
{
    if (server->arenas_count == HTTP_ARENAS_KEPT || server->ended) {
        arena_close(arena);
        return;
    }
    arena_reset(arena);
    server->arenas[server->arenas_count++] = arena;
}

/* ---- Deadlines ---- */

static uint32_t timeout_ms(const struct http_server *server, enum http_wait wait)
{
    switch (wait) {
    case HTTP_WAIT_IDLE: return server->config.idle_timeout_ms;
    case HTTP_WAIT_HANDSHAKE:
    case HTTP_WAIT_HEAD: return server->config.head_timeout_ms;
    case HTTP_WAIT_BODY: return server->config.body_timeout_ms;
    case HTTP_WAIT_WRITE: return server->config.write_timeout_ms;
    case HTTP_WAIT_LINGER: return HTTP_LINGER_MS;
    case HTTP_WAIT_HALF: return HTTP_HALF_MS;
    case HTTP_WAIT_REST: return HTTP_REST_MS;
    case HTTP_WAIT_LIMITED: return HTTP_LIMITED_MS;
    case HTTP_WAIT_TURN: return HTTP_TURN_MS;
    case HTTP_WAIT_WORK:
    case HTTP_WAITS_COUNT: break;
    }
    return 0;
}

static void timer_set(struct http_server *server, int64_t deadline_ms)
{
    if (server->timer_at_ms != 0 && server->timer_at_ms <= deadline_ms)
        return;

    int64_t delay_ms = deadline_ms - loop_now_ms(server->loop);
    server->timer_at_ms = deadline_ms;
    loop_timer_start(server->timer, delay_ms > 0 ? (uint32_t)delay_ms : 0, 0);
}

/* The timer looks at those that wait so: not where the handler decides, or turns are given. */
static bool is_timed(enum http_wait wait)
{
    return wait != HTTP_WAIT_WORK && wait != HTTP_WAIT_TURN;
}

void http_wait_clear(struct http_connection *connection)
{
    if (connection->wait == HTTP_WAITS_COUNT)
        return; /* new: in no list yet */

    struct http_list *list = &connection->server->lists[connection->wait];
    if (connection->older)
        connection->older->newer = connection->newer;
    else
        list->oldest = connection->newer;
    if (connection->newer)
        connection->newer->older = connection->older;
    else
        list->newest = connection->older;
    connection->older = connection->newer = NULL;
}

static void list_add(struct http_list *list, struct http_connection *connection)
{
    connection->older = list->newest;
    if (list->newest)
        list->newest->newer = connection;
    else
        list->oldest = connection;
    list->newest = connection;
}

void http_wait_set(struct http_connection *connection, enum http_wait wait)
{
    struct http_server *server = connection->server;

    http_wait_clear(connection);
    connection->wait = wait;
    list_add(&server->lists[wait], connection);
    connection->deadline_ms = loop_now_ms(server->loop) + timeout_ms(server, wait);
    if (is_timed(wait))
        timer_set(server, connection->deadline_ms);
}

/* A list holds one kind of wait, so its oldest is due first: nobody else is looked at. */
static void on_timer(void *subject)
{
    struct http_server *server = subject;
    int64_t now_ms = loop_now_ms(server->loop), next_ms = 0;

    server->timer_at_ms = 0;
    for (int wait = 0; wait < HTTP_WAITS_COUNT; wait++) {
        if (!is_timed((enum http_wait)wait))
            continue;
        struct http_list *list = &server->lists[wait];
        while (list->oldest && list->oldest->deadline_ms <= now_ms)
            http_connection_expire(list->oldest);
        if (list->oldest && (next_ms == 0 || list->oldest->deadline_ms < next_ms))
            next_ms = list->oldest->deadline_ms;
    }
    if (next_ms != 0)
        timer_set(server, next_ms);
}

const char *http_date(struct http_server *server)
{
    time_us now = clock_wall_us();

    if (now / TIME_SECOND != server->date_s) {
        server->date_s = now / TIME_SECOND;
        time_http(now, server->date);
    }
    return server->date;
}

/* ---- Opening ---- */

static void on_accepted(void *subject, struct net_connection *net)
{
    http_connection_open(subject, net);
}

/* A refusal that closes: made once, for it is the answer when there is no time. */
static str refusal_make(struct arena *arena, enum err_code code, const char *why)
{
    struct request request = { .arena = arena };
    response_problem(&request, fail(arena, code, "%s", why));

    struct text out = text_init(arena, 1024);
    char date[30];
    time_http(clock_wall_us(), date);
    http_write_head(&out, &request, &(struct http_write){ .date = date, .close = true });
    text_add(&out, request.response.body);
    return text_str(&out);
}

static void on_grace(void *subject);
static void on_end(struct loop_task *task);

err http_open(struct arena *arena, struct loop *loop, const struct http_config *config,
              const struct http_handler *handler, struct http_server **out)
{
    ASSERT(arena && loop && out);
    ASSERT(config && config->setting && config->connections_max > 0);
    ASSERT(config->target_bytes_max < config->head_bytes_max);
    ASSERT(config->idle_timeout_ms && config->head_timeout_ms && config->body_timeout_ms);
    ASSERT(handler && handler->handle);

    struct arena *memory = arena_open(SERVER_ARENA_BYTES_MAX);
    struct http_server *server = arena_new(memory, struct http_server);
    server->memory = memory;
    server->loop = loop;
    server->handler = *handler;
    server->config = *config;
    server->config.address = STR_NONE; /* borrowed from the caller */
    server->limits = (struct http_parse_limits){ .head_bytes_max = config->head_bytes_max,
                                                 .target_bytes_max = config->target_bytes_max };
    server->full =
        refusal_make(memory, CALL_OVERLOADED, "There are as many connections as allowed.");
    server->late =
        refusal_make(memory, CALL_OVERLOADED, "More is asked than can be refused one by one.");
    server->crowd = refusal_make(memory, RATE_LIMIT_EXCEEDED,
                                 "There are as many connections from this address as allowed.");
    if (config->connections_per_address_max > 0)
        server->addresses =
            http_addresses_new(memory, config->connections_per_address_max, random_u64());
    server->gate.refusals_max =
        config->refusals_max ? (int)config->refusals_max : HTTP_REFUSALS_MAX;
    server->end.run = &on_end;

    err error = net_listen(arena, loop, config->address, config->setting,
                           sizeof(struct http_connection), &on_accepted, server, &server->listener);
    if (error) {
        arena_close(memory);
        return error;
    }
    server->scratch = http_arena_take(server);
    server->timer = loop_timer_open(loop, &on_timer, server);
    server->grace = loop_timer_open(loop, &on_grace, server);
    server->turns = loop_timer_open(loop, &http_turns_give, server);
    *out = server;
    return OK;
}

int http_port(const struct http_server *server)
{
    ASSERT(server && server->listener);
    return net_listener_port(server->listener);
}

void http_use_tls(struct http_server *server, struct tls_context *context)
{
    ASSERT(server && server->listener);
    net_listener_use_tls(server->listener, context);
}

struct http_stats http_stats_of(const struct http_server *server)
{
    ASSERT(server);
    const struct http_stats *stats = &server->stats;
    return (struct http_stats){
        .connections = __atomic_load_n(&stats->connections, __ATOMIC_RELAXED),
        .accepted = __atomic_load_n(&stats->accepted, __ATOMIC_RELAXED),
        .requests = __atomic_load_n(&stats->requests, __ATOMIC_RELAXED),
        .refused = __atomic_load_n(&stats->refused, __ATOMIC_RELAXED),
    };
}

/* ---- Closing ---- */

/* Connections of HTTP/2 hear that no more streams are wanted. One that does may move to the end of
 * a list, or be closed. */
static void drain_all(struct http_server *server)
{
    for (int wait = 0; wait < HTTP_WAITS_COUNT; wait++)
        for (struct http_connection *it = server->lists[wait].oldest, *newer; it; it = newer) {
            newer = it->newer;
            http2_drain(it);
        }
}

void http_drain(struct http_server *server)
{
    ASSERT(server);
    server->draining = true;
    drain_all(server);
}

static void close_all(struct http_server *server, enum http_wait wait)
{
    while (server->lists[wait].oldest)
        http_connection_close(server->lists[wait].oldest);
}

static void on_grace(void *subject)
{
    struct http_server *server = subject;

    for (int wait = 0; wait < HTTP_WAITS_COUNT; wait++)
        close_all(server, (enum http_wait)wait);
    http_server_look(server);
}

void http_close(struct http_server *server, uint32_t grace_ms, void (*closed)(void *subject),
                void *subject)
{
    ASSERT(server && !server->closing);

    server->closing = true;
    server->closed = closed;
    server->closed_subject = subject;
    net_listener_close(server->listener);
    server->listener = NULL;
    close_all(server, HTTP_WAIT_HANDSHAKE);
    close_all(server, HTTP_WAIT_IDLE);
    close_all(server, HTTP_WAIT_TURN);
    while (server->lists[HTTP_WAIT_REST].oldest)
        http_connection_expire(server->lists[HTTP_WAIT_REST].oldest);
    close_all(server, HTTP_WAIT_LIMITED);
    close_all(server, HTTP_WAIT_LINGER);
    drain_all(server);
    loop_timer_start(server->grace, grace_ms, 0);
    http_server_look(server);
}

void http_server_look(struct http_server *server)
{
    bool is_quiet = server->connections_count == 0 && server->turned_away_count == 0;
    bool is_next = server->ended ? server->exchanges_count == 0 : server->closing && is_quiet;

    /* In a turn of its own: whoever called may still be using the server. */
    if (is_next && !server->end_posted) {
        server->end_posted = true;
        loop_post(server->loop, &server->end);
    }
}

/* Runs when the last connection has gone, and, if a handler still owed an answer then, again when
 * that has come. */
static void on_end(struct loop_task *task)
{
    struct http_server *server =
        (struct http_server *)((char *)task - offsetof(struct http_server, end));

    server->end_posted = false;
    if (!server->ended) {
        server->ended = true;
        loop_timer_close(server->timer);
        loop_timer_close(server->grace);
        loop_timer_close(server->turns);
        http_arena_drop(server, server->scratch);
        while (server->arenas_count > 0)
            arena_close(server->arenas[--server->arenas_count]);
        if (server->closed)
            server->closed(server->closed_subject);
    }
    if (server->exchanges_count == 0)
        arena_close(server->memory);
}
