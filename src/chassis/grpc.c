#include "chassis/grpc.h"

#include "base/crypto.h"
#include "chassis/gzip.h"
#include "chassis/protobuf.h"

enum {
    FRAME_BYTES = 5, /* compressed or not, and the length */
    TIMEOUT_DIGITS_MAX = 8,
    STATUS_OK = 0
};

/* ---- Requests ---- */

bool grpc_is(const struct request *request)
{
    ASSERT(request);
    str type = request_header(request, STR("content-type"));
    str name = str_trim(str_cut(&type, ';'));

    return request->method == HTTP_POST && (str_equal_fold(name, STR("application/grpc")) ||
                                            str_equal_fold(name, STR("application/grpc+proto")));
}

static err unpack(struct arena *arena, str encoding, size_t bytes_max, str packed, str *out)
{
    if (str_equal(encoding, STR("gzip")))
        return gzip_unpack(arena, packed, bytes_max, out);
    return fail(arena, RPC_COMPRESSED,
                encoding.len > 0 ? "grpc-encoding is %" STR_F
                                 : "it is packed, and no grpc-encoding tells how",
                STR_A(encoding));
}

enum grpc_taken grpc_take(struct arena *arena, str encoding, size_t bytes_max, str *rest, str *out,
                          err *error)
{
    ASSERT(arena && rest && out && error);
    const unsigned char *head = (const unsigned char *)rest->ptr;
    if (rest->len < FRAME_BYTES)
        return GRPC_NONE_YET;

    size_t len =
        ((size_t)head[1] << 24) | ((size_t)head[2] << 16) | ((size_t)head[3] << 8) | head[4];
    *error = OK;
    if (head[0] > 1)
        *error = fail(arena, PROTOBUF_MALFORMED, "a frame begins with the byte %d", head[0]);
    else if (len > bytes_max)
        *error = fail(arena, HTTP_BODY_TOO_LARGE, "a message of %zu bytes; at most %zu are taken",
                      len, bytes_max);
    if (*error)
        return GRPC_FAILED;
    if (rest->len - FRAME_BYTES < len)
        return GRPC_NONE_YET;
    *out = str_of(rest->ptr + FRAME_BYTES, len);
    *rest = str_of(rest->ptr + FRAME_BYTES + len, rest->len - FRAME_BYTES - len);
    if (head[0] == 1)
        *error = unpack(arena, encoding, bytes_max, *out, out);
    return *error ? GRPC_FAILED : GRPC_MESSAGE;
}

err grpc_message(struct arena *arena, const struct request *request, size_t bytes_max, str *out)
{
    ASSERT(arena && request && out);
    str rest = request->body, message;
    err error;

    switch (grpc_take(arena, request_header(request, STR("grpc-encoding")), bytes_max, &rest,
                      &message, &error)) {
    case GRPC_FAILED: return error;
    case GRPC_NONE_YET: return fail(arena, PROTOBUF_MALFORMED, "there is no whole message");
    case GRPC_MESSAGE: break;
    }
    if (rest.len > 0)
        return fail(arena, PROTOBUF_MALFORMED, "something stands behind the message");
    *out = message;
    return OK;
}

str grpc_asked(struct arena *arena, const struct message_spec *spec, const void *message)
{
    void *copy = message_copy(arena, spec, message), *empty = message_new(arena, spec);

    for (unsigned i = 0; i < spec->descriptor->n_fields; i++) {
        str name = str_of_z(spec->fields[i].json_name);
        if (str_equal(name, STR("after")))
            *(ProtobufCBinaryData *)message_field(copy, spec, (int)i) =
                *(ProtobufCBinaryData *)message_field(empty, spec, (int)i);
        else if (str_equal(name, STR("limit")))
            *(int32_t *)message_field(copy, spec, (int)i) =
                *(int32_t *)message_field(empty, spec, (int)i);
    }
    struct sha256 hash = sha256_of(message_pack(arena, copy));
    str text = hex(arena, str_of(hash.bytes, sizeof(hash.bytes)));
    return str_format(arena, "grpc=%" STR_F, STR_A(text));
}

err grpc_timeout(struct arena *arena, const struct request *request, int64_t *out_us)
{
    static const struct {
        char unit;
        int64_t us, parts; /* of a microsecond, for what is smaller */
    } units[] = { { 'H', 3600 * TIME_SECOND, 1 },
                  { 'M', 60 * TIME_SECOND, 1 },
                  { 'S', TIME_SECOND, 1 },
                  { 'm', TIME_MS, 1 },
                  { 'u', 1, 1 },
                  { 'n', 1, 1000 } };
    str text = request_header(request, STR("grpc-timeout"));
    int64_t number;

    *out_us = -1;
    if (!text.ptr)
        return OK;
    bool fits = text.len >= 2 && text.len <= TIMEOUT_DIGITS_MAX + 1 &&
                str_to_int64(str_slice(text, 0, text.len - 1), 0, INT32_MAX, &number);
    for (size_t i = 0; fits && i < sizeof(units) / sizeof(units[0]); i++)
        if (units[i].unit == text.ptr[text.len - 1])
            *out_us = number * units[i].us / units[i].parts;
    if (*out_us < 0)
        return fail(arena, HEADER_INVALID, "grpc-timeout is 1 to 8 digits and one of H M S m u n");
    return OK;
}

/* ---- Answers ---- */

/* Tells whether a list of words ("identity, gzip") names one. */
static bool lists(str list, str word)
{
    while (list.ptr)
        if (str_equal_fold(str_trim(str_cut(&list, ',')), word))
            return true;
    return false;
}

bool grpc_packs(const struct request *request)
{
    return lists(request_header(request, STR("grpc-accept-encoding")), STR("gzip"));
}

void grpc_frame(struct arena *arena, struct text *out, str message, bool packs)
{
    ASSERT(arena && out && message.len <= UINT32_MAX);
    str packed = packs && message.len >= GRPC_PACK_BYTES_MIN ? gzip_pack(arena, message) : message;
    bool is_shorter = packed.len < message.len;
    str sent = is_shorter ? packed : message;

    text_reserve(out, FRAME_BYTES + sent.len);
    text_add_byte(out, (char)is_shorter);
    for (int shift = 24; shift >= 0; shift -= 8)
        text_add_byte(out, (char)(sent.len >> shift));
    text_add(out, sent);
}

void grpc_answer_begin(struct request *request)
{
    ASSERT(request && request->grpc);
    request->response.status = 200;
    request->response.content_type = STR("application/grpc");
    request->response.grpc_status = STATUS_OK;
    response_add(&request->response, STR("grpc-accept-encoding"), STR("identity,gzip"));
    if (grpc_packs(request))
        response_add(&request->response, STR("grpc-encoding"), STR("gzip"));
}

void grpc_answer_bytes(struct request *request, str message)
{
    struct text body = text_init(request->arena, FRAME_BYTES + message.len);

    grpc_answer_begin(request);
    grpc_frame(request->arena, &body, message, grpc_packs(request));
    request->response.body = text_str(&body);
}

void grpc_answer(struct request *request, const void *message)
{
    ASSERT(request && message);
    grpc_answer_bytes(request, message_pack(request->arena, message));
}

/* ---- google.rpc.Status ---- */

static void detail_add(struct text *status, struct arena *arena, const char *type, str value)
{
    struct text any = text_init(arena, 128);

    protobuf_add_bytes(&any, 1, str_format(arena, "type.googleapis.com/google.rpc.%s", type));
    protobuf_add_bytes(&any, 2, value);
    protobuf_add_bytes(status, 3, text_str(&any));
}

static void metadata_add(struct text *info, struct arena *arena, str name, str value)
{
    struct text entry = text_init(arena, 64);

    protobuf_add_bytes(&entry, 1, name);
    protobuf_add_bytes(&entry, 2, value);
    protobuf_add_bytes(info, 3, text_str(&entry));
}

static str info_of(const struct request *request, err error)
{
    struct text info = text_init(request->arena, 128);

    protobuf_add_bytes(&info, 1, err_word(error->code));
    protobuf_add_bytes(&info, 2, STR("duka"));
    if (error->subject.len > 0)
        metadata_add(&info, request->arena, STR("subject"), error->subject);
    if (request->trace_id[0])
        metadata_add(&info, request->arena, STR("trace_id"), str_of_z(request->trace_id));
    return text_str(&info);
}

/* "/lines/0/sku" is "lines.0.sku" here. */
static str field_name(struct arena *arena, str pointer)
{
    char *name = arena_copy(arena, pointer.ptr, pointer.len);

    for (size_t i = 0; i < pointer.len; i++)
        if (name[i] == '/')
            name[i] = '.';
    return str_starts(pointer, STR("/")) ? str_of(name + 1, pointer.len - 1)
                                         : str_of(name, pointer.len);
}

static str violations_of(struct arena *arena, err error)
{
    struct text request = text_init(arena, 256);

    for (size_t i = 0; i < error->fields_count; i++) {
        struct text violation = text_init(arena, 128);
        protobuf_add_bytes(&violation, 1, field_name(arena, error->fields[i].pointer));
        protobuf_add_bytes(&violation, 2, error->fields[i].message);
        protobuf_add_bytes(&request, 1, text_str(&violation));
    }
    return text_str(&request);
}

static str retry_of(struct arena *arena, int32_t seconds)
{
    struct text duration = text_init(arena, 16), retry = text_init(arena, 16);

    protobuf_add_number(&duration, 1, (uint64_t)seconds);
    protobuf_add_bytes(&retry, 1, text_str(&duration));
    return text_str(&retry);
}

/* Without the padding, as headers have it. */
static str base64_bare(struct arena *arena, str bytes)
{
    str text = base64(arena, bytes);

    while (text.len > 0 && text.ptr[text.len - 1] == '=')
        text.len--;
    return text;
}

static int status_of(err error)
{
    static const int status[ERR_KINDS_COUNT] = {
#define KIND(name, http, grpc) [ERR_##name] = grpc,
#include "errors_kinds.tbl"
#undef KIND
    };

    return status[err_kind_of(error->code)];
}

void grpc_fail(struct request *request, err error)
{
    ASSERT(request && request->grpc && error);
    struct arena *arena = request->arena;
    bool is_ours = err_kind_of(error->code) == ERR_INTERNAL; /* its detail is only logged */
    str words = !is_ours && error->detail.len > 0 ? error->detail : err_words(error->code);

    struct text status = text_init(arena, 512);
    protobuf_add_number(&status, 1, (uint64_t)status_of(error));
    protobuf_add_bytes(&status, 2, words);
    detail_add(&status, arena, "ErrorInfo", info_of(request, error));
    if (error->fields_count > 0)
        detail_add(&status, arena, "BadRequest", violations_of(arena, error));
    if (error->retry_after_s > 0)
        detail_add(&status, arena, "RetryInfo", retry_of(arena, error->retry_after_s));

    request->response.grpc_status = status_of(error);
    request->response.grpc_message = words;
    request->response.grpc_details = base64_bare(arena, text_str(&status));
    request->error_code = err_word(error->code).ptr;
}

void grpc_refuse(struct request *request, err error)
{
    ASSERT(request && error);
    request->response.content_type = STR("application/grpc");
    request->response.body = STR_NONE;
    if (error->code == RPC_COMPRESSED)
        response_add(&request->response, STR("grpc-accept-encoding"), STR("identity,gzip"));
    grpc_fail(request, error);
}

/* ---- Trailers ---- */

static str percent_encode(struct arena *arena, str words)
{
    struct text out = text_init(arena, words.len + 16);

    for (size_t i = 0; i < words.len; i++) {
        unsigned char byte = (unsigned char)words.ptr[i];
        if (byte < ' ' || byte > '~' || byte == '%')
            text_add_format(&out, "%%%02X", byte);
        else
            text_add_byte(&out, (char)byte);
    }
    return text_str(&out);
}

int grpc_trailers(const struct request *request, struct header out[GRPC_TRAILERS_MAX])
{
    ASSERT(request && request->grpc && out);
    const struct response *response = &request->response;
    int count = 0;

    out[count++] = (struct header){ STR("grpc-status"),
                                    str_format(request->arena, "%d", response->grpc_status) };
    if (response->grpc_message.len > 0)
        out[count++] = (struct header){ STR("grpc-message"),
                                        percent_encode(request->arena, response->grpc_message) };
    if (response->grpc_details.len > 0)
        out[count++] = (struct header){ STR("grpc-status-details-bin"), response->grpc_details };
    return count;
}
