/* A client of HTTP/2 for tests of the server: nghttp2 over a blocking socket, and frames made by
 * hand for what nghttp2 would not send. */
#pragma once
#include "tests/lib/client.h"

#include <nghttp2/nghttp2.h>

enum { H2_STREAMS_MAX = 300 };

struct h2_answer {
    int status;
    struct text headers; /* "name: value\n" each */
    struct text body;
    bool ended;  /* its last byte has come */
    bool closed; /* the stream has */
    uint32_t reset_code;
    int informed; /* 1xx answers */
};

struct h2 {
    struct arena *arena;
    int fd;
    nghttp2_session *session;
    struct h2_answer answers[H2_STREAMS_MAX]; /* by (id - 1) / 2 */
    bool goaway;
    uint32_t goaway_code;
    int32_t goaway_last;
    bool eof;
    bool is_raw; /* nghttp2 only reads */
    str body;    /* of the request that is submitted next */
    size_t body_sent;
    bool body_stays_open; /* the end of the body is not said */
    int settings;         /* that came */
};

/* Connects in clear and says the preface. `window`: the initial window that it tells, 0 the usual.
 */
struct h2 *h2_open(struct test *t, int port, int window);

/* The same without nghttp2's preface and settings: for frames by hand. */
struct h2 *h2_open_raw(struct test *t, int port);

/* Submits a request; headers are "name: value" separated by '\n' besides the four pseudo ones.
 * `body` absent: none. Gives the id. */
int32_t h2_ask(struct h2 *h2, const char *method, const char *path, const char *headers, str body);

/* Sends what waits and reads until the answer has ended, or the stream or the connection has. */
const struct h2_answer *h2_read(struct h2 *h2, int32_t id);

/* Reads until the connection has ended. */
void h2_read_to_end(struct h2 *h2);

/* Sends what waits, and takes what comes within so many milliseconds. */
void h2_pass(struct h2 *h2, int wait_ms);

/* Sends the bytes of a frame as they are. */
void h2_frame(struct h2 *h2, uint8_t type, uint8_t flags, int32_t id, str payload);

/* A block of headers: literals, nothing indexed. "name: value" separated by '\n'. */
str h2_block(struct arena *arena, const char *headers);

/* The value of a header of an answer. */
str h2_header(const struct h2_answer *answer, const char *name);

/* Closes. */
void h2_close(struct h2 *h2);
