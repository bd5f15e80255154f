/* What the fuzzers share. A fuzzer is one file that reads foreign bytes as the program does, by the
 * same functions; it says what must hold whatever the bytes are. It is linked with libFuzzer (build
 * `fuzz`, make fuzz) or with driver.c (build `asan`, the stage `fuzz` of make test), which runs the
 * files of a corpus and some mutations of them.
 *
 * In the corpora the first bytes of a file are numbers that choose (see fuzz_number); the rest is
 * what somebody would send. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

enum { FUZZ_ARENA_BYTES_MAX = 64 * 1024 * 1024 };

/* Of each fuzzer. Once, before the first input. */
void fuzz_begin(void);

/* Of each fuzzer. One input; the arena is empty again at the next. */
void fuzz_run(struct arena *arena, str input);

/* Takes a number in [0, below) off the input: of a byte, or of two where `below` is over 256; 0
 * where nothing is left. Printable bytes choose as they look: '0' is 0, '1' is 1. */
unsigned fuzz_number(str *input, unsigned below);

/* Takes up to `count` bytes off the input. */
str fuzz_take(str *input, size_t count);

/* Numbers from a seed: how bytes are cut, never what they are. */
struct fuzz_dice {
    uint32_t state;
};
unsigned fuzz_dice(struct fuzz_dice *dice, unsigned below);

/* What must hold. Ends the process with the words, as a crash does. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))
_Noreturn void fuzz_fail(const char *file, int line, const char *words);

/* The same text. */
#define FUZZ_SAME(a, b) fuzz_same(__FILE__, __LINE__, (a), (b))
void fuzz_same(const char *file, int line, str a, str b);

/* True in a fuzzer whose FUZZ_PLANT is this name: a fault that it must find (fuzz_planted.py). */
bool fuzz_planted(const char *name);

/* Reads one byte behind its end where the bug is planted and the text holds `needle`: what a
 * careless parser does. */
void fuzz_plant_overread(str text, str needle);
