#include "tests/sim/retell.h"
#include "tests/sim/shrink.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 24, WORD_BYTES = 48, LINES_FIRST = 40, LINES_LAST = 110, NAMES_BYTES = 16384 };

/* ---- runs with some of the faults ---- */

static void write_names(const struct fault *faults, int count, char out[NAMES_BYTES])
{
    size_t len = 0;
    out[0] = '\0';
    for (int i = 0; i < count && len + FAULT_NAME_BYTES + 1 < NAMES_BYTES; i++) {
        char name[FAULT_NAME_BYTES];
        fault_name(faults[i], name);
        len += (size_t)snprintf(out + len, NAMES_BYTES - len, "%s%s", i ? " " : "", name);
    }
}

struct seed_of_rule {
    uint64_t seed;
    char rule[JOB_LINE_BYTES];
    int runs;
};

static bool breaks(void *subject, const struct fault *faults, int count)
{
    struct seed_of_rule *wanted = subject;
    static char only[NAMES_BYTES];
    char line[JOB_LINE_BYTES], rule[JOB_LINE_BYTES];
    struct job job;
    struct outcome outcome;
    write_names(faults, count, only);
    job_start(&job, wanted->seed, only, JOB_TELLS_LAST);
    wanted->runs++;
    bool is_good = job_end(&job, &outcome);
    bool is_same = !is_good && job_verdict(&job, line, rule) && strcmp(rule, wanted->rule) == 0;
    if (!is_good)
        job_remove_books(&job);
    job_close(&job);
    return is_same;
}

/* The faults of a run that ended badly, by its line of them. */
static int read_faults(struct job *job, struct fault *faults)
{
    char name[FAULT_NAME_BYTES];
    int count = 0;
    job_rewind(job);
    while (fscanf(job->told, "%31s", name) == 1 && strcmp(name, "FAULTS") != 0)
        (void)fscanf(job->told, "%*[^\n]");
    while (count < FAULTS_TOLD_MAX && fscanf(job->told, "%31s", name) == 1 &&
           fault_of_name(name, &faults[count]))
        count++;
    return count;
}

/* ---- what it is about ---- */

struct words {
    char words[WORDS_MAX][WORD_BYTES];
    int count;
};

static void add_word(struct words *words, const char *from, size_t len)
{
    if (words->count == WORDS_MAX || len < 5 || len >= WORD_BYTES)
        return;
    for (int i = 0; i < words->count; i++)
        if (strlen(words->words[i]) == len && strncmp(words->words[i], from, len) == 0)
            return;
    memcpy(words->words[words->count], from, len);
    words->words[words->count++][len] = '\0';
}

static bool is_id(const char *word, size_t len)
{
    return len == 36 && word[8] == '-' && word[13] == '-' && word[18] == '-';
}

/* Ids, SKUs and keys that a line names. */
static void add_words_of(struct words *words, const char *line)
{
    bool is_key = false;
    for (const char *at = line; *at;) {
        size_t len = 0;
        while (isalnum((unsigned char)at[len]) || at[len] == '-')
            len++;
        if (is_key || is_id(at, len) || (len > 4 && strncmp(at, "sim-", 4) == 0))
            add_word(words, at, len);
        is_key = len == 3 && strncmp(at, "key", 3) == 0;
        at += len;
        while (*at && !isalnum((unsigned char)*at)) {
            is_key = is_key && *at == ' ';
            at++;
        }
    }
}

static bool names_any(const struct words *words, const char *line)
{
    for (int i = 0; i < words->count; i++) {
        const char *at = strstr(line, words->words[i]);
        size_t len = strlen(words->words[i]);
        if (at && !isalnum((unsigned char)at[len]) && at[len] != '-')
            return true;
    }
    return false;
}

/* What an order is about: its id, and the key that it was placed with. */
static struct words words_of(struct job *job, const char *verdict)
{
    struct words words = { .count = 0 };
    char line[JOB_LINE_BYTES];
    add_words_of(&words, verdict);
    struct words named = words;
    job_rewind(job);
    while (job_read(job, line)) {
        const char *answer = strstr(line, " <- ");
        if (answer && names_any(&named, line) && strstr(line, "/orders key "))
            add_words_of(&words, strstr(line, "key "));
    }
    return words;
}

static bool is_of_the_world(const char *line)
{
    static const char *const parts[] = {
        " ! ",       "THE SHOP",  " the shop is",   " the power",     " the process",
        " the disk", " the wall", " it was killed", " all have gone", "VIOLATED",
        "panic: ",   "baton: ",   "ERROR: Address"
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(line, parts[i]))
            return true;
    return false;
}

/* ---- the story ---- */

static int count_lines(struct job *job, const struct words *words)
{
    char line[JOB_LINE_BYTES];
    int count = 0;
    job_rewind(job);
    while (job_read(job, line))
        count += is_of_the_world(line) || names_any(words, line);
    return count;
}

static void print_lines(struct job *job, const struct words *words)
{
    char line[JOB_LINE_BYTES];
    int all = count_lines(job, words), at = 0;
    job_rewind(job);
    while (job_read(job, line)) {
        if (!is_of_the_world(line) && !names_any(words, line))
            continue;
        if (at == LINES_FIRST && all > LINES_FIRST + LINES_LAST)
            printf("      … %d lines …\n", all - LINES_FIRST - LINES_LAST);
        if (at < LINES_FIRST || at >= all - LINES_LAST)
            printf("%.220s\n", line);
        at++;
    }
}

static void tell(const struct seed_of_rule *wanted, const struct fault *faults, int count,
                 int count_before)
{
    static char only[NAMES_BYTES];
    char line[JOB_LINE_BYTES], rule[JOB_LINE_BYTES];
    struct job job;
    struct outcome outcome;
    write_names(faults, count, only);
    job_start(&job, wanted->seed, only, JOB_TELLS_ALL);
    bool is_good = job_end(&job, &outcome);
    bool has_verdict = !is_good && job_verdict(&job, line, rule);
    printf("---- Seed %llu: %d of its %d faults are needed (%d runs): %s\n",
           (unsigned long long)wanted->seed, count, count_before, wanted->runs,
           count ? only : "none");
    if (has_verdict) {
        struct words words = words_of(&job, line);
        print_lines(&job, &words);
    }
    printf("---- Again: make sim SEED=%llu FAULTS='%s'\n", (unsigned long long)wanted->seed,
           count ? only : "none");
    fflush(stdout);
    if (!is_good)
        job_remove_books(&job);
    job_close(&job);
}

void retell(struct job *failed, int tries_max)
{
    static struct fault faults[FAULTS_TOLD_MAX];
    struct seed_of_rule wanted = { .seed = failed->seed };
    char line[JOB_LINE_BYTES];
    if (!job_verdict(failed, line, wanted.rule))
        return;
    int all = read_faults(failed, faults);
    int count = shrink(faults, all, tries_max, breaks, &wanted);
    tell(&wanted, faults, count, all);
}
