/* What a seed that broke a rule has to say to people: which of its faults are needed (shrink.h),
 * and what happened, as far as it concerns what the rule was broken for. */
#pragma once
#include "tests/sim/job.h"

/* Runs the seed again, as often as that takes, at most `tries_max` times, and prints the story. */
void retell(struct job *failed, int tries_max);
