#include "chassis/http_server.h"

#include "os/clock.h"
#include "tests/unit/chassis/http2_client.h"
#include "tests/unit/chassis/http_fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

TEST(each_answer_is_told_once_in_either_version)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    for (int i = 0; i < 5; i++) {
        fixture_ask(fixture, STR(GET("/echo")));
        CHECK_INT(h2_read(h2, h2_ask(h2, "GET", "/worker", NULL, STR_NONE))->status, 200);
    }
    fixture_wait(&fixture->served, 10);
    CHECK_INT(http_stats_of(fixture->server).requests, 10);
    CHECK_INT(fixture->served, 10);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(an_answer_that_comes_after_its_peer_has_gone_is_told_and_freed)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/hold")));
    fixture_wait_held(fixture, 1);
    client_reset(fd);
    sleep_until(clock_mono_us() + 10 * TIME_MS);
    fixture_release(fixture);
    fixture_wait(&fixture->served, 1);
    fixture_close(fixture);
}

TEST(a_refusal_of_the_transport_has_ids_and_a_route_of_its_own)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    str answer = fixture_ask(fixture, STR("BREW /pot?secret=1 HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK_INT(answer_status(answer), 501);
    CHECK(answer_header(answer, STR("X-Request-Id")).len > 0);
    const struct h2_answer *other =
        h2_read(h2, h2_ask(h2, "BREW", "/pot?secret=1", NULL, STR_NONE));
    CHECK_INT(other->status, 501);
    CHECK(h2_header(other, "x-request-id").len > 0);
    CHECK_INT(http_stats_of(fixture->server).refused, 2);
    h2_close(h2);
    fixture_close(fixture);
}
