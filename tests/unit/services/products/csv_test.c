#include "services/products/csv.h"
#include "tests/lib/test.h"

enum { ROWS_MAX = 32 };

struct table {
    struct csv_row rows[ROWS_MAX];
    size_t count;
    struct csv_place places[ROWS_MAX + 1]; /* behind each row */
};

static err read_all(struct arena *arena, str bytes, struct table *out)
{
    struct csv_window window = { .bytes = bytes, .is_last = true };
    struct csv_place place = csv_begin();
    enum csv_step step = CSV_ROW;

    out->count = 0;
    for (;;) {
        TRY(csv_read(arena, &window, &place, &out->rows[out->count], &step));
        if (step != CSV_ROW)
            break;
        ASSERT(out->count < ROWS_MAX - 1);
        out->places[out->count++] = place;
    }
    ASSERT(step == CSV_END);
    return OK;
}

/* All fields as one text: f|f|f; after each row a newline. */
static str flat(struct arena *arena, const struct table *table)
{
    struct text text = text_init(arena, 64);

    for (size_t i = 0; i < table->count; i++) {
        for (size_t j = 0; j < table->rows[i].fields_count; j++) {
            text_add(&text, j > 0 ? STR("|") : STR(""));
            text_add(&text, table->rows[i].fields[j]);
        }
        text_add_byte(&text, '\n');
    }
    return text_str(&text);
}

static str flat_of(struct test *t, str bytes)
{
    struct table table;

    CHECK_OK(read_all(t->arena, bytes, &table));
    return flat(t->arena, &table);
}

TEST(rows_end_with_any_of_the_three_line_ends)
{
    CHECK_STR(flat_of(t, STR("a,b\nc,d\n")), "a|b\nc|d\n");
    CHECK_STR(flat_of(t, STR("a,b\r\nc,d\r\n")), "a|b\nc|d\n");
    CHECK_STR(flat_of(t, STR("a,b\rc,d\r")), "a|b\nc|d\n");
    CHECK_STR(flat_of(t, STR("a,b\nc,d")), "a|b\nc|d\n");
}

TEST(empty_fields_are_fields)
{
    CHECK_STR(flat_of(t, STR(",\n")), "|\n");
    CHECK_STR(flat_of(t, STR("a,,\n,,b")), "a||\n||b\n");
    CHECK_STR(flat_of(t, STR("\"\",\"\"\n")), "|\n");
}

TEST(quotes_keep_commas_lines_and_quotes)
{
    CHECK_STR(flat_of(t, STR("\"a,b\",c\n")), "a,b|c\n");
    CHECK_STR(flat_of(t, STR("\"a\nb\r\nc\",d\n")), "a\nb\r\nc|d\n");
    CHECK_STR(flat_of(t, STR("\"say \"\"hi\"\"\",d\n")), "say \"hi\"|d\n");
    CHECK_STR(flat_of(t, STR("\"\"\"\"\n")), "\"\n");
    CHECK_STR(flat_of(t, STR("a,\"b\"")), "a|b\n");
}

TEST(a_quote_within_a_plain_field_stands_for_itself)
{
    CHECK_STR(flat_of(t, STR("5\" pot,b\n")), "5\" pot|b\n");
}

TEST(empty_lines_and_the_mark_of_byte_order_are_skipped)
{
    CHECK_STR(flat_of(t, STR("\xEF\xBB\xBF"
                             "a,b\n")),
              "a|b\n");
    CHECK_STR(flat_of(t, STR("\xEF\xBB\xBF\"a\",b\n")), "a|b\n");
    CHECK_STR(flat_of(t, STR("\n\r\na\n\n\nb\n\n")), "a\nb\n");
    CHECK_STR(flat_of(t, STR("")), "");
    CHECK_STR(flat_of(t, STR("\n\n")), "");
    CHECK_STR(flat_of(t, STR("\xEF\xBB\xBF")), "");
    CHECK_STR(flat_of(t, STR("a\n\xEF\xBB\xBF"
                             "b\n")),
              "a\n\xEF\xBB\xBF"
              "b\n");
}

TEST(rows_know_their_line_in_the_file)
{
    struct table table;

    CHECK_OK(read_all(t->arena, STR("h\n\n\"a\nb\r\nc\"\nd\r\ne\rf\n"), &table));
    CHECK_INT(table.count, 5);
    CHECK_INT(table.rows[0].line, 1);
    CHECK_INT(table.rows[1].line, 3);
    CHECK_INT(table.rows[2].line, 6);
    CHECK_INT(table.rows[3].line, 7);
    CHECK_INT(table.rows[4].line, 8);
    CHECK_INT(table.places[4].line, 9);
}

TEST(what_no_file_should_have_is_refused_with_its_line)
{
    struct table table;
    err error = read_all(t->arena, STR("a\nb,\"c"), &table);

    CHECK_ERR(error, IMPORT_INVALID);
    CHECK(str_find(error->detail, STR("line 2")) >= 0);
    error = read_all(t->arena, STR("a\n\nb,\"c\"d\n"), &table);
    CHECK_ERR(error, IMPORT_INVALID);
    CHECK(str_find(error->detail, STR("line 3")) >= 0);
}

TEST(a_row_has_at_most_512_fields)
{
    struct table table;
    struct text row = text_init(t->arena, 1024);

    for (int i = 0; i < CSV_FIELDS_MAX - 1; i++)
        text_add(&row, STR("x,"));
    CHECK_OK(read_all(t->arena, text_str(&row), &table));
    CHECK_INT(table.rows[0].fields_count, CSV_FIELDS_MAX);
    text_add(&row, STR(","));
    CHECK_ERR(read_all(t->arena, text_str(&row), &table), IMPORT_INVALID);
}

/* ---- windows ---- */

static const str FILES[] = {
    { "\xEF\xBB\xBFh1,h2\r\n\"a \"\"quoted\"\"\",\"x\r\ny\"\r\n\r\n,\r\nlast,\"\"\"\"", 57 },
    { "a,b\rc,d\r\r\"e\",f", 15 },
    { "\n\n\"one\",\"two\"\n\"th\"\"ree\",4\n", 30 },
};

/* Reads with a window that holds [place, end) and grows a byte at a time where that is too little.
 */
static void check_windows(struct test *t, str file, size_t first_end, const struct table *whole)
{
    struct csv_place place = csv_begin();
    size_t end = first_end, row = 0;

    for (;;) {
        struct csv_window window = { .bytes = str_slice(file, (size_t)place.byte,
                                                        end - (size_t)place.byte),
                                     .from = place.byte,
                                     .is_last = end == file.len };
        struct csv_row read;
        enum csv_step step;
        CHECK_OK(csv_read(t->arena, &window, &place, &read, &step));
        if (step == CSV_MORE) {
            CHECK(end < file.len);
            end++;
            continue;
        }
        if (step == CSV_END)
            break;
        CHECK_INT(read.line, whole->rows[row].line);
        CHECK_INT(read.fields_count, whole->rows[row].fields_count);
        for (size_t i = 0; i < read.fields_count; i++)
            CHECK_STR(read.fields[i], whole->rows[row].fields[i]);
        CHECK_INT(place.byte, whole->places[row].byte);
        CHECK_INT(place.line, whole->places[row].line);
        row++;
    }
    CHECK_INT(row, whole->count);
}

TEST(windows_that_end_at_any_byte_give_the_same_rows)
{
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        str file = str_of_z(FILES[i].ptr);
        struct table whole;
        CHECK_OK(read_all(t->arena, file, &whole));
        for (size_t end = 0; end <= file.len; end++)
            check_windows(t, file, end, &whole);
    }
}

TEST(reading_goes_on_from_any_place_that_it_reached)
{
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        str file = str_of_z(FILES[i].ptr);
        struct table whole;
        CHECK_OK(read_all(t->arena, file, &whole));
        for (size_t row = 0; row + 1 < whole.count; row++) {
            struct csv_place place = whole.places[row];
            struct csv_window window = { .bytes = str_slice(file, (size_t)place.byte, file.len),
                                         .from = place.byte,
                                         .is_last = true };
            struct csv_row next;
            enum csv_step step;
            CHECK_OK(csv_read(t->arena, &window, &place, &next, &step));
            CHECK_INT(step, CSV_ROW);
            CHECK_INT(next.line, whole.rows[row + 1].line);
            CHECK_STR(next.fields[0], whole.rows[row + 1].fields[0]);
        }
    }
}

/* Any bytes give rows or an error that says where; never a step beyond the window. */
TEST(any_bytes_are_read_or_refused)
{
    static const char ALPHABET[] = "\"\",\n\rab\xEF\xBB\xBF";
    uint64_t seed = 12345;

    for (int run = 0; run < 20000; run++) {
        char bytes[24];
        struct table table;
        size_t len = (size_t)(run % 24);
        arena_reset(t->arena);
        for (size_t i = 0; i < len; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = ALPHABET[(seed >> 33) % (sizeof(ALPHABET) - 1)];
        }
        err error = read_all(t->arena, str_of(bytes, len), &table);
        CHECK(error == OK || error->code == IMPORT_INVALID);
        if (error == OK && table.count > 0)
            CHECK(table.places[table.count - 1].byte <= (int64_t)len);
    }
}
