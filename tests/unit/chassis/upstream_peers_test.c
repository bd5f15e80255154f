#include "chassis/upstream.h"

#include "os/clock.h"
#include "tests/unit/chassis/http2_script.h"
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

    do /* until both are connected to, and the gate knows */
        CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 200);
    while (http_stats_of(a->server).requests == 0 || http_stats_of(b->server).requests == 0);
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

TEST(one_that_is_back_is_not_left_alone_for_as_long_as_it_was_away)
{
    const char *url = str_z(t->arena, str_format(t->arena, "unix:%s/back.sock", test_folder(t)));
    struct gate *gate = gate_open(t, url, NULL);
    for (int i = 0; i < 8; i++) { /* its pause has grown to seconds */
        CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 503);
        sleep_until(clock_mono_us() + 110 * TIME_MS);
    }
    struct fixture *fixture = fixture_of(t);
    fixture->config.address = str_of_z(url);
    fixture_start(fixture);
    sleep_until(clock_mono_us() + 110 * TIME_MS);
    CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 200);
    gate_close(gate);
    fixture_close(fixture);
}

TEST(who_comes_just_after_a_refusal_waits_for_the_next_look)
{
    const char *url = str_z(t->arena, str_format(t->arena, "unix:%s/next.sock", test_folder(t)));
    struct gate *gate = gate_open(t, url, NULL);
    CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 503);
    int64_t took_us = 0;
    for (int i = 0; i < 20 && took_us < 50 * TIME_MS; i++) { /* a busy machine may be late to ask */
        int64_t began_us = clock_mono_us();
        CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 503);
        took_us = clock_mono_us() - began_us;
    }
    CHECK(took_us >= 50 * TIME_MS);

    struct fixture *fixture = fixture_of(t);
    fixture->config.address = str_of_z(url);
    fixture_start(fixture);
    CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 200);
    gate_close(gate);
    fixture_close(fixture);
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

/* ---- DNS ---- */

/* What DNS says now: the ports of one host's "addresses", which are loopback's 127.0.0.1 and
 * 127.0.0.2; a test cannot have other ports behind one name. */
struct zone {
    const char *addresses[2];
    int count; /* atomic */
    int asked; /* atomic */
};

static size_t zone_answer(void *self, str host, uint16_t port, struct net_address *out, size_t room)
{
    struct zone *zone = self;
    int count = __atomic_load_n(&zone->count, __ATOMIC_SEQ_CST);
    (void)host, (void)room;

    for (int i = 0; i < count; i++)
        CHECK(net_address_read(str_of_z(zone->addresses[i]), port, &out[i]));
    __atomic_fetch_add(&zone->asked, 1, __ATOMIC_SEQ_CST);
    return (size_t)count;
}

static void stop_zone(void *nothing)
{
    (void)nothing;
    dns_use(NULL, NULL);
}

/* Two servers on one port of two addresses. */
static struct fixture *fixture_at(struct test *t, const char *address, int port)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.address = str_format(t->arena, "%s:%d", address, port);
    fixture_start(fixture);
    return fixture;
}

TEST(a_replica_that_dns_begins_to_name_is_asked_and_one_that_it_drops_is_not)
{
    static const char *const settings[] = { "--upstream-dns-interval=100ms", NULL };
    struct zone zone = { .addresses = { "127.0.0.1", "127.0.0.2" }, .count = 1 };
    struct fixture *a = fixture_at(t, "127.0.0.1", 0), *b = fixture_at(t, "127.0.0.2", a->port);

    dns_use(zone_answer, &zone);
    arena_defer(t->arena, stop_zone, NULL);
    struct gate *gate = gate_open(
        t, str_z(t->arena, str_format(t->arena, "dns:///orders.shop.svc:%d", a->port)), settings);
    for (int i = 0; i < 10; i++)
        CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 200);
    CHECK_INT(http_stats_of(b->server).requests, 0);

    __atomic_store_n(&zone.count, 2, __ATOMIC_SEQ_CST);
    int64_t deadline_us = clock_mono_us() + CLIENT_WAIT_MS * TIME_MS;
    while (http_stats_of(b->server).requests < 10 && clock_mono_us() < deadline_us)
        CHECK_INT(gate_ask(gate_request(gate, "POST", "/echo")), 200);
    CHECK(http_stats_of(b->server).requests >= 10);

    zone.addresses[0] = "127.0.0.2";
    __atomic_store_n(&zone.count, 1, __ATOMIC_SEQ_CST);
    while (http_stats_of(a->server).connections > 0 && clock_mono_us() < deadline_us)
        CHECK_INT(gate_ask(gate_request(gate, "POST", "/echo")), 200);
    CHECK_INT(http_stats_of(a->server).connections, 0); /* ended by us, after its last call */
    int64_t before = http_stats_of(a->server).requests;
    for (int i = 0; i < 50; i++)
        CHECK_INT(gate_ask(gate_request(gate, "POST", "/echo")), 200);
    CHECK_INT(http_stats_of(a->server).requests, before);
    gate_close(gate);
    fixture_close(a);
    fixture_close(b);
}

TEST(while_dns_is_away_the_addresses_that_are_known_are_asked)
{
    static const char *const settings[] = { "--upstream-dns-interval=100ms", NULL };
    struct zone zone = { .addresses = { "127.0.0.1" }, .count = 1 };
    struct fixture *fixture = fixture_open(t);

    dns_use(zone_answer, &zone);
    arena_defer(t->arena, stop_zone, NULL);
    struct gate *gate = gate_open(
        t, str_z(t->arena, str_format(t->arena, "http://orders:%d", fixture->port)), settings);
    CHECK_INT(gate_ask(gate_request(gate, "GET", "/echo")), 200);
    __atomic_store_n(&zone.count, 0, __ATOMIC_SEQ_CST);
    int asked = __atomic_load_n(&zone.asked, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&zone.asked, __ATOMIC_SEQ_CST) < asked + 2)
        CHECK_INT(gate_ask(gate_request(gate, "POST", "/echo")), 200);
    gate_close(gate);
    fixture_close(fixture);
}

/* ---- Failures ---- */

TEST(an_address_that_fails_again_and_again_is_left_alone_and_tried_again)
{
    static const char *const settings[] = { "--upstream-failures=3", "--upstream-pause=300ms",
                                            "--upstream-timeout=50ms", NULL };
    struct script *script = script_open(t);
    struct gate *gate = gate_open(
        t, str_z(t->arena, str_format(t->arena, "http://127.0.0.1:%d", script->port)), settings);
    struct asked_of *asked;

    for (int i = 0; i < 3; i++) {
        asked = gate_request(gate, "POST", "/");
        gate_send(asked);
        if (i == 0)
            script_accept(script, true);
        gate_wait(asked);
        CHECK_INT(asked->request.response.status, 504);
    }
    asked = gate_request(gate, "POST", "/");
    CHECK_INT(gate_ask(asked), 503);
    CHECK(has(text_str(&asked->body), "it failed too often"));
    CHECK(asked_of_answer(asked, "Retry-After").len > 0);

    sleep_until(clock_mono_us() + 350 * TIME_MS);
    asked = gate_request(gate, "POST", "/late");
    gate_send(asked);
    struct script_frame frame;
    for (int i = 0; i < 4; i++) /* the three that nobody answered came first */
        frame = script_wait(script, NGHTTP2_HEADERS);
    script_answer(script, frame.id, ":status: 200", true);
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 200);
    asked = gate_request(gate, "POST", "/");
    gate_send(asked);
    script_answer(script, script_wait(script, NGHTTP2_HEADERS).id, ":status: 200", true);
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 200);
    gate_close(gate);
    script_close(script);
}

/* Answers what comes with that status until the request has its answer. True where something came.
 */
static bool answer_until_done(struct script *script, struct asked_of *asked, const char *status)
{
    int64_t deadline_us = clock_mono_us() + CLIENT_WAIT_MS * TIME_MS;
    bool came = false;

    while (!__atomic_load_n(&asked->done, __ATOMIC_SEQ_CST)) {
        CHECK(clock_mono_us() < deadline_us);
        if (client_is_quiet(script->fd, 1))
            continue;
        struct script_frame frame = script_next(script);
        CHECK(frame.type != -1);
        if (frame.type != NGHTTP2_HEADERS)
            continue;
        came = true;
        script_answer(script, frame.id,
                      str_z(script->arena, str_format(script->arena, ":status: %s", status)), true);
    }
    return came;
}

/* A request is sent to one of two; it says 503, and the other 200. */
static int status_after_503(struct test *t, const char *method)
{
    struct fixture *well = fixture_open(t);
    struct script *busy = script_open(t);
    struct gate *gate =
        gate_open(t,
                  str_z(t->arena, str_format(t->arena, "http://127.0.0.1:%d,127.0.0.1:%d",
                                             busy->port, well->port)),
                  NULL);
    struct asked_of *asked = gate_request(gate, "GET", "/echo");
    int status = 0;

    gate_send(asked);
    script_accept(busy, true);
    answer_until_done(busy, asked, "200");
    while (http_stats_of(well->server).connections < 1)
        sleep_until(clock_mono_us() + 1000);
    for (int i = 0; i < 200 && status == 0; i++) {
        asked = gate_request(gate, method, "/echo");
        gate_send(asked);
        if (answer_until_done(busy, asked, "503"))
            status = asked->request.response.status;
    }
    gate_close(gate);
    script_close(busy);
    fixture_close(well);
    return status;
}

TEST(a_read_that_hears_try_again_is_tried_at_another_address_and_a_write_is_not)
{
    CHECK_INT(status_after_503(t, "GET"), 200);
    CHECK_INT(status_after_503(t, "POST"), 503);
}
