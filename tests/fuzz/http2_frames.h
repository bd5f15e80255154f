/* Frames of HTTP/2 (RFC 9113, 4.1), for what the fuzzers send and for what they are told. */
#pragma once
#include "base/str.h"

enum { HTTP2_FRAME_HEAD_BYTES = 9, HTTP2_FRAME_BYTES_MAX = 16384 };

enum http2_frame_type {
    HTTP2_FRAME_DATA,
    HTTP2_FRAME_HEADERS,
    HTTP2_FRAME_PRIORITY,
    HTTP2_FRAME_RST_STREAM,
    HTTP2_FRAME_SETTINGS,
    HTTP2_FRAME_PUSH_PROMISE,
    HTTP2_FRAME_PING,
    HTTP2_FRAME_GOAWAY,
    HTTP2_FRAME_WINDOW_UPDATE,
    HTTP2_FRAME_CONTINUATION,
    HTTP2_FRAMES_COUNT
};

/* The preface and an empty SETTINGS. */
#define HTTP2_BEGIN STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")

/* Adds a frame. */
void http2_frame_add(struct text *out, enum http2_frame_type type, unsigned flags, uint32_t stream,
                     str payload);

/* What a server says is a row of whole frames of the known types, none larger than was agreed; they
 * begin with SETTINGS. */
void http2_frames_check(str told);

/* How many frames of a type there are. */
int http2_frames_count(str told, enum http2_frame_type type);
