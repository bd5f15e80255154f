/* One setting: what contracts/settings.tbl says of it, and how its value is read from text. Pure.
 *
 * Where values come from, and which of them wins, is conf.h's. */
#pragma once
#include "chassis/conf.h"

struct setting_spec {
    const char *name; /* "DATA_DIR" */
    enum setting_type type;
    const char *standard; /* the default, as text */
    int64_t min, max;     /* of a text: of its length in bytes */
    const char *words;
};

/* What the table says. */
const struct setting_spec *setting_spec(enum setting setting);

/* The setting of a name, in either case, with '-' or '_' between its words; SETTINGS_COUNT where
 * there is none. `*is_file`: it was NAME_FILE of a secret. */
enum setting setting_find(str name, bool *is_file);

/* The setting that is written most alike, or SETTINGS_COUNT where none comes near. */
enum setting setting_nearest(str name);

/* Its name as a flag and as a key of the file: "data-dir", "data_dir". */
str setting_flag(struct arena *arena, enum setting setting);
str setting_key(struct arena *arena, enum setting setting);

/* Reads a value: false where it is not allowed. `*number` is set for all types but texts and
 * secrets. */
bool setting_parse(const struct setting_spec *spec, str text, int64_t *number);

/* What is allowed, to end a sentence: "a duration from 100ms to 10m (like 250ms, 10s, 15m, 24h,
 * 30d)". */
str setting_allowed(struct arena *arena, const struct setting_spec *spec);

/* "90s", "24h", "30d", "250ms": the largest unit that divides it. */
str duration_text(struct arena *arena, int64_t ms);

/* "64KiB", "16MiB", "1000". */
str bytes_text(struct arena *arena, int64_t bytes);
