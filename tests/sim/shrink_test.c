#include "tests/lib/test.h"
#include "tests/sim/shrink.h"
#include "tests/sim/story.h"

enum { ALL = 40, TRIES_MAX = 1000 };

/* A run that breaks where it has all of these faults. */
struct needing {
    int numbers[4], count, runs;
};

static bool has(const struct fault *faults, int count, int number)
{
    for (int i = 0; i < count; i++)
        if (faults[i].number == number)
            return true;
    return false;
}

static bool breaks(void *subject, const struct fault *faults, int count)
{
    struct needing *needing = subject;
    needing->runs++;
    for (int i = 0; i < needing->count; i++)
        if (!has(faults, count, needing->numbers[i]))
            return false;
    return true;
}

static int shrunk(struct needing *needing, struct fault faults[ALL], int tries_max)
{
    for (int i = 0; i < ALL; i++)
        faults[i] = (struct fault){ FAULT_BUS_LATE, i };
    return shrink(faults, ALL, tries_max, breaks, needing);
}

TEST(what_is_needed_is_left_and_nothing_else)
{
    struct fault faults[ALL];
    struct needing needing[] = {
        { .count = 0 },
        { { 0 }, 1, 0 },
        { { ALL - 1 }, 1, 0 },
        { { 3, 29 }, 2, 0 },
        { { 7, 8, 21, 39 }, 4, 0 },
    };
    for (size_t i = 0; i < sizeof needing / sizeof needing[0]; i++) {
        CHECK_INT(shrunk(&needing[i], faults, TRIES_MAX), needing[i].count);
        for (int j = 0; j < needing[i].count; j++)
            CHECK_INT(faults[j].number, needing[i].numbers[j]);
        CHECK(needing[i].runs < 120);
    }
}

TEST(where_the_time_is_up_what_is_left_still_breaks)
{
    struct fault faults[ALL];
    struct needing needing = { { 3, 29 }, 2, 0 };
    int count = shrunk(&needing, faults, 5);
    CHECK(needing.runs <= 5);
    CHECK(count < ALL && count > 2);
    CHECK(breaks(&needing, faults, count));
}

TEST(a_fault_has_a_name_and_a_name_its_fault)
{
    char name[FAULT_NAME_BYTES];
    struct fault fault = { FAULT_WALL_JUMP, 12 }, read;
    fault_name(fault, name);
    CHECK_STR(str_of_z(name), "wall-jump:12");
    CHECK(fault_of_name(name, &read));
    CHECK(read.kind == FAULT_WALL_JUMP && read.number == 12);
    CHECK(!fault_of_name("wall-jump", &read));
    CHECK(!fault_of_name("wall-jump:", &read));
    CHECK(!fault_of_name("wall:12", &read));
    CHECK(!fault_of_name("wall-jump:-1", &read));
}

/* What a seed does, as a text of 1s. */
static int64_t strike_all(uint64_t seed, const char *only, char out[64])
{
    int64_t numbers = 0;
    faults_open(seed, only);
    for (int i = 0; i < 60; i++) {
        bool strikes = fault_strikes(i % 2 ? FAULT_KILL : FAULT_BUS_LATE, 4);
        out[i] = strikes ? '1' : '0';
        numbers += strikes ? fault_number(0, 1000) : 0;
    }
    out[60] = '\0';
    return numbers;
}

TEST(a_fault_strikes_as_it_did_when_others_are_left_out)
{
    char all[64], again[64], other[64], none[64], one[64], name[FAULT_NAME_BYTES];
    story_open(1, false);
    int64_t numbers = strike_all(5, NULL, all);
    int count;
    const struct fault *struck = faults_struck(&count);
    CHECK(count > 4 && count < 40);
    fault_name(struck[3], name);
    CHECK_INT(strike_all(5, NULL, again), numbers);
    CHECK_STR(str_of_z(again), all);
    (void)strike_all(6, NULL, other);
    CHECK(strcmp(all, other) != 0);
    CHECK_INT(strike_all(5, "none", none), 0);
    CHECK(!strchr(none, '1'));
    CHECK(strike_all(5, name, one) > 0);
    struck = faults_struck(&count);
    CHECK_INT(count, 1);
    CHECK(strchr(one, '1') && all[strchr(one, '1') - one] == '1');
}
