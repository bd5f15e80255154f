#include "chassis/cache.h"
#include "os/sync.h"
#include "tests/lib/test.h"

static struct uuid subject(uint8_t n) { return (struct uuid){ { n, 1 } }; }

static const struct cached MUG = { { "{\"sku\":\"mug\"}", 13 },
                                   { "application/json", 16 },
                                   { "\"v1\"", 4 },
                                   INT64_MAX };

static bool has(struct cache *cache, str path)
{
    const struct cached *found = cache_find(cache, path);
    if (found)
        cache_release((void *)(uintptr_t)found);
    return found != NULL;
}

TEST(an_answer_is_found_under_its_path_whole)
{
    struct cache *cache = cache_open(10000);
    cache_put(cache, STR("/products/mug"), subject(1), cache_mark(cache), &MUG);

    const struct cached *found = cache_find(cache, STR("/products/mug"));
    CHECK(found);
    CHECK_STR(found->body, "{\"sku\":\"mug\"}");
    CHECK_STR(found->content_type, "application/json");
    CHECK_STR(found->etag, "\"v1\"");
    cache_release((void *)(uintptr_t)found);
    CHECK(!has(cache, STR("/products/mu")));
    cache_close(cache);
}

TEST(what_is_asked_for_anew_takes_the_place_of_what_was_there_and_nothing_older_does)
{
    struct cache *cache = cache_open(10000);
    struct cached first = MUG, second = MUG;
    first.until_us = 1000;
    second.until_us = 2000;
    second.body = STR("{}");
    cache_put(cache, STR("/products/mug"), subject(1), cache_mark(cache), &first);
    const struct cached *old = cache_find(cache, STR("/products/mug"));
    CHECK_INT(old->until_us, 1000);
    cache_put(cache, STR("/products/mug"), subject(1), cache_mark(cache), &second);
    cache_put(cache, STR("/products/mug"), subject(1), cache_mark(cache), &first);
    const struct cached *found = cache_find(cache, STR("/products/mug"));
    CHECK_INT(found->until_us, 2000);
    CHECK_STR(found->body, "{}");
    CHECK_STR(old->body, MUG.body); /* whoever has it still may send it */
    CHECK_INT(cache_stats_of(cache).entries, 1);
    cache_release((void *)(uintptr_t)old);
    cache_release((void *)(uintptr_t)found);
    cache_close(cache);
}

TEST(a_change_drops_every_path_of_its_subject_and_no_other)
{
    struct cache *cache = cache_open(10000);
    int64_t mark = cache_mark(cache);
    cache_put(cache, STR("/products/mug"), subject(1), mark, &MUG);
    cache_put(cache, STR("/products/1"), subject(1), mark, &MUG);
    cache_put(cache, STR("/products/pot"), subject(2), mark, &MUG);

    cache_drop(cache, subject(1));
    CHECK(!has(cache, STR("/products/mug")));
    CHECK(!has(cache, STR("/products/1")));
    CHECK(has(cache, STR("/products/pot")));
    CHECK_INT(cache_stats_of(cache).entries, 1);
    cache_close(cache);
}

TEST(an_answer_from_before_a_change_is_not_taken_in_one_from_after_it_is)
{
    struct cache *cache = cache_open(10000);
    int64_t before = cache_mark(cache);
    cache_drop(cache, subject(1));
    cache_put(cache, STR("/products/mug"), subject(1), before, &MUG);
    CHECK(!has(cache, STR("/products/mug")));

    cache_put(cache, STR("/products/mug"), subject(1), cache_mark(cache), &MUG);
    CHECK(has(cache, STR("/products/mug")));
    cache_close(cache);
}

TEST(the_oldest_make_room_and_what_is_larger_than_the_cache_stays_out)
{
    struct cache *cache = cache_open(1000);
    for (int i = 0; i < 50; i++)
        cache_put(cache, str_format(t->arena, "/products/%d", i), subject((uint8_t)(i + 1)),
                  cache_mark(cache), &MUG);
    struct cache_stats stats = cache_stats_of(cache);
    CHECK(stats.entries > 0 && stats.entries < 50 && stats.bytes <= 1000);
    CHECK(has(cache, STR("/products/49")));
    CHECK(!has(cache, STR("/products/0")));

    struct cached large = MUG;
    large.body = str_of(arena_alloc(t->arena, 2000, 1), 2000);
    cache_put(cache, STR("/products/large"), subject(99), cache_mark(cache), &large);
    CHECK(!has(cache, STR("/products/large")));
    CHECK(has(cache, STR("/products/49")));
    cache_close(cache);
}

TEST(an_answer_under_way_outlives_its_entry)
{
    struct cache *cache = cache_open(10000);
    cache_put(cache, STR("/products/mug"), subject(1), cache_mark(cache), &MUG);
    const struct cached *found = cache_find(cache, STR("/products/mug"));
    cache_drop(cache, subject(1));
    CHECK_STR(found->body, "{\"sku\":\"mug\"}");
    cache_release((void *)(uintptr_t)found);
    CHECK(!has(cache, STR("/products/mug")));
    cache_close(cache);
}

TEST(a_cache_of_no_bytes_keeps_nothing)
{
    struct cache *cache = cache_open(0);
    cache_put(cache, STR("/products/mug"), subject(1), cache_mark(cache), &MUG);
    CHECK(!has(cache, STR("/products/mug")));
    cache_close(cache);
}

struct crowd {
    struct cache *cache;
    int n;
};

static void put_find_drop(void *subject_of_thread)
{
    const struct crowd *crowd = subject_of_thread;
    struct arena *arena = arena_open(1024 * 1024);
    for (int i = 0; i < 2000; i++) {
        str path = str_format(arena, "/products/%d", i % 17);
        cache_put(crowd->cache, path, subject((uint8_t)(i % 17 + 1)), cache_mark(crowd->cache),
                  &MUG);
        const struct cached *found = cache_find(crowd->cache, path);
        if (i % 5 == crowd->n)
            cache_drop(crowd->cache, subject((uint8_t)(i % 17 + 1)));
        if (found) {
            ASSERT(str_equal(found->body, MUG.body));
            cache_release((void *)(uintptr_t)found);
        }
        arena_reset(arena);
    }
    arena_close(arena);
}

TEST(many_threads_may_put_find_and_drop)
{
    struct cache *cache = cache_open(2000);
    struct crowd crowds[4];
    struct thread *threads[4];
    for (int i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){ cache, i };
        threads[i] = thread_start("crowd", put_find_drop, &crowds[i]);
    }
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    CHECK(cache_stats_of(cache).bytes <= 2000);
    cache_close(cache);
}
