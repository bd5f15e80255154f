#include "chassis/http_gate.h"

#include "tests/lib/test.h"

enum { REFUSALS_MAX = 100, WINDOW_MS = 100, TICK_MS = 5 };

static void answer(struct http_gate *gate, int served, int refused, int64_t now_ms)
{
    for (int i = 0; i < served; i++)
        http_gate_answered(gate, false, now_ms);
    for (int i = 0; i < refused; i++)
        http_gate_answered(gate, true, now_ms);
}

static void check_about(int actual, int expected)
{
    CHECK(actual >= expected - expected / 20 - 1 && actual <= expected + expected / 20 + 1);
}

/* Ticks for as long, with so many answers in each; gives how many turns there were. */
static int tick(struct http_gate *gate, int64_t *now_ms, int ms, int served, bool anybody_waits)
{
    int turns = 0;
    for (int64_t end_ms = *now_ms + ms; *now_ms < end_ms && gate->shut;) {
        *now_ms += TICK_MS;
        answer(gate, served, 0, *now_ms);
        turns += http_gate_turns(gate, anybody_waits, *now_ms);
    }
    return turns;
}

static struct http_gate shut_gate(int64_t *now_ms)
{
    struct http_gate gate = { .refusals_max = REFUSALS_MAX, .since_ms = *now_ms };
    *now_ms += WINDOW_MS;
    answer(&gate, 1, REFUSALS_MAX, *now_ms);
    return gate;
}

TEST(what_there_is_time_to_refuse_leaves_it_open)
{
    struct http_gate gate = { .refusals_max = REFUSALS_MAX };
    for (int64_t ms = 0; ms < 60000; ms += 1000 / REFUSALS_MAX) {
        answer(&gate, 50, 1, ms);
        CHECK(!gate.shut);
    }
}

TEST(a_flood_shuts_it_at_once)
{
    struct http_gate gate = { .refusals_max = REFUSALS_MAX, .since_ms = 1000 };
    answer(&gate, 1, REFUSALS_MAX / 10, 1000);
    CHECK(!gate.shut);
    answer(&gate, 0, 1, 1000);
    CHECK(gate.shut);
}

TEST(what_is_served_never_shuts_it)
{
    struct http_gate gate = { .refusals_max = REFUSALS_MAX };
    for (int64_t ms = 0; ms < 10000; ms++) {
        answer(&gate, 100, 0, ms);
        CHECK(!gate.shut);
    }
}

TEST(a_gate_without_a_bound_stays_open)
{
    struct http_gate gate = { 0 };
    for (int64_t ms = 0; ms < 1000; ms++)
        answer(&gate, 0, 100, ms);
    CHECK(!gate.shut);
}

TEST(above_that_as_many_are_read_as_are_served_and_so_many_more)
{
    int64_t now_ms = 1000;
    struct http_gate gate = shut_gate(&now_ms);
    CHECK(gate.shut);

    (void)tick(&gate, &now_ms, WINDOW_MS, 2, true); /* its first window knows of none served */
    int turns = tick(&gate, &now_ms, 1000, 2, true);
    CHECK(gate.shut);
    check_about(turns, 425); /* 2 in 5 ms, and 25 */
    (void)tick(&gate, &now_ms, WINDOW_MS, 4, true);
    turns = tick(&gate, &now_ms, 1000, 4, true);
    check_about(turns, 825);
}

TEST(where_nothing_is_served_it_still_tries)
{
    int64_t now_ms = 0;
    struct http_gate gate = shut_gate(&now_ms);
    (void)tick(&gate, &now_ms, 3 * WINDOW_MS, 0, true);
    int turns = tick(&gate, &now_ms, 1000, 0, true);
    check_about(turns, 25);
}

/* Windows in each of which one is refused; gives the turns of the last ten. */
static int turns_where_some_are_refused(int served_a_tick)
{
    int64_t now_ms = 0;
    struct http_gate gate = shut_gate(&now_ms);
    int turns = 0;
    for (int i = 0; i < 12; i++) {
        answer(&gate, 0, 1, now_ms);
        int given = tick(&gate, &now_ms, WINDOW_MS, served_a_tick, true);
        turns += i >= 2 ? given : 0;
    }
    return turns;
}

TEST(where_some_are_refused_an_eighth_more_is_tried_than_was_served)
{
    check_about(turns_where_some_are_refused(0), 5); /* a twentieth of what may be refused */
    check_about(turns_where_some_are_refused(2), 425);
    int64_t now_ms = 0;
    struct http_gate gate = { .refusals_max = 1000, .since_ms = now_ms };
    answer(&gate, 100, 101, now_ms);
    CHECK(gate.shut);
    for (int i = 0; i < 3; i++) {
        answer(&gate, 0, 1, now_ms);
        (void)tick(&gate, &now_ms, WINDOW_MS, 4, true); /* 800 a second */
    }
    CHECK(gate.turns_ms > 0.89 && gate.turns_ms < 0.91);
}

TEST(where_few_came_it_gives_as_many_turns_as_before)
{
    int64_t now_ms = 0;
    struct http_gate gate = shut_gate(&now_ms);
    (void)tick(&gate, &now_ms, 2 * WINDOW_MS, 10, true);
    double before = gate.turns_ms;
    answer(&gate, 0, 5, now_ms); /* it stays shut */
    (void)tick(&gate, &now_ms, WINDOW_MS, 0, false);
    CHECK(gate.shut && gate.turns_ms >= before);
    (void)tick(&gate, &now_ms, WINDOW_MS, 0, true); /* and fewer, where they wait in vain */
    CHECK(gate.turns_ms < before / 10);
}

TEST(it_opens_when_nobody_waits_and_few_are_refused)
{
    int64_t now_ms = 0;
    struct http_gate gate = shut_gate(&now_ms);

    (void)tick(&gate, &now_ms, 2 * WINDOW_MS, 1, true);
    CHECK(gate.shut);
    for (int i = 0; i < 50; i++) { /* many are refused, though nobody waits at the moment */
        now_ms += TICK_MS;
        answer(&gate, 0, 1, now_ms);
        (void)http_gate_turns(&gate, i < WINDOW_MS / TICK_MS, now_ms); /* a whole window has them */
        CHECK(gate.shut);
    }
    (void)tick(&gate, &now_ms, 4 * WINDOW_MS, 1, false);
    CHECK(gate.shut); /* for a moment nobody is refused where everything stands still, too */
    (void)tick(&gate, &now_ms, 2 * WINDOW_MS + TICK_MS, 1, false);
    CHECK(!gate.shut);
    answer(&gate, 1000, 0, now_ms + WINDOW_MS);
    CHECK(!gate.shut);
}

TEST(a_tick_that_comes_late_gives_no_more_than_a_burst)
{
    int64_t now_ms = 0;
    struct http_gate gate = shut_gate(&now_ms);
    (void)tick(&gate, &now_ms, 2 * WINDOW_MS, 10, true); /* 2 025 a second from now on */
    now_ms += 60000;
    check_about(http_gate_turns(&gate, true, now_ms), 2025 * 30 / 1000); /* of 30 ms */
}
