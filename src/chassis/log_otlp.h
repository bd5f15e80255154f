/* Lines of the log as collectors take them: OTLP (protobuf of opentelemetry-proto 1.x). Pure. */
#pragma once
#include "chassis/trace_encode.h"

/* The body of a request; `source` is a struct trace_source, records are lines of JSON (log_use).
 * Keys become the names of OpenTelemetry's semantic conventions, where it has one. */
str log_otlp(struct arena *arena, const void *source, const struct export_record *records,
             size_t count);
