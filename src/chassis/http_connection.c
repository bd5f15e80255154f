/* The life of one connection: reads requests in turn, hands each over, writes its answer. */
#include "chassis/http2.h"
#include "chassis/http_write.h"
#include "chassis/obs.h"

#include <stdio.h>
#include <string.h>

static const char HTTP2_PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static bool is_reading(const struct http_connection *connection)
{
    return connection->wait == HTTP_WAIT_IDLE || connection->wait == HTTP_WAIT_HEAD ||
           connection->wait == HTTP_WAIT_BODY;
}

static bool is_at_work(const struct http_connection *connection)
{
    return connection->wait == HTTP_WAIT_WORK || connection->wait == HTTP_WAIT_HALF ||
           connection->wait == HTTP_WAIT_REST;
}

/* ---- Closing ---- */

static void pending_drop(struct http_connection *connection)
{
    if (connection->pending_arena)
        http_arena_drop(connection->server, connection->pending_arena);
    connection->pending_arena = NULL;
    connection->pending = STR_NONE;
}

void http_connection_close(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_exchange *exchange = connection->exchange;
    ASSERT(connection->net);

    http_wait_clear(connection);
    http2_say_goodbye(connection);
    net_close(connection->net);
    connection->net = NULL;
    connection->exchange = NULL;
    if (exchange && is_at_work(connection) && (!exchange->answered || exchange->making))
        http_exchange_leave(exchange);
    else if (exchange)
        http_exchange_close(exchange);
    http2_close(connection);

    if (connection->place != HTTP_ADDRESS_NONE)
        http_addresses_leave(server->addresses, connection->place);
    if (connection->turned_away) {
        server->turned_away_count--;
    } else {
        server->connections_count--;
        http_count(&server->stats.connections, -1);
    }
    pending_drop(connection);
    if (server->closing)
        http_server_look(server);
}

/* Of HTTP/2 any time: a PING may follow a GOAWAY. */
static bool may_be_sending(const struct http_connection *connection)
{
    return !connection->read_ended &&
           (connection->unread || connection->pending.len > 0 || connection->http2.session);
}

/* The last answer is written. A peer that is still sending would hear a reset instead of it, so
 * what it sends is read and dropped for a while. */
void http_connection_end(struct http_connection *connection)
{
    if (!may_be_sending(connection) || connection->server->closing) {
        http_connection_close(connection);
        return;
    }
    net_shutdown(connection->net);
    http_wait_set(connection, HTTP_WAIT_LINGER);
    net_resume(connection->net);
}

/* ---- Answering ---- */

static void resume(struct http_connection *connection);

static bool answer_goes_on(struct http_connection *connection);

/* A peer that repeats at once what was refused because there is no time takes the time of all: it
 * hears so a little later. Not read a little later: others may share the connection, and what they
 * ask next would wait for nothing. */
static bool is_told_later(struct http_connection *connection, int status)
{
    struct http_server *server = connection->server;

    connection->shed_in_a_row = status == 503 ? connection->shed_in_a_row + 1 : 0;
    return connection->shed_in_a_row >= HTTP_SHED_IN_A_ROW && !server->closing &&
           server->exchanges_count <= HTTP_RESTING_MAX;
}

/* A peer that asks too much, and goes on: it is read again later. Once is nothing. */
static bool is_to_rest(struct http_connection *connection, int status)
{
    connection->limited_in_a_row = status == 429 ? connection->limited_in_a_row + 1 : 0;
    return connection->limited_in_a_row >= HTTP_LIMITED_IN_A_ROW && !connection->is_proxy &&
           !connection->server->closing;
}

static void answer_written(struct http_connection *connection)
{
    if (answer_goes_on(connection))
        return;
    bool rests = is_to_rest(connection, connection->exchange->request.response.status);
    http_exchange_close(connection->exchange);
    bool has_all =
        connection->read_ended && connection->pending.len == 0; /* while it was written */
    if (connection->ends || has_all) {
        http_connection_end(connection);
        return;
    }
    http_wait_set(connection, rests ? HTTP_WAIT_LIMITED : HTTP_WAIT_IDLE);
    if (rests)
        net_pause(connection->net);
    else if (!connection->feeding)
        resume(connection);
}

/* Writes what stands in the server's scratch, and then `body`. */
static void write_out(struct http_exchange *exchange, str head, str body)
{
    struct http_server *server = exchange->server;
    struct http_connection *connection = exchange->connection;

    switch (net_write(connection->net, head, body)) {
    case NET_WRITTEN:
        arena_reset(server->scratch);
        answer_written(connection);
        return;
    case NET_WAITING:
        exchange->head_arena = server->scratch;
        server->scratch = http_arena_take(server);
        http_wait_set(connection, HTTP_WAIT_WRITE);
        return;
    case NET_BROKEN:
        arena_reset(server->scratch);
        http_connection_close(connection);
        return;
    }
}

static void chunk_begin(struct text *out, size_t len, bool is_first)
{
    char line[24];

    snprintf(line, sizeof line, "%s%zx\r\n", is_first ? "" : "\r\n", len);
    text_add(out, str_of_z(line));
}

/* What was to be written is written: asks for the next piece, or ends the last one. False where the
 * answer is whole. */
static bool answer_goes_on(struct http_connection *connection)
{
    struct http_exchange *exchange = connection->exchange;
    struct request *request = &exchange->request;
    struct answer_stream *stream = request->response.stream;

    if (!stream || request->method == HTTP_HEAD || exchange->last_sent)
        return false;
    if (exchange->head_arena)
        http_arena_drop(exchange->server, exchange->head_arena);
    exchange->head_arena = NULL;
    request->response.streamed_bytes += (int64_t)request->response.body.len;
    request->response.body = STR_NONE;
    if (stream->ended) {
        exchange->last_sent = true;
        if (connection->parse.http_1_0)
            return false;
        write_out(exchange, STR("\r\n0\r\n\r\n"), STR_NONE);
        return true;
    }
    exchange->making = true;
    http_wait_set(connection, HTTP_WAIT_WORK);
    stream->next(request);
    return true;
}

static void piece_made(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    str body = exchange->request.response.body;

    if (exchange->request.response.stream->failed) {
        http_connection_close(connection);
    } else if (body.len == 0) { /* a chunk of no bytes would end the body */
        answer_written(connection);
    } else if (connection->parse.http_1_0) {
        write_out(exchange, body, STR_NONE);
    } else {
        struct text head = text_init(exchange->server->scratch, 64);
        chunk_begin(&head, body.len, false);
        write_out(exchange, text_str(&head), body);
    }
}

enum { BODY_COPIED_MAX = 1024 };

static void write_answer(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    struct http_connection *connection = exchange->connection;
    const struct request *request = &exchange->request;

    ASSERT(connection && exchange->answered);
    connection->ends = connection->ends || server->draining || server->closing ||
                       connection->read_ended || !connection->parse.keep_alive;
    bool is_old = connection->parse.http_1_0, in_pieces = request->response.stream != NULL;
    if (in_pieces && is_old)
        connection->ends = true; /* its end is the only sign that the body is whole */
    bool has_body = request->method != HTTP_HEAD && http_status_has_body(request->response.status);
    struct text head = text_init(server->scratch, 1024);
    http_write_head(&head, request,
                    &(struct http_write){ .date = http_date(server),
                                          .close = connection->ends,
                                          .chunked = in_pieces && !is_old,
                                          .unmeasured = in_pieces && is_old,
                                          .says_keep_alive = is_old });
    if (in_pieces && has_body && !is_old)
        chunk_begin(&head, request->response.body.len, true);
    str body = has_body ? request->response.body : STR_NONE;
    if (body.len <= BODY_COPIED_MAX) { /* one piece is cheaper to hand over than two */
        text_add(&head, body);
        body = STR_NONE;
    }
    write_out(exchange, text_str(&head), body);
}

/* Writes the answer of the exchange, or will. */
static void answer(struct http_exchange *exchange)
{
    if (is_told_later(exchange->connection, exchange->request.response.status))
        http_wait_set(exchange->connection, HTTP_WAIT_REST);
    else
        write_answer(exchange);
}

/* The response is filled; the rest of the request, if any, is not read. */
static void answer_refusal(struct http_connection *connection)
{
    http_count(&connection->server->stats.refused, 1);
    connection->ends = true;
    connection->unread = true;
    http_wait_set(connection, HTTP_WAIT_WORK);
    http_exchange_answer(connection->exchange);
}

static void refuse(struct http_connection *connection, enum err_code code, const char *reason)
{
    http_exchange_fail(connection->exchange, code, reason);
    answer_refusal(connection);
}

/* ---- Reading ---- */

/* Judges the body before a byte of it is kept. `waits`: none of it has come yet. */
static void head_complete(struct http_connection *connection, bool waits)
{
    static const str go_on = { "HTTP/1.1 100 Continue\r\n\r\n", 25 };
    struct http_server *server = connection->server;
    struct http_parse *parse = &connection->parse;
    bool refused = false;

    if (!parse->has_body)
        return;

    parse->body_bytes_max = server->config.body_bytes_max;
    if (server->handler.body_bytes_max)
        parse->body_bytes_max = server->handler.body_bytes_max(
            server->handler.self, &connection->exchange->request, &refused);
    if (refused) {
        ASSERT(connection->exchange->request.response.status > 0);
        answer_refusal(connection);
    } else if (parse->content_length > parse->body_bytes_max) {
        refuse(connection, HTTP_BODY_TOO_LARGE, "The body is too large.");
    } else if (parse->expects_continue && !parse->http_1_0 && waits) {
        if (net_write(connection->net, go_on, STR_NONE) != NET_WRITTEN)
            http_connection_close(connection); /* so few bytes do not fit: nobody reads there */
    }
}

static void request_complete(struct http_connection *connection)
{
    http_wait_set(connection, HTTP_WAIT_WORK);
    http_exchange_run(connection->exchange, connection->parse.asterisk);
}

/* ---- A body that is taken in pieces ---- */

/* Gives the piece in request->body, and reads no more until it is taken. */
static void piece_give(struct http_connection *connection, bool is_last)
{
    struct http_exchange *exchange = connection->exchange;

    exchange->spooling = true;
    exchange->body_ended = is_last;
    http_wait_set(connection, HTTP_WAIT_WORK);
    exchange->request.stream->take(&exchange->request);
}

static void piece_taken(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;

    http_parse_piece_taken(&connection->parse);
    if (exchange->request.failure) {
        request_identify(&exchange->request);
        response_problem(&exchange->request, exchange->request.failure);
        answer_refusal(connection);
    } else if (exchange->body_ended) {
        request_complete(connection);
    } else {
        http_wait_set(connection, HTTP_WAIT_BODY); /* each piece has the time of a body */
        resume(connection);
    }
}

/* A part of the body, or all of it, has come. */
static void body_came(struct http_connection *connection, bool is_end)
{
    const struct request *request = &connection->exchange->request;

    if (request->stream && request->body.len > 0 &&
        (is_end || request->body.len == STREAM_PIECE_BYTES))
        piece_give(connection, is_end);
    else if (is_end)
        request_complete(connection);
}

static const struct http_version VERSION = { .answer = &answer,
                                             .piece_taken = &piece_taken,
                                             .piece_made = &piece_made };

static void exchange_begin(struct http_connection *connection)
{
    connection->has_turn = false;
    connection->exchange = http_exchange_open(connection, &VERSION);
    http_parse_begin(&connection->parse, &connection->exchange->request);
}

static size_t at_most(size_t len, size_t most) { return len < most ? len : most; }

/* Reads on until the bytes are used up, a request is at work or the connection has ended; gives how
 * many are done with. */
static size_t feed(struct http_connection *connection, const char *bytes, size_t len)
{
    size_t at = 0, taken;
    struct http_parse *parse = &connection->parse;

    connection->feeding = true;
    while (at < len && connection->net && is_reading(connection)) {
        if (!connection->exchange)
            exchange_begin(connection);
        enum http_parse_event event =
            http_parse_feed(parse, bytes + at, at_most(len - at, http_parse_room(parse)), &taken);
        at += taken;
        if (event == HTTP_PARSE_HEAD) {
            head_complete(connection, at == len);
            if (!connection->net || !is_reading(connection))
                break;
            event = http_parse_feed(parse, bytes + at, at_most(len - at, http_parse_room(parse)),
                                    &taken);
            at += taken;
        }
        if (event == HTTP_PARSE_FAILED)
            refuse(connection, parse->failure, parse->reason);
        else if (parse->head_done)
            body_came(connection, event == HTTP_PARSE_END);
    }
    connection->feeding = false;
    if (!connection->net)
        return len;

    /* The time of a head runs from its first byte, that of a body from its head: not anew with each
     * byte. */
    enum http_wait wait = parse->head_done ? HTTP_WAIT_BODY : HTTP_WAIT_HEAD;
    if (connection->exchange && is_reading(connection) && connection->wait != wait)
        http_wait_set(connection, wait);
    return at;
}

/* Keeps what came behind the request at work, and reads no more until that is answered. */
static void pending_keep(struct http_connection *connection, const char *bytes, size_t len)
{
    ASSERT(!connection->pending_arena);

    net_pause(connection->net);
    bool in_body =
        connection->exchange && connection->exchange->spooling && !connection->exchange->body_ended;
    if (!connection->parse.keep_alive && !in_body) {
        connection->unread = true; /* said to be the last request: nobody will look at these */
        return;
    }
    connection->pending_arena = http_arena_take(connection->server);
    connection->pending = str_copy(connection->pending_arena, str_of(bytes, len));
}

/* Goes on with what came meanwhile, and then with the socket. */
static void resume(struct http_connection *connection)
{
    if (connection->pending_arena) {
        str pending = connection->pending;
        size_t used = feed(connection, pending.ptr, pending.len);
        if (!connection->net)
            return;
        connection->pending = str_slice(pending, used, pending.len);
        if (connection->pending.len > 0)
            return;
        pending_drop(connection);
    }
    if (is_reading(connection))
        net_resume(connection->net);
}

/* ---- What the socket tells ---- */

static void read_on(struct http_connection *connection, const char *bytes, size_t len)
{
    size_t used = 0;

    if (is_reading(connection))
        used = feed(connection, bytes, len);
    if (!connection->net || used == len)
        return;
    if (is_at_work(connection) || connection->wait == HTTP_WAIT_WRITE ||
        connection->wait == HTTP_WAIT_LIMITED)
        pending_keep(connection, bytes + used, len - used);
}

/* Looks at the first bytes of a connection: is it HTTP/2 that begins (RFC 9113, 3.4)? Gives how
 * many of the bytes are done with. */
static size_t recognize(struct http_connection *connection, const char *bytes, size_t len)
{
    size_t had = connection->preface_len, more = sizeof(HTTP2_PREFACE) - 1 - had;

    if (more > len)
        more = len;
    if (memcmp(HTTP2_PREFACE + had, bytes, more) != 0) {
        connection->is_known = true;
        if (had > 0) /* what waited was as long as it was like the preface */
            read_on(connection, HTTP2_PREFACE, had);
        return 0;
    }
    connection->preface_len += more;
    if (connection->preface_len < sizeof(HTTP2_PREFACE) - 1)
        return more; /* not whole yet */
    connection->is_known = true;
    http2_open(connection);
    http2_feed(connection, HTTP2_PREFACE, sizeof(HTTP2_PREFACE) - 1);
    return more;
}

static void on_bytes(void *subject, const char *bytes, size_t len)
{
    struct http_connection *connection = subject;

    if (connection->wait == HTTP_WAIT_LINGER) {
        connection->lingered_bytes += len;
        if (connection->lingered_bytes > HTTP_LINGER_BYTES_MAX)
            http_connection_close(connection);
        return;
    }
    if (!connection->is_known) {
        size_t used = recognize(connection, bytes, len);
        bytes += used;
        len -= used;
    }
    if (len == 0 || !connection->net)
        return;
    if (connection->http2.session)
        http2_feed(connection, bytes, len);
    else
        read_on(connection, bytes, len);
}

static void on_ended(void *subject, bool broken)
{
    struct http_connection *connection = subject;
    bool in_body =
        connection->exchange && connection->exchange->spooling && !connection->exchange->body_ended;

    if (broken && *net_failure(connection->net))
        LOG(LOG_INFO, "tls.refused", LOG_TEXT("reason", str_of_z(net_failure(connection->net))),
            LOG_TEXT("client", net_peer(connection->net)));
    if (!broken && connection->http2.working + connection->http2.sending > 0) {
        connection->read_ended = true;
        http2_read_ended(connection);
        return;
    }
    if (broken || in_body || (!is_at_work(connection) && connection->wait != HTTP_WAIT_WRITE)) {
        http_connection_close(connection);
        return;
    }
    connection->read_ended = true; /* closed its half only: it may wait for the answer */
    if (connection->wait == HTTP_WAIT_WORK)
        http_wait_set(connection, HTTP_WAIT_HALF);
}

static void on_written(void *subject, bool whole)
{
    struct http_connection *connection = subject;

    if (!whole)
        http_connection_close(connection);
    else if (connection->http2.session)
        http2_written(connection);
    else
        answer_written(connection);
}

static void on_opened(void *subject)
{
    struct http_connection *connection = subject;

    if (connection->wait != HTTP_WAIT_HANDSHAKE)
        return;
    http_wait_set(connection, HTTP_WAIT_IDLE);
    if (net_protocol(connection->net).len > 0)
        connection->is_known = true;
    if (str_equal(net_protocol(connection->net), STR("h2")))
        http2_open(connection);
}

/* In turn while the gate is shut, but for what has begun. What speaks HTTP/2 refuses streams. */
static bool may_read(void *subject)
{
    struct http_connection *connection = subject;

    if (!connection->server->gate.shut || connection->wait != HTTP_WAIT_IDLE ||
        connection->has_turn || connection->http2.session)
        return true;
    if (http_turns_take(connection->server, connection)) {
        connection->has_turn = true;
        return true;
    }
    http_wait_set(connection, HTTP_WAIT_TURN);
    return false;
}

void http_connection_turn(struct http_connection *connection)
{
    connection->has_turn = true;
    http_wait_set(connection, HTTP_WAIT_IDLE);
    net_resume(connection->net);
}

void http_connection_refuse_unread(struct http_connection *connection)
{
    http_count(&connection->server->stats.refused, 1);
    connection->unread = true;
    if (net_write(connection->net, connection->server->late, STR_NONE) == NET_WRITTEN)
        http_connection_end(connection);
    else
        http_connection_close(connection);
}

static const struct net_events EVENTS = { .bytes = &on_bytes,
                                          .ended = &on_ended,
                                          .written = &on_written,
                                          .opened = &on_opened,
                                          .may_read = &may_read };

/* Whoever has its request is told that nobody waits; an answer that comes is written all the same.
 */
static void hurry(struct http_connection *connection)
{
    http_wait_set(connection, HTTP_WAIT_WORK);
    request_leave(&connection->exchange->request);
}

static void rested(struct http_connection *connection)
{
    http_wait_set(connection, HTTP_WAIT_IDLE);
    resume(connection);
}

void http_connection_expire(struct http_connection *connection)
{
    if (connection->http2.session && connection->wait != HTTP_WAIT_LINGER)
        http2_expire(connection);
    else if (connection->wait == HTTP_WAIT_HEAD)
        refuse(connection, HTTP_TIMEOUT, "The headers did not arrive in time.");
    else if (connection->wait == HTTP_WAIT_BODY)
        refuse(connection, HTTP_TIMEOUT, "The body did not arrive in time.");
    else if (connection->wait == HTTP_WAIT_HALF)
        hurry(connection);
    else if (connection->wait == HTTP_WAIT_REST)
        write_answer(connection->exchange);
    else if (connection->wait == HTTP_WAIT_LIMITED)
        rested(connection);
    else
        http_connection_close(connection);
}

/* ---- Opening ---- */

/* Above what is allowed: a ready answer, no parsing. */
static void turn_away(struct http_connection *connection, str answer)
{
    struct http_server *server = connection->server;

    http_count(&server->stats.refused, 1);
    if (net_is_tls(connection->net)) { /* could hear it after a handshake only: too dear now */
        net_close(connection->net);
        return;
    }
    server->turned_away_count++;
    connection->turned_away = true;
    http_wait_set(connection, HTTP_WAIT_LINGER);
    if (net_write(connection->net, answer, STR_NONE) == NET_WRITTEN)
        net_shutdown(connection->net);
    else
        http_connection_close(connection);
}

/* Tells whether its address may have one more; counts it. */
static bool finds_place(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    const struct http_handler *handler = &server->handler;
    str peer = net_peer(connection->net);

    connection->is_proxy = handler->is_proxy && handler->is_proxy(handler->self, peer);
    if (!server->addresses || connection->is_proxy || net_is_unix(connection->net))
        return true;
    connection->place = http_addresses_enter(server->addresses, peer);
    return connection->place != HTTP_ADDRESS_NONE;
}

void http_connection_open(struct http_server *server, struct net_connection *net)
{
    ASSERT(server && net);

    http_count(&server->stats.accepted, 1);
    struct http_connection *connection = net_room(net);
    connection->server = server;
    connection->net = net;
    connection->wait = HTTP_WAITS_COUNT;
    connection->place = HTTP_ADDRESS_NONE;
    bool is_full = server->connections_count >= server->config.connections_max;
    bool is_crowd = !is_full && !finds_place(connection);
    if ((is_full || is_crowd) && server->turned_away_count >= HTTP_TURNED_AWAY_MAX) {
        net_close(net);
        return;
    }

    net_own(net, &EVENTS, connection);
    if (is_full || is_crowd) {
        turn_away(connection, is_full ? server->full : server->crowd);
        return;
    }
    server->connections_count++;
    http_count(&server->stats.connections, 1);
    http_parse_init(&connection->parse, &server->limits);
    http_wait_set(connection, net_is_tls(net) ? HTTP_WAIT_HANDSHAKE : HTTP_WAIT_IDLE);
}
