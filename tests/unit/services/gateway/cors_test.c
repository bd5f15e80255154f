#include "services/gateway/cors.h"

#include "tests/lib/test.h"

static struct cors cors_of(struct test *t, const char *origins, bool credentials)
{
    struct cors cors;
    CHECK_OK(cors_parse(t->arena, str_of_z(origins), credentials, 600000, &cors));
    return cors;
}

/* A request of a page; `asks` is the method that its preflight asks for, or NULL. */
static struct request request_of(struct test *t, enum http_method method, const char *origin,
                                 const char *asks)
{
    struct request request = { .arena = t->arena, .method = method };
    request.headers = arena_array(t->arena, struct header, 2);
    if (origin)
        request.headers[request.headers_count++] =
            (struct header){ STR("origin"), str_of_z(origin) };
    if (asks)
        request.headers[request.headers_count++] =
            (struct header){ STR("access-control-request-method"), str_of_z(asks) };
    return request;
}

static str extra(const struct request *request, str name)
{
    for (int i = 0; i < request->extra_count; i++)
        if (str_equal(request->extra[i].name, name))
            return request->extra[i].value;
    return STR_NONE;
}

static str header(const struct request *request, str name)
{
    for (int i = 0; i < request->response.headers_count; i++)
        if (str_equal(request->response.headers[i].name, name))
            return request->response.headers[i].value;
    return STR_NONE;
}

#define ORIGIN STR("Access-Control-Allow-Origin")
#define CREDENTIALS STR("Access-Control-Allow-Credentials")
#define EXPOSE STR("Access-Control-Expose-Headers")

/* ---- The setting ---- */

TEST(origins_are_read_as_browsers_write_them)
{
    struct cors cors = cors_of(t,
                               "https://shop.example, http://localhost:5173 ,"
                               "https://shop.example:8443,http://[::1]:3000,",
                               true);
    CHECK_INT(cors.origins_count, 4);
    CHECK_STR(cors.origins[1], "http://localhost:5173");
    CHECK_STR(cors.max_age_s, "600");
    CHECK(!cors.any && cors.credentials);
    CHECK_INT(cors_of(t, "", false).origins_count, 0);
    CHECK(cors_of(t, " * ", false).any);
}

TEST(what_no_browser_would_write_is_refused_by_name)
{
    static const char *const wrong[] = { "shop.example",
                                         "https://",
                                         "https://:80",
                                         "https://shop.example/",
                                         "https://Shop.example",
                                         "https://shop.example:443",
                                         "http://shop.example:80",
                                         "https://*.shop.example",
                                         "https://amina@shop.example",
                                         "https://a.example https://b.example",
                                         "null",
                                         "ftp://shop.example",
                                         "*, https://shop.example" };
    struct cors cors;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_ERR(cors_parse(t->arena, str_of_z(wrong[i]), false, 0, &cors), SETTING_INVALID);
    CHECK_OK(cors_parse(t->arena, STR("https://shop.example"), false, 0, &cors));
}

TEST(every_origin_never_goes_with_credentials)
{
    struct cors cors;
    CHECK_ERR(cors_parse(t->arena, STR("*"), true, 0, &cors), SETTING_INVALID);
    CHECK_OK(cors_parse(t->arena, STR("*"), false, 0, &cors));
}

TEST(a_list_of_origins_has_an_end)
{
    struct text list = text_init(t->arena, 64);
    for (int i = 0; i < CORS_ORIGINS_MAX; i++)
        text_add(&list, str_format(t->arena, "https://shop%d.example,", i));
    struct cors cors;
    CHECK_OK(cors_parse(t->arena, text_str(&list), false, 0, &cors));
    CHECK_INT(cors.origins_count, CORS_ORIGINS_MAX);
    text_add(&list, STR("https://one-more.example"));
    CHECK_ERR(cors_parse(t->arena, text_str(&list), false, 0, &cors), SETTING_INVALID);
}

/* ---- Answers ---- */

TEST(a_listed_page_may_read_the_answer_and_its_headers)
{
    struct cors cors = cors_of(t, "https://a.example,https://b.example", false);
    struct request request = request_of(t, HTTP_GET, "https://b.example", NULL);
    cors_apply(&cors, &request);
    CHECK_STR(extra(&request, ORIGIN), "https://b.example");
    CHECK_STR(extra(&request, STR("Vary")), "Origin");
    CHECK(!extra(&request, CREDENTIALS).ptr);
    static const char *const names[] = { "RateLimit", "ETag",         "Link",
                                         "Location",  "X-Request-Id", "Idempotent-Replayed" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(str_find(extra(&request, EXPOSE), str_of_z(names[i])) >= 0);

    int count = request.extra_count;
    cors_apply(&cors, &request);
    CHECK_INT(request.extra_count, count);
}

TEST(any_other_page_may_not)
{
    struct cors cors = cors_of(t, "https://a.example", true);
    static const char *const others[] = { "https://b.example",      "http://a.example",
                                          "https://a.example:8443", "https://a.example.evil",
                                          "https://evil.a.example", "null",
                                          "https://a.example, x",   "HTTPS://A.EXAMPLE",
                                          "https://a.exampl",       "*",
                                          "https://a.example/" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct request request = request_of(t, HTTP_GET, others[i], NULL);
        cors_apply(&cors, &request);
        CHECK(!extra(&request, ORIGIN).ptr && !extra(&request, CREDENTIALS).ptr);
        CHECK_STR(extra(&request, STR("Vary")), "Origin");
    }
    struct request allowed = request_of(t, HTTP_GET, "https://a.example", NULL);
    cors_apply(&cors, &allowed);
    CHECK_STR(extra(&allowed, ORIGIN), "https://a.example");
    CHECK_STR(extra(&allowed, CREDENTIALS), "true");
}

TEST(a_shop_for_every_page_says_so_and_never_with_credentials)
{
    struct cors cors = cors_of(t, "*", false);
    struct request request = request_of(t, HTTP_GET, "https://b.example", NULL);
    cors_apply(&cors, &request);
    CHECK_STR(extra(&request, ORIGIN), "*");
    CHECK(!extra(&request, CREDENTIALS).ptr && !extra(&request, STR("Vary")).ptr);
}

TEST(where_no_page_may_call_nothing_is_said)
{
    struct cors cors = cors_of(t, "", false);
    struct request request = request_of(t, HTTP_GET, "https://b.example", NULL);
    cors_apply(&cors, &request);
    CHECK_INT(request.extra_count, 0);
}

/* ---- Preflights ---- */

TEST(a_preflight_is_options_with_an_origin_and_a_method)
{
    struct request right = request_of(t, HTTP_OPTIONS, "https://a.example", "POST");
    CHECK(cors_is_preflight(&right));
    struct request get = request_of(t, HTTP_GET, "https://a.example", "POST");
    struct request no_origin = request_of(t, HTTP_OPTIONS, NULL, "POST");
    struct request no_method = request_of(t, HTTP_OPTIONS, "https://a.example", NULL);
    CHECK(!cors_is_preflight(&get));
    CHECK(!cors_is_preflight(&no_origin));
    CHECK(!cors_is_preflight(&no_method));
}

TEST(a_preflight_of_a_listed_page_hears_what_it_may_send)
{
    struct cors cors = cors_of(t, "https://a.example", false);
    struct request request = request_of(t, HTTP_OPTIONS, "https://a.example", "POST");
    cors_apply(&cors, &request);
    CHECK_OK(cors_preflight(&cors, &request));
    CHECK_INT(request.response.status, 204);
    CHECK_STR(extra(&request, ORIGIN), "https://a.example");
    CHECK(!extra(&request, EXPOSE).ptr);
    CHECK(str_find(header(&request, STR("Access-Control-Allow-Methods")), STR("DELETE")) > 0);
    str headers = header(&request, STR("Access-Control-Allow-Headers"));
    CHECK(str_find(headers, STR("Idempotency-Key")) > 0);
    CHECK(str_find(headers, STR("*")) < 0);
    CHECK_STR(header(&request, STR("Access-Control-Max-Age")), "600");
}

TEST(a_preflight_of_another_page_is_refused)
{
    struct cors cors = cors_of(t, "https://a.example", false);
    struct cors none = cors_of(t, "", false);
    struct request request = request_of(t, HTTP_OPTIONS, "https://b.example", "POST");
    CHECK_ERR(cors_preflight(&cors, &request), CORS_ORIGIN);
    CHECK_ERR(cors_preflight(&none, &request), CORS_ORIGIN);
    request = request_of(t, HTTP_OPTIONS, "https://a.example", "POST");
    CHECK_OK(cors_preflight(&cors, &request));
}
