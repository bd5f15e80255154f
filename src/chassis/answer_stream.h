/* Answers that are made in pieces while they are sent (an export): on a worker, each piece in a job
 * of its own with its own snapshot, and the next only when the peer has taken the last. */
#pragma once
#include "chassis/call.h"
#include "chassis/request.h"

enum { ANSWER_PIECE_BYTES = 64 * 1024 }; /* about as much is worth sending at once */

/* Makes the first piece of what call_answer_stream asked for and fills the response; an error of it
 * is the call's. `*goes_on` tells that more follows: then dispatch_leave is called at the end, by
 * the transport's thread, instead of by whoever answers. */
err answer_stream_begin(struct service *service, struct call *call, struct request *request,
                        bool *goes_on);
