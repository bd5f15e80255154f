#include "base/str.h"
#include "base/arena.h"
#include "base/err.h"
#include <stdio.h>

/* Most formatted pieces fit here and are printed once. */
enum { FORMAT_BYTES_FIRST = 256, TEXT_BYTES_FIRST = 64, INT64_TEXT_MAX = 20 };

static char lower_of(char byte) { return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte; }

static bool is_space(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

bool str_equal_fold(str a, str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower_of(a.ptr[i]) != lower_of(b.ptr[i]))
            return false;
    return true;
}

int str_compare(str a, str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool str_ends(str s, str part)
{
    return s.len >= part.len && str_equal(str_slice(s, s.len - part.len, part.len), part);
}

ptrdiff_t str_find_byte(str s, char byte)
{
    const char *found = s.len > 0 ? memchr(s.ptr, byte, s.len) : NULL;

    return found ? found - s.ptr : -1;
}

ptrdiff_t str_find(str s, str part)
{
    if (part.len == 0)
        return 0;

    const char *found = s.len > 0 ? memmem(s.ptr, s.len, part.ptr, part.len) : NULL;
    return found ? found - s.ptr : -1;
}

/* Eight bytes, one of which may be below ' ' or DEL: what is not ASCII may be taken for it. */
static bool is_suspicious(const char *bytes)
{
    enum { BYTE_MAX = 0xff };
    const uint64_t ones = UINT64_MAX / BYTE_MAX, highs = ones << 7;
    uint64_t eight;

    memcpy(&eight, bytes, sizeof eight);
    return (((eight - ones * ' ') | ((eight ^ (ones * 0x7f)) - ones)) & highs) != 0;
}

bool str_has_control(str s)
{
    size_t at = 0;

    while (s.len - at >= sizeof(uint64_t) && !is_suspicious(s.ptr + at))
        at += sizeof(uint64_t);
    /* The rest by the last eight, most of which were seen already. */
    if (at > 0 && s.len - at < sizeof(uint64_t) && !is_suspicious(s.ptr + s.len - sizeof(uint64_t)))
        return false;
    for (; at < s.len; at++)
        if ((unsigned char)s.ptr[at] < ' ' || s.ptr[at] == 0x7f)
            return true;
    return false;
}

str str_slice(str s, size_t from, size_t len)
{
    if (!s.ptr)
        return STR_NONE;
    if (from > s.len)
        from = s.len;
    if (len > s.len - from)
        len = s.len - from;
    return (str){ s.ptr + from, len };
}

str str_trim(str s)
{
    while (s.len > 0 && is_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

str str_cut(str *rest, char byte)
{
    ASSERT(rest);

    str all = *rest;
    ptrdiff_t at = str_find_byte(all, byte);
    if (at < 0) {
        *rest = STR_NONE;
        return all;
    }
    *rest = str_slice(all, (size_t)at + 1, all.len);
    return str_slice(all, 0, (size_t)at);
}

bool str_to_int64(str s, int64_t min, int64_t max, int64_t *out)
{
    ASSERT(min <= max);
    ASSERT(out);

    bool negative = s.len > 0 && s.ptr[0] == '-';
    size_t first = negative ? 1 : 0;
    if (s.len == first)
        return false;

    int64_t number = 0;
    for (size_t i = first; i < s.len; i++) {
        int digit = s.ptr[i] - '0';
        if (digit < 0 || digit > 9)
            return false;
        /* Downward for negatives, so that INT64_MIN is reached without its positive twin. */
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, negative ? -digit : digit, &number))
            return false;
    }
    if (number < min || number > max)
        return false;
    *out = number;
    return true;
}

str str_copy(struct arena *arena, str s)
{
    return s.ptr ? str_of(str_z(arena, s), s.len) : STR_NONE;
}

const char *str_z(struct arena *arena, str s)
{
    struct text text = text_init(arena, s.len + 1);

    text_add(&text, s);
    text.ptr[s.len] = '\0';
    return text.ptr;
}

str str_format(struct arena *arena, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    str s = str_format_va(arena, format, args);
    va_end(args);
    return s;
}

str str_format_va(struct arena *arena, const char *format, va_list args)
{
    ASSERT(arena);
    ASSERT(format);

    char first[FORMAT_BYTES_FIRST];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(first, sizeof first, format, args);
    ASSERT(len >= 0);

    char *ptr = arena_alloc(arena, (size_t)len + 1, 1);
    if ((size_t)len < sizeof first)
        memcpy(ptr, first, (size_t)len);
    else
        vsnprintf(ptr, (size_t)len + 1, format, again);
    va_end(again);
    return str_of(ptr, (size_t)len);
}

str str_lower(struct arena *arena, str s)
{
    char *ptr = arena_alloc(arena, s.len, 1);

    for (size_t i = 0; i < s.len; i++)
        ptr[i] = lower_of(s.ptr[i]);
    return s.ptr ? str_of(ptr, s.len) : STR_NONE;
}

uint64_t str_hash(str s)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (uint8_t)s.ptr[i]) * UINT64_C(0x100000001b3);
    return hash;
}

struct text text_init(struct arena *arena, size_t cap)
{
    ASSERT(arena);

    /* Grown out of nothing, because such bytes are not zeroed in vain. */
    return (struct text){ .arena = arena, .ptr = arena_grow(arena, NULL, 0, cap), .cap = cap };
}

void text_reserve(struct text *text, size_t more)
{
    ASSERT(text && text->arena);

    if (__builtin_expect(more <= text->cap - text->len, 1))
        return;

    size_t cap = text->cap < TEXT_BYTES_FIRST ? TEXT_BYTES_FIRST : 2 * text->cap;
    if (cap - text->len < more)
        cap = text->len + more;
    text->ptr = arena_grow(text->arena, text->ptr, text->cap, cap);
    text->cap = cap;
}

void text_add(struct text *text, str s)
{
    ASSERT(text);

    if (s.len == 0)
        return;
    if (s.len > text->cap - text->len)
        text_reserve(text, s.len);
    memcpy(text->ptr + text->len, s.ptr, s.len);
    text->len += s.len;
}

void text_add_format(struct text *text, const char *format, ...)
{
    ASSERT(text && text->arena);
    ASSERT(format);

    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = text->cap - text->len;
    int len = vsnprintf(text->ptr ? text->ptr + text->len : NULL, room, format, args);
    ASSERT(len >= 0);

    if ((size_t)len >= room) {
        text_reserve(text, (size_t)len + 1); /* vsnprintf ends with a NUL that is not counted */
        vsnprintf(text->ptr + text->len, (size_t)len + 1, format, again);
    }
    text->len += (size_t)len;
    va_end(again);
    va_end(args);
}

void text_add_int(struct text *text, int64_t number)
{
    char digits[INT64_TEXT_MAX];
    size_t at = sizeof digits;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;

    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0)
        digits[--at] = '-';
    text_add(text, str_of(digits + at, sizeof digits - at));
}
