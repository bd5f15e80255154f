/* Answers that are kept: as protobuf, so that any codec can give them again. Pure. */
#pragma once
#include "chassis/call.h"

/* An error as an answer to keep. Only errors that say something about the subject are kept, never
 * invalid requests or faults of ours. */
struct answer answer_of_error(struct arena *arena, err error);

/* The error that a kept answer holds. Fails with PROTOBUF_MALFORMED in the place of the error if it
 * cannot be read. */
err answer_error(struct arena *arena, const struct answer *answer);

/* A deep copy. */
struct answer answer_copy(struct arena *arena, const struct answer *answer);
