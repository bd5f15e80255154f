/* Dead letters: events that no reaction could take, kept with the reason until a person decides.
 *
 * A dead letter parks its key: later events of the key join it, in order, so that none overtakes
 * it. Requeued letters are tried again from the table by the consumer; a claim that says INBOX_DEAD
 * drops the letter when it applied. */
#pragma once
#include "chassis/inbox.h"

struct dead_letter {
    struct bus_event event;
    str error;     /* why; empty for one that only joined its key */
    int32_t tries; /* put: since the last time it was put */
    str state;     /* read: "dead", "requeued" or "skipped" */
    time_us at;    /* read */
};

/* The place of a letter; `number` 0 where the whole key is meant. */
struct dead_letter_place {
    str topic, key;
    int64_t number;
};

/* Batch function: puts a letter aside, again if it was requeued; one that was held is held no more.
 * Its subject is a const struct dead_letter. */
write_batch dead_letter_put;

/* Batch function: the letters of a key are to be tried again, in order. Its subject is a const
 * struct dead_letter_place; NOT_FOUND where no letter of the key is dead. */
write_batch dead_letters_requeue;

/* A write that gives a letter up: its number counts as taken, the letter stays for the record, the
 * others of its key are requeued. TRANSITION_NOT_YET if it is not the first of its key, NOT_FOUND
 * if it does not wait, WRITE_REPEATED if it took effect. `state`: the events of its key carry
 * state. */
struct write *dead_letter_skip(struct arena *arena, struct dead_letter_place place, bool state);

/* Letters after a place (empty: from the first), skipped ones too. */
err dead_letters_list(struct db_reader *reader, struct arena *arena,
                      const struct dead_letter_place *after, int32_t rows_max,
                      struct dead_letter **letters, size_t *count);

/* Letters to be tried again, in order under each key. */
err dead_letters_requeued(struct db_reader *reader, struct arena *arena, int32_t rows_max,
                          struct dead_letter **letters, size_t *count);

/* The keys that are parked, after a place (number is not used). */
err dead_letters_parked(struct db_reader *reader, struct arena *arena,
                        const struct dead_letter_place *after, int32_t rows_max,
                        struct dead_letter_place **keys, size_t *count);

/* Whether one key is parked. */
err dead_letters_park(struct db_reader *reader, struct arena *arena, str topic, str key,
                      bool *parked);

/* How many wait, and since when the oldest. */
err dead_letters_backlog(struct db_reader *reader, struct arena *arena, struct backlog *out);

/* Drops letters that were skipped before that time, at most `rows_max`. */
err dead_letters_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);

/* Drops events that were put aside, and those that came early, where their payload holds `text`: a
 * person's id, once the person is erased. Only for a service all whose events about people have
 * keys of their own: under a key with more events those after it would wait for ever. Reads both
 * tables. */
err events_forget(struct tx *tx, str text);

/* What a service knows of a key, for the operator: events that wait in its outbox ("outbox"), that
 * came early ("held"), that were put aside ("dead", "requeued", "skipped"), and the last number
 * that took effect ("applied"). */
struct event_known {
    str place, topic, type;
    int64_t number;
    time_us at;
};
err events_of_key(struct db_reader *reader, struct arena *arena, str key, int32_t rows_max,
                  struct event_known **events, size_t *count);
