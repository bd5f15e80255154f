#include "chassis/grpc_reflection.h"

#include "base/arena.h"
#include "base/err.h"
#include "chassis/descriptors.h"
#include "chassis/protobuf.h"

/* The numbers of the fields, as grpc/reflection/v1/reflection.proto has them. */
enum {
    ASKED_FILE_BY_NAME = 3,
    ASKED_FILE_OF_SYMBOL = 4,
    ASKED_FILE_OF_EXTENSION = 5,
    ASKED_EXTENSIONS_OF_TYPE = 6,
    ASKED_SERVICES = 7,
    EXTENSION_TYPE = 1,
    EXTENSION_NUMBER = 2,
    TOLD_HOST = 1,
    TOLD_REQUEST = 2,
    TOLD_FILES = 4,
    TOLD_EXTENSIONS = 5,
    TOLD_SERVICES = 6,
    TOLD_ERROR = 7,
    FILES_BYTES = 1,
    EXTENSIONS_TYPE = 1,
    EXTENSIONS_NUMBER = 2,
    SERVICES_ONE = 1,
    SERVICE_NAME = 1,
    ERROR_CODE = 1,
    ERROR_WORDS = 2,
    HOST = 1,
    STATUS_NOT_FOUND = 5,
    STATUS_INVALID_ARGUMENT = 3
};

static const char *const OWN_SERVICES[] = { "grpc.health.v1.Health",
                                            "grpc.reflection.v1.ServerReflection",
                                            "grpc.reflection.v1alpha.ServerReflection" };

/* ---- Looking up; -1 where there is none ---- */

static int file_by_name(str name)
{
    for (int i = 0; i < descriptor_files_count; i++)
        if (str_equal(descriptor_files[i].name, name))
            return i;
    return -1;
}

static int compare(str a, str b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int file_of_symbol(str name)
{
    int low = 0, high = descriptor_symbols_count - 1;

    while (low <= high) {
        int middle = low + (high - low) / 2;
        int order = compare(descriptor_symbols[middle].name, name);
        if (order == 0)
            return descriptor_symbols[middle].file;
        if (order < 0)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return -1;
}

static int file_of_extension(str type, uint64_t number)
{
    for (int i = 0; i < descriptor_extensions_count; i++)
        if ((uint64_t)descriptor_extensions[i].number == number &&
            str_equal(descriptor_extensions[i].type, type))
            return descriptor_extensions[i].file;
    return -1;
}

/* ---- Answers ---- */

static void tell_error(struct text *out, struct arena *scratch, uint64_t code, str words)
{
    struct text error = text_init(scratch, words.len + 16);

    protobuf_add_number(&error, ERROR_CODE, code);
    protobuf_add_bytes(&error, ERROR_WORDS, words);
    protobuf_add_bytes(out, TOLD_ERROR, text_str(&error));
}

/* A file goes with what it imports, except what this client has. */
static void tell_file(struct grpc_reflection *self, struct text *out, struct arena *scratch,
                      int file)
{
    bool wanted[GRPC_REFLECTION_FILES_MAX] = { false };
    struct text files = text_init(scratch, 32 * 1024);

    ASSERT(descriptor_files_count <= GRPC_REFLECTION_FILES_MAX);
    wanted[file] = true;
    for (int i = file; i >= 0; i--) { /* what is imported stands before who imports it */
        const struct descriptor_file *one = &descriptor_files[i];
        if (!wanted[i])
            continue;
        if (i == file || !self->told[i])
            protobuf_add_bytes(&files, FILES_BYTES, one->bytes);
        self->told[i] = true;
        for (int j = 0; j < one->imports_count; j++)
            wanted[one->imports[j]] = true;
    }
    protobuf_add_bytes(out, TOLD_FILES, text_str(&files));
}

static void tell_file_or_not(struct grpc_reflection *self, struct text *out, struct arena *scratch,
                             int file, const char *what, str name)
{
    if (file < 0)
        tell_error(out, scratch, STATUS_NOT_FOUND,
                   str_format(scratch, "There is no %s %" STR_F, what, STR_A(name)));
    else
        tell_file(self, out, scratch, file);
}

static void tell_extensions(struct text *out, struct arena *scratch, str type)
{
    struct text numbers = text_init(scratch, 64);

    if (file_of_symbol(type) < 0) {
        tell_error(out, scratch, STATUS_NOT_FOUND,
                   str_format(scratch, "There is no type %" STR_F, STR_A(type)));
        return;
    }
    protobuf_add_bytes(&numbers, EXTENSIONS_TYPE, type);
    for (int i = 0; i < descriptor_extensions_count; i++)
        if (str_equal(descriptor_extensions[i].type, type))
            protobuf_add_number(&numbers, EXTENSIONS_NUMBER,
                                (uint64_t)descriptor_extensions[i].number);
    protobuf_add_bytes(out, TOLD_EXTENSIONS, text_str(&numbers));
}

static void list(struct text *services, struct arena *scratch, const char *name)
{
    struct text service = text_init(scratch, 64);

    protobuf_add_bytes(&service, SERVICE_NAME, str_of_z(name));
    protobuf_add_bytes(services, SERVICES_ONE, text_str(&service));
}

static void tell_services(const struct grpc_reflection *self, struct text *out,
                          struct arena *scratch)
{
    struct text services = text_init(scratch, 512);

    for (size_t i = 0; i < sizeof(OWN_SERVICES) / sizeof(OWN_SERVICES[0]); i++)
        list(&services, scratch, OWN_SERVICES[i]);
    for (int i = 0; i < self->served_count; i++)
        list(&services, scratch, self->served[i].name);
    protobuf_add_bytes(out, TOLD_SERVICES, text_str(&services));
}

static bool tell_extension(struct grpc_reflection *self, struct text *out, struct arena *scratch,
                           str asked)
{
    struct protobuf_field field;
    enum protobuf_read read;
    str type = STR("");
    uint64_t number = 0;

    while ((read = protobuf_next(&asked, &field)) == PROTOBUF_FIELD) {
        if (field.number == EXTENSION_TYPE && field.type == PROTOBUF_BYTES)
            type = field.bytes;
        if (field.number == EXTENSION_NUMBER && field.type == PROTOBUF_NUMBER)
            number = field.value;
    }
    if (read == PROTOBUF_BROKEN)
        return false;
    tell_file_or_not(self, out, scratch, file_of_extension(type, number), "such extension of",
                     type);
    return true;
}

/* The last of the oneof's members is the question. False where the message is broken. */
static bool read_question(str message, struct protobuf_field *question, str *host)
{
    struct protobuf_field field;
    enum protobuf_read read;

    *question = (struct protobuf_field){ 0 };
    *host = STR("");
    while ((read = protobuf_next(&message, &field)) == PROTOBUF_FIELD) {
        if (field.type == PROTOBUF_BYTES && field.number == HOST)
            *host = field.bytes;
        if (field.type == PROTOBUF_BYTES && field.number >= ASKED_FILE_BY_NAME &&
            field.number <= ASKED_SERVICES)
            *question = field;
    }
    return read == PROTOBUF_END;
}

bool grpc_reflection_answer(struct grpc_reflection *self, struct arena *scratch, str message,
                            struct text *out)
{
    ASSERT(self && scratch && out);
    struct protobuf_field question;
    str host;

    if (!read_question(message, &question, &host))
        return false;
    protobuf_add_bytes(out, TOLD_HOST, host);
    protobuf_add_bytes(out, TOLD_REQUEST, message);
    switch (question.number) {
    case ASKED_FILE_BY_NAME:
        tell_file_or_not(self, out, scratch, file_by_name(question.bytes), "file", question.bytes);
        return true;
    case ASKED_FILE_OF_SYMBOL:
        tell_file_or_not(self, out, scratch, file_of_symbol(question.bytes), "symbol",
                         question.bytes);
        return true;
    case ASKED_FILE_OF_EXTENSION: return tell_extension(self, out, scratch, question.bytes);
    case ASKED_EXTENSIONS_OF_TYPE: tell_extensions(out, scratch, question.bytes); return true;
    case ASKED_SERVICES: tell_services(self, out, scratch); return true;
    default:
        tell_error(out, scratch, STATUS_INVALID_ARGUMENT, STR("the request asks for nothing"));
        return true;
    }
}
