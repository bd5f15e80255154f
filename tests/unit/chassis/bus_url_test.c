#include "chassis/bus_url.h"
#include "tests/lib/test.h"

static struct bus_url url_of(struct test *t, const char *text)
{
    struct bus_url url;
    CHECK_OK(bus_url_parse(t->arena, str_of_z(text), &url));
    return url;
}

TEST(a_url_is_read_in_its_parts)
{
    struct bus_url url = url_of(t, "AMQPS://shop:p%40ss:w@mq.example:5671/my%2Fshop?verify=false");
    CHECK_STR(url.scheme, "amqps");
    CHECK_STR(url.user, "shop");
    CHECK_STR(url.password, "p@ss:w");
    CHECK_STR(url.hosts, "mq.example:5671");
    CHECK_STR(url.path, "my/shop");
    CHECK_STR(bus_url_option(&url, STR("verify"), STR("true")), "false");
    CHECK_STR(bus_url_option(&url, STR("other"), STR("standard")), "standard");
}

TEST(a_scheme_by_itself_is_enough)
{
    struct bus_url url = url_of(t, "local:");
    CHECK_STR(url.scheme, "local");
    CHECK_INT(url.hosts.len, 0);
    CHECK(!url.path.ptr && !url.query.ptr);
}

TEST(a_path_that_is_empty_is_not_one_that_is_absent)
{
    CHECK(url_of(t, "amqp://one/").path.ptr);
    CHECK(!url_of(t, "amqp://one").path.ptr);
}

TEST(host_and_port_are_told_apart)
{
    static const struct {
        const char *url, *host;
        int port;
    } cases[] = {
        { "amqp://one", "one", 5672 },
        { "amqp://one:1234", "one", 1234 },
        { "kafka://one:9092,two:9093", "one", 9092 },
        { "amqp://[::1]:99", "::1", 99 },
        { "amqp://[::1]", "::1", 5672 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bus_url url = url_of(t, cases[i].url);
        str host;
        int port;
        CHECK(bus_url_host(&url, 5672, &host, &port));
        CHECK_STR(host, cases[i].host);
        CHECK_INT(port, cases[i].port);
    }
}

TEST(a_host_that_is_none_is_refused)
{
    static const char *const urls[] = { "amqp://", "amqp://:99", "amqp://one:0", "amqp://one:x",
                                        "amqp://one:65536" };
    str host;
    int port;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct bus_url url = url_of(t, urls[i]);
        CHECK(!bus_url_host(&url, 5672, &host, &port));
    }
}

TEST(what_cannot_be_read_is_refused_without_telling_the_password)
{
    static const char *const urls[] = {
        "", "rabbit", ":", "amqp://u:secret%zz@one", "amqp://%:secret@one", "amqp://u:secret@one/%4"
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct bus_url url;
        err error = bus_url_parse(t->arena, str_of_z(urls[i]), &url);
        CHECK_ERR(error, SETTING_INVALID);
        CHECK(str_find(error->detail, STR("BUS_URL")) >= 0);
        CHECK(str_find(error->detail, STR("secret")) < 0);
    }
}
