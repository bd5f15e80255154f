#include "base/arena.h"
#include "base/err.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

/* Under AddressSanitizer what is not handed out is poisoned, and so are a few bytes behind each
 * allocation: a use after the reset and a step over the end are seen as with malloc. */
#ifdef ARENA_ASAN
void __asan_poison_memory_region(volatile void *addr, size_t size);
void __asan_unpoison_memory_region(volatile void *addr, size_t size);
enum { GAP_BYTES = 16 };
#define poison(ptr, bytes) __asan_poison_memory_region((ptr), (bytes))
#define unpoison(ptr, bytes) __asan_unpoison_memory_region((ptr), (bytes))
#else
enum { GAP_BYTES = 0 };
#define poison(ptr, bytes) ((void)(ptr), (void)(bytes))
#define unpoison(ptr, bytes) ((void)(ptr), (void)(bytes))
#endif

/* Chunks double up to this, so that a large call asks malloc seldom and a small one wastes little.
 */
enum { CHUNK_BYTES_MAX = 1024 * 1024 };

/* What is as large as this has a chunk of its own, which is zero as it comes from the kernel: a
 * table of which little is used yet takes no memory for the rest. */
enum { LARGE_BYTES = 64 * 1024 };

struct chunk {
    struct chunk *older;
    size_t cap;
    bool mapped;
    alignas(max_align_t) char bytes[];
};

struct undo {
    struct undo *older;
    void (*run)(void *subject);
    void *subject;
};

struct arena {
    char *cursor, *end; /* the free part of the newest chunk */
    char *latest;       /* what arena_grow may lengthen in place */
    size_t used, bytes_max, raised;
    jmp_buf *guard;
    struct undo *undo;
    struct chunk *newest;
    size_t chunk_bytes_next;
    int64_t fail_in; /* 1: at the next; 0: not */
};

/* Pages that nobody had before. calloc writes zeros over what comes from its heap, and so takes all
 * of it at once; but leaks are looked for in what malloc gave. */
static struct chunk *chunk_from_kernel(size_t cap)
{
#ifdef ARENA_ASAN
    return calloc(1, sizeof(struct chunk) + cap);
#else
    void *pages = mmap(NULL, sizeof(struct chunk) + cap, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    ((struct chunk *)pages)->mapped = true;
    return pages;
#endif
}

static void chunk_push(struct arena *arena, size_t cap, bool zeroed)
{
    struct chunk *chunk = zeroed ? chunk_from_kernel(cap) : malloc(sizeof *chunk + cap);
    ASSERT(chunk);

    if (!zeroed)
        chunk->mapped = false;
    chunk->older = arena->newest;
    chunk->cap = cap;
    poison(chunk->bytes, cap);
    arena->newest = chunk;
    arena->cursor = chunk->bytes;
    arena->end = chunk->bytes + cap;
}

static void chunk_pop(struct arena *arena)
{
    struct chunk *chunk = arena->newest;

    arena->newest = chunk->older;
    unpoison(chunk->bytes, chunk->cap);
    if (chunk->mapped) {
        int rc = munmap(chunk, sizeof *chunk + chunk->cap);
        ASSERT(rc == 0);
    } else
        free(chunk);
}

struct arena *arena_open(size_t bytes_max)
{
    struct arena *arena = calloc(1, sizeof *arena);
    ASSERT(arena);

    /* Far from SIZE_MAX, sums of sizes cannot wrap. */
    arena->bytes_max = bytes_max < SIZE_MAX / 4 ? bytes_max : SIZE_MAX / 4;
    arena->chunk_bytes_next = 2 * (size_t)ARENA_CHUNK_BYTES;
    chunk_push(arena, ARENA_CHUNK_BYTES, false);
    return arena;
}

static void undo_all(struct arena *arena)
{
    while (arena->undo) {
        struct undo *undo = arena->undo;
        arena->undo = undo->older; /* first, so that what it runs may defer again */
        undo->run(undo->subject);
    }
}

void arena_close(struct arena *arena)
{
    if (!arena)
        return;

    undo_all(arena);
    while (arena->newest)
        chunk_pop(arena);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    ASSERT(arena);

    undo_all(arena);
    while (arena->newest->older)
        chunk_pop(arena);

    struct chunk *first = arena->newest;
    poison(first->bytes, first->cap);
    arena->cursor = first->bytes;
    arena->end = first->bytes + first->cap;
    arena->latest = NULL;
    arena->used = 0;
    arena->bytes_max -= arena->raised;
    arena->raised = 0;
    arena->chunk_bytes_next = 2 * (size_t)ARENA_CHUNK_BYTES;
}

void arena_guard(struct arena *arena, jmp_buf *guard)
{
    ASSERT(arena);
    arena->guard = guard;
}

jmp_buf *arena_guard_of(const struct arena *arena)
{
    ASSERT(arena);
    return arena->guard;
}

void arena_raise(struct arena *arena, size_t bytes)
{
    ASSERT(arena);
    ASSERT(arena->bytes_max <= SIZE_MAX / 2 - bytes);
    arena->bytes_max += bytes;
    arena->raised += bytes;
}

size_t arena_used(const struct arena *arena)
{
    ASSERT(arena);
    return arena->used;
}

int64_t arena_fail_at(struct arena *arena, int64_t nth)
{
    ASSERT(arena && nth >= 0);
    int64_t left = arena->fail_in;
    arena->fail_in = nth;
    return left;
}

/* The guard is taken off before the jump: what answers for the call cannot come back here in a
 * circle, it must reset the arena first. */
_Noreturn static void over_the_ceiling(struct arena *arena)
{
    jmp_buf *guard = arena->guard;
    ASSERT(guard && "an arena without a guard is over its ceiling");

    arena->guard = NULL;
    longjmp(*guard, 1);
}

__attribute__((noinline)) static void chunk_for(struct arena *arena, size_t bytes)
{
    size_t cap = arena->chunk_bytes_next;

    if (arena->chunk_bytes_next < CHUNK_BYTES_MAX)
        arena->chunk_bytes_next *= 2;
    chunk_push(arena, bytes > cap ? bytes : cap, false);
}

/* Bytes from the newest chunk, or from a new one; says nothing about the ceiling. */
static inline char *take(struct arena *arena, size_t bytes, size_t align)
{
    size_t pad = -(uintptr_t)arena->cursor & (align - 1);
    size_t need = pad + bytes + GAP_BYTES;

    if (__builtin_expect(need > (size_t)(arena->end - arena->cursor), 0)) {
        chunk_for(arena, bytes + GAP_BYTES);
        pad = 0; /* a chunk begins at the strictest alignment */
        need = bytes + GAP_BYTES;
    }

    char *ptr = arena->cursor + pad;
    arena->cursor += need;
    arena->latest = ptr;
    unpoison(ptr, bytes);
    return ptr;
}

/* The same within the ceiling. Each allocation counts rounded up to its alignment, so that the
 * count is the same in every build and on every machine. */
static inline char *take_counted(struct arena *arena, size_t bytes, size_t align)
{
    size_t left = arena->bytes_max - arena->used;

    if (__builtin_expect(bytes > left, 0))
        over_the_ceiling(arena);
    if (__builtin_expect(arena->fail_in > 0, 0) && arena->guard && --arena->fail_in == 0)
        over_the_ceiling(arena);

    size_t counted = (bytes + align - 1) & ~(align - 1);
    arena->used += counted < left ? counted : left;
    return take(arena, bytes, align);
}

void *arena_alloc(struct arena *arena, size_t bytes, size_t align)
{
    ASSERT(arena);
    ASSERT(align > 0 && (align & (align - 1)) == 0 && align <= alignof(max_align_t));

    bool is_large = bytes >= LARGE_BYTES && bytes <= arena->bytes_max - arena->used;
    if (is_large)
        chunk_push(arena, bytes + GAP_BYTES, true);
    char *ptr = take_counted(arena, bytes, align);
    if (!is_large)
        memset(ptr, 0, bytes);
    return ptr;
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size, size_t align)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX;
    return arena_alloc(arena, bytes, align);
}

void *arena_grow(struct arena *arena, void *ptr, size_t bytes_old, size_t bytes_new)
{
    ASSERT(arena);
    ASSERT(bytes_new >= bytes_old);
    ASSERT(ptr || bytes_old == 0);

    size_t more = bytes_new - bytes_old;
    /* Of nothing there may be several at one place. */
    bool in_place =
        bytes_old > 0 && ptr == arena->latest && more <= (size_t)(arena->end - arena->cursor);

    if (in_place) {
        if (more > arena->bytes_max - arena->used)
            over_the_ceiling(arena);
        arena->used += more;
        arena->cursor += more;
        unpoison(ptr, bytes_new);
        return ptr;
    }

    char *moved = take_counted(arena, bytes_new, alignof(max_align_t));
    if (bytes_old > 0)
        memcpy(moved, ptr, bytes_old);
    return moved;
}

void *arena_copy(struct arena *arena, const void *ptr, size_t bytes)
{
    ASSERT(arena);
    ASSERT(ptr || bytes == 0);

    char *copy = take_counted(arena, bytes, alignof(max_align_t));
    if (bytes > 0)
        memcpy(copy, ptr, bytes);
    return copy;
}

void arena_defer(struct arena *arena, void (*undo)(void *subject), void *subject)
{
    ASSERT(arena);
    ASSERT(undo);

    /* Outside the ceiling: a jump from here would leave the subject open for ever. */
    struct undo *node = (struct undo *)(void *)take(arena, sizeof *node, alignof(struct undo));
    *node = (struct undo){ .older = arena->undo, .run = undo, .subject = subject };
    arena->undo = node;
}
