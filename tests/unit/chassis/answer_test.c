#include "chassis/answer.h"
#include "gen/duka.h"
#include "tests/lib/test.h"

TEST(an_error_is_the_same_after_it_was_kept)
{
    struct err_field two_fields[] = {
        { .pointer = STR("/lines/0/quantity"), .message = STR("2 wanted, 1 available") },
        { .pointer = STR("/lines/3/quantity"), .message = STR("none, \xc3\xa9") },
    };
    struct err_value kept = { .code = STOCK_INSUFFICIENT,
                              .detail = STR("not enough"),
                              .fields = two_fields,
                              .fields_count = 2,
                              .place = ERR_PLACE,
                              .subject = STR("0190"),
                              .retry_after_s = 7 };
    struct answer answer = answer_of_error(t->arena, &kept);
    CHECK(answer.known && answer.problem);

    err error = answer_error(t->arena, &answer);
    CHECK_ERR(error, STOCK_INSUFFICIENT);
    CHECK_STR(error->detail, "not enough");
    CHECK_STR(error->subject, "0190");
    CHECK_INT(error->retry_after_s, 7);
    CHECK_INT(error->fields_count, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_STR(error->fields[i].pointer, two_fields[i].pointer);
        CHECK_STR(error->fields[i].message, two_fields[i].message);
    }
}

TEST(every_error_can_be_kept)
{
    for (int code = 0; code < ERR_CODES_COUNT; code++) {
        struct err_value kept = { .code = (enum err_code)code, .place = ERR_PLACE };
        struct answer answer = answer_of_error(t->arena, &kept);
        CHECK_ERR(answer_error(t->arena, &answer), (enum err_code)code);
    }
}

TEST(an_answer_that_cannot_be_read_is_an_error_itself)
{
    struct answer answer = { .known = true, .problem = true, .message = STR("\xff\xff\xff") };
    CHECK_ERR(answer_error(t->arena, &answer), PROTOBUF_MALFORMED);

    Duka__Problem problem = DUKA__PROBLEM__INIT;
    problem.code = field_of(STR("of.another.version"));
    answer.message = message_pack(t->arena, &problem);
    CHECK_ERR(answer_error(t->arena, &answer), PROTOBUF_MALFORMED);
}

TEST(a_copy_outlives_what_it_was_copied_from)
{
    struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
    struct err_value kept = { .code = PAYMENT_DECLINED, .detail = STR("no"), .place = ERR_PLACE };
    struct answer answer = answer_of_error(arena, &kept);
    answer.status = 402;
    struct answer copy = answer_copy(t->arena, &answer);
    arena_close(arena);

    CHECK_INT(copy.status, 402);
    CHECK(copy.known && copy.problem);
    err error = answer_error(t->arena, &copy);
    CHECK_ERR(error, PAYMENT_DECLINED);
    CHECK_STR(error->detail, "no");
}
