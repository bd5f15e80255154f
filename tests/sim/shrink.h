/* Makes a list of faults as short as it can be and still break the same rule: Zeller's ddmin.
 * Leaves out half of them, a quarter, …, and goes on with what still breaks; what is left breaks no
 * more where any single one is left out, if there was time to see that. */
#pragma once
#include "tests/sim/faults.h"

/* Whether the run still breaks with these faults only. */
typedef bool shrink_breaks(void *subject, const struct fault *faults, int count);

/* Leaves in `faults` what is needed and gives how many those are. Calls `breaks` at most
 * `tries_max` times; all of `faults` are known to break. */
int shrink(struct fault *faults, int count, int tries_max, shrink_breaks *breaks, void *subject);
