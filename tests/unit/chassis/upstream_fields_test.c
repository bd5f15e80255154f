#include "chassis/upstream_fields.h"

#include "tests/lib/test.h"

/* A request with headers "name: value", NULL last. */
static struct request *request_of(struct test *t, const char *const (*headers)[2])
{
    struct request *request = arena_new(t->arena, struct request);
    *request = (struct request){ .arena = t->arena,
                                 .method = HTTP_POST,
                                 .method_text = STR("POST"),
                                 .path = STR("/orders"),
                                 .headers = arena_array(t->arena, struct header, HEADERS_MAX) };
    for (; (*headers)[0]; headers++)
        request->headers[request->headers_count++] =
            (struct header){ str_of_z((*headers)[0]), str_of_z((*headers)[1]) };
    return request;
}

/* "name=value\n" of all that is sent. */
static str sent(struct test *t, const struct request *request)
{
    struct header fields[HTTP2_CLIENT_FIELDS_MAX];
    struct header added[] = { { STR("x-identity"), STR("me") } };
    struct text out = text_init(t->arena, 1024);
    int count =
        upstream_fields(t->arena, request, false, STR("orders-service"), 1500000, added, 1, fields);

    for (int i = 0; i < count; i++)
        text_add_format(&out, "%" STR_F "=%" STR_F "\n", STR_A(fields[i].name),
                        STR_A(fields[i].value));
    return text_str(&out);
}

TEST(what_is_for_one_connection_stays_on_it)
{
    static const char *const headers[][2] = {
        { "host", "shop.example" },
        { "connection", "close, X-Hop" },
        { "x-hop", "1" },
        { "keep-alive", "timeout=5" },
        { "te", "trailers" },
        { "upgrade", "h2c" },
        { "expect", "100-continue" },
        { "transfer-encoding", "chunked" },
        { "http2-settings", "A" },
        { "proxy-authorization", "b" },
        { "trailer", "x" },
        { "accept", "text/plain" },
        { "cookie", "a=b" },
        { NULL, NULL },
    };
    struct request *request = request_of(t, headers);

    request->query = STR("a=b&c");
    CHECK_STR(sent(t, request), ":method=POST\n:scheme=http\n:authority=orders-service\n"
                                ":path=/orders?a=b&c\naccept=text/plain\ncookie=a=b\n"
                                "x-identity=me\n");
}

TEST(the_requests_ids_and_the_length_of_its_body_go_along)
{
    static const char *const headers[][2] = { { "traceparent", "old" },
                                              { "x-request-id", "old" },
                                              { "content-length", "9" },
                                              { NULL, NULL } };
    struct request *request = request_of(t, headers);

    memcpy(request->trace_id, "0123456789abcdef0123456789abcdef", 33);
    memcpy(request->span_id, "0123456789abcdef", 17);
    memcpy(request->request_id, "r-1", 4);
    request->sampled = true;
    request->body = STR("hello");
    CHECK_STR(sent(t, request),
              ":method=POST\n:scheme=http\n:authority=orders-service\n:path=/orders\n"
              "content-length=5\n"
              "traceparent=00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\n"
              "x-request-id=r-1\nx-identity=me\n");
    request->body = STR_NONE;
    struct body_stream stream = { 0 };
    request->stream = &stream; /* its length is what its client said */
    CHECK(str_find(sent(t, request), STR("content-length=9\n")) >= 0);
}

TEST(grpc_says_how_much_time_is_left)
{
    static const char *const headers[][2] = { { "content-type", "application/grpc" },
                                              { "grpc-timeout", "9S" },
                                              { "te", "trailers" },
                                              { NULL, NULL } };
    struct request *request = request_of(t, headers);
    struct header fields[HTTP2_CLIENT_FIELDS_MAX];

    request->grpc = true;
    request->body = STR("12345");
    CHECK_STR(sent(t, request), ":method=POST\n:scheme=http\n:authority=orders-service\n"
                                ":path=/orders\ncontent-type=application/grpc\nte=trailers\n"
                                "grpc-timeout=1500000u\nx-identity=me\n");
    int count =
        upstream_fields(t->arena, request, true, STR("o"), 3600 * TIME_SECOND, NULL, 0, fields);
    CHECK_STR(fields[count - 1].value, "3600000m");
    count = upstream_fields(t->arena, request, true, STR("o"), -5, NULL, 0, fields);
    CHECK_STR(fields[count - 1].value, "1u");
    CHECK_STR(fields[1].value, "https");
}

static bool take(struct request *request, const char *name, const char *value)
{
    return upstream_answer_field(request->arena, request, str_of_z(name), str_of_z(value), false);
}

TEST(the_answers_fields_become_the_response)
{
    static const char *const none[][2] = { { NULL, NULL } };
    struct request *request = request_of(t, none);

    CHECK(take(request, ":status", "201") && take(request, "content-type", "application/json"));
    CHECK(take(request, "content-length", "12") && take(request, "location", "/orders/1"));
    CHECK(take(request, "date", "x") && take(request, "connection", "close"));
    CHECK(take(request, "x-request-id", "theirs") && take(request, "traceparent", "theirs"));
    CHECK(upstream_answer_field(t->arena, request, STR("x-late"), STR("1"), true));
    CHECK_INT(request->response.status, 201);
    CHECK_STR(request->response.content_type, "application/json");
    CHECK_INT(request->response.head_length, 12);
    CHECK_INT(request->response.headers_count, 1);
    CHECK_STR(request->response.headers[0].value, "/orders/1");
}

TEST(what_a_response_cannot_hold_is_refused)
{
    static const char *const none[][2] = { { NULL, NULL } };
    struct request *request = request_of(t, none);

    CHECK(!take(request, ":status", "abc") && !take(request, ":status", "600"));
    CHECK(!take(request, "content-length", "-1"));
    for (int i = 0; i < RESPONSE_HEADERS_MAX; i++)
        CHECK(take(request, "x-many", "1"));
    CHECK(!take(request, "x-many", "1"));
}

TEST(the_status_of_grpc_is_read_from_wherever_it_stands)
{
    static const char *const none[][2] = { { NULL, NULL } };
    struct request *request = request_of(t, none);

    request->grpc = true;
    CHECK(upstream_answer_field(t->arena, request, STR("grpc-status"), STR("9"), true));
    CHECK(upstream_answer_field(t->arena, request, STR("grpc-message"), STR("gr%C3%BCn%"), true));
    CHECK(
        upstream_answer_field(t->arena, request, STR("grpc-status-details-bin"), STR("CAk"), true));
    CHECK(request->response.grpc_told);
    CHECK_INT(request->response.grpc_status, 9);
    CHECK_STR(request->response.grpc_message, "gr%C3%BCn%"); /* broken: as it is */
    CHECK_STR(request->response.grpc_details, "CAk");
    CHECK_STR(upstream_grpc_message(t->arena, STR("gr%C3%BCn")), "gr\xc3\xbcn");
    CHECK_INT(request->response.headers_count, 0);
}
