/* What happens in a run, line by line at virtual times, and how a run ends that broke a rule.
 *
 * The last lines are always kept, for whoever has to explain a violation; all are printed where the
 * run is told loudly. */
#pragma once
#include "base/str.h"

enum { STORY_EXIT = 3 }; /* of a process that saw a rule broken */

/* Begins anew. */
void story_open(uint64_t seed, bool is_loud);

/* Under the baton lines have times; before and after it they have none. */
void story_clock(bool runs);

/* Adds a line. */
void story_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A rule of the shop was broken: prints which, the seed, the last lines and how to see it again;
 * ends the process with STORY_EXIT. */
_Noreturn void story_violated(const char *rule, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same where the condition does not hold. */
#define RULE(condition, rule, ...) ((condition) ? (void)0 : story_violated((rule), __VA_ARGS__))

/* Whatever aborts the process prints the last lines, too. */
void story_on_abort(void);

/* What is done before a run ends badly; safe in a signal handler. NULL: nothing. */
void story_leave_with(void (*leave)(void));
