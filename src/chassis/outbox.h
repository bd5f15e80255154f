/* The outbox: events on disk that the bus has not acked yet. Written by the writer in the
 * transaction of the change, read by the relay, dropped after the ack. */
#pragma once
#include "chassis/bus.h"
#include "chassis/write.h"

/* How much waits in a table, and since when (0: nothing waits). */
struct backlog {
    int64_t rows_count;
    time_us oldest_at;
};

/* Where an event stands among those of its service: the time and sequence in its id. */
int64_t outbox_position(struct uuid id);

/* The next events after a position (0: from the first), oldest first. The writer of SQLite commits
 * them in that order, so a relay in this process may go on from the last it read. */
err outbox_after(struct db_reader *reader, struct arena *arena, int64_t position, int32_t rows_max,
                 struct bus_event **events, size_t *count);

/* Batch function: drops events that the bus has acked. Its subject: */
struct outbox_acked {
    const struct uuid *ids;
    size_t count;
};
write_batch outbox_drop;

/* How much waits. */
err outbox_backlog(struct db_reader *reader, struct arena *arena, struct backlog *out);

/* ---- the writer's side ---- */

/* Writes the events of `count` writes; `*position_last` is the position of the newest event, and
 * moves on. `*written` is how many there were. */
err outbox_put(struct tx *tx, struct write *const *writes, size_t count, int64_t *position_last,
               size_t *written);

/* The newest position on disk. */
err outbox_newest(struct tx *tx, int64_t *position);
