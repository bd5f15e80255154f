#include "chassis/sigv4.h"

#include "base/crypto.h"
#include "tests/lib/test.h"

/* The cases "get-vanilla" and "post-vanilla" of AWS's test suite of Signature Version 4. */
static str sign(struct test *t, const char *method, const char *secret)
{
    struct sigv4_key key = { .id = STR("AKIDEXAMPLE"),
                             .secret = str_of_z(secret),
                             .region = STR("us-east-1"),
                             .service = STR("service") };
    const struct sigv4_header headers[] = { { STR("host"), STR("example.amazonaws.com") },
                                            { STR("x-amz-date"), STR("20150830T123600Z") } };
    struct sigv4_request request = { .method = str_of_z(method),
                                     .path = STR("/"),
                                     .headers = headers,
                                     .headers_count = 2,
                                     .body = STR("") };
    crypto_init();
    return sigv4_sign(t->arena, &key, &request, STR("20150830T123600Z"));
}

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define HEAD                                                                            \
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, " \
    "SignedHeaders=host;x-amz-date, Signature="

TEST(the_signatures_are_those_of_the_published_cases)
{
    CHECK_STR(sign(t, "GET", SECRET),
              HEAD "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    CHECK_STR(sign(t, "POST", SECRET),
              HEAD "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

TEST(another_secret_gives_another_signature)
{
    CHECK(!str_equal(sign(t, "GET", SECRET), sign(t, "GET", SECRET "x")));
}

TEST(a_date_is_written_without_separators)
{
    time_us at;
    CHECK(time_parse(STR("2015-08-30T12:36:00.999Z"), &at));
    CHECK_STR(sigv4_date(t->arena, at), "20150830T123600Z");
}

TEST(headers_out_of_order_are_a_broken_invariant)
{
    const struct sigv4_header headers[] = { { STR("x-amz-date"), STR("") },
                                            { STR("host"), STR("") } };
    struct sigv4_request request = { .method = STR("GET"),
                                     .path = STR("/"),
                                     .headers = headers,
                                     .headers_count = 2,
                                     .body = STR("") };
    struct sigv4_key key = { .id = STR("a"), .secret = STR("b") };
    CHECK_PANICS((void)sigv4_sign(t->arena, &key, &request, STR("20150830T123600Z")));
}
