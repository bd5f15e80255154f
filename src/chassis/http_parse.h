/* Reads requests of HTTP/1.1 (RFC 9112) from bytes as they come. Pure; llhttp is included in
 * http_parse.c only.
 *
 * Strict: what another reader of the same bytes could take for something else is refused. No
 * lenient flag of llhttp is set; Content-Length beside Transfer-Encoding, a coding other than
 * chunked, a repeated Host, Content-Type, Authorization, Idempotency-Key or If-Match, folded header
 * lines and control characters are all malformed. The limit of a body is its owner's: set between
 * the head and the body. */
#pragma once
#include "chassis/http_body.h"

#include <stdalign.h>

enum { HTTP_PARSE_STATE_BYTES = 104, HTTP_START_BYTES = 16 };

struct http_parse_limits {
    uint32_t head_bytes_max; /* request line and headers, with all their ends of line */
    uint32_t target_bytes_max;
};

enum http_parse_event {
    HTTP_PARSE_MORE,  /* all was taken, more must come */
    HTTP_PARSE_HEAD,  /* method, path, query, headers are there; set body_bytes_max and go on */
    HTTP_PARSE_END,   /* the request is complete; begin another */
    HTTP_PARSE_FAILED /* see failure, reason; nothing can be read from this peer any more */
};

struct http_parse {
    alignas(max_align_t) unsigned char state[HTTP_PARSE_STATE_BYTES]; /* llhttp's */
    const struct http_parse_limits *limits;
    struct request *request; /* being filled, in its arena */
    uint32_t body_bytes_max;

    /* What a head said, from HTTP_PARSE_HEAD on. */
    bool keep_alive, http_1_0;
    bool has_body; /* Content-Length above 0, or chunks */
    bool expects_continue;
    bool asterisk;           /* OPTIONS *: asks about the server, `path` is "*" */
    uint64_t content_length; /* 0 where chunks say it */

    enum err_code failure;
    const char *reason;

    /* Its own. */
    bool head_done, chunked;
    unsigned seen; /* bits of the headers that may come once */
    uint32_t head_bytes, aside_bytes;
    const char *fed;     /* the bytes that are being read */
    uint32_t target_end; /* where in the head the target ended */
    bool version_begun;
    str name, value; /* the header in hand */
    char *room;      /* where the next bytes of the head go */
    size_t room_left;
    struct http_body body;
    char start[HTTP_START_BYTES]; /* the first bytes, to tell an unknown method from noise */
    size_t start_len;
};

/* Makes it ready for a new connection. The limits are borrowed. */
void http_parse_init(struct http_parse *parse, const struct http_parse_limits *limits);

/* Begins a request: what is read goes into `request`, whose arena holds the head and small bodies;
 * larger ones get an arena of their own that ends with it. */
void http_parse_begin(struct http_parse *parse, struct request *request);

/* Reads on, up to the next event; `*used` tells how many of the bytes are done with. After
 * HTTP_PARSE_HEAD it is called also with what may be no bytes: a request without a body ends there.
 */
enum http_parse_event http_parse_feed(struct http_parse *parse, const char *bytes, size_t len,
                                      size_t *used);

/* How many bytes it may be fed at once: where the body is a stream (request->stream, set after
 * HTTP_PARSE_HEAD), no more than make the piece in request->body whole. */
size_t http_parse_room(const struct http_parse *parse);

/* The piece in request->body was taken: its room is used for the next one. */
void http_parse_piece_taken(struct http_parse *parse);
