/* The whole shop under seeds: threads take turns as a seed says, time is virtual, the bus loses,
 * delays and repeats, the shop stops and opens again. Each seed is a test of its own.
 *
 *     sim-shop              the seeds of make test
 *     SEEDS=500 sim-shop    that many; SEEDS=100-200: these
 *     SEED=42 sim-shop      one, told line by line
 */
#include "base/planted.h"
#include "tests/lib/test.h"
#include "tests/sim/run.h"
#include "tests/sim/story.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>

enum { SEEDS_STANDARD = 16, TWICE_STANDARD = 3, SECONDS_MAX = 300, PATH_BYTES = 200, JOBS_MAX = 8 };

/* A run in a process of its own, for a seed may end badly. */
struct job {
    uint64_t seed;
    pid_t process;
    int outcome_fd;
    FILE *told;
    char folder[PATH_BYTES];
};

static uint64_t seed_first = 1, seed_last = SEEDS_STANDARD, seed_next;
static bool is_loud;
static struct job jobs[JOBS_MAX]; /* by seed modulo their number */

/* ---- the process of a run ---- */

static void make_folder(struct job *job)
{
    const char *parent = getenv("TMPDIR");
    parent = parent ? parent : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(job->folder, sizeof job->folder, "%s/duka-sim-XXXXXX", parent);
    if (!mkdtemp(job->folder))
        FAIL("no folder at %s", job->folder);
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

static void run_in_child(struct job *job, int outcome_fd)
{
    struct arena *arena = arena_open(SIZE_MAX);
    struct run run;
    signal(SIGALRM, SIG_DFL);
    alarm(SECONDS_MAX);
    story_open(job->seed, is_loud);
    story_on_abort();
    run_seed(&run, arena, plan_of(job->seed), str_of_z(job->folder), PLANTED_NOTHING);
    check_rest(arena, run.model, run.world, run.folder);
    if (write(outcome_fd, &run.outcome, sizeof run.outcome) != sizeof run.outcome)
        abort();
    arena_close(arena);
    if (run.outcome.crashes > 0)
        _exit(0); /* the threads of killed shops are left */
    exit(0);
}

static void job_start(struct job *job, uint64_t seed)
{
    int ends[2];
    *job = (struct job){ .seed = seed, .told = tmpfile() };
    make_folder(job);
    if (!job->told || pipe(ends) != 0)
        FAIL("no room for what a run tells: %s", strerror(errno));
    fflush(NULL);
    job->process = fork();
    if (job->process < 0)
        FAIL("no process for a run: %s", strerror(errno));
    if (job->process == 0) {
        close(ends[0]);
        if (!is_loud) {
            dup2(fileno(job->told), STDOUT_FILENO);
            dup2(fileno(job->told), STDERR_FILENO);
        }
        run_in_child(job, ends[1]);
    }
    close(ends[1]);
    job->outcome_fd = ends[0];
}

static void show_told(struct job *job)
{
    char line[1024];
    rewind(job->told);
    while (fgets(line, sizeof line, job->told))
        fputs(line, stdout);
    fflush(stdout);
}

/* Waits for its end; true with the outcome where it went well. */
static bool job_end(struct job *job, struct outcome *outcome)
{
    int status = 0;
    bool has_outcome = read(job->outcome_fd, outcome, sizeof *outcome) == sizeof *outcome;
    while (waitpid(job->process, &status, 0) < 0 && errno == EINTR)
        ;
    bool is_good = has_outcome && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!is_good) {
        show_told(job);
        printf("seed %llu ended with status 0x%x; its books are in %s\n",
               (unsigned long long)job->seed, (unsigned)status, job->folder);
    } else
        nftw(job->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    close(job->outcome_fd);
    fclose(job->told);
    return is_good;
}

static int jobs_at_once(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 || is_loud ? 1 : processors > JOBS_MAX ? JOBS_MAX : (int)processors;
}

/* ---- the tests ---- */

static void tell_outcome(uint64_t seed, const struct outcome *outcome)
{
    printf("seed %llu: %d requests, %d orders, %d events, %d restarts, %d crashes,"
           " %lld s of virtual time, %llu steps\n",
           (unsigned long long)seed, outcome->asked, outcome->orders, outcome->events,
           outcome->restarts, outcome->crashes, (long long)(outcome->virtual_us / 1000000),
           (unsigned long long)outcome->steps);
}

/* Runs of later seeds go on while this one is waited for. */
static void keeps_its_books(struct test *t)
{
    int64_t seed;
    bool is_seed = str_to_int64(str_of_z(t->name + strlen("seed_")), 0, INT64_MAX, &seed);
    CHECK(is_seed);
    alarm(SECONDS_MAX * JOBS_MAX);
    if (seed_next < (uint64_t)seed)
        seed_next = (uint64_t)seed;
    while (seed_next <= seed_last && seed_next < (uint64_t)(seed + jobs_at_once())) {
        job_start(&jobs[seed_next % JOBS_MAX], seed_next);
        seed_next++;
    }
    struct outcome outcome;
    if (!job_end(&jobs[seed % JOBS_MAX], &outcome))
        FAIL("make sim SEED=%lld shows it", (long long)seed);
    tell_outcome((uint64_t)seed, &outcome);
}

static void read_seeds(void)
{
    const char *one = getenv("SEED"), *many = getenv("SEEDS");
    int64_t first, last;
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
                                         .run = keeps_its_books };
        test_register(test_case);
    }
}

static struct outcome outcome_of(uint64_t seed)
{
    struct job job;
    struct outcome outcome;
    job_start(&job, seed);
    if (!job_end(&job, &outcome))
        FAIL("make sim SEED=%llu shows it", (unsigned long long)seed);
    return outcome;
}

TEST(the_same_seed_gives_the_same_run_and_the_same_books)
{
    if (is_loud)
        SKIP("one seed is told");
    alarm(SECONDS_MAX * JOBS_MAX);
    for (uint64_t seed = 1001; seed <= 1000 + TWICE_STANDARD; seed++) {
        struct outcome first = outcome_of(seed), second = outcome_of(seed);
        CHECK_INT(second.steps, first.steps);
        CHECK_INT(second.trace_hash, first.trace_hash);
        CHECK_INT(second.asked, first.asked);
        CHECK_BYTES(&second.books, &first.books, sizeof first.books);
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
