/* grpc.reflection.v1 (and v1alpha, which differs in its name only): answers from the descriptors
 * that are compiled in. Pure. */
#pragma once
#include "chassis/grpc_health.h"

enum { GRPC_REFLECTION_FILES_MAX = 64 };

/* What one client was told: a file goes over a stream once. */
struct grpc_reflection {
    const struct grpc_served *served; /* what is listed, besides health and reflection */
    int served_count;
    bool told[GRPC_REFLECTION_FILES_MAX];
};

/* Answers one ServerReflectionRequest with a ServerReflectionResponse: what is not there is an
 * ErrorResponse. False where the message is broken. `scratch` holds what is only needed meanwhile.
 */
bool grpc_reflection_answer(struct grpc_reflection *self, struct arena *scratch, str message,
                            struct text *out);
