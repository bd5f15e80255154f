#include "chassis/message_faults.h"
#include "base/arena.h"
#include "base/text.h"
#include "chassis/message_values.h"

enum { NAME_BYTES_MAX = 100 }; /* of a member's name, as far as an answer repeats it */

/* RFC 6901: '~' and '/' inside a name are written ~0 and ~1. */
static void add_name(struct text *out, str name)
{
    bool is_cut = name.len > NAME_BYTES_MAX;

    name = utf8_head(name, NAME_BYTES_MAX);
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '~')
            text_add(out, STR("~0"));
        else if (name.ptr[i] == '/')
            text_add(out, STR("~1"));
        else
            text_add_byte(out, name.ptr[i]);
    }
    if (is_cut)
        text_add(out, STR("…"));
}

static void add_pointer(struct text *out, const struct message_place *place)
{
    if (!place)
        return;
    add_pointer(out, place->up); /* as deep as the contract's messages: a handful */
    text_add_byte(out, '/');
    if (place->name.ptr)
        add_name(out, place->name);
    else
        text_add_int(out, (int64_t)place->index);
}

static void add(struct faults *faults, const struct message_place *place, str message)
{
    struct text pointer = text_init(faults->arena, 64);

    add_pointer(&pointer, place);
    faults->fields[faults->count++] = (struct err_field){ text_str(&pointer), message };
}

void faults_add(struct faults *faults, const struct message_place *place, const char *format, ...)
{
    ASSERT(faults && format);

    faults->invalid = true;
    if (faults->count >= FAULTS_MAX) {
        faults->count++;
        return;
    }
    va_list args;
    va_start(args, format);
    add(faults, place, str_format_va(faults->arena, format, args));
    va_end(args);
}

void faults_add_unknown(struct faults *faults, const struct message_place *place)
{
    if (faults->count < FAULTS_MAX)
        add(faults, place, STR("is not known here"));
    else
        faults->count++;
}

void faults_add_words(struct faults *faults, const struct message_place *place,
                      const struct enum_spec *words)
{
    struct text list = text_init(faults->arena, 128);

    for (unsigned i = 1; i < words->descriptor->n_values; i++) {
        if (i > 1)
            text_add(&list, STR(", "));
        text_add(&list, str_of_z(words->words[i]));
    }
    faults_add(faults, place, "must be one of: %" STR_F, STR_A(text_str(&list)));
}

void faults_add_range(struct faults *faults, const struct message_place *place,
                      const struct field_spec *rule, ProtobufCType type)
{
    int64_t min, max;

    message_bounds(rule, type, &min, &max);
    faults_add(faults, place, "must be a whole number from %lld to %lld", (long long)min,
               (long long)max);
}

err faults_end(struct faults *faults)
{
    if (faults->count == 0)
        return OK;

    size_t listed = faults->count < FAULTS_MAX ? faults->count : FAULTS_MAX;
    const struct err_field *first = &faults->fields[0];
    bool at_root = first->pointer.len == 0;
    str more = faults->count > 1 ? str_format(faults->arena, " (and %zu more)", faults->count - 1)
                                 : STR("");
    err error =
        fail(faults->arena, faults->invalid ? FIELD_INVALID : FIELD_UNKNOWN,
             "%" STR_F " %" STR_F "%" STR_F, STR_A(at_root ? STR("the body") : first->pointer),
             STR_A(first->message), STR_A(more));

    struct err_value *told = arena_copy(faults->arena, error, sizeof *error);
    told->fields = arena_copy(faults->arena, faults->fields, listed * sizeof faults->fields[0]);
    told->fields_count = listed;
    return told;
}
