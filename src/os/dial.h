/* One question over a Unix socket, blocking: for the operator's tool, which asks a shop that runs.
 * No protocol is known here. */
#pragma once
#include "base/err.h"

/* Connects to the socket `path`, sends `bytes`, and reads what comes until the other side ends, at
 * most `answer_bytes_max`; gives up after `timeout_ms`. Fails with UPSTREAM_UNAVAILABLE where
 * nobody listens (the detail says why), OS_FAILED else. */
err dial_unix(struct arena *arena, str path, str bytes, size_t answer_bytes_max, int64_t timeout_ms,
              str *answer);
