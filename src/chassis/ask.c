#include "chassis/ask.h"
#include "base/arena.h"
#include "base/json.h"
#include "os/dial.h"

enum { ANSWER_BYTES_MAX = 4 << 20, HEADERS_MAX_READ = 100 };

static str request_text(struct arena *arena, const char *method, const char *path, str json)
{
    struct text out = text_init(arena, 512 + json.len);
    text_add_format(&out, "%s %s HTTP/1.1\r\nHost: duka\r\nConnection: close\r\n", method, path);
    if (json.ptr)
        text_add_format(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                        json.len);
    text_add(&out, STR("\r\n"));
    text_add(&out, json);
    return text_str(&out);
}

err ask_operator(struct arena *arena, str socket_path, const char *method, const char *path,
                 str json, int64_t timeout_ms, struct asked *out)
{
    ASSERT(arena && method && path && out);

    str answer;
    TRY(dial_unix(arena, socket_path, request_text(arena, method, path, json), ANSWER_BYTES_MAX,
                  timeout_ms, &answer));
    return asked_read(arena, answer, out);
}

/* A line without its end; the rest is behind it. */
static bool cut_line(str *rest, str *line)
{
    ptrdiff_t at = str_find(*rest, STR("\r\n"));
    if (at < 0)
        return false;
    *line = str_slice(*rest, 0, (size_t)at);
    *rest = str_slice(*rest, (size_t)at + 2, rest->len);
    return true;
}

/* "HTTP/1.1 200 OK" */
static bool read_status(str line, int *status)
{
    int64_t number;
    if (!str_starts(line, STR("HTTP/1.")) || line.len < 12 || line.ptr[8] != ' ' ||
        !str_to_int64(str_slice(line, 9, 3), 100, 599, &number))
        return false;
    *status = (int)number;
    return true;
}

err asked_read(struct arena *arena, str bytes, struct asked *out)
{
    ASSERT(arena && out);

    str rest = bytes, line;
    struct asked asked;
    if (!cut_line(&rest, &line) || !read_status(line, &asked.status))
        return fail(arena, UPSTREAM_FAILED,
                    bytes.len ? "it does not answer in HTTP" : "it closed without an answer");
    int64_t length = -1;
    for (int headers = 0;; headers++) {
        if (!cut_line(&rest, &line) || headers > HEADERS_MAX_READ)
            return fail(arena, UPSTREAM_FAILED, "its answer is cut short");
        if (line.len == 0)
            break;
        str value = line;
        str name = str_cut(&value, ':');
        if (str_equal_fold(name, STR("content-length")) &&
            !str_to_int64(str_trim(value), 0, ANSWER_BYTES_MAX, &length))
            return fail(arena, UPSTREAM_FAILED, "its answer has no length that can be read");
    }
    if (length > (int64_t)rest.len)
        return fail(arena, UPSTREAM_FAILED, "its answer is cut short");
    asked.body = length >= 0 ? str_slice(rest, 0, (size_t)length) : rest;
    *out = asked;
    return OK;
}

static str text_member(const struct json *object, str name)
{
    const struct json *value = json_member(object, name);
    return value && json_kind_of(value) == JSON_STRING ? json_string(value) : STR("");
}

static void add_fields(struct text *out, const struct json *errors)
{
    if (!errors || json_kind_of(errors) != JSON_ARRAY)
        return;
    struct json_walk walk = json_walk_of(errors);
    while (json_next(&walk)) {
        if (json_kind_of(walk.value) != JSON_OBJECT)
            continue;
        str pointer = text_member(walk.value, STR("pointer"));
        str message = text_member(walk.value, STR("message"));
        text_add_format(out, "\n  %" STR_F ": %" STR_F, STR_A(pointer), STR_A(message));
    }
}

str asked_refusal(struct arena *arena, const struct asked *asked)
{
    ASSERT(arena && asked);

    const struct json *problem;
    struct text out = text_init(arena, 256);
    if (json_read(arena, asked->body, &problem) != OK || json_kind_of(problem) != JSON_OBJECT ||
        text_member(problem, STR("code")).len == 0) {
        text_add_format(&out, "The shop answers with status %d.", asked->status);
        return text_str(&out);
    }
    str detail = text_member(problem, STR("detail"));
    text_add(&out, text_member(problem, STR("title")));
    text_add_format(&out, " (%" STR_F ")", STR_A(text_member(problem, STR("code"))));
    const struct json *errors = json_member(problem, STR("errors"));
    if (detail.len > 0 && !errors)
        text_add_format(&out, "\n  %" STR_F, STR_A(detail));
    add_fields(&out, errors);
    return text_str(&out);
}
