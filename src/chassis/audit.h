/* The audit trail: who of the staff changed what, when, by which call. Ids only.
 *
 * The dispatcher marks the write of every call that staff, admins or the operator alone may make;
 * a handler marks its own (call_audit) where one of the staff does what is a customer's otherwise.
 * The row goes into the transaction of the change: there is no change without it, and no row for
 * what was refused. */
#pragma once
#include "chassis/call.h"
#include "gen/duka.h"

/* One row, made while the call runs. What it is about may be known only under the writer's lock: it
 * is read when the row is written. */
struct audit_entry {
    struct uuid id; /* in the order of time */
    const struct call *call;
    const void *in; /* its request */
};

/* Marks the call's write, where there is one and its caller has to answer for it. `in` is the
 * request's message. */
void audit_mark(struct call *call, const void *in);

/* Writes the rows of a batch. */
err audit_put(struct tx *tx, const struct audit_entry *const *entries, size_t count);

/* Writes a row of what a setting has done: the operator's deed, by the setting's name instead of a
 * call's. */
err audit_put_setting(struct tx *tx, struct uuid id, const char *setting, str subject);

/* Drops rows older than `before`, at most `rows_max` of them, the oldest first. */
err audit_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);

/* Answers a call of the contract that lists them, newest first. CURSOR_INVALID. */
err audit_answer(struct call *call, const Duka__ListAuditRequest *in);
