/* How much of what settles later is let in: as much as settles. A call that begins a long way (an
 * order: to Products and back) costs little where it begins, so that more could be accepted than
 * comes through, and each would wait longer than the one before. Whoever moves such work on tells
 * how old it was; where even the youngest of twenty had waited long, a queue stands, and no more
 * are under way than come through in the time that they may wait until nobody is refused any more
 * (a window, as of TCP: what has come through makes room, so that the way stays full and its queue
 * short). What is as slow though no more are let in is no queue but a slow machine, and is the
 * usual from then on. Pure: the caller tells the time.
 *
 * Works are reached in turn, so what was let in here after the last one that was reached is under
 * way: what is never reached (a repeat, a call that failed) counts no longer than the others, and a
 * replica counts its own, whoever reaches them. Until a queue shows, a flood would be let in whole;
 * so where works are reached, no more than twice as many are under way.
 *
 * Where little comes through (a few, or none: the neighbour is away) nothing is refused: it waits
 * on disk and is lost to nobody. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { ADMISSION_SLOTS = 256 };

/* Of one service; the caller keeps threads apart. All but the target is zero to begin with. */
struct admission {
    int64_t target_us;            /* who waits longer, waits long; 0: all are let in */
    int64_t window_us;            /* since when what follows is counted */
    int64_t reached, youngest_us; /* works, and the age of the youngest */
    int64_t refused;
    int64_t reached_us; /* when the last was */
    int64_t front_us;   /* when the youngest of all that were reached began */
    int64_t let_in;     /* in all, and before each of the last slots of time */
    int64_t let_in_before[ADMISSION_SLOTS], slot;
    int64_t base_us; /* how young works have been; 0: not known */
    bool limited;
    int calm;                          /* windows without a refusal, while limited */
    int64_t longest_us, long_since_us; /* while works are older than they should be; 0: not */
    double through;                    /* the most that came through of late, a second */
};

/* A work was reached that began `age_us` ago, by the wall clock: less than nothing counts as new.
 */
void admission_reached(struct admission *admission, int64_t age_us, int64_t now_us);

/* Takes one in; false: it is to be refused, and may come again in a second. */
bool admission_take(struct admission *admission, int64_t now_us);
