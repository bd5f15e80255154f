#include "chassis/http2_guard.h"

#include "tests/lib/test.h"

TEST(a_burst_is_allowed_and_one_more_is_not)
{
    struct http2_guard guard = { .seen_ms = 1000 };

    for (int i = 0; i < HTTP2_RESETS_BURST; i++)
        CHECK(http2_guard_reset(&guard, 1000));
    CHECK(!http2_guard_reset(&guard, 1000));
    for (int i = 0; i < HTTP2_ASIDES_BURST; i++)
        CHECK(http2_guard_aside(&guard, 1000));
    CHECK(!http2_guard_aside(&guard, 1000));
}

TEST(what_comes_slowly_enough_is_allowed_for_ever)
{
    struct http2_guard guard = { .seen_ms = 0 };

    for (int i = 0; i < 10 * HTTP2_RESETS_BURST; i++)
        CHECK(http2_guard_reset(&guard, i * (1000 / HTTP2_RESETS_A_SECOND)));
}

TEST(a_bucket_is_full_again_after_its_time_and_holds_no_more)
{
    struct http2_guard guard = { .seen_ms = 0 };

    for (int i = 0; i <= HTTP2_RESETS_BURST; i++)
        (void)http2_guard_reset(&guard, 0);
    for (int i = 0; i < HTTP2_RESETS_BURST; i++)
        CHECK(http2_guard_reset(&guard, INT64_MAX / 2000));
    CHECK(!http2_guard_reset(&guard, INT64_MAX / 2000));
}

TEST(a_clock_that_stands_still_gives_nothing_back)
{
    struct http2_guard guard = { .seen_ms = 5000 };

    for (int i = 0; i < HTTP2_RESETS_BURST; i++)
        CHECK(http2_guard_reset(&guard, 4000));
    CHECK(!http2_guard_reset(&guard, 4000));
}
