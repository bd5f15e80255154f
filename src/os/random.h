/* Random bytes and new ids. The simulator swaps the source by a seeded one. */
#pragma once
#include "base/uuid.h"

struct random_ops {
    void (*bytes)(void *out, size_t count);
};

extern const struct random_ops random_machine; /* getrandom(2) */

/* Replaces the source for the whole process, before any thread starts. Ids start anew: what a
 * seeded run makes does not depend on what ran before it. */
void random_use(const struct random_ops *ops);

/* Fills `out`; good enough for keys. */
void random_bytes(void *out, size_t count);
uint64_t random_u64(void);

/* A new UUIDv7; in one process each is greater than the one before, also when the wall clock goes
 * back. Any thread. */
struct uuid id_new(void);
