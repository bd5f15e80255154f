/* Reading HTTP/2: streams become exchanges, and their requests go to the handler. */
#include "chassis/grpc.h"
#include "chassis/http2_inside.h"
#include "chassis/obs.h"

#include <string.h>

enum { FIELD_SPARE_BYTES = 32 /* of a header, as RFC 9113 (6.5.2) counts */ };

static const char GIVEN_UP[] = "The request did not arrive in time.";

/* ---- Streams ---- */

static int *count_of(struct http2 *http2, enum http2_state state)
{
    switch (state) {
    case HTTP2_RECEIVING: return &http2->receiving;
    case HTTP2_WORKING: return &http2->working;
    case HTTP2_SENDING: break;
    }
    return &http2->sending;
}

static const struct http_version VERSION = { .answer = &http2_answer,
                                             .piece_taken = &http2_piece_taken,
                                             .piece_made = &http2_piece_made };

static struct http2_stream *stream_open(struct http_connection *connection, int32_t id)
{
    struct http2 *http2 = &connection->http2;
    struct http_exchange *exchange = http_exchange_open(connection, &VERSION);
    struct request *request = &exchange->request;
    struct http2_stream *stream = arena_new(request->arena, struct http2_stream);

    stream->exchange = exchange;
    stream->id = id;
    stream->since_ms = loop_now_ms(connection->server->loop);
    stream->failure = ERR_CODES_COUNT;
    exchange->stream = stream;
    request->headers = arena_grow(request->arena, NULL, 0, HEADERS_MAX * sizeof(struct header));
    stream->older = http2->streams;
    if (http2->streams)
        http2->streams->newer = stream;
    http2->streams = stream;
    http2->receiving++;
    return stream;
}

void http2_stream_becomes(struct http2_stream *stream, enum http2_state state)
{
    struct http_connection *connection = stream->exchange->connection;

    --*count_of(&connection->http2, stream->state);
    ++*count_of(&connection->http2, state);
    stream->state = state;
    stream->since_ms = loop_now_ms(connection->server->loop);
}

void http2_stream_end(struct http2_stream *stream)
{
    struct http2 *http2 = &stream->exchange->connection->http2;

    if (!stream->is_closed)
        (void)nghttp2_session_set_stream_user_data(http2->session, stream->id, NULL);
    if (stream->newer)
        stream->newer->older = stream->older;
    else
        http2->streams = stream->older;
    if (stream->older)
        stream->older->newer = stream->newer;
    --*count_of(http2, stream->state);
    http_exchange_close(stream->exchange);
}

void http2_terminate(struct http_connection *connection, uint32_t code, const char *reason)
{
    struct http2 *http2 = &connection->http2;
    if (http2->terminated)
        return;

    http2->terminated = true;
    connection->unread = true;
    http_count(&connection->server->stats.refused, 1);
    LOG(LOG_INFO, "http2.ended", LOG_TEXT("reason", str_of_z(reason)), LOG_NUMBER("code", code),
        LOG_TEXT("client", net_peer(connection->net)));
    (void)nghttp2_session_terminate_session(http2->session, code);
}

/* ---- Requests ---- */

static void refuse(struct http2_stream *stream, enum err_code code, const char *reason)
{
    http_count(&stream->exchange->server->stats.refused, 1);
    http_exchange_fail(stream->exchange, code, reason);
    http_exchange_answer(stream->exchange);
}

/* What is wrong with a head that is complete: ERR_CODES_COUNT for nothing. */
static enum err_code judge_head(struct http2_stream *stream)
{
    struct request *request = &stream->exchange->request;

    if (stream->failure != ERR_CODES_COUNT)
        return stream->failure;
    if (stream->malformed)
        return HTTP_MALFORMED;
    bool is_served = http_method_of(request->method_text, &request->method, &request->method_text);
    if (!is_served && !http_method_is_known(request->method_text))
        return HTTP_METHOD_UNKNOWN;
    if (!is_served)
        request->method = HTTP_OTHER;
    stream->malformed = http_target_split(request, &stream->asterisk);
    return stream->malformed ? HTTP_MALFORMED : ERR_CODES_COUNT;
}

static const char *reason_of(const struct http2_stream *stream, enum err_code code)
{
    if (code == HTTP_MALFORMED)
        return stream->malformed;
    if (code == HTTP_METHOD_UNKNOWN)
        return "The method is not served.";
    return code == HTTP_TARGET_TOO_LONG ? "The target is too long." : "The headers are too large.";
}

static void tell_to_go_on(nghttp2_session *session, int32_t id)
{
    static uint8_t name[] = ":status", value[] = "100";
    nghttp2_nv status = {
        .name = name, .namelen = sizeof(name) - 1, .value = value, .valuelen = sizeof(value) - 1
    };
    (void)nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, id, NULL, &status, 1, NULL);
}

/* Judges head and, before a byte of it is kept, body. */
static void head_complete(struct http_connection *connection, struct http2_stream *stream)
{
    struct http_server *server = connection->server;
    bool refused = false;

    stream->head_done = true;
    (void)http_method_of(stream->exchange->request.method_text, &stream->exchange->request.method,
                         &stream->exchange->request.method_text);
    stream->exchange->request.grpc = grpc_is(&stream->exchange->request);
    enum err_code code = judge_head(stream);
    if (code != ERR_CODES_COUNT) {
        refuse(stream, code, reason_of(stream, code));
        return;
    }
    if (stream->is_whole)
        return;

    stream->body_bytes_max = server->config.body_bytes_max;
    if (server->handler.body_bytes_max)
        stream->body_bytes_max = server->handler.body_bytes_max(
            server->handler.self, &stream->exchange->request, &refused);
    if (refused) {
        http_count(&server->stats.refused, 1);
        http_exchange_answer(stream->exchange);
    } else if (stream->exchange->request.talk) {
        http_exchange_answer(stream->exchange);
    } else if (stream->announced > stream->body_bytes_max) {
        refuse(stream, HTTP_BODY_TOO_LARGE, "The body is too large.");
    } else if (stream->expects_continue) {
        tell_to_go_on(connection->http2.session, stream->id);
    }
}

static void request_complete(struct http2_stream *stream)
{
    http2_stream_becomes(stream, HTTP2_WORKING);
    http_exchange_run(stream->exchange, stream->asterisk);
}

/* ---- What nghttp2 tells ---- */

/* Ids grow (RFC 9113, 5.1.1). nghttp2 takes a smaller one for a stream that has ended. */
static void note_id(struct http_connection *connection, int32_t id)
{
    struct http2 *http2 = &connection->http2;

    if (id >= http2->gap_first && id <= http2->gap_last)
        http2_terminate(connection, NGHTTP2_PROTOCOL_ERROR, "a stream with an id of the past");
    if (id - 2 > http2->newest_id) {
        http2->gap_first = http2->newest_id + 2;
        http2->gap_last = id - 2;
    }
    if (id > http2->newest_id)
        http2->newest_id = id;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct http_connection *connection = http2_connection(user);
    bool is_aside = hd->type > NGHTTP2_CONTINUATION || hd->type == NGHTTP2_PRIORITY;
    (void)session;

    if (hd->type == NGHTTP2_HEADERS)
        note_id(connection, hd->stream_id);
    if (hd->type == NGHTTP2_PING || hd->type == NGHTTP2_SETTINGS)
        is_aside = !(hd->flags & NGHTTP2_FLAG_ACK);
    else if (hd->type == NGHTTP2_DATA)
        is_aside = hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM);
    if (is_aside &&
        !http2_guard_aside(&connection->http2.guard, loop_now_ms(connection->server->loop)))
        http2_terminate(connection, NGHTTP2_ENHANCE_YOUR_CALM, "frames beside requests");
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_connection *connection = http2_connection(user);
    struct http2 *http2 = &connection->http2;

    http2->in_block = true;
    http2->block_bytes = http2->unpacked_bytes = 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    bool is_full =
        http2->working >= HTTP2_STREAMS_MAX ||
        connection->server->exchanges_count >= connection->server->config.connections_max;
    if (is_full || http2->terminated) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_REFUSED_STREAM);
        return 0; /* without a stream of ours, the rest of it is read and dropped */
    }
    (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                               stream_open(connection, frame->hd.stream_id));
    return 0;
}

static void note_pseudo(struct http_connection *connection, struct http2_stream *stream, str name,
                        str value)
{
    struct request *request = &stream->exchange->request;
    enum http_single which;

    if (str_equal(name, STR(":method"))) {
        request->method_text = value;
    } else if (str_equal(name, STR(":path"))) {
        request->path = value;
        if (value.len > connection->server->limits.target_bytes_max)
            stream->failure = HTTP_TARGET_TOO_LONG;
        else
            stream->malformed = http_target_judge(value.ptr, value.len);
    } else if (str_equal(name, STR(":authority"))) {
        request->headers[request->headers_count++] = (struct header){ STR("host"), value };
        stream->malformed = http_header_judge(&stream->seen, STR("host"), value, &which);
    }
}

static void note_header(struct http2_stream *stream, str name, str value)
{
    struct request *request = &stream->exchange->request;
    enum http_single which;
    int64_t length;

    /* A host beside :authority is the same one, or the request is two (RFC 9113, 8.3.1). */
    bool has_host = (stream->seen & (1U << HTTP_SINGLE_HOST)) != 0;
    if (has_host && str_equal(name, STR("host"))) {
        if (!str_equal_fold(request_header(request, name), value))
            stream->malformed = "Host is another than :authority.";
        return;
    }
    const char *reason = http_header_judge(&stream->seen, name, value, &which);
    if (reason)
        stream->malformed = reason;
    if (which == HTTP_SINGLE_EXPECT)
        stream->expects_continue = str_equal_fold(value, STR("100-continue"));
    if (which == HTTP_SINGLE_CONTENT_LENGTH && str_to_int64(value, 0, INT64_MAX, &length))
        stream->announced = (uint64_t)length;
    request->headers[request->headers_count++] = (struct header){ name, value };
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct http_connection *connection = http2_connection(user);
    struct http2_stream *stream =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;

    /* A byte may name a large header again and again, and each is checked before it comes here: the
     * rest of the block would cost more than all the requests of others. */
    connection->http2.unpacked_bytes += name_len + value_len + FIELD_SPARE_BYTES;
    if (connection->http2.unpacked_bytes > 4 * (size_t)connection->server->limits.head_bytes_max) {
        http2_terminate(connection, NGHTTP2_ENHANCE_YOUR_CALM, "headers that unpack to too much");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!stream || stream->state != HTTP2_RECEIVING)
        return 0;

    stream->head_bytes += name_len + value_len + FIELD_SPARE_BYTES;
    bool is_full = stream->head_bytes > connection->server->limits.head_bytes_max ||
                   stream->exchange->request.headers_count == HEADERS_MAX;
    if (is_full && !stream->head_done)
        stream->failure = HTTP_HEADERS_TOO_LARGE;
    else if (is_full)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* trailers without end */
    if (is_full || stream->head_done)
        return 0; /* trailers are read and dropped */

    char *kept = arena_alloc(stream->exchange->request.arena, name_len + value_len, 1);
    memcpy(kept, name, name_len);
    memcpy(kept + name_len, value, value_len);
    str name_kept = str_of(kept, name_len);
    str value_kept = str_trim(str_of(kept + name_len, value_len));
    if (name_len > 0 && name[0] == ':')
        note_pseudo(connection, stream, name_kept, value_kept);
    else
        note_header(stream, name_kept, value_kept);
    return 0;
}

/* Gives the piece in request->body to who takes it; the peer may send the next one when it is
 * taken: its window is as large as a piece. */
static void piece_give(struct http2_stream *stream)
{
    struct http_exchange *exchange = stream->exchange;

    http2_stream_becomes(stream, HTTP2_WORKING);
    exchange->spooling = true;
    exchange->body_ended = stream->is_whole;
    exchange->request.stream->take(&exchange->request);
}

/* ---- Talks ---- */

static bool is_talking(const struct http2_stream *stream)
{
    const struct request *request = &stream->exchange->request;
    return request->talk && stream->state == HTTP2_SENDING && !request->talk->answer.ended;
}

static void talk_hear(struct http2_stream *stream, str bytes)
{
    struct request *request = &stream->exchange->request;

    stream->unconsumed += bytes.len;
    request->talk->hear(request, bytes, stream->is_whole);
    http2_talk_consume(stream);
}

void http2_talk_consume(struct http2_stream *stream)
{
    struct http_exchange *exchange = stream->exchange;
    size_t unread = exchange->request.talk->unread;
    if (stream->unconsumed <= unread || stream->is_closed)
        return;

    (void)nghttp2_session_consume_stream(exchange->connection->http2.session, stream->id,
                                         stream->unconsumed - unread);
    stream->unconsumed = unread;
}

/* Who cannot say any more that it has what was sent, hardly waits for it. */
static void hurry(struct http2 *http2)
{
    http2->feeding = true; /* nothing is written by who answers at once */
    for (struct http2_stream *stream = http2->streams, *older; stream; stream = older) {
        older = stream->older;
        if (stream->state == HTTP2_WORKING)
            request_leave(&stream->exchange->request);
    }
    http2->feeding = false;
}

void http2_read_ended(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;

    for (struct http2_stream *stream = http2->streams; stream; stream = stream->older)
        if (stream->exchange->request.talk)
            (void)nghttp2_submit_rst_stream(http2->session, NGHTTP2_FLAG_NONE, stream->id,
                                            NGHTTP2_CANCEL);
    hurry(http2);
    http2_pump(connection);
}

/* ---- Bodies ---- */

/* A part of the body, or all of it, has come. */
static void body_came(struct http2_stream *stream)
{
    const struct request *request = &stream->exchange->request;

    if (request->stream && request->body.len > 0 &&
        (stream->is_whole || request->body.len == STREAM_PIECE_BYTES))
        piece_give(stream);
    else if (stream->is_whole)
        request_complete(stream);
}

void http2_piece_taken(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct http2_stream *stream = exchange->stream;
    struct request *request = &exchange->request;
    size_t len = request->body.len;

    if (stream->is_closed) {
        http2_stream_end(stream);
        http2_pump(connection);
        return;
    }
    http_body_piece_taken(&stream->body, request);
    http2_stream_becomes(stream, HTTP2_RECEIVING);
    if (request->failure) {
        request_identify(request);
        response_problem(request, request->failure);
        http_exchange_answer(exchange);
    } else if (exchange->body_ended) {
        request_complete(stream);
    } else {
        (void)nghttp2_session_consume_stream(connection->http2.session, stream->id, len);
        if (stream->is_whole) /* its end came while the last bytes of it were taken */
            request_complete(stream);
    }
    if (connection->net && connection->http2.session)
        http2_pump(connection);
}

/* Nobody reads it any more (RFC 9113, 8.1). */
static void drop(struct http_connection *connection, int32_t id, size_t len)
{
    connection->lingered_bytes += len;
    if (connection->lingered_bytes <= HTTP_LINGER_BYTES_MAX)
        return;
    connection->lingered_bytes = 0;
    (void)nghttp2_submit_rst_stream(connection->http2.session, NGHTTP2_FLAG_NONE, id,
                                    NGHTTP2_NO_ERROR);
}

static int on_body(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *user)
{
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    bool is_wanted = stream && stream->state == HTTP2_RECEIVING; /* not refused already */
    bool in_pieces = is_wanted && stream->exchange->request.stream;
    (void)flags;

    (void)nghttp2_session_consume_connection(session, len);
    if (stream && is_talking(stream)) {
        talk_hear(stream, str_of(bytes, len));
        return 0;
    }
    if (!in_pieces)
        (void)nghttp2_session_consume_stream(session, id, len);
    if (!is_wanted) {
        drop(http2_connection(user), id, len);
        return 0;
    }
    struct request *request = &stream->exchange->request;
    if (http_body_len(&stream->body, request) + len > stream->body_bytes_max) {
        refuse(stream, HTTP_BODY_TOO_LARGE, "The body is too large.");
        return 0;
    }
    ASSERT(len <= http_body_room(request));
    http_body_add(&stream->body, request, stream->announced, stream->body_bytes_max,
                  str_of(bytes, len));
    body_came(stream);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_connection *connection = http2_connection(user);

    if (frame->hd.type == NGHTTP2_RST_STREAM &&
        !http2_guard_reset(&connection->http2.guard, loop_now_ms(connection->server->loop)))
        http2_terminate(connection, NGHTTP2_ENHANCE_YOUR_CALM, "resets");
    if (frame->hd.type == NGHTTP2_HEADERS)
        connection->http2.in_block = false;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct http2_stream *stream =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream)
        return 0;

    stream->is_whole = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !stream->head_done)
        head_complete(connection, stream);
    if (stream->is_whole && stream->state == HTTP2_RECEIVING)
        body_came(stream);
    else if (stream->is_whole && is_talking(stream))
        talk_hear(stream, STR(""));
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)code, (void)user;
    if (!stream)
        return 0;

    stream->is_closed = true;
    if (stream->exchange->making && stream->exchange->request.talk)
        stream->exchange->request.talk->gone(&stream->exchange->request);
    else if (stream->state == HTTP2_WORKING || stream->exchange->making) /* somebody has it */
        request_leave(&stream->exchange->request);
    else
        http2_stream_end(stream);
    return 0;
}

/* ---- The session ---- */

/* Its begin was counted; what it says is nobody's business. */
static int on_extension(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd,
                        void *user)
{
    (void)session, (void)payload, (void)hd, (void)user;
    return NGHTTP2_ERR_CANCEL;
}

static nghttp2_session *session_new(struct http_connection *connection)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    nghttp2_option *option;

    int rc = nghttp2_session_callbacks_new(&callbacks);
    ASSERT(rc == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, &on_begin_frame);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, &on_extension);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_body);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, &http2_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_stream_close);
    rc = nghttp2_option_new(&option);
    ASSERT(rc == 0);
    nghttp2_option_set_no_auto_window_update(option, 1); /* a piece is taken when it is taken */
    for (int type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
        nghttp2_option_set_user_recv_extension_type(option,
                                                    (uint8_t)type); /* or it tells of none */
    rc = nghttp2_session_server_new2(&session, callbacks, connection, option);
    ASSERT(rc == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

void http2_open(struct http_connection *connection)
{
    ASSERT(connection && !connection->http2.session);
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_WINDOW_BYTES },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, connection->server->limits.head_bytes_max },
    };
    struct http2 *http2 = &connection->http2;

    http2->session = session_new(connection);
    http2->newest_id = -1;
    http2->guard.seen_ms = loop_now_ms(connection->server->loop);
    int rc = nghttp2_submit_settings(http2->session, NGHTTP2_FLAG_NONE, settings,
                                     sizeof(settings) / sizeof(settings[0]));
    ASSERT(rc == 0);
    rc = nghttp2_session_set_local_window_size(http2->session, NGHTTP2_FLAG_NONE, 0,
                                               HTTP2_CONNECTION_WINDOW_BYTES);
    ASSERT(rc == 0);
    http2_pump(connection);
}

void http2_feed(struct http_connection *connection, const char *bytes, size_t len)
{
    struct http2 *http2 = &connection->http2;
    ASSERT(connection->net && http2->session && !http2->feeding);

    http2->feeding = true;
    ssize_t taken = nghttp2_session_mem_recv(http2->session, (const uint8_t *)bytes, len);
    if (taken == NGHTTP2_ERR_FLOODED)
        http2_terminate(connection, NGHTTP2_ENHANCE_YOUR_CALM, "acknowledgements nobody reads");
    else if (taken < 0)
        http2_terminate(connection, NGHTTP2_PROTOCOL_ERROR, nghttp2_strerror((int)taken));
    if (http2->in_block)
        http2->block_bytes += len;
    if (http2->in_block &&
        http2->block_bytes > 4 * (size_t)connection->server->limits.head_bytes_max)
        http2_terminate(connection, NGHTTP2_ENHANCE_YOUR_CALM, "a block of headers without end");
    http2->feeding = false;
    http2_pump(connection);
}

/* ---- Deadlines ---- */

static void stream_expire(struct http_connection *connection, struct http2_stream *stream,
                          int64_t now_ms)
{
    const struct http_config *config = &connection->server->config;
    uint32_t head_ms = stream->head_done ? config->body_timeout_ms : config->head_timeout_ms;

    if (stream->state == HTTP2_RECEIVING && stream->since_ms + head_ms <= now_ms &&
        stream->head_done)
        refuse(stream, HTTP_TIMEOUT, GIVEN_UP);
    else if (stream->state == HTTP2_RECEIVING && stream->since_ms + head_ms <= now_ms)
        http2_terminate(connection, NGHTTP2_ENHANCE_YOUR_CALM, GIVEN_UP); /* in mid-block */
    else if (stream->state == HTTP2_SENDING && !stream->exchange->making &&
             stream->since_ms + config->write_timeout_ms <= now_ms)
        (void)nghttp2_submit_rst_stream(connection->http2.session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_CANCEL);
}

void http2_expire(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;
    int64_t now_ms = loop_now_ms(connection->server->loop);
    bool is_stuck = http2->unsent &&
                    http2->unsent_since_ms + connection->server->config.write_timeout_ms <= now_ms;

    if (connection->wait == HTTP_WAIT_IDLE || is_stuck) {
        http_connection_close(connection);
        return;
    }
    http2->feeding = true;
    for (struct http2_stream *stream = http2->streams, *older; stream; stream = older) {
        older = stream->older;
        stream_expire(connection, stream, now_ms);
    }
    http2->feeding = false;
    http_wait_set(connection, connection->wait); /* anew, for those that came later */
    http2_pump(connection);
}

/* ---- The end ---- */

void http2_say_last(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;

    http2->noticed = http2->last_told = true;
    (void)nghttp2_submit_goaway(http2->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(http2->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
}

void http2_drain(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;
    if (!http2->session || http2->terminated || !connection->net)
        return;

    /* While it drains, first a notice: what is on its way is still taken. */
    if (connection->server->closing && !http2->last_told) {
        http2_say_last(connection);
    } else if (!http2->noticed && !http2->streams) {
        http2->noticed = true;
        (void)nghttp2_submit_shutdown_notice(http2->session);
    }
    http2_pump(connection);
}

void http2_say_goodbye(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;
    const uint8_t *bytes;
    ssize_t len;
    if (!http2->session || http2->unsent || http2->feeding || connection->wait == HTTP_WAIT_LINGER)
        return;

    http2->feeding = true; /* streams that end now have nobody to tell */
    (void)nghttp2_session_terminate_session(http2->session, NGHTTP2_NO_ERROR);
    while ((len = nghttp2_session_mem_send(http2->session, &bytes)) > 0)
        if (net_write(connection->net, str_of(bytes, (size_t)len), STR_NONE) != NET_WRITTEN)
            break; /* it is closed at once, so what waits is dropped */
    http2->feeding = false;
}

void http2_close(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;
    if (!http2->session)
        return;

    while (http2->streams) {
        struct http2_stream *stream = http2->streams;
        http2->streams = stream->older;
        struct request *request = &stream->exchange->request;
        bool is_at_work = stream->state == HTTP2_WORKING || stream->exchange->making;
        if (is_at_work && request->talk) {
            stream->exchange->connection = NULL;
            request->talk->gone(request);
        } else if (is_at_work) {
            http_exchange_leave(stream->exchange);
        } else {
            http_exchange_close(stream->exchange);
        }
    }
    nghttp2_session_del(http2->session);
    http2->session = NULL;
    if (http2->unsent)
        http_arena_drop(connection->server, http2->unsent);
    http2->unsent = NULL;
}
