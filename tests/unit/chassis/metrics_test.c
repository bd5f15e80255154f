#include "chassis/obs.h"
#include "os/sync.h"
#include "tests/lib/test.h"

#include <stdio.h>

/* Metrics belong to the process: each test has label values of its own. */

static bool has_line(struct test *t, const char *line)
{
    str text = metrics_text(t->arena, METRICS_PROMETHEUS);
    str whole = str_format(t->arena, "\n%s\n", line);
    return str_find(text, whole) >= 0;
}

static int lines_with(struct test *t, const char *part)
{
    int count = 0;
    str rest = metrics_text(t->arena, METRICS_PROMETHEUS);
    for (str line; rest.len > 0 && (line = str_cut(&rest, '\n'), true);)
        count += str_find(line, str_of_z(part)) >= 0;
    return count;
}

TEST(metrics_tell_help_and_type_of_each)
{
    CHECK(has_line(t, "# HELP duka_orders_total Orders that reached a state."));
    CHECK(has_line(t, "# TYPE duka_orders_total counter"));
    CHECK(has_line(t, "# TYPE duka_connections gauge"));
    CHECK(has_line(t, "# TYPE duka_call_duration_seconds histogram"));
    CHECK_INT(lines_with(t, "# HELP "), METRICS_COUNT);
    CHECK_INT(lines_with(t, "# TYPE "), METRICS_COUNT);
    CHECK(str_ends(metrics_text(t->arena, METRICS_PROMETHEUS), STR("\n")));
}

TEST(metrics_count_under_their_labels)
{
    struct series *ok = metric_series(METRIC_CALLS, "orders", "t1.place", "ok");
    struct series *bad = metric_series(METRIC_CALLS, "orders", "t1.place", "conflict");
    series_add(ok, 2);
    series_add(ok, 3);
    series_add(bad, 1);
    CHECK(has_line(t, "duka_calls_total{service=\"orders\",call=\"t1.place\",outcome=\"ok\"} 5"));
    CHECK(has_line(
        t, "duka_calls_total{service=\"orders\",call=\"t1.place\",outcome=\"conflict\"} 1"));
}

TEST(metrics_same_labels_are_the_same_series)
{
    struct series *a = metric_series(METRIC_PAYMENTS, "t2", "paid", NULL);
    CHECK(metric_series(METRIC_PAYMENTS, "t2", "paid", NULL) == a);
    CHECK(metric_series(METRIC_PAYMENTS, "t2", "declined", NULL) != a);
    CHECK(metric_series(METRIC_PAYMENTS, "t", "2paid", NULL) != a);
    CHECK_INT(lines_with(t, "provider=\"t2\",outcome=\"paid\""), 1);
}

TEST(metrics_gauge_without_labels_stands_alone)
{
    struct series *gauge = metric_series(METRIC_CONNECTIONS, NULL, NULL, NULL);
    series_set(gauge, 12);
    series_add(gauge, -2);
    CHECK(has_line(t, "duka_connections 10"));
}

TEST(metrics_labels_are_escaped_and_cut_between_characters)
{
    series_add(metric_series(METRIC_RATE_LIMITED, "a\"b\\c\nd", NULL, NULL), 1);
    CHECK(has_line(t, "duka_rate_limited_total{class=\"a\\\"b\\\\c\\nd\"} 1"));

    char longer[100] = "";
    memset(longer, 'x', 63);
    memcpy(longer + 63, "\xc3\xb6y", 3);
    struct series *cut = metric_series(METRIC_RATE_LIMITED, longer, NULL, NULL);
    longer[63] = '\0';
    CHECK(metric_series(METRIC_RATE_LIMITED, longer, NULL, NULL) == cut);
}

TEST(metrics_wrong_count_of_labels_is_a_broken_invariant)
{
    CHECK_PANICS((void)metric_series(METRIC_CALLS, "orders", "x", NULL));
    CHECK_PANICS((void)metric_series(METRIC_CONNECTIONS, "x", NULL, NULL));
    CHECK_PANICS(metric_ask(METRIC_CALL_SECONDS, "x", NULL, NULL));
}

TEST(metrics_histogram_has_growing_buckets_sum_and_count)
{
    struct series *time = metric_series(METRIC_HTTP_SECONDS, "t3", NULL, NULL);
    series_time(time, 250); /* on the bound is inside it */
    series_time(time, 251);
    series_time(time, 1500000);
    series_time(time, 99000000);
    series_time(time, -5); /* a clock that went back */

    const char *const lines[] = {
        "_bucket{route=\"t3\",le=\"0.00025\"} 2",
        "_bucket{route=\"t3\",le=\"0.0005\"} 3",
        "_bucket{route=\"t3\",le=\"0.001\"} 3",
        "_bucket{route=\"t3\",le=\"1\"} 3",
        "_bucket{route=\"t3\",le=\"2.5\"} 4",
        "_bucket{route=\"t3\",le=\"10\"} 4",
        "_bucket{route=\"t3\",le=\"+Inf\"} 5",
        "_sum{route=\"t3\"} 100.500501",
        "_count{route=\"t3\"} 5",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        str line = str_format(t->arena, "duka_http_request_duration_seconds%s", lines[i]);
        if (!has_line(t, str_z(t->arena, line)))
            FAIL("no line %.*s", STR_A(line));
    }
    CHECK_INT(lines_with(t, "_seconds_bucket{route=\"t3\""), 16);
}

TEST(metrics_histogram_without_labels_has_bounds_only)
{
    series_time(metric_series(METRIC_ORDER_SETTLE_SECONDS, NULL, NULL, NULL), 1000000);
    CHECK(has_line(t, "duka_order_settle_seconds_bucket{le=\"1\"} 1"));
    CHECK(has_line(t, "duka_order_settle_seconds_sum 1"));
    CHECK(has_line(t, "duka_order_settle_seconds_count 1"));
}

static int64_t ask_number(void *subject) { return *(int *)subject; }

static int64_t ask_us(void *subject) { return *(int *)subject; }

TEST(metrics_gauge_of_time_is_told_in_seconds)
{
    int us = 1250000;
    metric_ask(METRIC_QUEUE_AGE, "t5", ask_us, &us);
    CHECK(has_line(t, "duka_queue_age_seconds{pool=\"t5\"} 1.25"));
    CHECK(has_line(t, "# TYPE duka_queue_age_seconds gauge"));
    metric_ask(METRIC_QUEUE_AGE, "t5", NULL, NULL);
}

TEST(metrics_gauge_is_asked_when_printed_until_taken_back)
{
    int number = 41;
    metric_ask(METRIC_QUEUE_LENGTH, "t4", ask_number, &number);
    number = 42;
    CHECK(has_line(t, "duka_queue_length{pool=\"t4\"} 42"));
    int other = 7;
    metric_ask(METRIC_QUEUE_LENGTH, "t4", ask_number, &other);
    CHECK(has_line(t, "duka_queue_length{pool=\"t4\"} 7"));
    metric_ask(METRIC_QUEUE_LENGTH, "t4", NULL, NULL);
    CHECK(has_line(t, "duka_queue_length{pool=\"t4\"} 0"));
    CHECK_INT(lines_with(t, "pool=\"t4\""), 1);
}

TEST(metrics_the_two_hundredth_series_is_other)
{
    struct series *last = NULL;
    for (int i = 0; i < 199; i++)
        last = metric_series(METRIC_ORDERS, str_z(t->arena, str_format(t->arena, "t5-%d", i)), NULL,
                             NULL);
    struct series *other = metric_series(METRIC_ORDERS, "t5-199", NULL, NULL);
    CHECK(other != last);
    CHECK(metric_series(METRIC_ORDERS, "t5-200", NULL, NULL) == other);
    CHECK(metric_series(METRIC_ORDERS, "other", NULL, NULL) == other);
    CHECK(metric_series(METRIC_ORDERS, "t5-198", NULL, NULL) == last);
    series_add(other, 3);
    CHECK(has_line(t, "duka_orders_total{status=\"other\"} 3"));
    CHECK_INT(lines_with(t, "duka_orders_total{"), 200);
}

TEST(metrics_a_series_that_is_called_other_is_not_there_twice)
{
    struct series *other = metric_series(METRIC_OUTBOX_BACKLOG, "other", NULL, NULL);
    for (int i = 0; i < 250; i++)
        (void)metric_series(METRIC_OUTBOX_BACKLOG,
                            str_z(t->arena, str_format(t->arena, "t6-%d", i)), NULL, NULL);
    CHECK(metric_series(METRIC_OUTBOX_BACKLOG, "t6-249", NULL, NULL) == other);
    CHECK_INT(lines_with(t, "duka_outbox_backlog{service=\"other\"} "), 1);
}

TEST(metrics_tell_of_the_process)
{
    str text = metrics_text(t->arena, METRICS_PROMETHEUS);
    str names[] = { STR("\nduka_process_resident_bytes "),
                    STR("\nduka_process_start_time_seconds "),
                    STR("\nduka_process_cpu_seconds_total ") };
    for (int i = 0; i < 3; i++) {
        ptrdiff_t at = str_find(text, names[i]);
        CHECK(at >= 0);
        str rest = str_slice(text, (size_t)at + names[i].len, text.len);
        str line = str_cut(&rest, '\n');
        int64_t number = 0;
        if (i == 2) { /* seconds, with a fraction */
            CHECK(line.len > 0 && !str_equal(line, STR("0")));
            continue;
        }
        CHECK(str_to_int64(line, 1, INT64_MAX, &number));
        CHECK(i != 1 || number > 1700000000);
    }
}

enum { THREADS = 4, ROUNDS = 2000 };

static void count_and_print(void *subject)
{
    struct arena *arena = arena_open(8 << 20);
    char label[16];
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(label, sizeof label, "t7-%d", i % 10);
        series_add(metric_series(METRIC_WRITES, label, NULL, NULL), 1);
        series_time(metric_series(METRIC_CALL_SECONDS, "t7", label, NULL), i);
        if (i % 500 == 0 && subject) {
            arena_reset(arena);
            (void)metrics_text(arena, METRICS_OPEN);
        }
    }
    arena_close(arena);
}

TEST(metrics_are_counted_by_many_threads_while_they_are_printed)
{
    struct thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = thread_start("counter", count_and_print, i == 0 ? threads : NULL);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    CHECK(has_line(t, "duka_writes_total{service=\"t7-3\"} 800"));
    CHECK(has_line(t, "duka_call_duration_seconds_count{service=\"t7\",call=\"t7-9\"} 800"));
    CHECK_INT(lines_with(t, "duka_writes_total{service=\"t7-"), 10);
}

TEST(metrics_openmetrics_names_families_without_total_and_ends)
{
    metric_series(METRIC_COMMITS, "t_open", NULL, NULL);
    str text = metrics_text(t->arena, METRICS_OPEN);
    CHECK(str_ends(text, STR("\n# EOF\n")));
    CHECK(str_find(text, STR("# TYPE duka_commits counter\n")) > 0);
    CHECK(str_find(text, STR("\nduka_commits_total{service=\"t_open\"} 0\n")) > 0);
    CHECK(str_find(text, STR("# TYPE duka_commits_total")) < 0);
    CHECK(str_find(text, STR("# UNIT duka_call_duration_seconds seconds\n")) > 0);
    CHECK(str_find(metrics_text(t->arena, METRICS_PROMETHEUS), STR("# EOF")) < 0);
}

TEST(metrics_exemplar_stands_at_its_bucket_in_openmetrics_only)
{
    struct series *series = metric_series(METRIC_HTTP_SECONDS, "t_exemplar", NULL, NULL);
    series_time_traced(series, 1500, STR("0af7651916cd43dd8448eb211c80319c"));
    series_time_traced(series, 9000, STR_NONE);
    str text = metrics_text(t->arena, METRICS_OPEN);
    CHECK(
        str_find(text, STR("{route=\"t_exemplar\",le=\"0.0025\"} 1 # {trace_id=\"0af7651916cd43dd84"
                           "48eb211c80319c\"} 0.0015 1")) > 0);
    CHECK(str_find(text, STR("{route=\"t_exemplar\",le=\"0.01\"} 2\n")) > 0);
    CHECK(str_find(metrics_text(t->arena, METRICS_PROMETHEUS), STR("trace_id")) < 0);
}

TEST(metrics_counter_of_time_is_told_in_seconds)
{
    series_add(metric_series(METRIC_LOOP_BUSY, NULL, NULL, NULL), 1250000);
    CHECK(has_line(t, "duka_loop_busy_seconds_total 1.25"));
}

static int64_t ask_1500(void *subject) { return *(const int64_t *)subject; }

TEST(metrics_age_is_a_gauge_told_in_seconds)
{
    static const int64_t age_us = 1500;
    metric_ask(METRIC_QUEUE_AGE, "t_age", ask_1500, (void *)(uintptr_t)&age_us);
    CHECK(has_line(t, "# TYPE duka_queue_age_seconds gauge"));
    CHECK(has_line(t, "duka_queue_age_seconds{pool=\"t_age\"} 0.0015"));
    metric_ask(METRIC_QUEUE_AGE, "t_age", NULL, NULL);
    CHECK(has_line(t, "duka_queue_age_seconds{pool=\"t_age\"} 0"));
}

TEST(metrics_counter_stays_what_it_was_when_nobody_answers_for_it_any_more)
{
    static const int64_t writes = 77;
    metric_ask(METRIC_WRITES, "t_gone", ask_1500, (void *)(uintptr_t)&writes);
    metric_ask(METRIC_WRITES, "t_gone", NULL, NULL);
    CHECK(has_line(t, "duka_writes_total{service=\"t_gone\"} 77"));
}

TEST(metrics_histogram_of_counts_has_whole_bounds)
{
    struct series *series = metric_series(METRIC_BATCH_WRITES, "t_size", NULL, NULL);
    series_size(series, 1);
    series_size(series, 3);
    series_size(series, 5000);
    CHECK(has_line(t, "duka_batch_writes_bucket{service=\"t_size\",le=\"1\"} 1"));
    CHECK(has_line(t, "duka_batch_writes_bucket{service=\"t_size\",le=\"3\"} 2"));
    CHECK(has_line(t, "duka_batch_writes_bucket{service=\"t_size\",le=\"1024\"} 2"));
    CHECK(has_line(t, "duka_batch_writes_bucket{service=\"t_size\",le=\"+Inf\"} 3"));
    CHECK(has_line(t, "duka_batch_writes_sum{service=\"t_size\"} 5004"));
}

static void count_series(void *subject, const struct metric_seen *seen)
{
    int *count = subject;
    CHECK(seen->series >= 0 && seen->series < seen->series_count);
    *count += str_equal(str_of_z(seen->name), STR("duka_batch_writes"));
}

TEST(metrics_are_walked_series_by_series)
{
    int count = 0;
    (void)metric_series(METRIC_BATCH_WRITES, "t_walk", NULL, NULL);
    metrics_walk(count_series, &count);
    CHECK(count >= 1);
}
