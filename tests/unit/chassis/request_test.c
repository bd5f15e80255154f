#include "chassis/request.h"

#include "base/json.h"
#include "tests/lib/test.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static struct request request_with(struct test *t, const struct header *headers, int count)
{
    struct request request = { .arena = t->arena, .headers_count = count };
    request.headers = arena_copy(t->arena, headers, (size_t)count * sizeof *headers);
    return request;
}

TEST(a_header_is_found_by_its_name)
{
    struct header headers[] = { { STR("a"), STR("1") },
                                { STR("b"), STR("2") },
                                { STR("a"), STR("3") } };
    struct request request = request_with(t, headers, 3);

    CHECK_STR(request_header(&request, STR("a")), "1");
    CHECK_STR(request_header(&request, STR("b")), "2");
    CHECK(!request_header(&request, STR("c")).ptr);
    CHECK_INT(request_header_count(&request, STR("a")), 2);
    CHECK_INT(request_header_count(&request, STR("c")), 0);
}

TEST(a_header_that_is_dropped_is_gone_and_the_others_stay_in_their_order)
{
    struct header headers[] = { { STR("a"), STR("1") },
                                { STR("b"), STR("2") },
                                { STR("a"), STR("3") },
                                { STR("c"), STR("4") } };
    struct request request = request_with(t, headers, 4);

    request_header_drop(&request, STR("a"));
    request_header_drop(&request, STR("none"));
    CHECK_INT(request.headers_count, 2);
    CHECK_STR(request.headers[0].value, "2");
    CHECK_STR(request.headers[1].value, "4");
}

/* ---- Identity ---- */

static struct request identified(struct test *t, str traceparent, str id)
{
    struct header headers[] = { { STR("traceparent"), traceparent }, { STR("x-request-id"), id } };
    struct request request = request_with(t, headers, 2);
    request_identify(&request);
    CHECK_INT(strlen(request.trace_id), 32);
    CHECK_INT(strlen(request.span_id), 16);
    return request;
}

TEST(a_valid_traceparent_is_continued_with_a_new_span)
{
    static const char *const valid[] = { "00-" TRACE "-" PARENT "-01", "00-" TRACE "-" PARENT "-00",
                                         "01-" TRACE "-" PARENT "-01-more",
                                         "cc-" TRACE "-" PARENT "-ff" };
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++) {
        struct request request = identified(t, str_of_z(valid[i]), STR_NONE);
        CHECK_STR((const char *)request.trace_id, TRACE);
        CHECK_STR((const char *)request.parent_id, PARENT);
        CHECK(strcmp(request.span_id, PARENT) != 0);
        CHECK_INT(request.sampled, i != 1); /* as whoever sent it has decided */
        CHECK(str_ends(request_traceparent(t->arena, &request), i == 1 ? STR("-00") : STR("-01")));
    }
}

TEST(who_asks_is_known_by_a_hash_only)
{
    struct request request = { .arena = t->arena }, other = { .arena = t->arena };
    struct uuid user = { { 1, 2, 3 } };
    request_note_user(&request, user);
    request_note_user(&other, (struct uuid){ { 1, 2, 4 } });
    CHECK_INT(strlen(request.user_hash), 16);
    CHECK(strcmp(request.user_hash, other.user_hash) != 0);
    CHECK(!strstr(request.user_hash, "010203"));
}

TEST(a_traceparent_that_is_not_valid_begins_a_new_trace)
{
    static const char *const wrong[] = {
        "",
        "00",
        "ff-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-01-more",
        "01-" TRACE "-" PARENT "-01more",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-0x",
        "0x-" TRACE "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-0af7651916cd43dd8448eb211c80319g-" PARENT "-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct request request = identified(t, str_of_z(wrong[i]), STR_NONE);
        CHECK(strcmp(request.trace_id, TRACE) != 0);
        CHECK_STR((const char *)request.parent_id, "");
    }
}

TEST(both_ids_are_known_only_where_both_came_and_are_valid)
{
    str trace = STR("00-" TRACE "-" PARENT "-01");

    CHECK(identified(t, trace, STR("mine")).ids_known);
    CHECK(!identified(t, trace, STR("")).ids_known);
    CHECK(!identified(t, STR("00-x"), STR("mine")).ids_known);
    CHECK(!identified(t, STR(""), STR("")).ids_known);
}

TEST(two_traceparents_are_none)
{
    str valid = STR("00-" TRACE "-" PARENT "-01");
    struct header headers[] = { { STR("traceparent"), valid }, { STR("traceparent"), valid } };
    struct request request = request_with(t, headers, 2);
    request_identify(&request);
    CHECK(strcmp(request.trace_id, TRACE) != 0);
}

TEST(each_request_has_ids_of_its_own)
{
    struct request a = identified(t, STR_NONE, STR_NONE), b = identified(t, STR_NONE, STR_NONE);
    CHECK(strcmp(a.trace_id, b.trace_id) != 0);
    CHECK(strcmp(a.span_id, b.span_id) != 0);
    CHECK(strcmp(a.request_id, b.request_id) != 0);
    CHECK_INT(strlen(a.request_id), 36);
}

TEST(a_request_id_of_the_client_is_kept_where_it_is_visible_ascii)
{
    char longest[64];
    memset(longest, 'x', sizeof longest);

    CHECK_STR((const char *)identified(t, STR_NONE, STR("my-id_1~!")).request_id, "my-id_1~!");
    CHECK_STR((const char *)identified(t, STR_NONE, str_of(longest, 64)).request_id,
              str_of(longest, 64));

    char longer[65];
    memset(longer, 'x', sizeof longer);
    str wrong[] = { STR(""), STR("a b"), STR("a\tb"), STR("\xc3\xbc"), str_of(longer, 65) };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_INT(strlen(identified(t, STR_NONE, wrong[i]).request_id), 36);
}

/* ---- Problems ---- */

static str member(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, str_of_z(name));
    return value ? json_string(value) : STR_NONE;
}

static const struct json *problem_of(struct test *t, struct request *request, err error)
{
    const struct json *body;
    response_problem(request, error);
    CHECK_STR(request->response.content_type, "application/problem+json");
    CHECK_OK(json_read(t->arena, request->response.body, &body));
    return body;
}

static str response_header(const struct request *request, str name)
{
    for (int i = 0; i < request->response.headers_count; i++)
        if (str_equal(request->response.headers[i].name, name))
            return request->response.headers[i].value;
    return STR_NONE;
}

TEST(a_problem_says_what_and_where)
{
    struct request request = { .arena = t->arena, .trace_id = TRACE };
    err error = fail_field(t->arena, FIELD_INVALID, STR("/lines/0/sku"), "has a \"quote\"");
    const struct json *body = problem_of(t, &request, error);

    CHECK_INT(request.response.status, 422);
    CHECK_STR(json_number_text(json_member(body, STR("status"))), "422");
    CHECK_STR(member(body, "code"), "field.invalid");
    CHECK_STR(member(body, "type"), "/docs#field.invalid");
    CHECK_STR(member(body, "title"), err_words(FIELD_INVALID));
    CHECK_STR(member(body, "trace_id"), TRACE);
    CHECK_STR(member(body, "detail"), "has a \"quote\"");
    struct json_walk walk = json_walk_of(json_member(body, STR("errors")));
    CHECK(json_next(&walk));
    CHECK_STR(member(walk.value, "pointer"), "/lines/0/sku");
    CHECK_STR(member(walk.value, "message"), "has a \"quote\"");
    CHECK(!json_next(&walk));
    CHECK_STR(request.error_code, "field.invalid");
    CHECK_STR(response_header(&request, STR("Cache-Control")), "no-store");
}

TEST(a_fault_of_ours_keeps_its_detail_to_itself)
{
    struct request request = { .arena = t->arena };
    const struct json *body =
        problem_of(t, &request, fail(t->arena, DB_FAILED, "select secret from users"));

    CHECK_INT(request.response.status, 500);
    CHECK(!json_member(body, STR("detail")));
    CHECK(!json_member(body, STR("trace_id")));
    CHECK(!json_member(body, STR("errors")));
    CHECK(!json_member(body, STR("subject")));
}

TEST(a_problem_names_its_subject)
{
    struct request request = { .arena = t->arena };
    struct err_value error = {
        .code = PAYMENT_DECLINED, .detail = STR("no"), .place = ERR_PLACE, .subject = STR("id-1")
    };
    CHECK_STR(member(problem_of(t, &request, &error), "subject"), "id-1");
}

TEST(who_must_sign_in_is_told_how)
{
    static const enum err_code codes[] = { TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED,
                                           TOKEN_REVOKED, CREDENTIALS_INVALID };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct request request = { .arena = t->arena };
        problem_of(t, &request, fail(t->arena, codes[i], "no"));
        CHECK_INT(request.response.status, 401);
        str challenge = response_header(&request, STR("WWW-Authenticate"));
        CHECK(str_starts(challenge, STR("Bearer realm=\"duka\"")));
        bool is_token =
            codes[i] == TOKEN_INVALID || codes[i] == TOKEN_EXPIRED || codes[i] == TOKEN_REVOKED;
        CHECK_INT(str_find(challenge, STR("error=\"invalid_token\"")) > 0, is_token);
    }
    struct request request = { .arena = t->arena };
    problem_of(t, &request, fail(t->arena, ROLE_MISSING, "no"));
    CHECK(!response_header(&request, STR("WWW-Authenticate")).ptr);
}

TEST(who_may_come_again_is_told_when)
{
    struct request request = { .arena = t->arena };
    struct err_value later = { .code = RATE_LIMIT_EXCEEDED,
                               .place = ERR_PLACE,
                               .retry_after_s = 7 };

    problem_of(t, &request, &later);
    CHECK_STR(response_header(&request, STR("Retry-After")), "7");
    problem_of(t, &request, fail(t->arena, CALL_OVERLOADED, "busy"));
    CHECK_STR(response_header(&request, STR("Retry-After")), "1");
    problem_of(t, &request, fail(t->arena, IDEMPOTENCY_IN_FLIGHT, "wait"));
    CHECK_STR(response_header(&request, STR("Retry-After")), "1");
    problem_of(t, &request, fail(t->arena, NOT_FOUND, "no"));
    CHECK(!response_header(&request, STR("Retry-After")).ptr);
}

TEST(a_problem_takes_the_place_of_what_was_answered_before)
{
    struct request request = { .arena = t->arena, .extra_count = 1 };
    response_add(&request.response, STR("Location"), STR("/x"));
    request.response.body = STR("half");
    problem_of(t, &request, fail(t->arena, NOT_FOUND, "no"));
    CHECK(!response_header(&request, STR("Location")).ptr);
    CHECK_INT(request.extra_count, 1);
}

TEST(each_kind_of_error_has_its_status)
{
    struct err_value error = { .code = HTTP_MALFORMED };
    CHECK_INT(err_http_status(&error), 400);
    error.code = NOT_FOUND;
    CHECK_INT(err_http_status(&error), 404);
    error.code = CALL_INTERNAL;
    CHECK_INT(err_http_status(&error), 500);
}

/* ---- Pages, answers ---- */

TEST(a_page_is_told_once_by_its_etag)
{
    struct header same[] = { { STR("if-none-match"), STR("W/\"x\", \"e1\"") } };
    struct header any[] = { { STR("if-none-match"), STR("*") } };
    struct header other[] = { { STR("if-none-match"), STR("\"e2\"") } };

    struct request request = request_with(t, NULL, 0);
    response_page(&request, STR("text/html"), STR("page"), STR("\"e1\""));
    CHECK_INT(request.response.status, 200);
    CHECK_STR(request.response.body, "page");
    CHECK_STR(response_header(&request, STR("ETag")), "\"e1\"");

    request = request_with(t, same, 1);
    response_page(&request, STR("text/html"), STR("page"), STR("\"e1\""));
    CHECK_INT(request.response.status, 304);
    CHECK_STR(request.response.body, "");
    CHECK_STR(response_header(&request, STR("ETag")), "\"e1\"");

    request = request_with(t, any, 1);
    response_page(&request, STR("text/html"), STR("page"), STR("\"e1\""));
    CHECK_INT(request.response.status, 304);
    request = request_with(t, other, 1);
    response_page(&request, STR("text/html"), STR("page"), STR("\"e1\""));
    CHECK_INT(request.response.status, 200);
}

static int responded;
static void count_respond(struct request *request)
{
    (void)request;
    responded++;
}

TEST(an_answer_goes_to_the_transport)
{
    struct request request = { .respond = count_respond, .response.status = 200 };
    responded = 0;
    request_respond(&request);
    CHECK_INT(responded, 1);
}

TEST(an_answer_without_a_status_is_a_broken_invariant)
{
    struct request request = { .respond = count_respond };
    CHECK_PANICS(request_respond(&request));
}

/* ---- Percent-encoding ---- */

TEST(percent_encoding_is_decoded)
{
    str out;
    CHECK(percent_decode(t->arena, STR("a%20b%2Fc%c3%BC+d"), false, &out));
    CHECK_STR(out, "a b/c\xc3\xbc+d");
    CHECK(percent_decode(t->arena, STR("a+b%2b"), true, &out));
    CHECK_STR(out, "a b+");
    CHECK(percent_decode(t->arena, STR(""), true, &out));
    CHECK_STR(out, "");
}

TEST(what_is_not_percent_encoded_utf8_is_refused)
{
    static const char *const wrong[] = { "%",   "%4",  "%4g",       "%g4",    "a%",   "%00",
                                         "%c3", "%ff", "%ed%a0%80", "%c0%80", "\xff", "%%41" };
    str out;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(!percent_decode(t->arena, str_of_z(wrong[i]), true, &out));
}
