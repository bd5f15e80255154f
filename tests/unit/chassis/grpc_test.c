#include "chassis/grpc.h"

#include "base/crypto.h"
#include "gen/users.h"
#include "tests/lib/test.h"

static struct request request_of(struct test *t, const char *name, const char *value)
{
    struct request request = { .arena = t->arena, .method = HTTP_POST };
    request.headers = arena_array(t->arena, struct header, 2);
    request.headers[request.headers_count++] = (struct header){ str_of_z(name), str_of_z(value) };
    return request;
}

TEST(a_request_of_grpc_is_a_post_of_its_media_type)
{
    struct request plain = request_of(t, "content-type", "application/grpc");
    struct request proto = request_of(t, "content-type", "application/grpc+proto; x=y");
    struct request web = request_of(t, "content-type", "application/grpc-web");
    struct request json = request_of(t, "content-type", "application/json");

    CHECK(grpc_is(&plain));
    CHECK(grpc_is(&proto));
    CHECK(!grpc_is(&web));
    CHECK(!grpc_is(&json));
    plain.method = HTTP_GET;
    CHECK(!grpc_is(&plain));
}

/* ---- Frames ---- */

enum { MESSAGE_BYTES_MAX = 5000 };

static err read_body(struct test *t, str body, const char *encoding, str *out)
{
    struct request request = request_of(t, "grpc-encoding", encoding);
    request.body = body;
    return grpc_message(t->arena, &request, MESSAGE_BYTES_MAX, out);
}

static err read_frame(struct test *t, const char *bytes, size_t len)
{
    str message;
    return read_body(t, str_of(bytes, len), "identity", &message);
}

TEST(a_body_is_one_message_of_the_length_it_tells)
{
    str message;
    CHECK_OK(read_frame(t, "\0\0\0\0\0", 5));
    CHECK_OK(read_body(t, str_of("\0\0\0\0\3\x0a\1a", 8), "identity", &message));
    CHECK_STR(message, "\x0a\1a");
    CHECK_ERR(read_frame(t, "", 0), PROTOBUF_MALFORMED);
    CHECK_ERR(read_frame(t, "\0\0\0\0", 4), PROTOBUF_MALFORMED);
    CHECK_ERR(read_frame(t, "\0\0\0\0\1", 5), PROTOBUF_MALFORMED);
    CHECK_ERR(read_frame(t, "\0\0\0\0\0\0", 6), PROTOBUF_MALFORMED);
    CHECK_ERR(read_frame(t, "\2\0\0\0\0", 5), PROTOBUF_MALFORMED);
    CHECK_ERR(read_frame(t, "\0\xff\xff\xff\xff", 5), HTTP_BODY_TOO_LARGE);
    CHECK_ERR(read_frame(t, "\1\0\0\0\0", 5), RPC_COMPRESSED);
}

static str framed(struct test *t, str message, bool packed)
{
    struct text out = text_init(t->arena, 64);
    grpc_frame(t->arena, &out, message, packed);
    return text_str(&out);
}

static str zeros(struct test *t, size_t len) { return str_of(arena_alloc(t->arena, len, 1), len); }

TEST(a_packed_message_is_unpacked_up_to_what_the_call_takes)
{
    str message, fits = framed(t, zeros(t, MESSAGE_BYTES_MAX), true);
    str bomb = framed(t, zeros(t, MESSAGE_BYTES_MAX + 1), true);
    CHECK(fits.len < 100 && fits.ptr[0] == 1);

    CHECK_OK(read_body(t, fits, "gzip", &message));
    CHECK_INT(message.len, MESSAGE_BYTES_MAX);
    CHECK_ERR(read_body(t, bomb, "gzip", &message), HTTP_BODY_TOO_LARGE);
    CHECK_ERR(read_body(t, fits, "br", &message), RPC_COMPRESSED);
    CHECK_ERR(read_body(t, fits, "", &message), RPC_COMPRESSED);
    CHECK_ERR(read_body(t, str_of("\1\0\0\0\1x", 6), "gzip", &message), PROTOBUF_MALFORMED);
}

TEST(messages_are_taken_off_a_stream_one_by_one)
{
    struct text stream = text_init(t->arena, 64);
    str message;
    err error = OK;
    grpc_frame(t->arena, &stream, STR("one"), false);
    grpc_frame(t->arena, &stream, STR(""), false);
    grpc_frame(t->arena, &stream, STR("three"), false);
    str rest = str_slice(text_str(&stream), 0, stream.len - 1);

    CHECK(grpc_take(t->arena, STR(""), 100, &rest, &message, &error) == GRPC_MESSAGE);
    CHECK_STR(message, "one");
    CHECK(grpc_take(t->arena, STR(""), 100, &rest, &message, &error) == GRPC_MESSAGE);
    CHECK_INT(message.len, 0);
    CHECK(grpc_take(t->arena, STR(""), 100, &rest, &message, &error) == GRPC_NONE_YET);
    rest = str_of(rest.ptr, rest.len + 1);
    CHECK(grpc_take(t->arena, STR(""), 4, &rest, &message, &error) == GRPC_FAILED);
    CHECK_ERR(error, HTTP_BODY_TOO_LARGE);
    CHECK(grpc_take(t->arena, STR(""), 100, &rest, &message, &error) == GRPC_MESSAGE);
    CHECK_STR(message, "three");
    CHECK_INT(rest.len, 0);
}

TEST(what_is_asked_for_is_the_same_on_every_page)
{
    Users__ListUsersRequest first = USERS__LIST_USERS_REQUEST__INIT, next = first, other = first;
    const struct message_spec *spec = &users_list_users_request_spec;
    next.after = field_of(STR("cursor"));
    next.limit = 7;
    other.email = field_of(STR("amina"));

    str asked = grpc_asked(t->arena, spec, &first);
    CHECK_STR(grpc_asked(t->arena, spec, &next), asked);
    CHECK(!str_equal(grpc_asked(t->arena, spec, &other), asked));
    CHECK_STR(next.after.len == 6 ? STR("kept") : STR("lost"), "kept");
}

/* ---- Time ---- */

static int64_t timeout_us(struct test *t, const char *text)
{
    int64_t us;
    struct request request = request_of(t, "grpc-timeout", text);
    CHECK_OK(grpc_timeout(t->arena, &request, &us));
    return us;
}

TEST(a_time_out_has_digits_and_a_unit)
{
    struct request none = request_of(t, "x", "y");
    int64_t us;
    CHECK_OK(grpc_timeout(t->arena, &none, &us));
    CHECK_INT(us, -1);
    CHECK_INT(timeout_us(t, "1H"), INT64_C(3600000000));
    CHECK_INT(timeout_us(t, "2M"), 120000000);
    CHECK_INT(timeout_us(t, "3S"), 3000000);
    CHECK_INT(timeout_us(t, "99999999m"), INT64_C(99999999000));
    CHECK_INT(timeout_us(t, "5u"), 5);
    CHECK_INT(timeout_us(t, "5000n"), 5);
    CHECK_INT(timeout_us(t, "0n"), 0);
}

TEST(a_time_out_that_cannot_be_read_is_refused)
{
    static const char *const wrong[] = { "", "S", "5", "5s", "5 S", "-5S", "5.5S", "123456789S" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int64_t us;
        struct request request = request_of(t, "grpc-timeout", wrong[i]);
        CHECK_ERR(grpc_timeout(t->arena, &request, &us), HEADER_INVALID);
    }
}

/* ---- Answers ---- */

TEST(an_answer_is_one_frame_with_status_0)
{
    struct request request = { .arena = t->arena, .grpc = true };
    struct header trailers[GRPC_TRAILERS_MAX];
    Users__LoginRequest message = USERS__LOGIN_REQUEST__INIT;
    message.email = field_of(STR("a"));

    grpc_answer(&request, &message);
    CHECK_INT(request.response.body.len, 8);
    CHECK_BYTES(request.response.body.ptr, "\0\0\0\0\3\x0a\1a", 8);
    CHECK_INT(grpc_trailers(&request, trailers), 1);
    CHECK_STR(trailers[0].name, "grpc-status");
    CHECK_STR(trailers[0].value, "0");
}

/* What the response says of its encoding, and the first byte of its body. */
static bool is_packed(struct request *request, bool *told)
{
    *told = false;
    for (int i = 0; i < request->response.headers_count; i++)
        if (str_equal(request->response.headers[i].name, STR("grpc-encoding")))
            *told = true;
    return request->response.body.ptr[0] == 1;
}

TEST(a_long_answer_is_packed_for_who_takes_that)
{
    struct request takes = request_of(t, "grpc-accept-encoding", "identity, deflate, gzip");
    struct request short_one = request_of(t, "grpc-accept-encoding", "gzip");
    struct request plain = request_of(t, "grpc-accept-encoding", "identity,x-gzip");
    takes.grpc = short_one.grpc = plain.grpc = true;
    str message, wide = zeros(t, GRPC_PACK_BYTES_MIN);
    bool told;

    grpc_answer_bytes(&takes, wide);
    CHECK(is_packed(&takes, &told) && told);
    CHECK_OK(read_body(t, takes.response.body, "gzip", &message));
    CHECK_INT(message.len, wide.len);
    grpc_answer_bytes(&short_one, str_slice(wide, 1, wide.len));
    CHECK(!is_packed(&short_one, &told) && told);
    grpc_answer_bytes(&plain, wide);
    CHECK(!is_packed(&plain, &told) && !told);
    CHECK_OK(read_body(t, plain.response.body, "identity", &message));
}

TEST(a_refusal_has_a_status_words_and_details)
{
    struct request request = { .arena = t->arena, .grpc = true };
    struct header trailers[GRPC_TRAILERS_MAX];
    struct err_field field = { STR("/lines/0/sku"), STR("must be there") };
    struct err_value error = { .code = FIELD_INVALID,
                               .detail = STR("100 % wrong\n\xc3\xa9"),
                               .fields = &field,
                               .fields_count = 1,
                               .place = ERR_PLACE };

    response_problem(&request, &error);
    CHECK_INT(request.response.status, 422);
    CHECK_INT(request.response.body.len, 0);
    CHECK_INT(grpc_trailers(&request, trailers), 3);
    CHECK_STR(trailers[0].value, "3");
    CHECK_STR(trailers[1].value, "100 %25 wrong%0A%C3%A9");
    CHECK_STR(trailers[2].name, "grpc-status-details-bin");
    CHECK(trailers[2].value.len > 100);
    CHECK(str_find_byte(trailers[2].value, '=') < 0 && str_find_byte(trailers[2].value, '_') < 0);
}

TEST(what_failed_on_our_side_is_not_told)
{
    struct request request = { .arena = t->arena, .grpc = true };
    response_problem(&request, fail(t->arena, DB_FAILED, "table secrets is gone"));
    CHECK_INT(request.response.grpc_status, 13);
    CHECK(str_find(request.response.grpc_message, STR("secrets")) < 0);
}
