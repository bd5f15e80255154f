/* What this process saved last, by id, for who works on it next.
 *
 * A reaction or a job often comes milliseconds after the commit that called for it, and reading its
 * row from the database would cost it more than everything else it does. It takes a copy from here
 * instead, if one is here. Taken is gone: the next commit puts it back. Where another replica has
 * changed the row meanwhile, what is taken is old; decisions ride on its version, so that costs a
 * second run, which finds nothing here and reads the database. Nobody answers a person from here.
 *
 * Bounded: one may push out another, large ones are not kept, and none is believed after
 * RECENT_AGE_US. Any thread. */
#pragma once
#include "base/arena.h"
#include "base/uuid.h"

enum { RECENT_COUNT_MAX = 2048, RECENT_BYTES_MAX = 2048, RECENT_AGE_US = 2 * 1000 * 1000 };

struct recent;

/* An empty one. Its owner closes it. Memory is taken as it fills: at most RECENT_COUNT_MAX times
 * RECENT_BYTES_MAX. */
struct recent *recent_open(void);
void recent_close(struct recent *recent); /* accepts NULL */

/* Keeps a copy in the place of an older one. More than RECENT_BYTES_MAX, or nothing, is not kept,
 * and neither is the older one. */
void recent_put(struct recent *recent, struct uuid id, const void *bytes, size_t len);

/* Takes it out into the arena, aligned for any type; absent where it is not here, or too old. */
str recent_take(struct recent *recent, struct arena *arena, struct uuid id);
