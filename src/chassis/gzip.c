#include "chassis/gzip.h"

#include <limits.h>
#include <zlib.h>

enum {
    WINDOW_BITS_MAX = 15,
    WINDOW_BITS_PACKING = 12,
    MEMORY_LEVEL_PACKING = 5,
    GZIP_FORMAT = 16, /* zlib's word for it, added to the bits of the window */
    UNPACK_FIRST_BYTES = 4096,
    TRAILER_ROOM_BYTES = 64
};

static void *take(void *arena, unsigned items, unsigned bytes)
{
    return arena_alloc_array(arena, items, bytes, alignof(max_align_t));
}

static void give(void *arena, void *ptr) { (void)arena, (void)ptr; }

static Bytef *bytes_of(str s) { return (Bytef *)(uintptr_t)s.ptr; }

/* Unpacks until it is done, broken, or one byte over the limit. */
static int unpack_all(z_stream *stream, struct text *out, size_t bytes_max)
{
    int rc = Z_OK;

    while (rc == Z_OK && out->len <= bytes_max) {
        text_reserve(out, 1);
        size_t room = out->cap - out->len, allowed = bytes_max + 1 - out->len;
        stream->next_out = (Bytef *)out->ptr + out->len;
        stream->avail_out = (uInt)(room < allowed ? room : allowed);
        rc = inflate(stream, Z_NO_FLUSH);
        out->len = (size_t)((char *)stream->next_out - out->ptr);
    }
    return rc;
}

err gzip_unpack(struct arena *arena, str packed, size_t bytes_max, str *out)
{
    ASSERT(arena && out && packed.len <= INT_MAX && bytes_max < INT_MAX);
    z_stream stream = { .zalloc = &take,
                        .zfree = &give,
                        .opaque = arena,
                        .next_in = bytes_of(packed),
                        .avail_in = (uInt)packed.len };

    int rc = inflateInit2(&stream, WINDOW_BITS_MAX + GZIP_FORMAT);
    ASSERT(rc == Z_OK);
    struct text plain = text_init(arena, UNPACK_FIRST_BYTES);
    rc = unpack_all(&stream, &plain, bytes_max);
    if (plain.len > bytes_max)
        return fail(arena, HTTP_BODY_TOO_LARGE, "it unpacks to more than %zu bytes", bytes_max);
    if (rc != Z_STREAM_END || stream.avail_in > 0)
        return fail(arena, PROTOBUF_MALFORMED, "it cannot be unpacked: %s",
                    rc == Z_STREAM_END ? "something stands behind it"
                    : stream.msg       ? stream.msg
                                       : "it is not whole");
    *out = text_str(&plain);
    return OK;
}

str gzip_pack(struct arena *arena, str plain)
{
    ASSERT(arena && plain.len <= INT_MAX / 2);
    z_stream stream = { .zalloc = &take,
                        .zfree = &give,
                        .opaque = arena,
                        .next_in = bytes_of(plain),
                        .avail_in = (uInt)plain.len };

    int rc = deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS_PACKING + GZIP_FORMAT,
                          MEMORY_LEVEL_PACKING, Z_DEFAULT_STRATEGY);
    ASSERT(rc == Z_OK);
    size_t room = deflateBound(&stream, plain.len) + TRAILER_ROOM_BYTES;
    char *bytes = arena_alloc(arena, room, 1);
    stream.next_out = (Bytef *)bytes;
    stream.avail_out = (uInt)room;
    rc = deflate(&stream, Z_FINISH);
    ASSERT(rc == Z_STREAM_END);
    return str_of(bytes, room - stream.avail_out);
}
