#include "chassis/http_gate.h"

#include "base/err.h"

enum {
    WINDOW_MS = 100,
    BURST_MS = 30, /* what was not asked for in time is worth no more than this */
    TRIED = 4      /* one in so many of the refusals that shut it */
};

static double a_millisecond(int64_t count, int64_t ms) { return (double)count / (double)ms; }

/* A window has ended: judges it and begins the next. */
static void look(struct http_gate *gate, bool anybody_waits, int64_t now_ms)
{
    int64_t took_ms = now_ms > gate->since_ms ? now_ms - gate->since_ms : 1;
    double most = a_millisecond(gate->refusals_max, 1000), tried = most / TRIED;
    double refused = a_millisecond(gate->refused, took_ms);

    if (refused > most)
        gate->shut = true;
    else if (refused < tried / 2 && !anybody_waits)
        gate->shut = false;
    gate->turns_ms = a_millisecond(gate->served, took_ms) + tried;
    gate->since_ms = now_ms;
    gate->served = gate->refused = 0;
}

void http_gate_answered(struct http_gate *gate, bool refused, int64_t now_ms)
{
    ASSERT(gate);
    if (gate->refusals_max == 0)
        return;

    if (refused)
        gate->refused++;
    else
        gate->served++;
    bool too_many = gate->refused * 1000 > (int64_t)gate->refusals_max * WINDOW_MS;
    if (gate->shut || (now_ms - gate->since_ms < WINDOW_MS && !too_many))
        return;
    look(gate, false, now_ms);
    gate->turns = 0;
    gate->seen_ms = now_ms;
}

int http_gate_turns(struct http_gate *gate, bool anybody_waits, int64_t now_ms)
{
    ASSERT(gate && gate->shut);

    double past_ms = (double)(now_ms - gate->seen_ms);
    gate->seen_ms = now_ms;
    gate->turns += gate->turns_ms * (past_ms < BURST_MS ? past_ms : BURST_MS);
    if (now_ms - gate->since_ms >= WINDOW_MS)
        look(gate, anybody_waits, now_ms);
    int turns = (int)gate->turns;
    gate->turns -= turns;
    return turns;
}
