/* Sends records (spans, log lines) by HTTP to a collector, in batches, on a thread of its own.
 *
 * What gathers lies in a room of fixed size, and what is being sent in another of the same size:
 * while the collector is away memory stays flat, and what finds no room is dropped and counted.
 * Whoever gives a record never waits for more than a copy under a lock. */
#pragma once
#include "chassis/fetch.h"
#include "chassis/obs.h"

enum {
    EXPORT_RECORD_BYTES_MAX = 8192,
    EXPORT_BATCH_MAX = 4096,
    EXPORT_HEADERS_MAX = 8,
    EXPORT_RETRY_US = 1000000,      /* before the first repeat; it doubles each time */
    EXPORT_RETRY_MAX_US = 30000000, /* and grows no longer than this */
    EXPORT_PATIENCE_US = 300000000  /* what could not be sent for so long is dropped */
};

struct export_record {
    const void *bytes;
    size_t size;
};

struct export_config {
    const char *name; /* "traces", "logs": in metrics and the log */
    str url, content_type;
    struct fetch_header headers[EXPORT_HEADERS_MAX];
    int headers_count;
    const char *ca, *cert, *key; /* paths of PEM files, or NULL */
    int timeout_ms;              /* of one attempt */
    int64_t delay_us;            /* between two batches, where they are not full */
    size_t records_max;          /* that gather */
    size_t bytes_max;            /* of those; and once more of those being sent */
    size_t batch_max;            /* in one request */
    /* Makes the body of a request; on the exporter's thread. `subject` is given. */
    str (*encode)(struct arena *arena, const void *subject, const struct export_record *records,
                  size_t count);
    const void *subject;
};

struct exporter;

/* Opens and starts it; strings are copied. */
struct exporter *export_open(const struct export_config *config);

/* Takes a copy of a record, or drops and counts it; `more` goes behind it (NULL: nothing). Any
 * thread. */
void export_put(struct exporter *exporter, const void *bytes, size_t size, const void *more,
                size_t more_size);

/* Sends what is there, for at most `patience_us`, and ends. Nobody may put any more. Accepts NULL.
 */
void export_close(struct exporter *exporter, int64_t patience_us);

/* For tests: how many were sent, dropped for want of room or patience, and lost to an answer that
 * refused them. */
struct export_stats {
    int64_t sent, dropped, refused, failures;
};
struct export_stats export_stats_of(const struct exporter *exporter);
