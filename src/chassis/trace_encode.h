/* Spans as collectors take them: OTLP (protobuf of opentelemetry-proto 1.x) and Zipkin's JSON v2.
 * Pure. */
#pragma once
#include "chassis/export.h"

/* Who sends: the attributes of OpenTelemetry's resource, and the name of each service. */
struct trace_source {
    const char *program; /* whose log it is: "orders"; "shop" where it is all of them */
    str service_name;    /* of all; none: "duka-" and the span's own service */
    str version;         /* service.version */
    str instance;        /* service.instance.id */
    str attributes;      /* more of them: "key=value,key=value", as OTEL_RESOURCE_ATTRIBUTES */
};

/* The body of a request (`source` is a struct trace_source, records are of trace.h). */
str trace_otlp(struct arena *arena, const void *source, const struct export_record *records,
               size_t count);
str trace_zipkin(struct arena *arena, const void *source, const struct export_record *records,
                 size_t count);

/* The name of a service as collectors show it: "duka-orders". */
str trace_service_name(struct arena *arena, const struct trace_source *source, const char *service);

/* Adds the resource of a service to a message of OTLP, as field 1. */
void trace_otlp_resource(struct text *out, const struct trace_source *source, const char *service);

/* Adds KeyValue as that field of a message. */
void trace_otlp_text(struct text *out, uint32_t field, str key, str value);
void trace_otlp_number(struct text *out, uint32_t field, str key, int64_t value);
