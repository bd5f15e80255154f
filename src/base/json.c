#include "base/json.h"
#include "base/arena.h"
#include <yyjson.h>

enum {
    MEMBERS_COMPARED_MAX = 16, /* objects up to here are searched pair by pair for duplicates */
    NAME_TOLD_MAX = 64,        /* longer names are not repeated in an error */
};

static yyjson_val *inner(const struct json *value) { return (yyjson_val *)(uintptr_t)value; }

static const struct json *outer(const yyjson_val *value)
{
    return (const struct json *)(const void *)value;
}

static str string_of(yyjson_val *value)
{
    return str_of(unsafe_yyjson_get_str(value), unsafe_yyjson_get_len(value));
}

/* ---- yyjson's memory is the arena ---- */

static void *memory_take(void *arena, size_t bytes) { return arena_grow(arena, NULL, 0, bytes); }

static void *memory_grow(void *arena, void *ptr, size_t bytes_old, size_t bytes_new)
{
    return bytes_new > bytes_old ? arena_grow(arena, ptr, bytes_old, bytes_new) : ptr;
}

static void memory_drop(void *arena, void *ptr)
{
    (void)arena, (void)ptr; /* goes with the arena */
}

/* ---- What yyjson does not look at: depth, and members named twice ---- */

static err fail_duplicate(struct arena *arena, str name)
{
    if (name.len > NAME_TOLD_MAX)
        return fail(arena, JSON_DUPLICATE_MEMBER, "a member of %zu bytes is there twice", name.len);
    return fail(arena, JSON_DUPLICATE_MEMBER, "\"%" STR_F "\" is there twice", STR_A(name));
}

static err check_few_names(struct arena *arena, const str *names, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (str_equal(names[i], names[j]))
                return fail_duplicate(arena, names[i]);
    return OK;
}

/* One pass of a merge sort: the sorted runs of `run` names in `from` become runs twice as long. */
static void merge_runs(const str *from, str *to, size_t count, size_t run)
{
    for (size_t begin = 0; begin < count; begin += 2 * run) {
        size_t middle = begin + run < count ? begin + run : count;
        size_t end = begin + 2 * run < count ? begin + 2 * run : count;
        size_t a = begin, b = middle;

        for (size_t at = begin; at < end; at++) {
            bool takes_a = a < middle && (b == end || str_compare(from[a], from[b]) <= 0);
            to[at] = takes_a ? from[a++] : from[b++];
        }
    }
}

/* By sorting, because a hash could be made to collide by whoever writes the names. */
static err check_many_names(struct arena *arena, str *names, size_t count)
{
    str *from = names, *to = arena_array(arena, str, count);

    for (size_t run = 1; run < count; run *= 2) {
        merge_runs(from, to, count, run);
        str *swapped = from;
        from = to;
        to = swapped;
    }
    for (size_t i = 1; i < count; i++)
        if (str_equal(from[i - 1], from[i]))
            return fail_duplicate(arena, from[i]);
    return OK;
}

static err check_names(struct arena *arena, yyjson_val *object)
{
    size_t count = unsafe_yyjson_get_len(object);
    str few[MEMBERS_COMPARED_MAX];
    str *names = count <= MEMBERS_COMPARED_MAX ? few : arena_array(arena, str, count);

    yyjson_val *name = unsafe_yyjson_get_first(object);
    for (size_t i = 0; i < count; i++) {
        names[i] = string_of(name);
        name = unsafe_yyjson_get_next(name + 1);
    }
    return names == few ? check_few_names(arena, names, count)
                        : check_many_names(arena, names, count);
}

/* Goes no deeper than the limit, so that its own recursion has one. */
static err check_value(struct arena *arena, yyjson_val *value, int depth)
{
    if (!unsafe_yyjson_is_ctn(value))
        return OK;
    if (depth == JSON_DEPTH_MAX)
        return fail(arena, JSON_TOO_DEEP, "more than %d levels", JSON_DEPTH_MAX);

    bool is_object = unsafe_yyjson_get_type(value) == YYJSON_TYPE_OBJ;
    if (is_object)
        TRY(check_names(arena, value));

    yyjson_val *child = unsafe_yyjson_get_first(value);
    for (size_t left = unsafe_yyjson_get_len(value); left > 0; left--) {
        if (is_object)
            child++; /* the value lies behind its name */
        TRY(check_value(arena, child, depth + 1));
        child = unsafe_yyjson_get_next(child);
    }
    return OK;
}

err json_read(struct arena *arena, str bytes, const struct json **out)
{
    ASSERT(arena);
    ASSERT(out);

    const yyjson_alc memory = { memory_take, memory_grow, memory_drop, arena };
    yyjson_read_err reason;
    char *ptr = (char *)(uintptr_t)(bytes.ptr ? bytes.ptr : ""); /* it only writes when in situ */
    yyjson_doc *doc = yyjson_read_opts(ptr, bytes.len, YYJSON_READ_NUMBER_AS_RAW, &memory, &reason);
    if (!doc)
        return fail(arena, JSON_MALFORMED, "byte %zu: %s", reason.pos, reason.msg);

    yyjson_val *root = yyjson_doc_get_root(doc);
    TRY(check_value(arena, root, 0));
    *out = outer(root);
    return OK;
}

/* ---- Looking at values ---- */

enum json_kind json_kind_of(const struct json *value)
{
    ASSERT(value);

    switch (unsafe_yyjson_get_type(inner(value))) {
    case YYJSON_TYPE_BOOL: return JSON_BOOL;
    case YYJSON_TYPE_RAW: return JSON_NUMBER;
    case YYJSON_TYPE_STR: return JSON_STRING;
    case YYJSON_TYPE_ARR: return JSON_ARRAY;
    case YYJSON_TYPE_OBJ: return JSON_OBJECT;
    default: return JSON_NULL;
    }
}

const struct json *json_member(const struct json *object, str name)
{
    return outer(yyjson_obj_getn(inner(object), name.ptr ? name.ptr : "", name.len));
}

struct json_walk json_walk_of(const struct json *container)
{
    size_t count = json_count(container);

    return (struct json_walk){
        .next_ = count > 0 ? unsafe_yyjson_get_first(inner(container)) : NULL,
        .left_ = count,
        .object_ = yyjson_is_obj(inner(container)),
    };
}

bool json_next(struct json_walk *walk)
{
    ASSERT(walk);

    if (walk->left_ == 0)
        return false;

    walk->index = walk->value ? walk->index + 1 : 0;
    yyjson_val *at = inner(walk->next_);
    if (walk->object_)
        walk->name = string_of(at++);
    walk->value = outer(at);
    walk->next_ = unsafe_yyjson_get_next(at);
    walk->left_--;
    return true;
}

size_t json_count(const struct json *container)
{
    return yyjson_is_ctn(inner(container)) ? unsafe_yyjson_get_len(inner(container)) : 0;
}

str json_string(const struct json *value)
{
    ASSERT(yyjson_is_str(inner(value)));
    return string_of(inner(value));
}

bool json_bool(const struct json *value)
{
    ASSERT(yyjson_is_bool(inner(value)));
    return unsafe_yyjson_get_bool(inner(value));
}

str json_number_text(const struct json *value)
{
    ASSERT(yyjson_is_raw(inner(value)));
    return str_of(unsafe_yyjson_get_raw(inner(value)), unsafe_yyjson_get_len(inner(value)));
}

bool json_int64(const struct json *value, int64_t *out)
{
    return yyjson_is_raw(inner(value)) &&
           str_to_int64(json_number_text(value), INT64_MIN, INT64_MAX, out);
}

/* ---- Writing ---- */

/* Tells whether one of eight bytes may need an escape: below U+0020, '"' or '\\'. May be wrong
 * upward, never downward. */
static bool may_need_escape(uint64_t eight)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t quote = eight ^ (ones * '"'), backslash = eight ^ (ones * '\\');

    return ((eight - ones * 0x20) | (quote - ones) | (backslash - ones)) & ~eight & highs;
}

static bool needs_escape(char byte) { return (uint8_t)byte < 0x20 || byte == '"' || byte == '\\'; }

/* Index of the first byte from `at` on that must be escaped, or the length. */
static size_t plain_until(str s, size_t at)
{
    for (; s.len - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t eight;
        memcpy(&eight, s.ptr + at, sizeof eight);
        if (may_need_escape(eight))
            break;
    }
    while (at < s.len && !needs_escape(s.ptr[at]))
        at++;
    return at;
}

static void add_escape(struct text *out, char byte)
{
    static const char DIGITS[] = "0123456789abcdef";

    switch (byte) {
    case '"': text_add(out, STR("\\\"")); return;
    case '\\': text_add(out, STR("\\\\")); return;
    case '\b': text_add(out, STR("\\b")); return;
    case '\f': text_add(out, STR("\\f")); return;
    case '\n': text_add(out, STR("\\n")); return;
    case '\r': text_add(out, STR("\\r")); return;
    case '\t': text_add(out, STR("\\t")); return;
    default: break;
    }
    char escape[] = { '\\', 'u', '0', '0', DIGITS[byte >> 4 & 1], DIGITS[byte & 15] };
    text_add(out, str_of(escape, sizeof escape));
}

void json_add_string(struct text *out, str s)
{
    ASSERT(out);

    text_add_byte(out, '"');
    for (size_t at = 0; at < s.len;) {
        size_t end = plain_until(s, at);
        text_add(out, str_of(s.ptr + at, end - at));
        if (end < s.len)
            add_escape(out, s.ptr[end++]);
        at = end;
    }
    text_add_byte(out, '"');
}

void json_add_name(struct text *out, bool *first, str name)
{
    ASSERT(out && first);

    if (!*first)
        text_add_byte(out, ',');
    *first = false;
    json_add_string(out, name);
    text_add_byte(out, ':');
}
