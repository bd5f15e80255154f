/* A collector of the tests' own: takes requests over HTTP, and answers as it is told to. */
#pragma once
#include "os/sync.h"
#include "tests/lib/test.h"

enum { COLLECTOR_PATIENCE_US = 20000000 };

struct collector {
    int listener;
    uint16_t port;
    struct thread *thread;
    const int *statuses; /* of the answers, one after the other; then 200 */
    int statuses_count;
    int requests; /* atomic */
    int records;  /* bytes of bodies that were taken: a record is one byte; atomic */
    char head[4096];
};

/* Listens on a port of loopback until the test ends. */
struct collector *collector_start(struct test *t, const int *statuses, int count);

/* Waits until one of its numbers is as large as that. */
void collector_await(const int *number, int wanted);
