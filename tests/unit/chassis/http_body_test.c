#include "chassis/http_body.h"

#include "tests/lib/test.h"

static const uint32_t LIMIT = 4 * 1024 * 1024;

/* Adds `total` bytes in pieces, and checks that they came as they went. */
static void check_pieces(struct test *t, uint64_t announced, size_t total, size_t piece)
{
    struct arena *arena = arena_open(1024 * 1024);
    struct request request = { .arena = arena };
    struct http_body body = { 0 };
    char *bytes = arena_alloc(t->arena, total, 1);
    for (size_t i = 0; i < total; i++)
        bytes[i] = (char)(i * 7 / 3);

    for (size_t at = 0; at < total; at += piece)
        http_body_add(&body, &request, announced, LIMIT,
                      str_slice(str_of(bytes, total), at, piece));
    CHECK_INT(request.body.len, total);
    CHECK_BYTES(request.body.ptr, bytes, total);
    arena_close(arena);
}

TEST(a_body_comes_whole_in_whatever_pieces)
{
    static const size_t totals[] = { 1, 100, 4096, 4097, 32768, 32769, 100000, 3000000 };
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        check_pieces(t, 0, totals[i], 1000);
        check_pieces(t, totals[i], totals[i], 1000);
        check_pieces(t, 0, totals[i], totals[i]);
        check_pieces(t, totals[i], totals[i], totals[i]);
    }
}

TEST(a_large_body_does_not_count_against_the_requests_own_memory)
{
    struct arena *arena = arena_open(200 * 1024);
    struct request request = { .arena = arena };
    struct http_body body = { 0 };
    char *bytes = arena_alloc(t->arena, 1024 * 1024, 1);

    http_body_add(&body, &request, 0, LIMIT, str_of(bytes, 1024 * 1024));
    CHECK(arena_used(arena) < 1024);
    CHECK_INT(request.body.len, 1024 * 1024);
    arena_close(arena);
}

TEST(what_was_announced_is_not_reserved_before_it_comes)
{
    struct arena *arena = arena_open(200 * 1024);
    struct request request = { .arena = arena };
    struct http_body body = { 0 };

    http_body_add(&body, &request, 3 * 1024 * 1024, LIMIT, STR("a"));
    CHECK(body.cap <= 64 * 1024);
    arena_close(arena);
}

static void take(struct request *request) { (void)request; }

TEST(a_stream_has_room_for_one_piece_at_a_time)
{
    struct arena *arena = arena_open(200 * 1024);
    struct body_stream stream = { .take = take };
    struct request request = { .arena = arena, .stream = &stream };
    struct http_body body = { 0 };
    char *bytes = arena_alloc(t->arena, STREAM_PIECE_BYTES, 1);

    for (int i = 1; i <= 4; i++) {
        CHECK_INT(http_body_room(&request), STREAM_PIECE_BYTES);
        http_body_add(&body, &request, 0, LIMIT, str_of(bytes, 1000));
        CHECK_INT(http_body_room(&request), STREAM_PIECE_BYTES - 1000);
        http_body_add(&body, &request, 0, LIMIT, str_of(bytes, STREAM_PIECE_BYTES - 1000));
        CHECK_INT(http_body_room(&request), 0);
        CHECK_INT(http_body_len(&body, &request), i * (int64_t)STREAM_PIECE_BYTES);
        http_body_piece_taken(&body, &request);
    }
    arena_close(arena);
}
