/* The file of settings: a flat YAML map of names to single values. libyaml stays inside.
 *
 * What the names mean is conf.c's. */
#pragma once
#include "base/err.h"

struct conf_entry {
    str key, value;
    int line; /* from 1 */
};

/* Reads it in order. Fails with SETTING_INVALID naming the file, the line and what is wrong: YAML
 * that cannot be read, or anything but one map of single values; or with OS_FAILED. */
err conf_file_read(struct arena *arena, str path, const struct conf_entry **entries, size_t *count);
