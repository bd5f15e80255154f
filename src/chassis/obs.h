/* Logs, metrics: what the house tells about itself.
 *
 * Logs are one JSON object a line on stdout (text on a terminal); one event a line, stable keys, no secret and no personal
 * datum. Metrics are declared in contracts/metrics.tbl and printed as Prometheus text. */
#pragma once
#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Once, at start. */
void log_setup(enum log_level least, bool json);

struct log_field {
    const char *key;
    enum { LOG_STR, LOG_INT } kind;
    str text;
    int64_t number;
};
#define LOG_TEXT(key_, value) ((struct log_field){ .key = (key_), .kind = LOG_STR, .text = (value) })
#define LOG_NUMBER(key_, value) ((struct log_field){ .key = (key_), .kind = LOG_INT, .number = (value) })

/* One event: `event` is a stable dotted name ("order.placed"), the fields tell the rest. Values are escaped; a line never
 * exceeds 8 KiB. The same event name logs at most 20 lines a second above DEBUG; what was left out is told with the next. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, int count);
#define LOG(level, event, ...)                                                                       \
    log_event((level), (event), (const struct log_field[]){ __VA_ARGS__ },                           \
              (int)(sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field)))

enum metric {
#define METRIC(name, kind, unit, labels, words) METRIC_##name,
#include "metrics.tbl"
#undef METRIC
    METRICS_COUNT
};

/* A series of a metric: label values are registered once and give a handle (bounded: the 200th of a metric becomes "other"). */
struct series;
struct series *metric_series(enum metric metric, const char *label1, const char *label2, const char *label3);

/* Counters and gauges; thread-safe, cheap (relaxed atomics). */
void series_add(struct series *series, int64_t n);
void series_set(struct series *series, int64_t n);

/* A histogram of microseconds, shown in seconds. */
void series_time(struct series *series, int64_t us);

/* A gauge whose value is asked for when metrics are printed. */
void metric_ask(enum metric metric, const char *label1, int64_t (*ask)(void *subject), void *subject);

/* Prometheus text (version 0.0.4). */
str metrics_text(struct arena *arena);
