/* The whole shop under seeds: threads take turns as a seed says, time is virtual, the bus loses,
 * delays and repeats, neighbours are away, clocks drift and jump, the disk fails, the shop is
 * killed and opens again. Each seed is a test of its own.
 *
 *     sim-shop              the seeds of make test
 *     SEEDS=500 sim-shop    that many; SEEDS=100-200: these
 *     SEED=42 sim-shop      one, told line by line; twice, to see that it is the same run
 *     FAULTS='kill:0' …     with these of its faults only
 *     JOBS=1 …              one at a time
 *     FILES=1 …             its databases as files of the machine, instead of in memory
 *
 * Of a seed that breaks a rule the faults that are not needed are left out, and the rest is told
 * (retell.h); SHRINK=0 leaves that out.
 */
#include "base/planted.h"
#include "tests/lib/test.h"
#include "tests/sim/retell.h"
#include <stdio.h>

enum {
    SEEDS_STANDARD = 40,
    TWICE_STANDARD = 3,
    JOBS_MAX = 8,
    SHRINK_TRIES_MAX = 150,
    JOB_PATIENCE_S = 2 * 3600
};

static uint64_t seed_first = 1, seed_last = SEEDS_STANDARD, seed_next;
static const char *only_faults; /* NULL: all */
static bool is_loud;
static struct job jobs[JOBS_MAX];                /* by seed modulo their number */
static int seeds_run, struck[FAULT_KINDS_COUNT]; /* the faults that struck in them */
static int done[DEEDS_COUNT];                    /* what else happened */

static int jobs_at_once(void)
{
    const char *jobs_wanted = getenv("JOBS");
    int64_t processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (jobs_wanted)
        (void)str_to_int64(str_of_z(jobs_wanted), 1, JOBS_MAX, &processors);
    return processors < 1 || is_loud ? 1 : processors > JOBS_MAX ? JOBS_MAX : (int)processors;
}

/* ---- a seed that ended badly ---- */

static void show_told(struct job *job)
{
    char line[JOB_LINE_BYTES];
    job_rewind(job);
    while (job_read(job, line))
        puts(line);
    fflush(stdout);
}

static void explain(struct job *job)
{
    const char *shrinks = getenv("SHRINK");
    show_told(job);
    printf("seed %llu: its books are in %s\n", (unsigned long long)job->seed, job->folder);
    if (!shrinks || strcmp(shrinks, "0") != 0)
        retell(job, SHRINK_TRIES_MAX);
}

/* ---- the tests ---- */

static void tell_outcome(uint64_t seed, const struct outcome *outcome)
{
    printf("seed %llu: %d requests, %d orders, %d events, %d restarts, %d crashes, %d faults,"
           " %lld s of virtual time, %llu steps\n",
           (unsigned long long)seed, outcome->asked, outcome->orders, outcome->events,
           outcome->restarts, outcome->crashes, outcome->faults,
           (long long)(outcome->virtual_us / 1000000), (unsigned long long)outcome->steps);
}

static uint64_t seed_of(const struct test *t)
{
    int64_t seed;
    bool is_seed = str_to_int64(str_of_z(t->name + strlen("seed_")), 0, INT64_MAX, &seed);
    CHECK(is_seed);
    return (uint64_t)seed;
}

/* Runs of later seeds go on while this one is waited for. */
static void keeps_its_books(struct test *t)
{
    uint64_t seed = seed_of(t);
    alarm(JOB_PATIENCE_S);
    if (seed_next < seed)
        seed_next = seed;
    while (seed_next <= seed_last && seed_next < seed + (uint64_t)jobs_at_once()) {
        job_start(&jobs[seed_next % JOBS_MAX], seed_next, only_faults, JOB_COUNTS);
        seed_next++;
    }
    struct job *job = &jobs[seed % JOBS_MAX];
    struct outcome outcome;
    bool is_good = job_end(job, &outcome);
    if (!is_good)
        explain(job);
    job_close(job);
    if (!is_good)
        FAIL("make sim SEED=%llu shows it", (unsigned long long)seed);
    tell_outcome(seed, &outcome);
    seeds_run++;
    for (int kind = 0; kind < FAULT_KINDS_COUNT; kind++)
        struck[kind] += outcome.struck[kind];
    for (int i = 0; i < DEEDS_COUNT; i++)
        done[i] += outcome.deeds[i];
}

static void check_same(const struct outcome *first, const struct outcome *second)
{
    CHECK_INT(second->steps, first->steps);
    CHECK_INT(second->trace_hash, first->trace_hash);
    CHECK_INT(second->asked, first->asked);
    CHECK_BYTES(&second->books, &first->books, sizeof first->books);
}

/* Ended badly twice: with the same words at the same step of the same run. */
static void check_same_end(struct job *silent, struct job *told)
{
    char first[JOB_LINE_BYTES] = "", second[JOB_LINE_BYTES] = "", rule[JOB_LINE_BYTES];
    (void)job_verdict(silent, first, rule);
    (void)job_verdict(told, second, rule);
    CHECK_STR(str_of_z(second), first);
    printf("It ended so twice.\n");
}

/* Once in silence, then told. */
static void is_told(struct test *t)
{
    uint64_t seed = seed_of(t);
    struct job silent, told;
    struct outcome first, second;
    alarm(JOB_PATIENCE_S);
    job_start(&silent, seed, only_faults, JOB_TELLS_LAST);
    bool is_good = job_end(&silent, &first);
    job_start(&told, seed, only_faults, JOB_TELLS_ALL);
    CHECK_INT(job_end(&told, &second), is_good);
    show_told(&told);
    if (is_good) {
        check_same(&first, &second);
        tell_outcome(seed, &first);
    } else {
        job_remove_books(&silent);
        check_same_end(&silent, &told);
        retell(&silent, SHRINK_TRIES_MAX);
        printf("seed %llu: its books are in %s\n", (unsigned long long)seed, told.folder);
    }
    job_close(&silent);
    job_close(&told);
    if (!is_good)
        FAIL("seed %llu breaks a rule", (unsigned long long)seed);
}

static void read_seeds(void)
{
    const char *one = getenv("SEED"), *many = getenv("SEEDS"), *only = getenv("FAULTS");
    int64_t first, last;
    only_faults = only && *only ? only : NULL;
    if (one && str_to_int64(str_of_z(one), 0, INT64_MAX, &first)) {
        seed_first = seed_last = (uint64_t)first;
        is_loud = true;
    } else if (many && *many) {
        str rest = str_of_z(many), head = str_cut(&rest, '-');
        if (rest.ptr && str_to_int64(head, 0, INT64_MAX, &first) &&
            str_to_int64(rest, 0, INT64_MAX, &last)) {
            seed_first = (uint64_t)first;
            seed_last = (uint64_t)last;
        } else if (str_to_int64(head, 1, INT64_MAX, &last))
            seed_last = (uint64_t)last;
    }
}

/* A test for each seed. */
__attribute__((constructor)) static void add_seeds(void)
{
#ifdef DUKA_PLANTED
    planted_name = getenv("PLANT");
#endif
    read_seeds();
    for (uint64_t seed = seed_first; seed <= seed_last; seed++) {
        struct test_case *test_case = calloc(1, sizeof *test_case);
        char *name = NULL;
        if (!test_case || asprintf(&name, "seed_%llu", (unsigned long long)seed) < 0)
            abort();
        *test_case = (struct test_case){ .test = { .name = name, .file = __FILE__ },
                                         .run = is_loud ? is_told : keeps_its_books };
        test_register(test_case);
    }
}

static struct outcome outcome_of(uint64_t seed)
{
    struct job job;
    struct outcome outcome;
    job_start(&job, seed, NULL, JOB_TELLS_LAST);
    bool is_good = job_end(&job, &outcome);
    if (!is_good)
        show_told(&job);
    job_close(&job);
    if (!is_good)
        FAIL("make sim SEED=%llu shows it", (unsigned long long)seed);
    return outcome;
}

/* After the seeds: a source of trouble that is switched off would leave them all green. */
TEST(every_kind_of_fault_struck_in_the_seeds)
{
    if (seeds_run < SEEDS_STANDARD || only_faults)
        SKIP("only some seeds or faults were chosen");
    int silent = 0;
    for (int kind = 0; kind < FAULT_KINDS_COUNT; kind++) {
        char name[FAULT_NAME_BYTES];
        fault_name((struct fault){ (enum fault_kind)kind, struck[kind] }, name);
        printf("%s%s", name, kind == FAULT_KINDS_COUNT - 1 ? "\n" : ", ");
        silent += struck[kind] == 0;
    }
    CHECK_INT(silent, 0);
}

/* The same for what people do, how the bank behaves, how the disk fails and where the shop dies. */
TEST(everything_else_happened_in_the_seeds)
{
    if (seeds_run < SEEDS_STANDARD || only_faults)
        SKIP("only some seeds or faults were chosen");
    int silent = 0;
    for (int i = 0; i < DEEDS_COUNT; i++) {
        printf("%s:%d%s", deed_names[i], done[i], i == DEEDS_COUNT - 1 ? "\n" : ", ");
        silent += done[i] == 0;
    }
    CHECK_INT(silent, 0);
}

TEST(the_same_number_gives_the_same_run_and_the_same_books)
{
    if (is_loud)
        SKIP("one seed is told");
    alarm(JOB_PATIENCE_S);
    for (uint64_t seed = 1001; seed <= 1000 + TWICE_STANDARD; seed++) {
        struct outcome first = outcome_of(seed), second = outcome_of(seed);
        check_same(&first, &second);
    }
}

/* What lies below the crash disk is no part of a run: seeds pay for a machine's files only where it
 * is asked to cut calls short. */
TEST(a_run_in_memory_is_the_run_on_files)
{
    if (is_loud)
        SKIP("one seed is told");
    static const uint64_t seeds[] = { 2002, 2006, 1611 }; /* with restarts and kills */
    alarm(JOB_PATIENCE_S);
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        uint64_t seed = seeds[i];
        struct outcome in_memory = outcome_of(seed);
        setenv("FILES", "1", 1);
        struct outcome on_files = outcome_of(seed);
        unsetenv("FILES");
        check_same(&in_memory, &on_files);
    }
}

TEST(other_seeds_give_other_runs)
{
    if (is_loud)
        SKIP("one seed is told");
    struct outcome first = outcome_of(1001), second = outcome_of(1002);
    CHECK(first.trace_hash != second.trace_hash);
    CHECK(memcmp(&first.books, &second.books, sizeof first.books) != 0);
}
