#include "chassis/grpc.h"

#include "base/crypto.h"

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

err grpc_read(struct arena *arena, str body, const struct message_spec *spec, void **out)
{
    ASSERT(arena && spec && out);
    const unsigned char *head = (const unsigned char *)body.ptr;

    if (body.len < FRAME_BYTES)
        return fail(arena, PROTOBUF_MALFORMED, "there is no whole message");
    if (head[0] == 1)
        return fail(arena, RPC_COMPRESSED, "the message is compressed");
    size_t len =
        ((size_t)head[1] << 24) | ((size_t)head[2] << 16) | ((size_t)head[3] << 8) | head[4];
    if (head[0] != 0 || len != body.len - FRAME_BYTES)
        return fail(arena, PROTOBUF_MALFORMED,
                    "the body is not one message of the length it tells");
    return message_unpack(arena, str_slice(body, FRAME_BYTES, len), spec, out);
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

void grpc_answer(struct request *request, const void *message)
{
    ASSERT(request && request->grpc && message);

    str bytes = message_pack(request->arena, message);
    struct text body = text_init(request->arena, FRAME_BYTES + bytes.len);
    text_add_byte(&body, 0);
    for (int shift = 24; shift >= 0; shift -= 8)
        text_add_byte(&body, (char)(bytes.len >> shift));
    text_add(&body, bytes);
    request->response.status = 200;
    request->response.content_type = STR("application/grpc");
    request->response.body = text_str(&body);
    request->response.grpc_status = STATUS_OK;
}

/* ---- google.rpc.Status, written as protobuf: few fields, all of them texts or small numbers ----
 */

static void number_add(struct text *out, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        text_add_byte(out, (char)(number | 0x80));
    text_add_byte(out, (char)number);
}

static void bytes_add(struct text *out, unsigned field, str bytes)
{
    number_add(out, (field << 3) | 2);
    number_add(out, bytes.len);
    text_add(out, bytes);
}

static void varint_add(struct text *out, unsigned field, uint64_t number)
{
    number_add(out, field << 3);
    number_add(out, number);
}

static void detail_add(struct text *status, struct arena *arena, const char *type, str value)
{
    struct text any = text_init(arena, 128);

    bytes_add(&any, 1, str_format(arena, "type.googleapis.com/google.rpc.%s", type));
    bytes_add(&any, 2, value);
    bytes_add(status, 3, text_str(&any));
}

static void metadata_add(struct text *info, struct arena *arena, str name, str value)
{
    struct text entry = text_init(arena, 64);

    bytes_add(&entry, 1, name);
    bytes_add(&entry, 2, value);
    bytes_add(info, 3, text_str(&entry));
}

static str info_of(const struct request *request, err error)
{
    struct text info = text_init(request->arena, 128);

    bytes_add(&info, 1, err_word(error->code));
    bytes_add(&info, 2, STR("duka"));
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
        bytes_add(&violation, 1, field_name(arena, error->fields[i].pointer));
        bytes_add(&violation, 2, error->fields[i].message);
        bytes_add(&request, 1, text_str(&violation));
    }
    return text_str(&request);
}

static str retry_of(struct arena *arena, int32_t seconds)
{
    struct text duration = text_init(arena, 16), retry = text_init(arena, 16);

    varint_add(&duration, 1, (uint64_t)seconds);
    bytes_add(&retry, 1, text_str(&duration));
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

void grpc_refuse(struct request *request, err error)
{
    ASSERT(request && request->grpc && error);
    struct arena *arena = request->arena;
    bool is_ours = err_kind_of(error->code) == ERR_INTERNAL; /* its detail is only logged */
    str words = !is_ours && error->detail.len > 0 ? error->detail : err_words(error->code);

    struct text status = text_init(arena, 512);
    varint_add(&status, 1, (uint64_t)status_of(error));
    bytes_add(&status, 2, words);
    detail_add(&status, arena, "ErrorInfo", info_of(request, error));
    if (error->fields_count > 0)
        detail_add(&status, arena, "BadRequest", violations_of(arena, error));
    if (error->retry_after_s > 0)
        detail_add(&status, arena, "RetryInfo", retry_of(arena, error->retry_after_s));

    request->response.content_type = STR("application/grpc");
    request->response.body = STR_NONE;
    request->response.grpc_status = status_of(error);
    request->response.grpc_message = words;
    request->response.grpc_details = base64_bare(arena, text_str(&status));
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
