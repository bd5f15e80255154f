/* What it is opened with; that it carries events is held by tests/wire/bus_test.c. */
#include "chassis/bus.h"
#include "tests/lib/test.h"

static const char *const TOPICS[] = { "orders.v1" };
static const struct bus_listener LISTENERS[] = { { "products", TOPICS, 1 } };

static err open_at(struct test *t, const char *url, const char *password, const str *places)
{
    struct bus *bus;
    struct bus_config config = { .url = str_of_z(url),
                                 .password = str_of_z(password),
                                 .listeners = LISTENERS,
                                 .listeners_count = 1,
                                 .places = places,
                                 .events_max = BUS_BATCH_MAX };
    err error = bus_open(t->arena, &config, &bus);
    if (error == OK) {
        CHECK_INT(bus_backlog(bus), 0);
        bus_close(bus);
    }
    return error;
}

static err open_with(struct test *t, const char *url, const char *password)
{
    return open_at(t, url, password, NULL);
}

TEST(it_wants_to_know_where_each_consumer_is)
{
    CHECK_OK(open_with(t, "direct:?products=http://products:3000", "sixteen letters!"));
    CHECK_OK(open_with(t, "direct:?x=y&products=https://products/", "sixteen letters!,old"));
    static const char *const urls[] = { "direct:", "direct:?orders=http://orders",
                                        "direct:?products=products:3000" };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        err error = open_with(t, urls[i], "sixteen letters!");
        CHECK_ERR(error, SETTING_INVALID);
        CHECK(str_find(error->detail, STR("direct:?products=http://products:3000")) >= 0);
    }
}

TEST(who_is_not_named_is_where_the_shop_finds_it)
{
    static const str usual[] = { STR("http://products-service") },
                     dns[] = { STR("dns:///products.shop.svc:80") },
                     several[] = { STR("http://10.0.0.1,10.0.0.2") }, none[] = { STR_NONE };
    CHECK_OK(open_at(t, "direct:", "sixteen letters!", usual));
    CHECK_OK(open_at(t, "direct:", "sixteen letters!", dns));
    CHECK_OK(open_at(t, "direct:?products=http://p", "sixteen letters!", several));
    CHECK_ERR(open_at(t, "direct:", "sixteen letters!", several), SETTING_INVALID);
    CHECK_ERR(open_at(t, "direct:", "sixteen letters!", none), SETTING_INVALID);
}

TEST(it_wants_a_secret_of_some_length)
{
    err error = open_with(t, "direct:?products=http://products:3000", "short");
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("BUS_PASSWORD")) >= 0);
}
