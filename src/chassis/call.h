/* A call: one request, event or job of a service at work, from the contract's door to its answer.
 *
 * A handler reads on the call's snapshot, decides with pure functions, hands over one write, and
 * returns. The dispatcher (service.c) does what comes before the first line and after the last:
 * parsing, limits, authentication, the deadline, the replay of a repeated key; the write, its retry
 * on a version that moved, and the mapping of `err` to a status. */
#pragma once
#include "base/arena.h"
#include "base/time.h"
#include "base/uuid.h"
#include "chassis/db.h"
#include "chassis/message.h"
#include "chassis/spec.h"
#include "chassis/spool.h"
#include "chassis/write.h"

struct service;
struct request;
struct lane_seat;
struct place_turn;

enum { ROLE_BIT_CUSTOMER = 1, ROLE_BIT_STAFF = 2, ROLE_BIT_ADMIN = 4 };

/* The bit of a duka.Scope by its number. */
static inline unsigned scope_bit(unsigned scope) { return 1u << scope; }

/* Who calls. */
struct identity {
    bool known;     /* false: anyone */
    bool neighbour; /* a service of ours */
    bool operator_; /* by the operator's socket */
    bool is_key;    /* a server, by an API key: `user` is the key's id */
    struct uuid user, session;
    int64_t version; /* of the account when the token was made */
    unsigned roles;  /* ROLE_BIT_…; a key has those of the staff in a call of its scopes only */
    unsigned scopes; /* of a key: scope_bit of each */
    bool email_verified;
    time_us expires_at;
};

static inline bool identity_is_staff(const struct identity *who)
{
    return (who->roles & (ROLE_BIT_STAFF | ROLE_BIT_ADMIN)) != 0;
}

struct call {
    struct arena *arena;
    struct service *service;
    const struct call_spec *spec;         /* NULL in reactions and jobs */
    const struct reaction_spec *reaction; /* NULL elsewhere */
    struct identity who;
    time_us now;                   /* wall time, the same during one run of the handler */
    int64_t deadline_us;           /* monotonic */
    int64_t cursor_life_us;        /* that a cursor has at least, and an eighth more at most */
    const struct request *request; /* NULL for events, jobs and inline calls */
    str traceparent;
    struct place_turn *turn;   /* with a neighbour; NULL: it cannot come again */
    str idempotency_key;       /* none where there is none */
    struct spool spool;        /* the body of a call marked `stream` */
    int32_t wait_ms;           /* how long the answer may wait for settling */
    struct db_reader *reader_; /* opened at the first read */
    struct write *write;       /* the one write, or NULL */
    bool is_audited;           /* see call_audit */
    const void *answer;        /* message of spec->response */
    /* Makes the answer of its subject after the batch function ran. */
    const void *(*answer_view)(struct arena *arena, const void *subject);
    const void *answer_subject;
    /* Makes the next piece of an answer that is sent in pieces. */
    err (*make_piece)(void *self, struct call *job, void *state, struct text *out, bool *more);
    void *piece_state;
    const char *piece_file;
    int answer_status;   /* 0: the contract's */
    struct uuid settles; /* subject whose settling answers, or nil */
    const void *(*settled_view)(struct arena *arena, const void *row);
    time_us rests_until_;   /* of a timer's job: see job_rest */
    struct lane_seat *seat; /* of a lane's job: see lanes.h */
    struct uuid shows;      /* what a kept answer shows; nil: it is not kept */
    str etag;               /* with its quotes; none: made from the body */
    str location;           /* overrides the contract's template */
};

/* The snapshot of this call. */
err call_reader(struct call *call, struct db_reader **out);

/* Ends the snapshot, before waiting for somebody else; the next call_reader begins a new one. */
void call_read_end(struct call *call);

/* The wall time as it is now, for a job that has waited for somebody; `now` stays. */
time_us call_time(const struct call *call);

/* A new id. */
struct uuid call_new_id(struct call *call);

/* Random bytes, good enough for secrets. */
void call_random(struct call *call, void *out, size_t count);

/* The one write of this call: rows by `batch` over `subject`. At most once in a run. */
struct write *call_write(struct call *call, write_batch *batch, void *subject);

/* One of the staff does what is a customer's otherwise: a row of the audit trail goes with the
 * write. (Calls for staff alone have it without being asked.) */
void call_audit(struct call *call);

/* Answers with a message (of the contract's response type), after the write if there is one. */
err call_answer(struct call *call, const void *message);

/* Answers with what `view` makes of `subject` after the batch function has run and before the
 * commit: for what is decided under the lock. `view` is pure and runs on the writer's thread. */
err call_answer_with(struct call *call,
                     const void *(*view)(struct arena *arena, const void *subject),
                     const void *subject);

/* Answers when the subject settles: whoever fixes its answer (write_answer_subject) wakes this
 * call; when its time (Prefer: wait, 1 s by default) is up, the call answers 202 with `message`,
 * its state as placed. */
err call_answer_when_settled(struct call *call, struct uuid subject, const void *message);

/* Answers with a body of the contract's answer_type that is made in pieces, for as long as it
 * takes, under the file's name `file`. `make` adds one (ANSWER_PIECE_BYTES or some more) to `out`;
 * *more tells whether another follows. It runs as a job with a snapshot of its own; `state` is what
 * it goes on from: it lies in the call's arena and does not grow. */
err call_answer_stream(struct call *call, const char *file,
                       err (*make)(void *self, struct call *job, void *state, struct text *out,
                                   bool *more),
                       void *state);

/* Strong ETag of one resource by its version, and the check of If-Match against it: VERSION_STALE
 * where it differs. (That If-Match is there where the contract wants it was checked before.) */
void call_etag(struct call *call, int64_t version);
err call_if_match(struct call *call, int64_t version);

/* Fixes the answer that the call which claimed `subject` gives: a message of `spec`'s response, or
 * an error. */
void write_answer_subject(struct write *write, struct uuid subject, const struct message_spec *spec,
                          const void *message, int status);
void write_answer_subject_error(struct write *write, struct uuid subject, err error);

/* The answer of this public read shows the resource `subject` and nothing else, and is the same for
 * everyone: it may be kept in memory until a commit changes that (tx_note_change). */
void call_cacheable(struct call *call, struct uuid subject);

/* ---- paging ---- */

/* An opaque cursor over a position, bound to what was asked, for call->cursor_life_us (a changed
 * query, a changed cursor, one that has expired: CURSOR_INVALID). */
str cursor_write(struct call *call, str position);
err cursor_read(struct call *call, str cursor, str *position);
