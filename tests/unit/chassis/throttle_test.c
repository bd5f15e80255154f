#include "chassis/throttle.h"
#include "tests/lib/test.h"

static const struct throttle_rule RULE = { 3, 30 * TIME_SECOND };
static const time_us NOW = 1000 * TIME_SECOND;

static void close_throttle(void *throttle) { throttle_close(throttle); }

static struct throttle *open_throttle(struct test *t, int keys_max)
{
    crypto_init();
    struct throttle *throttle = throttle_open(keys_max);
    arena_defer(t->arena, close_throttle, throttle);
    return throttle;
}

TEST(a_quota_is_there_at_once_and_comes_back_one_by_one)
{
    struct throttle *throttle = open_throttle(t, 100);
    struct throttle_key key = throttle_key_of(throttle, STR("login"), STR("amina"), STR(""));
    for (int i = 0; i < 3; i++) {
        CHECK_INT(throttle_wait(throttle, key, &RULE, NOW), 0);
        throttle_count(throttle, key, &RULE, NOW);
    }
    CHECK_INT(throttle_wait(throttle, key, &RULE, NOW), 10 * TIME_SECOND);
    CHECK_INT(throttle_wait(throttle, key, &RULE, NOW + 9 * TIME_SECOND), TIME_SECOND);
    CHECK_INT(throttle_wait(throttle, key, &RULE, NOW + 10 * TIME_SECOND), 0);
    throttle_count(throttle, key, &RULE, NOW + 10 * TIME_SECOND);
    CHECK(throttle_wait(throttle, key, &RULE, NOW + 10 * TIME_SECOND) > 0);
}

TEST(whoever_goes_on_waits_no_longer_for_it)
{
    struct throttle *throttle = open_throttle(t, 100);
    struct throttle_key key = throttle_key_of(throttle, STR("login"), STR("amina"), STR(""));
    for (int i = 0; i < 1000; i++)
        throttle_count(throttle, key, &RULE, NOW);
    CHECK_INT(throttle_wait(throttle, key, &RULE, NOW), 10 * TIME_SECOND);
}

TEST(keys_differ_by_class_and_by_each_text)
{
    struct throttle *throttle = open_throttle(t, 100);
    struct throttle_key key = throttle_key_of(throttle, STR("login"), STR("ab"), STR("c"));
    CHECK(key.bits == throttle_key_of(throttle, STR("login"), STR("ab"), STR("c")).bits);
    CHECK(key.bits != throttle_key_of(throttle, STR("reset"), STR("ab"), STR("c")).bits);
    CHECK(key.bits != throttle_key_of(throttle, STR("login"), STR("a"), STR("bc")).bits);
    CHECK(key.bits != throttle_key_of(throttle, STR("login"), STR("abc"), STR("")).bits);
    for (int i = 0; i < 3; i++)
        throttle_count(throttle, key, &RULE, NOW);
    struct throttle_key other = throttle_key_of(throttle, STR("login"), STR("ab"), STR("d"));
    CHECK_INT(throttle_wait(throttle, other, &RULE, NOW), 0);
}

TEST(without_a_quota_nothing_is_counted)
{
    struct throttle *throttle = open_throttle(t, 100);
    struct throttle_rule none = { 0, 30 * TIME_SECOND };
    struct throttle_key key = throttle_key_of(throttle, STR("login"), STR("amina"), STR(""));
    for (int i = 0; i < 10; i++)
        throttle_count(throttle, key, &none, NOW);
    CHECK_INT(throttle_wait(throttle, key, &none, NOW), 0);
    CHECK_INT(throttle_wait(throttle, key, &RULE, NOW), 0);
}

TEST(a_full_table_forgets_who_has_the_least_to_wait_for)
{
    struct throttle *throttle = open_throttle(t, 8); /* one place */
    struct throttle_key heavy = throttle_key_of(throttle, STR("login"), STR("heavy"), STR(""));
    for (int i = 0; i < 3; i++)
        throttle_count(throttle, heavy, &RULE, NOW);
    for (int i = 0; i < 1000; i++) {
        str name = str_format(t->arena, "light-%d", i);
        throttle_count(throttle, throttle_key_of(throttle, STR("login"), name, STR("")), &RULE,
                       NOW);
    }
    CHECK_INT(throttle_wait(throttle, heavy, &RULE, NOW), 10 * TIME_SECOND);
}
