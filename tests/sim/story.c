#include "tests/sim/story.h"
#include "os/clock.h"
#include "tests/sim/baton.h"
#include "tests/sim/faults.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINES_KEPT = 400, LINE_BYTES = 420, LINES_SHOWN = 60 };

static struct {
    uint64_t seed;
    bool is_loud, clock_runs, is_ending;
    int64_t began_us;
    char lines[LINES_KEPT][LINE_BYTES];
    uint64_t told;
    void (*leave)(void);
} story;

void story_open(uint64_t seed, bool is_loud)
{
    story.seed = seed;
    story.is_loud = is_loud;
    story.clock_runs = story.is_ending = false;
    story.told = 0;
    if (is_loud)
        setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
}

void story_clock(bool runs)
{
    story.clock_runs = runs;
    if (runs)
        story.began_us = clock_mono_us();
}

static void tell(const char *format, va_list args)
{
    char *line = story.lines[story.told++ % LINES_KEPT];
    int len = 0;
    if (story.clock_runs) {
        int64_t us = clock_mono_us() - story.began_us;
        len = snprintf(line, LINE_BYTES, "%5" PRId64 ".%06" PRId64 " ", us / 1000000, us % 1000000);
    }
    vsnprintf(line + len, (size_t)(LINE_BYTES - len), format, args);
    if (story.is_loud)
        puts(line);
}

void story_tell(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(format, args);
    va_end(args);
}

static void show_last(void)
{
    uint64_t first = story.told > LINES_SHOWN ? story.told - LINES_SHOWN : 0;
    dprintf(STDOUT_FILENO, "The last lines of the story:\n");
    for (uint64_t i = first; i < story.told; i++)
        dprintf(STDOUT_FILENO, "%s\n", story.lines[i % LINES_KEPT]);
    dprintf(STDOUT_FILENO, "See it again: make sim SEED=%" PRIu64 "\n", story.seed);
}

void story_violated(const char *rule, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    dprintf(STDOUT_FILENO, "VIOLATED %s (seed %" PRIu64 "): ", rule, story.seed);
    va_start(args, format);
    vdprintf(STDOUT_FILENO, format, args);
    va_end(args);
    dprintf(STDOUT_FILENO, " [step %" PRIu64 ", trace %016" PRIx64 "]\n", baton_steps(),
            baton_trace_hash());
    faults_tell(STDOUT_FILENO);
    if (!story.is_loud)
        show_last();
    else
        dprintf(STDOUT_FILENO, "See it again: make sim SEED=%" PRIu64 "\n", story.seed);
    if (story.leave)
        story.leave();
    _exit(STORY_EXIT);
}

static void on_abort(int signal_number)
{
    signal(signal_number, SIG_DFL);
    if (!story.is_ending) {
        story.is_ending = true;
        faults_tell(STDOUT_FILENO);
        show_last();
        if (story.leave)
            story.leave();
    }
    raise(signal_number);
}

void story_on_abort(void) { signal(SIGABRT, on_abort); }

void story_leave_with(void (*leave)(void)) { story.leave = leave; }
