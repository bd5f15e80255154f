#include "chassis/binding.h"
#include "base/crypto.h"
#include "chassis/grpc.h"

enum { WAIT_STANDARD_MS = 1000, WAIT_MAX_S = 10 };

static int field_by_name(const struct message_spec *spec, str name)
{
    for (unsigned i = 0; i < spec->descriptor->n_fields; i++)
        if (!spec->fields[i].internal && str_equal(str_of_z(spec->fields[i].json_name), name))
            return (int)i;
    return -1;
}

static err read_path(struct call *call, const struct route_match *match, void *message)
{
    int taken = 0;
    for (int i = 0; i < call->spec->pieces_count; i++) {
        if (call->spec->pieces[i].literal)
            continue;
        str value;
        if (!percent_decode(call->arena, match->variables[taken++], false, &value))
            return fail(call->arena, PATH_MALFORMED, "a segment of the path cannot be decoded");
        TRY(message_set_text(call->arena, call->spec->request, message, call->spec->pieces[i].field,
                             value));
    }
    return OK;
}

static err read_query(struct call *call, const struct request *request, void *message)
{
    const struct call_spec *spec = call->spec;
    bool seen[64] = { false };
    for (str rest = request->query; rest.ptr && rest.len > 0;) {
        str pair = str_cut(&rest, '&');
        str value = pair;
        str name = str_cut(&value, '=');
        if (!percent_decode(call->arena, name, true, &name) ||
            !percent_decode(call->arena, value.ptr ? value : STR(""), true, &value))
            return fail(call->arena, QUERY_MALFORMED, "the query cannot be decoded");
        int field = message_query_field(spec, name);
        if (field < 0)
            return fail(call->arena, QUERY_MALFORMED, "unknown query parameter \"%" STR_F "\"",
                        STR_A(name));
        ASSERT(field < 64);
        bool list = spec->request->descriptor->fields[field].label == PROTOBUF_C_LABEL_REPEATED;
        if (seen[field] && !list)
            return fail(call->arena, QUERY_MALFORMED,
                        "query parameter \"%" STR_F "\" is given twice", STR_A(name));
        seen[field] = true;
        TRY(message_set_text(call->arena, spec->request, message, field, value));
    }
    return OK;
}

/* The media type without its parameters. */
static str media_type(const struct request *request)
{
    str value = request_header(request, STR("content-type"));
    return str_trim(str_cut(&value, ';'));
}

err binding_check_type(struct arena *arena, const struct request *request, str wanted)
{
    ASSERT(arena && request);
    str given = media_type(request);
    if (str_equal_fold(given, wanted))
        return OK;
    return fail(arena, MEDIA_TYPE_UNSUPPORTED,
                "the body's Content-Type must be %" STR_F "%s%" STR_F, STR_A(wanted),
                given.len ? ", not " : "", STR_A(given));
}

static err read_body(struct call *call, const struct request *request, void *message)
{
    const struct call_spec *spec = call->spec;
    if (spec->body == BODY_NONE)
        return request->body.len == 0 ? OK
                                      : fail(call->arena, FIELD_UNKNOWN, "this call takes no body");
    if (spec->body == BODY_RAW)
        TRY(binding_check_type(call->arena, request, str_of_z(spec->body_type)));
    else if (request->body.len > 0)
        TRY(binding_check_type(call->arena, request, STR("application/json")));
    if (spec->stream)
        return OK; /* it lies in the spool */
    return message_from_body(call->arena, spec, request->body, message);
}

/* The whole message came as it is. */
static err read_grpc(struct call *call, const struct request *request, const void **out)
{
    void *message;
    str bytes;

    if (call->spec->stream)
        return fail(call->arena, RPC_UNKNOWN, "this call takes a file: send it by HTTP");
    TRY(grpc_message(call->arena, request, call->spec->body_bytes_max, &bytes));
    TRY(message_unpack(call->arena, bytes, call->spec->request, &message));
    TRY(message_validate(call->arena, call->spec->request, message));
    *out = message;
    return OK;
}

err binding_read(struct call *call, const struct route_match *match, const struct request *request,
                 const void **out)
{
    ASSERT(call && call->spec && match && request);
    if (request->grpc)
        return read_grpc(call, request, out);
    void *message = message_new(call->arena, call->spec->request);
    TRY(read_body(call, request, message));
    TRY(read_path(call, match, message));
    TRY(read_query(call, request, message));
    TRY(message_validate_request(call->arena, call->spec, message));
    *out = message;
    return OK;
}

/* ---- headers ---- */

static err read_idempotency_key(struct call *call, const struct request *request)
{
    str key = request_header(request, STR("idempotency-key"));
    if (!key.ptr && !call->spec->once)
        return OK;
    bool fits = key.ptr && key.len >= 1 && key.len <= ONCE_KEY_BYTES_MAX;
    for (size_t i = 0; fits && i < key.len; i++)
        fits = key.ptr[i] > ' ' && key.ptr[i] < 0x7f;
    if (!fits)
        return fail(call->arena, IDEMPOTENCY_KEY_REQUIRED, "%s",
                    key.ptr ? "the Idempotency-Key must be 1 to 255 visible ASCII characters"
                            : "there is no Idempotency-Key header");
    if (call->spec->once)
        call->idempotency_key = key;
    return OK;
}

/* RFC 7240: wait=N and respond-async (with both, it waits first); what is not known is ignored, as
 * the RFC says. */
static void read_prefer(struct call *call, const struct request *request)
{
    int32_t waits_ms = -1;
    bool is_async = false;
    for (str rest = request_header(request, STR("prefer")); rest.ptr;) {
        str value = str_trim(str_cut(&rest, ','));
        str name = str_trim(str_cut(&value, '='));
        int64_t seconds;
        if (str_equal_fold(name, STR("respond-async")))
            is_async = true;
        else if (str_equal_fold(name, STR("wait")) && value.ptr &&
                 str_to_int64(str_trim(value), 0, INT32_MAX, &seconds))
            waits_ms = (int32_t)(seconds > WAIT_MAX_S ? WAIT_MAX_S : seconds) * 1000;
    }
    call->wait_ms = waits_ms >= 0 ? waits_ms : is_async ? 0 : WAIT_STANDARD_MS;
}

err binding_read_headers(struct call *call, const struct request *request)
{
    TRY(read_idempotency_key(call, request));
    if (call->spec->if_match && !request_header(request, STR("if-match")).ptr)
        return fail(call->arena, VERSION_REQUIRED, "there is no If-Match header");
    if (call->spec->settles)
        read_prefer(call, request);
    return OK;
}

/* ---- the answer ---- */

/* Not for secrets: tells one body from another. Two lanes of multiply and xor over eight bytes at a
 * time. */
static str body_etag(struct arena *arena, str body)
{
    uint64_t a = 0x9e3779b97f4a7c15U ^ body.len, b = 0xc2b2ae3d27d4eb4fU;
    for (size_t i = 0; i < body.len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, body.ptr + i, body.len - i < 8 ? body.len - i : 8);
        a = (a ^ word) * 0xff51afd7ed558ccdU;
        a ^= a >> 32;
        b = (b + word) * 0xc4ceb9fe1a85ec53U;
        b ^= b >> 29;
    }
    return str_format(arena, "\"%016llx%016llx\"", (unsigned long long)a, (unsigned long long)b);
}

/* Weak comparison over a list (RFC 9110 section 13.1.2). */
static bool etag_listed(str list, str etag)
{
    for (str rest = list; rest.ptr;) {
        str one = str_trim(str_cut(&rest, ','));
        if (str_equal(one, STR("*")))
            return true;
        if (str_starts(one, STR("W/")))
            one = str_slice(one, 2, one.len);
        if (str_equal(one, etag))
            return true;
    }
    return false;
}

static str field_text(struct arena *arena, const struct message_spec *spec, const void *message,
                      str name)
{
    int field = field_by_name(spec, name);
    ASSERT(field >= 0 && spec->fields[field].text);
    return str_copy(arena,
                    text_of(*(const ProtobufCBinaryData *)message_field(message, spec, field)));
}

/* Fills "/orders/{id}" from the answer. */
static str location_of(struct call *call, const void *message)
{
    if (call->location.ptr)
        return call->location;
    struct text out = text_init(call->arena, 96);
    for (str rest = str_of_z(call->spec->location); rest.ptr;) {
        text_add(&out, str_cut(&rest, '{'));
        if (!rest.ptr)
            break;
        str name = str_cut(&rest, '}');
        text_add(&out, field_text(call->arena, call->spec->response, message, name));
    }
    return text_str(&out);
}

bool binding_is_known(const struct request *request, str etag)
{
    str listed = request_header(request, STR("if-none-match"));
    return listed.ptr && etag_listed(listed, etag);
}

/* What a call that changes something answers with shows its version, and is told the same whether
 * the handler has run or the answer was kept: a replay has the ETag of the first answer. */
static str version_etag(struct call *call, const void *message)
{
    const struct message_spec *spec = call->spec->response;
    int field = field_by_name(spec, STR("version"));
    if (field < 0 || spec->descriptor->fields[field].type != PROTOBUF_C_TYPE_INT64)
        return STR_NONE;
    int64_t version = *(const int64_t *)message_field(message, spec, field);
    return version > 0 ? str_format(call->arena, "\"v%lld\"", (long long)version) : STR_NONE;
}

static void answer_etag(struct call *call, struct request *request, const void *message)
{
    struct response *response = &request->response;
    bool reads = call->spec->method == HTTP_GET;
    str etag = call->etag;
    if (!etag.ptr)
        etag = reads ? body_etag(call->arena, response->body) : version_etag(call, message);
    if (!etag.ptr)
        return;
    response_add(response, STR("etag"), etag);
    if (reads && binding_is_known(request, etag)) {
        response->status = 304;
        response->body = STR_NONE;
        response->content_type = STR_NONE;
    }
}

/* RFC 8288: where the next page of a list is. Relative to what was asked for: whoever stands
 * between may have rewritten the path. */
static void answer_link(struct call *call, struct request *request, const void *message)
{
    const struct message_spec *spec = call->spec->response;
    int next = field_by_name(spec, STR("next"));
    if (call->spec->method != HTTP_GET || next < 0)
        return;
    str cursor = text_of(*(const ProtobufCBinaryData *)message_field(message, spec, next));
    if (cursor.len == 0)
        return;
    struct text link = text_init(call->arena, 256);
    text_add(&link, STR("<?"));
    for (str rest = request->query; rest.ptr && rest.len > 0;) {
        str pair = str_cut(&rest, '&');
        if (str_starts(pair, STR("after=")))
            continue;
        for (size_t i = 0; i < pair.len; i++)
            if (pair.ptr[i] == '>') /* which would end the reference */
                text_add(&link, STR("%3E"));
            else
                text_add_byte(&link, pair.ptr[i]);
        text_add_byte(&link, '&');
    }
    text_add(&link, STR("after="));
    text_add(&link, cursor);
    text_add(&link, STR(">; rel=\"next\""));
    response_add(&request->response, STR("link"), text_str(&link));
}

/* What everyone may see may be kept, and is asked for again by its ETag; all else is nobody's to
 * keep (tokens, people, orders). */
static str cache_control(const struct call_spec *spec)
{
    bool shown_to_all = spec->method == HTTP_GET && spec->access == ACCESS_ANYONE;
    return shown_to_all ? STR("no-cache") : STR("no-store");
}

void binding_answer(struct call *call, struct request *request, const void *message, int status)
{
    ASSERT(call->spec && message);
    struct response *response = &request->response;
    response->status = status ? status : call->spec->status;
    bool created = response->status == 201 || response->status == 202;
    if (created && (call->location.ptr || call->spec->location))
        response_add(response, STR("location"), location_of(call, message));
    if (request->grpc) {
        grpc_answer(request, message);
        if (call->etag.ptr)
            response_add(response, STR("etag"), call->etag);
        return;
    }
    if (response->status == 204)
        return;
    struct text body = text_init(call->arena, 1024);
    message_to_json(&body, call->spec->response, message);
    response->body = text_str(&body);
    response->content_type = STR("application/json");
    response_add(response, STR("Cache-Control"), cache_control(call->spec));
    answer_link(call, request, message);
    answer_etag(call, request, message);
}

str binding_asked(struct arena *arena, const struct request *request)
{
    struct text out = text_init(arena, 128);
    text_add(&out, request->path);
    for (str rest = request->query; rest.ptr && rest.len > 0;) {
        str pair = str_cut(&rest, '&');
        if (str_starts(pair, STR("after=")) || str_starts(pair, STR("limit=")))
            continue;
        text_add_byte(&out, '&');
        text_add(&out, pair);
    }
    return text_str(&out);
}
