#include "chassis/admission.h"

#include "base/err.h"

enum {
    WINDOW_US = 100 * 1000,
    WORKS_MIN = 20,             /* in a window: fewer say nothing about a queue */
    TARGET_US_MIN = 250 * 1000, /* as workers.c has it */
    BASE_US_MAX = 500 * 1000,   /* as slow as a broker may be by nature */
    TARGETS_A_BASE = 4,
    BASE_DRIFT = 6000, /* by one in so many each window: what was fast once may be slow for good */
    CALM_WINDOWS = 10,
    BURST_MS = 20
};

static int64_t target_of(const struct admission *admission)
{
    int64_t target_us = TARGETS_A_BASE * admission->base_us;
    return target_us > TARGET_US_MIN ? target_us : TARGET_US_MIN;
}

static void learn_base(struct admission *admission)
{
    int64_t base_us = admission->base_us + admission->base_us / BASE_DRIFT;
    if (base_us == 0 || admission->youngest_us < base_us)
        base_us = admission->youngest_us;
    admission->base_us = base_us < BASE_US_MAX ? base_us : BASE_US_MAX;
}

/* The longer the queue, the less of what comes through is let in; where it is short, a little more.
 */
static void judge(struct admission *admission, int64_t took_us)
{
    double rate = (double)admission->reached * 1e6 / (double)took_us;
    double share = (double)target_of(admission) / (double)(admission->youngest_us + 1);
    if (share < 1) {
        admission->calm = admission->limited ? admission->calm : 0;
        admission->limited = true;
        admission->rate = rate * (share < 0.1 ? 0.1 : share);
    } else if (share > 2) { /* little stands any more */
        admission->rate = (rate > admission->rate ? rate : admission->rate) * 1.1;
    } else {
        admission->rate = rate;
    }
}

static void end_window(struct admission *admission, int64_t now_us)
{
    int64_t took_us = now_us - admission->window_us;
    if (took_us < WINDOW_US)
        return;
    if (admission->reached >= WORKS_MIN) {
        learn_base(admission);
        judge(admission, took_us);
    } else if (admission->limited) {
        admission->rate *= 2;
    }
    int64_t windows = took_us / WINDOW_US;
    admission->calm =
        admission->refused > 0 ? 0 : admission->calm + (int)(windows < 100 ? windows : 100);
    admission->limited = admission->limited && admission->calm < CALM_WINDOWS;
    admission->window_us = now_us;
    admission->reached = admission->refused = 0;
}

void admission_reached(struct admission *admission, int64_t age_us, int64_t now_us)
{
    ASSERT(admission);
    end_window(admission, now_us);
    age_us = age_us < 0 ? 0 : age_us;
    if (admission->reached++ == 0 || age_us < admission->youngest_us)
        admission->youngest_us = age_us;
}

bool admission_take(struct admission *admission, int64_t now_us)
{
    ASSERT(admission);
    end_window(admission, now_us);
    double room = admission->rate * BURST_MS / 1000 + 1;
    admission->tokens += admission->rate * (double)(now_us - admission->filled_us) / 1e6;
    admission->tokens = admission->tokens < room ? admission->tokens : room;
    admission->filled_us = now_us;
    if (!admission->limited)
        return true;
    if (admission->tokens < 1) {
        admission->refused++;
        return false;
    }
    admission->tokens -= 1;
    return true;
}
