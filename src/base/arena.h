/* An arena holds the memory of one call, reaction or job and gives it back at once.
 *
 * It grows by chunks (the first is 64 KiB and kept for the next call) up to a hard ceiling of bytes
 * handed out. Over the ceiling the arena unwinds to the arena_guard of its owner (see below), so
 * that code which computes need not check each allocation. One thread uses an arena at a time.
 * Under AddressSanitizer what is not handed out is poisoned. */
#pragma once
#include <setjmp.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct arena;

enum { ARENA_CHUNK_BYTES = 64 * 1024 };

/* An arena that holds at most `bytes_max`. The caller closes it. Never NULL: a process without
 * memory ends. */
struct arena *arena_open(size_t bytes_max);

/* Runs what arena_defer registered, last first, and frees all. Accepts NULL. */
void arena_close(struct arena *arena);

/* Runs what was deferred and forgets all allocations; keeps the first chunk. */
void arena_reset(struct arena *arena);

/* Zeroed bytes at `align`, which is a power of 2, at most that of max_align_t; never NULL, not even
 * for no bytes. Over the ceiling it jumps to the guard; without a guard that is a broken invariant
 * (ASSERT). */
void *arena_alloc(struct arena *arena, size_t bytes, size_t align);

/* Grows the latest allocation in place where it can, else copies. `ptr` may be NULL. New bytes are
 * not zeroed. */
void *arena_grow(struct arena *arena, void *ptr, size_t bytes_old, size_t bytes_new);

/* Calls `undo(subject)` when the arena is reset or closed: for what is not memory. Always succeeds:
 * it does not count toward the ceiling. `subject` may lie in the arena. */
void arena_defer(struct arena *arena, void (*undo)(void *subject), void *subject);

/* Bytes handed out since the last reset, each allocation rounded up to its alignment. */
size_t arena_used(const struct arena *arena);

/* Where an allocation over the ceiling goes. The dispatcher writes:
 *     jmp_buf guard; if (setjmp(guard)) { … answer CALL_TOO_LARGE … } arena_guard(arena, &guard);
 * and takes it back with arena_guard(arena, NULL). A guard is good for one jump, which takes it
 * off: reset the arena before it is used again. */
void arena_guard(struct arena *arena, jmp_buf *guard);

/* The guard that is on, or NULL: for who lends the arena to another thread, and puts it back. */
jmp_buf *arena_guard_of(const struct arena *arena);

/* Raises the ceiling for this use (until the next reset): room to say what went wrong after a jump.
 */
void arena_raise(struct arena *arena, size_t bytes);

/* For tests: the nth allocation from now on that has a guard is over the ceiling, whatever its
 * size; 0 takes that back. Tells how many were still to come before it: 0 when it has failed. */
int64_t arena_fail_at(struct arena *arena, int64_t nth);

#define arena_new(arena, type) ((type *)arena_alloc((arena), sizeof(type), alignof(type)))
#define arena_array(arena, type, count) \
    ((type *)arena_alloc_array((arena), (count), sizeof(type), alignof(type)))

/* Zeroed room for `count` elements; an overflow of the product counts as over the ceiling. */
void *arena_alloc_array(struct arena *arena, size_t count, size_t size, size_t align);

/* A copy of `bytes` bytes, at the alignment of max_align_t. */
void *arena_copy(struct arena *arena, const void *ptr, size_t bytes);
