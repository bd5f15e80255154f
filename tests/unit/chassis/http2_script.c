#include "tests/unit/chassis/http2_script.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum { PREFACE_BYTES = 24, FRAME_HEAD_BYTES = 9 };

struct script *script_open(struct test *t)
{
    struct script *script = arena_new(t->arena, struct script);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);

    script->arena = t->arena;
    script->fd = -1;
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(script->listener >= 0);
    CHECK(bind(script->listener, (const struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(script->listener, 16) == 0);
    CHECK(getsockname(script->listener, (struct sockaddr *)&address, &len) == 0);
    script->port = ntohs(address.sin_port);
    return script;
}

void script_hang_up(struct script *script)
{
    if (script->fd >= 0)
        close(script->fd);
    script->fd = -1;
}

void script_close(struct script *script)
{
    script_hang_up(script);
    if (script->listener >= 0)
        close(script->listener);
}

static bool is_ready(int fd, int wait_ms)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    return poll(&one, 1, wait_ms) == 1;
}

bool script_is_quiet(struct script *script, int wait_ms)
{
    return !is_ready(script->listener, wait_ms);
}

void script_accept(struct script *script, bool greets)
{
    CHECK(is_ready(script->listener, CLIENT_WAIT_MS));
    script->fd = accept4(script->listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(script->fd >= 0);
    script->heard_preface = false;
    if (greets)
        script_send(script, NGHTTP2_SETTINGS, 0, 0, STR(""));
}

/* Less where the peer has closed. */
static str read_bytes(struct script *script, size_t count)
{
    char *bytes = arena_alloc(script->arena, count + 1, 1);
    size_t len = 0;

    while (len < count) {
        CHECK(is_ready(script->fd, CLIENT_WAIT_MS));
        ssize_t got = recv(script->fd, bytes + len, count - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    return str_of(bytes, len);
}

struct script_frame script_next(struct script *script)
{
    if (!script->heard_preface) {
        script->heard_preface = true;
        CHECK_STR(read_bytes(script, PREFACE_BYTES), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    }
    str head = read_bytes(script, FRAME_HEAD_BYTES);
    const unsigned char *byte = (const unsigned char *)head.ptr;
    if (head.len < FRAME_HEAD_BYTES)
        return (struct script_frame){ .type = -1 };
    size_t len = ((size_t)byte[0] << 16) | ((size_t)byte[1] << 8) | byte[2];
    return (struct script_frame){ .type = byte[3],
                                  .flags = byte[4],
                                  .id = (byte[5] & 0x7f) << 24 | byte[6] << 16 | byte[7] << 8 |
                                        byte[8],
                                  .payload = read_bytes(script, len) };
}

struct script_frame script_wait(struct script *script, int type)
{
    struct script_frame frame;

    do {
        frame = script_next(script);
    } while (frame.type != type && frame.type != -1);
    return frame;
}

void script_send(struct script *script, uint8_t type, uint8_t flags, int32_t id, str payload)
{
    struct text out = text_init(script->arena, FRAME_HEAD_BYTES + payload.len);

    for (int shift = 16; shift >= 0; shift -= 8)
        text_add_byte(&out, (char)(payload.len >> shift));
    text_add_byte(&out, (char)type);
    text_add_byte(&out, (char)flags);
    for (int shift = 24; shift >= 0; shift -= 8)
        text_add_byte(&out, (char)(id >> shift));
    text_add(&out, payload);
    client_send(script->fd, text_str(&out));
}

void script_answer(struct script *script, int32_t id, const char *headers, bool ends)
{
    uint8_t flags = NGHTTP2_FLAG_END_HEADERS | (ends ? NGHTTP2_FLAG_END_STREAM : 0);
    script_send(script, NGHTTP2_HEADERS, flags, id, h2_block(script->arena, headers));
}

static str number(struct arena *arena, uint32_t first, uint32_t second, size_t len)
{
    char *bytes = arena_alloc(arena, 8, 1);
    for (int i = 0; i < 4; i++) {
        bytes[i] = (char)(first >> (24 - 8 * i));
        bytes[4 + i] = (char)(second >> (24 - 8 * i));
    }
    return str_of(bytes, len);
}

void script_reset(struct script *script, int32_t id, uint32_t code)
{
    script_send(script, NGHTTP2_RST_STREAM, 0, id, number(script->arena, code, 0, 4));
}

void script_goaway(struct script *script, int32_t last, uint32_t code)
{
    script_send(script, NGHTTP2_GOAWAY, 0, 0, number(script->arena, (uint32_t)last, code, 8));
}
