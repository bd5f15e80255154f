#include "chassis/admission.h"

#include "base/err.h"

enum {
    WINDOW_US = 100 * 1000,
    WINDOW_US_MAX = 1000 * 1000,
    WORKS_MIN =
        20, /* in a window, which is longer where fewer come: fewer say nothing about a queue */
    BASE_US_MAX = 500 * 1000, /* as slow as a broker may be by nature */
    TARGETS_A_BASE = 3,
    BASE_DRIFT = 6000, /* by one in so many each window: what was fast once may be slow for good */
    CALM_WINDOWS = 10,
    SETTLING_US = 2000 * 1000,
    UNDER_WAY_MIN = 256, /* are no flood */
    BURST_MS = 20
};

#define THROUGH_DECAY 0.98 /* by a fiftieth each window */

static int64_t target_of(const struct admission *admission)
{
    int64_t target_us = TARGETS_A_BASE * admission->base_us;
    return target_us > admission->target_us ? target_us : admission->target_us;
}

/* Long beyond the target, and not much shorter than ever since it was, though less has been let in
 * than comes through: what is reached now was let in as long ago as it is old, and four times that
 * is time enough for a queue to become a good part shorter. */
static bool is_slow_by_nature(struct admission *admission, int64_t now_us)
{
    int64_t age_us = admission->youngest_us;
    if (!admission->limited || 2 * age_us <= 3 * target_of(admission)) {
        admission->longest_us = 0;
        return false;
    }
    if (admission->longest_us == 0)
        admission->long_since_us = now_us;
    if (admission->longest_us < age_us)
        admission->longest_us = age_us;
    return 4 * age_us >= 3 * admission->longest_us &&
           now_us - admission->long_since_us >= 4 * age_us + SETTLING_US;
}

static void learn_base(struct admission *admission, int64_t now_us)
{
    int64_t base_us = admission->base_us + admission->base_us / BASE_DRIFT;
    if (base_us == 0 || admission->youngest_us < base_us)
        base_us = admission->youngest_us;
    if (is_slow_by_nature(admission, now_us))
        base_us = admission->youngest_us * 3 / 4;
    admission->base_us = base_us < BASE_US_MAX ? base_us : BASE_US_MAX;
}

/* The longer the queue, the less of what comes through is let in, but a quarter of what has come
 * through of late: less than what was let in cannot come, and so it would end with nothing. Where
 * the queue is short, a little more. */
static void judge(struct admission *admission, int64_t took_us)
{
    double rate = (double)admission->reached * 1e6 / (double)took_us;
    double share = (double)target_of(admission) / (double)(admission->youngest_us + 1);
    double of_late = admission->through * THROUGH_DECAY;
    admission->through = rate > of_late ? rate : of_late;
    if (share < 1) {
        admission->calm = admission->limited ? admission->calm : 0;
        admission->limited = true;
        admission->rate = rate * share;
        if (admission->rate < admission->through / 4)
            admission->rate = admission->through / 4;
    } else if (share > 2) { /* little stands any more */
        admission->rate = (rate > admission->rate ? rate : admission->rate) * 1.1;
    } else {
        admission->rate = rate * 1.05; /* a busy machine may be this slow without a queue */
    }
}

/* What is never reached (a repeat, a call that failed) is not under way for ever: by Little's law
 * as many are as come through in the time that each takes. */
static void recount(struct admission *admission, int64_t took_us)
{
    int64_t most = 0;
    if (admission->reached >= WORKS_MIN)
        most = WORKS_MIN + 2 * admission->reached * admission->youngest_us / took_us;
    if (admission->under_way > most)
        admission->under_way = most;
}

/* Something comes through, and much more is under way than may wait. */
static bool is_flood(const struct admission *admission, int64_t now_us)
{
    double most = 2 * admission->through * (double)target_of(admission) / 1e6;
    return admission->is_alone && now_us - admission->reached_us < WINDOW_US &&
           admission->under_way >= UNDER_WAY_MIN && (double)admission->under_way >= most;
}

static void end_window(struct admission *admission, int64_t now_us)
{
    int64_t took_us = now_us - admission->window_us;
    if (took_us < WINDOW_US || (admission->reached < WORKS_MIN && took_us < WINDOW_US_MAX))
        return;
    if (admission->reached >= WORKS_MIN) {
        learn_base(admission, now_us);
        judge(admission, took_us);
    } else if (admission->limited) {
        admission->rate *= 2;
    }
    recount(admission, took_us);
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
    admission->reached_us = now_us;
    if (admission->under_way > 0)
        admission->under_way--;
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
    if (admission->target_us == 0)
        return true;
    if (is_flood(admission, now_us) || (admission->limited && admission->tokens < 1)) {
        admission->refused++;
        return false;
    }
    if (admission->limited)
        admission->tokens -= 1;
    admission->under_way++;
    return true;
}
