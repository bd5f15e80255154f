/* What of a request goes on to a service behind us, and what of its answer comes back (RFC 9110,
 * 7.6.1): headers that are for one connection stay on it. Pure. */
#pragma once
#include "chassis/http2_client.h"

enum { UPSTREAM_ADDED_MAX = 8 };

/* Lists the fields of the request, the four of HTTP/2 first; new strings lie in the arena. Dropped:
 * what is for one connection, Host (the authority takes its place), Expect; traceparent and
 * x-request-id are the request's own, grpc-timeout is what is left (`left_us`). */
int upstream_fields(struct arena *arena, const struct request *request, bool tls, str authority,
                    int64_t left_us, const struct header *added, int added_count,
                    struct header fields[HTTP2_CLIENT_FIELDS_MAX]);

/* Takes a field of the answer into the response, copied to the arena. Dropped: what is for one
 * connection, and what our own transport writes. False where the response cannot hold it. */
bool upstream_answer_field(struct arena *arena, struct request *request, str name, str value,
                           bool trailer);

/* Words of grpc-message, percent-decoded. */
str upstream_grpc_message(struct arena *arena, str value);
