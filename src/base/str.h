/* Strings by pointer and length.
 *
 * A `str` borrows its bytes: it is passed by value, is never NUL-terminated (except by str_z, at a
 * library's door) and lives as long as whatever owns the bytes, mostly the arena of the call. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct arena;

typedef struct str {
    const char *ptr; /* NULL only in STR_NONE, which is "absent", not "empty" */
    size_t len;
} str;

/* A literal as a str. */
#define STR(literal) ((str){ "" literal, sizeof(literal) - 1 })
#define STR_NONE ((str){ NULL, 0 })
/* For printf: "%" STR_F, STR_A(s). */
#define STR_F ".*s"
#define STR_A(s) (int)(s).len, (s).ptr

/* A str over bytes that somebody else owns. */
static inline str str_of(const void *ptr, size_t len) { return (str){ ptr, len }; }

/* A str over a NUL-terminated string; NULL gives STR_NONE. */
static inline str str_of_z(const char *z) { return z ? (str){ z, strlen(z) } : STR_NONE; }

/* Tells whether both hold the same bytes; absent and empty are equal. */
static inline bool str_equal(str a, str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The same for ASCII letters of either case (header names, schemes). */
bool str_equal_fold(str a, str b);

/* Orders by bytes: < 0, 0, > 0. */
int str_compare(str a, str b);

/* Tells whether `s` begins (ends) with `part`. */
static inline bool str_starts(str s, str part)
{
    return s.len >= part.len && str_equal(str_of(s.ptr, part.len), part);
}
bool str_ends(str s, str part);

/* It has a byte below ' ', or DEL. */
bool str_has_control(str s);

/* Index of the first `byte`, or -1. */
ptrdiff_t str_find_byte(str s, char byte);

/* Index of the first `part`, or -1. */
ptrdiff_t str_find(str s, str part);

/* The bytes from `from` on, at most `len`; clamped to what is there. */
str str_slice(str s, size_t from, size_t len);

/* Without ASCII white space at both ends. */
str str_trim(str s);

/* Splits at the first `byte`: gives what stands before it and leaves the rest in `*rest`. At the
 * end `*rest` is STR_NONE. Walk with: for (str rest = s, part; rest.ptr && (part = str_cut(&rest,
 * ','), true);). */
str str_cut(str *rest, char byte);

/* Reads a decimal integer that fills the whole of `s`: optional '-', digits, no leading '+', inside
 * [min, max]. */
bool str_to_int64(str s, int64_t min, int64_t max, int64_t *out);

/* A copy in the arena. */
str str_copy(struct arena *arena, str s);

/* A NUL-terminated copy in the arena, for a library's door. */
const char *str_z(struct arena *arena, str s);

/* printf into the arena. */
str str_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
str str_format_va(struct arena *arena, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* ASCII lower case, copied. */
str str_lower(struct arena *arena, str s);

/* A 64-bit hash (FNV-1a) for tables in memory; never stored, never compared between machines. */
uint64_t str_hash(str s);

/* Grows in an arena; its bytes may move while it grows. */
struct text {
    struct arena *arena;
    char *ptr;
    size_t len, cap;
};

/* An empty text with room for `cap` bytes. */
struct text text_init(struct arena *arena, size_t cap);

/* Makes room for `more` bytes behind what it holds, so that what is added next moves nothing. */
void text_reserve(struct text *text, size_t more);

/* Appends bytes, one byte, a formatted piece, a decimal number. */
void text_add(struct text *text, str s);
static inline void text_add_byte(struct text *text, char byte)
{
    if (__builtin_expect(text->len == text->cap, 0))
        text_reserve(text, 1);
    text->ptr[text->len++] = byte;
}
void text_add_format(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void text_add_int(struct text *text, int64_t number);

/* What it holds so far, borrowed from the text. */
static inline str text_str(const struct text *text)
{
    return (str){ text->ptr ? text->ptr : "", text->len };
}
