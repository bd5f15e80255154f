#include "chassis/router.h"

static const char *const method_words[HTTP_METHODS_COUNT] = { "GET",   "HEAD",   "POST",    "PUT",
                                                              "PATCH", "DELETE", "OPTIONS", "" };

/* The template whose first difference is a literal where the other has a variable comes first. */
static bool is_more_literal(const struct call_spec *a, const struct call_spec *b)
{
    const char *p = a->path, *q = b->path;
    while (*p && *p == *q)
        p++, q++;
    return *q == '{' && *p != '{';
}

static str head_of(const struct call_spec *spec)
{
    ASSERT(spec->pieces_count > 0 && spec->pieces[0].literal && *spec->pieces[0].literal);
    return str_of_z(spec->pieces[0].literal);
}

struct router router_of_calls(struct arena *arena, const struct call_spec *const *all,
                              int all_count)
{
    ASSERT(arena && all && all_count > 0);
    struct routed_call *calls = arena_array(arena, struct routed_call, (size_t)all_count);
    int count = 0;
    for (int i = 0; i < all_count; i++) {
        if (!all[i]->routed)
            continue;
        int at = 0;
        while (at < count && !is_more_literal(all[i], calls[at].spec))
            at++;
        memmove(&calls[at + 1], &calls[at], sizeof(calls[0]) * (size_t)(count - at));
        calls[at] = (struct routed_call){ all[i], head_of(all[i]) };
        count++;
    }
    return (
        struct router){ .calls = calls, .calls_count = count, .all = all, .all_count = all_count };
}

struct router router_of(struct arena *arena, const struct service_spec *spec)
{
    ASSERT(arena && spec);
    const struct call_spec **all =
        arena_array(arena, const struct call_spec *, (size_t)spec->calls_count);
    for (int i = 0; i < spec->calls_count; i++)
        all[i] = &spec->calls[i];
    return router_of_calls(arena, all, spec->calls_count);
}

struct route_match router_match(const struct router *router, const struct request *request)
{
    ASSERT(router && request);
    if (!request->grpc)
        return router_find(router, request->method, request->path);

    /* "/orders.v1.Orders/CreateOrder" */
    str name = str_slice(request->path, 1, request->path.len);
    for (int i = 0; i < router->all_count; i++)
        if (str_equal(str_of_z(router->all[i]->name), name))
            return (struct route_match){ .spec = router->all[i] };
    return (struct route_match){ 0 };
}

/* A variable is one whole segment that is not empty. */
static bool take_variable(str *path, str *out)
{
    ptrdiff_t slash = str_find_byte(*path, '/');
    size_t len = slash < 0 ? path->len : (size_t)slash;
    *out = str_of(path->ptr, len);
    *path = str_of(path->ptr + len, path->len - len);
    return len > 0;
}

static bool has_head(str head, str path)
{
    return path.len >= head.len && path.ptr[head.len - 1] == head.ptr[head.len - 1] &&
           memcmp(path.ptr, head.ptr, head.len) == 0;
}

/* Of a path with the call's head. */
static bool is_match(const struct routed_call *call, str path, str variables[PATH_VARIABLES_MAX])
{
    const struct call_spec *spec = call->spec;
    int taken = 0;
    path = str_of(path.ptr + call->head.len, path.len - call->head.len);
    for (int i = 1; i < spec->pieces_count; i++) {
        const struct path_piece *piece = &spec->pieces[i];
        if (!piece->literal) {
            ASSERT(taken < PATH_VARIABLES_MAX);
            if (!take_variable(&path, &variables[taken++]))
                return false;
            continue;
        }
        str literal = str_of_z(piece->literal);
        if (!str_starts(path, literal))
            return false;
        path = str_of(path.ptr + literal.len, path.len - literal.len);
    }
    return path.len == 0;
}

struct route_match router_find(const struct router *router, enum http_method method, str path)
{
    struct route_match found = { 0 };
    const struct call_spec *first = NULL;
    for (int i = 0; i < router->calls_count; i++) {
        if (!has_head(router->calls[i].head, path))
            continue;
        const struct call_spec *spec = router->calls[i].spec;
        str variables[PATH_VARIABLES_MAX] = { 0 };
        if (!is_match(&router->calls[i], path, variables) ||
            (first && is_more_literal(first, spec)))
            continue;
        if (!first)
            first = spec;
        found.allow |= 1U << spec->method;
        bool takes = spec->method == method || (method == HTTP_HEAD && spec->method == HTTP_GET);
        if (!takes || found.spec)
            continue;
        found.spec = spec;
        memcpy(found.variables, variables, sizeof(variables));
    }
    if (found.allow & (1U << HTTP_GET))
        found.allow |= 1U << HTTP_HEAD;
    return found;
}

str router_allow_text(struct arena *arena, unsigned allow)
{
    struct text out = text_init(arena, 64);
    for (int i = 0; i < HTTP_METHODS_COUNT; i++) {
        if (!(allow & (1U << i)))
            continue;
        if (out.len > 0)
            text_add(&out, STR(", "));
        text_add(&out, str_of_z(method_words[i]));
    }
    return text_str(&out);
}
