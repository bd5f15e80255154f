/* Settings: contracts/settings.tbl declares each once; flags win over environment over file over default.
 *
 * NAME=value in the environment, `--name value` or `--name=value` as a flag, `name: value` in the YAML file that DUKA_CONFIG names.
 * A setting marked secret can also be given as NAME_FILE, the path of a file that holds it. */
#pragma once
#include "base/err.h"

enum setting_type { SETTING_TEXT, SETTING_INT, SETTING_BOOL, SETTING_SECRET, SETTING_DURATION_MS, SETTING_BYTES };

enum setting {
#define SETTING(name, type, standard, min, max, words) CONF_##name,
#include "settings.tbl"
#undef SETTING
    SETTINGS_COUNT
};

struct conf;

/* Reads them all. Fails with SETTING_UNKNOWN or SETTING_INVALID: name, value (never a secret's), what is allowed. `argv` may hold
 * operands after the flags: *operands. Lives in the arena. */
err conf_load(struct arena *arena, int argc, char *const *argv, char *const *environment, const struct conf **out, int *operands);

str conf_text(const struct conf *conf, enum setting setting);
int64_t conf_int(const struct conf *conf, enum setting setting); /* also durations (ms), bytes, bools (0, 1) */

/* The text of --help: every setting with its type, default and words. */
str conf_help(struct arena *arena, str program, str what);

/* Each setting with its value and where it came from, secrets masked: for dukactl config. */
str conf_show(struct arena *arena, const struct conf *conf);
