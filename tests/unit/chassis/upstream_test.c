#include "chassis/upstream.h"

#include "tests/unit/chassis/upstream_fixture.h"

static bool has(str text, const char *part) { return str_find(text, str_of_z(part)) >= 0; }

static struct gate *gate_to(struct test *t, const struct fixture *fixture,
                            const char *const *settings)
{
    return gate_open(t, str_z(t->arena, str_format(t->arena, "http://127.0.0.1:%d", fixture->port)),
                     settings);
}

TEST(a_request_goes_on_and_its_answer_comes_back)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_to(t, fixture, NULL);
    struct asked_of *asked = gate_request(gate, "POST", "/echo?a=b");

    asked->request.body = STR("hello");
    asked_of_header(asked, "x-one", "1");
    CHECK_INT(gate_ask(asked), 200);
    str body = text_str(&asked->body);
    CHECK(has(body, "POST /echo query=a=b "));
    CHECK(has(body, "\nx-one=1\n"));
    CHECK(has(body, "\ncontent-length=5\n"));
    CHECK(has(body, "\nx-caller=for /echo\n"));
    CHECK(has(body, "body=hello"));
    CHECK_STR(asked->request.response.content_type, "text/plain");
    gate_close(gate);
    fixture_close(fixture);
}

TEST(a_client_of_http_1_is_served_through_it)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_to(t, fixture, NULL);

    int fd = client_connect(gate->port);
    client_send(fd, STR("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"));
    str answer = client_read_answer(t->arena, fd, true);
    CHECK_INT(answer_status(answer), 200);
    CHECK(has(answer_body(answer), "GET /echo"));
    client_send(fd, STR("HEAD /big?5000 HTTP/1.1\r\nHost: h\r\n\r\n"));
    answer = client_read_answer(t->arena, fd, false);
    CHECK_STR(answer_header(answer, STR("Content-Length")), "5000");
    client_send(fd, STR("GET /none HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK_INT(answer_status(client_read_answer(t->arena, fd, false)), 204);
    close(fd);
    gate_close(gate);
    fixture_close(fixture);
}

TEST(where_nobody_listens_it_says_so_at_once)
{
    struct fixture *fixture = fixture_open(t);
    struct gate *gate = gate_to(t, fixture, NULL);
    fixture_close(fixture);

    struct asked_of *asked = gate_request(gate, "GET", "/echo");
    CHECK_INT(gate_ask(asked), 503);
    CHECK_STR(asked_of_answer(asked, "Retry-After"), "1");
    CHECK(has(text_str(&asked->body), "upstream.unavailable"));
    CHECK(has(text_str(&asked->body), "connection refused"));
    CHECK(!upstream_ready(gate->upstream));
    gate_close(gate);
}
