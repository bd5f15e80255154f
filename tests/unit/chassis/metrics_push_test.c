#include "chassis/metrics_push.h"

#include "collector.h"
#include "os/clock.h"

#include <string.h>

static struct metrics_push *open_to(struct test *t, uint16_t port, int64_t interval_us)
{
    static const struct trace_source source = { .program = "shop" };
    return metrics_push_open(&(struct metrics_push_config){
        .url = str_format(t->arena, "http://127.0.0.1:%d/v1/metrics", port),
        .headers = { { "x-key", STR("abc") } },
        .headers_count = 1,
        .timeout_ms = 2000,
        .interval_us = interval_us,
        .source = &source,
    });
}

TEST(metrics_are_sent_every_so_often_with_the_headers_that_were_asked_for)
{
    struct collector *collector = collector_start(t, NULL, 0);
    struct metrics_push *push = open_to(t, collector->port, 20000);
    collector_await(&collector->requests, 3);
    metrics_push_close(push, COLLECTOR_PATIENCE_US);
    collector_await(&collector->requests, 4);   /* and once more at the end */
    collector_await(&collector->records, 1000); /* bytes: all metrics of this program */
    CHECK(strstr(collector->head, "POST /v1/metrics ") == collector->head);
    CHECK(strstr(collector->head, "Content-Type: application/x-protobuf\r\n"));
    CHECK(strstr(collector->head, "x-key: abc\r\n"));
}

TEST(metrics_are_told_once_more_at_the_end)
{
    struct collector *collector = collector_start(t, NULL, 0);
    struct metrics_push *push = open_to(t, collector->port, INT64_C(3600000000));
    metrics_push_close(push, COLLECTOR_PATIENCE_US);
    CHECK_INT(__atomic_load_n(&collector->requests, __ATOMIC_SEQ_CST), 1);
}

TEST(what_is_refused_is_counted_and_told_anew_the_next_time)
{
    static const int statuses[] = { 400, 503 };
    struct collector *collector = collector_start(t, statuses, 2);
    struct metrics_push *push = open_to(t, collector->port, 20000);
    collector_await(&collector->requests, 3);
    metrics_push_close(push, COLLECTOR_PATIENCE_US);
    str text = metrics_text(t->arena, METRICS_PROMETHEUS);
    CHECK(str_find(text, STR("duka_exported_total{what=\"metrics\",outcome=\"refused\"} 1\n")) > 0);
    CHECK(str_find(text, STR("duka_export_failures_total{what=\"metrics\"} 2\n")) > 0);
}

TEST(a_collector_that_is_away_holds_nobody_up)
{
    struct collector *collector = collector_start(t, NULL, 0);
    struct metrics_push *push = open_to(t, 1, 20000);
    sleep_until(clock_mono_us() + 100000);
    int64_t began_us = clock_mono_us();
    metrics_push_close(push, 0);
    CHECK(clock_mono_us() - began_us < COLLECTOR_PATIENCE_US / 2);
    CHECK_INT(__atomic_load_n(&collector->requests, __ATOMIC_SEQ_CST), 0);
}
