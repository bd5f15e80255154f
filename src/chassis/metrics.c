/* Metrics: a fixed place for each series, so that counting is one addition and nothing is freed. */
#include "chassis/obs.h"

#include "base/arena.h"
#include "base/text.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/process.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { LABELS_MAX = METRIC_LABELS_MAX, BUCKETS_COUNT = METRIC_BOUNDS };

enum kind { COUNTER, SECONDS, GAUGE, AGE, TIME, SIZE };

static const struct metric_spec {
    const char *name;
    enum kind kind;
    const char *labels; /* names, parted by commas */
    const char *words;
} specs[METRICS_COUNT] = {
#define METRIC(name_, kind_, unit_, labels_, words_) \
    [METRIC_##name_] = { unit_, kind_, labels_, words_ },
#include "metrics.tbl"
#undef METRIC
};

/* Upper bounds, in microseconds: 0.25 ms to 10 s; what is longer has its own bucket. */
static const int64_t bounds_us[BUCKETS_COUNT] = { 250,    500,     1000,    2500,    5000,
                                                  10000,  25000,   50000,   100000,  250000,
                                                  500000, 1000000, 2500000, 5000000, 10000000 };

/* Of SIZE: up to a batch of the writer. */
static const int64_t bounds_size[BUCKETS_COUNT] = { 1,  2,  3,  4,   6,   8,   12,  16,
                                                    32, 64, 96, 128, 256, 512, 1024 };

/* The newest trace whose time fell into a bucket; empty at first. Behind exemplars_lock. */
struct exemplar {
    char trace_id[METRIC_TRACE_ID_BYTES + 1];
    int64_t us;
    time_us at;
};

struct series {
    char labels[LABELS_MAX][METRIC_LABEL_BYTES_MAX + 1];
    atomic_int_fast64_t value; /* microseconds of SECONDS and AGE; of TIME their sum */
    atomic_int_fast64_t buckets[BUCKETS_COUNT + 1];
    struct exemplar *exemplars;    /* one a bucket */
    int64_t (*ask)(void *subject); /* under asks_lock, with subject */
    void *subject;
};

/* Readers look at what is `published`; only who adds needs the lock, which is held for some
 * comparisons and never across a wait. */
static atomic_int published[METRICS_COUNT];

/* The series of all metrics lie one behind the other, as they came, and first places beside first
 * places: zeroed pages cost nothing until something is in them, and most metrics have few series.
 */
enum { POOL_SERIES = METRICS_COUNT * METRIC_SERIES_MAX };
static struct series pool[POOL_SERIES];
static struct exemplar pool_exemplars[POOL_SERIES][BUCKETS_COUNT + 1];
static size_t pool_count; /* under the lock */

static struct place {
    uint64_t hash;
    struct series *series;
} places[METRIC_SERIES_MAX][METRICS_COUNT];

static atomic_flag registry_lock = ATOMIC_FLAG_INIT;

static void registry_take(void)
{
    while (atomic_flag_test_and_set_explicit(&registry_lock, memory_order_acquire))
        (void)sched_yield();
}

static void registry_drop(void)
{
    atomic_flag_clear_explicit(&registry_lock, memory_order_release);
}

/* Over who is asked for a value: whoever takes himself back waits until he is asked no more. */
static atomic_flag asks_lock = ATOMIC_FLAG_INIT;

static void asks_take(void)
{
    while (atomic_flag_test_and_set_explicit(&asks_lock, memory_order_acquire))
        (void)sched_yield();
}

static void asks_drop(void) { atomic_flag_clear_explicit(&asks_lock, memory_order_release); }

static const struct metric_spec *spec_of(enum metric metric)
{
    ASSERT(metric < METRICS_COUNT);
    return &specs[metric];
}

static int labels_count(const struct metric_spec *spec)
{
    int count = spec->labels[0] != '\0';
    for (const char *at = spec->labels; *at; at++)
        count += *at == ',';
    return count;
}

static enum metric_form form_of(const struct metric_spec *spec)
{
    static const enum metric_form forms[] = { METRIC_SUM,   METRIC_SUM,       METRIC_GAUGE,
                                              METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_HISTOGRAM };
    return forms[spec->kind];
}

static bool is_histogram(const struct metric_spec *spec)
{
    return form_of(spec) == METRIC_HISTOGRAM;
}

/* ---- Finding and adding ---- */

/* Label values of a metric as they are kept: cut, each with a hash of all. */
struct labels {
    str values[LABELS_MAX];
    uint64_t hash;
};

static struct labels labels_of(const struct metric_spec *spec, const char *const given[LABELS_MAX])
{
    struct labels labels = { .hash = 0 };
    int count = labels_count(spec);

    for (int i = 0; i < LABELS_MAX; i++) {
        ASSERT((i < count) == (given[i] != NULL));
        labels.values[i] = utf8_head(str_of_z(given[i]), METRIC_LABEL_BYTES_MAX);
        labels.hash = labels.hash * 31 + str_hash(labels.values[i]);
    }
    return labels;
}

/* Those of the series that all others share once there is no room. */
static struct labels labels_other(const struct metric_spec *spec)
{
    const char *given[LABELS_MAX] = { NULL };
    for (int i = 0; i < labels_count(spec); i++)
        given[i] = "other";
    return labels_of(spec, given);
}

static bool has_labels(const struct series *series, const struct labels *labels)
{
    for (int i = 0; i < LABELS_MAX; i++)
        if (!str_equal(str_of_z(series->labels[i]), labels->values[i]))
            return false;
    return true;
}

static struct series *find(enum metric metric, const struct labels *labels)
{
    int count = atomic_load_explicit(&published[metric], memory_order_acquire);

    for (int i = 0; i < count; i++) {
        const struct place *place = &places[i][metric];
        if (place->hash == labels->hash && has_labels(place->series, labels))
            return place->series;
    }
    return NULL;
}

/* Under the lock. The last place is kept for "other". */
static struct series *find_or_add(enum metric metric, struct labels labels)
{
    int count = atomic_load_explicit(&published[metric], memory_order_relaxed);
    struct series *found = find(metric, &labels);

    if (!found && count >= METRIC_SERIES_MAX - 1) {
        labels = labels_other(spec_of(metric));
        found = find(metric, &labels);
    }
    if (found)
        return found;

    ASSERT(count < METRIC_SERIES_MAX);
    struct series *series = &pool[pool_count];
    for (int i = 0; i < LABELS_MAX; i++)
        if (labels.values[i].len > 0)
            memcpy(series->labels[i], labels.values[i].ptr, labels.values[i].len);
    series->exemplars = pool_exemplars[pool_count++];
    places[count][metric] = (struct place){ .hash = labels.hash, .series = series };
    atomic_store_explicit(&published[metric], count + 1, memory_order_release);
    return series;
}

struct series *metric_series(enum metric metric, const char *label1, const char *label2,
                             const char *label3)
{
    struct labels labels =
        labels_of(spec_of(metric), (const char *const[LABELS_MAX]){ label1, label2, label3 });
    struct series *series = find(metric, &labels);
    if (series)
        return series;
    registry_take();
    series = find_or_add(metric, labels);
    registry_drop();
    return series;
}

void metric_ask(enum metric metric, const char *label1, int64_t (*ask)(void *subject),
                void *subject)
{
    ASSERT(!is_histogram(spec_of(metric)));

    struct series *series = metric_series(metric, label1, NULL, NULL);
    if (!ask && series->ask && form_of(spec_of(metric)) == METRIC_SUM)
        series_set(series, series->ask(series->subject)); /* it stays what it was */
    asks_take();
    series->ask = ask;
    series->subject = subject;
    asks_drop();
}

/* ---- Counting ---- */

void series_add(struct series *series, int64_t n)
{
    ASSERT(series);
    atomic_fetch_add_explicit(&series->value, n, memory_order_relaxed);
}

void series_set(struct series *series, int64_t n)
{
    ASSERT(series);
    atomic_store_explicit(&series->value, n, memory_order_relaxed);
}

static int bucket_of(const int64_t bounds[BUCKETS_COUNT], int64_t value)
{
    int bucket = 0;
    while (bucket < BUCKETS_COUNT && value > bounds[bucket])
        bucket++;
    return bucket;
}

static void count_value(struct series *series, const int64_t bounds[BUCKETS_COUNT], int64_t value)
{
    int bucket = bucket_of(bounds, value);
    atomic_fetch_add_explicit(&series->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->value, value > 0 ? value : 0, memory_order_relaxed);
}

void series_size(struct series *series, int64_t n)
{
    ASSERT(series);
    count_value(series, bounds_size, n);
}

void series_time(struct series *series, int64_t us)
{
    ASSERT(series);
    count_value(series, bounds_us, us);
}

/* One is as good as another: who finds it taken leaves its own out. */
static atomic_flag exemplars_lock = ATOMIC_FLAG_INIT;

static void keep_exemplar(struct series *series, int64_t us, str trace_id)
{
    ASSERT(trace_id.len == METRIC_TRACE_ID_BYTES);

    struct exemplar *exemplar = &series->exemplars[bucket_of(bounds_us, us)];
    if (atomic_flag_test_and_set_explicit(&exemplars_lock, memory_order_acquire))
        return;
    memcpy(exemplar->trace_id, trace_id.ptr, METRIC_TRACE_ID_BYTES);
    exemplar->us = us > 0 ? us : 0;
    exemplar->at = clock_wall_us();
    atomic_flag_clear_explicit(&exemplars_lock, memory_order_release);
}

void series_time_traced(struct series *series, int64_t us, str trace_id)
{
    series_time(series, us);
    if (trace_id.len > 0)
        keep_exemplar(series, us, trace_id);
}

static struct exemplar exemplar_of(const struct series *series, int bucket)
{
    while (atomic_flag_test_and_set_explicit(&exemplars_lock, memory_order_acquire))
        (void)sched_yield();
    struct exemplar exemplar = series->exemplars[bucket];
    atomic_flag_clear_explicit(&exemplars_lock, memory_order_release);
    return exemplar;
}

/* ---- Printing ---- */

/* "0.00025": no floating point, so nothing is rounded. */
static void add_seconds(struct text *out, int64_t us)
{
    text_add_format(out, "%lld", (long long)(us / TIME_SECOND));
    if (us % TIME_SECOND == 0)
        return;
    text_add_format(out, ".%06lld", (long long)(us % TIME_SECOND));
    while (out->ptr[out->len - 1] == '0')
        out->len--;
}

/* A label's value: '\', '"' and ends of lines escaped. */
static void add_escaped(struct text *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n') {
            text_add(out, STR("\\n"));
            continue;
        }
        if (*value == '"' || *value == '\\')
            text_add_byte(out, '\\');
        text_add_byte(out, *value);
    }
}

/* "name{label="value",le="bound"} ": up to the value. The bound is -1 where there is none. */
static void add_name(struct text *out, const struct metric_spec *spec, const char *suffix,
                     const struct series *series, int bucket)
{
    char between = '{';
    int label = 0;

    text_add(out, str_of_z(spec->name));
    text_add(out, str_of_z(suffix));
    str names = spec->labels[0] ? str_of_z(spec->labels) : STR_NONE;
    for (str name; names.ptr && (name = str_cut(&names, ','), true); between = ',') {
        text_add_byte(out, between);
        text_add(out, name);
        text_add(out, STR("=\""));
        add_escaped(out, series->labels[label++]);
        text_add_byte(out, '"');
    }
    if (bucket >= 0) {
        text_add_byte(out, between);
        text_add(out, STR("le=\""));
        if (bucket < BUCKETS_COUNT && spec->kind == SIZE)
            text_add_int(out, bounds_size[bucket]);
        else if (bucket < BUCKETS_COUNT)
            add_seconds(out, bounds_us[bucket]);
        else
            text_add(out, STR("+Inf"));
        text_add_byte(out, '"');
        between = ',';
    }
    text_add(out, between == ',' ? STR("} ") : STR(" "));
}

static void add_line(struct text *out, int64_t number)
{
    text_add_int(out, number);
    text_add_byte(out, '\n');
}

/* " # {trace_id="..."} 0.0123 1700000000.5" before the end of a bucket's line. */
static void add_exemplar(struct text *out, const struct series *series, int bucket)
{
    struct exemplar exemplar = exemplar_of(series, bucket);
    if (exemplar.trace_id[0] == '\0')
        return;
    out->len--;
    text_add_format(out, " # {trace_id=\"%s\"} ", exemplar.trace_id);
    add_seconds(out, exemplar.us);
    text_add_byte(out, ' ');
    add_seconds(out, exemplar.at);
    text_add_byte(out, '\n');
}

/* A value, or the sum of a histogram: kept in microseconds where it is a time. */
static void add_value(struct text *out, const struct metric_spec *spec, int64_t value)
{
    if (spec->kind == SECONDS || spec->kind == AGE || spec->kind == TIME)
        add_seconds(out, value);
    else
        text_add_int(out, value);
    text_add_byte(out, '\n');
}

static void add_histogram(struct text *out, const struct metric_spec *spec,
                          const struct series *series, enum metrics_form form)
{
    int64_t sum = atomic_load_explicit(&series->value, memory_order_relaxed), count = 0;

    for (int i = 0; i <= BUCKETS_COUNT; i++) {
        count += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
        add_name(out, spec, "_bucket", series, i);
        add_line(out, count);
        if (form == METRICS_OPEN)
            add_exemplar(out, series, i);
    }
    add_name(out, spec, "_sum", series, -1);
    add_value(out, spec, sum);
    add_name(out, spec, "_count", series, -1);
    add_line(out, count);
}

static int64_t value_of(struct series *series)
{
    asks_take();
    int64_t value = series->ask ? series->ask(series->subject)
                                : atomic_load_explicit(&series->value, memory_order_relaxed);
    asks_drop();
    return value;
}

static int64_t ask_resident(void *subject)
{
    (void)subject;
    return process_resident_bytes();
}

static int64_t ask_cpu_us(void *subject)
{
    (void)subject;
    return process_cpu_us();
}

static int64_t ask_started_s(void *subject)
{
    (void)subject;
    return process_started_at() / TIME_SECOND;
}

/* OpenMetrics names a family of counters without "_total". */
static str family_of(const struct metric_spec *spec, enum metrics_form form)
{
    str name = str_of_z(spec->name), total = STR("_total");
    bool counts = spec->kind == COUNTER || spec->kind == SECONDS;
    return form == METRICS_OPEN && counts && str_ends(name, total)
               ? str_slice(name, 0, name.len - total.len)
               : name;
}

static void add_head(struct text *out, const struct metric_spec *spec, enum metrics_form form)
{
    static const char *const kinds[] = { "counter", "counter",   "gauge",
                                         "gauge",   "histogram", "histogram" };
    str family = family_of(spec, form);

    text_add_format(out, "# HELP %" STR_F " ", STR_A(family));
    for (const char *at = spec->words; *at; at++) {
        if (*at == '"' && form == METRICS_OPEN) /* the other form has no escape for it */
            text_add(out, STR("\\\""));
        else
            text_add(out, *at == '\\' ? STR("\\\\") : *at == '\n' ? STR("\\n") : str_of(at, 1));
    }
    text_add_format(out, "\n# TYPE %" STR_F " %s\n", STR_A(family), kinds[spec->kind]);
    if (form == METRICS_OPEN && str_ends(family, STR("_seconds")))
        text_add_format(out, "# UNIT %" STR_F " seconds\n", STR_A(family));
    if (form == METRICS_OPEN && str_ends(family, STR("_bytes")))
        text_add_format(out, "# UNIT %" STR_F " bytes\n", STR_A(family));
}

static void add_metric(struct text *out, enum metric metric, enum metrics_form form)
{
    const struct metric_spec *spec = spec_of(metric);
    int count = atomic_load_explicit(&published[metric], memory_order_acquire);

    add_head(out, spec, form);
    for (int i = 0; i < count; i++) {
        struct series *series = places[i][metric].series;
        if (is_histogram(spec)) {
            add_histogram(out, spec, series, form);
            continue;
        }
        add_name(out, spec, "", series, -1);
        add_value(out, spec, value_of(series));
    }
}

static void ask_process(void)
{
    metric_ask(METRIC_PROCESS_RESIDENT, NULL, ask_resident, NULL);
    metric_ask(METRIC_PROCESS_CPU_US, NULL, ask_cpu_us, NULL);
    metric_ask(METRIC_PROCESS_START, NULL, ask_started_s, NULL);
}

/* ---- walking ---- */

/* What it counts, in UCUM: "s", "By", "1". */
static const char *unit_of(const struct metric_spec *spec)
{
    if (spec->kind == SECONDS || spec->kind == AGE || spec->kind == TIME)
        return "s";
    str name = str_of_z(spec->name);
    if (str_ends(name, STR("_bytes")))
        return "By";
    return str_ends(name, STR("_time_seconds")) || str_ends(name, STR("_expires_seconds")) ? "s"
                                                                                           : "1";
}

static void see_series(const struct metric_spec *spec, struct series *series,
                       struct metric_seen *seen)
{
    for (int i = 0; i < LABELS_MAX; i++)
        seen->labels[i] = series->labels[i];
    seen->value = value_of(series);
    seen->count = 0;
    for (int i = 0; is_histogram(spec) && i <= BUCKETS_COUNT; i++) {
        seen->buckets[i] = atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
        seen->count += seen->buckets[i];
    }
}

void metrics_walk(void (*see)(void *subject, const struct metric_seen *seen), void *subject)
{
    ASSERT(see);
    ask_process();
    for (int metric = 0; metric < METRICS_COUNT; metric++) {
        const struct metric_spec *spec = &specs[metric];
        int count = atomic_load_explicit(&published[metric], memory_order_acquire);
        struct metric_seen seen = {
            .name = spec->name,
            .words = spec->words,
            .unit = unit_of(spec),
            .label_names = spec->labels,
            .form = form_of(spec),
            .is_micro = spec->kind == SECONDS || spec->kind == AGE || spec->kind == TIME,
            .bounds = spec->kind == SIZE ? bounds_size : bounds_us,
            .series_count = count,
        };
        for (seen.series = 0; seen.series < count; seen.series++) {
            see_series(spec, places[seen.series][metric].series, &seen);
            see(subject, &seen);
        }
    }
}

str metrics_text(struct arena *arena, enum metrics_form form)
{
    ASSERT(arena);
    ask_process();

    struct text out = text_init(arena, 16 * 1024);
    for (int i = 0; i < METRICS_COUNT; i++)
        add_metric(&out, (enum metric)i, form);
    if (form == METRICS_OPEN)
        text_add(&out, STR("# EOF\n"));
    return text_str(&out);
}
