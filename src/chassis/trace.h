/* Spans: what a request, an event or a job did, and where its time went (OpenTelemetry's model).
 *
 * A trace is named by the W3C traceparent that travels with requests, events and jobs. Whether it
 * is sampled is decided once, where it begins, and travels with it. Of a trace that is not sampled
 * nothing is recorded, but what failed or was slow (TRACE_SLOW): those are kept one by one, as they
 * end. A span is filled by one thread, on its stack or in an arena; what is recorded goes into the
 * bounded queue of an exporter (export.h) and never waits. Where nothing is exported all of this
 * is a test of one word.
 *
 * Attributes have the names of OpenTelemetry's semantic conventions. They never hold values of
 * rows, texts that somebody wrote, addresses of people or tokens: names, ids, numbers, codes. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

enum {
    TRACE_ID_BYTES = 16,
    SPAN_ID_BYTES = 8,
    TRACEPARENT_LEN = 55,
    SPAN_NAME_BYTES_MAX = 255,
    SPAN_BODY_BYTES_MAX = 1024, /* name and attributes together: what is over is cut */
    SPAN_LINKS_MAX = 64
};

/* Where in a trace somebody is. All zero: in none. */
struct trace_context {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES];
    bool sampled;
};

/* Reads a W3C traceparent: "00-<32 hex>-<16 hex>-<2 hex>"; a later version may say more behind
 * another '-'. False for what is none; *out is then in no trace. Pure. */
bool trace_context_read(str traceparent, struct trace_context *out);

/* Where events and jobs stand in a trace is kept as one text: the traceparent, and, where a
 * tracestate came with it, a space and that. */
enum { TRACESTATE_BYTES_MAX = 512 };

/* Joins the two; a tracestate that is longer than TRACESTATE_BYTES_MAX, or holds what its list may
 * not, is left out, as the standard allows. Pure. */
str trace_carry(struct arena *arena, str traceparent, str tracestate);

/* Takes them apart again; borrowed; STR_NONE where there is no tracestate. */
str trace_carried_parent(str carried);
str trace_carried_state(str carried);

/* Whether what stands in that trace is sampled, without reading all of it: true only of what may be
 * a sampled traceparent. Most are not, and nothing else is asked of those. Pure. */
bool trace_may_be_sampled(str carried);

/* The same from the words of a request: 32 and 16 hexadecimal digits. */
struct trace_context trace_context_of(const char *trace_id, const char *span_id, bool sampled);

/* Writes it; TRACEPARENT_LEN bytes and a NUL. */
void trace_context_write(const struct trace_context *context, char out[TRACEPARENT_LEN + 1]);

/* The same in an arena. */
str trace_context_text(struct arena *arena, const struct trace_context *context);

/* Lower-case hexadecimal and a NUL. */
void trace_hex(const uint8_t *bytes, size_t count, char *out);

/* ---- what is sampled ---- */

enum trace_sampler { SAMPLE_ALL, SAMPLE_NONE, SAMPLE_RATIO };

struct trace_config {
    enum trace_sampler sampler;
    bool parent_based; /* what came with a decision keeps it */
    double ratio;      /* of SAMPLE_RATIO: 0 to 1, by the trace's id */
    int64_t slow_us;   /* what takes as long is kept although it is not sampled; 0: nothing is */
    /* Takes a record, for span_read, in two pieces; any thread, never waits. */
    void (*take)(void *subject, const void *head, size_t head_size, const void *links,
                 size_t links_size);
    void *subject;
};

/* From now on spans are recorded; NULL: none, as it is at first. While no other thread runs. */
void trace_use(const struct trace_config *config);

/* Whether spans are recorded at all. */
bool trace_is_on(void);

/* The decision for a trace that begins here, or for one that came with a decision. Where nothing is
 * recorded the decision that came stays, and what begins here is not sampled. */
bool trace_decide(const uint8_t trace_id[TRACE_ID_BYTES], bool has_parent, bool parent_sampled);

/* A trace that begins here, by nobody's request: sampled as the sampler decides. In no trace where
 * nothing is recorded. */
struct trace_context trace_root(void);

/* Gives it an id of its own. */
void span_new_id(struct trace_context *context);

/* ---- spans ---- */

/* OTLP's numbers. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };

/* A span at work. Only `recorded` is set where it is not recorded. It is large: who asks first
 * whether a span is kept declares it behind the question. */
struct span {
    bool recorded, failed;
    uint8_t kind;
    uint16_t name_len, body_len, links_count, links_left_out;
    const char *service; /* "orders"; static storage */
    struct trace_context context;
    uint8_t parent_id[SPAN_ID_BYTES];  /* zero: it begins the trace */
    int64_t start_us, took_us;         /* monotonic while at work; wall once it is a record */
    int64_t end_us;                    /* 0: when span_end is called */
    const struct trace_context *links; /* borrowed until span_end; of a record: span_links */
    /* The name, and behind it the attributes as they go over the wire: as fields of OTLP's Span. */
    char body[SPAN_BODY_BYTES_MAX];
};

/* Begins a span under `parent`; recorded where that is sampled and spans are recorded. `service`
 * is of static storage or lives as long as the exporter. */
void span_begin(struct span *span, const struct trace_context *parent, enum span_kind kind,
                const char *service, str name);

/* The same of one that began at that time (monotonic). */
void span_begin_since(struct span *span, const struct trace_context *parent, enum span_kind kind,
                      const char *service, str name, int64_t start_us);

/* The same two under the span that this thread is in (trace_enter). */
void span_begin_here(struct span *span, enum span_kind kind, str name);
void span_begin_here_since(struct span *span, enum span_kind kind, str name, int64_t start_us);

/* Whether such a span, which ends now, is recorded: where it is sampled, or else where it failed or
 * has been slow. */
bool span_is_kept(const struct trace_context *context, int64_t start_us, bool failed);

/* Begins one that has an id already (or zero: it gets one), and began before (monotonic); recorded
 * where span_is_kept, marked by "duka.kept" where it is not sampled. To be filled and ended at
 * once. */
void span_begin_late(struct span *span, const struct trace_context *context,
                     const uint8_t parent_id[SPAN_ID_BYTES], enum span_kind kind,
                     const char *service, str name, int64_t start_us, bool failed);

/* It ended at that time (monotonic) and not when span_end is called. */
void span_ended_at(struct span *span, int64_t end_us);

/* Attributes. A text that finds no room is cut, and what has none at all is left out. */
void span_text(struct span *span, const char *key, str value);
void span_number(struct span *span, const char *key, int64_t value);

/* It failed: the word of the error ("stock.insufficient") as error.type. */
void span_fail(struct span *span, str type);

/* Other spans that have to do with it: `others` holds the first SPAN_LINKS_MAX of `count`, borrowed
 * until it ends. */
void span_link(struct span *span, const struct trace_context *others, size_t count);

/* Ends it and hands it to the exporter. Once. */
void span_end(struct span *span);

/* ---- where a thread is ---- */

/* What this thread does from now on belongs to that span of `service`, which outlives it; a context
 * that is not sampled is none. Gives what was before, for trace_leave. */
struct trace_here {
    const struct trace_context *context; /* NULL: in no trace that is recorded */
    const char *service;
};
struct trace_here trace_enter(const struct trace_context *context, const char *service);
void trace_leave(struct trace_here before);

/* The span that this thread is in, or NULL. */
const struct trace_context *trace_here(void);

/* ---- records: what an exporter gets ---- */

/* A record is a struct span as far as its body is used, and its links behind it. This is that span,
 * of which nothing behind `body_len` may be read; it stays in the record, which is aligned. */
const struct span *span_of_record(const void *record);

/* The parts of a record. */
str span_name(const struct span *span);
str span_attributes(const struct span *span); /* fields of OTLP's Span, for span_next_attribute */
const struct trace_context *span_links(const struct span *span);

struct span_attribute {
    str key, text;  /* borrowed */
    int64_t number; /* where it is no text */
    bool is_text;
};

/* Takes the next one off; false: there is none. */
bool span_next_attribute(str *rest, struct span_attribute *out);
