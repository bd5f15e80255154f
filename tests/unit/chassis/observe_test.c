#include "chassis/observe.h"
#include "chassis/trace.h"
#include "tests/lib/test.h"

#include <string.h>

static const struct conf *conf_with(struct test *t, const char *const *environment)
{
    const struct conf *conf;
    char *const argv[] = { "duka", NULL };
    CHECK_OK(conf_load(t->arena, 1, argv, (char *const *)(uintptr_t)environment, &conf, NULL));
    return conf;
}

static str refused(struct test *t, const char *first, const char *second)
{
    const char *const environment[] = { "OTEL_TRACES_EXPORTER=otlp", first, second, NULL };
    struct observe *observe;
    err error = observe_open(t->arena, conf_with(t, environment), "shop", &observe);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(!observe && !trace_is_on());
    return error->detail;
}

TEST(nothing_is_recorded_unless_it_is_asked_for)
{
    static const char *const none[] = { NULL };
    static const char *const disabled[] = { "OTEL_TRACES_EXPORTER=otlp", "OTEL_SDK_DISABLED=true",
                                            NULL };
    struct observe *observe;
    CHECK_OK(observe_open(t->arena, conf_with(t, none), "shop", &observe));
    CHECK(!observe && !trace_is_on());
    CHECK_OK(observe_open(t->arena, conf_with(t, disabled), "shop", &observe));
    CHECK(!observe && !trace_is_on());
    observe_close(NULL);
}

TEST(what_is_asked_for_is_recorded_until_it_closes)
{
    static const char *const exporters[] = { "OTEL_TRACES_EXPORTER=otlp",
                                             "OTEL_TRACES_EXPORTER=zipkin" };
    for (int i = 0; i < 2; i++) {
        const char *const environment[] = { exporters[i],
                                            "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1/",
                                            "OTEL_EXPORTER_ZIPKIN_ENDPOINT=http://127.0.0.1:1/",
                                            "OTEL_EXPORTER_OTLP_HEADERS=a=b,c=d=e", NULL };
        struct observe *observe;
        CHECK_OK(observe_open(t->arena, conf_with(t, environment), "shop", &observe));
        CHECK(observe && trace_is_on());
        observe_close(observe);
        CHECK(!trace_is_on());
    }
}

TEST(a_setting_that_cannot_be_is_named)
{
    CHECK(str_find(refused(t, "OTEL_TRACES_SAMPLER=sometimes", NULL),
                   STR("parentbased_traceidratio")) >= 0);
    CHECK(str_find(refused(t, "OTEL_TRACES_SAMPLER_ARG=2", NULL),
                   STR("OTEL_TRACES_SAMPLER_ARG is \"2\"")) >= 0);
    CHECK(str_find(refused(t, "OTEL_TRACES_SAMPLER_ARG=nan", NULL), STR("from 0 to 1")) >= 0);
    CHECK(str_find(refused(t, "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", NULL),
                   STR("OTEL_EXPORTER_OTLP_ENDPOINT is \"collector:4318\"")) >= 0);
    CHECK(str_find(refused(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=x", NULL),
                   STR("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) >= 0);
    str secret = refused(t, "OTEL_EXPORTER_OTLP_HEADERS=authorization", NULL);
    CHECK(str_find(secret, STR("OTEL_EXPORTER_OTLP_HEADERS")) >= 0);
    CHECK(str_find(secret, STR("authorization")) < 0); /* a secret is not told */
}
