/* An HTTP server on a loop in a thread of its own, with a handler that tells what it was given.
 *
 * By path: /shed answers 503 and /limited 429; /echo answers with method, path, query, headers and
 * body as text; /worker the same from another thread; /hold waits for fixture_release; /big answers
 * with as many bytes as the query says; /none with 204; /limit?N takes N bytes of body; /refuse
 * refuses every body with 401. /spool takes its body as a stream and answers with how many bytes
 * and pieces came; /spool?fail fails at the second piece. /pieces?N answers in N pieces of 1 to N
 * bytes, /broken?N breaks off after N. /talk says again what it hears while it hears it (HTTP/2).
 */
#pragma once
#include "chassis/http.h"
#include "os/sync.h"
#include "os/workers.h"
#include "tests/lib/client.h"

struct fixture {
    struct arena *arena; /* of the test */
    struct loop *loop;
    struct http_server *server;
    struct http_config config; /* change it before fixture_start */
    bool (*is_proxy)(void *self, str peer);
    struct thread *thread;
    struct workers *workers;
    int port;
    struct lock lock;
    struct request *held[16];
    int held_count;
    int served, served_us_negative, closed; /* atomic */
    int last_status;
    int pieces_ended; /* answers in pieces that nobody asks any more; atomic */
    struct loop_task task;
    int acted;
    void (*act)(struct fixture *fixture);
};

/* A fixture with generous limits; starts with fixture_start. */
struct fixture *fixture_of(struct test *t);
void fixture_start(struct fixture *fixture);

/* Both in one. */
struct fixture *fixture_open(struct test *t);

/* Closes the server, waits until it has said so, and ends the loop. */
void fixture_close(struct fixture *fixture);

/* The same in steps: closing with a grace; what comes after `closed` was told. */
void fixture_close_server(struct fixture *fixture, uint32_t grace_ms);
void fixture_end(struct fixture *fixture);

/* Runs something on the loop's thread, and waits for it. */
void fixture_do(struct fixture *fixture, void (*act)(struct fixture *fixture));

/* Waits until so many requests are held; answers the oldest, from the test's thread. */
void fixture_wait_held(struct fixture *fixture, int count);
void fixture_release(struct fixture *fixture);

/* Waits until an atomic counter has come to `least`. */
void fixture_wait(int *counter, int least);

/* Connects, sends the bytes, reads one answer with its body, closes. */
str fixture_ask(struct fixture *fixture, str bytes);

/* The same, reading all that comes until the server ends the connection. */
str fixture_ask_all(struct fixture *fixture, str bytes);
