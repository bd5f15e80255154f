#include "base/err.h"
#include "base/arena.h"
#include "base/text.h"
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* What each code says when there is no arena to say more in. */
static const struct err_value PLAIN[ERR_CODES_COUNT] = {
#define ERROR(name, word, kind, words) \
    [name] = { .code = name, .detail = { words, sizeof words - 1 }, .place = "base/err.c" },
#include "errors.tbl"
#undef ERROR
};

static const str WORD[ERR_CODES_COUNT] = {
#define ERROR(name, word, kind, words) [name] = { word, sizeof word - 1 },
#include "errors.tbl"
#undef ERROR
};

static const enum err_kind KIND_OF[ERR_CODES_COUNT] = {
#define ERROR(name, word, kind, words) [name] = ERR_##kind,
#include "errors.tbl"
#undef ERROR
};

static _Thread_local const char *context_in_hand;

static err make(struct arena *arena, const struct err_value *value, const char *format,
                va_list args)
{
    if (!arena)
        return &PLAIN[value->code];

    struct err_value *error = arena_new(arena, struct err_value);
    *error = *value;
    error->detail = utf8_repair(arena, str_format_va(arena, format, args));
    return error;
}

err err_make(struct arena *arena, enum err_code code, const char *place, const char *format, ...)
{
    ASSERT(code < ERR_CODES_COUNT);
    ASSERT(place && format);

    va_list args;
    va_start(args, format);
    err error = make(arena, &(struct err_value){ .code = code, .place = place }, format, args);
    va_end(args);
    return error;
}

err err_make_field(struct arena *arena, enum err_code code, const char *place, str pointer,
                   const char *format, ...)
{
    ASSERT(code < ERR_CODES_COUNT);
    ASSERT(place && format);

    va_list args;
    va_start(args, format);
    struct err_value value = { .code = code, .place = place };
    err error = make(arena, &value, format, args);
    va_end(args);
    if (!arena)
        return error;

    struct err_field *field = arena_new(arena, struct err_field);
    *field = (struct err_field){ str_copy(arena, pointer), error->detail };
    value = *error;
    value.fields = field;
    value.fields_count = 1;
    return arena_copy(arena, &value, sizeof value);
}

err err_make_over(struct arena *arena, enum err_code code, const char *place, err cause,
                  const char *format, ...)
{
    ASSERT(code < ERR_CODES_COUNT);
    ASSERT(place && format);

    va_list args;
    va_start(args, format);
    struct err_value value = { .code = code, .place = place, .cause = cause };
    err error = make(arena, &value, format, args);
    va_end(args);
    return error;
}

err err_copy(struct arena *arena, err error)
{
    if (!error)
        return OK;

    struct err_value *copy = arena_copy(arena, error, sizeof *error);
    copy->detail = str_copy(arena, error->detail);
    copy->subject = str_copy(arena, error->subject);
    copy->cause = err_copy(arena, error->cause);
    if (error->fields_count == 0)
        return copy;

    struct err_field *fields = arena_array(arena, struct err_field, error->fields_count);
    for (size_t i = 0; i < error->fields_count; i++) {
        fields[i].pointer = str_copy(arena, error->fields[i].pointer);
        fields[i].message = str_copy(arena, error->fields[i].message);
    }
    copy->fields = fields;
    return copy;
}

str err_word(enum err_code code)
{
    ASSERT(code < ERR_CODES_COUNT);
    return WORD[code];
}

str err_words(enum err_code code)
{
    ASSERT(code < ERR_CODES_COUNT);
    return PLAIN[code].detail;
}

enum err_kind err_kind_of(enum err_code code)
{
    ASSERT(code < ERR_CODES_COUNT);
    return KIND_OF[code];
}

enum err_code err_code_of(str word)
{
    enum err_code code = (enum err_code)0;

    while (code < ERR_CODES_COUNT && !str_equal(WORD[code], word))
        code++;
    return code;
}

str err_describe(struct arena *arena, err error)
{
    struct text line = text_init(arena, 256);

    if (!error)
        text_add(&line, STR("ok"));
    for (; error; error = error->cause) {
        text_add(&line, WORD[error->code]);
        text_add(&line, STR(": "));
        text_add(&line, error->detail);
        for (size_t i = 0; i < error->fields_count; i++)
            text_add_format(&line, " [%" STR_F ": %" STR_F "]", STR_A(error->fields[i].pointer),
                            STR_A(error->fields[i].message));
        text_add_format(&line, " (%s)%s", error->place, error->cause ? " <- " : "");
    }
    return text_str(&line);
}

void panic_context(const char *context) { context_in_hand = context; }

static struct iovec piece(const char *z)
{
    return (struct iovec){ .iov_base = (void *)(uintptr_t)z, .iov_len = strlen(z) };
}

_Noreturn void panic(const char *place, const char *what, const char *where)
{
    const char *context = context_in_hand;
    struct iovec report[] = {
        piece("panic: "),
        piece(place),
        piece(": "),
        piece(where),
        piece(": broken invariant: "),
        piece(what),
        piece(context ? "\n    while in " : ""),
        piece(context ? context : ""),
        piece("\n"),
    };

    /* One call, so that reports of two threads do not mix; if it fails there is no one to tell. */
    ssize_t written = writev(STDERR_FILENO, report, sizeof report / sizeof report[0]);
    (void)written;
    abort();
}
