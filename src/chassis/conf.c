#include "chassis/conf.h"

#include "base/arena.h"
#include "chassis/conf_file.h"
#include "chassis/setting.h"
#include "os/disk.h"

#include <string.h>

enum { SHOWN_BYTES_MAX = 100 };

/* What a source says of a setting; the text is absent where it says nothing. */
struct given {
    str text;
    bool is_file; /* the text is the path of a file that holds the secret */
    str origin;
};

struct value {
    struct given given;
    str text; /* of a secret in a file: what stands there */
    int64_t number;
};

struct conf {
    str path; /* of the file of settings */
    struct value values[SETTINGS_COUNT];
};

struct loader {
    struct arena *arena;
    str file; /* of settings; none: there is none */
    str file_origin;
};

/* ---- Unknown names, and names given twice ---- */

static err fail_unknown(struct arena *arena, str origin, str name, bool is_flag)
{
    const char *dashes = is_flag ? "--" : "";
    enum setting nearest = setting_nearest(name);

    if (name.len > SHOWN_BYTES_MAX)
        name = str_slice(name, 0, SHOWN_BYTES_MAX);
    if (nearest == SETTINGS_COUNT)
        return fail(arena, SETTING_UNKNOWN,
                    "%" STR_F ": there is no setting %s%" STR_F " (--help lists them)",
                    STR_A(origin), dashes, STR_A(name));

    str alike = is_flag ? setting_flag(arena, nearest) : setting_key(arena, nearest);
    return fail(arena, SETTING_UNKNOWN,
                "%" STR_F ": there is no setting %s%" STR_F "; did you mean %s%" STR_F "?",
                STR_A(origin), dashes, STR_A(name), dashes, STR_A(alike));
}

/* Notes what one source says. In one source a secret comes by itself or from a file, not both. */
static err give(struct arena *arena, struct given *given, enum setting setting, struct given new)
{
    if (given->text.ptr && given->is_file != new.is_file) {
        const char *name = setting_spec(setting)->name;
        return fail(arena, SETTING_INVALID, "%" STR_F ": %s and %s_FILE are both set; give one",
                    STR_A(new.origin), name, name);
    }
    *given = new;
    return OK;
}

/* A later source wins. */
static void take_over(struct conf *conf, const struct given *given)
{
    for (int i = 0; i < SETTINGS_COUNT; i++)
        if (given[i].text.ptr)
            conf->values[i].given = given[i];
}

/* ---- Flags ---- */

/* Whether the argument behind a flag is its value. A switch may stand alone: then it is on. */
static bool takes_next(enum setting setting, const char *next)
{
    int64_t number;

    if (!next || strncmp(next, "--", 2) == 0)
        return false;
    const struct setting_spec *spec = setting == SETTINGS_COUNT ? NULL : setting_spec(setting);
    return !spec || spec->type != SETTING_BOOL || setting_parse(spec, str_of_z(next), &number);
}

/* Reads the flag at argv[*at] and moves past it and its value. */
static err read_flag(struct loader *self, char *const *argv, int argc, int *at, struct given *given)
{
    str value = str_of_z(argv[*at] + 2);
    bool is_joined = str_find_byte(value, '=') >= 0;
    str name = str_cut(&value, '=');
    bool is_config = str_equal(name, STR("config")), is_file = false;
    enum setting setting = is_config ? SETTINGS_COUNT : setting_find(name, &is_file);

    if (!is_config && setting == SETTINGS_COUNT)
        return fail_unknown(self->arena, STR("flags"), name, true);

    const char *next = *at + 1 < argc ? argv[*at + 1] : NULL;
    *at += 1;
    if (!is_joined) {
        value = str_of_z(next);
        if (takes_next(is_file ? SETTINGS_COUNT : setting, next))
            *at += 1;
        else if (!is_config && !is_file && setting_spec(setting)->type == SETTING_BOOL)
            value = STR("true");
        else
            return fail(self->arena, SETTING_INVALID, "flags: --%" STR_F " needs a value",
                        STR_A(name));
    }
    if (is_config) {
        if (value.len == 0)
            return fail(self->arena, SETTING_INVALID, "flags: --config needs the path of a file");
        self->file = value;
        self->file_origin = STR("--config");
        return OK;
    }
    return give(self->arena, &given[setting], setting,
                (struct given){ value, is_file, STR("flag") });
}

static err read_flags(struct loader *self, int argc, char *const *argv, struct given *given,
                      int *operands)
{
    int at = 1;

    while (at < argc && strcmp(argv[at], "--") != 0) {
        if (argv[at][0] != '-' || argv[at][1] == '\0')
            break;
        if (argv[at][1] != '-')
            return fail(self->arena, SETTING_UNKNOWN, "flags: \"%s\" should begin with --",
                        argv[at]);
        TRY(read_flag(self, argv, argc, &at, given));
    }
    if (at < argc && strcmp(argv[at], "--") == 0)
        at++;

    if (operands)
        *operands = at;
    else if (at < argc)
        return fail(self->arena, SETTING_UNKNOWN,
                    "flags: nothing is known of \"%s\" (a setting is given as --name value)",
                    argv[at]);
    return OK;
}

/* ---- Environment ---- */

static err read_variable(struct loader *self, str variable, struct given *given)
{
    str value = variable;
    str name = str_cut(&value, '=');
    if (value.len == 0)
        return OK;
    if (str_equal(name, STR("DUKA_CONFIG")) && !self->file.ptr) {
        self->file = value;
        self->file_origin = STR("DUKA_CONFIG");
        return OK;
    }

    /* Names of variables are taken as they are: "path" is not PATH. */
    bool is_file;
    enum setting setting = setting_find(name, &is_file);
    if (setting == SETTINGS_COUNT || !str_starts(name, str_of_z(setting_spec(setting)->name)))
        return OK;
    return give(self->arena, &given[setting], setting,
                (struct given){ value, is_file, STR("environment") });
}

/* ---- File ---- */

static err read_entry(struct loader *self, const struct conf_entry *entry, struct given *given)
{
    str origin = str_format(self->arena, "file %" STR_F " line %d", STR_A(self->file), entry->line);
    bool is_file;
    enum setting setting = setting_find(entry->key, &is_file);

    if (setting == SETTINGS_COUNT)
        return fail_unknown(self->arena, origin, entry->key, false);
    if (given[setting].text.ptr)
        return fail(self->arena, SETTING_INVALID, "%" STR_F ": %s is set already (%" STR_F ")",
                    STR_A(origin), setting_spec(setting)->name, STR_A(given[setting].origin));
    return give(self->arena, &given[setting], setting,
                (struct given){ entry->value, is_file, origin });
}

static err read_file(struct loader *self, struct given *given)
{
    const struct conf_entry *entries;
    size_t count;

    err error = conf_file_read(self->arena, self->file, &entries, &count);
    if (err_is(error, OS_FAILED))
        return fail_over(self->arena, SETTING_INVALID, error, "%" STR_F ": %" STR_F,
                         STR_A(self->file_origin), STR_A(error->detail));
    TRY(error);
    for (size_t i = 0; i < count; i++)
        TRY(read_entry(self, &entries[i], given));
    return OK;
}

/* ---- Values ---- */

/* A file that holds a secret mostly ends with the end of a line, which is not part of it. */
static err read_secret(struct arena *arena, enum setting setting, struct value *value)
{
    const struct setting_spec *spec = setting_spec(setting);
    str path = value->given.text, bytes;

    err error = disk_read(arena, path, (size_t)spec->max + 2, &bytes);
    if (error)
        return fail_over(arena, SETTING_INVALID, error, "%s_FILE (%" STR_F "): %" STR_F, spec->name,
                         STR_A(value->given.origin), STR_A(error->detail));
    if (str_ends(bytes, STR("\n")))
        bytes.len--;
    if (str_ends(bytes, STR("\r")))
        bytes.len--;
    value->text = bytes;
    value->given.origin =
        str_format(arena, "%" STR_F ", read from %" STR_F, STR_A(value->given.origin), STR_A(path));
    return OK;
}

static err fail_value(struct arena *arena, const struct setting_spec *spec,
                      const struct value *value)
{
    str allowed = setting_allowed(arena, spec);
    if (spec->type == SETTING_SECRET)
        return fail(arena, SETTING_INVALID,
                    "%s (%" STR_F ") has a value of %zu bytes that is not allowed; allowed is "
                    "%" STR_F,
                    spec->name, STR_A(value->given.origin), value->text.len, STR_A(allowed));

    str shown = str_slice(value->text, 0, SHOWN_BYTES_MAX);
    return fail(arena, SETTING_INVALID, "%s is \"%" STR_F "%s\" (%" STR_F "); allowed is %" STR_F,
                spec->name, STR_A(shown), shown.len < value->text.len ? "…" : "",
                STR_A(value->given.origin), STR_A(allowed));
}

static err settle(struct arena *arena, enum setting setting, struct value *value)
{
    const struct setting_spec *spec = setting_spec(setting);

    value->text = value->given.text;
    if (value->given.is_file)
        TRY(read_secret(arena, setting, value));
    if (!setting_parse(spec, value->text, &value->number))
        return fail_value(arena, spec, value);
    return OK;
}

err conf_load(struct arena *arena, int argc, char *const *argv, char *const *environment,
              const struct conf **out, int *operands)
{
    ASSERT(arena && argv && environment && out);

    struct given *flags = arena_array(arena, struct given, SETTINGS_COUNT);
    struct given *variables = arena_array(arena, struct given, SETTINGS_COUNT);
    struct given *entries = arena_array(arena, struct given, SETTINGS_COUNT);
    struct conf *conf = arena_new(arena, struct conf);
    struct loader self = { .arena = arena };

    TRY(read_flags(&self, argc, argv, flags, operands));
    for (; *environment; environment++)
        TRY(read_variable(&self, str_of_z(*environment), variables));
    if (self.file.ptr)
        TRY(read_file(&self, entries));

    for (int i = 0; i < SETTINGS_COUNT; i++)
        conf->values[i].given = (struct given){ str_of_z(setting_spec((enum setting)i)->standard),
                                                false, STR("default") };
    take_over(conf, entries);
    take_over(conf, variables);
    take_over(conf, flags);
    for (int i = 0; i < SETTINGS_COUNT; i++)
        TRY(settle(arena, (enum setting)i, &conf->values[i]));
    conf->path = self.file;
    *out = conf;
    return OK;
}

/* ---- Looking ---- */

static const struct value *value_of(const struct conf *conf, enum setting setting)
{
    ASSERT(conf && setting < SETTINGS_COUNT);
    return &conf->values[setting];
}

str conf_text(const struct conf *conf, enum setting setting)
{
    return value_of(conf, setting)->text;
}

int64_t conf_int(const struct conf *conf, enum setting setting)
{
    ASSERT(setting_spec(setting)->type != SETTING_TEXT);
    ASSERT(setting_spec(setting)->type != SETTING_SECRET);
    return value_of(conf, setting)->number;
}

str conf_origin(const struct conf *conf, enum setting setting)
{
    return value_of(conf, setting)->given.origin;
}

str conf_path(const struct conf *conf)
{
    ASSERT(conf);
    return conf->path;
}

bool conf_is_set(const struct conf *conf, enum setting setting)
{
    return !str_equal(conf_origin(conf, setting), STR("default"));
}

err conf_choice(struct arena *arena, const struct conf *conf, enum setting setting,
                const char *const *words, int count, int *out)
{
    ASSERT(words && count > 0 && out);
    ASSERT(setting_spec(setting)->type == SETTING_TEXT);

    str text = conf_text(conf, setting);
    struct text allowed = text_init(arena, 64);
    for (int i = 0; i < count; i++) {
        str word = str_of_z(words[i]);
        if (str_equal_fold(text, word)) {
            *out = i;
            return OK;
        }
        text_add(&allowed, i == 0 ? STR("") : i < count - 1 ? STR(", ") : STR(" or "));
        text_add(&allowed, word);
    }
    str list = text_str(&allowed), origin = conf_origin(conf, setting);
    return fail(arena, SETTING_INVALID, "%s is \"%" STR_F "\" (%" STR_F "); allowed is %" STR_F,
                setting_spec(setting)->name, STR_A(text), STR_A(origin), STR_A(list));
}

size_t conf_files(struct arena *arena, const struct conf *conf, const str **out)
{
    ASSERT(arena && conf && out);

    str *files = arena_array(arena, str, SETTINGS_COUNT + 1);
    size_t count = 0;
    if (conf->path.ptr)
        files[count++] = conf->path;
    for (int i = 0; i < SETTINGS_COUNT; i++)
        if (conf->values[i].given.is_file)
            files[count++] = conf->values[i].given.text;
    *out = files;
    return count;
}
