/* From a request to the message of its call, and from the answer to a response. Pure. */
#pragma once
#include "chassis/call.h"
#include "chassis/request.h"
#include "chassis/router.h"

/* Binds path, query and body to the call's request message and validates it. Fails with
 * PATH_MALFORMED, QUERY_MALFORMED, MEDIA_TYPE_UNSUPPORTED, JSON_…, FIELD_INVALID, FIELD_UNKNOWN. */
err binding_read(struct call *call, const struct route_match *match, const struct request *request,
                 const void **out);

/* Tells whether the body is of the media type `wanted`, whatever its parameters: fails with
 * MEDIA_TYPE_UNSUPPORTED. */
err binding_check_type(struct arena *arena, const struct request *request, str wanted);

/* Reads the headers that the contract wants: Idempotency-Key, If-Match, Prefer. Fails with
 * IDEMPOTENCY_KEY_REQUIRED, VERSION_REQUIRED. */
err binding_read_headers(struct call *call, const struct request *request);

/* Fills the response of a call that went well: body, status, ETag, Location; 304 where
 * If-None-Match matches. */
void binding_answer(struct call *call, struct request *request, const void *message, int status);

/* Tells whether If-None-Match lists the ETag (weak comparison): then the answer is 304. */
bool binding_is_known(const struct request *request, str etag);

/* The request's target without paging (`after`, `limit`): what a cursor is bound to. */
str binding_asked(struct arena *arena, const struct request *request);
