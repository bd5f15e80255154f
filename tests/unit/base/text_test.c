#include "base/text.h"
#include "tests/lib/test.h"

#define E_ACUTE "\xc3\xa9"                                 /* U+00E9 */
#define E_AND_ACUTE "e\xcc\x81"                            /* U+0065 U+0301 */
#define A_RING "\xc3\xa5"                                  /* U+00E5 */
#define CAPITAL_A_RING "\xc3\x85"                          /* U+00C5 */
#define ANGSTROM "\xe2\x84\xab"                            /* U+212B */
#define HANGUL_GAK "\xea\xb0\x81"                          /* U+AC01 */
#define HANGUL_JAMO "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8" /* U+1100 U+1161 U+11A8 */

static str nfc(struct arena *arena, const char *s)
{
    str out;

    CHECK(text_nfc(arena, str_of_z(s), &out));
    return out;
}

static str fold(struct arena *arena, const char *s)
{
    str out;

    CHECK(text_fold(arena, str_of_z(s), &out));
    return out;
}

static str slug(struct arena *arena, const char *s) { return text_slug(arena, str_of_z(s)); }

/* UTF-8 of a code point, which may be none. */
static str encoded(char out[4], uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return str_of(out, 1);
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf00 >> len) | point);
    return str_of(out, len);
}

TEST(well_formed_text_is_valid)
{
    CHECK(utf8_valid(STR("")));
    CHECK(utf8_valid(STR_NONE));
    CHECK(utf8_valid(STR("plain, and longer than eight bytes")));
    CHECK(utf8_valid(STR("Gr\xc3\xb6\xc3\x9f"
                         "e \xe2\x82\xac \xf0\x9f\x8d\xb5")));
    CHECK(utf8_valid(STR("a\0b")));
    CHECK(utf8_valid(STR("\xef\xbf\xbf\xf4\x8f\xbf\xbf"))); /* U+FFFF, U+10FFFF */
}

TEST(every_code_point_but_surrogates_is_valid)
{
    char bytes[4];

    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
        if (utf8_valid(encoded(bytes, point)) == is_surrogate)
            FAIL("U+%04X", point);
    }
}

TEST(malformed_text_is_not_valid)
{
    static const char *const WRONG[] = {
        "\x80",
        "\xbf",
        "a\x80",
        "\xc3",
        "\xc3(",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\xaf",
        "\xe2\x82",
        "\xf0\x9f\x8d",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
        "12345678\xff",
    };
    str out;

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        str s = str_of_z(WRONG[i]);
        if (utf8_valid(s) || text_nfc(t->arena, s, &out) || text_fold(t->arena, s, &out))
            FAIL("number %zu", i);
        CHECK_STR(text_slug(t->arena, s), "");
    }
}

TEST(what_is_no_character_becomes_a_sign_that_it_was)
{
    CHECK_STR(utf8_repair(t->arena, STR("a\xff\xc3\xbc")), "a\xef\xbf\xbd\xc3\xbc");
    CHECK_STR(utf8_repair(t->arena, STR("\xe2\x82")), "\xef\xbf\xbd\xef\xbf\xbd");
    str whole = STR("Gr\xc3\xb6\xc3\x9f"
                    "e");
    CHECK(utf8_repair(t->arena, whole).ptr == whole.ptr);
}

TEST(a_head_has_no_half_of_a_character)
{
    CHECK_STR(utf8_head(STR("tea"), 3), "tea");
    CHECK_STR(utf8_head(STR("tea"), 2), "te");
    CHECK_STR(utf8_head(STR("a\xe2\x82\xac"), 4), "a\xe2\x82\xac");
    CHECK_STR(utf8_head(STR("a\xe2\x82\xac"), 3), "a");
    CHECK_STR(utf8_head(STR("a\xe2\x82\xac"), 2), "a");
    CHECK_INT(utf8_head(STR("\xe2\x82\xac"), 2).len, 0);
    CHECK_INT(utf8_head(STR("\x80\x80\x80"), 2).len, 0); /* none at all */
}

TEST(length_counts_code_points)
{
    CHECK_INT(utf8_length(STR("")), 0);
    CHECK_INT(utf8_length(STR("abc")), 3);
    CHECK_INT(utf8_length(STR(E_ACUTE)), 1);
    CHECK_INT(utf8_length(STR(E_AND_ACUTE)), 2);
    CHECK_INT(utf8_length(STR("\xf0\x9f\x8d\xb5!")), 2);
}

TEST(text_is_composed)
{
    CHECK_STR(nfc(t->arena, E_AND_ACUTE), E_ACUTE);
    CHECK_STR(nfc(t->arena, "caf" E_AND_ACUTE "s"), "caf" E_ACUTE "s");
    CHECK_STR(nfc(t->arena, ANGSTROM), CAPITAL_A_RING);
    CHECK_STR(nfc(t->arena, HANGUL_JAMO), HANGUL_GAK);
    CHECK_STR(nfc(t->arena, HANGUL_GAK), HANGUL_GAK);
}

TEST(composed_text_stays_as_it_is)
{
    CHECK_STR(nfc(t->arena, ""), "");
    CHECK_STR(nfc(t->arena, "plain"), "plain");
    CHECK_STR(nfc(t->arena, E_ACUTE), E_ACUTE);
    CHECK_STR(nfc(t->arena, "\xef\xac\x81"),
              "\xef\xac\x81"); /* the ligature fi is not taken apart */
    CHECK_STR(nfc(t->arena, "\xf0\x9f\x8d\xb5"), "\xf0\x9f\x8d\xb5");
}

TEST(marks_are_put_in_canonical_order)
{
    /* q, dot above (class 230), dot below (220): the lower class comes first. */
    CHECK_STR(nfc(t->arena, "q\xcc\x87\xcc\xa3"), "q\xcc\xa3\xcc\x87");
    /* s, dot below, dot above and the other way round compose to the same letter, U+1E69. */
    CHECK_STR(nfc(t->arena, "s\xcc\xa3\xcc\x87"), "\xe1\xb9\xa9");
    CHECK_STR(nfc(t->arena, "s\xcc\x87\xcc\xa3"), "\xe1\xb9\xa9");
}

TEST(nul_bytes_do_not_end_a_text)
{
    str out;

    CHECK(text_nfc(t->arena, STR("a\0" E_AND_ACUTE), &out));
    CHECK_STR(out, STR("a\0" E_ACUTE));
    CHECK(text_fold(t->arena, STR("A\0B"), &out));
    CHECK_STR(out, STR("a\0b"));
}

TEST(folding_is_full_and_composes)
{
    CHECK_STR(fold(t->arena, "Anna@Example.ORG"), "anna@example.org");
    CHECK_STR(fold(t->arena, "STRASSE"), fold(t->arena, "stra\xc3\x9f"
                                                        "e"));
    CHECK_STR(fold(t->arena, CAPITAL_A_RING), A_RING);
    CHECK_STR(fold(t->arena, ANGSTROM), A_RING);
    CHECK_STR(fold(t->arena, "A\xcc\x8a"), A_RING);
    CHECK_STR(fold(t->arena, "\xce\xa3"), fold(t->arena, "\xcf\x82"));         /* both sigmas */
    CHECK_STR(fold(t->arena, "\xe1\x8e\xa0"), fold(t->arena, "\xea\xad\xb0")); /* Cherokee A */
    CHECK_STR(fold(t->arena, ""), "");
}

TEST(folding_twice_changes_nothing)
{
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char bytes[4];
        str once, twice;
        if (point >= 0xd800 && point <= 0xdfff)
            continue;
        CHECK(text_fold(t->arena, encoded(bytes, point), &once));
        CHECK(text_fold(t->arena, once, &twice));
        if (!str_equal(once, twice))
            FAIL("U+%04X", point);
        arena_reset(t->arena);
    }
}

TEST(thousands_of_marks_on_one_letter_are_ordered_too)
{
    enum { PAIRS = 20000 };
    struct text text = text_init(t->arena, 0);
    str out;

    text_add_byte(&text, 'q');
    for (int i = 0; i < PAIRS; i++)
        text_add(&text, STR("\xcc\x87\xcc\xa3"));
    CHECK(text_nfc(t->arena, text_str(&text), &out));
    CHECK_INT(out.len, 1 + 4 * PAIRS);
    CHECK_STR(str_slice(out, 0, 3), "q\xcc\xa3");
    CHECK_STR(str_slice(out, 1 + 2 * PAIRS - 2, 4), "\xcc\xa3\xcc\x87");
}

TEST(a_slug_is_small_letters_digits_and_single_hyphens)
{
    CHECK_STR(slug(t->arena, "Gr\xc3\xb6\xc3\x9f"
                             "e 10 / Blau"),
              "grosse-10-blau");
    CHECK_STR(slug(t->arena, "Hello, World!"), "hello-world");
    CHECK_STR(slug(t->arena, "a_b.c\td\ne"), "a-b-c-d-e");
    CHECK_STR(slug(t->arena, "already-a-slug"), "already-a-slug");
    CHECK_STR(slug(t->arena, "Don't"), "don-t");
}

TEST(a_slug_never_begins_or_ends_with_a_hyphen)
{
    CHECK_STR(slug(t->arena, "--a--"), "a");
    CHECK_STR(slug(t->arena, " (new) "), "new");
    CHECK_STR(slug(t->arena, "tea \xf0\x9f\x8d\xb5"), "tea");
}

TEST(a_slug_of_nothing_usable_is_empty)
{
    CHECK_STR(slug(t->arena, ""), "");
    CHECK_STR(slug(t->arena, "---"), "");
    CHECK_STR(slug(t->arena, "\xf0\x9f\x8d\xb5\xef\xb8\x8f"), "");
    CHECK_STR(slug(t->arena, "\xcc\x81"), "");
    CHECK_STR(text_slug(t->arena, STR_NONE), "");
}

TEST(marks_and_strokes_leave_latin_letters)
{
    CHECK_STR(slug(t->arena, "Caf" E_AND_ACUTE " Cr\xc3\xa8me"), "cafe-creme");
    CHECK_STR(slug(t->arena, "\xc5\x81\xc3\xb3\xc5\xbcko"), "lozko"); /* Łóżko */
    CHECK_STR(slug(t->arena, "R\xc3\xb8"
                             "dgr\xc3\xb8"
                             "d"),
              "rodgrod");                                        /* Rødgrød */
    CHECK_STR(slug(t->arena, "\xc3\x86r\xc3\xb8"), "aero");      /* Ærø */
    CHECK_STR(slug(t->arena, "\xc4\x90\xe1\xbb\x93ng"), "dong"); /* Đồng */
    CHECK_STR(slug(t->arena, "I\xc4\xb1\xc4\xb0"), "iii");       /* Iıİ */
    CHECK_STR(slug(t->arena, "x\xcc\x82y"), "xy"); /* a mark that composes with nothing */
}

TEST(compatible_forms_become_plain)
{
    CHECK_STR(slug(t->arena, "\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\x91"), "ab1"); /* full width AB1 */
    CHECK_STR(slug(t->arena, "\xef\xac\x81n"), "fin");                        /* the ligature fi */
    CHECK_STR(slug(t->arena, "m\xc2\xb2"), "m2");
    CHECK_STR(slug(t->arena, "\xc2\xbd kg"), "1-2-kg");
    CHECK_STR(slug(t->arena, "\xe2\x85\xa3"), "iv"); /* the Roman numeral four */
}

TEST(other_scripts_are_kept_with_their_marks)
{
    CHECK_STR(slug(t->arena, "\xd0\xa7\xd0\xb0\xd0\xb9 10"),
              "\xd1\x87\xd0\xb0\xd0\xb9-10"); /* Чай */
    CHECK_STR(slug(t->arena, "\xe3\x81\x8c \xe8\x8c\xb6"), "\xe3\x81\x8c-\xe8\x8c\xb6"); /* が 茶 */
    CHECK_STR(slug(t->arena, HANGUL_JAMO), HANGUL_GAK);
    /* Hindi "kitab", with vowel signs that are marks. */
    CHECK_STR(slug(t->arena, "\xe0\xa4\x95\xe0\xa4\xbf\xe0\xa4\xa4\xe0\xa4\xbe\xe0\xa4\xac"),
              "\xe0\xa4\x95\xe0\xa4\xbf\xe0\xa4\xa4\xe0\xa4\xbe\xe0\xa4\xac");
}

TEST(a_slug_of_a_slug_is_itself)
{
    static const char *const TEXTS[] = { ("Gr\xc3\xb6\xc3\x9f"
                                          "e 10"),
                                         "\xd0\xa7\xd0\xb0\xd0\xb9", "\xe3\x81\x8c \xe8\x8c\xb6",
                                         "\xc2\xbd", "a - b" };

    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        str once = slug(t->arena, TEXTS[i]);
        CHECK_STR(text_slug(t->arena, once), once);
    }
}

TEST(every_code_point_gives_a_slug_that_is_valid)
{
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char bytes[4];
        if (point >= 0xd800 && point <= 0xdfff)
            continue;
        str s = text_slug(t->arena, encoded(bytes, point));
        if (!utf8_valid(s) || str_starts(s, STR("-")) || str_ends(s, STR("-")))
            FAIL("U+%04X", point);
        arena_reset(t->arena);
    }
}

TEST(controls_and_line_separators_are_seen)
{
    static const char *const CONTROLS[] = { "\x01",          "a\x1f",     "\x7f",
                                            "\xc2\x80",      "a\xc2\x9f", "\xe2\x80\xa8",
                                            "a\xe2\x80\xa9", "\x1b[0m" };

    for (size_t i = 0; i < sizeof CONTROLS / sizeof CONTROLS[0]; i++) {
        CHECK(text_has_control(str_of_z(CONTROLS[i]), false));
        CHECK(text_has_control(str_of_z(CONTROLS[i]), true));
    }
    CHECK(text_has_control(STR("a\0b"), true));
}

TEST(lines_pass_where_they_are_allowed)
{
    CHECK(!text_has_control(STR("a\r\n\tb"), true));
    CHECK(text_has_control(STR("a\nb"), false));
    CHECK(text_has_control(STR("a\rb"), false));
    CHECK(text_has_control(STR("a\tb"), false));
}

TEST(plain_text_has_no_controls)
{
    CHECK(!text_has_control(STR(""), false));
    CHECK(!text_has_control(STR_NONE, false));
    CHECK(!text_has_control(STR("Gr\xc3\xb6\xc3\x9f"
                                "e \xc2\xa0\xe2\x80\xa6\xe2\x82\xac ~"),
                            false));
    CHECK(!text_has_control(STR("cut \xc2"), false));
    CHECK(!text_has_control(STR("cut \xe2\x80"), false));
}
