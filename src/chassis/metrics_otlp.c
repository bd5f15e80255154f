#include "chassis/metrics_otlp.h"

#include "chassis/protobuf.h"

#include <string.h>

/* opentelemetry/proto/metrics/v1/metrics.proto */
enum {
    REQUEST_RESOURCE_METRICS = 1,
    RESOURCE_METRICS_SCOPE_METRICS = 2,
    SCOPE_METRICS_SCOPE = 1,
    SCOPE_METRICS_METRICS = 2,
    SCOPE_NAME = 1,
    METRIC_NAME = 1,
    METRIC_DESCRIPTION = 2,
    METRIC_UNIT = 3,
    METRIC_DATA_GAUGE = 5,
    METRIC_DATA_SUM = 7,
    METRIC_DATA_HISTOGRAM = 9,
    DATA_POINTS = 1,
    DATA_TEMPORALITY = 2, /* of a sum and of a histogram */
    SUM_IS_MONOTONIC = 3,
    CUMULATIVE = 2,
    NUMBER_START = 2,
    NUMBER_TIME = 3,
    NUMBER_DOUBLE = 4,
    NUMBER_INT = 6,
    NUMBER_ATTRIBUTES = 7,
    HISTOGRAM_START = 2,
    HISTOGRAM_TIME = 3,
    HISTOGRAM_COUNT = 4,
    HISTOGRAM_SUM = 5,
    HISTOGRAM_BUCKETS = 6,
    HISTOGRAM_BOUNDS = 7,
    HISTOGRAM_ATTRIBUTES = 9,
    NS_A_US = 1000
};

struct writing {
    struct text *out;
    uint64_t start_ns, now_ns;
    size_t metric, data; /* that is open, until its last series */
};

/* ---- numbers ---- */

/* A double of the wire, little-endian as all of it. */
static uint64_t bits_of(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* Microseconds are told in seconds. */
static double told(const struct metric_seen *seen, int64_t value)
{
    return seen->is_micro ? (double)value / (double)TIME_SECOND : (double)value;
}

static void add_fixed64_raw(struct text *out, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        text_add_byte(out, (char)(number >> (8 * i) & 0xff));
}

/* ---- points ---- */

static void add_attributes(struct text *out, uint32_t field, const struct metric_seen *seen)
{
    str names = seen->label_names[0] ? str_of_z(seen->label_names) : STR_NONE;
    int label = 0;
    for (str name; names.ptr && (name = str_cut(&names, ','), true);)
        trace_otlp_text(out, field, name, str_of_z(seen->labels[label++]));
}

static void add_number(struct writing *writing, const struct metric_seen *seen)
{
    struct text *out = writing->out;
    size_t point = protobuf_begin(out, DATA_POINTS);
    if (seen->form == METRIC_SUM)
        protobuf_add_fixed64(out, NUMBER_START, writing->start_ns);
    protobuf_add_fixed64(out, NUMBER_TIME, writing->now_ns);
    if (seen->is_micro)
        protobuf_add_fixed64(out, NUMBER_DOUBLE, bits_of(told(seen, seen->value)));
    else
        protobuf_add_fixed64(out, NUMBER_INT, (uint64_t)seen->value);
    add_attributes(out, NUMBER_ATTRIBUTES, seen);
    protobuf_end(out, point);
}

static void add_histogram(struct writing *writing, const struct metric_seen *seen)
{
    struct text *out = writing->out;
    size_t point = protobuf_begin(out, DATA_POINTS);
    protobuf_add_fixed64(out, HISTOGRAM_START, writing->start_ns);
    protobuf_add_fixed64(out, HISTOGRAM_TIME, writing->now_ns);
    protobuf_add_fixed64(out, HISTOGRAM_COUNT, (uint64_t)seen->count);
    protobuf_add_fixed64(out, HISTOGRAM_SUM, bits_of(told(seen, seen->value)));
    size_t buckets = protobuf_begin(out, HISTOGRAM_BUCKETS); /* packed */
    for (int i = 0; i <= METRIC_BOUNDS; i++)
        add_fixed64_raw(out, (uint64_t)seen->buckets[i]);
    protobuf_end(out, buckets);
    size_t bounds = protobuf_begin(out, HISTOGRAM_BOUNDS);
    for (int i = 0; i < METRIC_BOUNDS; i++)
        add_fixed64_raw(out, bits_of(told(seen, seen->bounds[i])));
    protobuf_end(out, bounds);
    add_attributes(out, HISTOGRAM_ATTRIBUTES, seen);
    protobuf_end(out, point);
}

/* ---- metrics ---- */

static void begin_metric(struct writing *writing, const struct metric_seen *seen)
{
    static const uint32_t kinds[] = { METRIC_DATA_SUM, METRIC_DATA_GAUGE, METRIC_DATA_HISTOGRAM };
    struct text *out = writing->out;
    writing->metric = protobuf_begin(out, SCOPE_METRICS_METRICS);
    protobuf_add_bytes(out, METRIC_NAME, str_of_z(seen->name));
    protobuf_add_bytes(out, METRIC_DESCRIPTION, str_of_z(seen->words));
    protobuf_add_bytes(out, METRIC_UNIT, str_of_z(seen->unit));
    writing->data = protobuf_begin(out, kinds[seen->form]);
    if (seen->form == METRIC_GAUGE)
        return;
    protobuf_add_number(out, DATA_TEMPORALITY, CUMULATIVE);
    if (seen->form == METRIC_SUM)
        protobuf_add_number(out, SUM_IS_MONOTONIC, 1);
}

static void see(void *subject, const struct metric_seen *seen)
{
    struct writing *writing = subject;
    if (seen->series == 0)
        begin_metric(writing, seen);
    if (seen->form == METRIC_HISTOGRAM)
        add_histogram(writing, seen);
    else
        add_number(writing, seen);
    if (seen->series + 1 < seen->series_count)
        return;
    protobuf_end(writing->out, writing->data);
    protobuf_end(writing->out, writing->metric);
}

str metrics_otlp(struct arena *arena, const struct trace_source *source, time_us start_us,
                 time_us now_us)
{
    ASSERT(arena && source);
    struct text out = text_init(arena, 64 * 1024);
    struct writing writing = { .out = &out,
                               .start_ns = (uint64_t)start_us * NS_A_US,
                               .now_ns = (uint64_t)now_us * NS_A_US };
    size_t resource_metrics = protobuf_begin(&out, REQUEST_RESOURCE_METRICS);
    trace_otlp_resource(&out, source, source->program);
    size_t scope_metrics = protobuf_begin(&out, RESOURCE_METRICS_SCOPE_METRICS);
    size_t scope = protobuf_begin(&out, SCOPE_METRICS_SCOPE);
    protobuf_add_bytes(&out, SCOPE_NAME, STR("duka"));
    protobuf_end(&out, scope);
    metrics_walk(see, &writing);
    protobuf_end(&out, scope_metrics);
    protobuf_end(&out, resource_metrics);
    return text_str(&out);
}
