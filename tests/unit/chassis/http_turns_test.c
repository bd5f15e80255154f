#include "chassis/http_server.h"

#include "os/clock.h"
#include "tests/unit/chassis/http_fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

enum { SHED_AT_ONCE = 60, WAITING = 8, LATE_US_MAX = (HTTP_TURN_MS + 4000) * 1000 };

static int gate_is_shut; /* atomic */

static void look(struct fixture *fixture)
{
    __atomic_store_n(&gate_is_shut, fixture->server->gate.shut, __ATOMIC_SEQ_CST);
}

static bool is_shut(struct fixture *fixture)
{
    fixture_do(fixture, &look);
    return __atomic_load_n(&gate_is_shut, __ATOMIC_SEQ_CST);
}

static struct fixture *server_of(struct test *t, uint32_t refusals_max)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.refusals_max = refusals_max;
    fixture_start(fixture);
    return fixture;
}

/* Asks for what is refused, by new connections, until the gate is shut. */
static void shut(struct fixture *fixture)
{
    for (int i = 0; i < 100 && !is_shut(fixture); i++) {
        int fds[SHED_AT_ONCE];
        for (int j = 0; j < SHED_AT_ONCE; j++) {
            fds[j] = client_connect(fixture->port);
            client_send(fds[j], STR(GET("/shed")));
        }
        for (int j = 0; j < SHED_AT_ONCE; j++) {
            CHECK_INT(answer_status(client_read_answer(fixture->arena, fds[j], true)), 503);
            close(fds[j]);
        }
    }
    CHECK(is_shut(fixture));
}

static void wait_open(struct fixture *fixture)
{
    for (int i = 0; i < 1000 && is_shut(fixture); i++)
        sleep_until(clock_mono_us() + 10000);
    CHECK(!is_shut(fixture));
}

static void connect_all(struct fixture *fixture, int fds[WAITING])
{
    for (int i = 0; i < WAITING; i++)
        fds[i] = client_connect(fixture->port);
}

static void ask_all(const int fds[WAITING])
{
    for (int i = 0; i < WAITING; i++)
        client_send(fds[i], STR(GET("/echo")));
}

static void close_all(const int fds[WAITING])
{
    for (int i = 0; i < WAITING; i++)
        close(fds[i]);
}

static bool has_answer(int fd) { return !client_is_quiet(fd, 0); }

TEST(while_too_much_is_refused_requests_wait_for_their_turn_and_are_served)
{
    struct fixture *fixture = server_of(t, 200);
    int fds[WAITING];
    connect_all(fixture, fds);
    str before = fixture_ask(fixture, STR(GET("/echo")));
    CHECK_INT(answer_status(before), 200);

    shut(fixture);
    ask_all(fds);
    for (int i = 0; i < WAITING; i++) {
        CHECK_INT(answer_status(client_read_answer(t->arena, fds[i], true)), 200);
        close(fds[i]);
    }
    CHECK_INT(answer_status(fixture_ask(fixture, STR(GET("/echo")))), 200); /* a new one */
    wait_open(fixture);
    CHECK_INT(answer_status(fixture_ask(fixture, STR(GET("/worker")))), 200);
    fixture_close(fixture);
}

TEST(the_newest_has_the_next_turn)
{
    struct fixture *fixture = server_of(t, 20);
    int old, new, newest_went_first = 0;

    for (int i = 0; i < 3 && newest_went_first == 0; i++) { /* a turn may fall between the two */
        old = client_connect(fixture->port);
        new = client_connect(fixture->port);
        shut(fixture);
        client_send(old, STR(GET("/echo")));
        client_send(new, STR(GET("/echo")));
        while (!has_answer(old) && !has_answer(new))
            sleep_until(clock_mono_us() + 1000);
        newest_went_first += !has_answer(old);
        close(old);
        close(new);
        wait_open(fixture);
    }
    CHECK(newest_went_first > 0);
    fixture_close(fixture);
}

TEST(who_has_no_turn_for_long_is_refused_unread)
{
    struct fixture *fixture = server_of(t, 1);
    int fds[WAITING], served = 0, refused = 0;
    connect_all(fixture, fds);

    shut(fixture);
    int64_t began_us = clock_mono_us();
    ask_all(fds);
    for (int i = 0; i < WAITING; i++) {
        str answer = client_read_answer(t->arena, fds[i], true);
        served += answer_status(answer) == 200;
        if (answer_status(answer) != 503)
            continue;
        refused++;
        CHECK(clock_mono_us() - began_us >= (HTTP_TURN_MS - 10) * 1000);
        CHECK_STR(answer_header(answer, STR("Connection")), "close");
        CHECK_STR(answer_header(answer, STR("Retry-After")), "1");
        CHECK(client_read(t->arena, fds[i], 1).len == 0);
    }
    CHECK_INT(served + refused, WAITING);
    CHECK(refused > 0);
    CHECK(clock_mono_us() - began_us < LATE_US_MAX);
    close_all(fds);
    wait_open(fixture);
    CHECK_INT(answer_status(fixture_ask(fixture, STR(GET("/echo")))), 200);
    fixture_close(fixture);
}

TEST(who_goes_while_it_waits_is_forgotten)
{
    struct fixture *fixture = server_of(t, 1);
    int fds[WAITING];
    connect_all(fixture, fds);

    shut(fixture);
    int64_t requests = http_stats_of(fixture->server).requests;
    int64_t refused = http_stats_of(fixture->server).refused;
    for (int i = 0; i < WAITING; i++) {
        client_send(fds[i], STR(GET("/echo")));
        close(fds[i]);
    }
    wait_open(fixture);
    for (int i = 0; i < 500 && http_stats_of(fixture->server).connections > 0; i++)
        sleep_until(clock_mono_us() + 10000);
    CHECK_INT(http_stats_of(fixture->server).connections, 0);
    CHECK_INT(http_stats_of(fixture->server).refused, refused);
    CHECK(http_stats_of(fixture->server).requests < requests + WAITING);
    fixture_close(fixture);
}

TEST(a_request_that_has_begun_to_come_has_its_turn_already)
{
    struct fixture *fixture = server_of(t, 1);
    int fd = client_connect(fixture->port);
    client_send(fd, STR("GET /echo HTTP/1.1\r\n"));
    CHECK(client_is_quiet(fd, 50));

    shut(fixture);
    int64_t began_us = clock_mono_us();
    client_send(fd, STR("Host: h\r\n\r\n"));
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 200);
    CHECK(clock_mono_us() - began_us < HTTP_TURN_MS * 1000 / 2);
    close(fd);
    fixture_close(fixture);
}

TEST(a_server_closes_while_requests_wait_for_their_turn)
{
    struct fixture *fixture = server_of(t, 1);
    int fds[WAITING];
    connect_all(fixture, fds);
    shut(fixture);
    ask_all(fds);
    fixture_close(fixture);
    close_all(fds);
}
