#include "tests/sim/plan.h"
#include <stdarg.h>
#include <stdio.h>

static const int64_t ms = 1000, second = 1000 * 1000;

/* splitmix64: the plan must be known before the baton is. */
static uint64_t next(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static int between(uint64_t *state, int least, int most)
{
    return least + (int)(next(state) % (uint64_t)(most - least + 1));
}

__attribute__((format(printf, 2, 3))) static void set(struct plan *plan, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(plan->settings[plan->settings_count++], PLAN_SETTING_BYTES, format, args);
    va_end(args);
}

/* Calm in one of six; else each kind of trouble in most. */
static struct plan_bus bus_of(uint64_t *state)
{
    struct plan_bus bus = { .late_us = between(state, 1, 400) * ms,
                            .lost_us = between(state, 1, 20) * second };
    if (between(state, 1, 6) == 1)
        return bus;
    if (between(state, 1, 4) > 1)
        bus.late_one_in = between(state, 1, 8);
    if (between(state, 1, 4) > 1)
        bus.lost_one_in = between(state, 6, 40);
    if (between(state, 1, 4) > 1)
        bus.repeat_one_in = between(state, 2, 12);
    if (between(state, 1, 3) == 1)
        bus.cut_one_in = between(state, 60, 400);
    bus.cut_us = between(state, 1, 30) * second;
    return bus;
}

/* Calls between services are few, so that what happens to them happens often. */
static struct plan_peers peers_of(uint64_t *state)
{
    struct plan_peers peers = { .late_us = between(state, 1, 4000) * ms,
                                .cut_us = between(state, 1, 10) * second };
    if (between(state, 1, 3) == 1)
        return peers;
    if (between(state, 1, 2) == 1)
        peers.away_one_in = between(state, 2, 10);
    if (between(state, 1, 2) == 1)
        peers.late_one_in = between(state, 2, 10);
    if (between(state, 1, 2) == 1)
        peers.lost_one_in = between(state, 2, 10);
    if (between(state, 1, 2) == 1)
        peers.cut_one_in = between(state, 10, 60);
    return peers;
}

int64_t plan_slack_us(const struct plan *plan)
{
    enum { CALLS_IN_TURN_MAX = 20 };
    return plan->peers.late_one_in > 0 ? CALLS_IN_TURN_MAX * plan->peers.late_us : 0;
}

bool plan_has_one_clock(const struct plan *plan)
{
    return plan->wall_jumps == 0 && plan->drift_us == 0;
}

static void set_settings(struct plan *plan, uint64_t *state)
{
    int hold_s = between(state, 1, 2) == 1 ? between(state, 1, 5) : between(state, 6, 40);
    plan->hold_us = hold_s * second;
    plan->captures_at_confirm = between(state, 1, 4) > 1;
    set(plan, "HOLD_TIME=%ds", hold_s);
    set(plan, "PAYMENT_CAPTURE=%s", plan->captures_at_confirm ? "confirm" : "fulfil");
    set(plan, "PAYMENT_TIMEOUT=%dms", between(state, 1, 50) * 100);
    set(plan, "PAYMENT_LANES=%d", between(state, 1, 6));
    set(plan, "PAYMENT_SWEEP_INTERVAL=%ds", between(state, 2, 30));
    set(plan, "WORKERS=%d", between(state, 1, 5));
    set(plan, "QUEUE_MAX=%d", between(state, 1, 4) == 1 ? 16 : 256);
    set(plan, "STOCK_LOW=%d", between(state, 0, 4));
    set(plan, "WRITE_BATCH_MAX=%d", between(state, 1, 3) == 1 ? between(state, 1, 6) : 512);
    set(plan, "ERASURE_INTERVAL=10s");
    set(plan, "RATE_LIMIT=1000000"); /* all of them are at one address */
    set(plan, "RATE_LIMIT_SIGN_IN=1000000");
    set(plan, "LOG_LEVEL=error");
}

/* In half of the runs the shop is killed; in a third its disk is not what it should be. A failed
 * sync ends the process, so that it counts among the crashes that clients must live with. What a
 * machine cuts short only the library sees, and it costs a machine's files: in a quarter of these.
 */
static void set_crashes(struct plan *plan, uint64_t *state)
{
    plan->crashes = between(state, 1, 2) == 1 ? between(state, 1, 4) : 0;
    if (between(state, 1, 3) == 1) {
        plan->disk_breaks = between(state, 2, 20);
        plan->cut_one_in = between(state, 1, 4) == 1 ? between(state, 2, 20) : 0;
        plan->crashes += 1;
    }
}

struct plan plan_of(uint64_t seed)
{
    uint64_t state = seed ^ UINT64_C(0x5368306b5df2a1c7);
    static const int64_t thinks[] = { 0, 20 * ms, 400 * ms, 1500 * ms };
    struct plan plan = {
        .seed = seed,
        .has_digest = true,
        .shoppers_count = between(&state, 4, PLAN_SHOPPERS_MAX),
        .asks_each = between(&state, 14, 26),
        .staff_count = between(&state, 1, 2),
        .staff_asks = between(&state, 30, 60),
        .bank_asks = between(&state, 10, 40),
        .skus_count = between(&state, 1, 6), /* one: a flash sale */
        .stock_max = between(&state, 4, 120),
        .think_us = thinks[between(&state, 0, 3)],
        .burst_max = between(&state, 1, 6),
        .bus = bus_of(&state),
        .restarts = between(&state, 1, 3) == 1 ? between(&state, 1, 2) : 0,
        .wall_jumps = between(&state, 1, 10) == 1 ? PLAN_WALL_JUMPS_MAX : 0,
        .disk_faults = between(&state, 1, 3) == 1 ? between(&state, 3, 40) : 0,
        .has_account = between(&state, 1, 4) == 1,
    };
    set_settings(&plan, &state);
    set_crashes(&plan, &state);
    plan.peers = peers_of(&state);
    plan.suspends = plan.has_account && plan.wall_jumps == 0 && between(&state, 1, 2) == 1;
    plan.imports = between(&state, 1, 3) == 1;
    plan.erases = plan.has_account && between(&state, 1, 3) > 1;
    plan.drift_us = between(&state, 1, 5) == 1 ? between(&state, 1, 2000) * ms : 0;
    plan.refused_one_in = between(&state, 1, 4) == 1 ? between(&state, 20, 200) : 0;
    plan.swizzles = between(&state, 1, 4) == 1 ? between(&state, 1, 3) : 0;
    plan.is_apart = between(&state, 1, 4) == 1;
    if (plan.is_apart) { /* what is revoked is heard a second later; letters lie in three places */
        plan.suspends = false;
        plan.refused_one_in = 0;
    }
    return plan;
}

struct plan plan_small(uint64_t seed)
{
    struct plan plan = plan_of(seed);
    plan.shoppers_count = 4;
    plan.asks_each = 14;
    plan.staff_count = 1;
    plan.staff_asks = 40;
    plan.bank_asks = 20;
    plan.skus_count = 3;
    plan.stock_max = 60;
    plan.think_us = 300 * ms;
    plan.restarts = plan.wall_jumps = plan.disk_faults = 0;
    plan.crashes = plan.disk_breaks = plan.cut_one_in = 0;
    plan.drift_us = plan.refused_one_in = plan.swizzles = 0;
    plan.has_account = plan.suspends = plan.erases = plan.imports = plan.is_apart = false;
    return plan;
}
