#include "chassis/http_body.h"

#include <string.h>

enum {
    SMALL_BYTES = 32 * 1024, /* up to here a body lies in the request's arena */
    FIRST_BYTES = 4 * 1024,  /* where nobody said how much will come */
    LARGE_FIRST_BYTES = 64 * 1024,
    OWN_SPARE_BYTES = 1024 * 1024
};

static void close_arena(void *arena) { arena_close(arena); }

static size_t next_cap(const struct http_body *body, uint64_t announced, size_t wanted)
{
    size_t cap = 2 * body->cap;

    if (cap == 0 && announced > 0)
        cap = announced <= SMALL_BYTES ? (size_t)announced : LARGE_FIRST_BYTES;
    else if (cap == 0)
        cap = FIRST_BYTES;
    while (cap < wanted)
        cap *= 2;
    return cap;
}

static void reserve(struct http_body *body, struct request *request, uint64_t announced,
                    uint32_t bytes_max, size_t more)
{
    str *bytes = &request->body;
    if (more <= body->cap - bytes->len)
        return;

    bool in_pieces = request->stream != NULL;
    size_t cap = in_pieces ? STREAM_PIECE_BYTES : next_cap(body, announced, bytes->len + more);
    size_t own_max = in_pieces ? STREAM_PIECE_BYTES : 4 * (size_t)bytes_max;
    bool moves = cap > SMALL_BYTES && !body->own;
    ASSERT(bytes->len + more <= cap); /* http_body_room saw to it */
    if (moves) {
        body->own = arena_open(own_max + OWN_SPARE_BYTES);
        arena_defer(request->arena, &close_arena, body->own);
    }
    struct arena *arena = body->own ? body->own : request->arena;
    char *room = moves ? arena_grow(arena, NULL, 0, cap)
                       : arena_grow(arena, (void *)(uintptr_t)bytes->ptr, body->cap, cap);
    if (moves && bytes->len > 0)
        memcpy(room, bytes->ptr, bytes->len);
    bytes->ptr = room;
    body->cap = cap;
}

void http_body_add(struct http_body *body, struct request *request, uint64_t announced,
                   uint32_t bytes_max, str bytes)
{
    ASSERT(body && request);
    ASSERT(http_body_len(body, request) + bytes.len <= bytes_max);

    reserve(body, request, announced, bytes_max, bytes.len);
    memcpy((char *)(uintptr_t)request->body.ptr + request->body.len, bytes.ptr, bytes.len);
    request->body.len += bytes.len;
}

uint64_t http_body_len(const struct http_body *body, const struct request *request)
{
    ASSERT(body && request);
    return body->before + request->body.len;
}

size_t http_body_room(const struct request *request)
{
    ASSERT(request);
    return request->stream ? STREAM_PIECE_BYTES - request->body.len : SIZE_MAX;
}

void http_body_piece_taken(struct http_body *body, struct request *request)
{
    ASSERT(body && request && request->stream);
    body->before += request->body.len;
    request->body.len = 0;
}
