#include "chassis/http_write.h"

#include "tests/lib/test.h"

static const struct http_write STAYS = { .date = "Sun, 06 Nov 1994 08:49:37 GMT" };

static str head_of(struct test *t, const struct request *request, const struct http_write *how)
{
    struct text out = text_init(t->arena, 0);
    http_write_head(&out, request, how);
    return text_str(&out);
}

TEST(an_answer_begins_with_its_status_date_type_and_length)
{
    struct request request = {
        .response = { .status = 200, .content_type = STR("text/plain"), .body = STR("hello") }
    };
    CHECK_STR(head_of(t, &request, &STAYS), "HTTP/1.1 200 OK\r\n"
                                            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                            "Content-Type: text/plain\r\n"
                                            "Content-Length: 5\r\n\r\n");
}

TEST(the_ids_of_a_request_are_told)
{
    struct request request = { .response = { .status = 200 },
                               .request_id = "r-1",
                               .trace_id = "0af7651916cd43dd8448eb211c80319c",
                               .span_id = "b7ad6b7169203331",
                               .sampled = true };
    str head = head_of(t, &request, &STAYS);
    CHECK(str_find(head, STR("\r\nX-Request-Id: r-1\r\n")) > 0);
    CHECK(str_find(head, STR("\r\ntraceparent: "
                             "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n")) > 0);
}

TEST(headers_of_the_answer_and_of_the_filters_are_there_in_order)
{
    struct request request = { .response = { .status = 201 } };
    response_add(&request.response, STR("Location"), STR("/orders/1"));
    request.extra[request.extra_count++] = (struct header){ STR("RateLimit"), STR("r=1") };
    str head = head_of(t, &request, &STAYS);
    CHECK(str_find(head, STR("\r\nLocation: /orders/1\r\nRateLimit: r=1\r\n")) > 0);
    CHECK(str_starts(head, STR("HTTP/1.1 201 Created\r\n")));
}

TEST(a_value_cannot_begin_another_header)
{
    struct request request = { .response = { .status = 200 } };
    response_add(&request.response, STR("Location"), STR("/a\r\nSet-Cookie: x\n\x7f\t"));
    str head = head_of(t, &request, &STAYS);
    CHECK(str_find(head, STR("\r\nLocation: /a  Set-Cookie: x   \r\n")) > 0);
}

TEST(statuses_without_a_body_have_no_length)
{
    static const int without[] = { 204, 304 };
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        struct request request = { .response = { .status = without[i] } };
        str head = head_of(t, &request, &STAYS);
        CHECK(!http_status_has_body(without[i]));
        CHECK(str_find(head, STR("Content-Length")) < 0);
    }
    CHECK(http_status_has_body(200));
    CHECK(http_status_has_body(404));
    struct request request = { .response = { .status = 200 } };
    CHECK(str_find(head_of(t, &request, &STAYS), STR("Content-Length: 0\r\n")) > 0);
}

TEST(the_end_of_the_connection_is_told)
{
    struct request request = { .response = { .status = 200 } };
    struct http_write ends = STAYS, stays = STAYS;
    ends.close = ends.says_keep_alive = true;
    stays.says_keep_alive = true;
    CHECK(str_find(head_of(t, &request, &ends), STR("Connection: close\r\n")) > 0);
    CHECK(str_find(head_of(t, &request, &stays), STR("Connection: keep-alive\r\n")) > 0);
    CHECK(str_find(head_of(t, &request, &STAYS), STR("Connection:")) < 0);
}

TEST(each_status_of_an_error_has_its_phrase)
{
    static const int statuses[] = {
#define KIND(name, http, grpc) http,
#include "errors_kinds.tbl"
#undef KIND
    };
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct request request = { .response = { .status = statuses[i] } };
        str none = str_format(t->arena, "HTTP/1.1 %d \r\n", statuses[i]);
        CHECK(!str_starts(head_of(t, &request, &STAYS), none));
    }
}
