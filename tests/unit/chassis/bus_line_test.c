#include "chassis/bus_line.h"
#include "os/clock.h"
#include "tests/lib/test.h"

enum { ITEMS = 600, MS = 1000 };

static struct bus_item *items_of(struct test *t, struct bus_line *line, int count, int shards)
{
    struct bus_item *items = arena_array(t->arena, struct bus_item, (size_t)count);
    bus_line_init(line);
    for (int i = 0; i < count; i++) {
        items[i].shard = i % shards;
        bus_line_add(line, &items[i]);
    }
    return items;
}

TEST(items_are_taken_in_their_order_up_to_a_batch)
{
    struct bus_line line;
    struct bus_item *items = items_of(t, &line, ITEMS, BUS_SHARDS), *taken[BUS_BATCH_MAX];
    int64_t next_us;
    CHECK_INT(bus_line_take(&line, taken, clock_mono_us(), &next_us), BUS_BATCH_MAX);
    for (int i = 0; i < BUS_BATCH_MAX; i++)
        CHECK(taken[i] == &items[i]);
    CHECK_INT(line.count, ITEMS - BUS_BATCH_MAX);
    CHECK_INT(bus_line_take(&line, taken, clock_mono_us(), &next_us), ITEMS - BUS_BATCH_MAX);
    CHECK_INT(next_us, INT64_MAX);
    bus_line_add(&line, &items[0]); /* the end was found again */
    CHECK(bus_line_drop(&line) == &items[0]);
    CHECK(!bus_line_drop(&line));
}

TEST(the_shard_that_failed_rests_and_the_others_come_at_once)
{
    struct bus_line line;
    struct bus_item *items = items_of(t, &line, 6, 3), *taken[BUS_BATCH_MAX];
    int64_t next_us, before_us = clock_mono_us();
    size_t count = bus_line_take(&line, taken, before_us, &next_us);
    bus_line_settle(&line, taken, count, 1); /* item 1, of shard 1, failed */
    count = bus_line_take(&line, taken, before_us, &next_us);
    CHECK_INT(count, 3);
    CHECK(taken[0] == &items[2] && taken[1] == &items[3] && taken[2] == &items[5]);
    CHECK(next_us >= before_us + 10 * MS);
    CHECK_INT(bus_line_take(&line, taken, next_us, &next_us), 2);
    CHECK(taken[0] == &items[1] && taken[1] == &items[4]);
}

TEST(rests_grow_to_five_seconds_and_a_success_ends_them)
{
    struct bus_line line;
    struct bus_item *taken[BUS_BATCH_MAX];
    int64_t next_us;
    items_of(t, &line, 1, 1);
    for (int i = 0; i < 12; i++) {
        size_t count = bus_line_take(&line, taken, INT64_MAX, &next_us);
        bus_line_settle(&line, taken, count, 0);
    }
    CHECK_INT(line.rests[0].backoff_us, 5000 * MS);
    size_t count = bus_line_take(&line, taken, INT64_MAX, &next_us);
    bus_line_settle(&line, taken, count, 1);
    CHECK_INT(line.rests[0].backoff_us, 0);
    CHECK_INT(line.count, 0);
}

TEST(what_is_late_lets_others_pass)
{
    struct bus_line line;
    struct bus_item *items = items_of(t, &line, 2, 1), *taken[BUS_BATCH_MAX];
    int64_t next_us;
    items[0].not_before_us = 1000;
    CHECK_INT(bus_line_take(&line, taken, 999, &next_us), 1);
    CHECK(taken[0] == &items[1]);
    CHECK_INT(next_us, 1000);
    CHECK_INT(bus_line_take(&line, taken, 1000, &next_us), 1);
}

TEST(of_each_shard_only_its_first_is_taken_and_one_that_rests_keeps_its_shard_back)
{
    struct bus_line line;
    struct bus_item *items = items_of(t, &line, 8, 4), *taken[BUS_SHARDS];
    int64_t next_us, before_us = clock_mono_us();
    CHECK_INT(bus_line_take_heads(&line, taken, before_us, &next_us), 4);
    for (int i = 0; i < 4; i++)
        CHECK(taken[i] == &items[i]);
    CHECK_INT(next_us, INT64_MAX);
    bus_line_settle(&line, &taken[3], 1, 0); /* shard 3 rests */
    CHECK_INT(line.count, 5);
    CHECK_INT(bus_line_take_heads(&line, taken, before_us, &next_us), 3);
    for (int i = 0; i < 3; i++)
        CHECK(taken[i] == &items[4 + i]);
    CHECK(next_us >= before_us + 10 * MS && next_us < INT64_MAX);
    CHECK_INT(bus_line_take_heads(&line, taken, next_us, &next_us), 1);
    CHECK(taken[0] == &items[3]);
    CHECK(bus_line_drop(&line) == &items[7]);
    bus_line_add(&line, &items[0]); /* the end was found again */
    CHECK(bus_line_drop(&line) == &items[0]);
}
