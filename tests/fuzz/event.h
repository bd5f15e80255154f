/* What holds of an event, whichever bus brought it, and whatever it is. */
#pragma once
#include "base/arena.h"
#include "chassis/bus.h"

/* One that can be read has all that a consumer needs; one that cannot has no type, and a key of its
 * own. Its payload is read as its consumer would. `payload_bytes` is what came. */
void event_check(struct arena *arena, const struct bus_event *event, size_t payload_bytes);
