#include "services/gateway/ways.h"

#include "os/loop.h"
#include "tests/lib/test.h"

static const str SERVICES[] = { { "users", 5 }, { "orders", 6 } };

struct fixture {
    struct house house;
    struct loop *loop;
    struct ways *ways;
};

static void fixture_close(void *subject)
{
    struct fixture *fixture = subject;
    ways_close(fixture->ways);
    loop_close(fixture->loop);
}

static struct fixture *fixture_of(struct test *t)
{
    struct fixture *fixture = arena_new(t->arena, struct fixture);
    char *argv[] = { (char *)(uintptr_t) "duka", NULL };
    char *const environment[] = { NULL };
    CHECK_OK(conf_load(t->arena, 1, argv, environment, &fixture->house.conf, NULL));
    fixture->loop = loop_open();
    fixture->ways = ways_open(&fixture->house, fixture->loop);
    arena_defer(t->arena, fixture_close, fixture);
    return fixture;
}

static err load(struct test *t, struct fixture *fixture, const char *yaml, struct routes *out)
{
    CHECK_OK(routes_parse(t->arena, str_of_z(yaml), STR("r.yaml"), SERVICES, 2, out));
    return ways_load(fixture->ways, t->arena, out, SERVICES);
}

TEST(a_url_has_one_upstream_over_all_routes_and_reloads_and_a_service_none)
{
    struct fixture *fixture = fixture_of(t);
    struct routes first, again;
    static const char yaml[] = "- {path: /a, upstream: 'http://a'}\n"
                               "- {path: /b, upstream: 'http://a'}\n"
                               "- {path: /c, upstream: [{to: 'service:orders', weight: 1}, "
                               "{to: 'http://a', weight: 1}]}\n"
                               "- {path: /d, upstream: 'service:users'}\n";

    CHECK_OK(load(t, fixture, yaml, &first));
    CHECK(first.items[0].ways[0].upstream);
    CHECK(first.items[0].ways[0].upstream == first.items[1].ways[0].upstream);
    CHECK(!first.items[2].ways[0].upstream); /* the service, where it is */
    CHECK(first.items[2].ways[1].upstream);  /* of Orders: it vouches for who calls */
    CHECK(first.items[2].ways[1].upstream != first.items[0].ways[0].upstream);
    CHECK_OK(load(t, fixture, yaml, &again));
    CHECK(again.items[0].ways[0].upstream == first.items[0].ways[0].upstream);
}

static const char *many(struct test *t, int from, int count)
{
    struct text yaml = text_init(t->arena, 1024);
    for (int i = from; i < from + count; i++)
        text_add_format(&yaml, "- {path: /x%d, upstream: 'http://host%d'}\n", i, i);
    return str_z(t->arena, text_str(&yaml));
}

TEST(what_nobody_wants_any_more_gives_its_place_back_and_a_load_that_fails_changes_nothing)
{
    struct fixture *fixture = fixture_of(t);
    struct routes routes, kept;

    CHECK_OK(load(t, fixture, many(t, 0, WAYS_MAX - 1), &kept));
    err error = load(t, fixture, many(t, WAYS_MAX, 2), &routes);
    CHECK_ERR(error, SETTING_INVALID); /* old and new ones together are too many */
    CHECK(str_find(error->detail, STR("more than 16 upstreams by URL")) >= 0);
    CHECK_OK(load(t, fixture, many(t, 0, WAYS_MAX), &routes));
    CHECK(routes.items[3].ways[0].upstream == kept.items[3].ways[0].upstream);
    CHECK_OK(load(t, fixture, many(t, 0, 1), &routes));
    for (int from = 1; from < 200; from += WAYS_MAX - 1) { /* more names than metrics keep apart */
        CHECK_OK(load(t, fixture, many(t, from, WAYS_MAX - 1), &routes));
        CHECK_OK(load(t, fixture, many(t, 0, 1), &routes));
    }
}

TEST(https_wants_authorities_that_can_be_read)
{
    struct fixture *fixture = fixture_of(t);
    struct routes routes;
    CHECK_OK(load(t, fixture, "- {path: /a, upstream: 'https://a'}\n", &routes));

    char *argv[] = { (char *)(uintptr_t) "duka", NULL };
    char ca[] = "UPSTREAM_TLS_CA_FILE=/there/is/none.pem";
    char *const environment[] = { ca, NULL };
    CHECK_OK(conf_load(t->arena, 1, argv, environment, &fixture->house.conf, NULL));
    err error = load(t, fixture, "- {path: /b, upstream: 'https://b'}\n", &routes);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_find(error->detail, STR("UPSTREAM_TLS_CA_FILE")) >= 0);
}
