#include "chassis/grpc_status.h"

#include "chassis/grpc.h"
#include "tests/lib/test.h"

/* There and back: what grpc_refuse tells is what comes out. */
static err through(struct test *t, err error)
{
    struct request *request = arena_new(t->arena, struct request);
    *request = (struct request){ .arena = t->arena, .grpc = true };
    grpc_refuse(request, error);
    return grpc_status_error(t->arena, &request->response);
}

TEST(an_error_of_ours_comes_back_as_it_was)
{
    struct err_field fields[] = { { STR("/lines/0/sku"), STR("is unknown") },
                                  { STR("/note"), STR("is too long") } };
    struct err_value error = { .code = STOCK_INSUFFICIENT,
                               .detail = STR("gr\xc3\xbcn: 3 wanted"),
                               .fields = fields,
                               .fields_count = 2,
                               .place = ERR_PLACE,
                               .subject = STR("0190a5e0-0000-7000-8000-000000000001"),
                               .retry_after_s = 300 };
    err back = through(t, &error);

    CHECK_ERR(back, STOCK_INSUFFICIENT);
    CHECK_STR(back->detail, "gr\xc3\xbcn: 3 wanted");
    CHECK_STR(back->subject, "0190a5e0-0000-7000-8000-000000000001");
    CHECK_INT(back->retry_after_s, 300);
    CHECK_INT(back->fields_count, 2);
    CHECK_STR(back->fields[0].pointer, "/lines/0/sku");
    CHECK_STR(back->fields[1].message, "is too long");
}

TEST(every_code_has_its_way_back)
{
    for (int code = 0; code < ERR_CODES_COUNT; code++)
        CHECK_ERR(through(t, fail(t->arena, (enum err_code)code, "why")), (enum err_code)code);
}

TEST(a_status_without_words_of_ours_is_told_by_its_number)
{
    struct response response = { .grpc_status = 4, .grpc_message = STR("too late") };

    CHECK_ERR(grpc_status_error(t->arena, &response), CALL_DEADLINE);
    response.grpc_status = 14;
    CHECK_ERR(grpc_status_error(t->arena, &response), UPSTREAM_UNAVAILABLE);
    response.grpc_status = 13;
    response.grpc_details = STR("####");
    CHECK_ERR(grpc_status_error(t->arena, &response), UPSTREAM_FAILED);
    response.grpc_details = STR("/////w"); /* base64, but no message */
    CHECK_ERR(grpc_status_error(t->arena, &response), UPSTREAM_FAILED);
    response.grpc_status = 0;
    CHECK_OK(grpc_status_error(t->arena, &response));
}

TEST(no_details_however_broken_are_read_beyond_their_end)
{
    struct request *request = arena_new(t->arena, struct request);
    *request = (struct request){ .arena = t->arena, .grpc = true };
    grpc_refuse(request, fail(t->arena, ORDER_STATE, "no"));
    str whole = request->response.grpc_details;

    for (size_t len = 0; len < whole.len; len++) {
        request->response.grpc_details = str_of(str_z(t->arena, str_slice(whole, 0, len)), len);
        CHECK(grpc_status_error(t->arena, &request->response) != OK);
    }
}
