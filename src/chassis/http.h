/* HTTP server: 1.1 (RFC 9110, 9112; parsing by llhttp, in http_parse.c only) and 2 (RFC 9113; by
 * nghttp2, in http2*.c only) on one port, sockets by os/net, TLS below them where it is wanted.
 *
 * Runs on a loop thread. Holds idle and slow peers; hands complete requests to one handler. In
 * HTTP/1.1 one request of a connection is at work at a time and pipelined ones wait in order; in
 * HTTP/2 up to 100 are. HTTP/2 is chosen by ALPN under TLS and by its preface in clear (prior
 * knowledge); Upgrade is not heard.
 *
 * What cannot be read is refused here, as problem+json, and ends the connection (in HTTP/2 the
 * stream): 400 malformed, 408 too slow, 413 body, 414 target, 431 headers, 501 method, 505 version.
 * HEAD reaches the handler as HTTP_HEAD; it answers as to GET, the body is dropped and its length
 * kept. `OPTIONS *` is answered here. X-Request-Id and traceparent are told in every answer of a
 * request that was identified. */
#pragma once
#include "chassis/request.h"
#include "os/loop.h"

struct tls_context; /* os/tls.h */

struct http_config {
    str address;               /* "0.0.0.0:3000", "[::]:3000", "unix:/path" (mode 0600) */
    const char *setting;       /* the setting that changes it, for the error when it is taken */
    uint32_t head_bytes_max;   /* request line and headers together (431) */
    uint32_t target_bytes_max; /* the target alone (414); less than the head */
    uint32_t body_bytes_max;   /* where the handler does not say otherwise */
    uint32_t head_timeout_ms;  /* from the first byte of a request to the end of its headers (408),
                                  and for the handshake of TLS */
    uint32_t body_timeout_ms;  /* from there to its end (408) */
    uint32_t idle_timeout_ms;  /* between requests, and before the first */
    uint32_t write_timeout_ms; /* for a peer to take an answer */
    uint32_t connections_max;  /* above it: 503 and closed */
    uint32_t connections_per_address_max; /* above it: 429 and closed; 0: as many as all */
    uint32_t refusals_max;  /* answers of 503 a second, above which peers wait unread for their
                               turn (http_gate.h); 0: HTTP_REFUSALS_MAX */
    size_t arena_bytes_max; /* of one request, besides its head and body */
};

enum { HTTP_REFUSALS_MAX = 2000 }; /* some 5 % of a processor */

struct http_handler {
    void *self;
    /* Asked when the head of a request that has a body is complete: the body's limit for this
     * method and path. May refuse at once by filling the response and setting *refused: then
     * nothing of the body is read and the connection closes after the answer. NULL: the config's.
     */
    uint32_t (*body_bytes_max)(void *self, struct request *request, bool *refused);
    /* Tells whether many stand behind that address: its connections are not counted by it, and it
     * does not rest for what one of them did. NULL: of none. */
    bool (*is_proxy)(void *self, str peer);
    /* Given each complete request, on the loop thread. Must answer by request_respond, now or
     * later. */
    void (*handle)(void *self, struct request *request);
    /* Told once of each answer, on the loop thread, refusals included: after its last byte was
     * handed to the kernel, or its peer has gone. For the access log. May be NULL. */
    void (*served)(void *self, const struct request *request, int64_t took_us);
};

struct http_server;

/* Listens. Fails with ADDRESS_TAKEN naming the address and the setting, SETTING_INVALID or
 * OS_FAILED. The handler is copied. */
err http_open(struct arena *arena, struct loop *loop, const struct http_config *config,
              const struct http_handler *handler, struct http_server **out);

/* The port that it listens on (for tests that ask for port 0). */
int http_port(const struct http_server *server);

/* Connections that are accepted from now on talk TLS under this context, which is the server's
 * then; NULL: they talk in clear. Those that are open stay as they are. */
void http_use_tls(struct http_server *server, struct tls_context *context);

/* Draining: every answer from now on says Connection: close; new connections are still taken. */
void http_drain(struct http_server *server);

/* Stops accepting and closes idle connections; `closed` is told on the loop when the last request
 * has been answered, or after `grace_ms`, when what is still open is closed. The server must not be
 * used after that. It is freed then, or when the last answer comes that a handler still owes. */
void http_close(struct http_server *server, uint32_t grace_ms, void (*closed)(void *subject),
                void *subject);

struct http_stats {
    int64_t connections;                 /* open now */
    int64_t accepted, requests, refused; /* since the start */
};

/* What it has done so far. Any thread. */
struct http_stats http_stats_of(const struct http_server *server);
