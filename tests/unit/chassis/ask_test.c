#include "chassis/ask.h"
#include "tests/lib/test.h"

static err read_answer(struct test *t, const char *bytes, struct asked *asked)
{
    return asked_read(t->arena, str_of_z(bytes), asked);
}

TEST(an_answer_has_a_status_and_as_much_body_as_it_says)
{
    struct asked asked;
    CHECK_OK(
        read_answer(t, "HTTP/1.1 201 Created\r\nA: b\r\ncontent-length: 3\r\n\r\nabcdef", &asked));
    CHECK_INT(asked.status, 201);
    CHECK_STR(asked.body, "abc");
    CHECK_OK(read_answer(t, "HTTP/1.1 204 No Content\r\n\r\n", &asked));
    CHECK_INT(asked.status, 204);
    CHECK_STR(asked.body, "");
    CHECK_OK(read_answer(t, "HTTP/1.0 200\r\n\r\nto the end", &asked));
    CHECK_STR(asked.body, "to the end");
}

TEST(what_is_no_answer_or_cut_short_is_an_error)
{
    static const char *const bad[] = {
        "",
        "hello",
        "hello\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 099 No\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
    };
    struct asked asked;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!err_is(read_answer(t, bad[i], &asked), UPSTREAM_FAILED))
            FAIL("case %zu is taken", i);
}

static str refusal(struct test *t, const char *body)
{
    struct asked asked = { .status = 409, .body = str_of_z(body) };
    return asked_refusal(t->arena, &asked);
}

TEST(a_refusal_is_told_in_words_with_its_code)
{
    CHECK_STR(
        refusal(t, "{\"title\":\"There is one.\",\"code\":\"email.taken\",\"detail\":\"x y\"}"),
        "There is one. (email.taken)\n  x y");
    CHECK_STR(refusal(t, "{\"title\":\"Weak.\",\"code\":\"password.weak\",\"detail\":\"x\","
                         "\"errors\":[{\"pointer\":\"/password\",\"message\":\"too short\"},3]}"),
              "Weak. (password.weak)\n  /password: too short");
}

TEST(a_refusal_that_is_no_problem_is_told_by_its_status)
{
    CHECK_STR(refusal(t, ""), "The shop answers with status 409.");
    CHECK_STR(refusal(t, "<html>"), "The shop answers with status 409.");
    CHECK_STR(refusal(t, "[1]"), "The shop answers with status 409.");
    CHECK_STR(refusal(t, "{\"title\":1,\"code\":2}"), "The shop answers with status 409.");
}

TEST(where_no_shop_runs_asking_fails_with_unavailable)
{
    struct asked asked;
    str path = str_format(t->arena, "%s/duka.sock", test_folder(t));
    CHECK_ERR(ask_operator(t->arena, path, "GET", "/readyz", STR_NONE, 1000, &asked),
              UPSTREAM_UNAVAILABLE);
}
