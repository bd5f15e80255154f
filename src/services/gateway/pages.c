#include "services/gateway/pages.h"

#include "base/crypto.h"
#include "gen/docs_page.h"
#include "gen/openapi.h"

enum { ETAG_HEX = 32 };

enum page page_of(str path)
{
    if (str_equal(path, STR("/openapi.json")))
        return PAGE_OPENAPI;
    if (str_equal(path, STR("/docs")))
        return PAGE_DOCS;
    return PAGE_NONE;
}

static str openapi(void) { return str_of(openapi_json, openapi_json_len); }

struct pages pages_of(struct arena *arena)
{
    ASSERT(arena);

    struct sha256 digest = sha256_of(openapi());
    str digits = hex(arena, str_of(digest.bytes, sizeof(digest.bytes)));
    return (struct pages){ .openapi_etag = str_format(arena, "\"%.*s\"", ETAG_HEX, digits.ptr) };
}

static void docs_answer(struct request *request)
{
    response_page(request, STR("text/html; charset=utf-8"), str_of(docs_page, docs_page_len),
                  str_of_z(docs_page_etag));
    response_add(&request->response, STR("Content-Security-Policy"), str_of_z(docs_page_policy));
    response_add(&request->response, STR("Referrer-Policy"), STR("no-referrer"));
}

void page_answer(const struct pages *pages, enum page page, struct request *request)
{
    ASSERT(pages && request && page != PAGE_NONE);

    if (request->method != HTTP_GET && request->method != HTTP_HEAD) {
        response_problem(request, fail(request->arena, METHOD_NOT_ALLOWED, "This is a page."));
        response_add(&request->response, STR("Allow"), STR("GET, HEAD"));
        return;
    }
    if (page == PAGE_OPENAPI)
        response_page(request, STR("application/json"), openapi(), pages->openapi_etag);
    else
        docs_answer(request);
    response_add(&request->response, STR("Cache-Control"), STR("no-cache"));
    response_add(&request->response, STR("X-Content-Type-Options"), STR("nosniff"));
}
