#include "chassis/places.h"

#include "base/err.h"
#include "tests/lib/test.h"

enum { TURNS = 4 };

/* Callers whose turns came, in order. */
struct callers {
    struct places places;
    struct caller {
        struct place_turn turn;
        struct callers *all;
        int number;
    } each[TURNS];
    int came[TURNS], came_count;
};

static void come(struct place_turn *turn)
{
    struct caller *caller = (struct caller *)turn;
    caller->all->came[caller->all->came_count++] = caller->number;
}

static void done(void *callers) { places_done(&((struct callers *)callers)->places); }

static struct callers *callers_of(struct test *t, int max, int line_max)
{
    struct callers *callers = arena_new(t->arena, struct callers);
    places_init(&callers->places, max, line_max);
    for (int i = 0; i < TURNS; i++)
        callers->each[i] = (struct caller){ .turn.come = come, .all = callers, .number = i };
    arena_defer(t->arena, done, callers);
    return callers;
}

TEST(there_are_as_many_places_as_were_made_and_one_that_is_given_back_is_there_again)
{
    struct callers *callers = callers_of(t, 2, 0);
    CHECK(places_take(&callers->places, NULL));
    CHECK(places_take(&callers->places, NULL));
    CHECK(!places_take(&callers->places, NULL));
    places_give(&callers->places);
    CHECK(places_take(&callers->places, NULL));
    places_give(&callers->places);
    places_give(&callers->places);
}

TEST(a_place_goes_to_who_waits_longest_and_to_nobody_who_comes_later)
{
    struct callers *callers = callers_of(t, 1, 2);
    struct caller *each = callers->each;
    CHECK(places_take(&callers->places, &each[0].turn));
    for (int i = 1; i < TURNS; i++)
        CHECK(!places_take(&callers->places, &each[i].turn));
    CHECK(place_turn_wait(&each[1].turn));
    CHECK(place_turn_wait(&each[2].turn));
    CHECK(!place_turn_wait(&each[3].turn)); /* the line is full */
    CHECK_INT(callers->came_count, 0);

    places_give(&callers->places);
    CHECK_INT(callers->came_count, 1);
    CHECK_INT(callers->came[0], 1);
    CHECK(!places_take(&callers->places, NULL)); /* it is kept for the first */
    CHECK(places_take(&callers->places, &each[1].turn));
    places_give(&callers->places);
    CHECK_INT(callers->came[1], 2);
    CHECK(places_take(&callers->places, &each[2].turn));
    places_give(&callers->places);
    CHECK(places_take(&callers->places, NULL));
    places_give(&callers->places);
}

TEST(a_place_that_was_given_back_before_the_wait_began_is_there_at_once)
{
    struct callers *callers = callers_of(t, 1, 0);
    struct place_turn *turn = &callers->each[0].turn;
    CHECK(places_take(&callers->places, NULL));
    CHECK(!places_take(&callers->places, turn));
    places_give(&callers->places);
    CHECK(place_turn_wait(turn));
    CHECK_INT(callers->came_count, 1);
    CHECK(places_take(&callers->places, turn));
    places_give(&callers->places);
}

TEST(a_place_that_came_and_was_not_taken_goes_to_the_next)
{
    struct callers *callers = callers_of(t, 1, 2);
    struct caller *each = callers->each;
    CHECK(places_take(&callers->places, NULL));
    for (int i = 0; i < 2; i++) {
        CHECK(!places_take(&callers->places, &each[i].turn));
        CHECK(place_turn_wait(&each[i].turn));
    }
    places_give(&callers->places);
    place_turn_end(&each[0].turn);
    CHECK_INT(callers->came_count, 2);
    place_turn_end(&each[1].turn);
    CHECK_INT(callers->places.taken, 0);
}

TEST(who_found_a_place_or_forgot_that_it_found_none_does_not_wait)
{
    struct callers *callers = callers_of(t, 1, 2);
    struct place_turn *turn = &callers->each[0].turn;
    CHECK(!place_turn_wait(turn));
    CHECK(places_take(&callers->places, turn));
    CHECK(!place_turn_wait(turn));
    CHECK(!places_take(&callers->places, turn));
    place_turn_end(turn);
    CHECK(!place_turn_wait(turn));
    places_give(&callers->places);
}
