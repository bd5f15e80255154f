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
    SLOT_US = 10 * 1000,
    UNDER_WAY_MIN = 256 /* are no flood */
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

/* As many as come through in the time that each may wait: so many under way keep all busy, and none
 * waits longer. */
static double may_wait(const struct admission *admission)
{
    double most = admission->through * (double)target_of(admission) / 1e6;
    return most > WORKS_MIN ? most : WORKS_MIN;
}

static void judge(struct admission *admission, int64_t took_us)
{
    double rate = (double)admission->reached * 1e6 / (double)took_us;
    double of_late = admission->through * THROUGH_DECAY;
    admission->through = rate > of_late ? rate : of_late;
    if (admission->youngest_us < target_of(admission))
        return;
    admission->calm = admission->limited ? admission->calm : 0;
    admission->limited = true;
}

/* ---- how many are under way ---- */

static int64_t *mark_of(struct admission *admission, int64_t slot)
{
    return &admission->let_in_before[slot % ADMISSION_SLOTS];
}

static void go_to_slot(struct admission *admission, int64_t now_us)
{
    int64_t slot = now_us / SLOT_US;
    if (admission->slot < slot - ADMISSION_SLOTS)
        admission->slot = slot - ADMISSION_SLOTS;
    while (admission->slot < slot)
        *mark_of(admission, ++admission->slot) = admission->let_in;
}

/* How many had been let in by then. */
static double let_in_by(struct admission *admission, int64_t then_us)
{
    int64_t slot = then_us / SLOT_US, oldest = admission->slot - ADMISSION_SLOTS + 1;
    if (slot < oldest)
        return (double)*mark_of(admission, oldest);
    if (slot >= admission->slot)
        return (double)*mark_of(admission, admission->slot);
    double before = (double)*mark_of(admission, slot);
    double in_slot = (double)*mark_of(admission, slot + 1) - before;
    return before + in_slot * (double)(then_us % SLOT_US) / SLOT_US;
}

/* They are reached in turn, so all that were let in after the last one that was reached. */
static double under_way(struct admission *admission)
{
    return (double)admission->let_in - let_in_by(admission, admission->front_us);
}

/* Something comes through, and much more is under way than may wait. */
static bool is_flood(struct admission *admission, int64_t now_us)
{
    double count = under_way(admission);
    return now_us - admission->reached_us < WINDOW_US && count >= UNDER_WAY_MIN &&
           count >= 2 * may_wait(admission);
}

static void end_window(struct admission *admission, int64_t now_us)
{
    int64_t took_us = now_us - admission->window_us;
    if (took_us < WINDOW_US || (admission->reached < WORKS_MIN && took_us < WINDOW_US_MAX))
        return;
    if (admission->reached >= WORKS_MIN) {
        learn_base(admission, now_us);
        judge(admission, took_us);
    } else {
        admission->limited = false;
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
    admission->reached_us = now_us;
    if (admission->front_us < now_us - age_us)
        admission->front_us = now_us - age_us;
    if (admission->reached++ == 0 || age_us < admission->youngest_us)
        admission->youngest_us = age_us;
}

bool admission_take(struct admission *admission, int64_t now_us)
{
    ASSERT(admission);
    end_window(admission, now_us);
    if (admission->target_us == 0)
        return true;
    go_to_slot(admission, now_us);
    bool is_full = admission->limited ? under_way(admission) >= may_wait(admission)
                                      : is_flood(admission, now_us);
    if (is_full)
        admission->refused++;
    else
        admission->let_in++;
    return !is_full;
}
