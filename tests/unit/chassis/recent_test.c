#include "chassis/recent.h"
#include "os/clock.h"
#include "tests/lib/test.h"
#include <string.h>

enum {
    RECENT_COUNT_MAX = 2048,
    RECENT_BYTES_MAX = 2048,
    RECENT_AGE_US = 2 * 1000 * 1000,
};

static void close_recent(void *subject) { recent_close(subject); }

static struct recent *recent_of(struct test *t)
{
    struct recent *recent =
        recent_open((struct recent_limits){ RECENT_COUNT_MAX, RECENT_BYTES_MAX, RECENT_AGE_US });
    arena_defer(t->arena, close_recent, recent);
    return recent;
}

static struct uuid id_of(int number)
{
    return (struct uuid){ { (uint8_t)number, (uint8_t)(number >> 8), 1 } };
}

TEST(what_was_put_is_taken_once_as_it_was_put_last)
{
    struct recent *recent = recent_of(t);
    char bytes[] = "first";
    recent_put(recent, id_of(1), bytes, 5);
    recent_put(recent, id_of(1), "later on", 8);
    bytes[0] = 'x';
    CHECK_STR(recent_take(recent, t->arena, id_of(1)), "later on");
    CHECK_INT(recent_take(recent, t->arena, id_of(1)).len, 0);
    CHECK_INT(recent_take(recent, t->arena, id_of(2)).len, 0);
}

TEST(what_is_looked_at_stays_until_it_is_taken)
{
    struct recent *recent = recent_of(t);
    recent_put(recent, id_of(1), "price", 5);
    CHECK_STR(recent_look(recent, t->arena, id_of(1)), "price");
    CHECK_STR(recent_look(recent, t->arena, id_of(1)), "price");
    CHECK_INT(recent_look(recent, t->arena, id_of(2)).len, 0);
    CHECK_STR(recent_take(recent, t->arena, id_of(1)), "price");
    CHECK_INT(recent_look(recent, t->arena, id_of(1)).len, 0);
}

TEST(what_is_too_large_is_not_kept_and_leaves_nothing_older_behind)
{
    struct recent *recent = recent_of(t);
    char *large = arena_alloc(t->arena, RECENT_BYTES_MAX + 1, 1);
    memset(large, 'a', RECENT_BYTES_MAX + 1);
    recent_put(recent, id_of(1), large, RECENT_BYTES_MAX);
    CHECK_INT(recent_take(recent, t->arena, id_of(1)).len, RECENT_BYTES_MAX);
    recent_put(recent, id_of(1), "small", 5);
    recent_put(recent, id_of(1), large, RECENT_BYTES_MAX + 1);
    CHECK_INT(recent_take(recent, t->arena, id_of(1)).len, 0);
    recent_put(recent, id_of(1), "small", 5);
    recent_put(recent, id_of(1), NULL, 0);
    CHECK_INT(recent_take(recent, t->arena, id_of(1)).len, 0);
}

TEST(many_push_each_other_out_and_none_is_taken_for_another)
{
    enum { MANY = 3 * RECENT_COUNT_MAX };
    struct recent *recent = recent_of(t);
    int found = 0;
    for (int i = 0; i < MANY; i++)
        recent_put(recent, id_of(i), &i, sizeof i);
    for (int i = 0; i < MANY; i++) {
        struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
        str taken = recent_take(recent, arena, id_of(i));
        if (taken.len > 0) {
            CHECK(memcmp(taken.ptr, &i, sizeof i) == 0);
            found++;
        }
        arena_close(arena);
    }
    CHECK(found > RECENT_COUNT_MAX / 2 && found <= RECENT_COUNT_MAX);
}

/* A clock that stands where the test puts it. */
static int64_t shown_us;
static int64_t show_us(void) { return shown_us; }

TEST(an_old_one_is_not_believed)
{
    static const struct clock_ops shown = { show_us, show_us };
    struct recent *recent = recent_of(t);
    clock_use(&shown);
    shown_us = 1000;
    recent_put(recent, id_of(1), "one", 3);
    recent_put(recent, id_of(2), "two", 3);
    shown_us += RECENT_AGE_US;
    bool young = recent_take(recent, t->arena, id_of(1)).len > 0;
    shown_us += 1;
    bool old = recent_take(recent, t->arena, id_of(2)).len > 0;
    clock_use(&clock_machine);
    CHECK(young);
    CHECK(!old);
}

TEST(a_text_is_found_by_itself_and_not_by_one_that_only_begins_like_it)
{
    struct recent *recent = recent_of(t);
    recent_put_text(recent, t->arena, STR("ab"), STR("cd"));
    CHECK_STR(recent_look_text(recent, t->arena, STR("ab")), "cd");
    CHECK(!recent_look_text(recent, t->arena, STR("abc")).ptr);
    CHECK(!recent_look_text(recent, t->arena, STR("a")).ptr);
    CHECK(!recent_look_text(recent, t->arena, STR("xy")).ptr);
    recent_put_text(recent, t->arena, STR("ab"), STR("ef"));
    CHECK_STR(recent_look_text(recent, t->arena, STR("ab")), "ef");
}
