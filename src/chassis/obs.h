/* Logs, metrics: what the house tells about itself.
 *
 * Logs are one JSON object a line on stdout (text on a terminal); one event a line, stable keys, no
 * secret and no personal datum. Metrics are declared in contracts/metrics.tbl and printed as
 * Prometheus or OpenMetrics text. */
#pragma once
#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* What is logged from now on, and how. Until then: LOG_INFO, as text. Any thread. */
void log_setup(enum log_level least, bool json);

/* Every line that is logged goes there, too, as JSON without its end; NULL: nowhere, as it is at
 * first. `take` runs on the thread that logs and must not log or wait; it may still be called for
 * a moment by a thread that was logging when it was taken back. */
void log_use(void (*take)(void *subject, const char *line, size_t len), void *subject);

struct log_field {
    const char *key;
    enum { LOG_STR, LOG_INT } kind;
    str text;
    int64_t number;
};
#define LOG_TEXT(key_, value) \
    ((struct log_field){ .key = (key_), .kind = LOG_STR, .text = (value) })
#define LOG_NUMBER(key_, value) \
    ((struct log_field){ .key = (key_), .kind = LOG_INT, .number = (value) })

/* One event: `event` is a stable dotted name ("order.placed"), the fields tell the rest. Values are
 * escaped, so that none can forge a line. A line never exceeds 4 KiB, the most that a pipe takes as
 * a whole; what did not fit is left out, and "cut" says so. The same event name logs at most 20
 * lines a second above DEBUG; how many were left out is told with the next. Any thread. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, int count);

/* Lines that are written together, by one thread, and of which none is left out: the access log.
 * Zeroed at first. */
enum { LOG_LINE_BYTES_MAX = 4096 };
struct log_lines {
    size_t len;
    char bytes[2 * LOG_LINE_BYTES_MAX]; /* those that are there, and one in the making */
};

/* Adds one; those that wait are written where it has no room beside them. */
void log_gather(struct log_lines *lines, enum log_level level, const char *event,
                const struct log_field *fields, int count);

/* Writes what waits. */
void log_flush(struct log_lines *lines);

#define LOG(level, event, ...)                                             \
    log_event((level), (event), (const struct log_field[]){ __VA_ARGS__ }, \
              (int)(sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field)))

enum metric {
#define METRIC(name, kind, unit, labels, words) METRIC_##name,
#include "metrics.tbl"
#undef METRIC
    METRICS_COUNT
};

enum { METRIC_LABELS_MAX = 3, METRIC_BOUNDS = 15 };
enum { METRIC_SERIES_MAX = 200, METRIC_LABEL_BYTES_MAX = 64, METRIC_TRACE_ID_BYTES = 32 };

/* A series of a metric: its label values are registered once and give a handle, for as long as the
 * process runs. Give as many as the metric has labels, NULL for the rest. Bounded: the 200th of a
 * metric becomes "other", and so does what follows. Any thread. */
struct series;
struct series *metric_series(enum metric metric, const char *label1, const char *label2,
                             const char *label3);

/* Counters and gauges; any thread, cheap (relaxed atomics). */
void series_add(struct series *series, int64_t n);
void series_set(struct series *series, int64_t n);

/* A histogram of microseconds, shown in seconds. */
void series_time(struct series *series, int64_t us);

/* The same, of a recorded trace (32 hexadecimal digits; empty for none): OpenMetrics shows the
 * newest of each bucket as its exemplar. */
void series_time_traced(struct series *series, int64_t us, str trace_id);

/* A histogram of counts: members of a batch. */
void series_size(struct series *series, int64_t n);

/* A gauge or counter whose value is asked for when metrics are printed, on that thread; `ask` must
 * not touch metrics. Asked of somebody else from the next time on; NULL takes it back, and when
 * this returns nobody is being asked any more. */
void metric_ask(enum metric metric, const char *label1, int64_t (*ask)(void *subject),
                void *subject);

/* All of them, as Prometheus text (version 0.0.4) or OpenMetrics text (1.0.0): counters' families
 * without "_total", units, exemplars, "# EOF". */
enum metrics_form { METRICS_PROMETHEUS, METRICS_OPEN };
str metrics_text(struct arena *arena, enum metrics_form form);

/* All series one after the other, for whoever sends them elsewhere. */
enum metric_form { METRIC_SUM, METRIC_GAUGE, METRIC_HISTOGRAM };
struct metric_seen {
    const char *name, *words, *unit; /* the unit in UCUM: "s", "By", "1" */
    const char *label_names;         /* parted by commas */
    const char *labels[METRIC_LABELS_MAX];
    enum metric_form form;
    bool is_micro;         /* value, sum and bounds are microseconds, told in seconds */
    int64_t value;         /* of a histogram: the sum */
    const int64_t *bounds; /* of a histogram: METRIC_BOUNDS of them */
    int64_t buckets[METRIC_BOUNDS + 1]; /* not cumulative; the last is above all bounds */
    int64_t count;
    int series, series_count; /* which of how many of its metric */
};
void metrics_walk(void (*see)(void *subject, const struct metric_seen *seen), void *subject);
