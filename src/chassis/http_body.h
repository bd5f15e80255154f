/* The body of a request as it comes, in memory that grows with what has come, not with what was
 * announced. Pure. */
#pragma once
#include "chassis/request.h"

struct http_body {
    struct arena *own; /* of a large one; it ends with the request's */
    size_t cap;
    uint64_t before; /* of a stream: bytes of the pieces that were taken */
};

/* Adds bytes to request->body. `announced` is what Content-Length said, 0 where it did not; the
 * body is at most `bytes_max`, which the caller has checked. Begins as { 0 }. */
void http_body_add(struct http_body *body, struct request *request, uint64_t announced,
                   uint32_t bytes_max, str bytes);

/* How much has come so far, pieces that were taken among it. */
uint64_t http_body_len(const struct http_body *body, const struct request *request);

/* How much may be added at once: where the body is a stream (request->stream), no more than makes
 * the piece in request->body whole. */
size_t http_body_room(const struct request *request);

/* The piece in request->body was taken: its room is used for the next one. */
void http_body_piece_taken(struct http_body *body, struct request *request);
