#include "chassis/request.h"
#include "chassis/obs.h"

#include "base/crypto.h"
#include "base/json.h"
#include "base/text.h"
#include "base/uuid.h"
#include "chassis/grpc.h"
#include "chassis/obs.h"
#include "chassis/trace.h"
#include "os/clock.h"
#include "os/random.h"

#include <string.h>

enum { REQUEST_ID_MAX = 64 };

/* ---- Headers ---- */

str request_header(const struct request *request, str name)
{
    ASSERT(request);

    for (int i = 0; i < request->headers_count; i++)
        if (str_equal(request->headers[i].name, name))
            return request->headers[i].value;
    return STR_NONE;
}

int request_header_count(const struct request *request, str name)
{
    ASSERT(request);

    int count = 0;
    for (int i = 0; i < request->headers_count; i++)
        count += str_equal(request->headers[i].name, name);
    return count;
}

void request_header_drop(struct request *request, str name)
{
    ASSERT(request);

    int kept = 0;
    for (int i = 0; i < request->headers_count; i++)
        if (!str_equal(request->headers[i].name, name))
            request->headers[kept++] = request->headers[i];
    request->headers_count = kept;
}

/* ---- Identity of the request ---- */

static bool is_request_id(str s)
{
    if (s.len == 0 || s.len > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7e)
            return false;
    return true;
}

static void text_copy(char *out, str s)
{
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
}

/* Its trace is sampled as whoever sent it decided, or as the sampler of this program does. */
void request_identify(struct request *request)
{
    ASSERT(request);

    struct trace_context context = { 0 };
    bool is_continued = request_header_count(request, STR("traceparent")) == 1 &&
                        trace_context_read(request_header(request, STR("traceparent")), &context);
    uint8_t random[SPAN_ID_BYTES + TRACE_ID_BYTES];

    request->parent_id[0] = '\0';
    random_bytes(random, is_continued ? SPAN_ID_BYTES : sizeof(random));
    if (is_continued)
        trace_hex(context.span_id, SPAN_ID_BYTES, request->parent_id);
    else
        memcpy(context.trace_id, random + SPAN_ID_BYTES, TRACE_ID_BYTES);
    trace_hex(context.trace_id, TRACE_ID_BYTES, request->trace_id);
    trace_hex(random, SPAN_ID_BYTES, request->span_id);
    request->sampled = trace_decide(context.trace_id, is_continued, context.sampled);

    str id = request_header(request, STR("x-request-id"));
    request->ids_known = is_continued && is_request_id(id);
    if (is_request_id(id)) {
        text_copy(request->request_id, id);
    } else {
        uuid_write(id_new(), request->request_id);
        request->request_id[UUID_TEXT_LEN] = '\0';
    }
}

static str traceparent_of(struct arena *arena, const struct request *request, const char *span_id)
{
    struct text out = text_init(arena, TRACEPARENT_LEN + 1);

    text_add(&out, STR("00-"));
    text_add(&out, str_of_z(request->trace_id));
    text_add_byte(&out, '-');
    text_add(&out, str_of_z(span_id));
    text_add(&out, request->sampled ? STR("-01") : STR("-00"));
    return text_str(&out);
}

str request_traceparent(struct arena *arena, const struct request *request)
{
    ASSERT(arena && request);
    return traceparent_of(arena, request, request->span_id);
}

str request_traceparent_asked(struct arena *arena, const struct request *request)
{
    ASSERT(arena && request);
    return traceparent_of(arena, request,
                          request->asked_span_id[0] ? request->asked_span_id : request->span_id);
}

void request_time(const struct request *request, struct series *series)
{
    ASSERT(request && series);
    series_time_traced(series, clock_mono_us() - request->received_us,
                       request->sampled ? str_of_z(request->trace_id) : STR_NONE);
}

void request_note_user(struct request *request, struct uuid user)
{
    ASSERT(request);
    enum { HASH_BYTES = (sizeof request->user_hash - 1) / 2 };
    struct sha256 hash = sha256_of(str_of((const char *)user.bytes, sizeof user.bytes));
    trace_hex(hash.bytes, HASH_BYTES, request->user_hash);
}

/* ---- Answers ---- */

void response_add(struct response *response, str name, str value)
{
    ASSERT(response && name.len > 0);
    ASSERT(response->headers_count < RESPONSE_HEADERS_MAX);

    response->headers[response->headers_count++] = (struct header){ name, value };
}

int err_http_status(err error)
{
    static const int status[ERR_KINDS_COUNT] = {
#define KIND(name, http, grpc) [ERR_##name] = http,
#include "errors_kinds.tbl"
#undef KIND
    };

    ASSERT(error);
    return status[err_kind_of(error->code)];
}

static void member_add(struct text *out, bool *first, str name, str value)
{
    json_add_name(out, first, name);
    json_add_string(out, value);
}

static void fields_add(struct text *out, err error)
{
    text_add(out, STR(",\"errors\":["));
    for (size_t i = 0; i < error->fields_count; i++) {
        bool first = true;
        text_add(out, i > 0 ? STR(",{") : STR("{"));
        member_add(out, &first, STR("pointer"), error->fields[i].pointer);
        member_add(out, &first, STR("message"), error->fields[i].message);
        text_add_byte(out, '}');
    }
    text_add_byte(out, ']');
}

/* The detail of a fault of ours stays in the log: it may tell what is nobody's business. */
static bool is_told(err error)
{
    return error->detail.len > 0 && err_kind_of(error->code) != ERR_INTERNAL;
}

static str problem_body(const struct request *request, err error)
{
    struct text out = text_init(request->arena, 512);
    str word = err_word(error->code);
    bool first = false;

    text_add(&out, STR("{\"type\":\"/docs#"));
    text_add(&out, word);
    text_add(&out, STR("\",\"title\":"));
    json_add_string(&out, err_words(error->code));
    text_add(&out, STR(",\"status\":"));
    text_add_int(&out, err_http_status(error));
    member_add(&out, &first, STR("code"), word);
    if (is_told(error))
        member_add(&out, &first, STR("detail"), error->detail);
    if (error->fields_count > 0)
        fields_add(&out, error);
    if (error->subject.len > 0)
        member_add(&out, &first, STR("subject"), error->subject);
    if (request->trace_id[0])
        member_add(&out, &first, STR("trace_id"), str_of_z(request->trace_id));
    text_add_byte(&out, '}');
    return text_str(&out);
}

/* RFC 6750: only a token that was there and is refused has an error to tell. */
static str challenge_of(enum err_code code)
{
    if (code == TOKEN_EXPIRED)
        return STR("Bearer realm=\"duka\", error=\"invalid_token\", "
                   "error_description=\"expired\"");
    if (code == TOKEN_INVALID || code == TOKEN_REVOKED)
        return STR("Bearer realm=\"duka\", error=\"invalid_token\"");
    return STR("Bearer realm=\"duka\"");
}

/* Seconds after which the same request may do better; 0 where waiting alone does not help. */
static int32_t retry_after_of(err error)
{
    enum err_kind kind = err_kind_of(error->code);

    if (error->retry_after_s > 0)
        return error->retry_after_s;
    return kind == ERR_UNAVAILABLE || kind == ERR_RATE_LIMITED ||
           error->code == IDEMPOTENCY_IN_FLIGHT;
}

void response_problem(struct request *request, err error)
{
    ASSERT(request && request->arena);
    ASSERT(error);

    struct response *response = &request->response;
    int32_t retry_after_s = retry_after_of(error);

    *response = (struct response){ .status = err_http_status(error) };
    if (request->grpc) {
        grpc_refuse(request, error);
    } else {
        response->content_type = STR("application/problem+json");
        response->body = problem_body(request, error);
    }
    response_add(response, STR("Cache-Control"), STR("no-store"));
    if (err_kind_of(error->code) == ERR_UNAUTHENTICATED)
        response_add(response, STR("WWW-Authenticate"), challenge_of(error->code));
    if (retry_after_s > 0)
        response_add(response, STR("Retry-After"), str_format(request->arena, "%d", retry_after_s));
    request->error_code = err_word(error->code).ptr; /* a literal: ends with NUL */
}

void response_page(struct request *request, str content_type, str body, str etag)
{
    ASSERT(request && content_type.len > 0);
    ASSERT(etag.len > 2 && etag.ptr[0] == '"');

    str wanted = request_header(request, STR("if-none-match"));
    bool has_it = str_find(wanted, etag) >= 0 || str_equal(wanted, STR("*"));

    request->response = (struct response){ .status = has_it ? 304 : 200 };
    if (!has_it) {
        request->response.content_type = content_type;
        request->response.body = body;
    }
    response_add(&request->response, STR("ETag"), etag);
}

void request_leave(struct request *request)
{
    ASSERT(request);
    if (__atomic_exchange_n(&request->is_left, true, __ATOMIC_SEQ_CST))
        return;
    if (request->left)
        request->left(request->left_subject);
}

bool request_is_left(const struct request *request)
{
    return __atomic_load_n(&request->is_left, __ATOMIC_SEQ_CST);
}

void request_respond(struct request *request)
{
    ASSERT(request && request->respond);
    ASSERT(request->response.status > 0);

    request->respond(request);
}

/* ---- Percent-encoding ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool percent_decode(struct arena *arena, str text, bool plus, str *out)
{
    ASSERT(arena && out);

    char *to = arena_alloc(arena, text.len + 1, 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        to[len++] = c;
    }

    str decoded = str_of(to, len);
    if (!utf8_valid(decoded))
        return false;
    *out = decoded;
    return true;
}
