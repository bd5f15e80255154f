/* A gateway that is nothing but an upstream: an HTTP server whose requests all go to others, on a
 * loop in a thread of its own; and requests that a test makes without a server.
 *
 * A path that begins with /spool takes its body piece by piece. */
#pragma once
#include "chassis/http.h"
#include "chassis/upstream.h"
#include "os/sync.h"
#include "tests/unit/chassis/http_fixture.h"

enum { UPSTREAM_SETTINGS_MAX = 20 };

struct gate {
    struct test *t;
    struct loop *loop;
    struct thread *thread;
    struct upstream *upstream;
    struct http_server *server;
    struct tls_context *tls;
    int port;
    int served, closed; /* atomic */
    struct loop_task task;
    void (*act)(struct gate *gate);
    int acted;
};

/* One to that URL; settings are flags, NULL last: "--upstream-timeout=100ms". */
struct gate *gate_open(struct test *t, const char *url, const char *const *settings);

/* Closes it: server, upstream, loop. */
void gate_close(struct gate *gate);

/* Runs something on the loop's thread, and waits for it. */
void gate_do(struct gate *gate, void (*act)(struct gate *gate));

/* A request of the test's own, and its answer; lives as long as the test. */
struct asked_of {
    struct request request; /* change it before gate_send */
    struct header headers[HEADERS_MAX];
    struct text body; /* all pieces of the answer */
    bool broken;      /* it broke off */
    int heard;        /* of its bytes so far; atomic */
    int done;         /* atomic */
    struct gate *gate;
};

/* "GET" and a path, with its query. */
struct asked_of *gate_request(struct gate *gate, const char *method, const char *path);
void asked_of_header(struct asked_of *asked, const char *name, const char *value);

/* Sends it from the test's thread; waits for the answer. */
void gate_send(struct asked_of *asked);
void gate_wait(struct asked_of *asked);

/* Both: gives the status. */
int gate_ask(struct asked_of *asked);

/* The value of a header of the answer, or none. */
str asked_of_answer(const struct asked_of *asked, const char *name);
