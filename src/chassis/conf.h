/* Settings: contracts/settings.tbl declares each once; flags win over environment over file over
 * default.
 *
 * NAME=value in the environment, `--name value` or `--name=value` as a flag, `name: value` in the
 * YAML file that --config or DUKA_CONFIG names. A setting marked secret can also be given as
 * NAME_FILE, the path of a file that holds it. */
#pragma once
#include "base/err.h"

enum setting_type {
    SETTING_TEXT,
    SETTING_INT,
    SETTING_BOOL,
    SETTING_SECRET,
    SETTING_DURATION_MS,
    SETTING_BYTES
};

enum setting {
#define SETTING(name, type, standard, min, max, words) CONF_##name,
#include "settings.tbl"
#undef SETTING
    SETTINGS_COUNT
};

struct conf;

/* Reads them all. Fails with SETTING_UNKNOWN or SETTING_INVALID: name, value (never a secret's),
 * what is allowed. An empty variable of the environment counts as not set, and those that are no
 * settings are nobody's business. `argv` may hold operands after the flags: *operands is the index
 * of the first; where it is NULL there must be none. Lives in the arena. */
err conf_load(struct arena *arena, int argc, char *const *argv, char *const *environment,
              const struct conf **out, int *operands);

/* The text of a setting, as it was given. */
str conf_text(const struct conf *conf, enum setting setting);

/* The number of one that is none of TEXT and SECRET: durations in ms, bytes, bools as 0 and 1. */
int64_t conf_int(const struct conf *conf, enum setting setting);

/* Which of a few words a text is: its index. Fails with SETTING_INVALID naming them. */
err conf_choice(struct arena *arena, const struct conf *conf, enum setting setting,
                const char *const *words, int count, int *out);

/* Where the value came from: "default", "environment", "flag", "file duka.yaml line 3", and for a
 * secret from a file ", read from PATH". */
str conf_origin(const struct conf *conf, enum setting setting);

/* The file of settings that was read; none where there was none. */
str conf_path(const struct conf *conf);

/* Tells whether anybody has set it. */
bool conf_is_set(const struct conf *conf, enum setting setting);

/* The files that were read for it: that of settings, and those of secrets. Gives how many. */
size_t conf_files(struct arena *arena, const struct conf *conf, const str **out);

/* The text of --help: every setting with what is allowed, its default and its words. `what` is what
 * follows the program's name: "duka: WHAT". */
str conf_help(struct arena *arena, str program, str what);

/* Each setting with its value and where it came from, secrets masked: for dukactl config. It is a
 * file of settings itself. */
str conf_show(struct arena *arena, const struct conf *conf);
