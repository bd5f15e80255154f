/* Method, target, headers and body as a call reads them: percent-encoding, path, query, router,
 * binding, validator, the headers of the contract. The same call by gRPC is the same message.
 *
 * Input: a number for the method; a line with the target; lines with headers up to an empty one;
 * the body. */
#include "chassis/binding.h"
#include "chassis/grpc.h"
#include "chassis/http_head.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

enum { HEADERS_READ_MAX = 20 };

void fuzz_begin(void) { (void)calls_all(); }

static str take_line(str *input) { return input->ptr ? str_cut(input, '\n') : STR_NONE; }

static void read_headers(struct arena *arena, str *input, struct request *out)
{
    unsigned seen = 0;
    enum http_single which;

    out->headers = arena_array(arena, struct header, HEADERS_READ_MAX);
    for (str line; (line = take_line(input)).len > 0;) {
        str name = str_lower(arena, str_trim(str_cut(&line, ':')));
        str value = str_trim(line);
        if (name.len == 0 || !line.ptr || out->headers_count == HEADERS_READ_MAX ||
            http_header_judge(&seen, name, value, &which))
            continue;
        out->headers[out->headers_count++] = (struct header){ name, value };
    }
}

/* The message by its gRPC name. Who may send it by JSON may send it so, and is heard the same. */
static void check_grpc(struct arena *arena, const struct call_spec *spec, const void *message)
{
    struct header headers[] = { { STR("content-type"), STR("application/grpc") } };
    struct text body = text_init(arena, 1024);
    str packed = message_pack(arena, message);
    grpc_frame(arena, &body, packed, false);
    struct request request = { .arena = arena,
                               .method = HTTP_POST,
                               .method_text = STR("POST"),
                               .path = str_format(arena, "/%s", spec->name),
                               .headers = headers,
                               .headers_count = 1,
                               .grpc = true,
                               .body = text_str(&body) };
    struct route_match match = router_match(&calls_all()->router, &request);
    struct call call = { .arena = arena, .spec = match.spec };
    const void *heard;

    FUZZ_CHECK(match.spec == spec);
    FUZZ_CHECK(binding_read(&call, &match, &request, &heard) == OK);
    FUZZ_SAME(message_pack(arena, heard), packed);
}

static void read_call(struct arena *arena, struct request *request)
{
    struct route_match match = router_match(&calls_all()->router, request);
    struct call call = { .arena = arena, .spec = match.spec, .request = request };
    const void *message;
    int64_t timeout_us;

    FUZZ_CHECK(!match.spec || (match.allow & (1U << match.spec->method)));
    err error = grpc_timeout(arena, request, &timeout_us);
    if (error != OK)
        calls_check_error(arena, error);
    if (!match.spec)
        return;
    error = binding_read_headers(&call, request);
    if (error != OK)
        calls_check_error(arena, error);
    error = binding_read(&call, &match, request, &message);
    if (error != OK) {
        calls_check_error(arena, error);
        return;
    }
    FUZZ_CHECK(call.wait_ms >= 0 && call.wait_ms <= 10000);
    if (!match.spec->stream)
        check_grpc(arena, match.spec, message);
    (void)binding_asked(arena, request);
    (void)binding_is_known(request, STR("\"v1\""));
}

void fuzz_run(struct arena *arena, str input)
{
    static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD" };
    str method = str_of_z(methods[fuzz_number(&input, 6)]), target = take_line(&input), decoded;
    struct request request = { .arena = arena, .path = target, .received_us = 1 };
    bool asterisk;

    fuzz_plant_overread(target, STR("bug=1"));
    FUZZ_CHECK(http_method_of(method, &request.method, &request.method_text));
    if (http_target_judge(target.ptr, target.len) || http_target_split(&request, &asterisk) ||
        asterisk)
        return;
    FUZZ_CHECK(str_starts(request.path, STR("/")));
    if (percent_decode(arena, request.path, false, &decoded))
        FUZZ_CHECK(decoded.len <= request.path.len);
    read_headers(arena, &input, &request);
    request.body = input.ptr ? input : STR("");
    read_call(arena, &request);
}
