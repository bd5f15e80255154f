/* Admission before a server that takes what comes in turn: simulated in steps of a tenth of a
 * millisecond. */
#include "chassis/admission.h"
#include "tests/lib/test.h"
#include <string.h>

enum { STEP_US = 100, QUEUE_MAX = 200000, TARGET_US = 100000 };

/* A line before one who serves `serves` a second, each `way_us` after it came at the soonest. */
struct line {
    struct admission admission, other; /* the same of another replica, where there is one */
    bool has_other;
    int64_t now_us, way_us, came[QUEUE_MAX];
    int first, last; /* in the queue */
    double serves, served, comes;
    int taken, refused, done;
    int64_t oldest_us; /* of those that were served */
};

static struct line *line_open(struct test *t, double serves, int64_t way_us)
{
    struct line *line = arena_new(t->arena, struct line);
    line->admission.target_us = TARGET_US;
    line->serves = serves;
    line->way_us = way_us;
    line->now_us = 1000000;
    return line;
}

/* Replicas have their turn by chance in life: neither reaches what it let in. */
static struct admission *door(struct line *line, int number)
{
    return line->has_other && number % 2 == 1 ? &line->other : &line->admission;
}

static void come(struct line *line)
{
    struct admission *admission = door(line, line->taken + line->refused);
    if (!admission_take(admission, line->now_us)) {
        line->refused++;
        return;
    }
    line->taken++;
    line->came[line->last++ % QUEUE_MAX] = line->now_us;
}

static void serve(struct line *line)
{
    while (line->served >= 1 && line->first < line->last) {
        int64_t age_us = line->now_us - line->came[line->first % QUEUE_MAX];
        if (age_us < line->way_us)
            break;
        line->served -= 1;
        line->first++;
        line->done++;
        line->oldest_us = age_us > line->oldest_us ? age_us : line->oldest_us;
        admission_reached(door(line, line->done), age_us, line->now_us);
    }
    line->served = line->served < 1 ? line->served : 1;
}

/* So many come a second, for that long. What was counted begins anew. */
static void go_on(struct line *line, double comes, int64_t us)
{
    line->taken = line->refused = line->done = 0;
    line->oldest_us = 0;
    for (int64_t until_us = line->now_us + us; line->now_us < until_us; line->now_us += STEP_US) {
        line->served += line->serves * STEP_US / 1e6;
        line->comes += comes * STEP_US / 1e6;
        for (; line->comes >= 1; line->comes -= 1)
            come(line);
        serve(line);
    }
}

TEST(what_can_be_served_is_all_let_in)
{
    struct line *line = line_open(t, 1000, 2000);
    go_on(line, 900, 5000000);
    CHECK_INT(line->refused, 0);
    CHECK(line->done >= 4490);
}

TEST(of_ten_times_as_much_as_much_is_let_in_as_is_served_and_waits_little)
{
    struct line *line = line_open(t, 1000, 2000);
    go_on(line, 900, 2000000);
    go_on(line, 10000, 5000000); /* the first wave */
    CHECK(line->refused > 0);
    go_on(line, 10000, 10000000);
    CHECK(line->done >= 9900);
    CHECK(line->refused > 80000);
    CHECK(line->oldest_us <= 150000);
}

TEST(a_flood_that_begins_at_once_leaves_no_long_queue)
{
    struct line *line = line_open(t, 3000, 40000);
    go_on(line, 1500, 3000000);
    CHECK_INT(line->refused, 0);
    go_on(line, 30000, 3000000);
    CHECK(line->done >= 8800);
    CHECK(line->oldest_us <= 300000);
}

TEST(each_of_two_replicas_lets_in_its_half)
{
    struct line *line = line_open(t, 3000, 40000);
    line->has_other = true;
    line->other = line->admission;
    go_on(line, 1500, 3000000);
    CHECK_INT(line->refused, 0);
    go_on(line, 30000, 3000000);
    CHECK(line->done >= 8800);
    CHECK(line->oldest_us <= 300000);
    go_on(line, 30000, 3000000);
    CHECK(line->done >= 8800);
    CHECK(line->oldest_us <= 200000);
}

TEST(what_is_never_reached_is_not_under_way_for_ever)
{
    struct line *line = line_open(t, 1000, 2000);
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < 100; j++) /* repeats of what was let in before */
            CHECK(admission_take(&line->admission, line->now_us));
        go_on(line, 500, 200000);
        CHECK_INT(line->refused, 0);
    }
}

TEST(a_slow_shop_serves_as_much_as_it_can_too)
{
    struct line *line = line_open(t, 40, 10000);
    go_on(line, 30, 5000000);
    CHECK_INT(line->refused, 0);
    go_on(line, 400, 20000000); /* the first wave */
    go_on(line, 400, 20000000);
    CHECK(line->done >= 790);
    CHECK(line->refused > 6000);
    CHECK(line->oldest_us <= 600000);
    go_on(line, 20, 10000000);
    go_on(line, 30, 10000000);
    CHECK_INT(line->refused, 0);
    CHECK(line->oldest_us < 500000);
}

TEST(without_a_target_all_are_let_in)
{
    struct line *line = line_open(t, 1000, 2000);
    line->admission.target_us = 0;
    go_on(line, 10000, 5000000);
    CHECK_INT(line->refused, 0);
}

TEST(when_they_have_gone_nobody_is_refused_any_more)
{
    struct line *line = line_open(t, 1000, 2000);
    go_on(line, 10000, 5000000);
    go_on(line, 500, 2000000);
    go_on(line, 900, 3000000);
    CHECK_INT(line->refused, 0);
    CHECK(line->oldest_us < 100000);
}

/* Half of what it can serve, by fits and starts, as on a machine that others use, too. */
static int go_on_in_bursts(struct line *line, int times)
{
    int refused = 0;
    for (int i = 0; i < times; i++) {
        line->serves = i % 2 == 0 ? 0 : 2000;
        go_on(line, 450, 70000);
        refused += line->refused;
    }
    return refused;
}

/* Commits come in bursts, and at times one takes long. */
TEST(one_who_serves_in_bursts_is_kept_busy_and_none_waits_long)
{
    struct line *line = line_open(t, 1000, 2000);
    int done = 0;
    int64_t oldest_us = 0;
    go_on(line, 10000, 5000000); /* the first wave */
    for (int i = 0; i < 300; i++) {
        line->serves = i % 2 == 0 ? 0 : 2000;
        go_on(line, 10000, i % 20 == 0 ? 150000 : 30000);
        done += line->done;
        oldest_us = line->oldest_us > oldest_us ? line->oldest_us : oldest_us;
    }
    CHECK(done >= 8900); /* of 9 000 */
    CHECK(oldest_us <= 350000);
}

TEST(repeats_that_are_never_reached_take_nobody_s_place)
{
    struct line *line = line_open(t, 1000, 2000);
    go_on(line, 10000, 5000000);
    for (int i = 0; i < 1000; i++) {
        (void)admission_take(&line->admission, line->now_us);
        go_on(line, 10000, 10000);
    }
    go_on(line, 10000, 5000000);
    CHECK(line->done >= 4900);
    CHECK(line->oldest_us <= 150000);
}

TEST(when_they_have_gone_nobody_is_refused_by_one_who_serves_in_bursts_either)
{
    struct line *line = line_open(t, 1000, 2000);
    go_on(line, 10000, 5000000);
    (void)go_on_in_bursts(line, 50); /* 3.5 s */
    CHECK_INT(go_on_in_bursts(line, 50), 0);
}

TEST(when_they_have_gone_nobody_is_refused_on_a_way_that_has_become_slow_either)
{
    struct line *line = line_open(t, 1000, 2000);
    go_on(line, 10000, 5000000);
    line->way_us = 70000;
    go_on(line, 900, 5000000);
    go_on(line, 900, 5000000);
    CHECK_INT(line->refused, 0);
}

TEST(a_machine_that_has_become_slow_has_no_queue_and_one_that_has_is_still_seen)
{
    struct line *line = line_open(t, 1000, 2000);
    go_on(line, 500, 2000000);
    line->way_us = 300000;
    go_on(line, 500, 10000000);
    go_on(line, 500, 5000000);
    CHECK_INT(line->refused, 0);
    go_on(line, 10000, 12000000); /* the first wave */
    go_on(line, 10000, 10000000);
    CHECK(line->refused > 80000);
    CHECK(line->done >= 9000);
    CHECK(line->oldest_us <= 800000);
}

TEST(a_way_that_is_slow_by_nature_is_no_queue)
{
    struct line *line = line_open(t, 1000, 240000); /* a broker far away */
    go_on(line, 500, 10000000);
    CHECK_INT(line->refused, 0);
    CHECK(line->done >= 4800);
}

TEST(single_works_that_are_late_refuse_nobody)
{
    struct admission admission = { .target_us = TARGET_US };
    int64_t now_us = 1000000;
    for (int i = 0; i < 1000; i++, now_us += 60000) {
        admission_reached(&admission, 30000000, now_us);
        CHECK(admission_take(&admission, now_us));
    }
    for (int i = 0; i < 1000; i++, now_us += 2000) { /* every tenth is new: no queue stands */
        admission_reached(&admission, i % 10 == 0 ? -5000 : 30000000, now_us);
        CHECK(admission_take(&admission, now_us));
    }
}

TEST(where_the_neighbour_is_away_all_are_let_in_and_after_it_is_back_a_part)
{
    struct line *line = line_open(t, 1000, 2000);
    go_on(line, 500, 2000000);
    line->serves = 0;
    go_on(line, 500, 20000000);
    CHECK_INT(line->refused, 0);
    line->serves = 1000;
    go_on(line, 900, 30000000);
    CHECK(line->refused > 0);
    go_on(line, 500, 2000000);
    CHECK_INT(line->refused, 0);
    CHECK(line->oldest_us < 100000);
}
