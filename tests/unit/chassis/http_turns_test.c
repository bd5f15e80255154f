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

/* ---- Who is refused again and again ---- */

/* The loop counts whole milliseconds, from the beginning of its turn. */
enum { REST_US_MIN = (HTTP_REST_MS - 10) * 1000 };

static bool is_proxy(void *self, str peer)
{
    (void)self;
    (void)peer;
    return true;
}

static int ask_again(struct test *t, int fd, const char *bytes)
{
    client_send(fd, str_of_z(bytes));
    return answer_status(client_read_answer(t->arena, fd, true));
}

TEST(who_comes_again_at_once_after_being_shed_hears_so_a_little_later)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    CHECK_INT(ask_again(t, fd, GET("/shed")), 503);
    int64_t began_us = clock_mono_us();
    CHECK_INT(ask_again(t, fd, GET("/shed")), 503);
    CHECK(clock_mono_us() - began_us >= REST_US_MIN);

    /* What comes by the same connection is no slower for it: it may be another's. */
    began_us = clock_mono_us();
    CHECK_INT(ask_again(t, fd, GET("/echo")), 200);
    CHECK(clock_mono_us() - began_us < REST_US_MIN);

    /* What was sent meanwhile is not lost. */
    began_us = clock_mono_us();
    client_send(fd, STR(GET("/shed") GET("/shed") GET("/echo")));
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 503);
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 503);
    CHECK(clock_mono_us() - began_us >= REST_US_MIN);
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 200);
    close(fd);
    fixture_close(fixture);
}

static void wait_until_asked(struct fixture *fixture, int64_t count)
{
    while (http_stats_of(fixture->server).requests < count)
        sleep_until(clock_mono_us() + 1000);
}

TEST(who_has_yet_to_hear_that_it_was_shed_may_end_its_half_or_go)
{
    struct fixture *fixture = fixture_open(t);
    int half = client_connect(fixture->port), gone = client_connect(fixture->port);

    client_send(half, STR(GET("/shed") GET("/shed")));
    client_send(gone, STR(GET("/shed") GET("/shed")));
    wait_until_asked(fixture, 4);
    close(gone);
    shutdown(half, SHUT_WR);
    CHECK_INT(answer_status(client_read_answer(t->arena, half, true)), 503);
    str last = client_read_all(t->arena, half);
    CHECK_INT(answer_status(last), 503);
    CHECK_STR(answer_header(last, STR("Connection")), "close");
    close(half);
    fixture_close(fixture);
}

TEST(a_server_that_closes_tells_at_once_who_was_shed)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/shed") GET("/shed")));
    wait_until_asked(fixture, 2);
    int64_t began_us = clock_mono_us();
    fixture_close(fixture);
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 503);
    str last = client_read_all(t->arena, fd);
    CHECK_INT(answer_status(last), 503);
    CHECK_STR(answer_header(last, STR("Connection")), "close");
    CHECK(clock_mono_us() - began_us < REST_US_MIN);
    close(fd);
}

TEST(who_asks_more_than_it_may_is_read_later_and_a_proxy_is_not)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    CHECK_INT(ask_again(t, fd, GET("/limited")), 429);
    CHECK_INT(ask_again(t, fd, GET("/echo")), 200);
    CHECK_INT(ask_again(t, fd, GET("/limited")), 429);
    int64_t began_us = clock_mono_us();
    CHECK_INT(ask_again(t, fd, GET("/limited")), 429);
    CHECK_INT(ask_again(t, fd, GET("/echo")), 200);
    CHECK(clock_mono_us() - began_us >= (HTTP_LIMITED_MS - 10) * 1000);
    close(fd);
    fixture_close(fixture);

    fixture = fixture_of(t);
    fixture->is_proxy = is_proxy;
    fixture_start(fixture);
    fd = client_connect(fixture->port);
    began_us = clock_mono_us();
    for (int i = 0; i < 4; i++)
        CHECK_INT(ask_again(t, fd, GET("/limited")), 429);
    CHECK(clock_mono_us() - began_us < 3 * HTTP_LIMITED_MS * 1000);
    close(fd);
    fixture_close(fixture);
}

TEST(who_is_shed_once_hears_so_at_once)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port), pairs = 100;

    int64_t began_us = clock_mono_us();
    for (int i = 0; i < pairs; i++) {
        CHECK_INT(ask_again(t, fd, GET("/shed")), 503);
        CHECK_INT(ask_again(t, fd, GET("/echo")), 200);
    }
    CHECK(clock_mono_us() - began_us < pairs * HTTP_REST_MS * 1000);
    close(fd);
    fixture_close(fixture);
}
