/* HTTP/1.1 server (RFC 9110, 9112): sockets by os/net, parsing by llhttp (its only room).
 *
 * Runs on a loop thread. Holds idle and slow peers; hands complete requests to one handler. One request of a connection is at
 * work at a time; pipelined ones wait in order. */
#pragma once
#include "chassis/request.h"
#include "os/loop.h"

struct http_config {
    str address;              /* "0.0.0.0:3000", "[::]:3000", "unix:/path" (mode 0600) */
    const char *setting;      /* the setting that changes it, for the error when it is taken */
    uint32_t head_bytes_max;  /* request line and headers together (431; 414 for the target alone) */
    uint32_t target_bytes_max;
    uint32_t body_bytes_max;  /* where the handler does not say otherwise */
    uint32_t head_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
    uint32_t connections_max;
    size_t arena_bytes_max;   /* of one request */
};

struct http_handler {
    void *self;
    /* Asked when the head is complete: the body's limit for this method and path. The answer may refuse at once by filling
     * the response and returning 0 with *refused = true (then nothing of the body is read and the connection closes after the
     * answer). NULL: the config's. */
    uint32_t (*body_bytes_max)(void *self, struct request *request, bool *refused);
    /* Given each complete request, on the loop thread. Must answer by request_respond, now or later. */
    void (*handle)(void *self, struct request *request);
    /* Told after the last byte of an answer was handed to the kernel: for the access log. May be NULL. */
    void (*served)(void *self, const struct request *request, int64_t took_us);
};

struct http_server;

/* Listens. Fails with ADDRESS_TAKEN naming the address and the setting. */
err http_open(struct arena *arena, struct loop *loop, const struct http_config *config, const struct http_handler *handler,
              struct http_server **out);

/* The port that it listens on (for tests that ask for port 0). */
int http_port(const struct http_server *server);

/* Draining: every answer from now on says Connection: close; new connections are still taken. */
void http_drain(struct http_server *server);

/* Stops accepting and closes idle connections; `closed` is told on the loop when the last request has been answered, or after
 * `grace_ms`. */
void http_close(struct http_server *server, uint32_t grace_ms, void (*closed)(void *subject), void *subject);

struct http_stats {
    int64_t connections, accepted, requests, refused;
};
struct http_stats http_stats_of(const struct http_server *server);
