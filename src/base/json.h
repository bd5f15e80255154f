/* JSON (RFC 8259), by yyjson (its only room): a strict reader over one buffer, and a writer into a
 * text. */
#pragma once
#include "base/err.h"

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* A value inside a document that was read; borrowed from the arena it was read into. */
struct json; /* opaque: yyjson's value */

enum { JSON_DEPTH_MAX = 32 };

/* Reads a whole document: UTF-8, no comments, no trailing bytes, no duplicate members at any level,
 * at most JSON_DEPTH_MAX deep, no byte-order mark. Fails with JSON_MALFORMED (its detail says
 * where: byte and reason), JSON_DUPLICATE_MEMBER or JSON_TOO_DEEP. Numbers keep their text. */
err json_read(struct arena *arena, str bytes, const struct json **out);

/* What a value is; asked before it is looked at. */
enum json_kind json_kind_of(const struct json *value);

/* A member by name, or NULL; what is no object has none, and NULL neither. */
const struct json *json_member(const struct json *object, str name);

/* Walks members or elements:
 *     struct json_walk walk = json_walk_of(v); while (json_next(&walk)) { walk.name; walk.value; }
 */
struct json_walk {
    str name; /* of the member; none in an array */
    const struct json *value;
    size_t index;
    const void *next_;
    size_t left_;
    bool object_;
};
struct json_walk json_walk_of(const struct json *container);
bool json_next(struct json_walk *walk);

/* How many members or elements; none in what is no container. */
size_t json_count(const struct json *container);

/* The text of a string; of another kind is a broken invariant, here and below. It may hold U+0000:
 * the validator looks for it. */
str json_string(const struct json *value);
bool json_bool(const struct json *value);

/* The number as it was written ("1e400", "12.50"). */
str json_number_text(const struct json *value);

/* An integer inside int64, written without fraction or exponent; else (also no number) false. */
bool json_int64(const struct json *value, int64_t *out);

/* Writing: the caller keeps commas right by using these; strings are escaped by RFC 8259, UTF-8
 * kept. */
void json_add_string(struct text *out, str s);
/* A member name with its colon, and the comma before it if `*first` is false (which it then is). */
void json_add_name(struct text *out, bool *first, str name);
