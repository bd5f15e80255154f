#include "chassis/message_values.h"
#include "gen/orders.h"
#include "gen/users.h"
#include "tests/lib/test.h"

TEST(values_have_the_size_that_protobuf_c_gives_them)
{
    CHECK_INT(message_value_bytes(PROTOBUF_C_TYPE_BYTES), sizeof(ProtobufCBinaryData));
    CHECK_INT(message_value_bytes(PROTOBUF_C_TYPE_MESSAGE), sizeof(void *));
    CHECK_INT(message_value_bytes(PROTOBUF_C_TYPE_INT64), 8);
    CHECK_INT(message_value_bytes(PROTOBUF_C_TYPE_INT32), 4);
    CHECK_INT(message_value_bytes(PROTOBUF_C_TYPE_ENUM), sizeof(Orders__OrderStatus));
    CHECK_INT(message_value_bytes(PROTOBUF_C_TYPE_BOOL), sizeof(protobuf_c_boolean));
}

TEST(bounds_are_the_rules_or_the_types)
{
    const struct field_spec rule = { .bounded = true, .min = 1, .max = 9 }, free_number = { 0 };
    int64_t min, max;

    message_bounds(&rule, PROTOBUF_C_TYPE_INT32, &min, &max);
    CHECK(min == 1 && max == 9);
    message_bounds(&free_number, PROTOBUF_C_TYPE_INT32, &min, &max);
    CHECK(min == INT32_MIN && max == INT32_MAX);
    message_bounds(&free_number, PROTOBUF_C_TYPE_UINT32, &min, &max);
    CHECK(min == 0 && max == UINT32_MAX);
    message_bounds(&free_number, PROTOBUF_C_TYPE_INT64, &min, &max);
    CHECK(min == INT64_MIN && max == INT64_MAX);
    message_bounds(&free_number, PROTOBUF_C_TYPE_UINT64, &min, &max);
    CHECK(min == 0 && max == INT64_MAX);
}

TEST(each_number_of_an_enum_has_its_word)
{
    const struct enum_spec *words = &orders_order_status_spec;

    CHECK_STR(message_word(words, ORDERS__ORDER_STATUS__ORDER_STATUS_CANCELLING), "cancelling");
    CHECK(message_word(words, 0) == NULL);
    CHECK(message_word(words, -1) == NULL);
    CHECK(message_word(words, 8) == NULL);
    CHECK_INT(message_word_number(words, STR("rejected")),
              ORDERS__ORDER_STATUS__ORDER_STATUS_REJECTED);
    CHECK_INT(message_word_number(words, STR("unspecified")), -1);
}

TEST(a_number_is_stored_in_the_width_of_its_type)
{
    int64_t wide = -1;
    int32_t narrow[2] = { -1, -1 };
    uint32_t positive = 0;

    message_store_int(&wide, PROTOBUF_C_TYPE_INT64, INT64_MIN);
    message_store_int(narrow, PROTOBUF_C_TYPE_INT32, 7);
    message_store_int(&positive, PROTOBUF_C_TYPE_UINT32, UINT32_MAX);
    CHECK(wide == INT64_MIN && narrow[0] == 7 && narrow[1] == -1 && positive == UINT32_MAX);
}

TEST(a_timestamp_keeps_microseconds)
{
    Google__Protobuf__Timestamp timestamp = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time_us at;

    timestamp_write(&timestamp, &google_timestamp_spec, 1500001);
    CHECK_INT(timestamp.seconds, 1);
    CHECK_INT(timestamp.nanos, 500001000);
    CHECK(timestamp_read(&timestamp, &google_timestamp_spec, &at));
    CHECK_INT(at, 1500001);
}

TEST(the_path_binds_its_variables_only)
{
    CHECK(message_path_binds(&orders_call_cancel_order, 0));
    CHECK(!message_path_binds(&orders_call_cancel_order, 1));
    CHECK(!message_path_binds(&orders_call_list_orders, 0));
}

TEST(a_list_knows_its_count)
{
    Users__User *user = message_new(t->arena, &users_user_spec);

    user->n_roles = 3;
    CHECK_INT(*message_count(user, &users__user__descriptor.fields[4]), 3);
}
