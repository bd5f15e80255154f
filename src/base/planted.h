/* Bugs that are planted to see that the simulation finds them (make sim-mutants). Not a switch of
 * the product: without the build option `planted`, PLANTED(x) is false and leaves no code. With it
 * the test names the one bug that is there. Each lies where such a bug would lie,
 * and most are one line. */
#pragma once
#include <stdbool.h>

#ifdef DUKA_PLANTED
#include <string.h>

__attribute__((weak)) const char *planted_name; /* set by the test; NULL: none */

static inline bool planted_is(const char *name)
{
    return planted_name && strcmp(planted_name, name) == 0;
}
#define PLANTED(name) planted_is(#name)
#else
#define PLANTED(name) false
#endif
