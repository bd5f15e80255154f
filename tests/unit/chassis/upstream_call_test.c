#include "chassis/upstream.h"

#include "os/clock.h"
#include "tests/unit/chassis/http2_script.h"
#include "tests/unit/chassis/upstream_fixture.h"

static bool has(str text, const char *part) { return str_find(text, str_of_z(part)) >= 0; }

static struct gate *gate_at(struct test *t, int port, const char *const *settings)
{
    return gate_open(t, str_z(t->arena, str_format(t->arena, "http://127.0.0.1:%d", port)),
                     settings);
}

static str filled(struct arena *arena, size_t count)
{
    char *bytes = arena_alloc(arena, count, 1);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (char)('a' + i % 23);
    return str_of(bytes, count);
}

/* ---- Long bodies ---- */

TEST(five_megabytes_go_up_and_come_down)
{
    enum { BYTES = 5 * 1024 * 1024 };
    struct fixture *fixture = fixture_of(t);
    fixture->config.body_bytes_max = 2 * BYTES;
    fixture_start(fixture);
    struct gate *gate = gate_at(t, fixture->port, NULL);

    struct asked_of *asked = gate_request(gate, "POST", "/echo");
    asked->request.body = filled(t->arena, BYTES);
    CHECK_INT(gate_ask(asked), 200);
    str body = text_str(&asked->body);
    CHECK(!asked->broken && body.len > BYTES);
    CHECK_BYTES(body.ptr + body.len - BYTES, asked->request.body.ptr, BYTES);
    gate_close(gate);
    fixture_close(fixture);
}

/* Over HTTP/1.1, with Content-Length; gives the answer. */
static str upload(struct test *t, int port, const char *path, str body)
{
    int fd = client_connect(port);
    client_send(fd,
                str_format(t->arena, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                           path, body.len));
    client_send(fd, body);
    str answer = client_read_answer(t->arena, fd, true);
    close(fd);
    return answer;
}

TEST(a_body_in_pieces_goes_through_in_pieces)
{
    enum { BYTES = 5 * 1024 * 1024 };
    struct fixture *fixture = fixture_of(t);
    fixture->config.body_bytes_max = 2 * BYTES;
    fixture_start(fixture);
    struct gate *gate = gate_at(t, fixture->port, NULL);

    str answer = upload(t, gate->port, "/spool", filled(t->arena, BYTES));
    CHECK_INT(answer_status(answer), 200);
    CHECK_STR(answer_body(answer), "pieces=20 bytes=5242880 odd=0");
    answer = upload(t, gate->port, "/spool", STR("tiny"));
    CHECK_STR(answer_body(answer), "pieces=1 bytes=4 odd=1");
    answer = upload(t, gate->port, "/spool?fail", filled(t->arena, BYTES));
    CHECK_INT(answer_status(answer), 507); /* the service's own refusal, in mid-body */
    gate_close(gate);
    fixture_close(fixture);
}

TEST(a_client_of_http_2_sends_and_hears_long_bodies_too)
{
    enum { BYTES = 5 * 1024 * 1024 };
    struct fixture *fixture = fixture_of(t);
    fixture->config.body_bytes_max = 2 * BYTES;
    fixture_start(fixture);
    struct gate *gate = gate_at(t, fixture->port, NULL);
    struct h2 *h2 = h2_open(t, gate->port, 0);

    const struct h2_answer *answer =
        h2_read(h2, h2_ask(h2, "POST", "/spool", NULL, filled(t->arena, BYTES)));
    CHECK_INT(answer->status, 200);
    CHECK_STR(text_str(&answer->body), "pieces=20 bytes=5242880 odd=0");
    answer = h2_read(h2, h2_ask(h2, "GET", "/big?5242880", NULL, STR_NONE));
    CHECK_INT(answer->status, 200);
    CHECK_INT(answer->body.len, BYTES);
    answer = h2_read(h2, h2_ask(h2, "GET", "/broken?100", NULL, STR_NONE));
    CHECK(answer->reset_code != 0);
    h2_close(h2);
    gate_close(gate);
    fixture_close(fixture);
}

TEST(an_answer_in_pieces_comes_through_whole_or_broken_off)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_at(t, fixture->port, NULL);

    struct asked_of *asked = gate_request(gate, "GET", "/pieces?1000");
    CHECK_INT(gate_ask(asked), 200);
    size_t bytes = 0;
    for (size_t n = 0; n < 1000; n++)
        bytes += n > 0 && n % 3 == 2 ? 0 : n + 1;
    CHECK_INT(asked->body.len, bytes);
    CHECK(!asked->broken);
    asked = gate_request(gate, "GET", "/broken?1000");
    CHECK_INT(gate_ask(asked), 200);
    CHECK(asked->broken);

    int fd = client_connect(gate->port);
    client_send(fd, STR("GET /pieces?1000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    str answer = client_read_all(t->arena, fd);
    CHECK_INT(answer_status(answer), 200);
    CHECK(has(answer, "Transfer-Encoding: chunked") && str_ends(answer, STR("\r\n0\r\n\r\n")));
    close(fd);
    fixture_wait(&fixture->pieces_ended, 3);
    gate_close(gate);
    fixture_close(fixture);
}

TEST(a_client_that_leaves_in_mid_answer_ends_it_at_the_service_too)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_at(t, script->port, NULL);

    int fd = client_connect(gate->port);
    client_send(fd, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    script_accept(script, true);
    int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
    script_answer(script, id, ":status: 200", false);
    script_send(script, NGHTTP2_DATA, 0, id, STR("begin"));
    CHECK(client_read(t->arena, fd, 20).len == 20);
    client_reset(fd);
    script_send(script, NGHTTP2_DATA, 0, id, STR("more"));
    CHECK_INT(script_wait(script, NGHTTP2_RST_STREAM).id, id);
    gate_close(gate);
    script_close(script);
}

/* Before a byte of the answer has come. */
TEST(a_client_that_leaves_ends_its_stream_at_the_service_whether_it_closes_or_resets)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_at(t, script->port, NULL);
    static const bool resets[] = { true, false };

    for (int i = 0; i < 2; i++) {
        int fd = client_connect(gate->port), other = client_connect(gate->port);
        client_send(fd, STR("POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"));
        if (i == 0)
            script_accept(script, true);
        int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
        client_send(other, STR("GET /two HTTP/1.1\r\nHost: h\r\n\r\n"));
        int32_t stays = script_wait(script, NGHTTP2_HEADERS).id;
        if (resets[i])
            client_reset(fd);
        else
            close(fd);
        CHECK_INT(script_wait(script, NGHTTP2_RST_STREAM).id, id);
        script_answer(script, stays, ":status: 204", true);
        CHECK_INT(answer_status(client_read_answer(t->arena, other, true)), 204);
        close(other);
    }
    gate_close(gate);
    script_close(script);
}

/* ---- Time ---- */

TEST(what_does_not_answer_in_time_is_cancelled)
{
    static const char *const settings[] = { "--upstream-timeout=100ms", NULL };
    struct script *script = script_open(t);
    struct gate *gate = gate_at(t, script->port, settings);
    struct asked_of *asked = gate_request(gate, "GET", "/");

    gate_send(asked);
    script_accept(script, true);
    int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 504);
    CHECK(has(text_str(&asked->body), "call.deadline"));
    CHECK_INT(script_wait(script, NGHTTP2_RST_STREAM).id, id);

    asked = gate_request(gate, "GET", "/");
    asked->request.deadline_us = clock_mono_us() - 1;
    CHECK_INT(gate_ask(asked), 504);
    CHECK(client_is_quiet(script->fd, 50));
    gate_close(gate);
    script_close(script);
}

/* ---- Once more ---- */

TEST(a_refused_stream_is_sent_again_whatever_it_is)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_at(t, script->port, NULL);
    struct asked_of *asked = gate_request(gate, "POST", "/");

    asked->request.body = STR("order");
    gate_send(asked);
    script_accept(script, true);
    script_reset(script, script_wait(script, NGHTTP2_HEADERS).id, NGHTTP2_REFUSED_STREAM);
    int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
    CHECK_STR(script_wait(script, NGHTTP2_DATA).payload, "order");
    script_answer(script, id, ":status: 201", true);
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 201);
    gate_close(gate);
    script_close(script);
}

TEST(what_goaway_did_not_take_is_sent_over_another_connection_and_the_rest_goes_on)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_at(t, script->port, NULL);
    struct asked_of *first = gate_request(gate, "POST", "/1"),
                    *second = gate_request(gate, "POST", "/2");

    gate_send(first);
    script_accept(script, true);
    int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
    gate_send(second);
    (void)script_wait(script, NGHTTP2_HEADERS);
    script_goaway(script, id, NGHTTP2_NO_ERROR);
    int old = script->fd;
    script_accept(script, true);
    script_answer(script, script_wait(script, NGHTTP2_HEADERS).id, ":status: 202", true);
    gate_wait(second);
    CHECK_INT(second->request.response.status, 202);
    int new = script->fd;
    script->fd = old;
    script_answer(script, id, ":status: 201", true);
    gate_wait(first);
    CHECK_INT(first->request.response.status, 201);
    CHECK(script_wait(script, -1).type == -1); /* it is closed when its last call has ended */
    close(new);
    gate_close(gate);
    script_close(script);
}

/* The connection breaks after the request was sent. */
static int status_after_break(struct test *t, const char *method, const char *header)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_at(t, script->port, NULL);
    struct asked_of *asked = gate_request(gate, method, "/");

    if (header)
        asked_of_header(asked, header, "k-1");
    gate_send(asked);
    script_accept(script, true);
    (void)script_wait(script, NGHTTP2_HEADERS);
    script_hang_up(script);
    if (!script_is_quiet(script, 300)) {
        script_accept(script, true);
        struct script_frame frame = script_wait(script, NGHTTP2_HEADERS);
        if (frame.type != -1)
            script_answer(script, frame.id, ":status: 200", true);
    }
    gate_wait(asked);
    int status = asked->request.response.status;
    gate_close(gate);
    script_close(script);
    return status;
}

TEST(what_may_have_begun_is_sent_again_only_where_that_does_no_harm)
{
    CHECK_INT(status_after_break(t, "GET", NULL), 200);
    CHECK_INT(status_after_break(t, "POST", "idempotency-key"), 200);
    CHECK_INT(status_after_break(t, "POST", NULL), 502);
    CHECK_INT(status_after_break(t, "DELETE", NULL), 502);
}

TEST(an_answer_that_breaks_off_is_seen_to_be_broken)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_at(t, script->port, NULL);
    struct asked_of *asked = gate_request(gate, "GET", "/");

    gate_send(asked);
    script_accept(script, true);
    int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
    script_answer(script, id, ":status: 200", false);
    script_send(script, NGHTTP2_DATA, 0, id, STR("begin"));
    fixture_wait(&asked->heard, 5); /* an answer that has not begun is asked for again */
    script_reset(script, id, NGHTTP2_INTERNAL_ERROR);
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 200);
    CHECK(asked->broken);
    CHECK_STR(text_str(&asked->body), "begin");
    gate_close(gate);
    script_close(script);
}

/* ---- Death ---- */

TEST(under_load_a_server_that_goes_and_comes_back_leaves_no_request_unanswered)
{
    enum { REQUESTS = 400 };
    static const char *const settings[] = { "--upstream-timeout=5s", NULL };
    struct fixture *fixture = fixture_open(t);
    int port = fixture->port, good = 0, away = 0;
    struct gate *gate = gate_at(t, port, settings);
    struct asked_of *asked[REQUESTS];

    for (int i = 0; i < REQUESTS; i++) {
        asked[i] = gate_request(gate, i % 2 ? "GET" : "POST", i % 3 ? "/worker" : "/big?300000");
        gate_send(asked[i]);
        if (i == REQUESTS / 3)
            fixture_close(fixture);
        if (i == REQUESTS * 2 / 3) {
            fixture = fixture_of(t);
            fixture->config.address = str_format(t->arena, "127.0.0.1:%d", port);
            fixture_start(fixture);
            sleep_until(clock_mono_us() + 300 * TIME_MS); /* it was left alone for so long */
        }
        if (i % 20 == 0)
            sleep_until(clock_mono_us() + 2 * TIME_MS);
    }
    for (int i = 0; i < REQUESTS; i++) {
        gate_wait(asked[i]);
        int status = asked[i]->request.response.status;
        good += status == 200;
        away += status == 503;
        CHECK(status == 200 || status == 502 || status == 503);
    }
    CHECK(good > REQUESTS / 3 && away > 0);
    gate_close(gate);
    fixture_close(fixture);
}
