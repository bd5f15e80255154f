/* What os/net.c (listeners and connections) and os/net_connect.c (connections that we make) share;
 * nobody else includes it. */
#pragma once
#include "os/loop_uv.h"
#include "os/net.h"

#include <stdalign.h>

union stream {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct net_connection {
    union stream uv;
    uv_write_t write;
    const struct net_events *events;
    void *subject;
    struct loop *loop;
    bool is_unix, reading, ended;
    bool waiting;    /* the owner's write is not whole yet */
    bool writing;    /* libuv has something to write */
    struct tls *tls; /* NULL: none */
    str unsaid[2];   /* of the owner's write, not encrypted yet */
    char *encrypted; /* what libuv writes, a copy */
    uv_connect_t connect;
    const char *failure; /* why it was not made, or broke; NULL where nobody knows */
    char peer[NET_PEER_BYTES];
    alignas(max_align_t) char room[];
};

/* An empty connection with that room, on the loop; not open yet. */
struct net_connection *net_connection_new(struct loop *loop, bool is_unix, size_t room_bytes);

/* Hands what TLS has to say to the kernel. */
enum net_written net_connection_say(struct net_connection *connection);
