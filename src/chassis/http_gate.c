#include "chassis/http_gate.h"

#include "base/err.h"

#include <math.h>

enum {
    WINDOW_MS = 100,
    BURST_MS = 30,    /* what was not asked for in time is worth no more than this */
    CALM_WINDOWS = 5, /* before it opens: a shop that stands still for one refuses nobody either */
    NONE_REFUSED = 3, /* windows, and there may be time for many more */
    SERVED_A_TRY = 8
};

/* Of the refusals that shut it, those that are risked while it is. */
#define TRIED_MOST 0.25
#define TRIED_LEAST 0.05

static double a_millisecond(int64_t count, int64_t ms) { return (double)count / (double)ms; }

/* So many more are read than were served: for each try too many, time is lost that some would have
 * been served in. */
static double tries(const struct http_gate *gate, double served)
{
    double most = a_millisecond(gate->refusals_max, 1000);
    double least = most * (gate->none_refused < NONE_REFUSED ? TRIED_LEAST : TRIED_MOST);
    return fmin(fmax(served / SERVED_A_TRY, least), most * TRIED_MOST);
}

/* A window has ended: judges it and begins the next. */
static void look(struct http_gate *gate, bool anybody_waits, int64_t now_ms)
{
    int64_t took_ms = now_ms > gate->since_ms ? now_ms - gate->since_ms : 1;
    double most = a_millisecond(gate->refusals_max, 1000);
    double served = a_millisecond(gate->served, took_ms);
    double refused = a_millisecond(gate->refused, took_ms);
    gate->none_refused = gate->refused == 0 ? gate->none_refused + 1 : 0;
    double tried = tries(gate, served);
    bool was_shut = gate->shut, is_calm = refused < tried / 2 && !anybody_waits;
    gate->calm = is_calm ? gate->calm + 1 : 0;
    gate->shut = refused > most || (was_shut && gate->calm < CALM_WINDOWS);
    bool few_came = was_shut && !anybody_waits; /* then it can serve more than it did */
    if (!few_came || served + tried > gate->turns_ms)
        gate->turns_ms = served + tried;
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
