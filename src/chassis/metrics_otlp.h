/* All metrics as a collector takes them: OTLP (protobuf of opentelemetry-proto 1.x), cumulative. */
#pragma once
#include "base/time.h"
#include "chassis/trace_encode.h"

/* The body of a request: what there is now, counted since `start_us` (wall). */
str metrics_otlp(struct arena *arena, const struct trace_source *source, time_us start_us,
                 time_us now_us);
