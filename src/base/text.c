#include "base/text.h"
#include "base/arena.h"
#include "base/err.h"
#include <utf8proc.h>

enum {
    NFC_SAFE_BELOW = 0xCC,  /* lead bytes of U+0300 and up: what lies below is in NFC as it is */
    POINTS_MAX_OF_ONE = 18, /* the longest compatibility decomposition in Unicode: U+FDFA */
    INSERTION_SORT_MAX = 32,
    COMBINING_CLASSES = 256,
};

/* Code points in an arena. */
struct points {
    struct arena *arena;
    utf8proc_int32_t *ptr;
    size_t len, cap;
};

/* How many of the first bytes are ASCII, eight at a time. */
static size_t ascii_run(str s)
{
    size_t at = 0;

    for (; s.len - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t eight;
        memcpy(&eight, s.ptr + at, sizeof eight);
        if (eight & UINT64_C(0x8080808080808080))
            break;
    }
    while (at < s.len && !(s.ptr[at] & 0x80))
        at++;
    return at;
}

/* Takes a code point off the front; false where the bytes are no UTF-8. */
static bool take_point(str *rest, utf8proc_int32_t *point)
{
    utf8proc_ssize_t len =
        utf8proc_iterate((const utf8proc_uint8_t *)rest->ptr, (utf8proc_ssize_t)rest->len, point);
    if (len <= 0)
        return false;
    rest->ptr += len;
    rest->len -= (size_t)len;
    return true;
}

bool utf8_valid(str s)
{
    while (s.len > 0) {
        size_t ascii = ascii_run(s);
        utf8proc_int32_t point;

        s = str_slice(s, ascii, s.len);
        if (s.len > 0 && !take_point(&s, &point))
            return false;
    }
    return true;
}

str utf8_repair(struct arena *arena, str s)
{
    if (utf8_valid(s))
        return s;

    struct text out = text_init(arena, s.len + 16);
    while (s.len > 0) {
        utf8proc_int32_t point;
        str before = s;
        if (take_point(&s, &point)) {
            text_add(&out, str_of(before.ptr, before.len - s.len));
        } else {
            text_add(&out, STR("\xef\xbf\xbd"));
            s = str_of(s.ptr + 1, s.len - 1);
        }
    }
    return text_str(&out);
}

str utf8_head(str s, size_t bytes_max)
{
    if (s.len <= bytes_max)
        return s;

    size_t len = bytes_max;
    while (len > 0 && ((uint8_t)s.ptr[len] & 0xC0) == 0x80) /* inside a code point */
        len--;
    return str_slice(s, 0, len);
}

size_t utf8_length(str s)
{
    size_t points = 0;

    for (size_t i = 0; i < s.len; i++)
        points += ((uint8_t)s.ptr[i] & 0xC0) != 0x80; /* each but continuation bytes begins one */
    return points;
}

/* Appends the decomposition of a code point under utf8proc's options. */
static void points_add(struct points *points, utf8proc_int32_t point, utf8proc_option_t options)
{
    if (points->cap - points->len < POINTS_MAX_OF_ONE) {
        size_t cap = 2 * points->cap + POINTS_MAX_OF_ONE;
        points->ptr = arena_grow(points->arena, points->ptr, points->cap * sizeof *points->ptr,
                                 cap * sizeof *points->ptr);
        points->cap = cap;
    }

    int boundary = 0; /* of grapheme clusters; not asked for */
    utf8proc_ssize_t count =
        utf8proc_decompose_char(point, points->ptr + points->len,
                                (utf8proc_ssize_t)(points->cap - points->len), options, &boundary);
    ASSERT(count >= 0 && (size_t)count <= points->cap - points->len);
    points->len += (size_t)count;
}

static uint8_t combining_class_of(utf8proc_int32_t point)
{
    return (uint8_t)utf8proc_get_property(point)->combining_class;
}

static void sort_few_marks(utf8proc_int32_t *marks, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        utf8proc_int32_t mark = marks[i];
        size_t at = i;
        for (; at > 0 && combining_class_of(marks[at - 1]) > combining_class_of(mark); at--)
            marks[at] = marks[at - 1];
        marks[at] = mark;
    }
}

/* By counting: thousands of marks on one letter, which only an attacker sends, stay cheap. */
static void sort_many_marks(struct arena *arena, utf8proc_int32_t *marks, size_t count)
{
    size_t ends[COMBINING_CLASSES] = { 0 };
    utf8proc_int32_t *sorted = arena_array(arena, utf8proc_int32_t, count);

    for (size_t i = 0; i < count; i++)
        ends[combining_class_of(marks[i])]++;
    for (size_t i = 1; i < COMBINING_CLASSES; i++)
        ends[i] += ends[i - 1];
    for (size_t i = count; i > 0; i--)
        sorted[--ends[combining_class_of(marks[i - 1])]] = marks[i - 1];
    memcpy(marks, sorted, count * sizeof *marks);
}

/* Canonical order: marks behind a letter by their combining class. utf8proc's own sorting, inside
 * utf8proc_decompose, takes quadratic time. */
static void points_order(struct points *points)
{
    for (size_t i = 0; i < points->len; i++) {
        size_t first = i;
        while (i < points->len && combining_class_of(points->ptr[i]) != 0)
            i++;
        if (i - first > INSERTION_SORT_MAX)
            sort_many_marks(points->arena, points->ptr + first, i - first);
        else if (i - first > 1)
            sort_few_marks(points->ptr + first, i - first);
    }
}

/* Decomposes, orders and composes what `s` holds; false if it is not well-formed. */
static bool points_of(struct arena *arena, str s, struct points *out)
{
    struct points points = { .arena = arena };

    while (s.len > 0) {
        utf8proc_int32_t point;
        if (!take_point(&s, &point))
            return false;
        points_add(&points, point, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    }
    points_order(&points);
    points.len = (size_t)utf8proc_normalize_utf32(points.ptr, (utf8proc_ssize_t)points.len,
                                                  UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    *out = points;
    return true;
}

static void text_add_point(struct text *text, utf8proc_int32_t point)
{
    utf8proc_uint8_t bytes[4];

    text_add(text, str_of(bytes, (size_t)utf8proc_encode_char(point, bytes)));
}

static str text_of_points(const struct points *points)
{
    struct text text = text_init(points->arena, points->len + points->len / 2);

    for (size_t i = 0; i < points->len; i++)
        text_add_point(&text, points->ptr[i]);
    return text_str(&text);
}

/* Nearly all text of the West is in NFC as it comes. */
static bool is_nfc_by_range(str s)
{
    size_t at = ascii_run(s);

    while (at < s.len && (uint8_t)s.ptr[at] < NFC_SAFE_BELOW)
        at++;
    return at == s.len;
}

bool text_nfc(struct arena *arena, str s, str *out)
{
    ASSERT(arena);
    ASSERT(out);

    struct points points;
    if (is_nfc_by_range(s)) {
        if (!utf8_valid(s))
            return false;
        *out = str_copy(arena, s);
        return true;
    }
    if (!points_of(arena, s, &points))
        return false;
    *out = text_of_points(&points);
    return true;
}

bool text_fold(struct arena *arena, str s, str *out)
{
    ASSERT(arena);
    ASSERT(out);

    struct points points;
    if (ascii_run(s) == s.len) {
        *out = str_lower(arena, s);
        return true;
    }
    if (!points_of(arena, s, &points))
        return false;

    struct points folded = { .arena = arena };
    for (size_t i = 0; i < points.len; i++)
        points_add(&folded, points.ptr[i],
                   UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD);
    points_order(&folded);
    folded.len = (size_t)utf8proc_normalize_utf32(folded.ptr, (utf8proc_ssize_t)folded.len,
                                                  UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    *out = text_of_points(&folded);
    return true;
}

/* Latin letters with a stroke or joined, which Unicode does not take apart. */
static const struct {
    utf8proc_int32_t point;
    char latin[3];
} STROKES[] = {
    { 0x00E6, "ae" }, { 0x00F0, "d" }, { 0x00F8, "o" }, { 0x00FE, "th" }, { 0x0111, "d" },
    { 0x0127, "h" },  { 0x0131, "i" }, { 0x0142, "l" }, { 0x0153, "oe" }, { 0x0167, "t" },
};

struct slug {
    struct text text;
    bool is_gap;    /* a '-' is due before the next letter */
    bool is_script; /* the latest letter was kept, so its marks are */
};

static bool is_slug_byte(utf8proc_int32_t point)
{
    return (point >= 'a' && point <= 'z') || (point >= '0' && point <= '9');
}

static bool is_mark(utf8proc_category_t category)
{
    return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

static bool is_letter_or_digit(utf8proc_category_t category)
{
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           category == UTF8PROC_CATEGORY_ND;
}

static void slug_add_point(struct slug *slug, utf8proc_int32_t point)
{
    if (slug->is_gap && slug->text.len > 0)
        text_add_byte(&slug->text, '-');
    slug->is_gap = false;
    text_add_point(&slug->text, point);
}

static bool slug_add_stroke(struct slug *slug, utf8proc_int32_t point)
{
    for (size_t i = 0; i < sizeof STROKES / sizeof STROKES[0]; i++) {
        if (STROKES[i].point != point)
            continue;
        for (const char *letter = STROKES[i].latin; *letter; letter++)
            slug_add_point(slug, *letter);
        return true;
    }
    return false;
}

/* Adds a folded code point: in Latin where it can be taken apart, else as it is, else as a gap. */
static void slug_add(struct slug *slug, utf8proc_int32_t point)
{
    utf8proc_category_t category = utf8proc_category(point);
    if (is_mark(category)) {
        if (slug->is_script)
            slug_add_point(slug, point);
        return;
    }
    slug->is_script = false;
    if (slug_add_stroke(slug, point))
        return;

    utf8proc_int32_t parts[POINTS_MAX_OF_ONE];
    int boundary = 0;
    utf8proc_ssize_t count =
        utf8proc_decompose_char(point, parts, POINTS_MAX_OF_ONE,
                                UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT |
                                    UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK,
                                &boundary);
    ASSERT(count >= 0 && count <= POINTS_MAX_OF_ONE);

    bool is_latin = true;
    for (utf8proc_ssize_t i = 0; i < count; i++)
        is_latin = is_latin && is_slug_byte(parts[i]);
    if (!is_latin && is_letter_or_digit(category)) {
        slug_add_point(slug, point);
        slug->is_script = true;
        return;
    }
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        if (is_slug_byte(parts[i]))
            slug_add_point(slug, parts[i]);
        else
            slug->is_gap = true;
    }
}

str text_slug(struct arena *arena, str s)
{
    ASSERT(arena);

    str rest;
    struct slug slug = { .text = text_init(arena, s.len) };
    if (!text_fold(arena, s, &rest))
        return STR("");
    while (rest.len > 0) {
        utf8proc_int32_t point;
        bool is_taken = take_point(&rest, &point);
        ASSERT(is_taken);
        slug_add(&slug, point);
    }
    return text_str(&slug.text);
}

bool text_has_control(str s, bool allow_lines)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte = (uint8_t)s.ptr[i];
        uint8_t second = i + 1 < s.len ? (uint8_t)s.ptr[i + 1] : 0;
        uint8_t third = i + 2 < s.len ? (uint8_t)s.ptr[i + 2] : 0;

        if (byte < 0x20 || byte == 0x7F) {
            if (!allow_lines || (byte != '\n' && byte != '\r' && byte != '\t'))
                return true;
        } else if (byte == 0xC2 && second >= 0x80 && second <= 0x9F) {
            return true; /* U+0080 to U+009F */
        } else if (byte == 0xE2 && second == 0x80 && (third == 0xA8 || third == 0xA9)) {
            return true; /* U+2028 and U+2029, separators of lines and paragraphs */
        }
    }
    return false;
}
