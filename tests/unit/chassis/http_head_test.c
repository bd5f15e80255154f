#include "chassis/http_head.h"

#include "tests/lib/test.h"

TEST(methods_are_words_in_capitals)
{
    static const char *const words[] = {
        "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"
    };
    enum http_method method;
    str text;

    for (size_t i = 0; i < 7; i++) {
        CHECK(http_method_of(str_of_z(words[i]), &method, &text));
        CHECK_STR(text, words[i]);
    }
    CHECK(!http_method_of(STR("get"), &method, &text));
    CHECK(!http_method_of(STR("CONNECT"), &method, &text));
    CHECK(!http_method_of(STR(""), &method, &text));
}

TEST(a_method_may_be_known_and_not_served)
{
    CHECK(http_method_is_known(STR("TRACE")));
    CHECK(http_method_is_known(STR("PROPFIND")));
    CHECK(!http_method_is_known(STR("BREW")));
    CHECK(!http_method_is_known(STR("CONNECT")));
    CHECK(!http_method_is_known(STR("")));
}

TEST(an_authority_has_no_separator_of_a_target)
{
    CHECK(http_is_authority(STR("shop.example:3000")));
    CHECK(http_is_authority(STR("[2001:db8::1]:80")));
    CHECK(!http_is_authority(STR("a/b")));
    CHECK(!http_is_authority(STR("a?b")));
    CHECK(!http_is_authority(STR("a@b")));
    CHECK(!http_is_authority(STR("a b")));
    CHECK(!http_is_authority(str_of("a\0b", 3)));
}

TEST(some_headers_may_come_once_and_others_again)
{
    unsigned seen = 0;
    enum http_single which;

    CHECK(!http_header_judge(&seen, STR("if-match"), STR("\"1\""), &which));
    CHECK_INT(which, HTTP_SINGLE_IF_MATCH);
    CHECK(http_header_judge(&seen, STR("if-match"), STR("\"2\""), &which));
    CHECK(!http_header_judge(&seen, STR("accept"), STR("a"), &which));
    CHECK(!http_header_judge(&seen, STR("accept"), STR("b"), &which));
    CHECK_INT(which, HTTP_SINGLES_COUNT);
}

TEST(a_header_has_no_control_character_and_host_is_one)
{
    unsigned seen = 0;
    enum http_single which;

    CHECK(!http_header_judge(&seen, STR("x"), STR("a\tb"), &which));
    CHECK(http_header_judge(&seen, STR("x"), STR("a\nb"), &which));
    CHECK(http_header_judge(&seen, STR("x"), STR("a\x7f"), &which));
    CHECK(http_header_judge(&seen, STR("host"), STR("a/b"), &which));
    seen = 0;
    CHECK(!http_header_judge(&seen, STR("host"), STR("a.b"), &which));
}

TEST(a_target_has_visible_ascii_only)
{
    CHECK(!http_target_judge("/a%20b?c=d", 10));
    CHECK(http_target_judge("/a b", 4));
    CHECK(http_target_judge("/a#b", 4));
    CHECK(http_target_judge("/\xc3\xa9", 3));
    CHECK(http_target_judge("/\0", 2));
}

static struct request split(struct test *t, enum http_method method, const char *target,
                            bool *asterisk, const char **reason)
{
    struct request request = { .arena = t->arena, .method = method, .path = str_of_z(target) };
    request.headers = arena_array(t->arena, struct header, 1);
    request.headers[request.headers_count++] = (struct header){ STR("host"), STR("given") };
    *reason = http_target_split(&request, asterisk);
    return request;
}

TEST(a_target_is_split_into_path_and_query_and_may_name_its_host)
{
    bool asterisk;
    const char *reason;
    struct request request = split(t, HTTP_GET, "/a?b?c", &asterisk, &reason);
    CHECK(!reason && !asterisk);
    CHECK_STR(request.path, "/a");
    CHECK_STR(request.query, "b?c");

    request = split(t, HTTP_GET, "http://h:80?q", &asterisk, &reason);
    CHECK(!reason);
    CHECK_STR(request.path, "/");
    CHECK_STR(request.query, "q");
    CHECK_STR(request.headers[0].value, "h:80");

    (void)split(t, HTTP_OPTIONS, "*", &asterisk, &reason);
    CHECK(!reason && asterisk);
    (void)split(t, HTTP_GET, "*", &asterisk, &reason);
    CHECK(reason);
    (void)split(t, HTTP_GET, "", &asterisk, &reason);
    CHECK(reason);
    (void)split(t, HTTP_GET, "http:///a", &asterisk, &reason);
    CHECK(reason);
}
