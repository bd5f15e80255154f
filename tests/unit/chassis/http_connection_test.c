#include "chassis/http_server.h"

#include "os/clock.h"
#include "tests/unit/chassis/http_fixture.h"

#include <stdio.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(path, more) "POST " path " HTTP/1.1\r\nHost: h\r\n" more

static void check_problem(str answer, int status, const char *code)
{
    CHECK_INT(answer_status(answer), status);
    CHECK_STR(answer_header(answer, STR("Content-Type")), "application/problem+json");
    CHECK_STR(answer_header(answer, STR("Connection")), "close");
    CHECK(answer_header(answer, STR("X-Request-Id")).len > 0);
    CHECK_INT(answer_header(answer, STR("traceparent")).len, 55);
    char member[100];
    snprintf(member, sizeof member, "\"code\":\"%s\"", code);
    CHECK(str_find(answer_body(answer), str_of_z(member)) > 0);
}

static bool has(str answer, const char *part) { return str_find(answer, str_of_z(part)) >= 0; }

/* ---- One request after another ---- */

TEST(a_connection_serves_many_requests)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    for (int i = 0; i < 50; i++) {
        client_send(fd, str_format(t->arena, "GET /echo?%d HTTP/1.1\r\nHost: h\r\n\r\n", i));
        str answer = client_read_answer(t->arena, fd, true);
        CHECK_INT(answer_status(answer), 200);
        str wanted = str_format(t->arena, "GET /echo query=%d ", i);
        CHECK(str_starts(answer_body(answer), wanted));
    }
    CHECK_INT(http_stats_of(fixture->server).accepted, 1);
    CHECK_INT(http_stats_of(fixture->server).requests, 50);
    close(fd);
    fixture_close(fixture);
}

TEST(pipelined_requests_are_answered_in_order_whoever_answers_them)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);
    struct text requests = text_init(t->arena, 4096);

    for (int i = 0; i < 60; i++)
        text_add_format(&requests, "GET /%s?%d HTTP/1.1\r\nHost: h\r\n\r\n",
                        i % 3 ? "worker" : "echo", i);
    client_send(fd, text_str(&requests));
    for (int i = 0; i < 60; i++) {
        str answer = client_read_answer(t->arena, fd, true);
        CHECK(has(answer, (const char *)str_z(t->arena, str_format(t->arena, "query=%d ", i))));
    }
    close(fd);
    fixture_close(fixture);
}

TEST(what_comes_behind_a_request_at_work_waits_for_it)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/hold?1") GET("/hold?2") "GET /echo?3 HT"));
    fixture_wait_held(fixture, 1);
    client_send(fd, STR("TP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(client_is_quiet(fd, 10));
    CHECK_INT(fixture->held_count, 1);

    fixture_release(fixture);
    CHECK(has(client_read_answer(t->arena, fd, true), "query=1 "));
    fixture_wait_held(fixture, 1);
    CHECK(client_is_quiet(fd, 10));
    fixture_release(fixture);
    CHECK(has(client_read_answer(t->arena, fd, true), "query=2 "));
    CHECK(has(client_read_answer(t->arena, fd, true), "query=3 "));
    close(fd);
    fixture_close(fixture);
}

TEST(a_request_may_come_in_any_two_pieces)
{
    struct fixture *fixture = fixture_open(t);
    str bytes = STR(POST("/echo?q", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    int fd = client_connect(fixture->port);

    for (size_t cut = 1; cut < bytes.len; cut += 3) {
        client_send(fd, str_slice(bytes, 0, cut));
        sleep_until(clock_mono_us() + 300);
        client_send(fd, str_slice(bytes, cut, bytes.len));
        CHECK(str_ends(client_read_answer(t->arena, fd, true), STR("body=abc")));
    }
    close(fd);
    fixture_close(fixture);
}

TEST(head_is_answered_as_get_without_the_body)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR("HEAD /big?1000 HTTP/1.1\r\nHost: h\r\n\r\n" GET("/echo")));
    str head = client_read_answer(t->arena, fd, false);
    CHECK_INT(answer_status(head), 200);
    CHECK_STR(answer_header(head, STR("Content-Length")), "1000");
    CHECK(has(client_read_answer(t->arena, fd, true), "GET /echo"));
    close(fd);
    fixture_close(fixture);
}

TEST(an_answer_without_a_body_leaves_the_connection_open)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/none") GET("/echo")));
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 204);
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 200);
    close(fd);
    fixture_close(fixture);
}

TEST(options_for_the_server_itself_are_answered)
{
    struct fixture *fixture = fixture_open(t);
    str answer = fixture_ask(fixture, STR("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK_INT(answer_status(answer), 204);
    CHECK(has(answer_header(answer, STR("Allow")), "GET, HEAD, POST"));
    fixture_close(fixture);
}

TEST(the_ids_of_a_request_are_echoed)
{
    struct fixture *fixture = fixture_open(t);
    str answer = fixture_ask(
        fixture,
        STR("GET /echo HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine\r\n"
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"));
    CHECK_STR(answer_header(answer, STR("X-Request-Id")), "mine");
    CHECK(str_starts(answer_header(answer, STR("traceparent")),
                     STR("00-0af7651916cd43dd8448eb211c80319c-")));
    fixture_close(fixture);
}

/* ---- The end of a connection ---- */

TEST(close_is_honoured)
{
    struct fixture *fixture = fixture_open(t);
    str answer = fixture_ask_all(
        fixture, STR("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET("/no")));
    CHECK_INT(answer_status(answer), 200);
    CHECK_STR(answer_header(answer, STR("Connection")), "close");
    CHECK(!has(answer, "/no"));
    CHECK_INT(http_stats_of(fixture->server).requests, 1);
    fixture_close(fixture);
}

TEST(http_1_0_ends_unless_it_asks_to_stay)
{
    struct fixture *fixture = fixture_open(t);
    str answer = fixture_ask_all(fixture, STR("GET /echo HTTP/1.0\r\n\r\n"));
    CHECK_INT(answer_status(answer), 200);
    CHECK_STR(answer_header(answer, STR("Connection")), "close");

    int fd = client_connect(fixture->port);
    for (int i = 0; i < 2; i++) {
        client_send(fd, STR("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        CHECK_STR(answer_header(client_read_answer(t->arena, fd, true), STR("Connection")),
                  "keep-alive");
    }
    close(fd);
    fixture_close(fixture);
}

TEST(who_closes_its_half_still_gets_the_answer)
{
    struct fixture *fixture = fixture_open(t);
    static const char *const paths[] = { "echo", "worker", "big?3000000" };

    for (int i = 0; i < 3; i++) {
        int fd = client_connect(fixture->port);
        client_send(fd, str_format(t->arena, "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n", paths[i]));
        client_finish(fd);
        str answer = client_read_all(t->arena, fd);
        CHECK_INT(answer_status(answer), 200);
        int64_t length;
        CHECK(str_to_int64(answer_header(answer, STR("Content-Length")), 0, INT64_MAX, &length));
        CHECK_INT(answer_body(answer).len, length);
        close(fd);
    }
    fixture_close(fixture);
}

TEST(a_client_that_goes_leaves_its_request_at_work_and_the_answer_is_dropped)
{
    struct fixture *fixture = fixture_open(t);

    for (int i = 0; i < 4; i++) {
        int fd = client_connect(fixture->port);
        client_send(fd, i % 2 ? STR(GET("/hold") GET("/echo")) : STR(GET("/hold")));
        fixture_wait_held(fixture, i + 1);
        client_reset(fd);
    }
    sleep_until(clock_mono_us() + 5 * TIME_MS);
    for (int i = 0; i < 4; i++)
        fixture_release(fixture);
    fixture_wait(&fixture->served, 4);
    CHECK_INT(answer_status(fixture_ask(fixture, STR(GET("/echo")))), 200);
    fixture_close(fixture);
}

TEST(a_client_that_goes_in_the_middle_of_a_request_is_forgotten)
{
    struct fixture *fixture = fixture_open(t);
    static const char *const parts[] = { "G", "GET / HTTP/1.1\r\nHos",
                                         POST("/echo", "Content-Length: 10\r\n\r\nab") };
    for (int i = 0; i < 6; i++) {
        int fd = client_connect(fixture->port);
        client_send(fd, str_of_z(parts[i / 2]));
        sleep_until(clock_mono_us() + TIME_MS);
        if (i % 2)
            client_reset(fd);
        else
            close(fd);
    }
    CHECK_INT(answer_status(fixture_ask(fixture, STR(GET("/echo")))), 200);
    fixture_close(fixture);
    CHECK_INT(fixture->served, 1);
}

TEST(a_large_answer_goes_to_a_slow_reader_whole)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/big?3500000") GET("/echo?after")));
    sleep_until(clock_mono_us() + 20 * TIME_MS);
    str answer = client_read_answer(t->arena, fd, true);
    CHECK_INT(answer_body(answer).len, 3500000);
    for (size_t i = 0; i < answer_body(answer).len; i += 1000)
        CHECK(answer_body(answer).ptr[i] == 'b');
    CHECK(has(client_read_answer(t->arena, fd, true), "query=after "));
    close(fd);
    fixture_close(fixture);
}

TEST(a_client_that_goes_while_its_answer_is_written_is_forgotten)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/big?20000000")));
    client_read(t->arena, fd, 1000);
    client_reset(fd);
    fixture_wait(&fixture->served, 1);
    fixture_close(fixture);
}

/* ---- Bodies ---- */

TEST(a_client_that_asks_whether_to_go_on_is_told)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(POST("/echo", "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")));
    CHECK_STR(client_read(t->arena, fd, 25), "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(fd, STR("hi"));
    CHECK(str_ends(client_read_answer(t->arena, fd, true), STR("body=hi")));

    /* Who has not waited is not told. */
    client_send(fd, STR(POST("/echo", "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")));
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 200);
    /* Nor who has no body, nor HTTP/1.0. */
    client_send(fd, STR("GET /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n"));
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 200);
    close(fd);
    fixture_close(fixture);
}

TEST(a_body_has_the_limit_that_the_handler_says)
{
    struct fixture *fixture = fixture_open(t);

    CHECK(str_ends(fixture_ask(fixture, STR(POST("/limit?5", "Content-Length: 5\r\n\r\n12345"))),
                   STR("body=12345")));
    check_problem(
        fixture_ask_all(fixture, STR(POST("/limit?5", "Content-Length: 6\r\n\r\n123456"))), 413,
        "http.body_too_large");
    CHECK(str_ends(fixture_ask(fixture, STR(POST("/limit?5", "Transfer-Encoding: chunked\r\n\r\n"
                                                             "5\r\n12345\r\n0\r\n\r\n"))),
                   STR("body=12345")));
    check_problem(
        fixture_ask_all(fixture, STR(POST("/limit?5", "Transfer-Encoding: chunked\r\n\r\n"
                                                      "5\r\n12345\r\n1\r\n6\r\n0\r\n\r\n"))),
        413, "http.body_too_large");
    fixture_close(fixture);
}

TEST(a_client_that_asks_first_is_not_told_to_send_what_is_refused)
{
    struct fixture *fixture = fixture_open(t);
    check_problem(fixture_ask_all(fixture, STR(POST("/limit?5", "Expect: 100-continue\r\n"
                                                                "Content-Length: 6\r\n\r\n"))),
                  413, "http.body_too_large");
    check_problem(fixture_ask_all(fixture, STR(POST("/refuse", "Expect: 100-continue\r\n"
                                                               "Content-Length: 6\r\n\r\n"))),
                  401, "auth.token_missing");
    fixture_close(fixture);
}

TEST(who_is_refused_while_sending_reads_why)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);
    char *body = arena_alloc(t->arena, 900000, 1);

    client_send(fd, STR(POST("/limit?5", "Content-Length: 900000\r\n\r\n")));
    client_send(fd, str_of(body, 900000)); /* a reset would end the test here */
    client_finish(fd);
    check_problem(client_read_all(t->arena, fd), 413, "http.body_too_large");
    close(fd);
    fixture_close(fixture);
}

TEST(large_bodies_come_whole)
{
    struct fixture *fixture = fixture_open(t);
    enum { LEN = 1000000 };
    char *body = arena_alloc(t->arena, LEN, 1);
    for (int i = 0; i < LEN; i++)
        body[i] = (char)('a' + i % 26);

    int fd = client_connect(fixture->port);
    client_send(fd, STR(POST("/echo", "Content-Length: 1000000\r\n\r\n")));
    client_send(fd, str_of(body, LEN));
    str answer = client_read_answer(t->arena, fd, true);
    CHECK_INT(answer_status(answer), 200);
    CHECK(str_ends(answer, str_of(body, LEN)));
    close(fd);
    fixture_close(fixture);
}

/* ---- Refusals ---- */

TEST(what_cannot_be_read_is_refused_as_a_problem_and_ends)
{
    struct fixture *fixture = fixture_open(t);
    static const struct {
        const char *bytes;
        int status;
        const char *code;
    } cases[] = {
        { "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "http.malformed" },
        { "GET / HTTP/1.1\r\n\r\n", 400, "http.malformed" },
        { "GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505, "http.version" },
        { "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 501, "http.method_unknown" },
        { "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 501, "http.method_unknown" },
        { POST("/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
          "http.malformed" },
        { POST("/", "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), 400, "http.malformed" },
        { "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "http.malformed" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_problem(fixture_ask_all(fixture, str_of_z(cases[i].bytes)), cases[i].status,
                      cases[i].code);
    CHECK_INT(http_stats_of(fixture->server).refused, sizeof cases / sizeof cases[0]);
    CHECK_INT(http_stats_of(fixture->server).requests, 0);
    fixture_close(fixture);
}

TEST(what_was_right_before_a_refusal_is_answered_and_what_follows_is_not)
{
    struct fixture *fixture = fixture_open(t);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/worker?1") "GET / HTTP/1.1\r\n\r\n" GET("/echo?3")));
    CHECK(has(client_read_answer(t->arena, fd, true), "query=1 "));
    str rest = client_read_all(t->arena, fd);
    check_problem(rest, 400, "http.malformed");
    CHECK(!has(rest, "query=3"));
    close(fd);
    fixture_close(fixture);
}

TEST(target_and_head_have_their_limits)
{
    struct fixture *fixture = fixture_open(t);
    char many[5000];
    memset(many, 'x', sizeof many);
    str xs = str_of(many, sizeof many);

    CHECK_INT(
        answer_status(fixture_ask(
            fixture, str_format(t->arena, "GET /%.1023s HTTP/1.1\r\nHost: h\r\n\r\n", xs.ptr))),
        200);
    check_problem(
        fixture_ask_all(fixture,
                        str_format(t->arena, "GET /%.1024s HTTP/1.1\r\nHost: h\r\n\r\n", xs.ptr)),
        414, "http.target_too_long");

    size_t fixed = sizeof(GET("/echo") "X: \r\n") - 1;
    for (int over = 0; over < 2; over++) {
        int len = (int)(4096 - fixed) + over;
        str bytes =
            str_format(t->arena, "GET /echo HTTP/1.1\r\nHost: h\r\nX: %.*s\r\n\r\n", len, xs.ptr);
        str answer = over ? fixture_ask_all(fixture, bytes) : fixture_ask(fixture, bytes);
        CHECK_INT(answer_status(answer), over ? 431 : 200);
    }
    fixture_close(fixture);
}

/* ---- Time ---- */

static struct fixture *hasty(struct test *t)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.head_timeout_ms = 60;
    fixture->config.body_timeout_ms = 60;
    fixture->config.idle_timeout_ms = 60;
    fixture->config.write_timeout_ms = 60;
    return fixture;
}

TEST(a_head_that_comes_too_slowly_is_refused)
{
    struct fixture *fixture = hasty(t);
    fixture->config.idle_timeout_ms = 20000;
    fixture_start(fixture);
    int fd = client_connect(fixture->port);

    /* Each byte in time, the whole too late: the time runs from the first. */
    int64_t began_us = clock_mono_us();
    client_send(fd, STR("GET / HTTP/1.1\r\nHost: h\r\nX: "));
    while (client_is_quiet(fd, 10) && clock_mono_us() - began_us < CLIENT_WAIT_MS * TIME_MS)
        client_send(fd, STR("x"));
    check_problem(client_read_all(t->arena, fd), 408, "http.timeout");
    close(fd);
    fixture_close(fixture);
}

TEST(a_body_that_comes_too_slowly_is_refused)
{
    struct fixture *fixture = hasty(t);
    fixture->config.head_timeout_ms = 20000;
    fixture_start(fixture);
    check_problem(fixture_ask_all(fixture, STR(POST("/echo", "Content-Length: 2\r\n\r\nx"))), 408,
                  "http.timeout");
    fixture_close(fixture);
}

TEST(an_idle_connection_is_closed_without_a_word)
{
    struct fixture *fixture = hasty(t);
    fixture_start(fixture);
    CHECK_STR(fixture_ask_all(fixture, STR("")), "");
    str answer = fixture_ask_all(fixture, STR(GET("/echo")));
    CHECK_INT(answer_status(answer), 200);
    CHECK(!answer_header(answer, STR("Connection")).ptr);
    fixture_close(fixture);
}

TEST(a_request_at_work_has_all_the_time_it_needs)
{
    struct fixture *fixture = hasty(t);
    fixture_start(fixture);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/hold")));
    fixture_wait_held(fixture, 1);
    CHECK(client_is_quiet(fd, 150));
    fixture_release(fixture);
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, true)), 200);
    close(fd);
    fixture_close(fixture);
}

TEST(a_client_that_does_not_read_its_answer_is_dropped)
{
    struct fixture *fixture = hasty(t);
    fixture_start(fixture);
    int fd = client_connect(fixture->port);

    client_send(fd, STR(GET("/big?20000000")));
    fixture_wait(&fixture->served, 1);
    str got = client_read_all(t->arena, fd);
    CHECK(got.len < 20000000);
    close(fd);
    fixture_close(fixture);
}

/* ---- Load ---- */

struct visitor {
    struct fixture *fixture;
    struct arena *arena;
    struct thread *thread;
};

static void visit(void *subject)
{
    struct visitor *visitor = subject;
    for (int i = 0; i < 40; i++) {
        int fd = client_connect(visitor->fixture->port);
        client_send(fd, STR(GET("/worker?a") POST("/echo", "Content-Length: 2\r\n\r\nhi")
                                GET("/worker?b")));
        for (int j = 0; j < 3; j++)
            ASSERT(answer_status(client_read_answer(visitor->arena, fd, true)) == 200);
        if (i % 2)
            client_reset(fd);
        else
            close(fd);
    }
}

TEST(many_clients_at_once_are_served)
{
    struct fixture *fixture = fixture_open(t);
    struct visitor visitors[4];

    for (int i = 0; i < 4; i++) {
        visitors[i] = (struct visitor){ .fixture = fixture, .arena = arena_open(1 << 24) };
        visitors[i].thread = thread_start("visitor", visit, &visitors[i]);
    }
    for (int i = 0; i < 4; i++) {
        thread_join(visitors[i].thread);
        arena_close(visitors[i].arena);
    }
    CHECK_INT(http_stats_of(fixture->server).requests, 4 * 40 * 3);
    fixture_close(fixture);
}

TEST(an_idle_connection_costs_less_than_five_kibibytes)
{
    /* What http.c keeps of one; os/net adds less than 1 KiB, and no arena is held while idle. */
    CHECK(sizeof(struct http_connection) < 1024);
}

/* ---- Bodies that are taken in pieces ---- */

static str ask_spool(struct fixture *fixture, size_t bytes, bool chunked, const char *query)
{
    struct text request = text_init(fixture->arena, bytes + 200);
    text_add_format(&request, "POST /spool%s HTTP/1.1\r\nHost: h\r\n", query);
    if (chunked)
        text_add_format(&request, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", bytes);
    else
        text_add_format(&request, "Content-Length: %zu\r\n\r\n", bytes);
    for (size_t i = 0; i < bytes; i++)
        text_add_byte(&request, 's');
    if (chunked)
        text_add(&request, STR("\r\n0\r\n\r\n"));
    return fixture_ask(fixture, text_str(&request));
}

TEST(a_streamed_body_is_taken_in_pieces_of_one_length_but_the_last)
{
    struct fixture *fixture = fixture_open(t);
    size_t piece = STREAM_PIECE_BYTES;
    const struct {
        size_t bytes;
        const char *told;
    } cases[] = { { 1, "pieces=1 bytes=1 odd=1" },
                  { piece, "pieces=1 bytes=262144 odd=0" },
                  { piece + 1, "pieces=2 bytes=262145 odd=1" },
                  { 3 * piece, "pieces=3 bytes=786432 odd=0" },
                  { 3 * piece + 70000, "pieces=4 bytes=856432 odd=1" } };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int chunked = 0; chunked < 2; chunked++) {
            str answer = ask_spool(fixture, cases[i].bytes, chunked != 0, "");
            CHECK_INT(answer_status(answer), 200);
            CHECK_STR(answer_body(answer), cases[i].told);
        }
    CHECK(has(fixture_ask(fixture, STR("POST /spool HTTP/1.1\r\nHost: h\r\n\r\n")), "none"));
    fixture_close(fixture);
}

TEST(a_streamed_body_ends_where_a_piece_is_refused_or_it_is_too_large)
{
    struct fixture *fixture = fixture_open(t);
    size_t piece = STREAM_PIECE_BYTES;

    CHECK_INT(answer_status(ask_spool(fixture, piece, false, "?fail")), 200);
    check_problem(ask_spool(fixture, 2 * piece, false, "?fail"), 507, "db.full");
    CHECK_INT(answer_status(ask_spool(fixture, 4 * piece, true, "")), 200);
    check_problem(ask_spool(fixture, 4 * piece + 1, true, ""), 413, "http.body_too_large");
    fixture_close(fixture);
}

TEST(a_peer_that_goes_within_a_streamed_body_leaves_nothing_behind)
{
    struct fixture *fixture = fixture_open(t);

    for (int i = 0; i < 20; i++) {
        int fd = client_connect(fixture->port);
        client_send(fd, STR("POST /spool HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"));
        struct text some = text_init(t->arena, 400000);
        for (int j = 0; j < 270000; j++)
            text_add_byte(&some, 'x');
        client_send(fd, text_str(&some));
        if (i % 2)
            client_reset(fd);
        else
            close(fd);
    }
    CHECK_INT(answer_status(ask_spool(fixture, 300000, false, "")), 200);
    fixture_close(fixture);
}

/* ---- Answers that are made in pieces ---- */

/* The body of chunks put together; -1 where they do not end. */
static int64_t chunks_length(str body)
{
    int64_t whole = 0;
    for (;;) {
        ptrdiff_t end = str_find(body, STR("\r\n"));
        if (end <= 0)
            return -1;
        size_t len = (size_t)strtoul(body.ptr, NULL, 16);
        if (body.len < (size_t)end + 2 + len + 2)
            return -1;
        body = str_slice(body, (size_t)end + 2 + len, body.len);
        CHECK(str_starts(body, STR("\r\n")));
        body = str_slice(body, 2, body.len);
        if (len == 0)
            return body.len == 0 ? whole : -1;
        whole += (int64_t)len;
    }
}

TEST(an_answer_in_pieces_comes_in_chunks_and_says_where_it_ends)
{
    struct fixture *fixture = fixture_open(t);
    str ask = STR("GET /pieces?300 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    str answer = fixture_ask_all(fixture, ask);
    int64_t wanted = 0;

    for (int n = 0; n < 300; n++)
        wanted += n % 3 == 2 ? 0 : n + 1;
    CHECK_INT(answer_status(answer), 200);
    CHECK_STR(answer_header(answer, STR("Transfer-Encoding")), "chunked");
    CHECK(!answer_header(answer, STR("Content-Length")).ptr);
    CHECK_INT(chunks_length(answer_body(answer)), wanted);
    fixture_wait(&fixture->pieces_ended, 1);

    /* To the old: without chunks, its end is that of the connection. */
    answer = fixture_ask_all(fixture, STR("GET /pieces?300 HTTP/1.0\r\n\r\n"));
    CHECK(!answer_header(answer, STR("Transfer-Encoding")).ptr);
    CHECK_INT(answer_body(answer).len, wanted);
    fixture_wait(&fixture->pieces_ended, 2);

    answer = fixture_ask_all(
        fixture, STR("HEAD /pieces?300 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    CHECK_STR(answer_header(answer, STR("Transfer-Encoding")), "chunked");
    CHECK_INT(answer_body(answer).len, 0);
    fixture_wait(&fixture->pieces_ended, 3);
    fixture_close(fixture);
}

TEST(an_answer_in_pieces_that_fails_breaks_off_and_is_not_taken_for_whole)
{
    struct fixture *fixture = fixture_open(t);
    str answer = fixture_ask_all(
        fixture, STR("GET /broken?30 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));

    CHECK_INT(answer_status(answer), 200);
    CHECK_INT(chunks_length(answer_body(answer)), -1);
    fixture_wait(&fixture->pieces_ended, 1);
    fixture_close(fixture);
}

TEST(a_peer_that_goes_within_an_answer_in_pieces_ends_it)
{
    struct fixture *fixture = fixture_open(t);

    for (int i = 0; i < 20; i++) {
        int fd = client_connect(fixture->port);
        client_send(fd, STR(GET("/pieces?20000")));
        client_read(t->arena, fd, 1000);
        client_reset(fd);
    }
    fixture_wait(&fixture->pieces_ended, 20);
    int fd = client_connect(fixture->port); /* pipelined behind one: it waits for its end */
    client_send(fd, STR(GET("/pieces?30") GET("/echo?after")));
    client_finish(fd);
    CHECK(has(client_read_all(t->arena, fd), "query=after"));
    close(fd);
    fixture_close(fixture);
}
