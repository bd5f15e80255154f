/* A few threads that work through subjects of a service, each by its id: calls to the outside that
 * may take long, and must not hold a worker (payments).
 *
 * A subject is in one lane at a time; one that is given again meanwhile is run again after it. What
 * finds no room is not kept: whoever gives has it in a table and gives it again. That is late, and
 * others overtake it, so there is room for more than ever wait with a service that is well.
 *
 * One lane does what needs the processor. When it waits for the outside (lanes_away) it calls
 * another one, if there is work: threads are woken and made for as many as wait, not for as many as
 * there are subjects. Whoever can be asked without waiting holds no thread at all (lanes_leave). */
#pragma once
#include "chassis/service.h"

enum { LANES_MAX = 256, LANES_ROOM = 8192 };

struct lanes;

/* Lanes of a service that run `run(self, call, subject)` as a job: it reads, asks the outside, and
 * hands over at most one write (call_write). The lane goes on with the next subject meanwhile; the
 * subject is done when its write is on disk. After a VERSION_CONFLICT it is run again, from
 * nothing; other errors are logged, and whoever gives has it still in a table. Nothing runs before
 * lanes_start. The caller closes. */
struct lanes *lanes_open(struct service *service, const char *name,
                         err (*run)(void *self, struct call *call, struct uuid subject));

/* For `run`, around what waits for the outside: other subjects may have the processor meanwhile. */
void lanes_away(struct call *call);
void lanes_back(struct call *call);

/* For `run`: the subject leaves its lane. When `run` has returned OK, `ask(self, state)` is called,
 * which asks the outside and must not wait; whoever answers calls lanes_return, once, on any
 * thread, and touches nothing of the call afterwards. Then `then(self, call, state)` is run in a
 * lane, as `run` was, with the arena as it stood. `state` lies in it. Up to `count_max` subjects
 * are away at a time, be it so or by waiting. */
void lanes_leave(struct call *call, void (*ask)(void *self, void *state),
                 err (*then)(void *self, struct call *call, void *state), void *state);
void lanes_return(struct call *call);

/* Lets up to `count_max` threads work, 1 to LANES_MAX. Each is started when it is first needed, and
 * stays. */
void lanes_start(struct lanes *lanes, int count_max);

/* Gives a subject: something has become of it. Never waits; any thread. */
void lanes_give(struct lanes *lanes, struct uuid subject);

/* Gives a subject that was found in the table: one that a lane has, or that waits for one, is not
 * given again. */
void lanes_offer(struct lanes *lanes, struct uuid subject);

/* Ends the threads, each after the subject that it has, and waits for their writes. */
void lanes_stop(struct lanes *lanes);
void lanes_close(struct lanes *lanes); /* after lanes_stop; accepts NULL */

/* How busy they are, for metrics and pages; `waiting` have no lane yet, `out` are with the outside.
 */
struct lanes_stats {
    const char *name;
    int threads, threads_max, working, out, waiting;
};
struct lanes_stats lanes_stats_of(struct lanes *lanes);
