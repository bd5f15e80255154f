#include "chassis/message_json.h"
#include "base/arena.h"
#include "base/json.h"
#include "chassis/message_values.h"

/* ---- Reading ---- */

/* Names the members that are there in the message's FieldMask. */
struct mask {
    ProtobufCBinaryData *paths;
    size_t count;
};

static void read_message(struct faults *faults, const struct call_spec *call,
                         const struct message_place *place, const struct json *object,
                         const struct message_spec *spec, void *message);

static str name_of(const struct field_spec *rule)
{
    /* json_key is ,"name": */
    return str_of(rule->json_key.ptr + 2, rule->json_key.len - 4);
}

/* The field of a name, or -1. Members mostly come in the contract's order, so the search begins
 * behind the last hit. */
static int find_field(const struct message_spec *spec, str name, int begin)
{
    int count = (int)spec->descriptor->n_fields;

    for (int i = 0; i < count; i++) {
        int field = begin + i < count ? begin + i : begin + i - count;
        if (str_equal(name_of(&spec->fields[field]), name))
            return field;
    }
    return -1;
}

static void read_int(struct faults *faults, const struct message_place *place,
                     const struct field_spec *rule, ProtobufCType type, const struct json *json,
                     void *value)
{
    int64_t number, min, max;

    message_bounds(rule, type, &min, &max);
    if (json_kind_of(json) != JSON_NUMBER || !json_int64(json, &number) || number < min ||
        number > max)
        faults_add_range(faults, place, rule, type);
    else
        message_store_int(value, type, number);
}

static void read_word(struct faults *faults, const struct message_place *place,
                      const struct field_spec *rule, const struct json *json, void *value)
{
    int number = json_kind_of(json) == JSON_STRING
                     ? message_word_number(rule->words, json_string(json))
                     : -1;

    if (number < 0)
        faults_add_words(faults, place, rule->words);
    else
        message_store_int(value, PROTOBUF_C_TYPE_ENUM, number);
}

static void read_time(struct faults *faults, const struct message_place *place,
                      const struct field_spec *rule, const struct json *json, void *value)
{
    time_us at;

    if (json_kind_of(json) != JSON_STRING || !time_parse(json_string(json), &at)) {
        faults_add(faults, place, "must be a time like \"2026-01-31T09:30:00Z\"");
        return;
    }
    void *timestamp = message_new(faults->arena, rule->message);
    timestamp_write(timestamp, rule->message, at);
    *(void **)value = timestamp;
}

static void read_value(struct faults *faults, const struct message_place *place,
                       const struct field_spec *rule, ProtobufCType type, const struct json *json,
                       void *value)
{
    switch ((int)type) {
    case PROTOBUF_C_TYPE_BYTES:
        if (json_kind_of(json) == JSON_STRING)
            *(ProtobufCBinaryData *)value = field_of(json_string(json));
        else
            faults_add(faults, place, "must be a text");
        return;
    case PROTOBUF_C_TYPE_BOOL:
        if (json_kind_of(json) == JSON_BOOL)
            *(protobuf_c_boolean *)value = json_bool(json);
        else
            faults_add(faults, place, "must be true or false");
        return;
    case PROTOBUF_C_TYPE_ENUM: read_word(faults, place, rule, json, value); return;
    case PROTOBUF_C_TYPE_MESSAGE:
        if (rule->message->kind == MESSAGE_TIMESTAMP) {
            read_time(faults, place, rule, json, value);
            return;
        }
        *(void **)value = message_new(faults->arena, rule->message);
        read_message(faults, NULL, place, json, rule->message, *(void **)value);
        return;
    default: read_int(faults, place, rule, type, json, value);
    }
}

static void read_list(struct faults *faults, const struct message_place *place,
                      const struct field_spec *rule, const ProtobufCFieldDescriptor *field,
                      const struct json *json, void *message, void *list)
{
    if (json_kind_of(json) != JSON_ARRAY) {
        faults_add(faults, place, "must be a list");
        return;
    }
    size_t count = json_count(json), size = message_value_bytes(field->type);
    if (count > rule->items_max) { /* before there is memory for them */
        faults_add(faults, place, "must have at most %u items", rule->items_max);
        return;
    }
    if (count == 0)
        return;

    char *elements = arena_alloc_array(faults->arena, count, size, alignof(max_align_t));
    struct json_walk walk = json_walk_of(json);
    while (json_next(&walk)) {
        struct message_place at = { .up = place, .index = walk.index };
        read_value(faults, &at, rule, field->type, walk.value, elements + walk.index * size);
    }
    *(void **)list = elements;
    *message_count(message, field) = count;
}

static void read_field(struct faults *faults, const struct message_place *place,
                       const struct message_spec *spec, int index, const struct json *json,
                       void *message)
{
    const ProtobufCFieldDescriptor *field = &spec->descriptor->fields[index];
    const struct field_spec *rule = &spec->fields[index];
    void *value = message_field(message, spec, index);

    if (json_kind_of(json) == JSON_NULL)
        return; /* absent */
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        read_list(faults, place, rule, field, json, message, value);
    else
        read_value(faults, place, rule, field->type, json, value);
}

/* A number that must be there: a price without an amount is no price of 0. The validator cannot see
 * it, for the message has a 0 either way. */
static bool is_missing(const struct message_spec *spec, unsigned field, uint64_t seen)
{
    switch ((int)spec->descriptor->fields[field].type) {
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_MESSAGE: return false; /* the validator's */
    default: return spec->fields[field].required && !(seen & UINT64_C(1) << field);
    }
}

static void check_numbers(struct faults *faults, const struct message_place *place,
                          const struct message_spec *spec, uint64_t seen)
{
    for (unsigned i = 0; i < spec->descriptor->n_fields; i++) {
        struct message_place at = { .up = place, .name = name_of(&spec->fields[i]) };
        if (is_missing(spec, i, seen))
            faults_add(faults, &at, "is required");
    }
}

static void set_mask(struct arena *arena, const struct message_spec *spec, void *message,
                     const struct mask *mask)
{
    const struct message_spec *mask_spec = spec->fields[spec->mask_field].message;
    void *made = message_new(arena, mask_spec);

    *(void **)message_field(made, mask_spec, 0) = mask->paths;
    *message_count(made, &mask_spec->descriptor->fields[0]) = mask->count;
    *(void **)message_field(message, spec, spec->mask_field) = made;
}

static void read_message(struct faults *faults, const struct call_spec *call,
                         const struct message_place *place, const struct json *object,
                         const struct message_spec *spec, void *message)
{
    if (json_kind_of(object) != JSON_OBJECT) {
        faults_add(faults, place, "must be an object");
        return;
    }
    struct mask mask = { 0 };
    if (spec->mask_field >= 0)
        mask.paths = arena_array(faults->arena, ProtobufCBinaryData, spec->descriptor->n_fields);

    ASSERT(spec->descriptor->n_fields <= 64);
    uint64_t seen = 0;
    int field = -1;
    struct json_walk walk = json_walk_of(object);
    while (json_next(&walk)) {
        struct message_place at = { .up = place, .name = walk.name };
        int found = find_field(spec, walk.name, field + 1);
        if (found < 0 || spec->fields[found].internal ||
            (call && message_path_binds(call, found))) {
            faults_add_unknown(faults, &at);
            continue;
        }
        field = found;
        if (json_kind_of(walk.value) != JSON_NULL)
            seen |= UINT64_C(1) << field;
        if (mask.paths)
            mask.paths[mask.count++] =
                field_of(name_of(&spec->fields[field])); /* each once: json_read saw to it */
        read_field(faults, &at, spec, field, walk.value, message);
    }
    check_numbers(faults, place, spec, seen);
    if (mask.paths)
        set_mask(faults->arena, spec, message, &mask);
}

void message_read_object(struct faults *faults, const struct call_spec *call,
                         const struct json *object, const struct message_spec *spec, void *message)
{
    read_message(faults, call, NULL, object, spec, message);
}

/* ---- Writing ---- */

static int64_t int_of(const void *value, ProtobufCType type)
{
    switch ((int)type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: return *(const int64_t *)value;
    case PROTOBUF_C_TYPE_UINT32: return *(const uint32_t *)value;
    default: return *(const int32_t *)value;
    }
}

static void add_message(struct text *out, const struct message_spec *spec, const void *message);

/* Tells whether a single value is left out: absent messages, enums without a word, and what the
 * contract omits. */
static bool is_left_out(const struct field_spec *rule, ProtobufCType type, const void *value)
{
    time_us at;

    switch ((int)type) {
    case PROTOBUF_C_TYPE_BYTES:
        return rule->omit_empty && ((const ProtobufCBinaryData *)value)->len == 0;
    case PROTOBUF_C_TYPE_BOOL: return rule->omit_empty && !*(const protobuf_c_boolean *)value;
    case PROTOBUF_C_TYPE_ENUM: return !message_word(rule->words, (int)int_of(value, type));
    case PROTOBUF_C_TYPE_MESSAGE:
        if (!*(void *const *)value)
            return true;
        return rule->message->kind == MESSAGE_TIMESTAMP &&
               !timestamp_read(*(void *const *)value, rule->message, &at);
    default: return rule->omit_empty && int_of(value, type) == 0;
    }
}

static void add_submessage(struct text *out, const struct field_spec *rule, const void *message)
{
    time_us at;

    if (rule->message->kind != MESSAGE_TIMESTAMP) {
        add_message(out, rule->message, message);
        return;
    }
    if (!timestamp_read(message, rule->message, &at))
        at = 0; /* an element of a list; a single one was left out */
    char quoted[TIME_TEXT_MAX + 2] = { '"' };
    size_t len = time_write(at, quoted + 1);
    quoted[len + 1] = '"';
    text_add(out, str_of(quoted, len + 2));
}

static void add_value(struct text *out, const struct field_spec *rule, ProtobufCType type,
                      const void *value)
{
    const char *word;

    switch ((int)type) {
    case PROTOBUF_C_TYPE_BYTES:
        json_add_string(out, text_of(*(const ProtobufCBinaryData *)value));
        return;
    case PROTOBUF_C_TYPE_BOOL:
        text_add(out, *(const protobuf_c_boolean *)value ? STR("true") : STR("false"));
        return;
    case PROTOBUF_C_TYPE_ENUM:
        word = message_word(rule->words, (int)int_of(value, type));
        json_add_string(out, word ? str_of_z(word) : STR("unspecified"));
        return;
    case PROTOBUF_C_TYPE_MESSAGE: add_submessage(out, rule, *(void *const *)value); return;
    case PROTOBUF_C_TYPE_UINT64:
        text_add_format(out, "%llu", (unsigned long long)*(const uint64_t *)value);
        return;
    default: text_add_int(out, int_of(value, type));
    }
}

static void add_list(struct text *out, const struct field_spec *rule,
                     const ProtobufCFieldDescriptor *field, const void *message,
                     const char *elements)
{
    size_t count = *message_count(message, field), size = message_value_bytes(field->type);

    text_add_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_add_byte(out, ',');
        add_value(out, rule, field->type, elements + i * size);
    }
    text_add_byte(out, ']');
}

static void add_message(struct text *out, const struct message_spec *spec, const void *message)
{
    const ProtobufCMessageDescriptor *descriptor = spec->descriptor;

    text_add_byte(out, '{');
    size_t begin = out->len;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const struct field_spec *rule = &spec->fields[i];
        const void *value = (const char *)message + field->offset;
        bool is_list = field->label == PROTOBUF_C_LABEL_REPEATED;

        if (rule->internal || (is_list ? rule->omit_empty && *message_count(message, field) == 0
                                       : is_left_out(rule, field->type, value)))
            continue;
        size_t comma = out->len == begin; /* none before the first */
        text_add(out, str_of(rule->json_key.ptr + comma, rule->json_key.len - comma));
        if (is_list)
            add_list(out, rule, field, message, *(char *const *)value);
        else
            add_value(out, rule, field->type, value);
    }
    text_add_byte(out, '}');
}

void message_to_json(struct text *out, const struct message_spec *spec, const void *message)
{
    ASSERT(out && spec && message);
    add_message(out, spec, message);
}
