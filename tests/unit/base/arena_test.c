#include "base/arena.h"
#include "tests/lib/test.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SMALL_MAX = 1000 };

TEST(allocations_are_zeroed_also_after_a_reset)
{
    for (int round = 0; round < 3; round++) {
        unsigned char *bytes = arena_alloc(t->arena, 500, 1);
        for (size_t i = 0; i < 500; i++)
            CHECK_INT(bytes[i], 0);
        memset(bytes, 0xff, 500);
        arena_reset(t->arena);
    }
}

TEST(allocations_are_aligned_as_asked)
{
    for (size_t align = 1; align <= alignof(max_align_t); align *= 2)
        for (size_t bytes = 0; bytes < 40; bytes++)
            CHECK_INT((uintptr_t)arena_alloc(t->arena, bytes, align) % align, 0);
}

TEST(allocations_do_not_overlap)
{
    enum { COUNT = 3000 };
    char **seen = arena_array(t->arena, char *, COUNT);

    for (size_t i = 0; i < COUNT; i++) {
        seen[i] = arena_alloc(t->arena, i % 200 + 1, 1);
        memset(seen[i], (int)(i % 251), i % 200 + 1);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < i % 200 + 1; j++)
            CHECK_INT((unsigned char)seen[i][j], i % 251);
}

TEST(an_allocation_may_be_larger_than_a_chunk)
{
    char *bytes = arena_alloc(t->arena, 10 * ARENA_CHUNK_BYTES, 16);

    bytes[0] = bytes[10 * ARENA_CHUNK_BYTES - 1] = 'x';
    CHECK_INT(arena_used(t->arena), 10 * ARENA_CHUNK_BYTES);
    *arena_new(t->arena, int) = 1;
}

static void check_zero_and_soil(struct test *t, size_t bytes)
{
    unsigned char *ptr = arena_alloc(t->arena, bytes, 16);
    CHECK_INT((uintptr_t)ptr % 16, 0);
    for (size_t i = 0; i < bytes; i++)
        if (ptr[i] != 0)
            CHECK_INT(ptr[i], 0);
    memset(ptr, 0xff, bytes);
}

TEST(large_allocations_are_zeroed_too_whatever_was_there_before)
{
    for (int round = 0; round < 4; round++) {
        for (size_t kib = 64; kib <= 2048; kib *= 2) {
            check_zero_and_soil(t, 100);
            check_zero_and_soil(t, kib * 1024 - 1);
            check_zero_and_soil(t, kib * 1024);
        }
        arena_reset(t->arena);
    }
}

TEST(the_first_chunk_is_kept_on_reset)
{
    void *first = arena_alloc(t->arena, 16, 16);

    arena_alloc(t->arena, 3 * ARENA_CHUNK_BYTES, 1);
    arena_reset(t->arena);
    CHECK(arena_alloc(t->arena, 16, 16) == first);
}

TEST(used_counts_each_allocation_rounded_up_to_its_alignment)
{
    CHECK_INT(arena_used(t->arena), 0);
    arena_alloc(t->arena, 3, 1);
    CHECK_INT(arena_used(t->arena), 3);
    arena_alloc(t->arena, 3, 8);
    CHECK_INT(arena_used(t->arena), 11);
    arena_reset(t->arena);
    CHECK_INT(arena_used(t->arena), 0);
}

/* Tells whether an allocation goes over the ceiling of a small arena that has `used` bytes gone. */
static bool goes_over(size_t used, size_t count, size_t size)
{
    jmp_buf guard;
    struct arena *arena = arena_open(SMALL_MAX);

    arena_alloc(arena, used, 1);
    if (setjmp(guard)) {
        arena_close(arena);
        return true;
    }
    arena_guard(arena, &guard);
    arena_alloc_array(arena, count, size, 1);
    arena_close(arena);
    return false;
}

TEST(the_ceiling_is_exact)
{
    CHECK(!goes_over(0, 1, SMALL_MAX));
    CHECK(goes_over(0, 1, SMALL_MAX + 1));
    CHECK(!goes_over(SMALL_MAX - 1, 1, 1));
    CHECK(goes_over(SMALL_MAX, 1, 1));
    CHECK(!goes_over(SMALL_MAX, 0, 1));
    CHECK(goes_over(0, 1, SIZE_MAX));
}

TEST(a_product_that_overflows_is_over_the_ceiling)
{
    CHECK(goes_over(0, SIZE_MAX / 2 + 2, 2));
    CHECK(goes_over(0, SIZE_MAX, SIZE_MAX));
}

TEST(growing_and_copying_keep_to_the_ceiling)
{
    jmp_buf guard;
    volatile int jumps = 0;
    struct arena *arena = arena_open(SMALL_MAX);
    char *grown = arena_grow(arena, NULL, 0, 600);

    if (setjmp(guard))
        jumps++;
    arena_guard(arena, &guard); /* a jump takes it off */
    if (jumps == 0)
        arena_grow(arena, grown, 600, SMALL_MAX + 1);
    if (jumps == 1)
        arena_copy(arena, grown, 500);
    CHECK_INT(jumps, 2);
    CHECK(arena_used(arena) <= SMALL_MAX);
    arena_close(arena);
}

TEST(the_guard_that_is_on_can_be_asked_for)
{
    struct arena *arena = arena_open(100);
    jmp_buf guard;
    bool none = !arena_guard_of(arena);
    arena_guard(arena, &guard);
    bool ours = arena_guard_of(arena) == &guard;
    arena_close(arena);
    CHECK(none && ours);
}

TEST(an_arena_without_a_guard_panics_over_its_ceiling)
{
    struct arena *arena = arena_open(SMALL_MAX);

    CHECK_PANICS(arena_alloc(arena, SMALL_MAX + 1, 1));
    arena_close(arena);
}

static void jump_and_allocate_again(void)
{
    jmp_buf guard;
    struct arena *arena = arena_open(SMALL_MAX);

    if (!setjmp(guard))
        arena_guard(arena, &guard);
    arena_alloc(arena, SMALL_MAX + 1, 1);
}

TEST(the_nth_allocation_fails_where_a_test_asks_for_it)
{
    jmp_buf guard;
    volatile int allocations = 0;
    arena_fail_at(t->arena, 3);
    (void)arena_alloc(t->arena, 1, 1); /* without a guard none fails */
    if (setjmp(guard) == 0) {
        arena_guard(t->arena, &guard);
        while (allocations < 10) {
            (void)arena_alloc(t->arena, 1, 1);
            allocations++;
        }
    }
    arena_guard(t->arena, NULL);
    CHECK_INT(allocations, 2);
    CHECK_INT(arena_fail_at(t->arena, 5), 0);
    (void)arena_alloc(t->arena, 1, 1);
    CHECK_INT(arena_fail_at(t->arena, 0), 5);
}

TEST(a_guard_is_good_for_one_jump) { CHECK_PANICS(jump_and_allocate_again()); }

TEST(an_arena_is_used_again_after_a_jump_and_a_reset)
{
    jmp_buf guard;
    struct arena *arena = arena_open(SMALL_MAX);

    if (!setjmp(guard)) {
        arena_guard(arena, &guard);
        for (;;)
            arena_alloc(arena, 100, 1);
    }
    arena_reset(arena);
    arena_alloc(arena, SMALL_MAX, 1);
    CHECK_INT(arena_used(arena), SMALL_MAX);
    arena_close(arena);
}

TEST(growing_the_latest_allocation_stays_in_place)
{
    char *first = arena_grow(t->arena, NULL, 0, 10);

    memcpy(first, "0123456789", 10);
    CHECK(arena_grow(t->arena, first, 10, 1000) == first);
    CHECK_INT(arena_used(t->arena), 16 + 990);
    CHECK_BYTES(first, "0123456789", 10);
}

TEST(growing_an_earlier_allocation_copies_it)
{
    char *first = arena_grow(t->arena, NULL, 0, 10);
    memcpy(first, "0123456789", 10);
    char *second = arena_alloc(t->arena, 1, 1);
    char *moved = arena_grow(t->arena, first, 10, 20);

    CHECK(moved != first && moved != second);
    CHECK_BYTES(moved, "0123456789", 10);
}

TEST(growing_past_the_chunk_copies)
{
    char *bytes = arena_grow(t->arena, NULL, 0, 10);

    memcpy(bytes, "0123456789", 10);
    bytes = arena_grow(t->arena, bytes, 10, 2 * ARENA_CHUNK_BYTES);
    CHECK_BYTES(bytes, "0123456789", 10);
    bytes[2 * ARENA_CHUNK_BYTES - 1] = 'x';
}

TEST(a_copy_of_nothing_is_not_null)
{
    CHECK(arena_copy(t->arena, NULL, 0) != NULL);
    CHECK(arena_alloc(t->arena, 0, 1) != NULL);
    CHECK_BYTES(arena_copy(t->arena, "abc", 3), "abc", 3);
}

/* Letters that deferred functions leave, in the order in which they ran. */
static char undone[8];
static size_t undone_count;

static void undone_forget(void)
{
    memset(undone, 0, sizeof undone);
    undone_count = 0;
}

static void undo_letter(void *letter)
{
    CHECK(undone_count + 1 < sizeof undone);
    undone[undone_count++] = *(const char *)letter;
}

/* Each letter at its own place: what is deferred is told apart by its subject. */
static char LETTERS[128] = {
    ['1'] = '1', ['2'] = '2', ['3'] = '3', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['x'] = 'x'
};

static void defer_letter(struct arena *arena, char letter)
{
    arena_defer(arena, undo_letter, &LETTERS[(size_t)letter]);
}

TEST(what_was_deferred_runs_last_first_and_once)
{
    undone_forget();
    defer_letter(t->arena, 'a');
    defer_letter(t->arena, 'b');
    defer_letter(t->arena, 'c');
    arena_reset(t->arena);
    CHECK_STR(undone, "cba");
    arena_reset(t->arena);
    CHECK_STR(undone, "cba");
}

TEST(closing_runs_what_was_deferred)
{
    struct arena *arena = arena_open(SMALL_MAX);

    undone_forget();
    defer_letter(arena, 'x');
    arena_close(arena);
    CHECK_STR(undone, "x");
}

static void undo_and_defer(void *arena)
{
    undo_letter(&LETTERS['1']);
    defer_letter(arena, '2');
}

TEST(what_is_deferred_while_undoing_runs_too)
{
    undone_forget();
    defer_letter(t->arena, '3');
    arena_defer(t->arena, undo_and_defer, t->arena);
    arena_reset(t->arena);
    CHECK_STR(undone, "123");
}

TEST(deferring_succeeds_in_a_full_arena)
{
    struct arena *arena = arena_open(SMALL_MAX);

    undone_forget();
    arena_alloc(arena, SMALL_MAX, 1);
    defer_letter(arena, 'x');
    arena_close(arena);
    CHECK_STR(undone, "x");
}

TEST(what_was_deferred_may_use_the_memory_of_the_arena)
{
    char *letter = arena_copy(t->arena, "m", 2);

    undone_forget();
    arena_defer(t->arena, undo_letter, letter);
    arena_reset(t->arena);
    CHECK_STR(undone, "m");
}

TEST(closing_nothing_is_allowed) { arena_close(NULL); }

TEST(misuse_panics)
{
    CHECK_PANICS(arena_alloc(NULL, 1, 1));
    CHECK_PANICS(arena_alloc(t->arena, 1, 3));
    CHECK_PANICS(arena_alloc(t->arena, 1, 0));
    CHECK_PANICS(arena_grow(t->arena, arena_alloc(t->arena, 8, 1), 8, 4));
    CHECK_PANICS(arena_defer(t->arena, NULL, NULL));
}

#ifdef __SANITIZE_ADDRESS__
int __asan_address_is_poisoned(const volatile void *addr);

TEST(the_address_sanitizer_sees_memory_that_was_given_back)
{
    char *bytes = arena_alloc(t->arena, 64, 16);

    CHECK(!__asan_address_is_poisoned(bytes + 63));
    CHECK(__asan_address_is_poisoned(bytes + 64));
    arena_reset(t->arena);
    CHECK(__asan_address_is_poisoned(bytes));
}

TEST(the_address_sanitizer_sees_a_step_into_the_next_allocation)
{
    char *first = arena_alloc(t->arena, 5, 1);
    char *second = arena_alloc(t->arena, 5, 1);

    CHECK(second - first >= 5);
    CHECK(__asan_address_is_poisoned(first + 8));
    CHECK(!__asan_address_is_poisoned(second));
}
#endif

TEST(a_raised_ceiling_holds_until_the_next_reset)
{
    struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
    jmp_buf guard;
    volatile int jumps = 0;

    arena_raise(arena, 1024);
    arena_alloc(arena, ARENA_CHUNK_BYTES + 1024, 1);
    arena_reset(arena);
    if (setjmp(guard) == 0) {
        arena_guard(arena, &guard);
        arena_alloc(arena, ARENA_CHUNK_BYTES + 1024, 1);
    } else {
        jumps++;
    }
    CHECK_INT(jumps, 1);
    arena_close(arena);
}

#if !defined(__SANITIZE_ADDRESS__)
static size_t pages_present(char *first, size_t bytes)
{
    enum { PAGES_MAX = 1024 };
    unsigned char present[PAGES_MAX];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = bytes / page, count = 0;
    ASSERT(pages <= PAGES_MAX && mincore(first, bytes, present) == 0);
    for (size_t i = 0; i < pages; i++)
        count += present[i] & 1;
    return count;
}

TEST(a_large_table_takes_memory_only_where_something_was_written)
{
    enum { TABLE_BYTES = 96 * 1024 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int round = 0; round < 3; round++) { /* the heap has grown and shrunk meanwhile */
        struct arena *arena = arena_open(SIZE_MAX);
        arena_alloc(arena, TABLE_BYTES / 2, 1);
        char *table = arena_alloc(arena, TABLE_BYTES, 1);
        char *first = table + (-(uintptr_t)table & (page - 1));
        CHECK_INT(pages_present(first, TABLE_BYTES - page), 0);
        table[TABLE_BYTES / 2] = 1;
        CHECK_INT(pages_present(first, TABLE_BYTES - page), 1);
        for (size_t i = 0; i < TABLE_BYTES; i++)
            CHECK_INT(table[i], i == TABLE_BYTES / 2);
        memset(table, 0xff, TABLE_BYTES);
        free(malloc(TABLE_BYTES));
        arena_close(arena);
    }
}
#endif
