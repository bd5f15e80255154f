/* gRPC over HTTP/2 as the calls see it: messages in their frames, time-outs, statuses with details.
 * Unary calls, no compression. Pure.
 *
 * A request that is one (request->grpc) has the same way through the house as one in JSON; only its
 * message is read and written here. */
#pragma once
#include "chassis/call.h"
#include "chassis/request.h"

enum { GRPC_TRAILERS_MAX = 3 };

/* Tells whether the headers make it a request of gRPC. */
bool grpc_is(const struct request *request);

/* Reads the one message of a body. Fails with PROTOBUF_MALFORMED (its frame is wrong, there is none
 * or more than one, it cannot be decoded) or RPC_COMPRESSED. */
err grpc_read(struct arena *arena, str body, const struct message_spec *spec, void **out);

/* What a request asks for, without paging: a text for the seal of a cursor. */
str grpc_asked(struct arena *arena, const struct message_spec *spec, const void *message);

/* Reads grpc-timeout ("250m"): microseconds; -1 where there is none. Fails with HEADER_INVALID. */
err grpc_timeout(struct arena *arena, const struct request *request, int64_t *out_us);

/* Fills the response of a call that went well. */
void grpc_answer(struct request *request, const void *message);

/* Fills the response with the status of an error and its details (google.rpc.Status with ErrorInfo,
 * BadRequest, RetryInfo). */
void grpc_refuse(struct request *request, err error);

/* The trailers of the response. Gives how many there are. */
int grpc_trailers(const struct request *request, struct header out[GRPC_TRAILERS_MAX]);
