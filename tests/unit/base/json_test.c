#include "base/json.h"
#include "tests/lib/test.h"
#include <dirent.h>
#include <stdio.h>

static const struct json *read_ok(struct arena *arena, str bytes)
{
    const struct json *value = NULL;

    CHECK_OK(json_read(arena, bytes, &value));
    return value;
}

static err read_err(struct arena *arena, str bytes)
{
    const struct json *value = NULL;
    err error = json_read(arena, bytes, &value);

    CHECK(error == OK || value == NULL);
    return error;
}

TEST(every_kind_of_value_is_told)
{
    CHECK_INT(json_kind_of(read_ok(t->arena, STR("null"))), JSON_NULL);
    CHECK_INT(json_kind_of(read_ok(t->arena, STR("true"))), JSON_BOOL);
    CHECK_INT(json_kind_of(read_ok(t->arena, STR("1"))), JSON_NUMBER);
    CHECK_INT(json_kind_of(read_ok(t->arena, STR("\"\""))), JSON_STRING);
    CHECK_INT(json_kind_of(read_ok(t->arena, STR("[]"))), JSON_ARRAY);
    CHECK_INT(json_kind_of(read_ok(t->arena, STR(" {} "))), JSON_OBJECT);
}

TEST(members_are_found_by_name)
{
    const struct json *object = read_ok(t->arena, STR("{\"a\":1,\"\":true,\"b\\u0000\":\"x\"}"));
    int64_t number;

    CHECK(json_int64(json_member(object, STR("a")), &number));
    CHECK_INT(number, 1);
    CHECK(json_bool(json_member(object, STR(""))));
    CHECK_STR(json_string(json_member(object, STR("b\0"))), "x");
    CHECK(json_member(object, STR("b")) == NULL);
    CHECK(json_member(object, STR("A")) == NULL);
}

TEST(what_is_no_object_has_no_members)
{
    CHECK(json_member(read_ok(t->arena, STR("[1]")), STR("a")) == NULL);
    CHECK(json_member(read_ok(t->arena, STR("\"a\"")), STR("a")) == NULL);
    CHECK(json_member(NULL, STR("a")) == NULL);
}

TEST(a_walk_meets_members_in_their_order)
{
    struct text seen = text_init(t->arena, 0);
    struct json_walk walk =
        json_walk_of(read_ok(t->arena, STR("{\"b\":[1,[2]],\"a\":{\"x\":{}},\"c\":3}")));

    while (json_next(&walk))
        text_add_format(&seen, "%zu %" STR_F " %d;", walk.index, STR_A(walk.name),
                        json_kind_of(walk.value));
    CHECK_STR(text_str(&seen), "0 b 4;1 a 5;2 c 2;");
    CHECK(!json_next(&walk));
}

TEST(a_walk_meets_elements_without_names)
{
    struct text seen = text_init(t->arena, 0);
    struct json_walk walk = json_walk_of(read_ok(t->arena, STR("[10,[],20]")));

    while (json_next(&walk)) {
        CHECK(walk.name.ptr == NULL);
        text_add_format(&seen, "%zu %d;", walk.index, json_kind_of(walk.value));
    }
    CHECK_STR(text_str(&seen), "0 2;1 4;2 2;");
}

TEST(a_walk_over_nothing_ends_at_once)
{
    static const char *const TEXTS[] = { "{}", "[]", "1", "\"a\"", "null" };

    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        const struct json *value = read_ok(t->arena, str_of_z(TEXTS[i]));
        struct json_walk walk = json_walk_of(value);
        CHECK(!json_next(&walk));
        CHECK_INT(json_count(value), 0);
    }
}

TEST(members_and_elements_are_counted)
{
    CHECK_INT(json_count(read_ok(t->arena, STR("[1,[2,3],4]"))), 3);
    CHECK_INT(json_count(read_ok(t->arena, STR("{\"a\":[1,2,3],\"b\":0}"))), 2);
}

TEST(strings_are_unescaped)
{
    CHECK_STR(json_string(read_ok(t->arena, STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""))),
              "\"\\/\b\f\n\r\t");
    CHECK_STR(json_string(read_ok(t->arena, STR("\"\\u00e9\\u20ac\\ud83c\\udf75\""))),
              "\xc3\xa9\xe2\x82\xac\xf0\x9f\x8d\xb5");
    CHECK_STR(json_string(read_ok(t->arena, STR("\"a\\u0000b\""))), STR("a\0b"));
    CHECK_STR(json_string(read_ok(t->arena, STR("\"\xf0\x9f\x8d\xb5\""))), "\xf0\x9f\x8d\xb5");
}

TEST(half_a_surrogate_is_refused)
{
    CHECK_ERR(read_err(t->arena, STR("\"\\ud83c\"")), JSON_MALFORMED);
    CHECK_ERR(read_err(t->arena, STR("\"\\udf75\"")), JSON_MALFORMED);
    CHECK_ERR(read_err(t->arena, STR("\"\\ud83c\\ud83c\"")), JSON_MALFORMED);
}

TEST(numbers_keep_their_text)
{
    static const char *const TEXTS[] = { "0",
                                         "-0",
                                         "12.50",
                                         "1e400",
                                         "-1.5E-10",
                                         "1E+2",
                                         "0.1",
                                         "18446744073709551616",
                                         "123456789012345678901234567890.5" };

    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++)
        CHECK_STR(json_number_text(read_ok(t->arena, str_of_z(TEXTS[i]))), TEXTS[i]);
}

TEST(integers_are_read_without_rounding)
{
    const struct json *value =
        read_ok(t->arena, STR("[9007199254740993,9223372036854775807,-9223372036854775808]"));
    struct json_walk walk = json_walk_of(value);
    int64_t number;

    CHECK(json_next(&walk) && json_int64(walk.value, &number));
    CHECK_INT(number, INT64_C(9007199254740993));
    CHECK(json_next(&walk) && json_int64(walk.value, &number));
    CHECK_INT(number, INT64_MAX);
    CHECK(json_next(&walk) && json_int64(walk.value, &number));
    CHECK_INT(number, INT64_MIN);
}

TEST(what_is_not_written_as_an_integer_is_none)
{
    static const char *const TEXTS[] = { "1.0", "1e2", "9223372036854775808", "\"1\"", "true" };
    int64_t number = 7;

    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++)
        CHECK(!json_int64(read_ok(t->arena, str_of_z(TEXTS[i])), &number));
    CHECK_INT(number, 7);
}

TEST(a_value_of_another_kind_panics)
{
    const struct json *value = read_ok(t->arena, STR("[]"));

    CHECK_PANICS(json_string(value));
    CHECK_PANICS(json_bool(value));
    CHECK_PANICS(json_number_text(value));
    CHECK_PANICS(json_kind_of(NULL));
}

TEST(malformed_documents_are_refused)
{
    static const char *const WRONG[] = {
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[1] 2",
        "[1]]",
        "// x\n1",
        "/* */1",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "NaN",
        "Infinity",
        "nul",
        "True",
        "\"a",
        "\"\t\"",
        "\"\\x\"",
        "\"\x80\"",
        "\xff",
        "[1 2]",
        "{\"a\" 1}",
        "\xef\xbb\xbf{}",
        "\"\xed\xa0\x80\"",
        "\"\xc0\xaf\"",
    };

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        if (!err_is(read_err(t->arena, str_of_z(WRONG[i])), JSON_MALFORMED))
            FAIL("%s", WRONG[i]);
    CHECK_ERR(read_err(t->arena, STR_NONE), JSON_MALFORMED);
    CHECK_ERR(read_err(t->arena, STR("[1]\0")), JSON_MALFORMED);
}

TEST(the_detail_says_where_and_why)
{
    err error = read_err(t->arena, STR("[1, x]"));

    CHECK_ERR(error, JSON_MALFORMED);
    CHECK(str_starts(error->detail, STR("byte 4: ")));
}

TEST(the_bytes_that_were_read_are_not_needed_any_more)
{
    char bytes[] = "{\"name\":\"mug\",\"n\":12}";
    const struct json *value = read_ok(t->arena, str_of(bytes, sizeof bytes - 1));

    memset(bytes, 'x', sizeof bytes);
    CHECK_STR(json_string(json_member(value, STR("name"))), "mug");
    CHECK_STR(json_number_text(json_member(value, STR("n"))), "12");
}

static str nested(struct arena *arena, int depth, const char *opening, const char *closing)
{
    struct text text = text_init(arena, 0);

    for (int i = 0; i < depth; i++)
        text_add(&text, str_of_z(opening));
    text_add(&text, STR("1"));
    for (int i = 0; i < depth; i++)
        text_add(&text, str_of_z(closing));
    return text_str(&text);
}

TEST(depth_has_a_limit)
{
    CHECK_OK(read_err(t->arena, nested(t->arena, JSON_DEPTH_MAX, "[", "]")));
    CHECK_OK(read_err(t->arena, nested(t->arena, JSON_DEPTH_MAX, "{\"a\":", "}")));
    CHECK_ERR(read_err(t->arena, nested(t->arena, JSON_DEPTH_MAX + 1, "[", "]")), JSON_TOO_DEEP);
    CHECK_ERR(read_err(t->arena, nested(t->arena, JSON_DEPTH_MAX + 1, "{\"a\":", "}")),
              JSON_TOO_DEEP);
    CHECK_ERR(read_err(t->arena, nested(t->arena, 100000, "[", "]")), JSON_TOO_DEEP);
    CHECK_ERR(read_err(t->arena, nested(t->arena, 100000, "[", "")), JSON_MALFORMED);
}

TEST(a_member_named_twice_is_refused_at_any_level)
{
    static const char *const WRONG[] = {
        "{\"a\":1,\"a\":1}",       "{\"a\":1,\"b\":2,\"a\":3}",
        "{\"\":1,\"\":2}",         "[0,{\"x\":[{\"a\":1,\"a\":2}]}]",
        "{\"a\":1,\"\\u0061\":2}",
    };

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        CHECK_ERR(read_err(t->arena, str_of_z(WRONG[i])), JSON_DUPLICATE_MEMBER);
    CHECK_OK(read_err(t->arena, STR("{\"a\":1,\"A\":2,\"a \":3,\"b\":{\"a\":4}}")));
    CHECK_OK(read_err(t->arena, STR("[{\"a\":1},{\"a\":1}]")));
}

/* An object of so many members, with the name of number `twice` given again at the end. */
static str object_of(struct arena *arena, int count, int twice)
{
    struct text text = text_init(arena, 0);
    bool first = true;

    text_add_byte(&text, '{');
    for (int i = 0; i <= count; i++) {
        if (i == count && twice < 0)
            break;
        /* Not in the order of their names. */
        int number = (i == count ? twice : i) * 7919 % 1000003;
        json_add_name(&text, &first, str_format(arena, "name%d", number));
        text_add_int(&text, i);
    }
    text_add_byte(&text, '}');
    return text_str(&text);
}

TEST(one_name_twice_among_any_number_is_found)
{
    for (int count = 1; count < 70; count++) {
        CHECK_OK(read_err(t->arena, object_of(t->arena, count, -1)));
        for (int twice = 0; twice < count; twice++)
            CHECK_ERR(read_err(t->arena, object_of(t->arena, count, twice)), JSON_DUPLICATE_MEMBER);
        arena_reset(t->arena);
    }
}

TEST(objects_of_many_members_are_checked_in_time)
{
    CHECK_OK(read_err(t->arena, object_of(t->arena, 60000, -1)));
    CHECK_ERR(read_err(t->arena, object_of(t->arena, 60000, 31234)), JSON_DUPLICATE_MEMBER);
}

TEST(the_detail_names_the_member_unless_it_is_long)
{
    err error = read_err(t->arena, STR("{\"sku\":1,\"sku\":1}"));
    CHECK_STR(error->detail, "\"sku\" is there twice");

    str name = str_format(t->arena, "\"%0*d\":1", 200, 0);
    error = read_err(t->arena,
                     str_format(t->arena, "{%" STR_F ",%" STR_F "}", STR_A(name), STR_A(name)));
    CHECK_STR(error->detail, "a member of 200 bytes is there twice");
}

TEST(a_document_over_the_ceiling_goes_to_the_guard)
{
    jmp_buf guard;
    struct arena *arena = arena_open(4096);
    str document = object_of(t->arena, 1000, -1);
    const struct json *value;

    if (setjmp(guard)) {
        arena_close(arena);
        return;
    }
    arena_guard(arena, &guard);
    CHECK_OK(json_read(arena, document, &value));
    FAIL("it fitted");
}

static str written(struct arena *arena, str s)
{
    struct text text = text_init(arena, 0);

    json_add_string(&text, s);
    return text_str(&text);
}

TEST(strings_are_escaped_only_where_they_must_be)
{
    CHECK_STR(written(t->arena, STR("")), "\"\"");
    CHECK_STR(written(t->arena, STR_NONE), "\"\"");
    CHECK_STR(written(t->arena, STR("plain text, longer than eight")),
              "\"plain text, longer than eight\"");
    CHECK_STR(written(t->arena, STR("a\"b\\c/d")), "\"a\\\"b\\\\c/d\"");
    CHECK_STR(written(t->arena, STR("\b\f\n\r\t")), "\"\\b\\f\\n\\r\\t\"");
    CHECK_STR(written(t->arena, STR("\x01\x1f\x10")), "\"\\u0001\\u001f\\u0010\"");
    CHECK_STR(written(t->arena, STR("\0")), "\"\\u0000\"");
    CHECK_STR(written(t->arena, STR("\x7f\xc3\xa9\xf0\x9f\x8d\xb5")),
              "\"\x7f\xc3\xa9\xf0\x9f\x8d\xb5\"");
}

TEST(every_byte_at_every_place_is_written_as_it_reads)
{
    for (size_t place = 0; place < 20; place++) {
        for (int byte = 0; byte < 0x80; byte++) {
            char bytes[20];
            memset(bytes, 'x', sizeof bytes);
            bytes[place] = (char)byte;
            str s = str_of(bytes, sizeof bytes);
            CHECK_STR(json_string(read_ok(t->arena, written(t->arena, s))), s);
        }
        arena_reset(t->arena);
    }
}

TEST(names_are_written_with_their_commas)
{
    struct text text = text_init(t->arena, 0);
    bool first = true;

    json_add_name(&text, &first, STR("a"));
    text_add_int(&text, 1);
    json_add_name(&text, &first, STR("b\""));
    text_add_int(&text, 2);
    CHECK_STR(text_str(&text), "\"a\":1,\"b\\\"\":2");
    CHECK(!first);
}

/* ---- The outside suite ---- */

static str file_of(struct arena *arena, const char *folder, const char *name)
{
    FILE *file = fopen(str_z(arena, str_format(arena, "%s/%s", folder, name)), "rb");
    struct text text = text_init(arena, 4096);
    char bytes[4096];

    CHECK(file);
    for (size_t len; (len = fread(bytes, 1, sizeof bytes, file)) > 0;)
        text_add(&text, str_of(bytes, len));
    fclose(file);
    return text_str(&text);
}

/* Members named twice are well-formed by the letter of RFC 8259; we refuse them. */
static bool is_duplicate(const char *name)
{
    return strcmp(name, "y_object_duplicated_key.json") == 0 ||
           strcmp(name, "y_object_duplicated_key_and_value.json") == 0;
}

static void check_file(struct arena *arena, const char *folder, const char *name)
{
    err error = read_err(arena, file_of(arena, folder, name));

    if (is_duplicate(name))
        CHECK_ERR(error, JSON_DUPLICATE_MEMBER);
    else if (name[0] == 'y' && error)
        FAIL("%s: %" STR_F, name, STR_A(err_describe(arena, error)));
    else if (name[0] == 'n' && !error)
        FAIL("%s was accepted", name);
}

TEST(the_json_test_suite_agrees)
{
    const char *shared = getenv("DUKA_SHARED_DIR");
    const char *folder = str_z(t->arena, str_format(t->arena, "%s/suites/json/test_parsing",
                                                    shared ? shared : "../shared"));
    DIR *dir = opendir(folder);
    int files = 0;

    if (!dir)
        SKIP("JSONTestSuite is not there; DUKA_SHARED_DIR says where");
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct arena *arena = arena_open(TEST_ARENA_BYTES_MAX);
        if (strchr("yni", entry->d_name[0]) && entry->d_name[1] == '_') {
            check_file(arena, folder, entry->d_name);
            files++;
        }
        arena_close(arena);
    }
    closedir(dir);
    CHECK(files > 300);
}
