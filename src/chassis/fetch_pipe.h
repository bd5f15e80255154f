/* Bytes to and from a server over TCP or TLS (certificate and name are checked), by libcurl without
 * its HTTP: for protocols of others. Blocking, each step with a deadline; for a thread of its own.
 */
#pragma once
#include "chassis/fetch.h"

struct fetch_pipe;

/* Connects to "http://host:port" (TCP) or "https://host:port" (TLS). Fails with
 * UPSTREAM_UNAVAILABLE and the reason. The caller closes it. */
err fetch_pipe_open(struct arena *arena, str url, const struct fetch_config *config, int timeout_ms,
                    struct fetch_pipe **out);
void fetch_pipe_close(struct fetch_pipe *pipe); /* accepts NULL */

/* Sends all of it. Fails with UPSTREAM_UNAVAILABLE, also when the monotonic `deadline_us` came. */
err fetch_pipe_send(struct fetch_pipe *pipe, struct arena *arena, str bytes, int64_t deadline_us);

/* Waits for some bytes, at most `room_len`. Fails with UPSTREAM_UNAVAILABLE, also where the server
 * has ended the connection. */
err fetch_pipe_receive(struct fetch_pipe *pipe, struct arena *arena, char *room, size_t room_len,
                       int64_t deadline_us, size_t *len);
