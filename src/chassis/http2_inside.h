/* What http2.c (reading, deadlines, the end) and http2_write.c (answers) share; nobody else
 * includes it. */
#pragma once
#include "chassis/http2.h"
#include "chassis/http_body.h"
#include "chassis/http_head.h"

#include <nghttp2/nghttp2.h>

enum http2_state {
    HTTP2_RECEIVING, /* the request is not complete */
    HTTP2_WORKING,   /* the handler has it */
    HTTP2_SENDING    /* the answer is nghttp2's to send */
};

/* A stream; lives in the arena of its request, and after its end for as long as the handler is at
 * work. */
struct http2_stream {
    struct http_exchange *exchange;
    struct http2_stream *newer, *older;
    int32_t id;
    enum http2_state state;
    int64_t since_ms; /* that it is in this state */
    bool is_closed;   /* nghttp2 knows it no more */
    bool is_whole;    /* the peer will send no more on it */
    bool head_done;

    /* Of the request as it comes. */
    size_t head_bytes;
    unsigned seen;         /* see http_header_judge */
    const char *malformed; /* why, or NULL */
    enum err_code failure; /* ERR_CODES_COUNT: none */
    bool asterisk, expects_continue;
    uint64_t announced; /* by content-length; 0: not */
    struct http_body body;
    uint32_t body_bytes_max;

    size_t unconsumed; /* bytes of a talk that the peer's window was not opened for again */
    size_t sent;       /* bytes of the answer's body, or of its piece in hand */
};

/* The connection of a session. */
static inline struct http_connection *http2_connection(void *user) { return user; }

/* Moves a stream to another state, and counts. */
void http2_stream_becomes(struct http2_stream *stream, enum http2_state state);

/* Takes it out of the connection and frees its exchange. */
void http2_stream_end(struct http2_stream *stream);

/* Writes the answer of an exchange; the piece of it that was made; looks at the stream again once a
 * piece of its request was taken. */
void http2_answer(struct http_exchange *exchange);
void http2_piece_made(struct http_exchange *exchange);
void http2_piece_taken(struct http_exchange *exchange);

/* What a talk has read the peer may send anew. */
void http2_talk_consume(struct http2_stream *stream);

/* nghttp2 has sent a frame. */
int http2_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user);

/* Writes what nghttp2 has to send, as far as the peer takes it; then looks whether the connection
 * has ended. May close it. */
void http2_pump(struct http_connection *connection);

/* Says GOAWAY: no stream after those that came. */
void http2_say_last(struct http_connection *connection);

/* Ends the session with GOAWAY. What has been read is not acted on any more. */
void http2_terminate(struct http_connection *connection, uint32_t code, const char *reason);
