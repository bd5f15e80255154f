/* Against a collector of the test's own, which answers as it is told to. */
#include "chassis/export.h"
#include "collector.h"
#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <string.h>

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

TEST(what_is_put_arrives_in_batches_with_the_headers_that_were_asked_for)
{
    struct collector *collector = collector_start(t, NULL, 0);
    struct exporter *exporter = open_to(t, collector->port, 64);
    put(exporter, 10);
    collector_await(&collector->records, 10);
    export_close(exporter, COLLECTOR_PATIENCE_US);
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
    export_close(exporter, COLLECTOR_PATIENCE_US);
    CHECK_INT(__atomic_load_n(&collector->records, __ATOMIC_SEQ_CST), 3);
}

TEST(a_collector_that_is_busy_is_asked_again_until_it_takes_the_batch)
{
    static const int busy[] = { 503, 429 };
    struct collector *collector = collector_start(t, busy, 2);
    struct exporter *exporter = open_to(t, collector->port, 64);
    put(exporter, 2);
    collector_await(&collector->records, 2);
    struct export_stats stats = export_stats_of(exporter);
    CHECK_INT(stats.failures, 2);
    CHECK_INT(stats.dropped + stats.refused, 0);
    export_close(exporter, COLLECTOR_PATIENCE_US);
}

TEST(what_a_collector_refuses_is_counted_and_not_sent_again)
{
    static const int refuses[] = { 400 };
    struct collector *collector = collector_start(t, refuses, 1);
    struct exporter *exporter = open_to(t, collector->port, 64);
    put(exporter, 4);
    collector_await(&collector->requests, 1);
    put(exporter, 1); /* the next one is taken */
    collector_await(&collector->records, 1);
    export_close(exporter, COLLECTOR_PATIENCE_US);
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
    CHECK(clock_mono_us() - began_us <
          COLLECTOR_PATIENCE_US); /* an attempt and its rests take longer */
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
    CHECK(clock_mono_us() - began_us <
          COLLECTOR_PATIENCE_US); /* a batch would be tried for five minutes */
}
