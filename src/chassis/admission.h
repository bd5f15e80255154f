/* How much of what settles later is let in: as much as settles. A call that begins a long way (an
 * order: to Products and back) costs little where it begins, so that more could be accepted than
 * comes through, and each would wait longer than the one before. Whoever moves such work on tells
 * how old it was; where even the youngest of twenty had waited long, a queue stands, and only a
 * part of what comes through is let in until it is short again. What is as slow though less is let
 * in than comes through is no queue but a slow machine, and is the usual from then on. Pure: the
 * caller tells the time.
 *
 * Until a queue shows, a flood would be let in whole; so where works are reached by who lets them
 * in, no more are under way than are reached in twice the time that they may wait.
 *
 * Where little comes through (a few, or none: the neighbour is away) nothing is refused: it waits
 * on disk and is lost to nobody. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Of one service; the caller keeps threads apart. All but the target is zero to begin with. */
struct admission {
    int64_t target_us;            /* who waits longer, waits long; 0: all are let in */
    bool is_alone;                /* what is let in here is reached here: no replicas */
    int64_t window_us;            /* since when what follows is counted */
    int64_t reached, youngest_us; /* works, and the age of the youngest */
    int64_t reached_us;           /* when the last was */
    int64_t under_way;            /* let in, and not reached yet */
    int64_t refused;              /* in this window */
    int64_t base_us;              /* how young works have been; 0: not known */
    bool limited;
    int calm;                          /* windows without a refusal, while limited */
    int64_t longest_us, long_since_us; /* while works are older than they should be; 0: not */
    double through;                    /* the most that came through of late, a second */
    double rate, tokens;               /* a second, while limited */
    int64_t filled_us;                 /* the tokens */
};

/* A work was reached that began `age_us` ago, by the wall clock: less than nothing counts as new.
 */
void admission_reached(struct admission *admission, int64_t age_us, int64_t now_us);

/* Takes one in; false: it is to be refused, and may come again in a second. */
bool admission_take(struct admission *admission, int64_t now_us);
