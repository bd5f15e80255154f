#include "chassis/http2.h"

#include "os/clock.h"
#include "tests/unit/chassis/http2_client.h"
#include "tests/unit/chassis/http_fixture.h"

#include <sys/socket.h>

static bool has(str text, const char *part) { return str_find(text, str_of_z(part)) >= 0; }

static void check_problem(const struct h2_answer *answer, int status, const char *code)
{
    CHECK_INT(answer->status, status);
    CHECK_STR(h2_header(answer, "content-type"), "application/problem+json");
    CHECK(h2_header(answer, "x-request-id").len > 0);
    CHECK(has(text_str(&answer->body), code));
}

/* The bytes of a request that is complete, on stream `id`. */
static const char GET_BLOCK[] = ":method: GET\n:scheme: http\n:authority: h\n:path: /echo";

static struct h2 *raw_open(struct test *t, struct fixture *fixture)
{
    struct h2 *h2 = h2_open_raw(t, fixture->port);
    client_send(h2->fd, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    h2_frame(h2, NGHTTP2_SETTINGS, 0, 0, STR(""));
    return h2;
}

/* What frames of a kind say in the byte at `at` of them: the last one's, or -1 where none came. */
static int byte_of_frames(str came, uint8_t type, size_t at, int *count)
{
    int found = -1;

    *count = 0;
    for (size_t from = 0; from + 9 <= came.len;) {
        const unsigned char *frame = (const unsigned char *)came.ptr + from;
        if (frame[3] == type && from + at < came.len) {
            found = frame[at];
            ++*count;
        }
        from += 9 + (((size_t)frame[0] << 16) | ((size_t)frame[1] << 8) | frame[2]);
    }
    return found;
}

enum { CODE_OF_GOAWAY = 16, CODE_OF_RESET = 12 };

/* ---- Requests ---- */

TEST(the_same_port_speaks_both_versions)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    const struct h2_answer *answer =
        h2_read(h2, h2_ask(h2, "GET", "/echo?a=b", "x-one: 1\nx-two: 2", STR_NONE));
    CHECK_INT(answer->status, 200);
    CHECK(has(text_str(&answer->body), "GET /echo query=a=b "));
    CHECK(has(text_str(&answer->body), "\nhost=h\nx-one=1\nx-two=2\nbody="));
    CHECK_STR(h2_header(answer, "content-type"), "text/plain");
    CHECK_INT(h2_header(answer, "traceparent").len, 55);
    CHECK_INT(answer_status(fixture_ask(fixture, STR("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"))),
              200);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(the_preface_may_come_byte_by_byte_and_what_only_begins_like_it_is_http_1)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open_raw(t, fixture->port);
    str preface = STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    for (size_t i = 0; i < preface.len; i++) {
        client_send(h2->fd, str_slice(preface, i, 1));
        sleep_until(clock_mono_us() + 300);
    }
    h2_frame(h2, NGHTTP2_SETTINGS, 0, 0, STR(""));
    h2_frame(h2, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
             h2_block(t->arena, GET_BLOCK));
    /* Its answer is for a session that has not asked: only the bytes are looked at. */
    CHECK(client_read(t->arena, h2->fd, 9).len == 9);
    h2_close(h2);

    int fd = client_connect(fixture->port);
    client_send(fd, STR("P"));
    sleep_until(clock_mono_us() + 2000);
    client_send(fd, STR("OST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"));
    CHECK(has(client_read_answer(t->arena, fd, true), "body=hi"));
    close(fd);
    str odd = fixture_ask(fixture, STR("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"));
    CHECK_INT(answer_status(odd), 505);
    fixture_close(fixture);
}

TEST(many_streams_are_at_work_at_once_and_answered_as_they_are_done)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);
    int32_t ids[10];

    for (int i = 0; i < 10; i++)
        ids[i] = h2_ask(h2, "GET", "/hold", NULL, STR_NONE);
    int32_t quick = h2_ask(h2, "GET", "/echo", NULL, STR_NONE);
    CHECK_INT(h2_read(h2, quick)->status, 200);
    fixture_wait_held(fixture, 10);
    for (int i = 0; i < 10; i++)
        fixture_release(fixture);
    for (int i = 0; i < 10; i++)
        CHECK_INT(h2_read(h2, ids[i])->status, 200);
    int32_t id = 0;
    for (int i = 0; i < 100; i++)
        id = h2_ask(h2, "GET", "/worker", NULL, STR_NONE);
    for (int32_t at = id - 198; at <= id; at += 2)
        CHECK_INT(h2_read(h2, at)->status, 200);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(a_body_is_taken_up_to_its_limit)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);
    char *bytes = arena_alloc(t->arena, 900000, 1);
    memset(bytes, 'x', 900000);

    const struct h2_answer *answer =
        h2_read(h2, h2_ask(h2, "POST", "/echo", NULL, str_of(bytes, 900000)));
    CHECK_INT(answer->status, 200);
    CHECK(answer->body.len > 900000);
    answer = h2_read(h2, h2_ask(h2, "POST", "/limit?5", NULL, STR("12345")));
    CHECK_INT(answer->status, 200);
    answer = h2_read(h2, h2_ask(h2, "POST", "/limit?5", NULL, STR("123456")));
    check_problem(answer, 413, "http.body_too_large");
    answer = h2_read(h2, h2_ask(h2, "POST", "/limit?5", "content-length: 6", STR("123456")));
    check_problem(answer, 413, "http.body_too_large");
    answer = h2_read(h2, h2_ask(h2, "POST", "/refuse", NULL, STR("123456")));
    check_problem(answer, 401, "auth.token_missing");
    CHECK_INT(h2_read(h2, h2_ask(h2, "GET", "/echo", NULL, STR_NONE))->status, 200);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(what_is_sent_after_the_answer_is_dropped_but_not_without_end)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);
    str bytes = str_of(arena_alloc(t->arena, 8000000, 1), 8000000);

    int32_t id = h2_ask(h2, "POST", "/refuse", NULL, str_slice(bytes, 0, 500000));
    CHECK_INT(h2_read(h2, id)->status, 401);
    h2_pass(h2, 50);
    CHECK(h2->answers[0].closed);
    CHECK_INT(h2->body_sent, 500000);
    id = h2_ask(h2, "POST", "/refuse", NULL, bytes);
    CHECK_INT(h2_read(h2, id)->status, 401);
    h2_pass(h2, 50);
    CHECK(h2->answers[1].closed);
    CHECK_INT(h2->answers[1].reset_code, NGHTTP2_NO_ERROR);
    CHECK(h2->body_sent < 3000000);
    CHECK_INT(h2_read(h2, h2_ask(h2, "GET", "/echo", NULL, STR_NONE))->status, 200);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(a_head_that_cannot_be_taken_is_refused_and_its_neighbours_are_not)
{
    static const struct {
        const char *method, *path, *headers;
        int status;
        const char *code;
    } cases[] = {
        { "BREW", "/echo", NULL, 501, "http.method_unknown" },
        { "GET", "/a#b", NULL, 400, "http.malformed" },
        { "GET", "/echo", "host: other", 400, "http.malformed" },
        { "GET", "/echo", "idempotency-key: a\nidempotency-key: b", 400, "http.malformed" },
    };
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_problem(
            h2_read(h2, h2_ask(h2, cases[i].method, cases[i].path, cases[i].headers, STR_NONE)),
            cases[i].status, cases[i].code);
    CHECK_INT(
        h2_read(h2, h2_ask(h2, "GET", "/echo", "host: h\nidempotency-key: a", STR_NONE))->status,
        200);
    static const char *const paths[] = { "/a b", "nopath", "*" };
    for (size_t i = 0; i < 3; i++) { /* which nghttp2 refuses itself */
        const struct h2_answer *answer = h2_read(h2, h2_ask(h2, "GET", paths[i], NULL, STR_NONE));
        CHECK(answer->closed && answer->status == 0);
        CHECK_INT(answer->reset_code, NGHTTP2_PROTOCOL_ERROR);
    }
    const struct h2_answer *options = h2_read(h2, h2_ask(h2, "OPTIONS", "*", NULL, STR_NONE));
    CHECK_INT(options->status, 204);
    CHECK(has(h2_header(options, "allow"), "PATCH"));
    h2_close(h2);
    fixture_close(fixture);
}

TEST(heads_and_targets_have_their_limits)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);
    char *word = arena_alloc(t->arena, 5000, 1);

    memset(word, 'w', 4999);
    str fits = str_format(t->arena, "x-long: %.3000s", word);
    str large = str_format(t->arena, "x-long: %.4200s", word);
    CHECK_INT(h2_read(h2, h2_ask(h2, "GET", "/echo", str_z(t->arena, fits), STR_NONE))->status,
              200);
    check_problem(h2_read(h2, h2_ask(h2, "GET", "/echo", str_z(t->arena, large), STR_NONE)), 431,
                  "http.headers_too_large");
    str path = str_format(t->arena, "/%.1023s", word),
        too_long = str_format(t->arena, "/%.1024s", word);
    CHECK_INT(h2_read(h2, h2_ask(h2, "GET", str_z(t->arena, path), NULL, STR_NONE))->status, 200);
    check_problem(h2_read(h2, h2_ask(h2, "GET", str_z(t->arena, too_long), NULL, STR_NONE)), 414,
                  "http.target_too_long");

    struct text many = text_init(t->arena, 4096);
    for (int i = 0; i < 110; i++)
        text_add_format(&many, "%sa: b", i ? "\n" : "");
    check_problem(
        h2_read(h2, h2_ask(h2, "GET", "/echo", str_z(t->arena, text_str(&many)), STR_NONE)), 431,
        "http.headers_too_large");
    h2_close(h2);
    fixture_close(fixture);
}

TEST(who_waits_for_100_is_told_to_go_on)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    const struct h2_answer *answer =
        h2_read(h2, h2_ask(h2, "POST", "/echo", "expect: 100-continue", STR("hello")));
    CHECK_INT(answer->informed, 1);
    CHECK_INT(answer->status, 200);
    answer = h2_read(h2, h2_ask(h2, "POST", "/refuse", "expect: 100-continue", STR("hello")));
    CHECK_INT(answer->informed, 0);
    CHECK_INT(answer->status, 401);
    h2_close(h2);
    fixture_close(fixture);
}

/* ---- Time ---- */

TEST(a_body_that_does_not_come_is_refused_with_408_and_others_go_on)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.body_timeout_ms = 150;
    fixture_start(fixture);
    struct h2 *h2 = h2_open(t, fixture->port, 0);
    h2->body_stays_open = true;
    int32_t slow = h2_ask(h2, "POST", "/echo", NULL, STR("part"));
    check_problem(h2_read(h2, slow), 408, "http.timeout");
    CHECK_INT(h2_read(h2, h2_ask(h2, "GET", "/echo", NULL, STR_NONE))->status, 200);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(a_block_of_headers_that_does_not_end_in_time_ends_the_connection)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.head_timeout_ms = fixture->config.body_timeout_ms = 150;
    fixture_start(fixture);
    struct h2 *h2 = raw_open(t, fixture);
    h2_frame(h2, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, h2_block(t->arena, GET_BLOCK));
    str came = client_read_all(t->arena, h2->fd);
    int count;
    CHECK_INT(byte_of_frames(came, NGHTTP2_GOAWAY, CODE_OF_GOAWAY, &count),
              NGHTTP2_ENHANCE_YOUR_CALM);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(an_idle_connection_ends_with_goaway)
{
    struct fixture *fixture = fixture_of(t);
    fixture->config.idle_timeout_ms = 100;
    fixture_start(fixture);
    struct h2 *h2 = h2_open(t, fixture->port, 0);
    CHECK_INT(h2_read(h2, h2_ask(h2, "GET", "/echo", NULL, STR_NONE))->status, 200);
    h2_read_to_end(h2);
    CHECK(h2->goaway);
    CHECK_INT(h2->goaway_code, NGHTTP2_NO_ERROR);
    h2_close(h2);
    fixture_close(fixture);
}

/* ---- Floods ---- */

static str frame_of(struct test *t, uint8_t type, uint8_t flags, int32_t id, str payload)
{
    char head[9] = { (char)(payload.len >> 16),
                     (char)(payload.len >> 8),
                     (char)payload.len,
                     (char)type,
                     (char)flags,
                     (char)(id >> 24),
                     (char)(id >> 16),
                     (char)(id >> 8),
                     (char)id };
    struct text frame = text_init(t->arena, 9 + payload.len);
    text_add(&frame, str_of(head, 9));
    text_add(&frame, payload);
    return text_str(&frame);
}

/* Sends so many frames of a kind; gives the code of the GOAWAY, -1 where the connection goes on. */
static int flood(struct test *t, uint8_t type, int32_t id, str payload, int count)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = raw_open(t, fixture);
    struct text frames = text_init(t->arena, 65536);
    int seen, code = -1;

    for (int i = 0; i < count; i++)
        text_add(&frames, frame_of(t, type, 0, id, payload));
    for (str rest = text_str(&frames); rest.len > 0;) {
        ssize_t sent = send(h2->fd, rest.ptr, rest.len, MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        rest = str_slice(rest, (size_t)sent, rest.len);
    }
    if (count > HTTP2_ASIDES_BURST) {
        str came = client_read_all(t->arena, h2->fd);
        code = byte_of_frames(came, NGHTTP2_GOAWAY, CODE_OF_GOAWAY, &seen);
    } else {
        h2_frame(h2, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                 h2_block(t->arena, GET_BLOCK));
        fixture_wait(&fixture->served, 1);
    }
    h2_close(h2);
    CHECK_INT(answer_status(fixture_ask(fixture, STR("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"))),
              200);
    fixture_close(fixture);
    return code;
}

TEST(pings_and_settings_and_empty_frames_without_end_end_the_connection_and_a_few_do_not)
{
    str ping = STR("12345678"), priority = STR("\0\0\0\0\1");

    CHECK_INT(flood(t, NGHTTP2_PING, 0, ping, 100), -1);
    CHECK_INT(flood(t, NGHTTP2_PING, 0, ping, 20000), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_INT(flood(t, 0x77, 0, ping, 100), -1); /* nobody knows what that is */
    CHECK_INT(flood(t, 0x77, 0, ping, 20000), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_INT(flood(t, NGHTTP2_SETTINGS, 0, STR(""), 100), -1);
    CHECK_INT(flood(t, NGHTTP2_SETTINGS, 0, STR(""), 20000), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_INT(flood(t, NGHTTP2_PRIORITY, 3, priority, 100), -1);
    CHECK_INT(flood(t, NGHTTP2_PRIORITY, 3, priority, 20000), NGHTTP2_ENHANCE_YOUR_CALM);
}

static int open_and_reset(struct test *t, int count, bool by_mistake, int *requests)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = raw_open(t, fixture);
    str block = h2_block(t->arena, GET_BLOCK);

    for (int i = 0; i < count && !h2->eof; i++) {
        int32_t id = 2 * i + 1;
        struct text frames = text_init(t->arena, 200);
        text_add(&frames, frame_of(t, NGHTTP2_HEADERS,
                                   NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, block));
        if (by_mistake) /* more window than there may be: the server must reset the stream */
            text_add(&frames, frame_of(t, NGHTTP2_WINDOW_UPDATE, 0, id, STR("\x7f\xff\xff\xff")));
        else
            text_add(&frames, frame_of(t, NGHTTP2_RST_STREAM, 0, id, STR("\0\0\0\x08")));
        if (send(h2->fd, frames.ptr, frames.len, MSG_NOSIGNAL) <= 0)
            break;
    }
    str came = client_read_all(t->arena, h2->fd);
    int count_seen, code = byte_of_frames(came, NGHTTP2_GOAWAY, CODE_OF_GOAWAY, &count_seen);
    *requests = (int)http_stats_of(fixture->server).requests;
    h2_close(h2);
    fixture_close(fixture);
    return code;
}

TEST(streams_reset_without_end_end_the_connection_whoever_resets_them)
{
    int requests;
    CHECK_INT(open_and_reset(t, 5000, false, &requests), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK(requests < 600);
    CHECK_INT(open_and_reset(t, 5000, true, &requests), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK(requests < 3000);
}

TEST(handlers_at_work_count_even_when_their_streams_were_reset)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    for (int i = 0; i < 16; i++) { /* as many as the fixture holds */
        int32_t id = h2_ask(h2, "GET", "/hold", NULL, STR_NONE);
        h2_pass(h2, 0);
        nghttp2_submit_rst_stream(h2->session, 0, id, NGHTTP2_CANCEL);
    }
    h2_pass(h2, 20);
    fixture_wait_held(fixture, 16);
    CHECK_INT(h2_read(h2, h2_ask(h2, "GET", "/echo", NULL, STR_NONE))->status, 200);
    h2_close(h2);
    for (int i = 0; i < 16; i++)
        fixture_release(fixture);
    fixture_close(fixture);
}

TEST(a_block_of_headers_without_end_ends_the_connection)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = raw_open(t, fixture);

    h2_frame(h2, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, h2_block(t->arena, GET_BLOCK));
    for (int i = 0; i < 20000 && !h2->eof; i++)
        h2_frame(h2, NGHTTP2_CONTINUATION, 0, 1, STR(""));
    str came = client_read_all(t->arena, h2->fd);
    int count, code = byte_of_frames(came, NGHTTP2_GOAWAY, CODE_OF_GOAWAY, &count);
    CHECK(code == NGHTTP2_ENHANCE_YOUR_CALM || code == NGHTTP2_PROTOCOL_ERROR);
    CHECK_INT(http_stats_of(fixture->server).requests, 0);
    h2_close(h2);
    CHECK_INT(answer_status(fixture_ask(fixture, STR("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"))),
              200);
    fixture_close(fixture);
}

TEST(more_streams_than_allowed_are_refused_and_the_others_are_answered)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = raw_open(t, fixture);
    str block = h2_block(t->arena, GET_BLOCK);

    /* Open ones: bodies that do not end. Before the answers stand 49 bytes of the server's own. */
    for (int i = 0; i < HTTP2_STREAMS_MAX + 5; i++)
        h2_frame(h2, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 2 * i + 1, block);
    str came = client_read(t->arena, h2->fd, 49 + 5 * 13);
    int refused;
    CHECK_INT(byte_of_frames(came, NGHTTP2_RST_STREAM, CODE_OF_RESET, &refused),
              NGHTTP2_REFUSED_STREAM);
    CHECK_INT(refused, 5);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(an_id_of_the_past_is_a_mistake_of_the_connection)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = raw_open(t, fixture);
    str block = h2_block(t->arena, GET_BLOCK);
    uint8_t whole = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM;

    h2_frame(h2, NGHTTP2_HEADERS, whole, 5, block);
    h2_frame(h2, NGHTTP2_HEADERS, whole, 3, block);
    str came = client_read_all(t->arena, h2->fd);
    int count;
    CHECK_INT(byte_of_frames(came, NGHTTP2_GOAWAY, CODE_OF_GOAWAY, &count), NGHTTP2_PROTOCOL_ERROR);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(a_peer_that_has_left_and_still_sends_hears_no_reset)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = raw_open(t, fixture);
    str ping = frame_of(t, NGHTTP2_PING, 0, 0, STR("12345678"));

    h2_frame(h2, NGHTTP2_GOAWAY, 0, 0, STR("\0\0\0\0\0\0\0\xff"));
    (void)client_read_all(t->arena, h2->fd); /* the server has ended its side */
    for (int i = 0; i < 3; i++) {            /* a reset of the first would fail the next */
        CHECK_INT(send(h2->fd, ping.ptr, ping.len, MSG_NOSIGNAL), (int64_t)ping.len);
        sleep_until(clock_mono_us() + 20 * 1000);
    }
    h2_close(h2);
    fixture_close(fixture);
}

/* ---- The end ---- */

static void act_drain(struct fixture *fixture) { http_drain(fixture->server); }

TEST(a_draining_server_says_so_and_answers_what_is_on_its_way)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *idle = h2_open(t, fixture->port, 0), *busy = h2_open(t, fixture->port, 0);
    CHECK_INT(h2_read(idle, h2_ask(idle, "GET", "/echo", NULL, STR_NONE))->status, 200);
    int32_t held = h2_ask(busy, "GET", "/hold", NULL, STR_NONE);
    h2_pass(busy, 0);
    fixture_wait_held(fixture, 1);

    fixture_do(fixture, act_drain);
    h2_pass(idle, 50);
    CHECK(idle->goaway);
    CHECK_INT(idle->goaway_last, 0x7fffffff);
    fixture_release(fixture);
    CHECK_INT(h2_read(busy, held)->status, 200);
    h2_pass(busy, 50);
    CHECK(busy->goaway);
    CHECK_INT(busy->goaway_last, held);

    struct h2 *late = h2_open(t, fixture->port, 0);
    CHECK_INT(h2_read(late, h2_ask(late, "GET", "/echo", NULL, STR_NONE))->status, 200);
    h2_pass(late, 50);
    CHECK(late->goaway);
    h2_close(late);
    h2_close(idle);
    h2_close(busy);
    fixture_close(fixture);
}

TEST(a_closing_server_ends_idle_connections_at_once_and_others_after_their_answers)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *idle = h2_open(t, fixture->port, 0), *busy = h2_open(t, fixture->port, 0);
    CHECK_INT(h2_read(idle, h2_ask(idle, "GET", "/echo", NULL, STR_NONE))->status, 200);
    int32_t held = h2_ask(busy, "GET", "/hold", NULL, STR_NONE);
    h2_pass(busy, 0);
    fixture_wait_held(fixture, 1);

    fixture_close_server(fixture, CLIENT_WAIT_MS);
    h2_read_to_end(idle);
    CHECK(idle->goaway);
    fixture_release(fixture);
    CHECK_INT(h2_read(busy, held)->status, 200);
    h2_read_to_end(busy);
    h2_close(idle);
    h2_close(busy);
    fixture_end(fixture);
}

TEST(an_answer_whose_peer_has_gone_is_dropped)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);
    h2_ask(h2, "GET", "/hold", NULL, STR_NONE);
    h2_ask(h2, "GET", "/worker", NULL, STR_NONE);
    h2_pass(h2, 0);
    fixture_wait_held(fixture, 1);
    client_reset(h2->fd);
    sleep_until(clock_mono_us() + 20 * TIME_MS);
    fixture_release(fixture);
    fixture_close(fixture);
}

/* ---- Talks ---- */

TEST(a_talk_is_answered_while_it_is_heard)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    h2->body_stays_open = true;
    int32_t id = h2_ask(h2, "POST", "/talk", NULL, STR("hello"));
    for (int i = 0; i < 200 && h2->answers[(id - 1) / 2].body.len < 5; i++)
        h2_pass(h2, 20);
    CHECK_STR(text_str(&h2->answers[(id - 1) / 2].body), "hello");
    CHECK(!h2->answers[(id - 1) / 2].ended);
    h2->body_stays_open = false;
    CHECK_INT(nghttp2_session_resume_data(h2->session, id), 0);
    CHECK(h2_read(h2, id)->ended);
    h2_close(h2);
    fixture_close(fixture);
    CHECK_INT(fixture->pieces_ended, 1);
}

TEST(a_talk_goes_on_beyond_every_window)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 2000);
    size_t len = 3 * HTTP2_CONNECTION_WINDOW_BYTES;
    char *bytes = arena_alloc(t->arena, len, 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 >> 3);

    const struct h2_answer *answer =
        h2_read(h2, h2_ask(h2, "POST", "/talk", NULL, str_of(bytes, len)));
    CHECK_INT(answer->body.len, (int64_t)len);
    CHECK(memcmp(answer->body.ptr, bytes, len) == 0);
    h2_close(h2);
    fixture_close(fixture);
}

TEST(a_talk_ends_when_its_peer_goes)
{
    struct fixture *fixture = fixture_open(t);
    struct h2 *h2 = h2_open(t, fixture->port, 0);

    h2->body_stays_open = true;
    int32_t id = h2_ask(h2, "POST", "/talk", NULL, STR("one"));
    h2_ask(h2, "POST", "/talk", NULL, STR("two"));
    h2_pass(h2, 50);
    CHECK_INT(nghttp2_submit_rst_stream(h2->session, 0, id, NGHTTP2_CANCEL), 0);
    h2_pass(h2, 0);
    fixture_wait(&fixture->pieces_ended, 1);
    h2_close(h2);
    fixture_wait(&fixture->pieces_ended, 2);
    fixture_close(fixture);
}
