/* The two clocks. Monotonic for timers and deadlines, wall for records. The simulator swaps both,
 * together with os/sync, whose deadlines are in monotonic time. */
#pragma once
#include "base/time.h"

struct clock_ops {
    int64_t (*mono_us)(void);
    time_us (*wall_us)(void);
};

extern const struct clock_ops clock_machine;

/* Replaces the clocks for the whole process; before any thread starts. */
void clock_use(const struct clock_ops *ops);

/* Microseconds that only grow; no meaning outside this boot. */
int64_t clock_mono_us(void);

/* Microseconds since 1970 UTC; may jump. */
time_us clock_wall_us(void);
