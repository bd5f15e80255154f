/* Sends all metrics to a collector every so often, on a thread of its own. Nobody waits for it;
 * what could not be sent is told the next time, for all that is counted is told anew each time. */
#pragma once
#include "chassis/export.h"
#include "chassis/trace_encode.h"

struct metrics_push_config {
    str url;
    struct fetch_header headers[EXPORT_HEADERS_MAX];
    int headers_count;
    const char *ca, *cert, *key; /* paths of PEM files, or NULL */
    int timeout_ms;              /* of one attempt */
    int64_t interval_us;
    const struct trace_source *source; /* lives as long as it */
};

struct metrics_push;

/* Opens and starts it; strings are copied. */
struct metrics_push *metrics_push_open(const struct metrics_push_config *config);

/* Sends them once more, for at most `patience_us`, and ends. Accepts NULL. */
void metrics_push_close(struct metrics_push *push, int64_t patience_us);
