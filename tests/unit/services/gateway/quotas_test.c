#include "services/gateway/quotas.h"

#include "tests/lib/test.h"

static err open_with(struct test *t, char *const *environment, struct quotas **out)
{
    char *argv[] = { (char *)(uintptr_t) "duka", NULL };
    const struct conf *conf;

    CHECK_OK(conf_load(t->arena, 1, argv, environment, &conf, NULL));
    return quotas_open(t->arena, t->arena, conf, 100, 7, out);
}

static int allowed_of(struct quotas *quotas, int requests, bool *waits)
{
    const struct limit limit = { .quota = 20, .window_us = 60 * 1000000 };
    struct limit_client client = limit_client_of_address(STR("192.0.2.1"));
    int allowed = 0;

    for (int i = 0; i < requests; i++) {
        struct limit_verdict verdict = quotas_take(quotas, 1, &limit, &client, 1000000);
        allowed += verdict.allowed;
        *waits = verdict.retry_after_s > 0;
    }
    return allowed;
}

TEST(without_redis_each_gateway_has_the_whole_quota)
{
    char *const environment[] = { NULL };
    struct quotas *quotas;
    bool waits;

    CHECK_OK(open_with(t, environment, &quotas));
    CHECK_INT(allowed_of(quotas, 20, &waits), 20);
    CHECK(!waits);
    CHECK_INT(allowed_of(quotas, 5, &waits), 0);
    CHECK(waits);
    quotas_close(quotas);
}

TEST(with_a_redis_that_is_away_too)
{
    char url[] = "LIMITS_REDIS_URL=redis://127.0.0.1:1";
    char *const environment[] = { url, NULL };
    struct quotas *quotas;
    bool waits;

    CHECK_OK(open_with(t, environment, &quotas));
    CHECK_INT(allowed_of(quotas, 30, &waits), 20);
    CHECK(waits);
    quotas_close(quotas);
}

TEST(an_address_that_cannot_be_read_is_refused)
{
    static const char *const wrong[] = { "LIMITS_REDIS_URL=redis", "LIMITS_REDIS_URL=http://a:1",
                                         "LIMITS_REDIS_URL=redis://:6379",
                                         "LIMITS_REDIS_URL=redis://a:port" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char *const environment[] = { (char *)(uintptr_t)wrong[i], NULL };
        struct quotas *quotas;
        err error = open_with(t, environment, &quotas);
        CHECK_ERR(error, SETTING_INVALID);
        CHECK(str_find(error->detail, STR("LIMITS_REDIS_URL")) == 0);
    }
}
