#include "chassis/message.h"
#include "gen/orders.h"
#include "gen/products.h"
#include "gen/users.h"
#include "tests/lib/test.h"

/* Reads JSON and validates the message. */
static err judged(struct arena *arena, const struct message_spec *spec, str json)
{
    void *message = message_new(arena, spec);

    CHECK_OK(message_from_json(arena, json, spec, message));
    return message_validate(arena, spec, message);
}

#define CHECK_REFUSED(spec, json, at, words)                \
    do {                                                    \
        err refused_ = judged(t->arena, (spec), STR(json)); \
        CHECK_ERR(refused_, FIELD_INVALID);                 \
        CHECK_STR(refused_->fields[0].pointer, (at));       \
        CHECK_STR(refused_->fields[0].message, (words));    \
    } while (0)

TEST(a_right_order_passes)
{
    CHECK_OK(judged(t->arena, &orders_create_order_request_spec,
                    STR("{\"lines\":[{\"sku\":\"mug\",\"quantity\":10000}],\"payment\":"
                        "{\"provider\":\"manual\"}}")));
}

TEST(all_that_is_wrong_is_told_at_once)
{
    err error = judged(t->arena, &orders_create_order_request_spec,
                       STR("{\"lines\":[{\"sku\":\"a/b\"}],\"address_id\":\"7\"}"));

    CHECK_ERR(error, FIELD_INVALID);
    CHECK_INT(error->fields_count, 4);
    CHECK_STR(error->fields[0].pointer, "/lines/0/sku");
    CHECK_STR(error->fields[1].pointer, "/lines/0/quantity");
    CHECK_STR(error->fields[1].message, "must be a whole number from 1 to 10000");
    CHECK_STR(error->fields[2].pointer, "/address_id");
    CHECK_STR(error->fields[2].message, "must be a UUID of 36 characters");
    CHECK_STR(error->fields[3].pointer, "/payment");
    CHECK_STR(error->fields[3].message, "is required");
}

TEST(a_list_has_its_least_and_its_most)
{
    CHECK_REFUSED(&products_quote_request_spec, "{}", "/skus", "must have from 1 to 100 items");
    CHECK_REFUSED(&products_quote_request_spec, "{\"skus\":[\"a\",\"\"]}", "/skus/1",
                  "must have from 1 to 100 characters");
}

TEST(an_unpacked_list_beyond_its_most_is_refused)
{
    Products__QuoteRequest *in = message_new(t->arena, &products_quote_request_spec);

    in->n_skus = 101;
    in->skus = arena_array(t->arena, ProtobufCBinaryData, 101);
    err error = message_validate(t->arena, &products_quote_request_spec, in);
    CHECK_ERR(error, FIELD_INVALID);
    CHECK_STR(error->fields[0].message, "must have from 1 to 100 items");
}

TEST(lengths_count_code_points)
{
    struct text name = text_init(t->arena, 1024);
    Users__RegisterRequest *in = message_new(t->arena, &users_register_request_spec);
    in->email = field_of(STR("a@b.c"));
    in->password = field_of(STR("pässwörd")); /* 8 */

    for (int i = 0; i < 200; i++)
        text_add(&name, STR("ä"));
    in->name = field_of(text_str(&name));
    CHECK_OK(message_validate(t->arena, &users_register_request_spec, in));

    text_add(&name, STR("ä"));
    in->name = field_of(text_str(&name));
    in->password = field_of(STR("pässwör"));
    err error = message_validate(t->arena, &users_register_request_spec, in);
    CHECK_INT(error->fields_count, 2);
    CHECK_STR(error->fields[0].message, "must have from 8 to 256 characters");
    CHECK_STR(error->fields[1].message, "must have at most 200 characters");
}

TEST(texts_are_utf8_without_nul_and_control_characters)
{
    CHECK_REFUSED(&users_list_users_request_spec, "{\"email\":\"a\\u0000b\"}", "/email",
                  "must not contain U+0000");
    CHECK_REFUSED(&users_list_users_request_spec, "{\"email\":\"a\\nb\"}", "/email",
                  "must not contain control characters or line breaks");
    CHECK_REFUSED(&products_create_product_request_spec,
                  "{\"title\":\"x\",\"variants\":[{\"price\":{\"amount\":1,\"currency\":\"EUR\"}}],"
                  "\"description\":\"\\u0007\"}",
                  "/description",
                  "must not contain control characters other than line breaks and tabs");

    Users__ListUsersRequest *in = message_new(t->arena, &users_list_users_request_spec);
    in->email = field_of(STR("\xff"));
    err error = message_validate(t->arena, &users_list_users_request_spec, in);
    CHECK_STR(error->fields[0].message, "must be UTF-8");
}

TEST(a_text_of_lines_may_break_them)
{
    CHECK_OK(judged(
        t->arena, &products_create_product_request_spec,
        STR("{\"title\":\"x\",\"variants\":[{\"price\":{\"amount\":1,\"currency\":\"EUR\"}}],"
            "\"description\":\"a\\r\\n\\tb\"}")));
}

TEST(a_password_may_be_any_characters_but_nul)
{
    CHECK_OK(judged(t->arena, &users_register_request_spec,
                    STR("{\"email\":\"a@b.c\",\"password\":\"\\u0001\\u0007 \\n\\u0085abc\"}")));
    CHECK_REFUSED(&users_register_request_spec,
                  "{\"email\":\"a@b.c\",\"password\":\"1234567\\u0000\"}", "/password",
                  "must not contain U+0000");
}

static bool passes(struct arena *arena, enum field_format format, str text)
{
    const struct field_spec rules[] = {
        { .json_name = "value", .length_max = 5000, .format = format, .text = true },
    };
    const struct message_spec spec = { .descriptor = &duka__problem__descriptor, .mask_field = -1 };
    struct field_spec all[5] = { 0 };
    struct message_spec one = spec;
    Duka__Problem message = DUKA__PROBLEM__INIT;

    for (int i = 0; i < 5; i++)
        all[i] = (struct field_spec){ .json_name = "", .length_max = 1, .items_max = 1 };
    all[0] = rules[0];
    one.fields = all;
    message.code = field_of(text);
    return message_validate(arena, &one, &message) == OK;
}

static void check_format(struct test *t, enum field_format format, const char *const *right,
                         const char *const *wrong)
{
    for (; *right; right++)
        if (!passes(t->arena, format, str_of_z(*right)))
            FAIL("refused: %s", *right);
    for (; *wrong; wrong++)
        if (passes(t->arena, format, str_of_z(*wrong)))
            FAIL("passed: %s", *wrong);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

TEST(email_addresses_are_held_to_a_simple_syntax)
{
    check_format(t, FORMAT_EMAIL,
                 LIST("a@b.c", "amina@example.com", "first.last+tag@sub.example.co.ke",
                      "root@localhost", "ünï@bücher.example", "o'brien@x.org",
                      "1234567890123456789012345678901234567890123456789012345678901234@x.y"),
                 LIST("a", "@b.c", "a@", "a@b", "a@b@c.d", "a b@c.d", "a@b c.d", "a@b..c", "a@.b",
                      "a@b.", "a@-b.c", "a@b-.c", "<a@b.c>", "a,b@c.d", "a@b_c.d", "a@b.c/d",
                      "a\u00a0b@c.d", "a@b\u3000.c",
                      "12345678901234567890123456789012345678901234567890123456789012345@x.y"));
}

TEST(a_whole_email_address_has_at_most_254_bytes)
{
    struct text email = text_init(t->arena, 300);

    text_add(&email, STR("a@"));
    while (email.len < 250)
        text_add(&email, STR("bb."));
    text_add(&email, STR("cc"));
    CHECK_INT(email.len, 253);
    CHECK(passes(t->arena, FORMAT_EMAIL, text_str(&email)));
    text_add(&email, STR("cc"));
    CHECK(!passes(t->arena, FORMAT_EMAIL, text_str(&email)));
}

TEST(urls_are_http_or_https)
{
    check_format(
        t, FORMAT_URL, LIST("http://a", "https://example.com/a?b=c#d", "HTTPS://EXAMPLE.COM/ä.png"),
        LIST("ftp://a.b", "//a.b", "http:/a", "https://", "http://", "https:///x", "http://?x",
             "http://a b", "javascript:alert(1)", "http://a\"b", "http://a<b", "http://a\u2003b"));
}

TEST(skus_fit_into_a_path)
{
    check_format(t, FORMAT_SKU, LIST("a", "CLAY POT 1", "ä-1", "a?b#c%"),
                 LIST(" a", "a ", "a/b", "/", ".", ".."));
}

TEST(handles_are_slugs)
{
    check_format(t, FORMAT_HANDLE, LIST("pot", "clay-pot-2", "0"),
                 LIST("Pot", "clay pot", "-pot", "pot-", "a--b", "größe"));
}

TEST(the_other_formats_are_exact)
{
    check_format(t, FORMAT_COUNTRY, LIST("KE", "DE"), LIST("ke", "K", "KEN", "K1"));
    check_format(t, FORMAT_CURRENCY, LIST("EUR", "KES"), LIST("eur", "EU", "EURO", "XYZ"));
    check_format(t, FORMAT_TOKEN, LIST("abc~!", "a.b_c-d"), LIST("a b", "ä", "a\x7f"));
    check_format(
        t, FORMAT_UUID, LIST("0190b6a0-2f7e-7cc4-a1c1-9d7be1c4a001"),
        LIST("0190b6a02f7e7cc4a1c19d7be1c4a001", "x", "0190b6a0-2f7e-7cc4-a1c1-9d7be1c4a00g"));
}

TEST(what_is_not_required_may_be_empty_whatever_its_rules)
{
    CHECK_OK(judged(t->arena, &orders_list_orders_request_spec, STR("{}")));
    CHECK_OK(judged(t->arena, &products_create_import_request_spec, STR("{}")));
}

TEST(a_patch_may_not_clear_what_has_a_least_length)
{
    void *in = message_new(t->arena, &products_update_product_request_spec);
    const struct call_spec *call = &products_call_update_product;

    CHECK_OK(message_set_text(t->arena, call->request, in, 0, STR("pot")));
    CHECK_OK(message_from_body(t->arena, call, STR("{\"vendor\":\"\"}"), in));
    CHECK_OK(message_validate_request(t->arena, call, in));

    CHECK_OK(message_from_body(t->arena, call, STR("{\"title\":\"\"}"), in));
    err error = message_validate_request(t->arena, call, in);
    CHECK_ERR(error, FIELD_INVALID);
    CHECK_STR(error->fields[0].pointer, "/title");
    CHECK_STR(error->fields[0].message, "must have from 1 to 255 characters");
}

TEST(numbers_and_words_of_the_other_codec_are_held_to_the_contract_too)
{
    Orders__ListOrdersRequest *in = message_new(t->arena, &orders_list_orders_request_spec);

    in->limit = -1;
    in->scope = (Orders__OrderScope)3;
    err error = message_validate(t->arena, &orders_list_orders_request_spec, in);
    CHECK_INT(error->fields_count, 2);
    CHECK_STR(error->fields[0].message, "must be one of: own, all");
    CHECK_STR(error->fields[1].message, "must be a whole number from 0 to 100");
}

TEST(a_required_word_may_not_be_unspecified)
{
    CHECK_REFUSED(&products_adjust_stock_request_spec, "{\"sku\":\"a\"}", "/reason", "is required");
}

TEST(times_outside_the_calendar_are_refused)
{
    Users__User *user = message_new(t->arena, &users_user_spec);
    Google__Protobuf__Timestamp wrong = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

    wrong.seconds = INT64_C(253402300800);
    user->created_at = &wrong;
    err error = message_validate(t->arena, &users_user_spec, user);
    CHECK_ERR(error, FIELD_INVALID);
    CHECK_STR(error->fields[0].pointer, "/created_at");
}
