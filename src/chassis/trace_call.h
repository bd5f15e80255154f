/* Spans of calls, at the gateway and in a service. */
#pragma once
#include "chassis/request.h"
#include "chassis/spec.h"
#include "chassis/trace.h"

/* Where a call is in its trace. */
struct trace_place {
    struct trace_context here; /* its own span */
    uint8_t parent_id[SPAN_ID_BYTES];
    int64_t since_us; /* monotonic; of a part */
};

/* A service begins to work on a request: its span is the request's, or a part of it where the
 * gateway of this process tells of the request. Gives the traceparent of what follows from it. */
str trace_begin_call(struct trace_place *place, const struct request *request);

/* It has ended: tells of it by its own span (kind SERVER), as it was asked, by HTTP or gRPC. */
void trace_tell_call(const struct trace_place *place, const char *service,
                     const struct call_spec *spec, const struct request *request, err error);

/* The gateway has answered a request. */
void trace_tell_request(const char *service, const struct request *request);

/* A request goes to another process, where its trace is sampled as a span of its own (kind CLIENT):
 * each attempt, with the reason why it came to nothing. */
struct trace_attempt {
    const char *to;   /* whom: "orders" */
    int64_t since_us; /* monotonic */
    int number;       /* from 1 */
    bool failed;
    str word;        /* of the error, where it failed */
    const char *why; /* for a person; NULL: it went well */
};
void trace_begin_attempt(struct request *request);
void trace_tell_attempt(struct request *request, const struct trace_attempt *attempt);

/* What this thread is in has waited since then (monotonic), and waits no more. */
void trace_tell_wait(const char *name, int64_t since_us);

/* Something goes on in a trace by its traceparent (an event, a job): as a span of its own, if it is
 * sampled. Gives the traceparent of what follows from it, in the arena. Both as trace_carry has
 * them: with the tracestate. */
str trace_begin_part(struct trace_place *place, struct arena *arena, str traceparent);

/* The attributes of an answer that is an error of ours or theirs: the span failed where it is
 * 5xx. */
void trace_tell_error(struct span *span, err error);
