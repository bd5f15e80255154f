#include "chassis/message.h"
#include "base/arena.h"
#include "chassis/message_json.h"
#include "chassis/message_values.h"

/* The shared messages that have a form of their own in C; generated, see gen/google.h and
 * gen/duka.h. */
extern const struct message_spec google_timestamp_spec;
extern const struct message_spec duka_money_spec;

/* ---- Values of the house as fields ---- */

ProtobufCBinaryData field_of_uuid(struct arena *arena, struct uuid id)
{
    return field_of(uuid_text(arena, id));
}

struct uuid uuid_of_field(ProtobufCBinaryData field)
{
    struct uuid id;

    return uuid_parse(text_of(field), &id) ? id : (struct uuid){ 0 };
}

struct Google__Protobuf__Timestamp *field_of_time(struct arena *arena, time_us at)
{
    ASSERT(at >= 0);

    if (at == 0)
        return NULL;
    void *timestamp = message_new(arena, &google_timestamp_spec);
    timestamp_write(timestamp, &google_timestamp_spec, at);
    return timestamp;
}

time_us time_of_field(const struct Google__Protobuf__Timestamp *field)
{
    time_us at;

    return field && timestamp_read(field, &google_timestamp_spec, &at) ? at : 0;
}

struct Duka__Money *field_of_money(struct arena *arena, struct money money)
{
    void *message = message_new(arena, &duka_money_spec);
    ProtobufCBinaryData *currency = message_field(message, &duka_money_spec, 1);

    *(int64_t *)message_field(message, &duka_money_spec, 0) = money.minor;
    *currency = field_of(str_copy(arena, str_of_z(money.currency.letters)));
    return message;
}

struct money money_of_field(const struct Duka__Money *field)
{
    struct money money = { 0 };

    if (!field)
        return money;
    const ProtobufCBinaryData *currency = message_field(field, &duka_money_spec, 1);
    if (currency_parse(NULL, text_of(*currency), &money.currency) != OK)
        return (struct money){ 0 };
    money.minor = *(const int64_t *)message_field(field, &duka_money_spec, 0);
    return money;
}

/* ---- Messages as such ---- */

void *message_new(struct arena *arena, const struct message_spec *spec)
{
    ASSERT(spec);

    void *message = arena_alloc(arena, spec->descriptor->sizeof_message, alignof(max_align_t));
    spec->descriptor->message_init(message);
    return message;
}

void *message_copy(struct arena *arena, const struct message_spec *spec, const void *message)
{
    ASSERT(spec && message);
    return arena_copy(arena, message, spec->descriptor->sizeof_message);
}

bool message_names(const void *message, const struct message_spec *spec, const char *json_name)
{
    ASSERT(spec->mask_field >= 0);

    const void *mask = *(void **)message_field(message, spec, spec->mask_field);
    if (!mask)
        return false;

    const struct message_spec *mask_spec = spec->fields[spec->mask_field].message;
    const ProtobufCBinaryData *paths = *(ProtobufCBinaryData **)message_field(mask, mask_spec, 0);
    size_t count = *message_count(mask, &mask_spec->descriptor->fields[0]);
    for (size_t i = 0; i < count; i++)
        if (str_equal(text_of(paths[i]), str_of_z(json_name)))
            return true;
    return false;
}

static void *allocate(void *arena, size_t bytes)
{
    return arena_alloc(arena, bytes, alignof(max_align_t));
}

static void release(void *arena, void *ptr) { (void)arena, (void)ptr; /* goes with the arena */ }

/* protobuf-c takes a field of number 0 where its number is written in more bytes than it needs, and
 * would not read what it writes of it. */
static bool is_numbered(const struct message_spec *spec, const void *message)
{
    const ProtobufCMessage *base = message;
    for (unsigned i = 0; i < base->n_unknown_fields; i++)
        if (base->unknown_fields[i].tag == 0)
            return false;
    for (unsigned i = 0; i < spec->descriptor->n_fields; i++) {
        if (!spec->fields[i].message)
            continue;
        const ProtobufCFieldDescriptor *field = &spec->descriptor->fields[i];
        void *const *parts = message_field(message, spec, (int)i);
        size_t count = *parts != NULL;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            count = *message_count(message, field);
            parts = *parts;
        }
        for (size_t j = 0; j < count; j++)
            if (!is_numbered(spec->fields[i].message, parts[j]))
                return false;
    }
    return true;
}

err message_unpack(struct arena *arena, str bytes, const struct message_spec *spec, void **out)
{
    ASSERT(arena && spec && out);

    ProtobufCAllocator allocator = { .alloc = allocate, .free = release, .allocator_data = arena };
    const uint8_t *data = (const uint8_t *)(bytes.ptr ? bytes.ptr : "");
    void *message = protobuf_c_message_unpack(spec->descriptor, &allocator, bytes.len, data);
    if (!message || !is_numbered(spec, message))
        return fail(arena, PROTOBUF_MALFORMED, "it is no %s", spec->descriptor->name);
    *out = message;
    return OK;
}

str message_pack(struct arena *arena, const void *message)
{
    ASSERT(message);

    size_t len = protobuf_c_message_get_packed_size(message);
    char *ptr = arena_alloc(arena, len, 1);
    size_t packed = protobuf_c_message_pack(message, (uint8_t *)ptr);
    ASSERT(packed == len);
    return str_of(ptr, len);
}

/* ---- Path and query ---- */

static void set_scalar(struct faults *faults, const struct message_place *place,
                       const struct field_spec *rule, ProtobufCType type, void *value, str text)
{
    int64_t number, min, max;

    if (type == PROTOBUF_C_TYPE_BYTES) {
        *(ProtobufCBinaryData *)value = field_of(text);
    } else if (type == PROTOBUF_C_TYPE_BOOL) {
        *(protobuf_c_boolean *)value = str_equal(text, STR("true"));
        if (!str_equal(text, STR("true")) && !str_equal(text, STR("false")))
            faults_add(faults, place, "must be true or false");
    } else if (type == PROTOBUF_C_TYPE_ENUM) {
        int word = message_word_number(rule->words, text);
        if (word < 0)
            faults_add_words(faults, place, rule->words);
        else
            message_store_int(value, type, word);
    } else {
        message_bounds(rule, type, &min, &max);
        if (!str_to_int64(text, min, max, &number))
            faults_add_range(faults, place, rule, type);
        else
            message_store_int(value, type, number);
    }
}

static void set_time(struct faults *faults, const struct message_place *place,
                     const struct field_spec *rule, void *value, str text)
{
    time_us at;

    ASSERT(rule->message->kind == MESSAGE_TIMESTAMP);
    if (!time_parse(text, &at)) {
        faults_add(faults, place, "must be a time like 2026-01-31T09:30:00Z");
        return;
    }
    *(void **)value = field_of_time(faults->arena, at);
}

/* Room for one more element; NULL where the list is full. */
static void *add_element(struct faults *faults, const struct message_place *place,
                         const struct field_spec *rule, const ProtobufCFieldDescriptor *field,
                         void *message, void *list)
{
    size_t *count = message_count(message, field), size = message_value_bytes(field->type);

    if (*count >= rule->items_max) {
        faults_add(faults, place, "must have at most %u items", rule->items_max);
        return NULL;
    }
    char **elements = list;
    *elements = arena_grow(faults->arena, *elements, *count * size, (*count + 1) * size);
    return *elements + (*count)++ * size;
}

err message_set_text(struct arena *arena, const struct message_spec *spec, void *message, int field,
                     str text)
{
    ASSERT(field >= 0 && (unsigned)field < spec->descriptor->n_fields);

    const ProtobufCFieldDescriptor *descriptor = &spec->descriptor->fields[field];
    const struct field_spec *rule = &spec->fields[field];
    struct faults faults = { .arena = arena };
    struct message_place place = { .name = str_of_z(rule->json_name) };
    void *value = message_field(message, spec, field);

    if (descriptor->label == PROTOBUF_C_LABEL_REPEATED)
        value = add_element(&faults, &place, rule, descriptor, message, value);
    if (value && descriptor->type == PROTOBUF_C_TYPE_MESSAGE)
        set_time(&faults, &place, rule, value, text);
    else if (value)
        set_scalar(&faults, &place, rule, descriptor->type, value, text);
    return faults_end(&faults);
}

int message_query_field(const struct call_spec *call, str name)
{
    if (call->body == BODY_JSON && call->body_field < 0)
        return -1;

    for (int i = 0; i < (int)call->request->descriptor->n_fields; i++) {
        const struct field_spec *rule = &call->request->fields[i];
        if (!str_equal(name, str_of_z(rule->json_name)))
            continue;
        bool is_scalar = !rule->message || rule->message->kind == MESSAGE_TIMESTAMP;
        return is_scalar && !rule->internal && i != call->body_field && !message_path_binds(call, i)
                   ? i
                   : -1;
    }
    return -1;
}

/* ---- The body of a call ---- */

err message_from_json(struct arena *arena, str bytes, const struct message_spec *spec, void *out)
{
    struct faults faults = { .arena = arena };
    const struct json *root;

    TRY(json_read(arena, bytes, &root));
    message_read_object(&faults, NULL, root, spec, out);
    return faults_end(&faults);
}

err message_from_body(struct arena *arena, const struct call_spec *call, str body, void *request)
{
    ASSERT(call->body != BODY_NONE);

    struct faults faults = { .arena = arena };
    const struct json *root;
    if (call->body == BODY_RAW) {
        *(ProtobufCBinaryData *)message_field(request, call->request, call->body_field) =
            field_of(body);
        return OK;
    }

    TRY(json_read(arena, body.len > 0 ? body : STR("{}"), &root));
    if (call->body_field < 0) {
        message_read_object(&faults, call, root, call->request, request);
        return faults_end(&faults);
    }
    const struct message_spec *part = call->request->fields[call->body_field].message;
    void *message = message_new(arena, part);
    *(void **)message_field(request, call->request, call->body_field) = message;
    message_read_object(&faults, NULL, root, part, message);
    return faults_end(&faults);
}
