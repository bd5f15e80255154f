#include "chassis/setting.h"

#include "base/arena.h"
#include "base/text.h"

#include <string.h>

enum { NAME_MAX_BYTES = 64 };

static const struct setting_spec specs[SETTINGS_COUNT] = {
#define SETTING(name_, type_, standard_, min_, max_, words_) \
    [CONF_##name_] = { #name_, SETTING_##type_, standard_, min_, max_, words_ },
#include "settings.tbl"
#undef SETTING
};

const struct setting_spec *setting_spec(enum setting setting)
{
    ASSERT(setting < SETTINGS_COUNT);
    return &specs[setting];
}

/* ---- Names ---- */

/* As names are compared: upper case, words parted by '_'. */
static char name_byte(char c)
{
    if (c == '-')
        return '_';
    return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

static bool name_equal(str name, str known)
{
    if (name.len != known.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name_byte(name.ptr[i]) != known.ptr[i])
            return false;
    return true;
}

enum setting setting_find(str name, bool *is_file)
{
    ASSERT(is_file);

    size_t suffix = sizeof("_FILE") - 1;
    str stem = name.len > suffix ? str_slice(name, 0, name.len - suffix) : STR_NONE;
    if (stem.len > 0 && !name_equal(str_slice(name, stem.len, suffix), STR("_FILE")))
        stem = STR_NONE;

    for (int i = 0; i < SETTINGS_COUNT; i++) {
        str known = str_of_z(specs[i].name);
        *is_file = specs[i].type == SETTING_SECRET && name_equal(stem, known);
        if (*is_file || name_equal(name, known))
            return (enum setting)i;
    }
    *is_file = false;
    return SETTINGS_COUNT;
}

static int least(int a, int b) { return a < b ? a : b; }

/* How many letters must be put in, taken out or changed to make one of the other (Levenshtein). */
static int distance(str name, str known)
{
    int row[NAME_MAX_BYTES + 1];

    ASSERT(name.len <= NAME_MAX_BYTES && known.len <= NAME_MAX_BYTES);
    for (size_t j = 0; j <= known.len; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= name.len; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= known.len; j++) {
            int changed = diagonal + (name_byte(name.ptr[i - 1]) != known.ptr[j - 1]);
            diagonal = row[j];
            row[j] = least(changed, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[known.len];
}

/* Tells whether the known name has all words of this one at its start or end. */
static bool is_part(str name, str known)
{
    return name.len >= 4 && name.len < known.len &&
           (name_equal(name, str_slice(known, 0, name.len)) ||
            name_equal(name, str_slice(known, known.len - name.len, name.len)));
}

enum setting setting_nearest(str name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return SETTINGS_COUNT;

    enum setting nearest = SETTINGS_COUNT;
    int best = 2 + (int)name.len / 4;
    for (int i = 0; i < SETTINGS_COUNT; i++) {
        str known = str_of_z(specs[i].name);
        int far = is_part(name, known) ? 2 : distance(name, known);
        if (far < best) {
            best = far;
            nearest = (enum setting)i;
        }
    }
    return nearest;
}

static str spelled(struct arena *arena, enum setting setting, char between)
{
    str name = str_lower(arena, str_of_z(setting_spec(setting)->name));
    char *bytes = arena_copy(arena, name.ptr, name.len);

    for (size_t i = 0; i < name.len; i++)
        if (bytes[i] == '_')
            bytes[i] = between;
    return str_of(bytes, name.len);
}

str setting_flag(struct arena *arena, enum setting setting) { return spelled(arena, setting, '-'); }

str setting_key(struct arena *arena, enum setting setting) { return spelled(arena, setting, '_'); }

/* ---- Values ---- */

struct unit {
    str name;
    int64_t times;
};

static const struct unit duration_units[] = {
    { { "d", 1 }, 86400000 }, { { "h", 1 }, 3600000 }, { { "m", 1 }, 60000 },
    { { "s", 1 }, 1000 },     { { "ms", 2 }, 1 },
};
static const struct unit byte_units[] = {
    { { "GiB", 3 }, INT64_C(1) << 30 },
    { { "MiB", 3 }, INT64_C(1) << 20 },
    { { "KiB", 3 }, INT64_C(1) << 10 },
};
enum {
    DURATION_UNITS = sizeof(duration_units) / sizeof(duration_units[0]),
    BYTE_UNITS = sizeof(byte_units) / sizeof(byte_units[0])
};

/* Digits with a unit of the list, or digits alone where `plain` allows that number. */
static bool unit_parse(str text, const struct unit *units, int count, int64_t *out)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;

    int64_t number;
    if (!str_to_int64(str_slice(text, 0, digits), 0, INT64_MAX, &number))
        return false;
    str unit = str_slice(text, digits, text.len);
    if (unit.len == 0) { /* a time without its unit would be guessed; none is none in all of them */
        *out = number;
        return units == byte_units || number == 0;
    }
    for (int i = 0; i < count; i++)
        if (str_equal_fold(unit, units[i].name))
            return !__builtin_mul_overflow(number, units[i].times, out);
    return false;
}

static bool bool_parse(str text, int64_t *out)
{
    static const char *const words[] = { "false", "no", "off", "0", "true", "yes", "on", "1" };

    for (int i = 0; i < 8; i++)
        if (str_equal_fold(text, str_of_z(words[i]))) {
            *out = i >= 4;
            return true;
        }
    return false;
}

/* One line of what YAML takes for text: settings that are shown are a file of settings. */
static bool is_line(str text)
{
    return utf8_valid(text) && !text_has_control(text, false) &&
           str_find(text, STR("\xEF\xBF\xBE")) < 0 && /* U+FFFE and U+FFFF, which are */
           str_find(text, STR("\xEF\xBF\xBF")) < 0;   /* no characters */
}

/* A secret may hold any byte that a C string can. */
static bool is_text(const struct setting_spec *spec, str text)
{
    if (spec->type == SETTING_TEXT ? !is_line(text) : text.len > 0 && memchr(text.ptr, 0, text.len))
        return false;
    return (int64_t)text.len >= spec->min && (int64_t)text.len <= spec->max;
}

bool setting_parse(const struct setting_spec *spec, str text, int64_t *number)
{
    ASSERT(spec && number);

    str word = str_trim(text);
    bool is_read = false;
    switch (spec->type) {
    case SETTING_TEXT:
    case SETTING_SECRET: return is_text(spec, text);
    case SETTING_INT: return str_to_int64(word, spec->min, spec->max, number);
    case SETTING_BOOL: return bool_parse(word, number);
    case SETTING_DURATION_MS:
        is_read = unit_parse(word, duration_units, DURATION_UNITS, number);
        break;
    case SETTING_BYTES: is_read = unit_parse(word, byte_units, BYTE_UNITS, number); break;
    }
    return is_read && *number >= spec->min && *number <= spec->max;
}

static str unit_text(struct arena *arena, int64_t number, const struct unit *units, int count)
{
    for (int i = 0; i < count; i++)
        if (number > 0 && number % units[i].times == 0)
            return str_format(arena, "%lld%" STR_F, (long long)(number / units[i].times),
                              STR_A(units[i].name));
    return str_format(arena, "%lld", (long long)number);
}

str duration_text(struct arena *arena, int64_t ms)
{
    return unit_text(arena, ms, duration_units, DURATION_UNITS);
}

str bytes_text(struct arena *arena, int64_t bytes)
{
    return unit_text(arena, bytes, byte_units, BYTE_UNITS);
}

static str text_allowed(struct arena *arena, const struct setting_spec *spec)
{
    long long min = spec->min, max = spec->max;
    const char *line = spec->type == SETTING_TEXT ? ", on one line of UTF-8" : "";

    if (min == max)
        return str_format(arena, "a text of %lld bytes%s", max, line);
    if (min > 0)
        return str_format(arena, "a text of %lld to %lld bytes%s", min, max, line);
    return str_format(arena, "a text of at most %lld bytes%s", max, line);
}

str setting_allowed(struct arena *arena, const struct setting_spec *spec)
{
    ASSERT(arena && spec);

    str min, max;
    switch (spec->type) {
    case SETTING_TEXT:
    case SETTING_SECRET: return text_allowed(arena, spec);
    case SETTING_BOOL: return STR("true or false");
    case SETTING_INT:
        return str_format(arena, "a whole number from %lld to %lld", (long long)spec->min,
                          (long long)spec->max);
    case SETTING_DURATION_MS:
        min = duration_text(arena, spec->min);
        max = duration_text(arena, spec->max);
        return str_format(
            arena, "a duration from %" STR_F " to %" STR_F " (like 250ms, 10s, 15m, 24h, 30d)",
            STR_A(min), STR_A(max));
    case SETTING_BYTES:
        min = bytes_text(arena, spec->min);
        max = bytes_text(arena, spec->max);
        return str_format(
            arena, "a number of bytes from %" STR_F " to %" STR_F " (like 500, 64KiB, 16MiB)",
            STR_A(min), STR_A(max));
    }
    ASSERT(false);
    return STR_NONE;
}
