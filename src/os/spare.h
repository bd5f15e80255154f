/* Threads that compute in the time that nobody else wants, for what is long and can wait a little:
 * on a core of its own such a thread is as fast as any; beside threads that answer requests it is
 * put aside at once whenever one of them has work.
 *
 * It could be put aside for ever. So whoever asks waits only so long, and then does the work
 * itself: what the time of a computation is, is bounded by that wait and its own length.
 *
 * Nothing but the computation may be done there: a thread that is put aside while it holds a lock
 * holds up all who want it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPARE_BYTES_MAX = 2048 };

struct spare;

/* Starts `threads` threads called `name`-N. */
struct spare *spare_open(const char *name, int threads);

/* Waits for what they compute, and frees. Nobody waits in spare_run any more. Accepts NULL. */
void spare_close(struct spare *);

/* Runs `run(subject)` on a free thread and waits for it; `subject` is `bytes` of plain memory
 * without pointers to what may go away, at most SPARE_BYTES_MAX, copied there and back, and wiped
 * behind. False, with `subject` untouched, if no thread was free or it did not end within
 * `wait_us`: the caller does it now. What ends too late is thrown away. */
bool spare_run(struct spare *, void (*run)(void *subject), void *subject, size_t bytes,
               int64_t wait_us);

/* How often spare_run waited in vain. */
int64_t spare_late_count(struct spare *);
