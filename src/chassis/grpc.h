/* gRPC over HTTP/2 as the calls see it: messages in their frames, time-outs, statuses with details.
 * Messages may be packed by gzip in both directions. Pure.
 *
 * A request that is one (request->grpc) has the same way through the house as one in JSON; only its
 * message is read and written here. */
#pragma once
#include "chassis/call.h"
#include "chassis/request.h"

enum { GRPC_TRAILERS_MAX = 3, GRPC_PACK_BYTES_MIN = 1024 };

/* Tells whether the headers make it a request of gRPC. */
bool grpc_is(const struct request *request);

/* What was taken off a stream of messages. */
enum grpc_taken { GRPC_MESSAGE, GRPC_NONE_YET, GRPC_FAILED };

/* Takes the next message off `*rest`: GRPC_NONE_YET where it is not whole. GRPC_FAILED with the
 * error PROTOBUF_MALFORMED (its frame is wrong or it cannot be unpacked), RPC_COMPRESSED (it is
 * packed by what `encoding`, the value of grpc-encoding, does not tell or nobody here knows) or
 * HTTP_BODY_TOO_LARGE (it has, or unpacks to, more than `bytes_max`). */
enum grpc_taken grpc_take(struct arena *arena, str encoding, size_t bytes_max, str *rest, str *out,
                          err *error);

/* Reads the one message that the request's body is, unpacked. Fails with what grpc_take fails with;
 * none or more than one is PROTOBUF_MALFORMED. */
err grpc_message(struct arena *arena, const struct request *request, size_t bytes_max, str *out);

/* What a request asks for, without paging: a text for the seal of a cursor. */
str grpc_asked(struct arena *arena, const struct message_spec *spec, const void *message);

/* Reads grpc-timeout ("250m"): microseconds; -1 where there is none. Fails with HEADER_INVALID. */
err grpc_timeout(struct arena *arena, const struct request *request, int64_t *out_us);

/* Adds a message in its frame; packed where `packs` and where that is shorter. */
void grpc_frame(struct arena *arena, struct text *out, str message, bool packs);

/* Tells whether answers may be packed: the client takes gzip. */
bool grpc_packs(const struct request *request);

/* Fills the response of a call that went well; a message of GRPC_PACK_BYTES_MIN or more is packed
 * where the client takes that. The second takes it as it goes over the wire. */
void grpc_answer(struct request *request, const void *message);
void grpc_answer_bytes(struct request *request, str message);

/* Fills the response of a call that answers message by message: 200, and that answers are packed
 * where they may be. */
void grpc_answer_begin(struct request *request);

/* Fills the response with the status of an error and its details (google.rpc.Status with ErrorInfo,
 * BadRequest, RetryInfo). */
void grpc_refuse(struct request *request, err error);

/* The same for an answer that has begun: only its trailers. */
void grpc_fail(struct request *request, err error);

/* The trailers of the response. Gives how many there are. */
int grpc_trailers(const struct request *request, struct header out[GRPC_TRAILERS_MAX]);
