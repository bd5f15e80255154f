#include "chassis/message.h"
#include "gen/orders.h"
#include "gen/products.h"
#include "gen/users.h"
#include "tests/lib/test.h"

static Orders__CreateOrderRequest *new_order(struct arena *arena)
{
    return message_new(arena, &orders_create_order_request_spec);
}

TEST(a_new_message_has_defaults)
{
    Orders__CreateOrderRequest *order = new_order(t->arena);

    CHECK(order->base.descriptor == &orders__create_order_request__descriptor);
    CHECK_INT(order->n_lines, 0);
    CHECK(order->payment == NULL);
    CHECK_STR(text_of(order->address_id), "");
}

TEST(an_id_goes_through_a_field_and_back)
{
    struct uuid id = uuid_of_name(STR("test"), STR("one"));
    ProtobufCBinaryData field = field_of_uuid(t->arena, id);

    CHECK_INT(field.len, UUID_TEXT_LEN);
    CHECK(uuid_equal(uuid_of_field(field), id));
    CHECK(uuid_is_nil(uuid_of_field(field_of(STR("")))));
    CHECK(uuid_is_nil(uuid_of_field(field_of(STR("not an id")))));
}

TEST(a_time_goes_through_a_field_and_back)
{
    CHECK(field_of_time(t->arena, 0) == NULL);
    CHECK_INT(time_of_field(NULL), 0);
    CHECK_INT(time_of_field(field_of_time(t->arena, INT64_C(1769851800123456))),
              INT64_C(1769851800123456));
}

TEST(a_time_that_no_calendar_has_reads_as_never)
{
    Google__Protobuf__Timestamp wrong = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

    wrong.seconds = -1;
    CHECK_INT(time_of_field(&wrong), 0);
    wrong.seconds = INT64_MAX;
    CHECK_INT(time_of_field(&wrong), 0);
    wrong.seconds = 1, wrong.nanos = 1000000000;
    CHECK_INT(time_of_field(&wrong), 0);
}

TEST(an_amount_goes_through_a_field_and_back)
{
    struct money price = { .minor = 1299, .currency = { "EUR" } };
    Duka__Money *field = field_of_money(t->arena, price);

    CHECK_INT(field->amount, 1299);
    CHECK_STR(text_of(field->currency), "EUR");
    CHECK_MONEY(money_of_field(field), price);
    CHECK_MONEY(money_of_field(NULL), (struct money){ 0 });
}

TEST(what_was_packed_unpacks_to_the_same)
{
    Orders__CreateOrderRequest *order = new_order(t->arena), *again;
    void *out;
    CHECK_OK(message_from_json(t->arena,
                               STR("{\"lines\":[{\"sku\":\"m\\u0000ug\",\"quantity\":2}],"
                                   "\"payment\":{\"provider\":\"manual\"}}"),
                               &orders_create_order_request_spec, order));

    CHECK_OK(message_unpack(t->arena, message_pack(t->arena, order),
                            &orders_create_order_request_spec, &out));
    again = out;
    CHECK_INT(again->n_lines, 1);
    CHECK_STR(text_of(again->lines[0]->sku), STR("m\0ug")); /* not cut at U+0000 */
    CHECK_INT(again->lines[0]->quantity, 2);
    CHECK_STR(text_of(again->payment->provider), "manual");
}

TEST(what_a_newer_version_added_is_skipped)
{
    Orders__CreateOrderRequest *order = new_order(t->arena);
    void *out;
    CHECK_OK(message_from_json(t->arena, STR("{\"payment\":{\"provider\":\"manual\"}}"),
                               &orders_create_order_request_spec, order));
    struct text bytes = text_init(t->arena, 64);
    text_add(&bytes, message_pack(t->arena, order));
    text_add(&bytes, STR("\x7a\x03new")); /* member 15, a text */
    CHECK_OK(message_unpack(t->arena, text_str(&bytes), &orders_create_order_request_spec, &out));
    Orders__CreateOrderRequest *again = out;
    CHECK_STR(text_of(again->payment->provider), "manual");
    CHECK_INT(again->n_lines, 0);
}

TEST(no_bytes_unpack_to_an_empty_message)
{
    void *out;

    CHECK_OK(message_unpack(t->arena, STR_NONE, &orders_create_order_request_spec, &out));
    CHECK_INT(((Orders__CreateOrderRequest *)out)->n_lines, 0);
}

TEST(bytes_that_are_no_message_are_refused)
{
    void *out = NULL;

    CHECK_ERR(
        message_unpack(t->arena, STR("\x0a\x7fshort"), &orders_create_order_request_spec, &out),
        PROTOBUF_MALFORMED);
    CHECK(out == NULL);
}

TEST(a_field_of_number_0_is_refused_however_its_number_is_written)
{
    const struct message_spec *spec = &orders_create_order_request_spec;
    void *out;

    CHECK_OK(message_unpack(t->arena, STR("\xf8\x07\x46"), spec, &out)); /* unknown, number 127 */
    CHECK_ERR(message_unpack(t->arena, STR("\x00\x46"), spec, &out), PROTOBUF_MALFORMED);
    CHECK_ERR(message_unpack(t->arena, STR("\x80\x00\x46"), spec, &out), PROTOBUF_MALFORMED);
    CHECK_ERR(message_unpack(t->arena, STR("\x0a\x03\x80\x00\x46"), spec, &out),
              PROTOBUF_MALFORMED); /* in a line of the order */
}

TEST(a_copy_is_shallow)
{
    Orders__CreateOrderRequest *order = new_order(t->arena), *copy;

    order->address_id = field_of(STR("x"));
    copy = message_copy(t->arena, &orders_create_order_request_spec, order);
    CHECK(copy != order && copy->address_id.data == order->address_id.data);
}

TEST(path_and_query_set_scalars_words_and_times)
{
    const struct message_spec *spec = &products_list_products_request_spec;
    Products__ListProductsRequest *in = message_new(t->arena, spec);
    const struct call_spec *call = &products_call_list_products;

    CHECK_OK(message_set_text(t->arena, spec, in, message_query_field(call, STR("q")), STR("pot")));
    CHECK_OK(
        message_set_text(t->arena, spec, in, message_query_field(call, STR("limit")), STR("20")));
    CHECK_OK(message_set_text(t->arena, spec, in, message_query_field(call, STR("sort")),
                              STR("price_descending")));
    CHECK_STR(text_of(in->q), "pot");
    CHECK_INT(in->limit, 20);
    CHECK_INT(in->sort, PRODUCTS__PRODUCT_SORT__PRODUCT_SORT_PRICE_DESCENDING);
}

TEST(a_wrong_text_for_a_field_is_told_with_its_name)
{
    const struct message_spec *spec = &products_list_products_request_spec;
    Products__ListProductsRequest *in = message_new(t->arena, spec);
    static const struct {
        const char *field, *text, *message;
    } WRONG[] = {
        { "limit", "", "must be a whole number from 0 to 100" },
        { "limit", "1.5", "must be a whole number from 0 to 100" },
        { "limit", "101", "must be a whole number from 0 to 100" },
        { "price_min", "9223372036854775808", "must be a whole number from 0 to 1000000000000000" },
        { "sort", "", "must be one of: newest, title, price, price_descending, relevance" },
        { "sort", "Newest", "must be one of: newest, title, price, price_descending, relevance" },
    };

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        int field = message_query_field(&products_call_list_products, str_of_z(WRONG[i].field));
        err error = message_set_text(t->arena, spec, in, field, str_of_z(WRONG[i].text));
        CHECK_ERR(error, FIELD_INVALID);
        CHECK_INT(error->fields_count, 1);
        CHECK_STR(error->fields[0].pointer, str_format(t->arena, "/%s", WRONG[i].field));
        CHECK_STR(error->fields[0].message, WRONG[i].message);
    }
}

TEST(a_repeated_field_takes_a_text_at_a_time_up_to_its_limit)
{
    const struct message_spec *spec = &products_quote_request_spec;
    Products__QuoteRequest *in = message_new(t->arena, spec);

    for (int i = 0; i < 100; i++)
        CHECK_OK(message_set_text(t->arena, spec, in, 0, str_format(t->arena, "sku-%d", i)));
    CHECK_INT(in->n_skus, 100);
    CHECK_STR(text_of(in->skus[99]), "sku-99");
    CHECK_ERR(message_set_text(t->arena, spec, in, 0, STR("more")), FIELD_INVALID);
}

TEST(the_query_sets_only_what_neither_path_nor_body_sets)
{
    CHECK_INT(message_query_field(&products_call_get_product, STR("id")), -1);       /* path */
    CHECK_INT(message_query_field(&products_call_create_product, STR("title")), -1); /* body */
    CHECK_INT(message_query_field(&products_call_create_import, STR("file")), -1);   /* raw body */
    CHECK_INT(message_query_field(&products_call_create_import, STR("currency")), 1);
    CHECK_INT(message_query_field(&products_call_list_products, STR("nonsense")), -1);
    CHECK_INT(message_query_field(&users_call_update_address, STR("address")), -1);
    CHECK_INT(message_query_field(&users_call_get_me, STR("")), -1);
}

TEST(a_raw_body_is_borrowed_as_it_is)
{
    Products__CreateImportRequest *in = message_new(t->arena, &products_create_import_request_spec);
    str csv = STR("Handle,Title\n\0\xff");

    CHECK_OK(message_from_body(t->arena, &products_call_create_import, csv, in));
    CHECK(in->file.data == (const uint8_t *)csv.ptr && in->file.len == csv.len);
}

TEST(a_body_may_be_one_field_of_the_request)
{
    Users__UpdateAddressRequest *in = message_new(t->arena, &users_update_address_request_spec);
    str wrong = STR("{\"name\":\"A\",\"line1\":7}");

    CHECK_OK(message_from_body(t->arena, &users_call_update_address, STR("{\"name\":\"A\"}"), in));
    CHECK_STR(text_of(in->address->name), "A");

    err error = message_from_body(t->arena, &users_call_update_address, wrong, in);
    CHECK_ERR(error, FIELD_INVALID);
    CHECK_STR(error->fields[0].pointer, "/line1"); /* where the client wrote it */
}

TEST(what_is_wrong_in_such_a_body_is_told_from_its_root)
{
    Users__UpdateAddressRequest *in = message_new(t->arena, &users_update_address_request_spec);

    in->id = field_of(STR("1"));
    CHECK_OK(message_from_body(t->arena, &users_call_update_address, STR("{\"name\":\"A\"}"), in));
    err error = message_validate_request(t->arena, &users_call_update_address, in);
    CHECK_ERR(error, FIELD_INVALID);
    CHECK_STR(error->fields[0].pointer, "/id");
    CHECK_STR(error->fields[1].pointer, "/line1");
}

TEST(an_empty_body_is_an_empty_object)
{
    Orders__CancelOrderRequest *in = message_new(t->arena, &orders_cancel_order_request_spec);

    CHECK_OK(message_from_body(t->arena, &orders_call_cancel_order, STR_NONE, in));
    CHECK_ERR(message_from_body(t->arena, &orders_call_cancel_order, STR(" "), in), JSON_MALFORMED);
}

TEST(a_body_cannot_set_what_the_path_sets)
{
    Orders__CancelOrderRequest *in = message_new(t->arena, &orders_cancel_order_request_spec);
    err error = message_from_body(t->arena, &orders_call_cancel_order, STR("{\"id\":\"x\"}"), in);

    CHECK_ERR(error, FIELD_UNKNOWN);
    CHECK_STR(error->fields[0].pointer, "/id");
}

TEST(the_members_of_a_patch_fill_its_mask)
{
    const struct message_spec *spec = &users_update_me_request_spec;
    Users__UpdateMeRequest *in = message_new(t->arena, spec);

    CHECK(!message_names(in, spec, "name"));
    CHECK_OK(message_from_body(t->arena, &users_call_update_me,
                               STR("{\"phone\":null,\"name\":\"\"}"), in));
    CHECK(message_names(in, spec, "name"));
    CHECK(message_names(in, spec, "phone"));
    CHECK(!message_names(in, spec, "nam"));
    CHECK_INT(in->update_mask->n_paths, 2);

    CHECK_OK(message_from_body(t->arena, &users_call_update_me, STR("{}"), in));
    CHECK(!message_names(in, spec, "name"));
}

TEST(a_client_cannot_write_the_mask)
{
    Users__UpdateMeRequest *in = message_new(t->arena, &users_update_me_request_spec);

    CHECK_ERR(
        message_from_body(t->arena, &users_call_update_me, STR("{\"update_mask\":\"name\"}"), in),
        FIELD_UNKNOWN);
}
