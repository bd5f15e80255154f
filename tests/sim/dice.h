/* Chance in a run: from the baton's stream for tests, so that the seed decides. */
#pragma once
#include "tests/sim/baton.h"
#include <stdbool.h>

/* A number from 0 to n - 1. */
static inline int dice(int n) { return (int)(baton_random() % (uint64_t)n); }

/* True once in n times; never where n is 0. */
static inline bool dice_one_in(int n) { return n > 0 && dice(n) == 0; }

/* Microseconds below `us_max`. */
static inline int64_t dice_us(int64_t us_max)
{
    return us_max > 0 ? (int64_t)(baton_random() % (uint64_t)us_max) : 0;
}
