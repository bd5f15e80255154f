#include "chassis/http2_fields.h"

#include "tests/lib/test.h"

/* The list as "name: value\n" each. */
static str listed(struct test *t, struct request *request)
{
    struct header fields[HTTP2_FIELDS_MAX];
    struct text out = text_init(t->arena, 500);

    request->arena = t->arena;
    int count = http2_fields(request, "Sun, 06 Nov 1994 08:49:37 GMT", fields);
    for (int i = 0; i < count; i++)
        text_add_format(&out, "%" STR_F ": %" STR_F "\n", STR_A(fields[i].name),
                        STR_A(fields[i].value));
    return text_str(&out);
}

TEST(names_are_lower_case_and_the_status_stands_first)
{
    struct request request = {
        .response = { .status = 201, .content_type = STR("text/plain"), .body = STR("hello") }
    };
    response_add(&request.response, STR("Cache-Control"), STR("no-store"));
    request.extra[request.extra_count++] = (struct header){ STR("RateLimit"), STR("r=1") };
    memcpy(request.request_id, "r1", 3);

    CHECK_STR(listed(t, &request),
              ":status: 201\ndate: Sun, 06 Nov 1994 08:49:37 GMT\ncontent-type: text/plain\n"
              "content-length: 5\ncache-control: no-store\nratelimit: r=1\nx-request-id: r1\n");
}

TEST(an_answer_without_a_body_tells_no_length)
{
    struct request request = { .response = { .status = 204 } };
    CHECK_STR(listed(t, &request), ":status: 204\ndate: Sun, 06 Nov 1994 08:49:37 GMT\n");
}

TEST(what_belongs_to_a_connection_of_http_1_is_left_out_and_no_control_character_goes_out)
{
    struct request request = { .response = { .status = 304 } };
    response_add(&request.response, STR("Connection"), STR("close"));
    response_add(&request.response, STR("X-Odd"), STR("a\r\nb: c\x7f"));
    CHECK_STR(listed(t, &request),
              ":status: 304\ndate: Sun, 06 Nov 1994 08:49:37 GMT\nx-odd: a  b: c \n");
}

TEST(a_call_of_grpc_that_brought_both_ids_does_not_hear_them_again)
{
    struct request request = { .response = { .status = 200, .body = STR("x") } };
    memcpy(request.request_id, "r1", 3);
    memset(request.trace_id, 'a', sizeof request.trace_id - 1);
    request.sampled = true;
    memset(request.span_id, 'b', sizeof request.span_id - 1);
    str ids = STR(
        "x-request-id: r1\ntraceparent: 00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01\n");

    request.ids_known = true;
    CHECK(str_ends(listed(t, &request), ids));
    request.grpc = true;
    CHECK(str_find(listed(t, &request), STR("x-request-id")) < 0);
    CHECK(str_find(listed(t, &request), STR("traceparent")) < 0);
    request.ids_known = false;
    CHECK(str_find(listed(t, &request), ids) > 0);
}
