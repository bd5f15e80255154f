#include "services/gateway/limits.h"

#include "base/time.h"
#include "tests/lib/test.h"

enum { CLIENTS = 64 };
static const int64_t NOW = 1000 * TIME_SECOND;
static const struct limit TEN = { .quota = 10, .window_us = 60 * TIME_SECOND };

static struct limits *limits_of(struct test *t) { return limits_new(t->arena, CLIENTS, 42); }

static struct limit_client at(const char *address)
{
    return limit_client_of_address(str_of_z(address));
}

static struct limit_verdict take(struct limits *limits, const char *address, int64_t now)
{
    struct limit_client client = at(address);
    return limits_take(limits, 0, &TEN, &client, now);
}

TEST(a_client_may_make_its_quota_at_once_and_no_more)
{
    struct limits *limits = limits_of(t);

    for (int i = 0; i < 10; i++) {
        struct limit_verdict verdict = take(limits, "192.0.2.1", NOW);
        CHECK(verdict.allowed);
        CHECK_INT(verdict.remaining, 9 - i);
        CHECK_INT(verdict.reset_s, 6 * (i + 1));
        CHECK_INT(verdict.retry_after_s, 0);
    }
    struct limit_verdict refused = take(limits, "192.0.2.1", NOW);
    CHECK(!refused.allowed);
    CHECK_INT(refused.remaining, 0);
    CHECK_INT(refused.retry_after_s, 6);
    CHECK_INT(refused.reset_s, 60);
}

TEST(what_was_used_comes_back_evenly)
{
    struct limits *limits = limits_of(t);

    for (int i = 0; i < 10; i++)
        take(limits, "192.0.2.1", NOW);
    CHECK(!take(limits, "192.0.2.1", NOW + 6 * TIME_SECOND - 1).allowed);
    CHECK(take(limits, "192.0.2.1", NOW + 6 * TIME_SECOND).allowed);
    CHECK(!take(limits, "192.0.2.1", NOW + 6 * TIME_SECOND).allowed);
    CHECK_INT(take(limits, "192.0.2.1", NOW + 1000 * TIME_SECOND).remaining, 9);
}

TEST(a_refused_request_takes_nothing)
{
    struct limits *limits = limits_of(t);

    for (int i = 0; i < 1000; i++)
        take(limits, "192.0.2.1", NOW);
    CHECK(take(limits, "192.0.2.1", NOW + 6 * TIME_SECOND).allowed);
}

TEST(over_a_long_time_the_pace_is_the_quota)
{
    struct limits *limits = limits_of(t);
    int allowed = 0;

    for (int second = 0; second < 600; second++)
        for (int i = 0; i < 5; i++)
            allowed += take(limits, "192.0.2.1", NOW + second * TIME_SECOND).allowed;
    CHECK_INT(allowed, 10 + 599 / 6);
}

TEST(clients_and_classes_have_buckets_of_their_own)
{
    struct limits *limits = limits_of(t);
    struct limit_client one = at("192.0.2.1");
    struct limit_client user = limit_client_of_user((struct uuid){ { 1 } });

    for (int i = 0; i < 10; i++)
        take(limits, "192.0.2.1", NOW);
    CHECK(!take(limits, "192.0.2.1", NOW).allowed);
    CHECK(take(limits, "192.0.2.2", NOW).allowed);
    CHECK(limits_take(limits, 1, &TEN, &one, NOW).allowed);
    CHECK(limits_take(limits, 0, &TEN, &user, NOW).allowed);
    CHECK_INT(limits_count(limits, NOW), 4);
}

TEST(an_ipv6_client_is_its_64)
{
    struct limits *limits = limits_of(t);

    for (int i = 0; i < 10; i++) {
        const char *address = str_z(t->arena, str_format(t->arena, "2001:db8:1:2::%d", i + 1));
        CHECK(take(limits, address, NOW).allowed);
    }
    CHECK(!take(limits, "2001:db8:1:2:ffff::1", NOW).allowed);
    CHECK(take(limits, "2001:db8:1:3::1", NOW).allowed);
    CHECK(take(limits, "192.0.2.1", NOW).allowed);
    CHECK_INT(at("unix").kind, LIMIT_CLIENT_OTHER);
    CHECK_INT(at("::1").kind, LIMIT_CLIENT_ADDRESS);
}

TEST(no_quota_is_no_limit)
{
    struct limits *limits = limits_of(t);
    struct limit none = { .quota = 0, .window_us = 60 * TIME_SECOND };
    struct limit_client client = at("192.0.2.1");

    for (int i = 0; i < 1000; i++)
        CHECK(limits_take(limits, 0, &none, &client, NOW).allowed);
    CHECK_INT(limits_count(limits, NOW), 0);
}

TEST(the_largest_quota_that_can_be_set_works)
{
    struct limits *limits = limits_of(t);
    struct limit most = { .quota = 1000000000, .window_us = 60 * TIME_SECOND };
    struct limit_client client = at("192.0.2.1");

    struct limit_verdict verdict = limits_take(limits, 0, &most, &client, NOW);
    CHECK(verdict.allowed);
    CHECK_INT(verdict.remaining, 999999999);
    CHECK_INT(verdict.reset_s, 1);
}

TEST(looking_takes_nothing)
{
    struct limits *limits = limits_of(t);
    struct limit_client client = at("192.0.2.1");

    CHECK_INT(limits_peek(limits, 0, &TEN, &client, NOW).remaining, 10);
    CHECK_INT(limits_count(limits, NOW), 0);
    take(limits, "192.0.2.1", NOW);
    CHECK_INT(limits_peek(limits, 0, &TEN, &client, NOW).remaining, 9);
    CHECK_INT(limits_peek(limits, 0, &TEN, &client, NOW).remaining, 9);
}

TEST(a_full_table_forgets_who_used_least)
{
    struct limits *limits = limits_of(t);

    /* One client is at its limit; a crowd that is many times larger than the table comes after. */
    for (int i = 0; i < 11; i++)
        take(limits, "192.0.2.1", NOW);
    for (int i = 0; i < 100 * CLIENTS; i++) {
        const char *address =
            str_z(t->arena, str_format(t->arena, "198.51.%d.%d", i / 250, i % 250));
        CHECK(take(limits, address, NOW).allowed);
    }
    CHECK(!take(limits, "192.0.2.1", NOW).allowed);
    CHECK(limits_count(limits, NOW) <= 2 * CLIENTS);
}

TEST(buckets_that_are_full_again_are_reused)
{
    struct limits *limits = limits_of(t);

    for (int i = 0; i < 100 * CLIENTS; i++)
        take(limits, str_z(t->arena, str_format(t->arena, "198.51.%d.%d", i / 250, i % 250)),
             NOW + i * 6 * TIME_SECOND);
    CHECK_INT(limits_count(limits, NOW + 100 * CLIENTS * 6 * TIME_SECOND), 0);
}
