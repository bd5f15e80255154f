#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

unsigned fuzz_number(str *input, unsigned below)
{
    unsigned number = 0;

    if (below > 256 && input->len > 0) {
        number = (unsigned char)input->ptr[0];
        *input = str_slice(*input, 1, SIZE_MAX);
    }
    if (input->len > 0) {
        number = number << 8 | (unsigned char)input->ptr[0];
        *input = str_slice(*input, 1, SIZE_MAX);
    }
    if (below <= 256 && number >= '0' && number - '0' < below)
        return number - '0';
    return number % below;
}

str fuzz_take(str *input, size_t count)
{
    str taken = str_slice(*input, 0, count);
    *input = str_slice(*input, taken.len, SIZE_MAX);
    return taken;
}

unsigned fuzz_dice(struct fuzz_dice *dice, unsigned below)
{
    dice->state = dice->state * 1664525U + 1013904223U;
    return (dice->state >> 8) % below;
}

_Noreturn void fuzz_fail(const char *file, int line, const char *words)
{
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, words);
    abort();
}

void fuzz_same(const char *file, int line, str a, str b)
{
    if (str_equal(a, b))
        return;
    (void)fprintf(stderr, "%s:%d: not the same:\n%" STR_F "\n%" STR_F "\n", file, line, STR_A(a),
                  STR_A(b));
    abort();
}

bool fuzz_planted(const char *name)
{
    static const char *planted;

    if (!planted) {
        planted = getenv("FUZZ_PLANT");
        planted = planted ? planted : "";
    }
    return strcmp(planted, name) == 0;
}

void fuzz_plant_overread(str text, str needle)
{
    if (!fuzz_planted("overread") || str_find(text, needle) < 0)
        return;
    char *copy = malloc(text.len);
    if (!copy)
        abort();
    memcpy(copy, text.ptr, text.len);
    if (*(volatile char *)(copy + text.len) == 'x')
        abort();
    free(copy);
}
