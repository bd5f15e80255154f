/* One connection to a server of HTTP/2, as its client (RFC 9113), by nghttp2: in clear by prior
 * knowledge, under TLS by ALPN. For upstream*.c, which choose among connections.
 *
 * A call is a request and its answer; many are under way at once. Nothing is decided here of who is
 * asked, or whether again. All on the loop's thread; what gathers in one turn of the loop is
 * written by one system call. */
#pragma once
#include "chassis/request.h"
#include "os/net.h"

enum {
    HTTP2_CLIENT_FIELDS_MAX = HEADERS_MAX + 16, /* of a request */
    HTTP2_CLIENT_HEAD_BYTES_MAX = 64 * 1024,    /* of an answer */
    HTTP2_CLIENT_WINDOW_BYTES =
        STREAM_PIECE_BYTES, /* of an answer: what comes before it is taken */
    HTTP2_CLIENT_CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024
};

struct http2_client;
struct http2_call;

enum http2_failure {
    HTTP2_NOT_BEGUN, /* the server has surely not acted on it: it may be sent again */
    HTTP2_BROKEN,    /* the connection broke, or the server gave up: nobody knows how far it came */
    HTTP2_BAD_ANSWER /* cannot be read, or is too large */
};

struct http2_call_events {
    /* A field of the answer's head, ":status" first, or of its trailers; borrowed. False: the call
     * is to fail (HTTP2_BAD_ANSWER). */
    bool (*field)(struct http2_call *call, str name, str value, bool trailer);
    /* The head is complete. Interim answers (1xx) are not told. */
    void (*head)(struct http2_call *call);
    /* Bytes of the body; borrowed. More than HTTP2_CLIENT_WINDOW_BYTES come only after
     * http2_call_consume. */
    void (*body)(struct http2_call *call, str bytes);
    /* The answer is whole. The call is over. */
    void (*ended)(struct http2_call *call);
    /* It will not be whole. The call is over. `why` is for a person. */
    void (*failed)(struct http2_call *call, enum http2_failure failure, const char *why);
    /* Puts bytes of the request's body into the room; *ended with the last ones. None, and not
     * ended: there are none yet, http2_call_resume tells when. */
    size_t (*give)(struct http2_call *call, char *room, size_t room_len, bool *ended);
};

/* Embedded by who asks; stays until ended or failed was told, or it was cancelled. */
struct http2_call {
    struct http2_client *client; /* NULL: not under way */
    struct http2_call *newer, *older;
    const struct http2_call_events *events;
    int32_t id;
    bool head_done, informing;
    bool sent;       /* its head was */
    bool body_whole; /* all of the request was handed over */
    size_t head_bytes;
};

struct http2_client_events {
    /* The server has said that it speaks HTTP/2: calls are taken from now on. */
    void (*opened)(void *subject);
    /* A call ended: there may be room for another. */
    void (*room)(void *subject);
    /* The server wants no more calls (GOAWAY); those that it took go on. */
    void (*drains)(void *subject);
    /* The connection is gone, its calls have failed before. `why` is for a person. The last that is
     * told. */
    void (*closed)(void *subject, const char *why);
};

struct http2_client_config {
    struct loop *loop;
    const struct net_address *address;
    struct tls_context *tls; /* NULL: in clear */
    str name;                /* who the server must be under TLS */
    uint32_t connect_timeout_ms;
    uint32_t ping_interval_ms; /* of silence, while calls are under way */
    uint32_t ping_timeout_ms;  /* that follow it, and the connection counts as dead */
};

/* Begins to connect. NULL with the reason where it cannot even be tried. */
struct http2_client *http2_client_open(const struct http2_client_config *config,
                                       const struct http2_client_events *events, void *subject,
                                       const char **failure);

/* Closes it: says GOAWAY if it can, cancels what is under way. Calls and owner hear nothing. */
void http2_client_close(struct http2_client *client);

/* Takes another call: it is open, does not drain, and the server allows one more stream. */
bool http2_client_has_room(const struct http2_client *client);

/* How many calls are under way. */
int http2_client_calls(const struct http2_client *client);

/* Sends a request: its fields, the four of HTTP/2 first, names in lower case; and what
 * events->give gives where it `has_body`. Only where there is room. */
void http2_client_ask(struct http2_client *client, struct http2_call *call,
                      const struct http2_call_events *events, const struct header *fields,
                      int fields_count, bool has_body);

/* There is more to give. */
void http2_call_resume(struct http2_call *call);

/* So many bytes of the answer's body were used up. */
void http2_call_consume(struct http2_call *call, size_t len);

/* Ends a call that is under way; nothing more is told of it. */
void http2_call_cancel(struct http2_call *call);

/* Looks at the time: gives up connecting, asks whether the server is alive, takes it for dead. May
 * tell `closed`. Gives when it wants to look again (by loop_now_ms), INT64_MAX for never. */
int64_t http2_client_look(struct http2_client *client);
