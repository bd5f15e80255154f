#include "os/clock.h"
#include "tests/lib/test.h"

static int64_t mono_seven(void) { return 7; }
static time_us wall_eight(void) { return 8; }

TEST(mono_never_goes_back)
{
    int64_t before = clock_mono_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_us();
        CHECK(now >= before);
        before = now;
    }
}

TEST(wall_is_microseconds_since_1970)
{
    time_us after_2024, before_2100;
    CHECK(time_parse(STR("2024-01-01T00:00:00Z"), &after_2024));
    CHECK(time_parse(STR("2100-01-01T00:00:00Z"), &before_2100));
    CHECK(clock_wall_us() > after_2024 && clock_wall_us() < before_2100);
}

TEST(clock_use_replaces_both_clocks)
{
    static const struct clock_ops fixed = { .mono_us = &mono_seven, .wall_us = &wall_eight };
    clock_use(&fixed);
    int64_t mono = clock_mono_us();
    time_us wall = clock_wall_us();
    clock_use(&clock_machine);
    CHECK_INT(mono, 7);
    CHECK_INT(wall, 8);
}

TEST(clock_use_refuses_half_a_table)
{
    static const struct clock_ops half = { .mono_us = &mono_seven };
    CHECK_PANICS(clock_use(&half));
}
