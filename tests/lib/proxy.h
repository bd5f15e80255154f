/* A TCP proxy before a server, that can cut a connection where a test asks for it. */
#pragma once
#include "tests/lib/test.h"

struct proxy;

/* Listens on a free port and hands on to `port` of this machine. Closed with the test. */
struct proxy *proxy_open(struct test *t, int port);
int proxy_port(const struct proxy *proxy);

enum proxy_cut {
    PROXY_CUT_NONE,
    PROXY_CUT_BEFORE, /* what holds the word is not handed on */
    PROXY_CUT_AFTER,  /* it is, and its answer is not: the server has acted on it by then */
};

/* The next time that a client sends `word`, its connection is cut. Once. */
void proxy_cut(struct proxy *proxy, enum proxy_cut cut, const char *word);

/* Cuts all, and refuses others until it is told to go on. */
void proxy_refuse(struct proxy *proxy, bool refuses);

/* How many connections were cut by a word. */
int proxy_cuts(struct proxy *proxy);
