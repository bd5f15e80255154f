#include "chassis/upstream_policy.h"

#include "tests/lib/test.h"

enum { MAX = 3, PAUSE = 1000 };

static bool fail_at(struct breaker *breaker, int64_t now_ms)
{
    return breaker_fail(breaker, now_ms, MAX, PAUSE, 0);
}

TEST(an_address_is_left_alone_after_failures_in_a_row)
{
    struct breaker breaker = { 0 };

    CHECK(!fail_at(&breaker, 10) && !fail_at(&breaker, 11));
    breaker_succeed(&breaker); /* in a row, so they begin anew */
    CHECK(!fail_at(&breaker, 12) && !fail_at(&breaker, 13));
    CHECK(breaker_allows(&breaker, 13));
    CHECK(fail_at(&breaker, 14));
    CHECK(!breaker_allows(&breaker, 14) && !breaker_allows(&breaker, 14 + PAUSE - 1));
    CHECK(breaker_allows(&breaker, 14 + PAUSE));
}

TEST(one_request_shows_how_it_is_and_the_pause_doubles_until_it_is_well)
{
    struct breaker breaker = { 0 };
    int64_t now_ms = 1;

    breaker_open(&breaker, now_ms, PAUSE, 0);
    for (int i = 0; i < 8; i++) {
        int64_t pause = (int64_t)PAUSE << (i < BREAKER_TIMES_MAX ? i : BREAKER_TIMES_MAX);
        CHECK(!breaker_allows(&breaker, now_ms + pause - 1));
        now_ms += pause;
        CHECK(breaker_allows(&breaker, now_ms));
        breaker_ask(&breaker);
        CHECK(!breaker_allows(&breaker, now_ms)); /* one at a time */
        CHECK(fail_at(&breaker, now_ms));
    }
    now_ms += (int64_t)PAUSE << BREAKER_TIMES_MAX;
    breaker_ask(&breaker);
    breaker_succeed(&breaker);
    CHECK(breaker_allows(&breaker, now_ms) && !fail_at(&breaker, now_ms));
}

TEST(what_was_under_way_before_does_not_lengthen_the_pause)
{
    struct breaker breaker = { 0 };

    breaker_open(&breaker, 1, PAUSE, 0);
    for (int i = 0; i < 10; i++)
        CHECK(!fail_at(&breaker, 2));
    CHECK(breaker_allows(&breaker, 1 + PAUSE));
}

TEST(chance_shortens_a_pause_by_a_quarter_at_most)
{
    for (uint64_t random = 0; random < 2000; random += 7) {
        struct breaker breaker = { 0 };
        breaker_open(&breaker, 5000, PAUSE, random);
        CHECK(breaker.until_ms <= 5000 + PAUSE && breaker.until_ms >= 5000 + PAUSE * 3 / 4);
    }
}

TEST(repeats_are_a_part_of_the_requests_and_no_more_than_ten_at_once)
{
    struct retry_budget budget = { 0 };

    CHECK(!retry_budget_spend(&budget));
    for (int i = 0; i < 10; i++)
        retry_budget_earn(&budget, 20);
    CHECK(retry_budget_spend(&budget) && retry_budget_spend(&budget));
    CHECK(!retry_budget_spend(&budget));
    for (int i = 0; i < 1000; i++)
        retry_budget_earn(&budget, 20);
    int spent = 0;
    while (retry_budget_spend(&budget))
        spent++;
    CHECK_INT(spent, 10);
    retry_budget_earn(&budget, 0);
    CHECK(!retry_budget_spend(&budget));
}

TEST(of_two_the_one_with_less_to_do_is_picked_and_all_are_in_time)
{
    int loads[] = { 5, 5, 5, 5 }, seen[4] = { 0 };
    uint64_t random = 88172645463325252u;

    CHECK_INT(pick_of_two(loads, 1, 77), 0);
    for (int i = 0; i < 4000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        seen[pick_of_two(loads, 4, random)]++;
    }
    for (int i = 0; i < 4; i++)
        CHECK(seen[i] > 800 && seen[i] < 1200);
    loads[2] = 9; /* the busiest of two is never picked, whoever the other is */
    for (int i = 0; i < 4000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        CHECK(pick_of_two(loads, 4, random) != 2);
    }
}
