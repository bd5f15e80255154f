#include "chassis/message_json.h"
#include "gen/orders.h"
#include "gen/products.h"
#include "gen/users.h"
#include "tests/lib/test.h"

static err read_order(struct arena *arena, str json, Orders__CreateOrderRequest **out)
{
    *out = message_new(arena, &orders_create_order_request_spec);
    return message_from_json(arena, json, &orders_create_order_request_spec, *out);
}

static str written(struct arena *arena, const struct message_spec *spec, const void *message)
{
    struct text out = text_init(arena, 256);

    message_to_json(&out, spec, message);
    return text_str(&out);
}

/* Reads JSON into a message and writes it again. */
static str again(struct arena *arena, const struct message_spec *spec, str json)
{
    void *message = message_new(arena, spec);

    CHECK_OK(message_from_json(arena, json, spec, message));
    return written(arena, spec, message);
}

TEST(an_order_is_read)
{
    Orders__CreateOrderRequest *order;

    CHECK_OK(read_order(t->arena,
                        STR("{\"lines\":[{\"sku\":\"mug\",\"quantity\":2},{\"quantity\":1,\"sku\":"
                            "\"tea\"}],\"payment\":{\"provider\":\"simulator\",\"token\":"
                            "\"approve\"},\"expected_total\":{\"amount\":1299,\"currency\":\"EUR\"}"
                            ",\"shipping_address\":null}"),
                        &order));
    CHECK_INT(order->n_lines, 2);
    CHECK_STR(text_of(order->lines[1]->sku), "tea");
    CHECK_INT(order->lines[0]->quantity, 2);
    CHECK_INT(order->expected_total->amount, 1299);
    CHECK_STR(text_of(order->payment->token), "approve");
    CHECK(order->shipping_address == NULL);
}

struct wrong {
    const char *json, *pointer, *message;
    enum err_code code;
};

TEST(each_wrong_member_is_told_by_its_pointer)
{
    static const struct wrong WRONG[] = {
        { "[]", "", "must be an object", FIELD_INVALID },
        { "{\"lines\":{}}", "/lines", "must be a list", FIELD_INVALID },
        { "{\"lines\":[7]}", "/lines/0", "must be an object", FIELD_INVALID },
        { "{\"lines\":[null]}", "/lines/0", "must be an object", FIELD_INVALID },
        { "{\"lines\":[{},{\"sku\":1}]}", "/lines/1/sku", "must be a text", FIELD_INVALID },
        { "{\"lines\":[{\"quantity\":\"2\"}]}", "/lines/0/quantity",
          "must be a whole number from 1 to 10000", FIELD_INVALID },
        { "{\"lines\":[{\"quantity\":1.0}]}", "/lines/0/quantity",
          "must be a whole number from 1 to 10000", FIELD_INVALID },
        { "{\"lines\":[{\"quantity\":1e2}]}", "/lines/0/quantity",
          "must be a whole number from 1 to 10000", FIELD_INVALID },
        { "{\"lines\":[{\"quantity\":10001}]}", "/lines/0/quantity",
          "must be a whole number from 1 to 10000", FIELD_INVALID },
        { "{\"expected_total\":{\"amount\":9223372036854775808}}", "/expected_total/amount",
          "must be a whole number from 0 to 1000000000000000", FIELD_INVALID },
        { "{\"expected_total\":{\"currency\":\"EUR\"}}", "/expected_total/amount", "is required",
          FIELD_INVALID },
        { "{\"expected_total\":{\"amount\":null,\"currency\":\"EUR\"}}", "/expected_total/amount",
          "is required", FIELD_INVALID },
        { "{\"colour\":1}", "/colour", "is not known here", FIELD_UNKNOWN },
        { "{\"payment\":{\"pin~/\":1}}", "/payment/pin~0~1", "is not known here", FIELD_UNKNOWN },
        { "{\"\":1}", "/", "is not known here", FIELD_UNKNOWN },
    };
    Orders__CreateOrderRequest *order;

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        err error = read_order(t->arena, str_of_z(WRONG[i].json), &order);
        CHECK_ERR(error, WRONG[i].code);
        CHECK_INT(error->fields_count, 1);
        CHECK_STR(error->fields[0].pointer, WRONG[i].pointer);
        CHECK_STR(error->fields[0].message, WRONG[i].message);
    }
}

TEST(truths_words_and_times_are_held_to_their_form)
{
    struct {
        const struct message_spec *spec;
        const char *json, *message;
    } wrong[] = {
        { &orders_create_refund_request_spec, "{\"restock\":\"true\"}", "must be true or false" },
        { &users_list_users_request_spec, "{\"role\":\"ROLE_ADMIN\"}",
          "must be one of: customer, staff, admin" },
        { &users_list_users_request_spec, "{\"role\":3}",
          "must be one of: customer, staff, admin" },
        { &users_list_users_request_spec, "{\"role\":\"\"}",
          "must be one of: customer, staff, admin" },
        { &users_user_spec, "{\"created_at\":\"yesterday\"}",
          "must be a time like \"2026-01-31T09:30:00Z\"" },
        { &users_user_spec, "{\"created_at\":1}", "must be a time like \"2026-01-31T09:30:00Z\"" },
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        void *message = message_new(t->arena, wrong[i].spec);
        err error = message_from_json(t->arena, str_of_z(wrong[i].json), wrong[i].spec, message);
        CHECK_ERR(error, FIELD_INVALID);
        CHECK_STR(error->fields[0].message, wrong[i].message);
    }
}

TEST(a_list_beyond_its_limit_is_refused_before_it_is_read)
{
    struct text json = text_init(t->arena, 1024);
    Orders__CreateOrderRequest *order;

    text_add(&json, STR("{\"lines\":["));
    for (int i = 0; i < 101; i++)
        text_add_format(&json, "%s7", i > 0 ? "," : "");
    text_add(&json, STR("]}"));
    err error = read_order(t->arena, text_str(&json), &order);
    CHECK_ERR(error, FIELD_INVALID);
    CHECK_INT(error->fields_count, 1);
    CHECK_STR(error->fields[0].message, "must have at most 100 items");
}

TEST(malformed_json_is_not_a_wrong_field)
{
    Orders__CreateOrderRequest *order;

    CHECK_ERR(read_order(t->arena, STR("{\"lines\":["), &order), JSON_MALFORMED);
    CHECK_ERR(read_order(t->arena, STR("{\"lines\":[],\"lines\":[]}"), &order),
              JSON_DUPLICATE_MEMBER);
}

TEST(zeros_and_empty_lists_are_written_and_absent_messages_are_not)
{
    CHECK_STR(again(t->arena, &orders_create_order_request_spec, STR("{}")),
              "{\"lines\":[],\"address_id\":\"\"}");
    CHECK_STR(again(t->arena, &orders_create_refund_request_spec, STR("{}")),
              "{\"id\":\"\",\"reason\":\"\",\"restock\":false}");
}

TEST(empty_fields_that_the_contract_omits_are_left_out)
{
    CHECK_STR(again(t->arena, &orders_timeline_entry_spec, STR("{\"what\":\"placed\"}")),
              "{\"what\":\"placed\",\"actor\":\"\"}");
    CHECK_STR(again(t->arena, &users_user_list_spec, STR("{\"next\":\"abc\"}")),
              "{\"items\":[],\"next\":\"abc\"}");
    CHECK_STR(again(t->arena, &duka_empty_spec, STR("{}")), "{}");
}

TEST(numbers_words_and_times_go_through_json_and_back)
{
    str json = STR("{\"id\":\"x\",\"email\":\"\\\"a\\\"@b.c\",\"name\":\"Größe\",\"roles\":["
                   "\"customer\",\"admin\"],\"status\":\"active\",\"version\":-9223372036854775808,"
                   "\"created_at\":\"2026-01-31T09:30:00.123456Z\",\"email_verified\":true}");

    CHECK_STR(again(t->arena, &users_user_spec, json), json);
}

TEST(a_word_that_nobody_set_is_left_out)
{
    Users__User *user = message_new(t->arena, &users_user_spec);

    user->status = (Users__UserStatus)99; /* of a newer neighbour */
    CHECK_STR(written(t->arena, &users_user_spec, user),
              "{\"id\":\"\",\"email\":\"\",\"name\":\"\",\"roles\":[],\"version\":0,"
              "\"email_verified\":false}");
}

TEST(what_is_internal_is_never_written)
{
    Users__UpdateMeRequest *in = message_new(t->arena, &users_update_me_request_spec);

    CHECK_OK(
        message_from_json(t->arena, STR("{\"name\":\"A\"}"), &users_update_me_request_spec, in));
    CHECK(in->update_mask != NULL);
    CHECK_STR(written(t->arena, &users_update_me_request_spec, in),
              "{\"name\":\"A\",\"phone\":\"\"}");
}

TEST(a_whole_product_goes_through_json_and_back)
{
    str json = STR(
        "{\"id\":\"\",\"handle\":\"pot\",\"title\":\"Pot\",\"description\":\"\",\"vendor\":\"\","
        "\"type\":\"\",\"status\":\"active\",\"tags\":[\"a\",\"b\"],\"categories\":[],\"options\":"
        "[{\"name\":\"Size\",\"values\":[\"S\"]}],\"variants\":[{\"id\":\"\",\"sku\":\"pot-s\","
        "\"options\":[\"S\"],\"price\":{\"amount\":900,\"currency\":\"EUR\"},\"weight_grams\":0,"
        "\"availability\":\"in_stock\"}],\"images\":[],\"version\":3}");

    CHECK_STR(again(t->arena, &products_product_spec, json), json);
}

TEST(members_that_the_path_binds_are_unknown_to_the_reader)
{
    struct faults faults = { .arena = t->arena };
    const struct json *json;
    void *in = message_new(t->arena, &orders_cancel_order_request_spec);

    CHECK_OK(json_read(t->arena, STR("{\"id\":\"x\",\"reason\":\"y\"}"), &json));
    message_read_object(&faults, &orders_call_cancel_order, json, &orders_cancel_order_request_spec,
                        in);
    CHECK_ERR(faults_end(&faults), FIELD_UNKNOWN);
}
