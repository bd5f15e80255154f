#include "tests/unit/chassis/http2_client.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

static struct h2_answer *answer_of(struct h2 *h2, int32_t id)
{
    ASSERT(id > 0 && (id - 1) / 2 < H2_STREAMS_MAX);
    return &h2->answers[(id - 1) / 2];
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct h2_answer *answer = answer_of(user, frame->hd.stream_id);
    int64_t status = 0;
    (void)session, (void)flags;
    if (str_equal(str_of(name, name_len), STR(":status"))) {
        CHECK(str_to_int64(str_of(value, value_len), 100, 599, &status));
        answer->informed += status < 200;
        answer->status = (int)status;
        return 0;
    }
    text_add_format(&answer->headers, "%.*s: %.*s\n", (int)name_len, name, (int)value_len, value);
    return 0;
}

static int on_body(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *user)
{
    (void)session, (void)flags;
    text_add(&answer_of(user, id)->body, str_of(bytes, len));
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        h2->goaway = true;
        h2->goaway_code = frame->goaway.error_code;
        h2->goaway_last = frame->goaway.last_stream_id;
    }
    h2->settings += frame->hd.type == NGHTTP2_SETTINGS;
    bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        answer_of(h2, frame->hd.stream_id)->ended = true;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    answer_of(user, id)->closed = true;
    answer_of(user, id)->reset_code = code;
    return 0;
}

static void close_session(void *session) { nghttp2_session_del(session); }

struct h2 *h2_open_raw(struct test *t, int port)
{
    struct h2 *h2 = arena_new(t->arena, struct h2);
    nghttp2_session_callbacks *callbacks;

    h2->arena = t->arena;
    h2->fd = client_connect(port);
    h2->is_raw = true;
    for (int i = 0; i < H2_STREAMS_MAX; i++) {
        h2->answers[i].headers = text_init(t->arena, 0);
        h2->answers[i].body = text_init(t->arena, 0);
    }
    CHECK_INT(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_body);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    CHECK_INT(nghttp2_session_client_new(&h2->session, callbacks, h2), 0);
    nghttp2_session_callbacks_del(callbacks);
    arena_defer(t->arena, close_session, h2->session);
    return h2;
}

struct h2 *h2_open(struct test *t, int port, int window)
{
    struct h2 *h2 = h2_open_raw(t, port);
    h2->is_raw = false;
    nghttp2_settings_entry setting = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)window };

    CHECK_INT(nghttp2_submit_settings(h2->session, 0, &setting, window ? 1 : 0), 0);
    return h2;
}

static ssize_t give_body(nghttp2_session *session, int32_t id, uint8_t *room, size_t room_len,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2 *h2 = user;
    size_t len = h2->body.len - h2->body_sent;
    (void)session, (void)id, (void)source;
    if (len > room_len)
        len = room_len;
    if (len == 0 && h2->body_stays_open)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(room, h2->body.ptr + h2->body_sent, len);
    h2->body_sent += len;
    if (h2->body_sent == h2->body.len && !h2->body_stays_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static nghttp2_nv field(str name, str value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                         value.len, 0 };
}

/* Splits "name: value". */
static nghttp2_nv field_of(str line)
{
    ptrdiff_t colon = str_find(line, STR(": "));
    ASSERT(colon > 0);
    return field(str_slice(line, 0, (size_t)colon), str_slice(line, (size_t)colon + 2, line.len));
}

int32_t h2_ask(struct h2 *h2, const char *method, const char *path, const char *headers, str body)
{
    nghttp2_nv list[150];
    size_t count = 0;
    list[count++] = field(STR(":method"), str_of_z(method));
    list[count++] = field(STR(":scheme"), STR("http"));
    list[count++] = field(STR(":authority"), STR("h"));
    list[count++] = field(STR(":path"), str_of_z(path));
    for (str rest = str_of_z(headers); rest.ptr && rest.len > 0;)
        list[count++] = field_of(str_cut(&rest, '\n'));
    nghttp2_data_provider provider = { .read_callback = give_body };
    if (body.ptr) {
        h2->body = body;
        h2->body_sent = 0;
    }
    int32_t id =
        nghttp2_submit_request(h2->session, NULL, list, count, body.ptr ? &provider : NULL, NULL);
    CHECK(id > 0);
    return id;
}

static void send_all(struct h2 *h2)
{
    const uint8_t *bytes;
    ssize_t len;
    while (!h2->eof && !h2->is_raw && (len = nghttp2_session_mem_send(h2->session, &bytes)) > 0)
        for (ssize_t done = 0; done < len;) {
            ssize_t sent = send(h2->fd, bytes + done, (size_t)(len - done), MSG_NOSIGNAL);
            if (sent <= 0) {
                h2->eof = true;
                return;
            }
            done += sent;
        }
}

/* One read; false when nothing came in time. */
static bool take(struct h2 *h2, int wait_ms)
{
    static uint8_t room[65536];
    struct pollfd look = { .fd = h2->fd, .events = POLLIN };
    if (poll(&look, 1, wait_ms) <= 0)
        return false;
    ssize_t len = recv(h2->fd, room, sizeof room, 0);
    if (len <= 0) {
        h2->eof = true;
        return true;
    }
    ssize_t taken = nghttp2_session_mem_recv(h2->session, room, (size_t)len);
    CHECK_INT(taken, len);
    return true;
}

const struct h2_answer *h2_read(struct h2 *h2, int32_t id)
{
    struct h2_answer *answer = answer_of(h2, id);
    send_all(h2);
    while (!answer->ended && !answer->closed && !h2->eof) {
        if (!take(h2, CLIENT_WAIT_MS))
            FAIL("nothing came for stream %d", id);
        send_all(h2);
    }
    return answer;
}

void h2_read_to_end(struct h2 *h2)
{
    send_all(h2);
    while (!h2->eof) {
        if (!take(h2, CLIENT_WAIT_MS))
            FAIL("the connection does not end");
        send_all(h2);
    }
}

void h2_pass(struct h2 *h2, int wait_ms)
{
    send_all(h2);
    while (!h2->eof && take(h2, wait_ms))
        send_all(h2);
}

void h2_frame(struct h2 *h2, uint8_t type, uint8_t flags, int32_t id, str payload)
{
    char frame[9] = { (char)(payload.len >> 16),
                      (char)(payload.len >> 8),
                      (char)payload.len,
                      (char)type,
                      (char)flags,
                      (char)(id >> 24),
                      (char)(id >> 16),
                      (char)(id >> 8),
                      (char)id };
    str parts[2] = { str_of(frame, 9), payload };
    for (int i = 0; i < 2 && !h2->eof; i++)
        if (parts[i].len > 0 &&
            send(h2->fd, parts[i].ptr, parts[i].len, MSG_NOSIGNAL) != (ssize_t)parts[i].len)
            h2->eof = true;
}

str h2_block(struct arena *arena, const char *headers)
{
    struct text out = text_init(arena, 256);
    for (str rest = str_of_z(headers); rest.ptr && rest.len > 0;) {
        nghttp2_nv nv = field_of(str_cut(&rest, '\n'));
        ASSERT(nv.namelen < 127 && nv.valuelen < 127);
        text_add_byte(&out, 0x10); /* never indexed, a new name */
        text_add_byte(&out, (char)nv.namelen);
        text_add(&out, str_of(nv.name, nv.namelen));
        text_add_byte(&out, (char)nv.valuelen);
        text_add(&out, str_of(nv.value, nv.valuelen));
    }
    return text_str(&out);
}

str h2_header(const struct h2_answer *answer, const char *name)
{
    for (str rest = text_str(&answer->headers); rest.ptr && rest.len > 0;) {
        nghttp2_nv nv = field_of(str_cut(&rest, '\n'));
        if (str_equal(str_of(nv.name, nv.namelen), str_of_z(name)))
            return str_of(nv.value, nv.valuelen);
    }
    return STR_NONE;
}

void h2_close(struct h2 *h2) { close(h2->fd); }
