#include "chassis/upstream.h"

#include "os/clock.h"
#include "tests/unit/chassis/upstream_fixture.h"

static bool has(str text, const char *part) { return str_find(text, str_of_z(part)) >= 0; }

static const char *url_of(struct test *t, const struct fixture *a, const struct fixture *b)
{
    return str_z(t->arena,
                 str_format(t->arena, "http://127.0.0.1:%d,127.0.0.1:%d", a->port, b->port));
}

TEST(all_addresses_get_their_share)
{
    struct fixture *a = fixture_open(t), *b = fixture_open(t);
    struct gate *gate = gate_open(t, url_of(t, a, b), NULL);
    struct asked_of *asked[100];

    CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 200); /* both are connected to */
    while (http_stats_of(a->server).connections + http_stats_of(b->server).connections < 2)
        sleep_until(clock_mono_us() + 1000);
    for (int i = 0; i < 100; i++) {
        asked[i] = gate_request(gate, "GET", "/worker");
        gate_send(asked[i]);
    }
    for (int i = 0; i < 100; i++) {
        gate_wait(asked[i]);
        CHECK_INT(asked[i]->request.response.status, 200);
    }
    CHECK(http_stats_of(a->server).requests > 20);
    CHECK(http_stats_of(b->server).requests > 20);
    gate_close(gate);
    fixture_close(a);
    fixture_close(b);
}

TEST(an_address_where_nobody_listens_is_left_out)
{
    struct fixture *a = fixture_open(t), *b = fixture_open(t);
    struct gate *gate = gate_open(t, url_of(t, a, b), NULL);

    fixture_close(b);
    for (int i = 0; i < 50; i++)
        CHECK_INT(gate_ask(gate_request(gate, "POST", "/echo")), 200);
    CHECK_INT(http_stats_of(a->server).requests, 50);
    CHECK(upstream_ready(gate->upstream));
    gate_close(gate);
    fixture_close(a);
}

TEST(more_requests_than_a_connection_takes_open_another)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_open(
        t, str_z(t->arena, str_format(t->arena, "http://127.0.0.1:%d", fixture->port)), NULL);
    struct asked_of *asked[300];

    for (int i = 0; i < 300; i++) {
        asked[i] = gate_request(gate, "GET", "/echo");
        gate_send(asked[i]);
    }
    for (int i = 0; i < 300; i++) {
        gate_wait(asked[i]);
        CHECK_INT(asked[i]->request.response.status, 200);
    }
    CHECK(http_stats_of(fixture->server).accepted <= 4);
    gate_close(gate);
    fixture_close(fixture);
}

TEST(a_name_that_nobody_knows_is_unavailable)
{
    struct gate *gate = gate_open(t, "http://no-such-host.invalid", NULL);
    struct asked_of *asked = gate_request(gate, "GET", "/");

    CHECK(upstream_ready(gate->upstream));
    CHECK_INT(gate_ask(asked), 503);
    CHECK(has(text_str(&asked->body), "upstream.unavailable"));
    CHECK(!upstream_ready(gate->upstream));
    gate_close(gate);
}
