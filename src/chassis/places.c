#include "chassis/places.h"

#include "base/err.h"

void places_init(struct places *places, int max, int line_max)
{
    ASSERT(places && max > 0 && line_max >= 0);
    *places = (struct places){ .max = max, .line_max = line_max };
    lock_init(&places->lock);
}

void places_done(struct places *places)
{
    ASSERT(places && places->taken == 0 && !places->line);
    lock_done(&places->lock);
}

bool places_take(struct places *places, struct place_turn *turn)
{
    ASSERT(places);
    bool is_its_own = turn && turn->has_place && turn->places == places;

    if (is_its_own) {
        turn->has_place = false;
        turn->places = NULL;
        return true;
    }
    lock_take(&places->lock);
    bool is_free = places->taken < places->max;
    places->taken += is_free;
    lock_drop(&places->lock);
    if (!is_free && turn && !turn->has_place)
        turn->places = places;
    return is_free;
}

/* It goes from hand to hand: nobody else finds it free in between. */
void places_give(struct places *places)
{
    ASSERT(places);
    lock_take(&places->lock);
    ASSERT(places->taken > 0);
    struct place_turn *turn = places->line;
    if (turn) {
        places->line = turn->next;
        places->line_count--;
        turn->has_place = true;
    } else {
        places->taken--;
    }
    lock_drop(&places->lock);
    if (turn)
        turn->come(turn);
}

bool place_turn_wait(struct place_turn *turn)
{
    ASSERT(turn && turn->come);
    struct places *places = turn->places;
    if (!places || turn->has_place)
        return false;

    lock_take(&places->lock);
    bool is_free = places->taken < places->max;
    bool waits = !is_free && places->line_count < places->line_max;
    if (is_free) { /* somebody gave it back meanwhile */
        places->taken++;
        turn->has_place = true;
    } else if (waits) {
        turn->next = NULL;
        if (places->line)
            places->line_last->next = turn;
        else
            places->line = turn;
        places->line_last = turn;
        places->line_count++;
    }
    lock_drop(&places->lock);
    if (is_free)
        turn->come(turn);
    return is_free || waits;
}

void place_turn_end(struct place_turn *turn)
{
    ASSERT(turn);
    struct places *places = turn->places;
    bool has_place = turn->has_place;

    turn->places = NULL;
    turn->has_place = false;
    if (has_place)
        places_give(places);
}
