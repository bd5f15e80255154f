#include "os/clock.h"

#include "base/err.h"

#include <time.h>

static int64_t machine_read_us(clockid_t clock)
{
    struct timespec now;
    int rc = clock_gettime(clock, &now);
    ASSERT(rc == 0);
    return (int64_t)now.tv_sec * TIME_SECOND + now.tv_nsec / 1000;
}

static int64_t machine_mono_us(void) { return machine_read_us(CLOCK_MONOTONIC); }

static time_us machine_wall_us(void) { return machine_read_us(CLOCK_REALTIME); }

const struct clock_ops clock_machine = {
    .mono_us = &machine_mono_us,
    .wall_us = &machine_wall_us,
};

static const struct clock_ops *clock_now = &clock_machine;

void clock_use(const struct clock_ops *ops)
{
    ASSERT(ops && ops->mono_us && ops->wall_us);
    clock_now = ops;
}

int64_t clock_mono_us(void) { return clock_now->mono_us(); }

time_us clock_wall_us(void) { return clock_now->wall_us(); }
