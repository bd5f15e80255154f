#include "services/gateway/cors.h"

#include <string.h>

static const char METHODS[] = "GET, HEAD, POST, PUT, PATCH, DELETE";

/* What our calls read; Content-Type because only the simple ones need no leave. */
static const char REQUEST_HEADERS[] = "Authorization, Content-Type, Idempotency-Key, If-Match, "
                                      "If-None-Match, Prefer, X-Request-Id, traceparent, "
                                      "tracestate";

/* What a page may read besides what browsers always show. */
static const char EXPOSED_HEADERS[] = "Allow, ETag, Idempotent-Replayed, Link, Location, "
                                      "RateLimit, RateLimit-Policy, Retry-After, traceparent, "
                                      "WWW-Authenticate, X-Request-Id";

/* ---- The setting ---- */

static err origin_fail(struct arena *arena, str text, const char *why)
{
    return fail(arena, SETTING_INVALID,
                "CORS_ORIGINS: \"%" STR_F "\" %s; give origins such as https://shop.example",
                STR_A(text), why);
}

/* Browsers write an origin in one way only, and it is compared byte by byte. */
static err origin_check(struct arena *arena, str origin)
{
    bool is_tls = str_starts(origin, STR("https://"));
    if (!is_tls && !str_starts(origin, STR("http://")))
        return origin_fail(arena, origin, "does not begin with https:// or http://");

    size_t scheme = is_tls ? strlen("https://") : strlen("http://");
    str authority = str_slice(origin, scheme, origin.len);
    if (authority.len == 0 || authority.ptr[0] == ':')
        return origin_fail(arena, origin, "names no host");
    for (size_t i = 0; i < authority.len; i++) {
        char c = authority.ptr[i];
        bool is_plain =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._:[]", c));
        if (!is_plain)
            return origin_fail(arena, origin,
                               "is more than a scheme, a lower-case host and a port");
    }
    if (str_ends(authority, is_tls ? STR(":443") : STR(":80")))
        return origin_fail(arena, origin, "names the port that browsers leave out");
    return OK;
}

err cors_parse(struct arena *arena, str origins, bool credentials, int64_t max_age_ms,
               struct cors *out)
{
    ASSERT(arena && out);

    str *list = arena_array(arena, str, CORS_ORIGINS_MAX);
    struct cors cors = { .origins = list, .credentials = credentials };
    for (str rest = origins, part; rest.ptr && (part = str_trim(str_cut(&rest, ',')), true);) {
        if (part.len == 0)
            continue;
        if (str_equal(part, STR("*"))) {
            cors.any = true;
            continue;
        }
        if (cors.origins_count == CORS_ORIGINS_MAX)
            return fail(arena, SETTING_INVALID, "CORS_ORIGINS holds at most %d", CORS_ORIGINS_MAX);
        TRY(origin_check(arena, part));
        list[cors.origins_count++] = str_copy(arena, part);
    }
    if (cors.any && cors.origins_count > 0)
        return origin_fail(arena, STR("*"), "stands for every origin, so it stands alone");
    if (cors.any && credentials)
        return fail(arena, SETTING_INVALID,
                    "CORS_CREDENTIALS needs origins by name: every page could act for its reader "
                    "where CORS_ORIGINS is *");
    cors.max_age_s = str_format(arena, "%lld", (long long)(max_age_ms / 1000));
    *out = cors;
    return OK;
}

/* ---- Requests ---- */

static bool is_listed(const struct cors *cors, str origin)
{
    for (int i = 0; i < cors->origins_count; i++)
        if (str_equal(cors->origins[i], origin))
            return true;
    return false;
}

bool cors_is_preflight(const struct request *request)
{
    ASSERT(request);
    return request->method == HTTP_OPTIONS && request_header(request, STR("origin")).ptr &&
           request_header(request, STR("access-control-request-method")).ptr;
}

static void extra_add(struct request *request, str name, str value)
{
    ASSERT(request->extra_count < (int)(sizeof(request->extra) / sizeof(request->extra[0])));
    request->extra[request->extra_count++] = (struct header){ name, value };
}

static bool has_extra(const struct request *request, str name)
{
    for (int i = 0; i < request->extra_count; i++)
        if (str_equal(request->extra[i].name, name))
            return true;
    return false;
}

void cors_apply(const struct cors *cors, struct request *request)
{
    ASSERT(cors && request);
    static const str allow_origin = { "Access-Control-Allow-Origin", 27 };
    static const str vary = { "Vary", 4 };

    if ((!cors->any && cors->origins_count == 0) || has_extra(request, allow_origin) ||
        has_extra(request, vary))
        return;
    /* A cache between must not give one page's answer to another. */
    if (!cors->any)
        extra_add(request, vary, STR("Origin"));

    str origin = request_header(request, STR("origin"));
    if (!origin.ptr || (!cors->any && !is_listed(cors, origin)))
        return;
    extra_add(request, allow_origin, cors->any ? STR("*") : origin);
    if (cors->credentials)
        extra_add(request, STR("Access-Control-Allow-Credentials"), STR("true"));
    if (!cors_is_preflight(request))
        extra_add(request, STR("Access-Control-Expose-Headers"), str_of_z(EXPOSED_HEADERS));
}

err cors_preflight(const struct cors *cors, struct request *request)
{
    ASSERT(cors && request && cors_is_preflight(request));

    str origin = request_header(request, STR("origin"));
    if (!cors->any && !is_listed(cors, origin))
        return fail(request->arena, CORS_ORIGIN, "%" STR_F " is not one of them",
                    STR_A(str_slice(origin, 0, 200)));
    request->response = (struct response){ .status = 204 };
    response_add(&request->response, STR("Access-Control-Allow-Methods"), str_of_z(METHODS));
    response_add(&request->response, STR("Access-Control-Allow-Headers"),
                 str_of_z(REQUEST_HEADERS));
    response_add(&request->response, STR("Access-Control-Max-Age"), cors->max_age_s);
    return OK;
}
