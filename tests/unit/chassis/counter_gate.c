/* What handlers of the counter wait for. */
#include "counter.h"

void counter_pass_gate(struct counter *counter)
{
    lock_take(&counter->lock);
    counter->at_gate++;
    cond_wake_all(&counter->changed);
    while (counter->gate_shut)
        cond_wait(&counter->changed, &counter->lock);
    counter->at_gate--;
    lock_drop(&counter->lock);
}

static void turn_gate(struct counter *counter, bool shut)
{
    lock_take(&counter->lock);
    counter->gate_shut = shut;
    cond_wake_all(&counter->changed);
    lock_drop(&counter->lock);
}

void counter_shut_gate(struct counter *counter) { turn_gate(counter, true); }
void counter_open_gate(struct counter *counter) { turn_gate(counter, false); }

void counter_wait_gate(struct counter *counter, int count)
{
    lock_take(&counter->lock);
    while (counter->at_gate < count)
        cond_wait(&counter->changed, &counter->lock);
    lock_drop(&counter->lock);
}

err counter_ask(struct counter *counter, struct call *call)
{
    if (!places_take(&counter->places, call->turn))
        return fail(call->arena, UPSTREAM_UNAVAILABLE, "all places are taken");
    counter_pass_gate(counter);
    places_give(&counter->places);
    return OK;
}
