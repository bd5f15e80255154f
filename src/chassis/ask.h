/* Asks a shop that runs, by HTTP/1.1 over the operator's socket. Blocking: for dukactl. */
#pragma once
#include "base/err.h"

struct asked {
    int status;
    str body;
};

/* One request and its answer. `json` is the body, or none. Fails with UPSTREAM_UNAVAILABLE where no
 * shop listens at the socket, OS_FAILED, or as asked_read does. */
err ask_operator(struct arena *arena, str socket_path, const char *method, const char *path,
                 str json, int64_t timeout_ms, struct asked *out);

/* Reads a whole answer. Fails with UPSTREAM_FAILED where it is none, or cut short. Pure. */
err asked_read(struct arena *arena, str bytes, struct asked *out);

/* What a refusal says, for a person: its title, detail, fields and code, in lines. Pure. */
str asked_refusal(struct arena *arena, const struct asked *asked);
