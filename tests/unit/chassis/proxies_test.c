#include "chassis/proxies.h"

#include "tests/lib/test.h"

static struct proxies proxies_of(struct test *t, const char *text)
{
    struct proxies proxies;
    CHECK_OK(proxies_parse(t->arena, str_of_z(text), &proxies));
    return proxies;
}

static bool have(struct test *t, const char *text, const char *address)
{
    struct proxies proxies = proxies_of(t, text);
    struct address parsed;
    CHECK(address_parse(str_of_z(address), &parsed));
    return proxies_have(&proxies, &parsed);
}

/* ---- Addresses and ranges ---- */

TEST(addresses_of_both_families_are_read)
{
    static const char *const right[] = { "192.0.2.1", "0.0.0.0",     "255.255.255.255", "::",
                                         "::1",       "2001:db8::1", "::ffff:192.0.2.1" };
    static const char *const wrong[] = { "",
                                         "192.0.2",
                                         "192.0.2.256",
                                         "192.0.2.1 ",
                                         "host",
                                         ":::",
                                         "192.0.2.1:80",
                                         "[::1]",
                                         "fe80::1%eth0",
                                         "1.2.3.4.5",
                                         "2001:db8:0000:0000:0000:0000:0000:0000:0000:0001" };
    struct address address;

    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        CHECK(address_parse(str_of_z(right[i]), &address));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(!address_parse(str_of_z(wrong[i]), &address));
    CHECK(!address_parse(STR("1.2.3.4\0x"), &address));
}

TEST(an_ipv4_address_is_the_same_inside_ipv6)
{
    struct address plain, mapped;
    CHECK(address_parse(STR("192.0.2.1"), &plain));
    CHECK(address_parse(STR("::ffff:192.0.2.1"), &mapped));
    CHECK_BYTES(plain.bytes, mapped.bytes, ADDRESS_BYTES);
    CHECK(address_is_v4(&mapped));
    CHECK(address_parse(STR("::1"), &mapped));
    CHECK(!address_is_v4(&mapped));
}

TEST(a_range_has_what_its_prefix_says)
{
    CHECK(have(t, "10.0.0.0/8", "10.255.0.1"));
    CHECK(!have(t, "10.0.0.0/8", "11.0.0.1"));
    CHECK(have(t, "192.0.2.128/25", "192.0.2.200"));
    CHECK(!have(t, "192.0.2.128/25", "192.0.2.127"));
    CHECK(have(t, "192.0.2.1", "192.0.2.1"));
    CHECK(!have(t, "192.0.2.1", "192.0.2.2"));
    CHECK(have(t, "0.0.0.0/0", "203.0.113.9"));
    CHECK(!have(t, "0.0.0.0/0", "2001:db8::1"));
    CHECK(have(t, "::/0", "2001:db8::1"));
    CHECK(have(t, "2001:db8::/33", "2001:db8:7fff::1"));
    CHECK(!have(t, "2001:db8::/33", "2001:db8:8000::1"));
    CHECK(have(t, " 10.0.0.0/8 , , ::1 ", "::1"));
    CHECK(!have(t, "", "::1"));
}

TEST(a_range_that_is_not_one_is_refused_by_name)
{
    static const char *const wrong[] = { "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/x",
                                         "10.0.0.1/8",  "::1/64",      "::/129",    "proxy",
                                         "10.0.0/8",    "10.0.0.0/8/8" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct proxies proxies;
        err error = proxies_parse(t->arena, str_of_z(wrong[i]), &proxies);
        CHECK_ERR(error, SETTING_INVALID);
        CHECK(str_find(error->detail, STR("TRUSTED_PROXIES")) == 0);
        CHECK(str_find(error->detail, str_of_z(wrong[i])) > 0);
    }
}

TEST(there_are_at_most_so_many_ranges)
{
    struct text text = text_init(t->arena, 1024);
    struct proxies proxies;
    for (int i = 0; i < PROXIES_MAX; i++)
        text_add_format(&text, "10.0.0.%d,", i);
    CHECK_OK(proxies_parse(t->arena, text_str(&text), &proxies));
    CHECK_INT(proxies.count, PROXIES_MAX);
    text_add(&text, STR("10.0.1.0"));
    CHECK_ERR(proxies_parse(t->arena, text_str(&text), &proxies), SETTING_INVALID);
}

/* ---- The client ---- */

static str client_of(struct test *t, const char *trusted, const char *peer, const char *first,
                     const char *second)
{
    struct header headers[] = { { STR("x-forwarded-for"), str_of_z(first) },
                                { STR("other"), STR("192.0.2.99") },
                                { STR("x-forwarded-for"), str_of_z(second) } };
    struct request request = { .peer_address = str_of_z(peer),
                               .headers = headers,
                               .headers_count = second  ? 3
                                                : first ? 1
                                                        : 0 };
    struct proxies proxies = proxies_of(t, trusted);
    return client_address_of(&proxies, &request);
}

TEST(without_trusted_proxies_the_peer_is_the_client)
{
    CHECK_STR(client_of(t, "", "192.0.2.1", "203.0.113.7", NULL), "192.0.2.1");
    CHECK_STR(client_of(t, "10.0.0.0/8", "192.0.2.1", "203.0.113.7", NULL), "192.0.2.1");
    CHECK_STR(client_of(t, "10.0.0.0/8", "unix", "203.0.113.7", NULL), "unix");
}

TEST(behind_trusted_proxies_the_rightmost_untrusted_address_is_the_client)
{
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "203.0.113.7", NULL), "203.0.113.7");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "198.51.100.1, 203.0.113.7, 10.0.0.2", NULL),
              "203.0.113.7");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "198.51.100.1", "203.0.113.7 , 10.0.0.2"),
              "203.0.113.7");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "198.51.100.1", "10.0.0.3, 10.0.0.2"),
              "198.51.100.1");
    CHECK_STR(client_of(t, "10.0.0.0/8", "::ffff:10.0.0.1", "2001:db8::5", NULL), "2001:db8::5");
}

TEST(where_all_are_trusted_the_leftmost_is_the_client)
{
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "10.0.0.9, 10.0.0.2", NULL), "10.0.0.9");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", NULL, NULL), "10.0.0.1");
}

TEST(ports_and_brackets_are_not_part_of_the_address)
{
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "203.0.113.7:4711", NULL), "203.0.113.7");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "[2001:db8::5]:4711", NULL), "2001:db8::5");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "[2001:db8::5]", NULL), "2001:db8::5");
}

TEST(what_cannot_be_read_ends_the_search_at_the_last_that_could)
{
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "203.0.113.7, unknown", NULL), "10.0.0.1");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "unknown, 10.0.0.2", NULL), "10.0.0.2");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "203.0.113.7,", NULL), "10.0.0.1");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "", NULL), "10.0.0.1");
    CHECK_STR(client_of(t, "10.0.0.0/8", "10.0.0.1", "[::1", NULL), "10.0.0.1");
}

TEST(headers_of_our_own_services_are_dropped)
{
    struct header headers[] = { { STR("x-duka-identity"), STR("admin") },
                                { STR("accept"), STR("a") },
                                { STR("x-duka-"), STR("b") },
                                { STR("x-dukat"), STR("c") } };
    struct request request = { .headers = headers, .headers_count = 4 };
    internal_headers_drop(&request);
    CHECK_INT(request.headers_count, 2);
    CHECK_STR(request.headers[0].name, "accept");
    CHECK_STR(request.headers[1].name, "x-dukat");
}

/* ---- Prefixes ---- */

static str restored(struct test *t, const char *peer, const char *prefix, const char *path)
{
    struct proxies proxies = proxies_of(t, "10.0.0.0/8");
    struct header headers[] = { { STR("x-forwarded-prefix"), str_of_z(prefix) },
                                { STR("accept"), STR("*/*") } };
    struct request request = { .arena = t->arena,
                               .path = str_of_z(path),
                               .peer_address = str_of_z(peer),
                               .headers = headers,
                               .headers_count = 2 };

    forwarded_prefix_restore(&proxies, &request);
    CHECK_INT(request.headers_count, 1);
    forwarded_prefix_restore(&proxies, &request);
    return request.path;
}

TEST(what_a_trusted_proxy_took_off_the_path_is_put_back_once)
{
    CHECK_STR(restored(t, "10.1.2.3", "/users", "/me"), "/users/me");
    CHECK_STR(restored(t, "10.1.2.3", "/users", "/"), "/users");
    CHECK_STR(restored(t, "10.1.2.3", "/products", "/products"), "/products/products");
    CHECK_STR(restored(t, "10.1.2.3", "/a/b", "/c"), "/a/b/c");
}

TEST(a_prefix_from_elsewhere_or_that_is_none_counts_for_nothing)
{
    static const char *const wrong[] = { "",         "/",         "users",  "/users/", "//users",
                                         "/us//ers", "/../users", "/us%2f", "/a, /b",  "/a?b" };

    CHECK_STR(restored(t, "192.0.2.1", "/users", "/me"), "/me");
    CHECK_STR(restored(t, "unix", "/users", "/me"), "/me");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_STR(restored(t, "10.1.2.3", wrong[i], "/me"), "/me");
}
