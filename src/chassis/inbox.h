/* The inbox: which events took effect here, and those that came too early.
 *
 * An event is named by topic, key and number. The head of a key is the last number that took
 * effect; the next one follows it, a later one is held until the gap closes. Events that carry
 * state only have to be newer than the head.
 *
 * A key that is over (its last event says so) is forgotten some time after; a service forgets
 * others with what it knows of them. An event from the bus that has no head and is older than heads
 * are kept for may be a repeat: it is neither applied nor dropped, but put aside for a person. */
#pragma once
#include "chassis/bus.h"
#include "chassis/outbox.h"
#include "chassis/write.h"

/* ---- the writer's side: the claims of a batch ---- */

enum inbox_verdict { INBOX_APPLY, INBOX_REPEATED, INBOX_EARLY, INBOX_TOO_OLD };

struct inbox_entry {
    const struct inbox_claim *claim;
    bool barred; /* given: early, for what it follows failed in an earlier run of this batch */
    enum inbox_verdict verdict;
    bool applied; /* given to inbox_settle: its rows are in the transaction */
    size_t key;   /* index of its key; not used by events without a number */
};

struct inbox_key {
    str topic, key;
    int64_t head_before, head;
    bool ended; /* by the event that is the head */
};

struct inbox_batch {
    struct inbox_entry *entries; /* in the order of the batch */
    size_t count;
    struct inbox_key *keys;
    size_t keys_count;
};

/* Reads the head of each key once; judges the entries in order, as if all that may apply will. */
err inbox_judge(struct tx *tx, struct inbox_batch *batch);

/* After the rows were written: where the heads stand now. An entry that applied though what it
 * follows did not is barred, and the answer is false: roll back, and run the batch again. */
bool inbox_settle(struct inbox_batch *batch);

/* Saves the heads that moved; drops what came from a table and is applied or repeated. */
err inbox_save(struct tx *tx, const struct inbox_batch *batch);

/* ---- the consumer's side ---- */

/* Batch function: keeps an early event; once more is nothing. Its subject is a const struct
 * bus_event. */
write_batch inbox_hold;

/* The last number of a key that took effect; 0 if none did. */
err inbox_head_of(struct db_reader *reader, struct arena *arena, str topic, str key,
                  int64_t *number);

/* Held events that may go on: their predecessor took effect, or they did themselves by another way.
 * Their claims say INBOX_HELD, and what is repeated is dropped by its claim, too. */
err inbox_held_ready(struct db_reader *reader, struct arena *arena, int32_t rows_max,
                     struct bus_event **events, size_t *count);

/* Held events of one key from a number on, in order. */
err inbox_held_of_key(struct db_reader *reader, struct arena *arena, str topic, str key,
                      int64_t number, int32_t rows_max, struct bus_event **events, size_t *count);

/* ---- forgetting ---- */

/* Drops heads of keys that are over and were moved last before that time, at most `rows_max`. */
err inbox_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);

/* Forgets a key, together with what the service knew of it: only once events that could come again
 * are older than INBOX_RETENTION, and none is still to come. */
err inbox_forget(struct tx *tx, str topic, str key);

/* How many are held, and since when the oldest. */
err inbox_held_backlog(struct db_reader *reader, struct arena *arena, struct backlog *out);
