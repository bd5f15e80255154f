#include "chassis/http_server.h"

#include "os/clock.h"
#include "tests/unit/chassis/http_fixture.h"
#include <sys/socket.h>

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
    bool was_shut = is_shut(fixture); /* a busy machine may open it before it is looked at again */
    for (int i = 0; i < 100 && !was_shut; i++) {
        int fds[SHED_AT_ONCE];
        for (int j = 0; j < SHED_AT_ONCE; j++) {
            fds[j] = client_connect(fixture->port);
            client_send(fds[j], STR(GET("/shed")));
        }
        for (int j = 0; j < SHED_AT_ONCE; j++) {
            CHECK_INT(answer_status(client_read_answer(fixture->arena, fds[j], true)), 503);
            close(fds[j]);
        }
        was_shut = is_shut(fixture);
    }
    CHECK(was_shut);
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

/* For the next tenth of a second. */
static void give_five_a_tick(struct fixture *fixture)
{
    struct http_gate *gate = &fixture->server->gate;
    gate->since_ms = loop_now_ms(fixture->server->loop);
    gate->turns_ms = 5.0 / HTTP_TICK_MS;
}

TEST(while_too_much_is_refused_requests_wait_for_their_turn_and_are_served)
{
    struct fixture *fixture = server_of(t, 200);
    int fds[WAITING];
    connect_all(fixture, fds);
    str before = fixture_ask(fixture, STR(GET("/echo")));
    CHECK_INT(answer_status(before), 200);

    shut(fixture);
    fixture_do(fixture, &give_five_a_tick);
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
    struct fixture *fixture = server_of(t, 400);
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

/* It is shut, has four turns for whoever comes, and gives no more. */
static void leave_four_turns(struct fixture *fixture)
{
    struct http_server *server = fixture->server;
    loop_timer_stop(server->turns);
    server->gate.shut = true;
    server->gate.since_ms = server->gate.seen_ms = loop_now_ms(server->loop);
    server->gate.turns_ms = 0;
    server->gate.turns = 4;
    http_turns_give(server);
}

static int answers(const int fds[WAITING])
{
    int count = 0;
    for (int i = 0; i < WAITING; i++)
        count += has_answer(fds[i]);
    return count;
}

TEST(turns_that_nobody_waits_for_are_left_to_who_comes_next)
{
    struct fixture *fixture = server_of(t, 1);
    int fds[WAITING];
    connect_all(fixture, fds);
    shut(fixture);

    fixture_do(fixture, &leave_four_turns);
    ask_all(fds);
    while (answers(fds) < 4)
        sleep_until(clock_mono_us() + 1000);
    sleep_until(clock_mono_us() + 20000);
    CHECK_INT(answers(fds), 4);
    fixture_close(fixture);
    close_all(fds);
}

static void stop_turns(struct fixture *fixture)
{
    loop_timer_stop(fixture->server->turns);
    fixture->server->turns_left = 0;
    fixture->server->gate.shut = true;
}

TEST(a_request_whose_peer_has_gone_has_no_turn)
{
    struct fixture *fixture = server_of(t, 1);
    int fd = client_connect(fixture->port);
    shut(fixture);
    fixture_do(fixture, &stop_turns);

    int64_t requests = http_stats_of(fixture->server).requests;
    client_send(fd, STR(GET("/echo")));
    CHECK_INT(shutdown(fd, SHUT_WR), 0);
    sleep_until(clock_mono_us() + 10000);
    fixture_do(fixture, &leave_four_turns);
    CHECK(client_read(t->arena, fd, 1).len == 0);
    CHECK_INT(http_stats_of(fixture->server).requests, requests);
    close(fd);
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
    CHECK(clock_mono_us() - began_us < 500000); /* a turn comes once a second */
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
