#include "chassis/metrics_otlp.h"

#include "chassis/protobuf.h"
#include "tests/lib/test.h"

#include <string.h>

static const struct trace_source SOURCE = { .program = "orders", .version = { "1.0", 3 } };

static str part(str message, uint32_t number, int nth)
{
    struct protobuf_field field;
    while (protobuf_next(&message, &field) == PROTOBUF_FIELD)
        if (field.number == number && field.type == PROTOBUF_BYTES && nth-- == 0)
            return field.bytes;
    return STR_NONE;
}

/* The metric of that name; STR_NONE where none has a series. */
static str metric_of(struct test *t, const char *name)
{
    str body = metrics_otlp(t->arena, &SOURCE, 1000000, 2000000);
    str all = part(part(body, 1, 0), 2, 0);
    for (int i = 0;; i++) {
        str metric = part(all, 2, i);
        if (!metric.ptr || str_equal(part(metric, 1, 0), str_of_z(name)))
            return metric;
    }
}

/* The point whose first attribute has that value. */
static str point_of(str data, uint32_t attributes, const char *value)
{
    for (int i = 0;; i++) {
        str point = part(data, 1, i);
        if (!point.ptr ||
            str_equal(part(part(part(point, attributes, 0), 2, 0), 1, 0), str_of_z(value)))
            return point;
    }
}

/* The eight bytes of a field of fixed width: `tag` is number << 3 | 1. */
static uint64_t fixed_of(str message, char tag)
{
    uint64_t value = 0;
    for (size_t i = 0; i + 9 <= message.len; i++)
        if (message.ptr[i] == tag) {
            memcpy(&value, message.ptr + i + 1, sizeof value);
            return value;
        }
    return UINT64_MAX;
}

static double double_at(str packed, int index)
{
    double value;
    memcpy(&value, packed.ptr + 8 * index, sizeof value);
    return value;
}

TEST(a_counter_is_a_sum_that_only_grows_with_its_labels)
{
    series_add(metric_series(METRIC_COMMITS, "t_otlp", NULL, NULL), 42);
    str metric = metric_of(t, "duka_commits_total"), sum = part(metric, 7, 0);
    CHECK_STR(part(metric, 2, 0), "Transactions committed.");
    CHECK_STR(part(metric, 3, 0), "1");
    CHECK(str_starts(sum, STR("\x10\x02\x18\x01"))); /* cumulative, monotonic */
    str point = point_of(sum, 7, "t_otlp");
    CHECK_STR(part(part(point, 7, 0), 1, 0), "service");
    CHECK_INT(fixed_of(point, 6 << 3 | 1), 42);
    CHECK_INT(fixed_of(point, 2 << 3 | 1), 1000000000);
    CHECK_INT(fixed_of(point, 3 << 3 | 1), 2000000000);
}

TEST(a_counter_of_time_is_told_in_seconds)
{
    series_add(metric_series(METRIC_LOOP_BUSY, NULL, NULL, NULL), 1500000);
    str metric = metric_of(t, "duka_loop_busy_seconds_total");
    CHECK_STR(part(metric, 3, 0), "s");
    uint64_t bits = fixed_of(part(part(metric, 7, 0), 1, 0), 4 << 3 | 1);
    double value;
    memcpy(&value, &bits, sizeof value);
    CHECK(value >= 1.5 && value < 1500);
}

TEST(a_gauge_has_no_beginning)
{
    series_set(metric_series(METRIC_BUS_WAITING, "t_otlp", NULL, NULL), 7);
    str point = point_of(part(metric_of(t, "duka_bus_waiting"), 5, 0), 7, "t_otlp");
    CHECK_INT(fixed_of(point, 6 << 3 | 1), 7);
    CHECK_INT((unsigned char)point.ptr[0], 3 << 3 | 1); /* its time comes first */
}

TEST(a_histogram_has_its_bounds_and_what_fell_between_them)
{
    struct series *series = metric_series(METRIC_COMMIT_SECONDS, "t_otlp", NULL, NULL);
    series_time(series, 300);
    series_time(series, 300);
    series_time(series, 60000000);
    str metric = metric_of(t, "duka_commit_duration_seconds");
    str point = point_of(part(metric, 9, 0), 9, "t_otlp");
    str buckets = part(point, 6, 0), bounds = part(point, 7, 0);
    CHECK_INT(buckets.len, 8 * (METRIC_BOUNDS + 1));
    CHECK_INT(bounds.len, 8 * METRIC_BOUNDS);
    CHECK_INT(buckets.ptr[8], 2);
    CHECK_INT(buckets.ptr[8 * METRIC_BOUNDS], 1);
    CHECK(double_at(bounds, 0) > 0.000249 && double_at(bounds, 0) < 0.000251);
    CHECK(double_at(bounds, METRIC_BOUNDS - 1) > 9.9);
    CHECK_INT(fixed_of(point, 4 << 3 | 1), 3);
}

TEST(the_sender_is_named)
{
    str body = metrics_otlp(t->arena, &SOURCE, 1, 2);
    CHECK(str_find(part(part(body, 1, 0), 1, 0), STR("duka-orders")) >= 0);
}
