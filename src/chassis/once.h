/* Idempotency keys inside a batch: the writer's side of what write.h says about `once`.
 *
 * A key is claimed in the transaction that does its work, so no claim is ever committed alone.
 * Handlers use once_find (write.h); only dispatch.c and the writer include this. */
#pragma once
#include "chassis/write.h"

/* The claim of a call with a key: its scope is the caller, the call and its resource; its body is
 * the message, and what was spooled of a stream. */
struct call;
struct once_claim once_claim_of(const struct call *call, const void *in);

/* Claims in the order of keys; `taken[i]` tells whether claims[i] is this batch's now. Of several
 * claims of one key the first takes it. */
err once_take(struct tx *tx, const struct once_claim *const *claims, size_t count, bool *taken);

/* Takes back claims of this transaction whose members failed. */
err once_take_back(struct tx *tx, const struct once_claim *const *claims, size_t count);

/* Keeps the answers of keys that were claimed in this transaction. */
err once_keep(struct tx *tx, const struct once_claim *const *claims,
              const struct answer *const *answers, size_t count);

/* Fixes the answers of keys that were claimed with these subjects, where they have none yet. */
err once_fix(struct tx *tx, const struct uuid *subjects, const struct answer *const *answers,
             size_t count, bool *won);
