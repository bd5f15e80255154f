/* The one validator: what the contract says of a message's fields, whichever codec brought them. */
#include "base/arena.h"
#include "base/text.h"
#include "chassis/message_faults.h"
#include "chassis/message_values.h"

enum { EMAIL_BYTES_MAX = 254, EMAIL_LOCAL_BYTES_MAX = 64 };

/* ---- Formats: NULL where the text is right, else what it must be ---- */

static bool is_visible_ascii(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

/* White space of Unicode beyond control characters, which are refused before: U+0020, 00A0, 1680,
 * 2000-200A, 202F, 205F, 3000. The text is valid UTF-8. */
static bool has_space(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const uint8_t *at = (const uint8_t *)s.ptr + i;
        if (*at == ' ' || (*at == 0xC2 && at[1] == 0xA0))
            return true;
        if ((*at & 0xF0) != 0xE0)
            continue;
        uint32_t point = (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
        if (point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x202F ||
            point == 0x205F || point == 0x3000)
            return true;
    }
    return false;
}

static bool has_any(str s, const char *bytes)
{
    for (size_t i = 0; i < s.len; i++)
        if (strchr(bytes, s.ptr[i]) && s.ptr[i])
            return true;
    return false;
}

/* Labels with dots between them; letters beyond ASCII are left to the mail server. */
static bool is_domain(str s)
{
    bool has_dot = false;

    for (str rest = s, label; rest.ptr && (label = str_cut(&rest, '.'), true);) {
        if (label.len == 0 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        has_dot |= rest.ptr != NULL;
    }
    if (has_any(s, "!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~"))
        return false;
    return has_dot || str_equal_fold(s, STR("localhost"));
}

static const char *refuse_email(str s)
{
    ptrdiff_t at = str_find_byte(s, '@');

    if (s.len > EMAIL_BYTES_MAX || at < 1 || at > EMAIL_LOCAL_BYTES_MAX || has_space(s) ||
        has_any(str_slice(s, 0, (size_t)at), "\"(),:;<>[\\]") ||
        !is_domain(str_slice(s, (size_t)at + 1, s.len)))
        return "must be an e-mail address like amina@example.com";
    return NULL;
}

static const char *refuse_url(str s)
{
    str head = str_slice(s, 0, 8), rest = STR_NONE;

    if (str_equal_fold(head, STR("https://")))
        rest = str_slice(s, 8, s.len);
    else if (str_equal_fold(str_slice(head, 0, 7), STR("http://")))
        rest = str_slice(s, 7, s.len);
    if (rest.len == 0 || rest.ptr[0] == '/' || rest.ptr[0] == '?' || rest.ptr[0] == '#' ||
        has_space(s) || has_any(s, "\"<>\\^`{|}"))
        return "must be a URL that begins with https:// or http://";
    return NULL;
}

/* It stands in paths: /products/stock/{sku}. */
static const char *refuse_sku(str s)
{
    if (has_any(s, "/") || str_trim(s).len != s.len || str_equal(s, STR(".")) ||
        str_equal(s, STR("..")))
        return "must be a SKU: no '/', no white space at its ends";
    return NULL;
}

static const char *refuse_country(str s)
{
    bool is_right =
        s.len == 2 && s.ptr[0] >= 'A' && s.ptr[0] <= 'Z' && s.ptr[1] >= 'A' && s.ptr[1] <= 'Z';

    return is_right ? NULL : "must be a country of ISO 3166: two capital letters, like KE";
}

static const char *refuse_format(struct arena *arena, enum field_format format, str s)
{
    struct uuid id;
    struct currency currency;

    switch (format) {
    case FORMAT_NONE: return NULL;
    case FORMAT_UUID: return uuid_parse(s, &id) ? NULL : "must be a UUID of 36 characters";
    case FORMAT_EMAIL: return refuse_email(s);
    case FORMAT_CURRENCY:
        return currency_parse(NULL, s, &currency) == OK
                   ? NULL
                   : "must be a currency of ISO 4217, like EUR";
    case FORMAT_URL: return refuse_url(s);
    case FORMAT_SKU: return refuse_sku(s);
    case FORMAT_HANDLE:
        return str_equal(text_slug(arena, s), s)
                   ? NULL
                   : "must be a handle: lower-case letters, digits and single '-' within";
    case FORMAT_COUNTRY: return refuse_country(s);
    case FORMAT_TOKEN: return is_visible_ascii(s) ? NULL : "must be visible ASCII characters";
    }
    return NULL;
}

/* ---- Fields ---- */

static void refuse_length(struct faults *faults, const struct message_place *place,
                          const struct field_spec *rule)
{
    if (rule->length_min == 0)
        faults_add(faults, place, "must have at most %u characters", rule->length_max);
    else if (rule->length_min == rule->length_max)
        faults_add(faults, place, "must have %u characters", rule->length_max);
    else
        faults_add(faults, place, "must have from %u to %u characters", rule->length_min,
                   rule->length_max);
}

/* A text that is there. */
static void check_text(struct faults *faults, const struct message_place *place,
                       const struct field_spec *rule, str s)
{
    bool is_password = rule->secret && rule->lines; /* any character but U+0000 */

    if (!utf8_valid(s)) {
        faults_add(faults, place, "must be UTF-8");
        return;
    }
    size_t length = utf8_length(s);
    if (length < rule->length_min || length > rule->length_max) {
        refuse_length(faults, place, rule);
        return;
    }
    if (str_find_byte(s, '\0') >= 0)
        faults_add(faults, place, "must not contain U+0000");
    else if (!is_password && text_has_control(s, rule->lines))
        faults_add(faults, place,
                   rule->lines
                       ? "must not contain control characters other than line breaks and tabs"
                       : "must not contain control characters or line breaks");
    else {
        const char *refusal = refuse_format(faults->arena, rule->format, s);
        if (refusal)
            faults_add(faults, place, "%s", refusal);
    }
}

static void check_int(struct faults *faults, const struct message_place *place,
                      const struct field_spec *rule, ProtobufCType type, const void *value)
{
    int64_t number;

    if (!rule->bounded)
        return;
    if (type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_UINT64)
        number = *(const int64_t *)value;
    else
        number = type == PROTOBUF_C_TYPE_UINT32 ? (int64_t) * (const uint32_t *)value
                                                : *(const int32_t *)value;
    bool is_wrapped = type == PROTOBUF_C_TYPE_UINT64 && number < 0; /* above int64 */
    if (is_wrapped || number < rule->min || number > rule->max)
        faults_add_range(faults, place, rule, type);
}

static void check_word(struct faults *faults, const struct message_place *place,
                       const struct field_spec *rule, int number, bool required)
{
    if (number == 0 && required)
        faults_add(faults, place, "is required");
    else if (number != 0 && !message_word(rule->words, number))
        faults_add_words(faults, place, rule->words);
}

static void check_message(struct faults *faults, const struct message_place *place,
                          const struct message_spec *spec, const void *message);

/* One value: a field, or an element of a list (which is never empty as a field may be). */
static void check_value(struct faults *faults, const struct message_place *place,
                        const struct field_spec *rule, ProtobufCType type, const void *value,
                        bool is_element)
{
    switch ((int)type) {
    case PROTOBUF_C_TYPE_BYTES: {
        str s = text_of(*(const ProtobufCBinaryData *)value);
        if (s.len == 0 && rule->required)
            faults_add(faults, place, "is required");
        else if (rule->text && (s.len > 0 || is_element))
            check_text(faults, place, rule, s);
        return;
    }
    case PROTOBUF_C_TYPE_BOOL: return;
    case PROTOBUF_C_TYPE_ENUM:
        check_word(faults, place, rule, *(const int32_t *)value, rule->required || is_element);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        if (*(void *const *)value)
            check_message(faults, place, rule->message, *(void *const *)value);
        else if (rule->required || is_element)
            faults_add(faults, place, "is required");
        return;
    default: check_int(faults, place, rule, type, value);
    }
}

static void check_list(struct faults *faults, const struct message_place *place,
                       const struct field_spec *rule, const ProtobufCFieldDescriptor *field,
                       const void *message, const char *elements)
{
    size_t count = *message_count(message, field), size = message_value_bytes(field->type);

    if (count < rule->items_min || count > rule->items_max) {
        if (rule->items_min == 0)
            faults_add(faults, place, "must have at most %u items", rule->items_max);
        else
            faults_add(faults, place, "must have from %u to %u items", rule->items_min,
                       rule->items_max);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct message_place at = { .up = place, .index = i };
        check_value(faults, &at, rule, field->type, elements + i * size, true);
    }
}

/* A PATCH that names a text and leaves it empty would clear it: then the least length counts. */
static bool clears_too_much(const struct message_spec *spec, const void *message, int index,
                            const void *value)
{
    const struct field_spec *rule = &spec->fields[index];

    return rule->text && rule->length_min > 0 && spec->mask_field >= 0 &&
           ((const ProtobufCBinaryData *)value)->len == 0 &&
           message_names(message, spec, rule->json_name);
}

static void check_field(struct faults *faults, const struct message_place *place,
                        const struct message_spec *spec, int index, const void *message)
{
    const ProtobufCFieldDescriptor *field = &spec->descriptor->fields[index];
    const struct field_spec *rule = &spec->fields[index];
    const void *value = message_field(message, spec, index);

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        check_list(faults, place, rule, field, message, *(char *const *)value);
    else if (clears_too_much(spec, message, index, value))
        refuse_length(faults, place, rule);
    else
        check_value(faults, place, rule, field->type, value, false);
}

static void check_message(struct faults *faults, const struct message_place *place,
                          const struct message_spec *spec, const void *message)
{
    time_us at;

    if (spec->kind == MESSAGE_TIMESTAMP && !timestamp_read(message, spec, &at))
        faults_add(faults, place, "must be a time from 1970 to 9999");
    if (spec->kind != MESSAGE_PLAIN)
        return;
    for (int i = 0; i < (int)spec->descriptor->n_fields; i++) {
        struct message_place here = { .up = place, .name = str_of_z(spec->fields[i].json_name) };
        check_field(faults, &here, spec, i, message);
    }
}

err message_validate(struct arena *arena, const struct message_spec *spec, const void *message)
{
    ASSERT(arena && spec && message);

    struct faults faults = { .arena = arena };
    check_message(&faults, NULL, spec, message);
    return faults_end(&faults);
}

err message_validate_request(struct arena *arena, const struct call_spec *call, const void *request)
{
    ASSERT(arena && call && request);

    struct faults faults = { .arena = arena };
    const struct message_spec *spec = call->request;
    for (int i = 0; i < (int)spec->descriptor->n_fields; i++) {
        struct message_place here = { .name = str_of_z(spec->fields[i].json_name) };
        check_field(&faults, i == call->body_field && call->routed ? NULL : &here, spec, i,
                    request);
    }
    return faults_end(&faults);
}
