/* One question over a Unix socket, blocking: for the operator's tool, which asks a shop that runs.
 * No protocol is known here. */
#pragma once
#include "base/err.h"

/* Connects to the socket `path`, sends `bytes`, and reads what comes until the other side ends, at
 * most `answer_bytes_max`; gives up after `timeout_ms`. Fails with UPSTREAM_UNAVAILABLE where
 * nobody listens (the detail says why), OS_FAILED else. */
err dial_unix(struct arena *arena, str path, str bytes, size_t answer_bytes_max, int64_t timeout_ms,
              str *answer);

/* The same step by step, for what is long. The timeout is for each step, not for the whole. */
struct dial;
err dial_open(struct arena *arena, str path, int64_t timeout_ms, struct dial **out);

/* Sends all of it. Where the other side has closed it says so by *closed: what it said is read
 * next. */
err dial_send(struct dial *dial, str bytes, bool *closed);

/* Up to `room` bytes; *len 0 where the other side has ended. Waits at most `wait_ms`; *waited tells
 * that nothing came in that time. */
err dial_receive(struct dial *dial, char *bytes, size_t room, int64_t wait_ms, size_t *len,
                 bool *waited);
void dial_close(struct dial *dial); /* accepts NULL */
