#include "chassis/answer_stream.h"

#include "counter.h"

TEST(an_answer_in_pieces_is_put_together_whole)
{
    struct counter *counter = counter_started(t);
    struct inline_client anyone = counter_anyone(counter);

    struct answer_seen answer = inline_get(&anyone, "/pieces/3");
    CHECK_STATUS(answer, 200);
    CHECK_STR(answer.content_type, "text/csv; charset=utf-8");
    CHECK_STR(inline_header(&answer, "content-disposition"), "attachment; filename=\"pieces.csv\"");
    CHECK_STR(inline_header(&answer, "cache-control"), "no-store");
    CHECK_STR(answer.body, "piece 3\npiece 2\npiece 1\n");
    answer = inline_get(&anyone, "/pieces/1");
    CHECK_STR(answer.body, "piece 1\n");
}

TEST(a_first_piece_that_fails_is_answered_with_its_status)
{
    struct counter *counter = counter_started(t);
    struct inline_client anyone = counter_anyone(counter);

    CHECK_STATUS(inline_get(&anyone, "/pieces/1"), 200);
    CHECK_PROBLEM(inline_get(&anyone, "/pieces/0"), 500, "db.failed");
    CHECK_PROBLEM(inline_get(&anyone, "/pieces/none"), 404, "not_found");
}

static bool none_under_way(void *counter)
{
    struct service *service = ((struct counter *)counter)->service;
    return __atomic_load_n(&service->calls_under_way, __ATOMIC_SEQ_CST) == 0;
}

/* counter_close waits for calls under way: a count that was lost would hold it for ever. */
TEST(a_service_stops_after_the_last_piece_was_asked_for)
{
    struct counter *counter = counter_started(t);
    struct inline_client anyone = counter_anyone(counter);

    for (int i = 0; i < 20; i++)
        CHECK_STATUS(inline_get(&anyone, i % 2 ? "/pieces/1" : "/pieces/5"), 200);
    CHECK(inline_until(none_under_way, counter));
    counter_close(counter);
    counter_reopen(counter);
}
