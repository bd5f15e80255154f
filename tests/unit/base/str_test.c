#include "base/str.h"
#include "tests/lib/test.h"

TEST(absent_and_empty_are_equal)
{
    CHECK(str_equal(STR_NONE, STR("")));
    CHECK(str_equal_fold(STR_NONE, STR("")));
    CHECK_INT(str_compare(STR_NONE, STR("")), 0);
}

TEST(a_null_pointer_is_absent)
{
    CHECK(str_of_z(NULL).ptr == NULL);
    CHECK_STR(str_of_z("mug"), "mug");
    CHECK(str_of_z("").ptr != NULL);
}

TEST(equality_looks_at_all_bytes)
{
    CHECK(str_equal(STR("a\0b"), STR("a\0b")));
    CHECK(!str_equal(STR("a\0b"), STR("a\0c")));
    CHECK(!str_equal(STR("a"), STR("ab")));
}

TEST(folded_equality_knows_ascii_letters_only)
{
    CHECK(str_equal_fold(STR("Content-Type"), STR("content-tYPE")));
    CHECK(!str_equal_fold(STR("a@"), STR("A`"))); /* 0x40 and 0x60 differ by the same bit */
    CHECK(!str_equal_fold(STR("\xc3\x84"), STR("\xc3\xa4")));
}

TEST(order_is_by_unsigned_bytes_then_length)
{
    CHECK(str_compare(STR("a"), STR("b")) < 0);
    CHECK(str_compare(STR("b"), STR("a")) > 0);
    CHECK(str_compare(STR("a"), STR("ab")) < 0);
    CHECK(str_compare(STR("ab"), STR("a")) > 0);
    CHECK(str_compare(STR("z"), STR("\x80")) < 0);
    CHECK_INT(str_compare(STR("same"), STR("same")), 0);
}

TEST(a_text_starts_and_ends_with_its_parts)
{
    CHECK(str_starts(STR("orders/1"), STR("orders/")));
    CHECK(str_starts(STR("a"), STR("a")));
    CHECK(str_starts(STR("a"), STR("")));
    CHECK(!str_starts(STR("a"), STR("ab")));
    CHECK(str_ends(STR("cat.png"), STR(".png")));
    CHECK(str_ends(STR_NONE, STR("")));
    CHECK(!str_ends(STR("png"), STR(".png")));
}

TEST(finding_gives_the_first_place_or_minus_one)
{
    CHECK_INT(str_find_byte(STR("a,b,c"), ','), 1);
    CHECK_INT(str_find_byte(STR("abc"), ','), -1);
    CHECK_INT(str_find_byte(STR_NONE, 'a'), -1);
    CHECK_INT(str_find_byte(STR("a\0b"), '\0'), 1);
    CHECK_INT(str_find(STR("one two two"), STR("two")), 4);
    CHECK_INT(str_find(STR("one"), STR("one two")), -1);
    CHECK_INT(str_find(STR("one"), STR("")), 0);
    CHECK_INT(str_find(STR_NONE, STR("a")), -1);
}

TEST(a_control_character_is_found_wherever_it_stands_and_nothing_else)
{
    char text[25];

    for (size_t len = 0; len < sizeof text; len++)
        for (int byte = 0; byte < 256; byte++) {
            bool is_control = byte < ' ' || byte == 0x7f;
            memset(text, 'a', sizeof text);
            CHECK(!str_has_control(str_of(text, len)));
            for (size_t at = 0; at < len; at++) {
                text[at] = (char)byte;
                CHECK(str_has_control(str_of(text, len)) == is_control);
                text[at] = at % 2 ? '~' : ' ';
            }
        }
    CHECK(!str_has_control(STR_NONE));
    CHECK(!str_has_control(STR("Grüße, 漢字, ÿ and more of them")));
    CHECK(str_has_control(STR("Grüße, 漢字, ÿ and more of them\t")));
}

TEST(a_slice_is_clamped_to_what_is_there)
{
    CHECK_STR(str_slice(STR("abcdef"), 2, 3), "cde");
    CHECK_STR(str_slice(STR("abc"), 1, SIZE_MAX), "bc");
    CHECK_STR(str_slice(STR("abc"), 9, 1), "");
    CHECK(str_slice(STR("abc"), 9, 1).ptr != NULL);
    CHECK(str_slice(STR_NONE, 0, 1).ptr == NULL);
}

TEST(trimming_takes_white_space_at_both_ends)
{
    CHECK_STR(str_trim(STR(" \t\r\n\v\f a b \n")), "a b");
    CHECK_STR(str_trim(STR("  ")), "");
    CHECK_STR(str_trim(STR("\xc2\xa0")), "\xc2\xa0");
}

TEST(cutting_walks_every_part_also_empty_ones)
{
    struct text seen = text_init(t->arena, 0);
    int parts = 0;

    for (str rest = STR("a,,b,"), part; rest.ptr && (part = str_cut(&rest, ','), true); parts++) {
        text_add(&seen, part);
        text_add_byte(&seen, ';');
    }
    CHECK_INT(parts, 4);
    CHECK_STR(text_str(&seen), "a;;b;;");
}

TEST(cutting_without_the_byte_gives_all_and_ends)
{
    str rest = STR("whole");

    CHECK_STR(str_cut(&rest, ','), "whole");
    CHECK(rest.ptr == NULL);
}

TEST(integers_are_read_to_their_limits)
{
    int64_t number = 0;

    CHECK(str_to_int64(STR("9223372036854775807"), INT64_MIN, INT64_MAX, &number));
    CHECK_INT(number, INT64_MAX);
    CHECK(str_to_int64(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &number));
    CHECK_INT(number, INT64_MIN);
    CHECK(!str_to_int64(STR("9223372036854775808"), INT64_MIN, INT64_MAX, &number));
    CHECK(!str_to_int64(STR("-9223372036854775809"), INT64_MIN, INT64_MAX, &number));
    CHECK(!str_to_int64(STR("99999999999999999999999"), INT64_MIN, INT64_MAX, &number));
}

TEST(integers_keep_to_the_range_that_was_asked_for)
{
    int64_t number = 7;

    CHECK(str_to_int64(STR("100"), 1, 100, &number));
    CHECK_INT(number, 100);
    CHECK(!str_to_int64(STR("0"), 1, 100, &number));
    CHECK(!str_to_int64(STR("101"), 1, 100, &number));
    CHECK(!str_to_int64(STR("-1"), 0, 100, &number));
    CHECK_INT(number, 100);
}

TEST(an_integer_is_nothing_but_digits)
{
    static const char *const WRONG[] = {
        "", "-", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "--1", "1-"
    };
    int64_t number;

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        CHECK(!str_to_int64(str_of_z(WRONG[i]), INT64_MIN, INT64_MAX, &number));
    CHECK(!str_to_int64(STR("1\0"), INT64_MIN, INT64_MAX, &number));
    CHECK(!str_to_int64(STR_NONE, INT64_MIN, INT64_MAX, &number));
    CHECK(str_to_int64(STR("-0"), INT64_MIN, INT64_MAX, &number));
    CHECK(str_to_int64(STR("007"), INT64_MIN, INT64_MAX, &number));
    CHECK_INT(number, 7);
}

TEST(a_copy_has_its_own_bytes)
{
    char bytes[] = "mug";
    str copy = str_copy(t->arena, str_of(bytes, 3));

    bytes[0] = 'r';
    CHECK_STR(copy, "mug");
    CHECK(str_copy(t->arena, STR_NONE).ptr == NULL);
    CHECK(str_copy(t->arena, STR("")).ptr != NULL);
}

TEST(a_copy_for_libraries_ends_with_nul)
{
    CHECK_INT(strlen(str_z(t->arena, str_of("mugs", 3))), 3);
    CHECK_INT(strlen(str_z(t->arena, STR_NONE)), 0);
}

TEST(formatting_holds_short_and_long_texts)
{
    str tail = STR("tail");

    CHECK_STR(str_format(t->arena, "%d-%" STR_F, 7, STR_A(tail)), "7-tail");
    CHECK_STR(str_format(t->arena, "%s", ""), "");
    for (int width = 250; width < 260; width++) {
        str s = str_format(t->arena, "%*d", width, 1);
        CHECK_INT(s.len, width);
        CHECK(str_ends(s, STR(" 1")));
    }
}

TEST(lower_case_is_a_copy_in_ascii)
{
    CHECK_STR(str_lower(t->arena, STR("AZaz@[\xc3\x84")), "azaz@[\xc3\x84");
    CHECK(str_lower(t->arena, STR_NONE).ptr == NULL);
}

TEST(the_hash_is_fnv_1a)
{
    CHECK(str_hash(STR("")) == UINT64_C(0xcbf29ce484222325));
    CHECK(str_hash(STR("a")) == UINT64_C(0xaf63dc4c8601ec8c));
    CHECK(str_hash(STR("foobar")) == UINT64_C(0x85944171f73967e8));
}

TEST(a_text_grows_as_it_is_added_to)
{
    struct text text = text_init(t->arena, 0);

    CHECK_STR(text_str(&text), "");
    for (int i = 0; i < 1000; i++) {
        text_add(&text, STR("ab"));
        text_add_byte(&text, 'c');
        arena_alloc(t->arena, 1, 1); /* so that it must move at times */
    }
    CHECK_INT(text.len, 3000);
    CHECK_STR(str_slice(text_str(&text), 2997, 3), "abc");
    for (size_t i = 0; i < text.len; i++)
        CHECK(text.ptr[i] == "abc"[i % 3]);
}

TEST(a_text_takes_its_own_bytes)
{
    struct text text = text_init(t->arena, 4);

    text_add(&text, STR("abcd"));
    for (int i = 0; i < 8; i++)
        text_add(&text, text_str(&text));
    CHECK_INT(text.len, 1024);
    CHECK_STR(str_slice(text_str(&text), 1020, 4), "abcd");
}

TEST(a_text_takes_formatted_pieces_of_any_length)
{
    struct text text = text_init(t->arena, 8);

    text_add_format(&text, "%s", "1234567"); /* fills the room but for the NUL */
    text_add_format(&text, "%s", "8");
    text_add_format(&text, "%500d", 9);
    CHECK_INT(text.len, 508);
    CHECK_STR(str_slice(text_str(&text), 0, 9), "12345678 ");
    CHECK(str_ends(text_str(&text), STR(" 9")));

    struct text empty = text_init(t->arena, 0);
    text_add_format(&empty, "%s", "");
    CHECK_STR(text_str(&empty), "");
}

TEST(a_text_takes_integers_to_their_limits)
{
    struct text text = text_init(t->arena, 0);

    text_add_int(&text, 0);
    text_add_byte(&text, ' ');
    text_add_int(&text, -1);
    text_add_byte(&text, ' ');
    text_add_int(&text, INT64_MAX);
    text_add_byte(&text, ' ');
    text_add_int(&text, INT64_MIN);
    CHECK_STR(text_str(&text), "0 -1 9223372036854775807 -9223372036854775808");
}

TEST(texts_that_begin_empty_in_one_arena_do_not_share_their_bytes)
{
    struct text one = text_init(t->arena, 0), other = text_init(t->arena, 0);
    text_add(&one, STR("first"));
    text_add(&other, STR("other"));
    text_add(&one, STR(" and more"));
    CHECK_STR(text_str(&one), "first and more");
    CHECK_STR(text_str(&other), "other");
}
