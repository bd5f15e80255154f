/* The status of a gRPC answer as one of our errors: the way back from grpc_refuse. Pure. */
#pragma once
#include "chassis/request.h"

/* OK for status 0. Where the details carry an ErrorInfo of ours, its code with words, subject,
 * fields and time to retry; else CALL_DEADLINE, UPSTREAM_UNAVAILABLE or UPSTREAM_FAILED by the
 * number. All strings lie in the arena. */
err grpc_status_error(struct arena *arena, const struct response *response);
