#include "chassis/grpc_status.h"

#include "base/crypto.h"
#include "chassis/protobuf.h"

#include <string.h>

enum {
    STATUS_DEADLINE = 4,
    STATUS_UNAVAILABLE = 14,
    FIELDS_MAX = 20,
    /* google.rpc: the numbers of the fields that are read */
    STATUS_DETAILS = 3,
    ANY_TYPE = 1,
    ANY_VALUE = 2,
    INFO_REASON = 1,
    INFO_DOMAIN = 2,
    INFO_METADATA = 3,
    ENTRY_NAME = 1,
    ENTRY_VALUE = 2,
    REQUEST_VIOLATIONS = 1,
    VIOLATION_FIELD = 1,
    VIOLATION_WORDS = 2,
    RETRY_DELAY = 1,
    DURATION_SECONDS = 1
};

/* Headers have it without padding. */
static bool details_read(struct arena *arena, str text, str *out)
{
    struct text padded = text_init(arena, text.len + 3);

    text_add(&padded, text);
    while (padded.len % 4 != 0)
        text_add_byte(&padded, '=');
    return base64_parse(arena, text_str(&padded), out);
}

static str part(str message, uint32_t number)
{
    str bytes;
    return protobuf_find(message, number, &bytes) ? bytes : STR_NONE;
}

static void info_read(struct arena *arena, str info, struct err_value *error)
{
    struct protobuf_field field;

    if (!str_equal(part(info, INFO_DOMAIN), STR("duka")))
        return;
    error->code = err_code_of(part(info, INFO_REASON));
    for (str rest = info; protobuf_next(&rest, &field) == PROTOBUF_FIELD;)
        if (field.number == INFO_METADATA && field.type == PROTOBUF_BYTES &&
            str_equal(part(field.bytes, ENTRY_NAME), STR("subject")))
            error->subject = str_copy(arena, part(field.bytes, ENTRY_VALUE));
}

/* "lines.0.sku" is "/lines/0/sku" again. */
static str pointer_of(struct arena *arena, str name)
{
    char *pointer = arena_alloc(arena, name.len + 1, 1);

    pointer[0] = '/';
    for (size_t i = 0; i < name.len; i++)
        pointer[i + 1] = (char)(name.ptr[i] == '.' ? '/' : name.ptr[i]);
    return str_of(pointer, name.len + 1);
}

static void violations_read(struct arena *arena, str request, struct err_value *error)
{
    struct err_field *fields = arena_array(arena, struct err_field, FIELDS_MAX);
    struct protobuf_field field;

    for (str rest = request;
         error->fields_count < FIELDS_MAX && protobuf_next(&rest, &field) == PROTOBUF_FIELD;)
        if (field.number == REQUEST_VIOLATIONS && field.type == PROTOBUF_BYTES)
            fields[error->fields_count++] = (struct err_field){
                .pointer = pointer_of(arena, part(field.bytes, VIOLATION_FIELD)),
                .message = str_copy(arena, part(field.bytes, VIOLATION_WORDS))
            };
    error->fields = fields;
}

static void retry_read(str retry, struct err_value *error)
{
    struct protobuf_field field;

    for (str rest = part(retry, RETRY_DELAY); protobuf_next(&rest, &field) == PROTOBUF_FIELD;)
        if (field.number == DURATION_SECONDS && field.type == PROTOBUF_NUMBER &&
            field.value <= INT32_MAX)
            error->retry_after_s = (int32_t)field.value;
}

static void detail_read(struct arena *arena, str any, struct err_value *error)
{
    str type = part(any, ANY_TYPE), value = part(any, ANY_VALUE);

    if (str_ends(type, STR("/google.rpc.ErrorInfo")))
        info_read(arena, value, error);
    else if (str_ends(type, STR("/google.rpc.BadRequest")))
        violations_read(arena, value, error);
    else if (str_ends(type, STR("/google.rpc.RetryInfo")))
        retry_read(value, error);
}

static enum err_code code_of(int status)
{
    if (status == STATUS_DEADLINE)
        return CALL_DEADLINE;
    return status == STATUS_UNAVAILABLE ? UPSTREAM_UNAVAILABLE : UPSTREAM_FAILED;
}

err grpc_status_error(struct arena *arena, const struct response *response)
{
    ASSERT(arena && response);
    struct protobuf_field field;
    str details;

    if (response->grpc_status == 0)
        return OK;
    struct err_value *error = arena_new(arena, struct err_value);
    *error = (struct err_value){ .code = ERR_CODES_COUNT,
                                 .detail = str_copy(arena, response->grpc_message),
                                 .place = ERR_PLACE };
    if (details_read(arena, response->grpc_details, &details))
        for (str rest = details; protobuf_next(&rest, &field) == PROTOBUF_FIELD;)
            if (field.number == STATUS_DETAILS && field.type == PROTOBUF_BYTES)
                detail_read(arena, field.bytes, error);
    if (error->code == ERR_CODES_COUNT) {
        error->code = code_of(response->grpc_status);
        error->detail = str_format(arena, "gRPC status %d: %" STR_F, response->grpc_status,
                                   STR_A(response->grpc_message));
    }
    return error;
}
