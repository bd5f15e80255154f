/* A few threads that work through subjects of a service, each by its id: calls to the outside that
 * may take long, and must not hold a worker (payments).
 *
 * A subject is in one lane at a time; one that is given again meanwhile is run again after it. What
 * finds no room is not kept: whoever gives has it in a table and gives it again. */
#pragma once
#include "chassis/service.h"

enum { LANES_MAX = 256, LANES_ROOM = 1024 };

struct lanes;

/* Lanes of a service that run `run(self, call, subject)` as a job: it reads, asks the outside, and
 * hands over at most one write (call_write). The lane goes on with the next subject meanwhile; the
 * subject is done when its write is on disk. After a VERSION_CONFLICT it is run again, from
 * nothing; other errors are logged, and whoever gives has it still in a table. Nothing runs before
 * lanes_start. The caller closes. */
struct lanes *lanes_open(struct service *service, const char *name,
                         err (*run)(void *self, struct call *call, struct uuid subject));

/* Lets up to `count_max` threads work, 1 to LANES_MAX. Each is started when a subject first finds
 * no idle one, and stays. */
void lanes_start(struct lanes *lanes, int count_max);

/* Gives a subject: something has become of it. Never waits; any thread. */
void lanes_give(struct lanes *lanes, struct uuid subject);

/* Gives a subject that was found in the table: one that a lane has, or that waits for one, is not
 * given again. */
void lanes_offer(struct lanes *lanes, struct uuid subject);

/* Ends the threads, each after the subject that it has, and waits for their writes. */
void lanes_stop(struct lanes *lanes);
void lanes_close(struct lanes *lanes); /* after lanes_stop; accepts NULL */
