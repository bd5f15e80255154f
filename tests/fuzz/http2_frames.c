#include "tests/fuzz/http2_frames.h"

#include "tests/fuzz/fuzz.h"

struct frame {
    size_t len;
    unsigned type, flags;
    uint32_t stream;
};

void http2_frame_add(struct text *out, enum http2_frame_type type, unsigned flags, uint32_t stream,
                     str payload)
{
    const char head[HTTP2_FRAME_HEAD_BYTES] = { (char)(payload.len >> 16),
                                                (char)(payload.len >> 8),
                                                (char)payload.len,
                                                (char)type,
                                                (char)flags,
                                                (char)(stream >> 24),
                                                (char)(stream >> 16),
                                                (char)(stream >> 8),
                                                (char)stream };
    text_add(out, str_of(head, sizeof head));
    text_add(out, payload);
}

static bool take(str *told, struct frame *out)
{
    if (told->len < HTTP2_FRAME_HEAD_BYTES)
        return false;
    const unsigned char *at = (const unsigned char *)told->ptr;
    *out = (struct frame){ .len = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2],
                           .type = at[3],
                           .flags = at[4],
                           .stream = (uint32_t)at[5] << 24 | (uint32_t)at[6] << 16 |
                                     (uint32_t)at[7] << 8 | at[8] };
    FUZZ_CHECK(told->len >= HTTP2_FRAME_HEAD_BYTES + out->len);
    *told = str_slice(*told, HTTP2_FRAME_HEAD_BYTES + out->len, SIZE_MAX);
    return true;
}

void http2_frames_check(str told)
{
    struct frame frame;
    bool is_first = true;

    if (str_starts(told, STR("HTTP/1.1 ")))
        return; /* it was no HTTP/2 */
    while (told.len > 0) {
        FUZZ_CHECK(take(&told, &frame));
        FUZZ_CHECK(!is_first || frame.type == HTTP2_FRAME_SETTINGS);
        FUZZ_CHECK(frame.len <= HTTP2_FRAME_BYTES_MAX && frame.type < HTTP2_FRAMES_COUNT);
        FUZZ_CHECK(frame.stream <= INT32_MAX);
        is_first = false;
    }
}

int http2_frames_count(str told, enum http2_frame_type type)
{
    struct frame frame;
    int count = 0;

    while (told.len > 0 && take(&told, &frame))
        count += frame.type == (unsigned)type;
    return count;
}
