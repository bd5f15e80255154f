/* Where libFuzzer and driver.c come in. */
#include "tests/fuzz/fuzz.h"

#include <setjmp.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct arena *arena;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    arena = arena_open(FUZZ_ARENA_BYTES_MAX);
    fuzz_begin();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    jmp_buf guard;

    /* An input that wants more than an arena holds is refused by the dispatcher (413). */
    if (setjmp(guard) == 0) {
        arena_guard(arena, &guard);
        fuzz_run(arena, str_of(bytes, len));
    }
    arena_guard(arena, NULL);
    arena_reset(arena);
    return 0;
}
