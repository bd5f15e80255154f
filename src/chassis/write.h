/* The one way in: a write is a command for the store's writer.
 *
 * It says which rows change (a batch function over subjects), the events to announce (outbox), the
 * answer to keep (once) and the event consumed (inbox). All commands that gathered while the last
 * commit was in flight (no timer, at most WRITES_BATCH_MAX) go into one transaction, each with its
 * own outcome; each is told its outcome after the commit is on disk. The order inside a batch is
 * fixed: claims (once, inbox) in key order; batch functions; outbox and answers of those that came
 * out well. A member that fails leaves nothing behind. */
#pragma once
#include "chassis/db.h"
#include "chassis/spec.h"

enum { WRITES_BATCH_MAX = 512, ONCE_KEY_BYTES_MAX = 255, ONCE_SCOPE_BYTES_MAX = 500 };

struct write;
struct audit_entry;

/* Changes the rows of all members, one outcome each. Returning an error means the database failed:
 * the batch is rolled back and its members are run again one by one. A member refused by a rule
 * gets its outcome and no row. VERSION_CONFLICT as an outcome makes the call run again on a new
 * snapshot. Announcing (write_announce) is allowed here: what is decided under the lock is
 * announced from there. */
typedef err write_batch(struct tx *tx, struct write *const *writes, size_t count, err *outcomes);

/* An event to be announced. */
struct outbox_event {
    const struct event_spec *spec;
    str key;
    int64_t number;
    str payload; /* packed protobuf */
    struct outbox_event *next;
};

/* The answer that a repeated key will hear: a message of the call's response type, or an error. */
struct answer {
    bool known;
    int status;  /* HTTP; 0 means the call's own status of success */
    str message; /* packed protobuf: the response, or a duka.Problem where `problem` */
    bool problem;
};

/* A claim of an idempotency key. */
struct once_claim {
    str scope; /* caller, method, route */
    str key;
    struct sha256_bytes {
        uint8_t bytes[32];
    } body_hash;
    /* Whose settling fixes the answer (an order); nil where the write itself does. */
    struct uuid subject;
    struct sha256_bytes name; /* of scope and key together, by once_name */
    bool named;
};

/* Names the claim, if it is not named yet. once_find and writer_submit do it on their caller's
 * thread: it takes a microsecond, which the writer should not spend. */
void once_name(struct once_claim *claim);

/* Where an event is taken from: what lies in a table is dropped from it together with the claim. */
enum inbox_source { INBOX_BUS, INBOX_HELD, INBOX_DEAD };

/* The event that this write consumes. Under one topic and key either all events carry state or none
 * does. */
struct inbox_claim {
    str topic, key;
    int64_t number; /* 0: carries no order (not used by our contracts) */
    struct uuid event_id;
    bool state; /* last number wins */
    bool last;  /* nothing follows it under its key */
    bool old; /* older than heads are kept for: without one, nobody knows whether it was applied */
    enum inbox_source source;
};

enum write_end {
    WRITE_DONE, /* outcome says how; OK means it is on disk */
    /* The once key, or the event, had been claimed before: nothing was changed. Where the other
     * claim of the same batch came to nothing, once_find says ONCE_NEW. */
    WRITE_REPEATED,
};

struct write {
    write_batch *batch;  /* NULL: no rows of its own (claims, answers and events only) */
    void *subject;       /* what the batch function works on */
    struct arena *arena; /* of the call; lives until `done` returns */
    struct outbox_event *events, **events_tail;
    struct once_claim *once;         /* or NULL */
    struct inbox_claim *inbox;       /* or NULL */
    const struct audit_entry *audit; /* who has to answer for it (audit.h), or NULL */
    struct answer answer; /* kept under `once`, if known by the end of the batch function */
    /* Fixes the answer of another call's key: the one claimed with this subject, where it has none
     * yet. `answer_won` tells after the batch whether this write fixed it. */
    struct uuid answers_subject;
    struct answer subject_answer;
    bool answer_won;
    /* Called in the transaction once the batch function has said OK, before answers are kept: fills
     * `answer` where it is decided under the lock. Pure; NULL where there is nothing to fill. */
    void (*make_answer)(struct write *write);
    /* Told on the writer's thread, in the order of the batch. Must not wait and must not write. */
    void (*done)(struct write *write, enum write_end end, err outcome);
    /* Told after a commit that went well, besides `done`: wakes what the write left to do (a
     * payment lane). Must not wait. */
    void (*after)(struct write *write);
    void *after_subject;
    void *owner;        /* the caller's: the call */
    str traceparent;    /* goes with the events */
    int64_t handed_us;  /* the writer's: when it was handed over, where spans are recorded */
    struct write *next; /* the writer's */
};

/* An empty write in the arena. */
struct write *write_new(struct arena *arena, write_batch *batch, void *subject);

/* Announces an event with the message's own key and number fields. The message is packed now. */
void write_announce(struct write *write, const struct event_spec *spec, const void *message);

/* ---- the writer ---- */

struct writer;

/* Starts the thread that owns all writing of `db`. `on_committed` (may be NULL) is told after each
 * batch that committed something; `announced`: also into the outbox. */
struct writer *writer_open(struct db *db, const char *service,
                           void (*on_committed)(void *subject, bool announced), void *subject);

/* Takes at most `batch_max` (1 to WRITES_BATCH_MAX) writes into one transaction: to measure what
 * batches are worth. */
void writer_limit(struct writer *writer, int batch_max);

/* Tells what each commit has changed (tx_note_change), on the writer's thread, before the members
 * of the batch hear of it. Before the first write. */
void writer_on_changed(struct writer *writer, void (*changed)(void *subject, struct uuid what),
                       void *subject);

/* Finishes what was handed over, then stops. Accepts NULL. */
void writer_close(struct writer *writer);

/* Hands over. Never waits, never refuses: what may be handed over is bounded by who may call. From
 * here until `done` the write belongs to the writer. */
void writer_submit(struct writer *writer, struct write *write);

/* Several at once, in order; they go into the same batch if there is room. */
void writer_submit_many(struct writer *writer, struct write **writes, size_t count);

/* Hands over and waits: for jobs and reactions, never from a `done`. */
enum write_end writer_submit_and_wait(struct writer *writer, struct write *write, err *outcome);

/* This is a writer's thread: a transaction may be open. */
bool writer_is_here(void);

/* For metrics: batches, writes, microseconds in commit, length of the queue. */
struct writer_stats {
    int64_t batches, writes, commit_us, queue;
};
struct writer_stats writer_stats_of(struct writer *writer);

/* ---- once: what a repeat finds ---- */

enum once_found { ONCE_NEW, ONCE_OTHER_BODY, ONCE_IN_FLIGHT, ONCE_ANSWERED };

/* Looks a key up. ANSWERED fills `answer`; IN_FLIGHT fills `subject`. */
err once_find(struct db_reader *reader, struct arena *arena, struct once_claim *claim,
              enum once_found *found, struct answer *answer, struct uuid *subject);

/* The answer of the key that was claimed with `subject`; answer->known is false where it is not
 * fixed yet. */
err once_find_subject(struct db_reader *reader, struct arena *arena, struct uuid subject,
                      struct answer *answer);

/* Whether it is fixed by now, in memory of its own: for who must not touch a call's. */
bool once_is_answered(struct db *db, struct uuid subject);

/* The same for many in one statement: keeps those subjects whose answer is fixed, and gives how
 * many these are. */
size_t once_keep_answered(struct db *db, struct uuid *subjects, size_t count);

/* Kept answers that hold `text` (the id of somebody who is to be forgotten), at most `rows_max`:
 * their names, for once_forget. Reads the whole table. */
err once_find_about(struct db_reader *reader, struct arena *arena, str text, int32_t rows_max,
                    struct sha256_bytes **names, size_t *count);

/* Puts NOT_FOUND in the place of answers: a repeat of the key hears that. */
err once_forget(struct tx *tx, const struct sha256_bytes *names, size_t count);

/* Drops keys that were claimed before that time, at most `rows_max` of them, the oldest first. */
err once_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);
