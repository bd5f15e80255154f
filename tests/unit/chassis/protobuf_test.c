#include "chassis/protobuf.h"

#include "tests/lib/test.h"

TEST(fields_are_read_as_they_were_written)
{
    struct text out = text_init(t->arena, 8);
    struct protobuf_field field;
    protobuf_add_number(&out, 1, 0);
    protobuf_add_number(&out, 1000, UINT64_MAX);
    protobuf_add_bytes(&out, 3, STR("abc"));
    protobuf_add_bytes(&out, 4, STR(""));
    str rest = text_str(&out);

    CHECK(protobuf_next(&rest, &field) == PROTOBUF_FIELD);
    CHECK(field.number == 1 && field.type == PROTOBUF_NUMBER && field.value == 0);
    CHECK(protobuf_next(&rest, &field) == PROTOBUF_FIELD);
    CHECK(field.number == 1000 && field.value == UINT64_MAX);
    CHECK(protobuf_next(&rest, &field) == PROTOBUF_FIELD);
    CHECK(field.number == 3 && field.type == PROTOBUF_BYTES);
    CHECK_STR(field.bytes, "abc");
    CHECK(protobuf_next(&rest, &field) == PROTOBUF_FIELD);
    CHECK_INT(field.bytes.len, 0);
    CHECK(protobuf_next(&rest, &field) == PROTOBUF_END);
}

TEST(fields_of_fixed_width_are_passed_over)
{
    struct protobuf_field field;
    str rest = str_of("\x09"
                      "12345678"
                      "\x0d"
                      "1234"
                      "\x12\x01x",
                      17);

    CHECK(protobuf_next(&rest, &field) == PROTOBUF_FIELD);
    CHECK_INT(field.number, 2);
    CHECK_STR(field.bytes, "x");
    CHECK(protobuf_next(&rest, &field) == PROTOBUF_END);
}

TEST(what_is_cut_short_or_no_field_is_broken)
{
    static const struct {
        const char *bytes;
        size_t len;
    } broken[] = {
        { "\x08", 1 },                                          /* no value */
        { "\x08\x80", 2 },                                      /* a value without end */
        { "\x0a\x02x", 3 },                                     /* less than it tells */
        { "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 }, /* far less */
        { "\x09"
          "1234",
          5 },
        { "\x0d"
          "12",
          3 },
        { "\x00\x00", 2 },                                      /* field 0 */
        { "\x0b\x0c", 2 },                                      /* a group */
        { "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11 }, /* a number of eleven bytes */
        { "\xf8\xff\xff\xff\xff\x01\x00", 7 },                  /* a field above 2^29 */
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct protobuf_field field;
        str rest = str_of(broken[i].bytes, broken[i].len), found;
        CHECK(protobuf_next(&rest, &field) == PROTOBUF_BROKEN);
        CHECK(!protobuf_find(str_of(broken[i].bytes, broken[i].len), 1, &found));
    }
}

TEST(the_last_of_a_field_counts_and_an_absent_one_is_empty)
{
    str message = str_of("\x0a\x01"
                         "a"
                         "\x0a\x01"
                         "b"
                         "\x10\x05",
                         8),
        found;

    CHECK(protobuf_find(message, 1, &found));
    CHECK_STR(found, "b");
    CHECK(protobuf_find(message, 2, &found)); /* a number */
    CHECK_INT(found.len, 0);
    CHECK(protobuf_find(STR(""), 1, &found));
    CHECK_INT(found.len, 0);
}

TEST(a_message_inside_of_another_is_read_as_it_was_written_in_its_place)
{
    struct text out = text_init(t->arena, 4);
    struct protobuf_field field;
    size_t outer = protobuf_begin(&out, 7);
    size_t empty = protobuf_begin(&out, 1);
    protobuf_end(&out, empty);
    size_t inner = protobuf_begin(&out, 2);
    for (int i = 0; i < 100; i++)
        protobuf_add_bytes(&out, 3, STR("abc"));
    protobuf_end(&out, inner);
    protobuf_add_fixed64(&out, 4, UINT64_MAX);
    protobuf_add_fixed32(&out, 5, 1);
    protobuf_end(&out, outer);
    str rest = text_str(&out);
    CHECK(protobuf_next(&rest, &field) == PROTOBUF_FIELD && field.number == 7);
    CHECK_INT(rest.len, 0);
    str message = field.bytes, found;
    CHECK(protobuf_find(message, 1, &found) && found.len == 0);
    CHECK(protobuf_find(message, 2, &found) && found.len == 500);
    CHECK_INT(message.len, 5 + 505 + 9 + 5);
}
