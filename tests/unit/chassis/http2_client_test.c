#include "chassis/http2_client.h"

#include "tests/unit/chassis/http2_script.h"
#include "tests/unit/chassis/upstream_fixture.h"

static bool has(str text, const char *part) { return str_find(text, str_of_z(part)) >= 0; }

static struct gate *gate_to(struct test *t, const struct script *script,
                            const char *const *settings)
{
    return gate_open(t, str_z(t->arena, str_format(t->arena, "http://127.0.0.1:%d", script->port)),
                     settings);
}

TEST(it_says_the_preface_takes_no_pushes_and_asks_once_the_server_has_spoken)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_to(t, script, NULL);
    struct asked_of *asked = gate_request(gate, "GET", "/");

    gate_send(asked);
    script_accept(script, false);
    struct script_frame settings = script_next(script);
    CHECK_INT(settings.type, NGHTTP2_SETTINGS);
    static const char no_push[] = { 0, NGHTTP2_SETTINGS_ENABLE_PUSH, 0, 0, 0, 0 };
    CHECK(str_find(settings.payload, str_of(no_push, sizeof(no_push))) >= 0);
    CHECK_INT(script_next(script).type, NGHTTP2_WINDOW_UPDATE);
    CHECK(client_is_quiet(script->fd, 50)); /* it may be no server of HTTP/2 at all */
    script_send(script, NGHTTP2_SETTINGS, 0, 0, STR(""));
    int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
    script_answer(script, id, ":status: 204", true);
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 204);
    gate_close(gate);
    CHECK_INT(script_wait(script, NGHTTP2_GOAWAY).type, NGHTTP2_GOAWAY);
    script_close(script);
}

TEST(interim_answers_are_passed_over_and_trailers_are_no_headers)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_to(t, script, NULL);
    struct asked_of *asked = gate_request(gate, "GET", "/");

    gate_send(asked);
    script_accept(script, true);
    int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
    script_answer(script, id, ":status: 103\nlink: </a>", false);
    script_answer(script, id, ":status: 200\nx-one: 1", false);
    script_send(script, NGHTTP2_DATA, 0, id, STR("body"));
    script_answer(script, id, "x-late: 1", true);
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 200);
    CHECK_STR(asked_of_answer(asked, "x-one"), "1");
    CHECK(!asked_of_answer(asked, "link").ptr && !asked_of_answer(asked, "x-late").ptr);
    CHECK_STR(text_str(&asked->body), "body");
    gate_close(gate);
    script_close(script);
}

TEST(a_server_that_speaks_another_language_is_unavailable)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_to(t, script, NULL);
    struct asked_of *asked = gate_request(gate, "GET", "/");

    gate_send(asked);
    script_accept(script, false);
    client_send(script->fd, STR("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 503);
    gate_close(gate);
    script_close(script);
}

TEST(headers_without_end_are_a_bad_answer)
{
    struct script *script = script_open(t);
    struct gate *gate = gate_to(t, script, NULL);
    struct asked_of *asked = gate_request(gate, "GET", "/"),
                    *second = gate_request(gate, "GET", "/");

    gate_send(asked);
    script_accept(script, true);
    int32_t id = script_wait(script, NGHTTP2_HEADERS).id;
    struct text many = text_init(t->arena, 4096);
    text_add(&many, STR(":status: 200"));
    for (int i = 0; i <= RESPONSE_HEADERS_MAX; i++)
        text_add_format(&many, "\nx-%d: 1", i);
    text_add_byte(&many, '\0');
    script_answer(script, id, many.ptr, true);
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 502);
    CHECK(has(text_str(&asked->body), "upstream.failed"));
    CHECK(has(text_str(&asked->body), "too large or too many"));
    gate_send(second); /* the connection goes on */
    struct script_frame frame;
    do {
        frame = script_next(script);
    } while (frame.type != NGHTTP2_HEADERS);
    script_answer(script, frame.id, ":status: 200", true);
    gate_wait(second);
    CHECK_INT(second->request.response.status, 200);
    gate_close(gate);
    script_close(script);
}

TEST(a_server_that_has_died_is_noticed_by_a_ping_and_a_silent_one_that_lives_is_not)
{
    static const char *const settings[] = { "--upstream-ping-interval=100ms",
                                            "--upstream-ping-timeout=300ms", NULL };
    struct script *script = script_open(t);
    struct gate *gate = gate_to(t, script, settings);
    struct asked_of *asked = gate_request(gate, "POST", "/");

    gate_send(asked);
    script_accept(script, true);
    (void)script_wait(script, NGHTTP2_HEADERS);
    struct script_frame ping = script_wait(script, NGHTTP2_PING);
    script_send(script, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping.payload);
    CHECK_INT(script_wait(script, NGHTTP2_PING).type, NGHTTP2_PING); /* another, and no answer */
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 502);
    CHECK(has(text_str(&asked->body), "does not answer a ping"));
    gate_close(gate);
    script_close(script);
}

TEST(a_server_that_never_speaks_is_given_up)
{
    static const char *const settings[] = { "--upstream-connect-timeout=100ms", NULL };
    struct script *script = script_open(t);
    struct gate *gate = gate_to(t, script, settings);
    struct asked_of *asked = gate_request(gate, "POST", "/");

    gate_send(asked);
    script_accept(script, false);
    gate_wait(asked);
    CHECK_INT(asked->request.response.status, 503);
    CHECK(has(text_str(&asked->body), "connecting takes too long"));
    gate_close(gate);
    script_close(script);
}
