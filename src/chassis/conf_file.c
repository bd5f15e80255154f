#include "chassis/conf_file.h"

#include "base/arena.h"
#include "os/disk.h"

#include <yaml.h>

enum { CONF_FILE_BYTES_MAX = 256 * 1024, CONF_ENTRIES_MAX = 1000 };

struct reader {
    struct arena *arena;
    str path;
    yaml_parser_t *parser;
    struct conf_entry *entries;
    size_t count;
};

static err fail_line(const struct reader *self, size_t line, const char *what)
{
    return fail(self->arena, SETTING_INVALID, "%" STR_F " line %zu: %s", STR_A(self->path),
                line + 1, what);
}

/* The next event. Its memory is libyaml's, and given back before anything can fail: what it says of
 * a scalar is copied. */
struct event {
    yaml_event_type_t type;
    size_t line;
    str text;
};

static err next(struct reader *self, struct event *out)
{
    yaml_event_t event;

    if (!yaml_parser_parse(self->parser, &event))
        return fail_line(self, self->parser->problem_mark.line,
                         self->parser->problem ? self->parser->problem : "not YAML");

    *out = (struct event){ .type = event.type, .line = event.start_mark.line };
    if (event.type == YAML_SCALAR_EVENT)
        out->text =
            str_copy(self->arena, str_of(event.data.scalar.value, event.data.scalar.length));
    yaml_event_delete(&event);
    return OK;
}

static err read_map(struct reader *self)
{
    for (;;) {
        struct event key, value;
        TRY(next(self, &key));
        if (key.type == YAML_MAPPING_END_EVENT)
            return OK;
        if (key.type != YAML_SCALAR_EVENT || key.text.len == 0)
            return fail_line(self, key.line, "expected the name of a setting");
        if (self->count == CONF_ENTRIES_MAX)
            return fail_line(self, key.line, "too many settings");

        TRY(next(self, &value));
        if (value.type != YAML_SCALAR_EVENT)
            return fail_line(self, value.line,
                             "expected a single value (several go into one text, parted by "
                             "commas)");
        self->entries[self->count++] =
            (struct conf_entry){ key.text, value.text, (int)key.line + 1 };
    }
}

/* One document that is one map, or nothing at all. */
static err read_document(struct reader *self)
{
    struct event event;

    TRY(next(self, &event));
    ASSERT(event.type == YAML_STREAM_START_EVENT);
    TRY(next(self, &event));
    if (event.type == YAML_STREAM_END_EVENT)
        return OK;
    ASSERT(event.type == YAML_DOCUMENT_START_EVENT);

    TRY(next(self, &event));
    if (event.type == YAML_MAPPING_START_EVENT)
        TRY(read_map(self));
    else if (event.type != YAML_SCALAR_EVENT || event.text.len > 0)
        return fail_line(self, event.line, "expected a map of settings: name: value");

    TRY(next(self, &event));
    ASSERT(event.type == YAML_DOCUMENT_END_EVENT);
    TRY(next(self, &event));
    if (event.type != YAML_STREAM_END_EVENT)
        return fail_line(self, event.line, "expected one document");
    return OK;
}

err conf_file_read(struct arena *arena, str path, const struct conf_entry **entries, size_t *count)
{
    ASSERT(arena && path.len > 0 && entries && count);

    str bytes;
    TRY(disk_read(arena, path, CONF_FILE_BYTES_MAX, &bytes));

    yaml_parser_t parser;
    int is_ready = yaml_parser_initialize(&parser);
    ASSERT(is_ready); /* only memory can be missing */
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes.ptr, bytes.len);

    struct reader self = { .arena = arena, .path = path, .parser = &parser };
    self.entries = arena_array(arena, struct conf_entry, CONF_ENTRIES_MAX);
    err error = read_document(&self);
    yaml_parser_delete(&parser);

    TRY(error);
    *entries = self.entries;
    *count = self.count;
    return OK;
}
