/* Errors: a value that a function returns, told once, at the top.
 *
 * `err` points to a constant error; NULL is success. The codes stand in contracts/errors.tbl with
 * their kind (which maps to HTTP and gRPC status in the chassis) and their words. A broken
 * invariant is not an error: see ASSERT. */
#pragma once
#include "base/str.h"

struct arena;

enum err_kind {
#define KIND(name, http, grpc) ERR_##name,
#include "errors_kinds.tbl"
#undef KIND
    ERR_KINDS_COUNT
};

enum err_code {
#define ERROR(name, code, kind, words) name,
#include "errors.tbl"
#undef ERROR
    ERR_CODES_COUNT
};

/* One field that was refused: a JSON pointer (RFC 6901) and what to do. */
struct err_field {
    str pointer;
    str message;
};

struct err_value {
    enum err_code code;
    str detail;                     /* one sentence for a person; may name values, never secrets */
    const struct err_field *fields; /* for 422: each field that was refused */
    size_t fields_count;
    const struct err_value *cause; /* what lay below, or NULL */
    const char *place;             /* file:line where it was made */
    str subject;           /* id of what it is about (an order that was rejected), or none */
    int32_t retry_after_s; /* > 0 where the caller may try again */
};

typedef const struct err_value *err;

#define OK ((err)NULL)

/* Returns the error upward; the only macro that returns. */
#define TRY(expression)                            \
    do {                                           \
        err try_error_ = (expression);             \
        if (__builtin_expect(try_error_ != OK, 0)) \
            return try_error_;                     \
    } while (0)

#define ERR_STRINGIFY_(x) #x
#define ERR_STRINGIFY(x) ERR_STRINGIFY_(x)
#define ERR_PLACE __FILE__ ":" ERR_STRINGIFY(__LINE__)

/* Makes an error with a formatted detail in the arena; it may repeat what somebody sent: bytes that
 * are no UTF-8 become U+FFFD. Without an arena (NULL) it is a constant
 * with the words of its code, so that running out of memory can be told. */
#define fail(arena, code, ...) err_make((arena), (code), ERR_PLACE, __VA_ARGS__)
err err_make(struct arena *arena, enum err_code code, const char *place, const char *format, ...)
    __attribute__((format(printf, 4, 5), warn_unused_result));

/* The same, refusing one field: kind INVALID with its pointer. */
#define fail_field(arena, code, pointer, ...) \
    err_make_field((arena), (code), ERR_PLACE, (pointer), __VA_ARGS__)
err err_make_field(struct arena *arena, enum err_code code, const char *place, str pointer,
                   const char *format, ...)
    __attribute__((format(printf, 5, 6), warn_unused_result));

/* The same, over a cause. */
#define fail_over(arena, code, cause, ...) \
    err_make_over((arena), (code), ERR_PLACE, (cause), __VA_ARGS__)
err err_make_over(struct arena *arena, enum err_code code, const char *place, err cause,
                  const char *format, ...)
    __attribute__((format(printf, 5, 6), warn_unused_result));

/* A deep copy that lives in another arena. */
err err_copy(struct arena *arena, err error);

/* The word of a code ("stock.insufficient"), its sentence for people, its kind. */
str err_word(enum err_code code);
str err_words(enum err_code code);
enum err_kind err_kind_of(enum err_code code);

/* The code of a word, or ERR_CODES_COUNT. */
enum err_code err_code_of(str word);

/* The whole chain on one line, for the log: "word: detail (place) <- word: …". */
str err_describe(struct arena *arena, err error);

static inline bool err_is(err error, enum err_code code) { return error && error->code == code; }

/* A broken invariant: prints the report of the call in hand and ends the process. Stays on in
 * production. */
#define ASSERT(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : panic(ERR_PLACE, #condition, __func__))
_Noreturn void panic(const char *place, const char *what, const char *where);

/* What panic() prints besides: set per thread by the dispatcher ("orders.CreateOrder trace=…");
 * borrowed. */
void panic_context(const char *context);
