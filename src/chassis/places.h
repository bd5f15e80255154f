/* Places that calls take for as long as they are with somebody else, and the line of those that
 * found none: a place that is given back goes to who waits longest, so that nobody who comes later
 * is before them. No thread waits: whoever has its turn is told, and its call runs again. */
#pragma once
#include "os/sync.h"

struct place_turn;

struct places {
    struct lock lock;
    int max, line_max;
    int taken, line_count;
    struct place_turn *line, *line_last; /* the longest first */
};

/* Of a call that can come again; stays until it has come, or ended. */
struct place_turn {
    /* It has a place now: on the thread of whoever gave it back, or at once. */
    void (*come)(struct place_turn *turn);
    struct places *places; /* where it found none, or has one; NULL: neither */
    struct place_turn *next;
    bool has_place;
};

/* Makes embedded places, `max` of them and as many as `line_max` that wait for one; and undoes them
 * when all were given back. */
void places_init(struct places *places, int max, int line_max);
void places_done(struct places *places);

/* Takes a place: the one that came to this turn, or a free one. False where there is none; then the
 * turn (may be NULL: it cannot come again) remembers so. */
bool places_take(struct places *places, struct place_turn *turn);

/* Gives one back. */
void places_give(struct places *places);

/* Waits in the line of the places of which it found none; `come` is called once, and the turn may
 * be gone when this returns. False where it found one, or too many wait already. */
bool place_turn_wait(struct place_turn *turn);

/* Gives back a place that came to it and was not taken, and forgets that it found none. */
void place_turn_end(struct place_turn *turn);
