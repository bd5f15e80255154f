#include "chassis/ask_stream.h"

#include "base/arena.h"
#include "os/dial.h"
#include "os/disk_stream.h"

enum {
    STEP_TIMEOUT_MS = 60 * 1000,
    PATIENCE_MS = 200,
    PIECE_BYTES = 64 * 1024,
    BODY_BYTES_MAX = 4 * 1024 * 1024
};

/* ---- sending ---- */

static str head_of(struct arena *arena, const char *method, const char *path, const char *type,
                   int64_t bytes)
{
    struct text out = text_init(arena, 512);
    text_add_format(&out, "%s %s HTTP/1.1\r\nHost: duka\r\nConnection: close\r\n", method, path);
    if (bytes >= 0)
        text_add_format(&out, "Content-Type: %s\r\nContent-Length: %lld\r\n", type,
                        (long long)bytes);
    text_add(&out, STR("\r\n"));
    return text_str(&out);
}

static err send_file(struct dial *dial, struct disk_stream *stream, char *room,
                     ask_progress *progress, void *self)
{
    int64_t total = disk_stream_bytes(stream), done = 0;
    bool closed = false;
    size_t len;
    do {
        TRY(disk_stream_take(stream, room, PIECE_BYTES, &len));
        if (len > 0)
            TRY(dial_send(dial, str_of(room, len), &closed));
        done += (int64_t)len;
        if (progress)
            progress(self, done, total);
    } while (len > 0 && !closed);
    return OK;
}

/* ---- receiving ---- */

/* All that comes until the other side ends. */
static err receive_all(struct arena *arena, struct dial *dial, char *room,
                       void (*waiting)(void *self), void *self, str *out)
{
    struct text text = text_init(arena, 4096);
    for (int64_t waits = 0;;) {
        size_t len;
        bool waited;
        TRY(dial_receive(dial, room, PIECE_BYTES, PATIENCE_MS, &len, &waited));
        if (waited && waiting)
            waiting(self);
        else if (waited && ++waits > STEP_TIMEOUT_MS / PATIENCE_MS)
            return fail(arena, UPSTREAM_UNAVAILABLE, "it does not answer in time");
        if (waited)
            continue;
        if (len == 0)
            break;
        if (text.len + len > BODY_BYTES_MAX)
            return fail(arena, UPSTREAM_FAILED, "its answer is too long");
        text_add(&text, str_of(room, len));
    }
    *out = text_str(&text);
    return OK;
}

err ask_upload(struct arena *arena, str socket_path, const char *path, const char *content_type,
               str file, ask_progress *progress, void *self, struct asked *out)
{
    ASSERT(arena && path && content_type && out);

    char *room = arena_alloc(arena, PIECE_BYTES, 1);
    struct disk_stream *stream;
    struct dial *dial = NULL;
    str answer;
    bool closed;
    TRY(disk_stream_read(arena, file, &stream));
    str head = head_of(arena, "POST", path, content_type, disk_stream_bytes(stream));
    err error = dial_open(arena, socket_path, STEP_TIMEOUT_MS, &dial);
    if (error == OK)
        error = dial_send(dial, head, &closed);
    if (error == OK)
        error = send_file(dial, stream, room, progress, self);
    if (error == OK)
        error = receive_all(arena, dial, room, NULL, NULL, &answer);
    dial_close(dial);
    disk_stream_close(stream);
    TRY(error);
    return asked_read(arena, answer, out);
}

err ask_patiently(struct arena *arena, str socket_path, const char *method, const char *path,
                  str json, void (*waiting)(void *self), void *self, struct asked *out)
{
    ASSERT(arena && method && path && out);

    char *room = arena_alloc(arena, PIECE_BYTES, 1);
    struct dial *dial;
    str answer;
    bool closed;
    int64_t bytes = json.ptr ? (int64_t)json.len : -1;
    TRY(dial_open(arena, socket_path, STEP_TIMEOUT_MS, &dial));
    err error = dial_send(dial, head_of(arena, method, path, "application/json", bytes), &closed);
    if (error == OK)
        error = dial_send(dial, json, &closed);
    if (error == OK)
        error = receive_all(arena, dial, room, waiting, self, &answer);
    dial_close(dial);
    TRY(error);
    return asked_read(arena, answer, out);
}

/* ---- a body that comes down in chunks ---- */

/* What was received and not used yet: a line, or a part of a chunk. */
struct incoming {
    struct arena *arena;
    struct dial *dial;
    char *room;
    size_t from, len;
};

static err refill(struct incoming *in)
{
    size_t got;
    bool waited;
    if (in->from > 0)
        memmove(in->room, in->room + in->from, in->len);
    in->from = 0;
    if (in->len == PIECE_BYTES)
        return fail(in->arena, UPSTREAM_FAILED, "its answer cannot be read");
    TRY(dial_receive(in->dial, in->room + in->len, PIECE_BYTES - in->len, STEP_TIMEOUT_MS, &got,
                     &waited));
    if (waited)
        return fail(in->arena, UPSTREAM_UNAVAILABLE, "it does not answer in time");
    if (got == 0)
        return fail(in->arena, UPSTREAM_FAILED, "its answer breaks off");
    in->len += got;
    return OK;
}

/* A line, without its end; valid until the next refill. */
static err take_line(struct incoming *in, str *line)
{
    for (;;) {
        ptrdiff_t at = str_find(str_of(in->room + in->from, in->len), STR("\r\n"));
        if (at >= 0) {
            *line = str_of(in->room + in->from, (size_t)at);
            in->from += (size_t)at + 2;
            in->len -= (size_t)at + 2;
            return OK;
        }
        TRY(refill(in));
    }
}

static err take_bytes(struct incoming *in, int64_t bytes, err (*take)(void *self, str piece),
                      void *self)
{
    while (bytes > 0) {
        if (in->len == 0)
            TRY(refill(in));
        size_t len = (int64_t)in->len < bytes ? in->len : (size_t)bytes;
        TRY(take(self, str_of(in->room + in->from, len)));
        in->from += len;
        in->len -= len;
        bytes -= (int64_t)len;
    }
    return OK;
}

static bool hex_number(str text, int64_t *out)
{
    int64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || value > (INT64_C(1) << 40))
            return false;
        value = value * 16 + digit;
    }
    *out = value;
    return text.len > 0;
}

static err take_chunks(struct incoming *in, err (*take)(void *self, str piece), void *self)
{
    for (;;) {
        str line;
        int64_t len;
        TRY(take_line(in, &line));
        if (!hex_number(line, &len))
            return fail(in->arena, UPSTREAM_FAILED, "its answer cannot be read");
        TRY(take_bytes(in, len, take, self));
        TRY(take_line(in, &line));
        if (len == 0)
            return OK;
    }
}

struct head {
    int status;
    int64_t length;
    bool chunked;
};

static err take_head(struct incoming *in, struct head *head)
{
    str line;
    int64_t status;
    *head = (struct head){ .length = 0 };
    TRY(take_line(in, &line));
    if (!str_starts(line, STR("HTTP/1.1 ")) ||
        !str_to_int64(str_slice(line, 9, 3), 100, 599, &status))
        return fail(in->arena, UPSTREAM_FAILED, "it does not answer in HTTP");
    head->status = (int)status;
    for (;;) {
        TRY(take_line(in, &line));
        if (line.len == 0)
            return OK;
        str value = line;
        str name = str_cut(&value, ':');
        if (str_equal_fold(name, STR("transfer-encoding")))
            head->chunked = true;
        else if (str_equal_fold(name, STR("content-length")) &&
                 !str_to_int64(str_trim(value), 0, INT64_MAX, &head->length))
            return fail(in->arena, UPSTREAM_FAILED, "its answer has no length that can be read");
    }
}

static err keep(void *text, str piece)
{
    text_add(text, piece);
    return OK;
}

static err download(struct incoming *in, const char *path, err (*take)(void *self, str piece),
                    void *self, struct asked *out)
{
    struct head head;
    bool closed;
    TRY(dial_send(in->dial, head_of(in->arena, "GET", path, NULL, -1), &closed));
    TRY(take_head(in, &head));
    struct text kept = text_init(in->arena, 1024);
    bool is_file = head.status == 200;
    if (!is_file && head.length > BODY_BYTES_MAX)
        return fail(in->arena, UPSTREAM_FAILED, "its answer is too long");
    if (head.chunked)
        TRY(take_chunks(in, is_file ? take : keep, is_file ? self : &kept));
    else
        TRY(take_bytes(in, head.length, is_file ? take : keep, is_file ? self : &kept));
    *out = (struct asked){ .status = head.status, .body = text_str(&kept) };
    return OK;
}

err ask_download(struct arena *arena, str socket_path, const char *path,
                 err (*take)(void *self, str piece), void *self, struct asked *out)
{
    ASSERT(arena && path && take && out);

    struct incoming in = { .arena = arena, .room = arena_alloc(arena, PIECE_BYTES, 1) };
    TRY(dial_open(arena, socket_path, STEP_TIMEOUT_MS, &in.dial));
    err error = download(&in, path, take, self, out);
    dial_close(in.dial);
    return error;
}
