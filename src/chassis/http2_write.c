/* Answers of HTTP/2: handed to nghttp2, and from there to the socket. */
#include "chassis/grpc.h"
#include "chassis/http2_fields.h"
#include "chassis/http2_inside.h"
#include "chassis/http_write.h"

#include <string.h>

enum { PUMP_BYTES = 32 * 1024, PUMP_FIRST_BYTES = 2048 };

/* ---- One answer ---- */

/* What is another in each answer is not worth a place in the table that both sides keep. */
static uint8_t flags_of(str name)
{
    bool is_new_each_time =
        str_equal(name, STR("traceparent")) || str_equal(name, STR("x-request-id"));
    return is_new_each_time ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
}

static nghttp2_nv field_of_header(struct header header)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)header.name.ptr,
                         .namelen = header.name.len,
                         .value = (uint8_t *)(uintptr_t)(header.value.ptr ? header.value.ptr : ""),
                         .valuelen = header.value.len,
                         .flags = flags_of(header.name) };
}

static void submit_trailers(nghttp2_session *session, const struct http2_stream *stream)
{
    struct header trailers[GRPC_TRAILERS_MAX];
    nghttp2_nv list[GRPC_TRAILERS_MAX];

    int count = grpc_trailers(&stream->exchange->request, trailers);
    for (int i = 0; i < count; i++)
        list[i] = field_of_header(trailers[i]);
    (void)nghttp2_submit_trailer(session, stream->id, list, (size_t)count);
}

/* The piece in hand is sent: asks for the next one. False where there is none. */
static bool ask_for_piece(struct http2_stream *stream)
{
    struct request *request = &stream->exchange->request;
    struct answer_stream *pieces = request->response.stream;
    if (!pieces || pieces->ended)
        return false;

    request->response.streamed_bytes += (int64_t)request->response.body.len;
    request->response.body = STR_NONE;
    stream->sent = 0;
    stream->exchange->making = true;
    pieces->next(request);
    return true;
}

static ssize_t give_body(nghttp2_session *session, int32_t id, uint8_t *room, size_t room_len,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http2_stream *stream = source->ptr;
    const struct response *response = &stream->exchange->request.response;
    size_t len = response->body.len - stream->sent;
    (void)id, (void)user;

    if (len == 0 && ask_for_piece(stream))
        return NGHTTP2_ERR_DEFERRED;
    if (len > room_len)
        len = room_len;
    if (len > 0)
        memcpy(room, response->body.ptr + stream->sent, len);
    stream->sent += len;
    if (stream->sent == response->body.len && (!response->stream || response->stream->ended))
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    if ((*flags & NGHTTP2_DATA_FLAG_EOF) && stream->exchange->request.grpc) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(session, stream);
    }
    return (ssize_t)len;
}

void http2_piece_made(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct http2_stream *stream = exchange->stream;
    nghttp2_session *session = connection->http2.session;

    stream->since_ms = loop_now_ms(connection->server->loop); /* each has the time of an answer */
    if (exchange->request.talk)
        http2_talk_consume(stream);
    if (stream->is_closed)
        http2_stream_end(stream);
    else if (exchange->request.response.stream->failed)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_INTERNAL_ERROR);
    else
        (void)nghttp2_session_resume_data(session, stream->id);
    http2_pump(connection);
}

static void submit(struct http_connection *connection, struct http2_stream *stream)
{
    const struct request *request = &stream->exchange->request;
    struct header fields[HTTP2_FIELDS_MAX];
    nghttp2_nv list[HTTP2_FIELDS_MAX];
    nghttp2_data_provider body = { .source.ptr = stream, .read_callback = &give_body };
    nghttp2_session *session = connection->http2.session;

    int count = http2_fields(request, http_date(connection->server), fields);
    for (int i = 0; i < count; i++)
        list[i] = field_of_header(fields[i]);
    bool has_body = request->method != HTTP_HEAD &&
                    (request->response.body.len > 0 || request->response.stream) &&
                    http_status_has_body(request->response.status);
    int rc =
        nghttp2_submit_response(session, stream->id, list, (size_t)count, has_body ? &body : NULL);
    if (rc != 0)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_INTERNAL_ERROR);
}

static void on_pump(struct loop_task *task)
{
    struct http_connection *connection =
        (struct http_connection *)((char *)task - offsetof(struct http_connection, http2.pump));

    connection->http2.pump_posted = false;
    if (connection->net && connection->http2.session)
        http2_pump(connection);
}

/* Answers that come together are written by one system call. */
static void pump_soon(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;
    if (http2->feeding || http2->pump_posted)
        return;

    http2->pump_posted = true;
    http2->pump.run = &on_pump;
    loop_later(connection->server->loop, &http2->pump);
}

void http2_answer(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct http2_stream *stream = exchange->stream;
    ASSERT(connection && stream);

    if (stream->is_closed || connection->wait == HTTP_WAIT_LINGER) {
        http2_stream_end(stream); /* nobody listens any more */
        pump_soon(connection);
        return;
    }
    submit(connection, stream);
    http2_stream_becomes(stream, HTTP2_SENDING);
    pump_soon(connection);
}

int http2_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_connection *connection = http2_connection(user);
    bool is_last = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                   (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    struct http2_stream *stream =
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    /* Answered before all of the request came. Many clients lose the answer when they are reset
     * now, so what they still send is dropped for a while (see on_body). */
    if (is_last && stream && !stream->is_whole)
        http2_stream_end(stream);
    bool is_reset =
        frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR;
    if (is_reset &&
        !http2_guard_reset(&connection->http2.guard, loop_now_ms(connection->server->loop)))
        http2_terminate(connection, NGHTTP2_ENHANCE_YOUR_CALM, "resets");
    return 0;
}

/* ---- What is to be sent, to the socket ---- */

/* As much as is written by one system call; NULL in `ptr` where nghttp2 failed. */
static str gather(struct http_connection *connection)
{
    struct text out = text_init(connection->server->scratch, PUMP_FIRST_BYTES);
    const uint8_t *bytes;
    ssize_t len = 0;

    while (out.len < PUMP_BYTES &&
           (len = nghttp2_session_mem_send(connection->http2.session, &bytes)) > 0)
        text_add(&out, str_of(bytes, (size_t)len));
    return len < 0 ? STR_NONE : text_str(&out);
}

/* What it waits for now. */
static enum http_wait wait_of(const struct http_connection *connection)
{
    const struct http2 *http2 = &connection->http2;

    if (http2->receiving > 0)
        return HTTP_WAIT_BODY;
    if (http2->unsent || http2->sending > 0)
        return HTTP_WAIT_WRITE;
    return http2->streams ? HTTP_WAIT_WORK : HTTP_WAIT_IDLE;
}

/* Says which stream was the last, once the peer has all its answers: some clients take GOAWAY for
 * the end of what is on its way, too. True where there is something to send. */
static bool tell_last(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;
    bool is_time = connection->server->draining && !http2->noticed && !http2->terminated &&
                   http2->newest_id > 0 && !http2->streams;

    if (is_time)
        http2_say_last(connection);
    return is_time;
}

static void look(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;
    bool is_over =
        !nghttp2_session_want_read(http2->session) && !nghttp2_session_want_write(http2->session);
    bool is_left = (connection->server->closing && !http2->streams) ||
                   (connection->read_ended && http2->working + http2->sending == 0);

    if (connection->wait == HTTP_WAIT_LINGER)
        return;
    if (!http2->unsent && (is_over || is_left)) {
        http_connection_end(connection);
        return;
    }
    enum http_wait wait = wait_of(connection);
    if (wait != connection->wait)
        http_wait_set(connection, wait);
}

void http2_pump(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http2 *http2 = &connection->http2;
    ASSERT(connection->net && http2->session && !http2->feeding);

    while (!http2->unsent && connection->wait != HTTP_WAIT_LINGER) {
        str bytes = gather(connection);
        enum net_written written = NET_WRITTEN;
        if (bytes.ptr && bytes.len > 0)
            written = net_write(connection->net, bytes, STR_NONE);
        if (written == NET_WAITING) {
            http2->unsent = server->scratch;
            http2->unsent_since_ms = loop_now_ms(server->loop);
            server->scratch = http_arena_take(server);
            break;
        }
        arena_reset(server->scratch);
        if (!bytes.ptr || written == NET_BROKEN) {
            http_connection_close(connection);
            return;
        }
        if (bytes.len == 0 && !tell_last(connection))
            break;
    }
    look(connection);
}

void http2_written(struct http_connection *connection)
{
    struct http2 *http2 = &connection->http2;
    ASSERT(http2->unsent);

    http_arena_drop(connection->server, http2->unsent);
    http2->unsent = NULL;
    http2_pump(connection);
}
