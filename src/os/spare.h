/* Threads that compute in the time that nobody else wants, for what is long and can wait a little:
 * on a core of its own such a thread is as fast as any; beside threads that answer requests it is
 * put aside at once whenever one of them has work.
 *
 * It could be put aside for ever, for nobody may give it back its rank without privilege. So
 * whoever asks waits only so long, and then does the work itself; one at a time, for what was begun
 * keeps its memory until it ends: at no time are there more computations than threads, and one.
 *
 * Nothing but the computation may be done there: a thread that is put aside while it holds a lock
 * holds up all who want it. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SPARE_BYTES_MAX = 2048 };

struct spare;

/* Starts `threads` threads called `name`-N. */
struct spare *spare_open(const char *name, int threads);

/* Waits for what they compute, and frees. Nobody waits in spare_run any more. Accepts NULL. */
void spare_close(struct spare *);

/* Runs `run(subject)` on a free thread and waits for it; if none is free or it does not end within
 * `wait_us`, runs it here, once nobody else does: what ends too late is thrown away. `subject` is
 * `bytes` of plain memory without pointers to what may go away, at most SPARE_BYTES_MAX, copied
 * there and back, and wiped behind. */
void spare_run(struct spare *, void (*run)(void *subject), void *subject, size_t bytes,
               int64_t wait_us);

/* How often spare_run waited in vain. */
int64_t spare_late_count(struct spare *);
