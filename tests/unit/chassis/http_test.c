#include "chassis/http.h"

#include "os/clock.h"
#include "tests/unit/chassis/http_fixture.h"

#include <sys/stat.h>

#define GET "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"
#define HOLD "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"

static void never(void *self, struct request *request)
{
    (void)self;
    (void)request;
    abort();
}

static void stop_loop(void *loop) { loop_stop(loop); }

TEST(a_taken_address_fails_with_its_setting)
{
    struct fixture *fixture = fixture_open(t);
    struct http_config config = fixture->config;
    struct http_handler handler = { .handle = never };
    struct http_server *second;

    config.address = str_format(t->arena, "127.0.0.1:%d", fixture->port);
    err error = http_open(t->arena, fixture->loop, &config, &handler, &second);
    CHECK_ERR(error, ADDRESS_TAKEN);
    CHECK(str_find(error->detail, STR("LISTEN_ADDR")) >= 0);
    fixture_close(fixture);
}

TEST(the_operators_socket_is_known)
{
    struct fixture *fixture = fixture_of(t);
    const char *path = str_z(t->arena, str_format(t->arena, "%s/s", test_folder(t)));
    fixture->config.address = str_format(t->arena, "unix:%s", path);
    fixture_start(fixture);

    struct stat stat;
    CHECK_INT(lstat(path, &stat), 0);
    CHECK_INT(stat.st_mode & 0777, 0600);
    int fd = client_connect_unix(path);
    client_send(fd, STR(GET));
    CHECK(str_find(client_read_answer(t->arena, fd, true), STR("peer=unix")) > 0);
    close(fd);
    fixture_close(fixture);
}

TEST(above_the_allowed_connections_one_hears_503)
{
    struct fixture *fixture = fixture_of(t);
    int fds[2];
    fixture->config.connections_max = 2;
    fixture_start(fixture);

    for (int i = 0; i < 2; i++) {
        fds[i] = client_connect(fixture->port);
        client_send(fds[i], STR(GET));
        CHECK_INT(answer_status(client_read_answer(t->arena, fds[i], true)), 200);
    }
    str refused = fixture_ask_all(fixture, STR(GET));
    CHECK_INT(answer_status(refused), 503);
    CHECK_STR(answer_header(refused, STR("Connection")), "close");
    CHECK_STR(answer_header(refused, STR("Retry-After")), "1");
    CHECK(str_find(answer_body(refused), STR("\"code\":\"call.overloaded\"")) > 0);

    struct http_stats stats = http_stats_of(fixture->server);
    CHECK_INT(stats.connections, 2);
    CHECK_INT(stats.accepted, 3);
    CHECK_INT(stats.requests, 2);
    CHECK_INT(stats.refused, 1);

    /* Those who were there are not disturbed, and a place that is left is given away. */
    client_send(fds[0], STR(GET));
    CHECK_INT(answer_status(client_read_answer(t->arena, fds[0], true)), 200);
    close(fds[0]);
    int64_t deadline_us = clock_mono_us() + CLIENT_WAIT_MS * TIME_MS;
    while (http_stats_of(fixture->server).connections == 2 && clock_mono_us() < deadline_us)
        sleep_until(clock_mono_us() + 200);
    CHECK_INT(answer_status(fixture_ask(fixture, STR(GET))), 200);
    close(fds[1]);
    fixture_close(fixture);
}

/* ---- The end ---- */

static void act_drain(struct fixture *fixture) { http_drain(fixture->server); }

TEST(a_draining_server_says_close_and_still_takes_connections)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET));
    CHECK(!answer_header(client_read_answer(t->arena, fd, true), STR("Connection")).ptr);
    fixture_do(fixture, act_drain);
    client_send(fd, STR(GET));
    CHECK_STR(answer_header(client_read_answer(t->arena, fd, true), STR("Connection")), "close");
    CHECK_STR(client_read_all(t->arena, fd), "");
    close(fd);
    CHECK_STR(answer_header(fixture_ask_all(fixture, STR(GET)), STR("Connection")), "close");
    fixture_close(fixture);
}

TEST(closing_ends_idle_connections_and_waits_for_requests_at_work)
{
    struct fixture *fixture = fixture_open(t);
    int idle = client_connect(fixture->port), busy = client_connect(fixture->port);

    client_send(busy, STR(HOLD));
    fixture_wait_held(fixture, 1);
    fixture_close_server(fixture, CLIENT_WAIT_MS);
    CHECK_STR(client_read_all(t->arena, idle), "");
    CHECK(client_is_quiet(busy, 20));
    CHECK_INT(__atomic_load_n(&fixture->closed, __ATOMIC_SEQ_CST), 0);

    fixture_release(fixture);
    str answer = client_read_all(t->arena, busy);
    CHECK_INT(answer_status(answer), 200);
    CHECK_STR(answer_header(answer, STR("Connection")), "close");
    close(idle);
    close(busy);
    fixture_end(fixture);
}

TEST(closing_waits_no_longer_than_its_grace_and_a_late_answer_is_dropped)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(HOLD));
    fixture_wait_held(fixture, 1);
    fixture_close_server(fixture, 20);
    CHECK_STR(client_read_all(t->arena, fd), "");
    fixture_wait(&fixture->closed, 1);
    fixture_release(fixture); /* frees the request, and the server with it */
    close(fd);
    fixture_end(fixture);
}

TEST(a_server_that_nobody_visits_closes_at_once) { fixture_close(fixture_open(t)); }

TEST(a_closed_server_takes_no_connections)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);
    client_send(fd, STR(HOLD));
    fixture_wait_held(fixture, 1);
    fixture_close_server(fixture, CLIENT_WAIT_MS);

    struct loop *loop = loop_open(); /* the port is free again */
    struct http_config config = fixture->config;
    struct http_handler handler = { .handle = never };
    struct http_server *next;
    config.address = str_format(t->arena, "127.0.0.1:%d", fixture->port);
    CHECK_OK(http_open(t->arena, loop, &config, &handler, &next));
    http_close(next, 0, stop_loop, loop);
    loop_run(loop);
    loop_close(loop);

    fixture_release(fixture);
    client_read_all(t->arena, fd);
    close(fd);
    fixture_end(fixture);
}

TEST(each_answer_is_told_once_refusals_included)
{
    struct fixture *fixture = fixture_open(t);

    fixture_ask(fixture, STR(GET));
    fixture_wait(&fixture->served, 1);
    CHECK_INT(fixture->last_status, 200);
    fixture_ask(fixture, STR("GET / HTTP/1.1\r\n\r\n"));
    fixture_wait(&fixture->served, 2);
    CHECK_INT(fixture->last_status, 400);
    fixture_close(fixture);
    CHECK_INT(fixture->served, 2);
}

TEST(the_date_is_that_of_now)
{
    struct fixture *fixture = fixture_open(t);
    char before[30], after[30];

    time_http(clock_wall_us(), before);
    str answer = fixture_ask(fixture, STR(GET));
    time_http(clock_wall_us(), after);
    str date = answer_header(answer, STR("Date"));
    CHECK(str_equal(date, str_of_z(before)) || str_equal(date, str_of_z(after)));
    CHECK(!answer_header(answer, STR("Server")).ptr);
    fixture_close(fixture);
}

/* ---- One address ---- */

static bool is_proxy(void *self, str peer)
{
    (void)self;
    return str_equal(peer, STR("127.0.0.1"));
}

static struct fixture *two_per_address(struct test *t)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.connections_per_address_max = 2;
    return fixture;
}

TEST(an_address_with_as_many_connections_as_allowed_hears_429_and_others_are_served)
{
    struct fixture *fixture = two_per_address(t);
    fixture->config.address = STR("0.0.0.0:0");
    fixture_start(fixture);
    int first = client_connect(fixture->port), second = client_connect(fixture->port);
    client_send(first, STR(GET));
    CHECK_INT(answer_status(client_read_answer(t->arena, first, true)), 200);

    int third = client_connect(fixture->port);
    str answer = client_read_all(t->arena, third);
    CHECK_INT(answer_status(answer), 429);
    CHECK_STR(answer_header(answer, STR("Connection")), "close");
    CHECK_STR(answer_header(answer, STR("Retry-After")), "1");
    CHECK(str_find(answer, STR("rate.exceeded")) > 0);
    close(third);
    int other = client_connect_from("127.0.0.2", fixture->port);
    client_send(other, STR(GET));
    CHECK_INT(answer_status(client_read_answer(t->arena, other, true)), 200);
    client_send(second, STR(GET));
    CHECK_INT(answer_status(client_read_answer(t->arena, second, true)), 200);

    close(first);
    close(second);
    for (int i = 0; i < 500 && http_stats_of(fixture->server).connections > 1; i++)
        sleep_until(clock_mono_us() + 10000);
    CHECK_INT(answer_status(fixture_ask(fixture, STR(GET))), 200);
    close(other);
    fixture_close(fixture);
}

TEST(a_proxy_has_as_many_connections_as_there_are_for_all)
{
    struct fixture *fixture = two_per_address(t);
    fixture->is_proxy = is_proxy;
    fixture_start(fixture);
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = client_connect(fixture->port);
        client_send(fds[i], STR(GET));
        CHECK_INT(answer_status(client_read_answer(t->arena, fds[i], true)), 200);
    }
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    fixture_close(fixture);
}
