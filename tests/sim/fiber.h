/* Stacks that take turns on one thread of the machine: what the baton's threads are. To go from one
 * to the other costs tens of nanoseconds, where a wake-up between two threads of the machine costs
 * microseconds; and one that is never switched to again leaves nothing behind but memory.
 *
 * Each has its own thread-local variables of the program, as if it were a thread: they are copied
 * in and out. Those of shared libraries are shared. AddressSanitizer is told of each switch. */
#pragma once
#include <stddef.h>

struct fiber;

/* The stack that the caller runs on. Freed with fiber_free, from anywhere. */
struct fiber *fiber_of_caller(void);

/* A new stack, that will run `run`, which must not return: it leaves with fiber_leave. */
struct fiber *fiber_make(void (*run)(void *subject), void *subject, size_t stack_bytes);

/* Goes on with `to`; comes back when somebody switches to `self`. */
void fiber_switch(struct fiber *self, struct fiber *to);

/* Goes on with `to`, for ever. */
_Noreturn void fiber_leave(struct fiber *self, struct fiber *to);

/* Where one that rests will go on, and who called that, from the inside out: at most `count_max`
 * places in the code; tells how many. None where it is not known. */
int fiber_places(const struct fiber *fiber, const void **out, int count_max);

/* Of one that does not run; accepts NULL. */
void fiber_free(struct fiber *fiber);
