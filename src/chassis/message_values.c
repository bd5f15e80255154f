#include "chassis/message_values.h"

enum { NANOS_PER_US = 1000, NANOS_MAX = 999999999 };

/* 9999-12-31T23:59:59Z */
static const int64_t TIMESTAMP_SECONDS_MAX = INT64_C(253402300799);

size_t message_value_bytes(ProtobufCType type)
{
    switch ((int)type) {
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: return sizeof(int64_t);
    case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
    default: return sizeof(int32_t); /* the generator lets no other types in */
    }
}

size_t *message_count(const void *message, const ProtobufCFieldDescriptor *field)
{
    return (size_t *)(void *)((char *)(uintptr_t)message + field->quantifier_offset);
}

void message_store_int(void *value, ProtobufCType type, int64_t number)
{
    if (type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_UINT64)
        *(int64_t *)value = number;
    else if (type == PROTOBUF_C_TYPE_UINT32)
        *(uint32_t *)value = (uint32_t)number;
    else
        *(int32_t *)value = (int32_t)number;
}

void message_bounds(const struct field_spec *rule, ProtobufCType type, int64_t *min, int64_t *max)
{
    bool is_unsigned = type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_UINT64;
    bool is_wide = type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_UINT64;

    *min = rule->bounded ? rule->min : is_unsigned ? 0 : is_wide ? INT64_MIN : INT32_MIN;
    *max = rule->bounded ? rule->max : is_wide ? INT64_MAX : is_unsigned ? UINT32_MAX : INT32_MAX;
}

int message_word_number(const struct enum_spec *words, str word)
{
    for (unsigned i = 1; i < words->descriptor->n_values; i++)
        if (str_equal(str_of_z(words->words[i]), word))
            return (int)i;
    return -1;
}

const char *message_word(const struct enum_spec *words, int number)
{
    /* The generator holds the numbers to 0, 1, 2, …, so that a number is an index. */
    return number > 0 && (unsigned)number < words->descriptor->n_values ? words->words[number]
                                                                        : NULL;
}

struct timestamp_parts {
    int64_t *seconds;
    int32_t *nanos;
};

static struct timestamp_parts timestamp_parts_of(const void *timestamp,
                                                 const struct message_spec *spec)
{
    return (struct timestamp_parts){ message_field(timestamp, spec, 0),
                                     message_field(timestamp, spec, 1) };
}

bool timestamp_read(const void *timestamp, const struct message_spec *spec, time_us *out)
{
    struct timestamp_parts parts = timestamp_parts_of(timestamp, spec);

    if (*parts.seconds < 0 || *parts.seconds > TIMESTAMP_SECONDS_MAX || *parts.nanos < 0 ||
        *parts.nanos > NANOS_MAX)
        return false;
    *out = *parts.seconds * TIME_SECOND + *parts.nanos / NANOS_PER_US;
    return true;
}

void timestamp_write(void *timestamp, const struct message_spec *spec, time_us at)
{
    struct timestamp_parts parts = timestamp_parts_of(timestamp, spec);

    *parts.seconds = at / TIME_SECOND;
    *parts.nanos = (int32_t)(at % TIME_SECOND) * NANOS_PER_US;
}

bool message_path_binds(const struct call_spec *call, int field)
{
    for (int i = 0; i < call->pieces_count; i++)
        if (!call->pieces[i].literal && call->pieces[i].field == field)
            return true;
    return false;
}
