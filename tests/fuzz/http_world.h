/* The HTTP server as it is, over connections of net_fake, with a handler that writes down what it
 * was asked: for the fuzzers of HTTP/1.1, of HTTP/2 and of HPACK.
 *
 * By path: /hold is answered by world_answer_held; /pieces answers in five pieces; /spool takes its
 * body in pieces; /refuse refuses a body at its head; what is gRPC's health or reflection is
 * answered by a door of gRPC; all else hears 200 with its body. */
#pragma once
#include "chassis/http.h"
#include "tests/fuzz/net_fake.h"

enum {
    WORLD_HEAD_BYTES_MAX = 4096,
    WORLD_TARGET_BYTES_MAX = 1024,
    WORLD_BODY_BYTES_MAX = 64 * 1024
};

struct loop *world_begin(void);

/* What was asked since world_forget: a line for each request; and how many requests there were,
 * those among them that the server answers itself. */
str world_asked(void);
int world_requests(void);
void world_forget(void);

/* Answers the oldest request that is held; false where none is. */
bool world_answer_held(void);

/* The client sends no more; what is held is answered, and the server closes. */
void world_end(struct loop *loop, struct net_connection *connection);

/* Nothing is open and nothing is owed; the server counts no connection. */
void world_check_empty(void);
