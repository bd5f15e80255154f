#include "chassis/upstream_policy.h"

#include "base/err.h"

/* ---- One address ---- */

bool breaker_allows(const struct breaker *breaker, int64_t now_ms)
{
    ASSERT(breaker);
    return breaker->until_ms == 0 || (!breaker->tried && now_ms >= breaker->until_ms);
}

void breaker_ask(struct breaker *breaker)
{
    ASSERT(breaker);
    breaker->tried = breaker->until_ms > 0;
}

void breaker_succeed(struct breaker *breaker)
{
    ASSERT(breaker);
    *breaker = (struct breaker){ 0 };
}

void breaker_open(struct breaker *breaker, int64_t now_ms, uint32_t pause_ms, uint64_t random)
{
    ASSERT(breaker && pause_ms > 0);
    int64_t pause = (int64_t)pause_ms << breaker->openings;

    breaker->failures = 0;
    breaker->tried = false;
    breaker->until_ms = now_ms + pause - (int64_t)(random % ((uint64_t)pause / 4 + 1));
    if (breaker->until_ms < 1)
        breaker->until_ms = 1;
    if (breaker->openings < BREAKER_TIMES_MAX)
        breaker->openings++;
}

bool breaker_fail(struct breaker *breaker, int64_t now_ms, int failures_max, uint32_t pause_ms,
                  uint64_t random)
{
    ASSERT(breaker && failures_max > 0);
    bool is_tried = breaker->tried;

    if (breaker->until_ms > 0 && !is_tried)
        return false; /* one of those that were under way before */
    breaker->failures++;
    if (!is_tried && breaker->failures < failures_max)
        return false;
    breaker_open(breaker, now_ms, pause_ms, random);
    return true;
}

/* ---- Repeats ---- */

void retry_budget_earn(struct retry_budget *budget, int percent)
{
    ASSERT(budget && percent >= 0);
    budget->percents += percent;
    if (budget->percents > RETRY_BUDGET_MAX)
        budget->percents = RETRY_BUDGET_MAX;
}

bool retry_budget_spend(struct retry_budget *budget)
{
    enum { ONE = 100 };
    ASSERT(budget);

    if (budget->percents < ONE)
        return false;
    budget->percents -= ONE;
    return true;
}

/* ---- Balance ---- */

int pick_of_two(const int *loads, int count, uint64_t random)
{
    ASSERT(loads && count > 0);
    int a = (int)((uint32_t)random % (uint32_t)count);
    int b = count > 1 ? (int)((uint32_t)(random >> 32) % (uint32_t)(count - 1)) : 0;

    if (count > 1 && b >= a)
        b++; /* another one than the first */
    return loads[b] < loads[a] ? b : a;
}
