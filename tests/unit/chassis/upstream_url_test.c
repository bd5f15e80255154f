#include "chassis/upstream_url.h"

#include "tests/lib/test.h"

static struct upstream_url read_url(struct test *t, const char *text)
{
    struct upstream_url url;
    CHECK_OK(upstream_url_read(t->arena, str_of_z(text), "ORDERS_URL", &url));
    return url;
}

TEST(a_name_has_the_usual_port_of_its_scheme_or_its_own)
{
    struct upstream_url url = read_url(t, "http://orders-service");
    CHECK(!url.tls && url.hosts_count == 1);
    CHECK_STR(url.hosts[0].name, "orders-service");
    CHECK_INT(url.hosts[0].port, 80);
    CHECK_STR(url.authority, "orders-service");

    url = read_url(t, "https://orders.shop:8443/");
    CHECK(url.tls);
    CHECK_INT(url.hosts[0].port, 8443);
    CHECK_STR(url.authority, "orders.shop:8443");
    CHECK_INT(read_url(t, "https://orders").hosts[0].port, 443);

    url = read_url(t, "dns:///orders-service.shop.svc.cluster.local:80");
    CHECK(!url.tls);
    CHECK_STR(url.hosts[0].name, "orders-service.shop.svc.cluster.local");
    CHECK_INT(url.hosts[0].port, 80);
}

TEST(addresses_and_sockets_are_hosts_and_there_may_be_several)
{
    struct upstream_url url = read_url(t, "http://10.0.0.1:3000, [2001:db8::1]:3001,b");
    CHECK_INT(url.hosts_count, 3);
    CHECK_STR(url.hosts[0].name, "10.0.0.1");
    CHECK_STR(url.hosts[1].name, "2001:db8::1");
    CHECK_INT(url.hosts[1].port, 3001);
    CHECK_STR(url.hosts[2].name, "b");
    CHECK_INT(url.hosts[2].port, 80);
    CHECK_INT(read_url(t, "http://[::1]").hosts[0].port, 80);

    url = read_url(t, "unix:/run/duka/orders.sock");
    CHECK_STR(url.hosts[0].name, "/run/duka/orders.sock");
    CHECK_INT(url.hosts[0].port, 0);
    CHECK_STR(url.authority, "localhost");
}

TEST(what_is_no_place_is_refused_with_the_settings_name)
{
    static const char *const wrong[] = {
        "",
        "orders",
        "orders:80",
        "ftp://orders",
        "http://",
        "http:///",
        "http://a/b",
        "http://u@a",
        "http://a:0",
        "http://a:65536",
        "http://a:",
        "http://[::1",
        "http://[::1]x",
        "http://a,,b",
        "http://a b",
        "http://a,",
        "unix:relative",
        "unix:",
        "dns://orders",
        "http://a?b",
        "HTTP://a",
        "http://[1.2.3.4]x",
    };
    struct upstream_url url;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        err error = upstream_url_read(t->arena, str_of_z(wrong[i]), "ORDERS_URL", &url);
        if (!err_is(error, SETTING_INVALID))
            FAIL("\"%s\" is taken", wrong[i]);
        CHECK(str_starts(error->detail, STR("ORDERS_URL: ")));
    }
    struct text many = text_init(t->arena, 256);
    text_add(&many, STR("http://a"));
    for (int i = 1; i < UPSTREAM_HOSTS_MAX; i++)
        text_add(&many, STR(",a"));
    CHECK_OK(upstream_url_read(t->arena, text_str(&many), "ORDERS_URL", &url));
    text_add(&many, STR(",a"));
    CHECK_ERR(upstream_url_read(t->arena, text_str(&many), "ORDERS_URL", &url), SETTING_INVALID);
}
