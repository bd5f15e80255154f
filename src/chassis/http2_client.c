#include "chassis/http2_client.h"

#include "base/arena.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

enum {
    WRITE_BYTES = 64 * 1024, /* of one go */
    WRITE_FIRST_BYTES = 4096,
    ARENA_BYTES_MAX = 4 * WRITE_BYTES,
    FIELD_SPARE_BYTES = 32, /* of a header, as RFC 9113 (6.5.2) counts */
    WHY_BYTES = 96
};

/* Lies in the room of its connection, so it outlives its closing by a turn of the loop. */
struct http2_client {
    struct net_connection *net; /* NULL: closed */
    nghttp2_session *session;   /* NULL before the connection stands */
    struct http2_client_config config;
    const struct http2_client_events *events;
    void *subject;
    struct http2_call *calls; /* under way, the oldest last */
    int calls_count;
    int64_t since_ms;       /* that it connects */
    int64_t heard_ms;       /* when something came last */
    int64_t pinged_ms;      /* when it was asked whether it lives; 0: it was not */
    struct loop_task flush; /* at the end of the turn */
    struct arena *out;      /* holds what is being written */
    bool flush_posted, waiting;
    bool feeding; /* nghttp2 works on what came: the session must stay */
    bool is_open, drains;
    bool has_asked;
    nghttp2_nv fields[HTTP2_CLIENT_FIELDS_MAX]; /* of the request that is being made */
    const char *end;                            /* why it is to be closed; NULL: it is not */
    char why[WHY_BYTES];
};

/* ---- The end ---- */

static void take_out(struct http2_call *call)
{
    struct http2_client *client = call->client;

    if (call->newer)
        call->newer->older = call->older;
    else
        client->calls = call->older;
    if (call->older)
        call->older->newer = call->newer;
    client->calls_count--;
    call->client = NULL;
    call->newer = call->older = NULL;
}

/* The call is over: nghttp2 tells nothing more of it. */
static void forget(struct http2_call *call)
{
    if (call->client->session)
        (void)nghttp2_session_set_stream_user_data(call->client->session, call->id, NULL);
    take_out(call);
}

static void dispose(struct http2_client *client)
{
    nghttp2_session_del(client->session);
    client->session = NULL;
    net_close(client->net);
    client->net = NULL;
    arena_close(client->out);
    client->out = NULL;
}

/* It is gone: whoever asked hears so, then the owner. */
static void close_now(struct http2_client *client, const char *why)
{
    if (!client->net)
        return;

    dispose(client);
    client->is_open = false;
    while (client->calls) {
        struct http2_call *call = client->calls;
        bool was_sent = call->sent;
        take_out(call);
        call->events->failed(call, was_sent ? HTTP2_BROKEN : HTTP2_NOT_BEGUN, why);
    }
    client->events->closed(client->subject, why);
}

/* ---- Writing ---- */

static void flush_soon(struct http2_client *client)
{
    if (client->flush_posted || client->waiting || !client->session)
        return;
    client->flush_posted = true;
    loop_later(client->config.loop, &client->flush);
}

/* As much as is written by one system call; false where nghttp2 failed. */
static bool gather(struct http2_client *client, str *out)
{
    arena_reset(client->out);
    struct text text = text_init(client->out, WRITE_FIRST_BYTES);
    const uint8_t *bytes;
    ssize_t len = 0;

    client->feeding = true;
    while (text.len < WRITE_BYTES && (len = nghttp2_session_mem_send(client->session, &bytes)) > 0)
        text_add(&text, str_of(bytes, (size_t)len));
    client->feeding = false;
    *out = text_str(&text);
    return len >= 0;
}

static bool is_over(const struct http2_client *client)
{
    return (!nghttp2_session_want_read(client->session) &&
            !nghttp2_session_want_write(client->session)) ||
           (client->drains && client->calls_count == 0);
}

static void flush(struct http2_client *client)
{
    str bytes;
    enum net_written written = NET_WRITTEN;

    while (client->net && !client->waiting) {
        bool is_well = gather(client, &bytes);
        if (!is_well)
            client->end = client->end ? client->end : "nghttp2 cannot go on";
        if (client->end) {
            close_now(client, client->end);
            return;
        }
        if (bytes.len == 0)
            break;
        written = net_write(client->net, bytes, STR_NONE);
        if (written == NET_BROKEN) {
            close_now(client, "the connection broke");
            return;
        }
        client->waiting = written == NET_WAITING;
    }
    if (client->net && !client->waiting && is_over(client))
        close_now(client, client->drains ? "the server drains" : "the server ended it");
}

static void on_flush(struct loop_task *task)
{
    struct http2_client *client =
        (struct http2_client *)((char *)task - offsetof(struct http2_client, flush));

    client->flush_posted = false;
    if (client->net && !client->waiting)
        flush(client);
}

static void on_written(void *subject, bool whole)
{
    struct http2_client *client = subject;

    client->waiting = false;
    if (whole)
        flush(client);
    else
        close_now(client, "the connection broke");
}

/* ---- What nghttp2 tells ---- */

static void call_failed(struct http2_call *call, enum http2_failure failure, const char *why)
{
    struct http2_client *client = call->client;

    forget(call);
    call->events->failed(call, failure, why);
    client->events->room(client->subject);
}

static void call_ended(struct http2_call *call)
{
    struct http2_client *client = call->client;

    /* It has answered before it has heard all. */
    if (!call->body_whole)
        (void)nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, call->id,
                                        NGHTTP2_CANCEL);
    forget(call);
    call->events->ended(call);
    client->events->room(client->subject);
}

static void call_refuse(struct http2_call *call, const char *why)
{
    (void)nghttp2_submit_rst_stream(call->client->session, NGHTTP2_FLAG_NONE, call->id,
                                    NGHTTP2_CANCEL);
    call_failed(call, HTTP2_BAD_ANSWER, why);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    str key = str_of(name, name_len), text = str_of(value, value_len);
    (void)flags, (void)user;
    if (!call)
        return 0;

    if (str_equal(key, STR(":status")))
        call->informing = text.len > 0 && text.ptr[0] == '1';
    if (call->informing)
        return 0;
    call->head_bytes += name_len + value_len + FIELD_SPARE_BYTES;
    if (call->head_bytes > HTTP2_CLIENT_HEAD_BYTES_MAX ||
        !call->events->field(call, key, text, call->head_done))
        call_refuse(call, "its headers are too large or too many");
    return 0;
}

static int on_body(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *user)
{
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, id);
    (void)flags, (void)user;

    (void)nghttp2_session_consume_connection(session, len);
    if (call)
        call->events->body(call, str_of(bytes, len));
    return 0;
}

static void on_goaway(struct http2_client *client)
{
    if (client->drains)
        return;
    client->drains = true;
    client->events->drains(client->subject);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_client *client = user;

    if (frame->hd.type == NGHTTP2_GOAWAY)
        on_goaway(client);
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK) &&
        !client->is_open) {
        client->is_open = true;
        client->events->opened(client->subject);
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!call)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !call->informing && !call->head_done) {
        call->head_done = true;
        call->events->head(call);
        call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    }
    if (call && call->head_done && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        call_ended(call);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct http2_client *client = user;
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, id);
    if (!call)
        return 0;

    (void)snprintf(client->why, sizeof(client->why), "the stream was reset: %s",
                   nghttp2_http2_strerror(code));
    bool is_ours = code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR;
    call_failed(call,
                code == NGHTTP2_REFUSED_STREAM ? HTTP2_NOT_BEGUN
                : is_ours                      ? HTTP2_BAD_ANSWER
                                               : HTTP2_BROKEN,
                client->why);
    return 0;
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call)
        call->sent = true;
    return 0;
}

/* A request that could not be sent: the server drains by now. nghttp2 has no stream for it. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code, void *user)
{
    struct http2_client *client = user;
    struct http2_call *call = client->calls;
    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;

    while (call && call->id != frame->hd.stream_id)
        call = call->older;
    if (call)
        call_failed(call, HTTP2_NOT_BEGUN, nghttp2_strerror(code));
    return 0;
}

static ssize_t on_give(nghttp2_session *session, int32_t id, uint8_t *room, size_t room_len,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, id);
    bool ended = false;
    (void)source, (void)user;

    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* it is being reset */
    size_t len = call->events->give(call, (char *)room, room_len, &ended);
    if (len == 0 && !ended)
        return NGHTTP2_ERR_DEFERRED;
    if (ended) {
        call->body_whole = true;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)len;
}

static nghttp2_session *session_new(struct http2_client *client)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    nghttp2_option *option;

    int rc = nghttp2_session_callbacks_new(&callbacks);
    ASSERT(rc == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_body);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, &on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, &on_not_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_stream_close);
    rc = nghttp2_option_new(&option);
    ASSERT(rc == 0);
    nghttp2_option_set_no_auto_window_update(option, 1); /* a body is taken when it is taken */
    rc = nghttp2_session_client_new2(&session, callbacks, client, option);
    ASSERT(rc == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

/* ---- The connection ---- */

static void on_opened(void *subject)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_CLIENT_WINDOW_BYTES },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_CLIENT_HEAD_BYTES_MAX },
    };
    struct http2_client *client = subject;

    if (net_is_tls(client->net) && !str_equal(net_protocol(client->net), STR("h2"))) {
        close_now(client, "it does not speak HTTP/2 (ALPN)");
        return;
    }
    client->session = session_new(client);
    int rc = nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings,
                                     sizeof(settings) / sizeof(settings[0]));
    ASSERT(rc == 0);
    rc = nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0,
                                               HTTP2_CLIENT_CONNECTION_WINDOW_BYTES);
    ASSERT(rc == 0);
    flush(client);
}

static void on_bytes(void *subject, const char *bytes, size_t len)
{
    struct http2_client *client = subject;

    client->heard_ms = loop_now_ms(client->config.loop);
    client->pinged_ms = 0;
    client->feeding = true;
    ssize_t taken = nghttp2_session_mem_recv(client->session, (const uint8_t *)bytes, len);
    client->feeding = false;
    if (taken < 0 && !client->end)
        client->end = nghttp2_strerror((int)taken);
    if (client->end)
        close_now(client, client->end);
    else
        flush_soon(client);
}

static void on_ended(void *subject, bool broken)
{
    struct http2_client *client = subject;
    const char *failure = net_failure(client->net);

    (void)snprintf(client->why, sizeof(client->why), "%s",
                   *failure ? failure
                   : broken ? "the connection broke"
                            : "the server ended it");
    close_now(client, client->why);
}

struct http2_client *http2_client_open(const struct http2_client_config *config,
                                       const struct http2_client_events *events, void *subject,
                                       const char **failure)
{
    static const struct net_events net_events = {
        .bytes = on_bytes, .ended = on_ended, .written = on_written, .opened = on_opened
    };
    ASSERT(config && config->loop && config->address && events && failure);

    struct net_connection *net =
        net_connect(config->loop, config->address, config->tls, config->name,
                    sizeof(struct http2_client), &net_events, NULL, failure);
    if (!net)
        return NULL;
    struct http2_client *client = net_room(net);
    client->net = net;
    client->config = *config;
    client->events = events;
    client->subject = subject;
    client->since_ms = client->heard_ms = loop_now_ms(config->loop);
    client->flush.run = &on_flush;
    client->out = arena_open(ARENA_BYTES_MAX);
    return client;
}

void http2_client_close(struct http2_client *client)
{
    ASSERT(client && !client->feeding);
    const uint8_t *bytes;
    ssize_t len;

    while (client->calls)
        http2_call_cancel(client->calls);
    if (client->session && !client->waiting) {
        (void)nghttp2_session_terminate_session(client->session, NGHTTP2_NO_ERROR);
        while ((len = nghttp2_session_mem_send(client->session, &bytes)) > 0)
            if (net_write(client->net, str_of(bytes, (size_t)len), STR_NONE) != NET_WRITTEN)
                break; /* it is closed at once, so what waits is dropped */
    }
    dispose(client);
}

bool http2_client_has_room(const struct http2_client *client)
{
    ASSERT(client);
    return client->is_open && !client->drains && !client->end &&
           (uint32_t)client->calls_count <
               nghttp2_session_get_remote_settings(client->session,
                                                   NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) &&
           nghttp2_session_check_request_allowed(client->session);
}

int http2_client_calls(const struct http2_client *client)
{
    ASSERT(client);
    return client->calls_count;
}

/* Asks whether the server lives, if nothing was heard of it for long. */
static void ping_after_silence(struct http2_client *client, int64_t now_ms)
{
    if (client->pinged_ms > 0 || now_ms < client->heard_ms + client->config.ping_interval_ms)
        return;
    client->pinged_ms = now_ms;
    (void)nghttp2_submit_ping(client->session, NGHTTP2_FLAG_NONE, NULL);
    flush_soon(client);
}

/* ---- Calls ---- */

/* What is another in each request is not worth a place in the table that both sides keep; but the
 * first brings its name there. */
static uint8_t flags_of(const struct http2_client *client, str name)
{
    bool is_new_each_time =
        name.len >= 11 && name.len <= 15 && /* most names are seen to be others by that */
        (str_equal(name, STR("traceparent")) || str_equal(name, STR("x-request-id")) ||
         str_equal(name, STR("grpc-timeout")) || str_equal(name, STR("idempotency-key")));
    return client->has_asked && is_new_each_time ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
}

void http2_client_ask(struct http2_client *client, struct http2_call *call,
                      const struct http2_call_events *events, const struct header *fields,
                      int fields_count, bool has_body)
{
    nghttp2_nv *list = client->fields;
    nghttp2_data_provider body = { .read_callback = &on_give };
    ASSERT(client && client->is_open && call && !call->client && events);
    ASSERT(fields && fields_count > 0 && fields_count <= HTTP2_CLIENT_FIELDS_MAX);

    for (int i = 0; i < fields_count; i++)
        list[i] = (nghttp2_nv){
            .name = (uint8_t *)(uintptr_t)fields[i].name.ptr,
            .namelen = fields[i].name.len,
            .value = (uint8_t *)(uintptr_t)(fields[i].value.ptr ? fields[i].value.ptr : ""),
            .valuelen = fields[i].value.len,
            .flags = flags_of(client, fields[i].name)
        };
    client->has_asked = true;
    int32_t id = nghttp2_submit_request(client->session, NULL, list, (size_t)fields_count,
                                        has_body ? &body : NULL, call);
    ASSERT(id > 0); /* there was room */
    *call = (struct http2_call){ .client = client,
                                 .older = client->calls,
                                 .events = events,
                                 .id = id,
                                 .body_whole = !has_body };
    if (client->calls)
        client->calls->newer = call;
    client->calls = call;
    client->calls_count++;
    if (client->calls_count == 1)
        ping_after_silence(client, loop_now_ms(client->config.loop));
    flush_soon(client);
}

void http2_call_resume(struct http2_call *call)
{
    ASSERT(call && call->client);
    (void)nghttp2_session_resume_data(call->client->session, call->id);
    flush_soon(call->client);
}

void http2_call_consume(struct http2_call *call, size_t len)
{
    ASSERT(call && call->client);
    (void)nghttp2_session_consume_stream(call->client->session, call->id, len);
    flush_soon(call->client);
}

void http2_call_cancel(struct http2_call *call)
{
    ASSERT(call && call->client);
    struct http2_client *client = call->client;

    if (client->session)
        (void)nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, call->id,
                                        NGHTTP2_CANCEL);
    forget(call);
    flush_soon(client);
}

/* ---- Time ---- */

static int64_t look_at_silence(struct http2_client *client, int64_t now_ms)
{
    if (client->calls_count == 0)
        return INT64_MAX;
    ping_after_silence(client, now_ms);
    if (client->pinged_ms == 0)
        return client->heard_ms + client->config.ping_interval_ms;
    if (now_ms < client->pinged_ms + client->config.ping_timeout_ms)
        return client->pinged_ms + client->config.ping_timeout_ms;
    close_now(client, "the server does not answer a ping");
    return INT64_MAX;
}

int64_t http2_client_look(struct http2_client *client)
{
    ASSERT(client && !client->feeding);
    int64_t now_ms = loop_now_ms(client->config.loop);

    if (client->is_open)
        return look_at_silence(client, now_ms);
    if (now_ms < client->since_ms + client->config.connect_timeout_ms)
        return client->since_ms + client->config.connect_timeout_ms;
    close_now(client, "connecting takes too long");
    return INT64_MAX;
}
