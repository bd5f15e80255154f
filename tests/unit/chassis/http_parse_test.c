#include "chassis/http_parse.h"

#include "tests/lib/test.h"

/* What reading some bytes gave: the requests one after another as text, or the refusal. */
struct reader {
    struct arena *arena;
    struct http_parse_limits limits;
    uint32_t body_bytes_max;
    struct http_parse parse;
    struct request request;
    struct text told;
    enum err_code failure; /* ERR_CODES_COUNT: none */
    bool open;             /* a request is begun and not complete */
};

static void told(struct reader *reader)
{
    struct request *request = &reader->request;
    struct text *out = &reader->told;

    text_add_format(out, "%" STR_F " [%" STR_F "] [%" STR_F "]%s%s", STR_A(request->method_text),
                    STR_A(request->path), STR_A(request->query),
                    reader->parse.http_1_0 ? " 1.0" : "", reader->parse.keep_alive ? "" : " close");
    for (int i = 0; i < request->headers_count; i++)
        text_add_format(out, " %" STR_F "=%" STR_F, STR_A(request->headers[i].name),
                        STR_A(request->headers[i].value));
    text_add_format(out, " {%" STR_F "}\n", STR_A(request->body));
}

static struct reader *reader_of(struct test *t)
{
    struct reader *reader = arena_new(t->arena, struct reader);
    reader->arena = t->arena;
    reader->limits = (struct http_parse_limits){ .head_bytes_max = 2048, .target_bytes_max = 512 };
    reader->body_bytes_max = 100000;
    reader->told = text_init(t->arena, 256);
    reader->failure = ERR_CODES_COUNT;
    http_parse_init(&reader->parse, &reader->limits);
    return reader;
}

static void reader_feed(struct reader *reader, const char *bytes, size_t len)
{
    size_t at = 0, used;

    while (at < len && reader->failure == ERR_CODES_COUNT) {
        if (!reader->open) {
            reader->request = (struct request){ .arena = reader->arena };
            http_parse_begin(&reader->parse, &reader->request);
            reader->open = true;
        }
        enum http_parse_event event = http_parse_feed(&reader->parse, bytes + at, len - at, &used);
        at += used;
        if (event == HTTP_PARSE_HEAD) {
            reader->parse.body_bytes_max = reader->body_bytes_max;
            event = http_parse_feed(&reader->parse, bytes + at, len - at, &used);
            at += used;
        }
        if (event == HTTP_PARSE_FAILED) {
            reader->failure = reader->parse.failure;
            CHECK(reader->parse.reason && reader->parse.reason[0]);
        } else if (event == HTTP_PARSE_END) {
            told(reader);
            reader->open = false;
        }
    }
}

/* Reads a copy of exactly these bytes, so that a step beyond them is seen. */
static struct reader *read_bytes(struct test *t, str bytes)
{
    struct reader *reader = reader_of(t);
    reader_feed(reader, arena_copy(t->arena, bytes.ptr, bytes.len), bytes.len);
    return reader;
}

static str told_of(struct test *t, str bytes)
{
    struct reader *reader = read_bytes(t, bytes);
    if (reader->failure != ERR_CODES_COUNT)
        FAIL("refused: %s (\"%" STR_F "\")", reader->parse.reason, STR_A(bytes));
    return text_str(&reader->told);
}

static void check_refused(struct test *t, str bytes, enum err_code code)
{
    struct reader *reader = read_bytes(t, bytes);
    if (reader->failure == ERR_CODES_COUNT)
        FAIL("taken as \"%" STR_F "\"%s: \"%" STR_F "\"", STR_A(text_str(&reader->told)),
             reader->open ? " and waiting" : "", STR_A(bytes));
    CHECK_STR(err_word(reader->failure), err_word(code));
}

#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"

/* ---- What is read ---- */

TEST(a_request_is_read_whole)
{
    CHECK_STR(told_of(t, STR("GET /products?q=a%20b&x HTTP/1.1\r\nHost: shop:80\r\n"
                             "X-Mixed-Case:  some value \t\r\nEmpty:\r\n\r\n")),
              "GET [/products] [q=a%20b&x] host=shop:80 x-mixed-case=some value empty= {}\n");
}

TEST(each_method_of_ours_is_known)
{
    static const char *const methods[] = { "GET",   "HEAD",   "POST",   "PUT",
                                           "PATCH", "DELETE", "OPTIONS" };
    for (int i = 0; i < HTTP_OTHER; i++) {
        struct reader *reader =
            read_bytes(t, str_format(t->arena, "%s /x HTTP/1.1\r\nHost: h\r\n\r\n", methods[i]));
        CHECK_INT(reader->failure, ERR_CODES_COUNT);
        CHECK_INT(reader->request.method, i);
        CHECK_STR(reader->request.method_text, methods[i]);
    }
}

TEST(bodies_come_by_length_or_in_chunks)
{
    CHECK_STR(told_of(t, STR(POST "Content-Length: 5\r\n\r\nhello")),
              "POST [/] [] host=h content-length=5 {hello}\n");
    CHECK_STR(told_of(t, STR(POST "Transfer-Encoding: chunked\r\n\r\n"
                                  "5\r\nhello\r\n1;x=y;z=\"q\"\r\n \r\n5\r\nworld\r\n0\r\n\r\n")),
              "POST [/] [] host=h transfer-encoding=chunked {hello world}\n");
    CHECK_STR(told_of(t, STR(POST "Transfer-Encoding: Chunked\r\n\r\n"
                                  "1\r\na\r\n0\r\nTrailer: x\r\n\r\n")),
              "POST [/] [] host=h transfer-encoding=Chunked {a}\n");
    CHECK_STR(told_of(t, STR(POST "Content-Length: 0\r\n\r\n")),
              "POST [/] [] host=h content-length=0 {}\n");
}

TEST(requests_follow_one_another)
{
    CHECK_STR(told_of(t, STR(GET "\r\n" POST "Content-Length: 1\r\n\r\nx"
                                 "HEAD /y HTTP/1.1\r\nHost: h\r\n\r\n")),
              "GET [/] [] host=h {}\nPOST [/] [] host=h content-length=1 {x}\n"
              "HEAD [/y] [] host=h {}\n");
    CHECK_STR(told_of(t, STR("\r\n\r\n" GET "\r\n")), "GET [/] [] host=h {}\n");
}

TEST(the_same_bytes_mean_the_same_wherever_they_are_split)
{
    str bytes =
        STR("POST /orders?limit=1 HTTP/1.1\r\nHost: h\r\nX-Long-Name: v1 v2\r\n"
            "Transfer-Encoding: chunked\r\n\r\n5;e=1\r\nhello\r\n3\r\nyou\r\n0\r\nT: 1\r\n\r\n"
            "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
            "GET /last HTTP/1.1\r\nHost: h\r\n\r\n");
    str whole = told_of(t, bytes);

    for (size_t cut = 1; cut < bytes.len; cut++) {
        struct reader *reader = reader_of(t);
        reader_feed(reader, arena_copy(t->arena, bytes.ptr, cut), cut);
        reader_feed(reader, arena_copy(t->arena, bytes.ptr + cut, bytes.len - cut),
                    bytes.len - cut);
        CHECK_INT(reader->failure, ERR_CODES_COUNT);
        CHECK_STR(text_str(&reader->told), whole);
    }

    struct reader *reader = reader_of(t);
    for (size_t i = 0; i < bytes.len; i++)
        reader_feed(reader, arena_copy(t->arena, bytes.ptr + i, 1), 1);
    CHECK_STR(text_str(&reader->told), whole);
}

TEST(a_refusal_is_the_same_wherever_the_bytes_are_split)
{
    static const struct {
        const char *bytes;
        enum err_code code;
    } cases[] = {
        { "FOOBAR / HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_METHOD_UNKNOWN },
        { "\r\nFOO / HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_METHOD_UNKNOWN },
        { "GET / HTTP/3.0\r\nHost: h\r\n\r\n", HTTP_VERSION },
        { POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HTTP_MALFORMED },
        { GET "Host: h\r\n\r\n", HTTP_MALFORMED },
        { POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", HTTP_MALFORMED },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        str bytes = str_of_z(cases[i].bytes);
        for (size_t cut = 1; cut < bytes.len; cut++) {
            struct reader *reader = reader_of(t);
            reader_feed(reader, bytes.ptr, cut);
            reader_feed(reader, bytes.ptr + cut, bytes.len - cut);
            CHECK_STR(err_word(reader->failure), err_word(cases[i].code));
        }
    }
}

TEST(large_bodies_are_read_whole)
{
    enum { LEN = 90000 };
    char *body = arena_alloc(t->arena, LEN, 1);
    for (int i = 0; i < LEN; i++)
        body[i] = (char)('a' + i % 26);

    for (int chunked = 0; chunked < 2; chunked++) {
        struct reader *reader = reader_of(t);
        str head = chunked ? STR(POST "Transfer-Encoding: chunked\r\n\r\n")
                           : STR(POST "Content-Length: 90000\r\n\r\n");
        reader_feed(reader, head.ptr, head.len);
        for (int at = 0; at < LEN; at += 1000) {
            if (chunked)
                reader_feed(reader, "3e8\r\n", 5);
            reader_feed(reader, body + at, 1000);
            if (chunked)
                reader_feed(reader, "\r\n", 2);
        }
        if (chunked)
            reader_feed(reader, "0\r\n\r\n", 5);
        CHECK_INT(reader->failure, ERR_CODES_COUNT);
        CHECK(!reader->open);
        CHECK_INT(reader->request.body.len, LEN);
        CHECK_BYTES(reader->request.body.ptr, body, LEN);
    }
}

TEST(whether_the_connection_stays_follows_version_and_header)
{
    CHECK_STR(told_of(t, STR(GET "Connection: close\r\n\r\n")),
              "GET [/] [] close host=h connection=close {}\n");
    CHECK_STR(told_of(t, STR(GET "Connection: keep-alive, Close\r\n\r\n")),
              "GET [/] [] close host=h connection=keep-alive, Close {}\n");
    CHECK_STR(told_of(t, STR("GET / HTTP/1.0\r\n\r\n")), "GET [/] [] 1.0 close {}\n");
    CHECK_STR(told_of(t, STR("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")),
              "GET [/] [] 1.0 connection=keep-alive {}\n");
}

TEST(an_upgrade_that_is_asked_for_is_not_heard)
{
    CHECK_STR(told_of(t, STR(GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" GET
                                 "\r\n")),
              "GET [/] [] host=h connection=Upgrade, HTTP2-Settings upgrade=h2c {}\n"
              "GET [/] [] host=h {}\n");
    CHECK_STR(told_of(t, STR(POST "Connection: upgrade\r\nUpgrade: websocket\r\n"
                                  "Content-Length: 2\r\n\r\nhi" GET "\r\n")),
              "POST [/] [] host=h connection=upgrade upgrade=websocket content-length=2 {hi}\n"
              "GET [/] [] host=h {}\n");
}

TEST(the_expectation_is_heard)
{
    struct reader *reader =
        read_bytes(t, STR(POST "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"));
    CHECK(reader->parse.expects_continue);
    CHECK(reader->parse.has_body);
    CHECK_INT(reader->parse.content_length, 2);
    CHECK(!read_bytes(t, STR(POST "Content-Length: 2\r\n\r\n"))->parse.expects_continue);
}

/* ---- Targets ---- */

TEST(the_target_may_be_absolute_and_then_names_the_host)
{
    CHECK_STR(told_of(t, STR("GET http://other:81/a?b HTTP/1.1\r\nHost: h\r\n\r\n")),
              "GET [/a] [b] host=other:81 {}\n");
    CHECK_STR(told_of(t, STR("GET https://other HTTP/1.1\r\nHost: h\r\n\r\n")),
              "GET [/] [] host=other {}\n");
    CHECK_STR(told_of(t, STR("GET http://other?q HTTP/1.1\r\nHost: h\r\n\r\n")),
              "GET [/] [q] host=other {}\n");
    check_refused(t, STR("GET ftp://other/ HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET http://me@other/a HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
}

TEST(the_asterisk_is_for_options_only)
{
    struct reader *reader = read_bytes(t, STR("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK_INT(reader->failure, ERR_CODES_COUNT);
    CHECK(reader->parse.asterisk);
    check_refused(t, STR("GET * HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    CHECK(!read_bytes(t, STR("OPTIONS /x HTTP/1.1\r\nHost: h\r\n\r\n"))->parse.asterisk);
}

TEST(a_target_with_bytes_that_must_be_encoded_is_refused)
{
    for (int c = 0; c < 256; c++) {
        char bytes[] = "GET /a_b HTTP/1.1\r\nHost: h\r\n\r\n";
        if ((c > ' ' && c < 0x7f && c != '#') || c == '\r' || c == '\n' || c == ' ')
            continue;
        bytes[6] = (char)c;
        check_refused(t, str_of(bytes, sizeof bytes - 1), HTTP_MALFORMED);
    }
    CHECK_STR(told_of(t, STR("GET /%00~!$&'()*+,;=:@ HTTP/1.1\r\nHost: h\r\n\r\n")),
              "GET [/%00~!$&'()*+,;=:@] [] host=h {}\n");
}

TEST(a_target_that_is_no_path_is_refused)
{
    check_refused(t, STR("GET a HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET ?a HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET  / HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET /  HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET /?q=a   HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n"), HTTP_METHOD_UNKNOWN);
}

/* ---- Methods and versions ---- */

TEST(a_method_that_no_call_takes_is_read_so_that_it_can_be_told_which_are)
{
    static const char *const methods[] = { "TRACE", "PROPFIND", "QUERY" };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct reader *reader =
            read_bytes(t, str_format(t->arena, "%s /x HTTP/1.1\r\nHost: h\r\n\r\n", methods[i]));
        CHECK_INT(reader->failure, ERR_CODES_COUNT);
        CHECK_INT(reader->request.method, HTTP_OTHER);
        CHECK_STR(reader->request.method_text, methods[i]);
    }
}

TEST(other_methods_are_unknown_and_noise_is_malformed)
{
    static const char *const methods[] = { "FOO", "get", "GETX", "G",
                                           "VERYLONGMETHODNAMETHATNOBODYHAS" };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        check_refused(t, str_format(t->arena, "%s / HTTP/1.1\r\nHost: h\r\n\r\n", methods[i]),
                      HTTP_METHOD_UNKNOWN);

    check_refused(t, STR("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), HTTP_MALFORMED);
    check_refused(t, STR("SSH-2.0-OpenSSH_9.2\r\n"), HTTP_METHOD_UNKNOWN);
    check_refused(t, STR("GET\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("G\0T / HTTP/1.1\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("{\"json\":1}\r\n"), HTTP_MALFORMED);
}

TEST(only_versions_1_1_and_1_0_are_spoken)
{
    check_refused(t, STR("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), HTTP_VERSION);
    check_refused(t, STR("GET / HTTP/0.9\r\nHost: h\r\n\r\n"), HTTP_VERSION);
    check_refused(t, STR("GET / HTTP/1.2\r\nHost: h\r\n\r\n"), HTTP_VERSION);
    check_refused(t, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HTTP_VERSION);
    check_refused(t, STR("GET / HTTP/x\r\nHost: h\r\n\r\n"), HTTP_VERSION);
    check_refused(t, STR("GET / HTCPCP/1.0\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET /\r\n\r\n"), HTTP_VERSION); /* as HTTP/0.9 wrote it */
    check_refused(t, STR("GET / http/1.1\r\nHost: h\r\n\r\n"), HTTP_MALFORMED);
}

/* ---- Headers ---- */

TEST(host_must_come_once)
{
    check_refused(t, STR("GET / HTTP/1.1\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), HTTP_MALFORMED);
    CHECK_STR(told_of(t, STR("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n")),
              "GET [/] [] host=[::1]:80 {}\n");
    CHECK_STR(told_of(t, STR("GET / HTTP/1.1\r\nHost:\r\n\r\n")), "GET [/] [] host= {}\n");
}

TEST(headers_that_mean_one_thing_must_not_come_twice)
{
    static const char *const names[] = { "Content-Type", "Authorization",  "Idempotency-Key",
                                         "If-Match",     "Content-Length", "Expect" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        check_refused(
            t, str_format(t->arena, POST "%s: 1\r\nX: y\r\n%s: 1\r\n\r\n", names[i], names[i]),
            HTTP_MALFORMED);
    }
    CHECK_STR(told_of(t, STR(GET "Accept: a\r\nAccept: b\r\n\r\n")),
              "GET [/] [] host=h accept=a accept=b {}\n");
}

TEST(headers_that_others_could_read_otherwise_are_refused)
{
    check_refused(t, STR("GET / HTTP/1.1\r\nHost : h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET " folded: x\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET "X: a\r\n b\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET "X: a\r\n\tb\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET "X\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET ": x\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET "X(y): x\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET "X: a\rb\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET "X: a\0b\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t,
                  STR(GET "X: a\x01"
                          "b\r\n\r\n"),
                  HTTP_MALFORMED);
    check_refused(t, STR(GET "X: a\x7f\r\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR("GET / HTTP/1.1\nHost: h\n\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET "X: a\n\r\n"), HTTP_MALFORMED);
    check_refused(t, STR(GET "X: a\r\n\n"), HTTP_MALFORMED);
    CHECK_STR(told_of(t, STR(GET "X: \xc3\xbc\ta\r\n\r\n")),
              "GET [/] [] host=h x=\xc3\xbc\ta {}\n");
}

/* ---- Smuggling ---- */

TEST(a_body_whose_length_two_readers_could_see_differently_is_refused)
{
    static const char *const heads[] = {
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: \r\n",
        "Content-Length: five\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0b"
        "chunked\r\n",
        "Transfer-Encoding: chunk\r\n ed\r\n",
    };

    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        check_refused(t, str_format(t->arena, POST "%s\r\n0\r\n\r\n", heads[i]), HTTP_MALFORMED);
    check_refused(t, STR("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                  HTTP_MALFORMED);
}

TEST(chunks_that_are_not_well_formed_are_refused)
{
    static const char *const chunks[] = {
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "\r\n",
        "1;\x01=2\r\na",
        "fffffffffffffffff\r\n",
        "0\r\nA B: c\r\n\r\n",
        "0\r\n x\r\n\r\n",
        "1\r\na\r0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++)
        check_refused(t,
                      str_format(t->arena, POST "Transfer-Encoding: chunked\r\n\r\n%s", chunks[i]),
                      HTTP_MALFORMED);
}

TEST(a_header_in_a_trailer_counts_for_nothing)
{
    CHECK_STR(told_of(t, STR(POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
                                  "Authorization: Bearer x\r\nHost: evil\r\n\r\n" GET "\r\n")),
              "POST [/] [] host=h transfer-encoding=chunked {a}\nGET [/] [] host=h {}\n");
}

/* ---- Limits, each with the largest that is allowed ---- */

static str many(struct test *t, char c, size_t count)
{
    char *bytes = arena_alloc(t->arena, count, 1);
    memset(bytes, c, count);
    return str_of(bytes, count);
}

static str with_target(struct test *t, size_t len)
{
    return str_format(t->arena, "GET /%" STR_F " HTTP/1.1\r\nHost: h\r\n\r\n",
                      STR_A(many(t, 'x', len - 1)));
}

TEST(a_target_has_its_limit)
{
    CHECK_INT(read_bytes(t, with_target(t, 512))->failure, ERR_CODES_COUNT);
    check_refused(t, with_target(t, 513), HTTP_TARGET_TOO_LONG);
}

static str with_head(struct test *t, size_t len)
{
    str fixed = STR(GET "X: \r\n\r\n");
    return str_format(t->arena, GET "X: %" STR_F "\r\n\r\n", STR_A(many(t, 'x', len - fixed.len)));
}

TEST(a_head_has_its_limit_to_the_byte)
{
    CHECK_INT(read_bytes(t, with_head(t, 2048))->failure, ERR_CODES_COUNT);
    check_refused(t, with_head(t, 2049), HTTP_HEADERS_TOO_LARGE);

    /* What is not kept counts as well: white space, empty lines before. */
    check_refused(t, str_format(t->arena, GET "X:%" STR_F "y\r\n\r\n", STR_A(many(t, ' ', 2048))),
                  HTTP_HEADERS_TOO_LARGE);
    check_refused(t, many(t, '\n', 3000), HTTP_HEADERS_TOO_LARGE);

    /* The limit is each request's own. */
    struct reader *reader = reader_of(t);
    for (int i = 0; i < 5; i++) {
        str head = with_head(t, 1500);
        reader_feed(reader, head.ptr, head.len);
    }
    CHECK_INT(reader->failure, ERR_CODES_COUNT);
}

static str with_headers(struct test *t, int count)
{
    struct text out = text_init(t->arena, 1024);
    text_add(&out, STR("GET / HTTP/1.1\r\nHost: h\r\n"));
    for (int i = 1; i < count; i++)
        text_add(&out, STR("a: b\r\n"));
    text_add(&out, STR("\r\n"));
    return text_str(&out);
}

TEST(the_number_of_headers_has_its_limit)
{
    CHECK_INT(read_bytes(t, with_headers(t, HEADERS_MAX))->failure, ERR_CODES_COUNT);
    check_refused(t, with_headers(t, HEADERS_MAX + 1), HTTP_HEADERS_TOO_LARGE);
}

TEST(a_body_in_chunks_has_its_limit)
{
    struct reader *reader = reader_of(t);
    str head = STR(POST "Transfer-Encoding: chunked\r\n\r\n");
    reader->body_bytes_max = 8;
    reader_feed(reader, head.ptr, head.len);
    reader_feed(reader, "8\r\n12345678\r\n", 13);
    CHECK_INT(reader->failure, ERR_CODES_COUNT);
    reader_feed(reader, "1\r\n9\r\n", 6);
    CHECK_STR(err_word(reader->failure), err_word(HTTP_BODY_TOO_LARGE));
}

TEST(what_stands_beside_the_chunks_has_its_limit)
{
    struct reader *reader = reader_of(t);
    str head = STR(POST "Transfer-Encoding: chunked\r\n\r\n");
    reader_feed(reader, head.ptr, head.len);
    for (int i = 0; i < 500 && reader->failure == ERR_CODES_COUNT; i++)
        reader_feed(reader, "1;abcdefgh=ijklmnop\r\nx\r\n", 24);
    CHECK_STR(err_word(reader->failure), err_word(HTTP_HEADERS_TOO_LARGE));

    str trailer =
        str_format(t->arena, POST "Transfer-Encoding: chunked\r\n\r\n0\r\nT: %" STR_F "\r\n\r\n",
                   STR_A(many(t, 'x', 3000)));
    check_refused(t, trailer, HTTP_HEADERS_TOO_LARGE);
}
