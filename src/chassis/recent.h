/* What this process saved last, by id, for who works on it next.
 *
 * A reaction or a job often comes milliseconds after the commit that called for it, and reading its
 * row from the database would cost it more than everything else it does. It takes a copy from here
 * instead, if one is here. Taken is gone: the next commit puts it back. Where another replica has
 * changed the row meanwhile, what is taken is old; decisions ride on its version, so that costs a
 * second run, which finds nothing here and reads the database. Nobody answers a person from here.
 * What follows from its key for ever (a signature and what it covers) is never old.
 *
 * Bounded: one may push out another, large ones are not kept, and none is believed for longer than
 * its owner says. Any thread. */
#pragma once
#include "base/arena.h"
#include "base/uuid.h"

struct recent;

/* How many are kept, how large one may be, and for how long it is believed. */
struct recent_limits {
    size_t count_max, bytes_max;
    int64_t age_us_max;
};

/* An empty one. Its owner closes it. Memory is taken as it fills: at most `count_max` times
 * `bytes_max`. */
struct recent *recent_open(struct recent_limits limits);
void recent_close(struct recent *recent); /* accepts NULL */

/* Keeps a copy in the place of an older one. More than `bytes_max`, or nothing, is not kept, and
 * neither is the older one. */
void recent_put(struct recent *recent, struct uuid id, const void *bytes, size_t len);

/* Takes it out into the arena, aligned for any type; absent where it is not here, or too old. */
str recent_take(struct recent *recent, struct arena *arena, struct uuid id);

/* The same, and it stays. */
str recent_look(struct recent *recent, struct arena *arena, struct uuid id);

/* An id to keep something by its name. Two names may have the same: whoever looks compares. */
struct uuid recent_id_of_text(str text);

/* The same by a text, which is compared: `value` for `key`, both of which count towards
 * `bytes_max`. */
void recent_put_text(struct recent *recent, struct arena *arena, str key, str value);
str recent_look_text(struct recent *recent, struct arena *arena, str key);
