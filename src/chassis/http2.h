/* A connection that speaks HTTP/2 (RFC 9113), by nghttp2, which lives in http2*.c only. For
 * http_connection.c and http.c.
 *
 * Each stream is an exchange as in HTTP/1.1: the same limits, the same refusals as problem+json,
 * the same handler; many are at work at once. What a peer does to the connection itself ends it
 * with GOAWAY: PROTOCOL_ERROR and its kin as the RFC says; ENHANCE_YOUR_CALM for floods
 * (http2_guard.h) and for blocks of headers without end. All on the loop's thread. */
#pragma once
#include "chassis/http_server.h"

enum {
    HTTP2_STREAMS_MAX = 100,                 /* at once, and handlers at work of one connection */
    HTTP2_WINDOW_BYTES = STREAM_PIECE_BYTES, /* of a stream */
    HTTP2_CONNECTION_WINDOW_BYTES = 1024 * 1024
};

/* It speaks HTTP/2 from its first byte on (the preface is still to be fed). */
void http2_open(struct http_connection *connection);

/* Reads on. May close the connection. */
void http2_feed(struct http_connection *connection, const char *bytes, size_t len);

/* What waited for the peer is written. */
void http2_written(struct http_connection *connection);

/* The deadline of what it waits for has come. */
void http2_expire(struct http_connection *connection);

/* The peer sends no more, but may be listening to answers: talks with it end. May close the
 * connection. */
void http2_read_ended(struct http_connection *connection);

/* The server drains (no new streams are wanted) or closes (it ends after those that are open). Any
 * connection: nothing happens to one of HTTP/1.1. May close it. */
void http2_drain(struct http_connection *connection);

/* Says GOAWAY on a connection that is about to be closed, if the peer can take it. */
void http2_say_goodbye(struct http_connection *connection);

/* The connection is closed: frees what is HTTP/2's. Answers that are still owed will be dropped. */
void http2_close(struct http_connection *connection);
