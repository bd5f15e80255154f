#include "collector.h"

#include "os/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_BYTES_MAX = 262144 };

static size_t body_length(const char *request, size_t len, size_t *head_len)
{
    const char *end = memmem(request, len, "\r\n\r\n", 4);
    const char *length = memmem(request, len, "Content-Length: ", 16);
    if (!end || !length)
        return SIZE_MAX;
    *head_len = (size_t)(end - request) + 4;
    return (size_t)strtoul(length + 16, NULL, 10);
}

/* Answers what comes over one connection until it ends. */
static void serve(struct collector *collector, int peer)
{
    char request[REQUEST_BYTES_MAX], answer[128];
    size_t len = 0;
    for (;;) {
        size_t head_len = 0, body_len = body_length(request, len, &head_len);
        if (body_len == SIZE_MAX || len < head_len + body_len) {
            ssize_t got = recv(peer, request + len, sizeof request - len, 0);
            if (got <= 0)
                return;
            len += (size_t)got;
            continue;
        }
        memcpy(collector->head, request,
               head_len < sizeof collector->head ? head_len : sizeof collector->head - 1);
        int nth = __atomic_fetch_add(&collector->requests, 1, __ATOMIC_SEQ_CST);
        int status = nth < collector->statuses_count ? collector->statuses[nth] : 200;
        if (status == 200)
            __atomic_fetch_add(&collector->records, (int)body_len, __ATOMIC_SEQ_CST);
        int size = snprintf(answer, sizeof answer, "HTTP/1.1 %d Words\r\nContent-Length: 0\r\n\r\n",
                            status);
        (void)send(peer, answer, (size_t)size, MSG_NOSIGNAL);
        len = 0;
    }
}

static void run(void *subject)
{
    struct collector *collector = subject;
    for (int peer; (peer = accept(collector->listener, NULL, NULL)) >= 0; close(peer))
        serve(collector, peer);
}

static void collector_stop(void *subject)
{
    struct collector *collector = subject;
    (void)shutdown(collector->listener, SHUT_RDWR);
    thread_join(collector->thread);
    close(collector->listener);
}

struct collector *collector_start(struct test *t, const int *statuses, int count)
{
    struct collector *collector = arena_new(t->arena, struct collector);
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *collector = (struct collector){ .statuses = statuses, .statuses_count = count };
    collector->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(collector->listener, (struct sockaddr *)&address, len) == 0);
    CHECK(listen(collector->listener, 8) == 0);
    CHECK(getsockname(collector->listener, (struct sockaddr *)&address, &len) == 0);
    collector->port = ntohs(address.sin_port);
    collector->thread = thread_start("collector", run, collector);
    arena_defer(t->arena, collector_stop, collector);
    return collector;
}

void collector_await(const int *number, int wanted)
{
    int64_t until_us = clock_mono_us() + COLLECTOR_PATIENCE_US;
    while (__atomic_load_n(number, __ATOMIC_SEQ_CST) < wanted) {
        if (clock_mono_us() > until_us)
            FAIL("%d of %d came", __atomic_load_n(number, __ATOMIC_SEQ_CST), wanted);
        sleep_until(clock_mono_us() + 2000);
    }
}
