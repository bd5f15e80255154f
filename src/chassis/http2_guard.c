#include "chassis/http2_guard.h"

#include "base/err.h"

enum { THOUSAND = 1000, FOREVER_MS = 3600 * 1000 };

static void refill(int64_t *used, int64_t a_second, int64_t passed_ms)
{
    *used -= a_second * passed_ms;
    if (*used < 0)
        *used = 0;
}

static void pass_time(struct http2_guard *guard, int64_t now_ms)
{
    int64_t passed_ms = now_ms - guard->seen_ms;

    if (passed_ms <= 0)
        return;
    if (passed_ms > FOREVER_MS)
        passed_ms = FOREVER_MS;
    guard->seen_ms = now_ms;
    refill(&guard->resets, HTTP2_RESETS_A_SECOND, passed_ms);
    refill(&guard->asides, HTTP2_ASIDES_A_SECOND, passed_ms);
}

static bool take(int64_t *used, int64_t burst)
{
    *used += THOUSAND;
    return *used <= burst * THOUSAND;
}

bool http2_guard_reset(struct http2_guard *guard, int64_t now_ms)
{
    ASSERT(guard);
    pass_time(guard, now_ms);
    return take(&guard->resets, HTTP2_RESETS_BURST);
}

bool http2_guard_aside(struct http2_guard *guard, int64_t now_ms)
{
    ASSERT(guard);
    pass_time(guard, now_ms);
    return take(&guard->asides, HTTP2_ASIDES_BURST);
}
