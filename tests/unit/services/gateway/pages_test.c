#include "services/gateway/pages.h"

#include "tests/lib/test.h"

static struct request answered(struct test *t, enum http_method method, enum page page)
{
    struct request request = { .arena = t->arena, .method = method };
    struct pages pages = pages_of(t->arena);
    page_answer(&pages, page, &request);
    return request;
}

static str header(const struct request *request, str name)
{
    for (int i = 0; i < request->response.headers_count; i++)
        if (str_equal(request->response.headers[i].name, name))
            return request->response.headers[i].value;
    return STR_NONE;
}

TEST(pages_are_found_by_their_path_alone)
{
    CHECK_INT(page_of(STR("/docs")), PAGE_DOCS);
    CHECK_INT(page_of(STR("/openapi.json")), PAGE_OPENAPI);
    CHECK_INT(page_of(STR("/docs/")), PAGE_NONE);
    CHECK_INT(page_of(STR("/openapi")), PAGE_NONE);
    CHECK_INT(page_of(STR("/")), PAGE_NONE);
}

TEST(the_page_may_run_its_own_script_and_nothing_else)
{
    struct request request = answered(t, HTTP_GET, PAGE_DOCS);
    str policy = header(&request, STR("Content-Security-Policy"));

    CHECK(str_starts(request.response.body, STR("<!doctype html>")));
    CHECK(str_starts(policy, STR("default-src 'none'; script-src 'sha256-")));
    CHECK(str_find(policy, STR("unsafe")) < 0);
    CHECK(str_find(policy, STR("http:")) < 0 && str_find(policy, STR("*")) < 0);
    CHECK(str_find(policy, STR("frame-ancestors 'none'")) > 0);
    CHECK_STR(header(&request, STR("X-Content-Type-Options")), "nosniff");
    CHECK_STR(header(&request, STR("Cache-Control")), "no-cache");
}

TEST(the_page_needs_nothing_from_elsewhere)
{
    struct request request = answered(t, HTTP_GET, PAGE_DOCS);
    CHECK(str_find(request.response.body, STR("src=")) < 0);
    CHECK(str_find(request.response.body, STR("@import")) < 0);
    CHECK(str_find(request.response.body, STR("innerHTML")) < 0);
}

TEST(both_have_strong_etags_that_differ)
{
    struct request docs = answered(t, HTTP_GET, PAGE_DOCS);
    struct request openapi = answered(t, HTTP_HEAD, PAGE_OPENAPI);
    str first = header(&docs, STR("ETag")), second = header(&openapi, STR("ETag"));

    CHECK_INT(first.len, 34);
    CHECK_INT(second.len, 34);
    CHECK(first.ptr[0] == '"' && second.ptr[0] == '"');
    CHECK(!str_equal(first, second));
}

TEST(pages_are_only_read)
{
    struct request request = answered(t, HTTP_DELETE, PAGE_OPENAPI);
    CHECK_INT(request.response.status, 405);
    CHECK_STR(header(&request, STR("Allow")), "GET, HEAD");
}
