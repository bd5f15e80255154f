/* Against a collector of the test's own, which answers as it is told to. */
#include "chassis/export.h"
#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWERS_MAX = 16, PATIENCE_US = 20000000, REQUEST_BYTES_MAX = 65536 };

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

static struct collector *collector_start(struct test *t, const int *statuses, int count)
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

/* A byte for each record. */
static str encode(struct arena *arena, const void *subject, const struct export_record *records,
                  size_t count)
{
    struct text out = text_init(arena, count + 1);
    CHECK_STR(str_of_z(subject), "source");
    for (size_t i = 0; i < count; i++)
        text_add(&out, str_of(records[i].bytes, 1));
    return text_str(&out);
}

static struct exporter *open_to(struct test *t, uint16_t port, size_t records_max)
{
    struct export_config config = { .name = "test",
                                    .url = str_format(t->arena, "http://127.0.0.1:%d/v1/x", port),
                                    .content_type = STR("application/x-test"),
                                    .headers = { { "x-key", STR("abc") } },
                                    .headers_count = 1,
                                    .timeout_ms = 5000,
                                    .delay_us = 20000,
                                    .records_max = records_max,
                                    .bytes_max = EXPORT_RECORD_BYTES_MAX + records_max * 16,
                                    .batch_max = 4,
                                    .encode = encode,
                                    .subject = "source" };
    return export_open(&config);
}

static void put(struct exporter *exporter, int count)
{
    for (int i = 0; i < count; i++)
        export_put(exporter, "r", 1, "more", 4);
}

static void wait_for(const int *number, int wanted)
{
    int64_t until_us = clock_mono_us() + PATIENCE_US;
    while (__atomic_load_n(number, __ATOMIC_SEQ_CST) < wanted) {
        if (clock_mono_us() > until_us)
            FAIL("%d of %d came", __atomic_load_n(number, __ATOMIC_SEQ_CST), wanted);
        sleep_until(clock_mono_us() + 2000);
    }
}

TEST(what_is_put_arrives_in_batches_with_the_headers_that_were_asked_for)
{
    struct collector *collector = collector_start(t, NULL, 0);
    struct exporter *exporter = open_to(t, collector->port, 64);
    put(exporter, 10);
    wait_for(&collector->records, 10);
    export_close(exporter, PATIENCE_US);
    CHECK(__atomic_load_n(&collector->requests, __ATOMIC_SEQ_CST) >= 3); /* of four at most */
    CHECK(strstr(collector->head, "POST /v1/x ") == collector->head);
    CHECK(strstr(collector->head, "x-key: abc\r\n"));
    CHECK(strstr(collector->head, "Content-Type: application/x-test\r\n"));
}

TEST(what_is_there_when_it_closes_is_sent_first)
{
    struct collector *collector = collector_start(t, NULL, 0);
    struct exporter *exporter = open_to(t, collector->port, 64);
    put(exporter, 3);
    export_close(exporter, PATIENCE_US);
    CHECK_INT(__atomic_load_n(&collector->records, __ATOMIC_SEQ_CST), 3);
}

TEST(a_collector_that_is_busy_is_asked_again_until_it_takes_the_batch)
{
    static const int busy[] = { 503, 429 };
    struct collector *collector = collector_start(t, busy, 2);
    struct exporter *exporter = open_to(t, collector->port, 64);
    put(exporter, 2);
    wait_for(&collector->records, 2);
    struct export_stats stats = export_stats_of(exporter);
    CHECK_INT(stats.failures, 2);
    CHECK_INT(stats.dropped + stats.refused, 0);
    export_close(exporter, PATIENCE_US);
}

TEST(what_a_collector_refuses_is_counted_and_not_sent_again)
{
    static const int refuses[] = { 400 };
    struct collector *collector = collector_start(t, refuses, 1);
    struct exporter *exporter = open_to(t, collector->port, 64);
    put(exporter, 4);
    wait_for(&collector->requests, 1);
    put(exporter, 1); /* the next one is taken */
    wait_for(&collector->records, 1);
    export_close(exporter, PATIENCE_US);
    CHECK_INT(__atomic_load_n(&collector->requests, __ATOMIC_SEQ_CST), 2);
    CHECK_INT(__atomic_load_n(&collector->records, __ATOMIC_SEQ_CST), 1);
}

TEST(while_the_collector_is_away_what_finds_no_room_is_dropped_and_nobody_waits)
{
    struct collector *collector = collector_start(t, NULL, 0);
    uint16_t port = (uint16_t)(collector->port == 1 ? 2 : 1); /* nobody listens there */
    struct exporter *exporter = open_to(t, port, 8);
    int64_t began_us = clock_mono_us();
    put(exporter, 100000);
    CHECK(clock_mono_us() - began_us < PATIENCE_US); /* an attempt and its rests take longer */
    struct export_stats stats = export_stats_of(exporter);
    CHECK(stats.dropped >= 100000 - 3 * 8);
    CHECK_INT(stats.sent, 0);
    export_close(exporter, 0);
}

TEST(closing_waits_no_longer_than_it_may_for_a_collector_that_is_away)
{
    struct exporter *exporter = open_to(t, 1, 8);
    put(exporter, 8);
    int64_t began_us = clock_mono_us();
    export_close(exporter, 200000);
    CHECK(clock_mono_us() - began_us < PATIENCE_US); /* a batch would be tried for five minutes */
}
