#include "chassis/bus_driver.h"
#include "tests/lib/test.h"

static err open_with(struct test *t, const char *url, const char *prefix)
{
    struct bus *bus;
    struct bus_config config = { .url = str_of_z(url),
                                 .prefix = str_of_z(prefix),
                                 .events_max = BUS_BATCH_MAX };
    err error = bus_open(t->arena, &config, &bus);
    if (error == OK)
        bus_close(bus);
    return error;
}

TEST(a_bus_is_opened_by_its_url_and_reaches_for_no_broker)
{
    CHECK_OK(open_with(t, "", ""));
    CHECK_OK(open_with(t, "local:", "ignored"));
    CHECK_OK(open_with(t, "amqp://nowhere.invalid:1/shop", "a-B_9"));
    CHECK_OK(open_with(t, "amqps://nowhere.invalid", ""));
    CHECK_OK(open_with(t, "kafka://nowhere.invalid:1,elsewhere.invalid:1", ""));
    CHECK_OK(open_with(t, "sqs://id:secret@nowhere.invalid/?region=eu-west-1", ""));
}

TEST(a_wrong_url_is_refused_with_the_setting_that_is_wrong)
{
    static const char *const urls[] = { "nats://one", "local:host", "local:?a=b",
                                        "amqp:", "amqp://host:port" };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        err error = open_with(t, urls[i], "");
        CHECK_ERR(error, SETTING_INVALID);
        CHECK(str_find(error->detail, STR("BUS_")) >= 0);
    }
    err error = open_with(t, "local:", "two words");
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("BUS_PREFIX")) >= 0);
}

TEST(a_prefix_ends_with_the_separator_of_the_broker)
{
    struct bus_config config = { .prefix = STR("staging") }, none = { .prefix = STR("") };
    CHECK_STR(bus_prefix(t->arena, &config, '.'), "staging.");
    CHECK_STR(bus_prefix(t->arena, &none, '.'), "");
}

TEST(a_kept_event_lives_by_itself)
{
    char type[] = "t", topic[] = "o", key[] = "k", payload[] = "\0p", trace[] = "r";
    struct bus_event event = { .type = STR_NONE,
                               .topic = str_of_z(topic),
                               .key = str_of_z(key),
                               .payload = str_of(payload, 2),
                               .traceparent = str_of_z(trace),
                               .number = 7 },
                     kept;
    event.type = str_of_z(type);
    char *block = bus_event_keep(5, &event, &kept);
    memset(block, 'x', 5);
    type[0] = topic[0] = key[0] = payload[1] = trace[0] = '?';
    bool same = str_equal(kept.type, STR("t")) && str_equal(kept.topic, STR("o")) &&
                str_equal(kept.key, STR("k")) && str_equal(kept.payload, str_of("\0p", 2)) &&
                str_equal(kept.traceparent, STR("r")) && kept.number == 7;
    free(block);
    CHECK(same);
}

TEST(a_subscription_has_its_topics_and_no_others)
{
    static const char *const topics[] = { "orders.v1", "users.v1" };
    struct bus_subscription subscription;
    bus_subscription_set(&subscription, &(struct bus_consumer){ .name = "one" }, topics, 2);
    CHECK(bus_subscription_has(&subscription, STR("users.v1")));
    CHECK(!bus_subscription_has(&subscription, STR("users.v")));
}
