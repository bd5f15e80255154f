#include "tests/sim/job.h"
#include "tests/lib/test.h"
#include "tests/sim/baton.h"
#include "tests/sim/faults.h"
#include "tests/sim/memory_disk.h"
#include "tests/sim/story.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <malloc.h>
#include <sys/resource.h>

/* ---- the process of the run ---- */

static void make_folder(struct job *job)
{
    const char *parent = getenv("TMPDIR");
    parent = parent ? parent : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(job->folder, sizeof job->folder, "%s/duka-sim-XXXXXX", parent);
    if (!mkdtemp(job->folder))
        FAIL("no folder at %s", job->folder);
}

/* What is freed stays with the process: to hand it back and forth is work for the kernel alone.
 * What is large grows where it is. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_TOP_PAD, 16 << 20);
}

/* It goes in circles where nobody waits for anything: no step is taken that could be counted. */
static void on_time(int signal_number)
{
    (void)signal_number;
    baton_tell_waits(STDOUT_FILENO);
    baton_trace_last(20);
    story_violated("a run ends", "it took %d s of the processor", JOB_SECONDS_MAX);
}

static void run_in_child(struct job *job, const char *only, enum job_tells tells, int outcome_fd)
{
    keep_memory();
    struct arena *arena = arena_open(SIZE_MAX);
    struct run run;
    /* By what it has had of the processor: others may keep the machine busy. */
    struct rlimit seconds = { JOB_SECONDS_MAX, JOB_SECONDS_MAX + 10 };
    signal(SIGXCPU, on_time);
    signal(SIGALRM, SIG_DFL);
    alarm(0);
    int code = setrlimit(RLIMIT_CPU, &seconds);
    ASSERT(code == 0);
    story_open(job->seed, tells == JOB_TELLS_ALL);
    story_on_abort();
    story_leave_with(memory_disk_save);
    struct plan plan = plan_of(job->seed);
    plan.only_faults = only;
    plan.on_files = getenv("FILES") != NULL;
    plan.has_digest = tells != JOB_COUNTS;
    run_seed(&run, arena, plan, str_of_z(job->folder), PLANTED_NOTHING);
    check_rest(arena, run.model, run.world, run.folder);
    memcpy(run.outcome.deeds, deeds, sizeof deeds);
    if (write(outcome_fd, &run.outcome, sizeof run.outcome) != sizeof run.outcome)
        abort();
    arena_close(arena);
    if (run.outcome.crashes > 0)
        _exit(0); /* what killed shops held is left */
    exit(0);
}

void job_start(struct job *job, uint64_t seed, const char *only, enum job_tells tells)
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
        dup2(fileno(job->told), STDOUT_FILENO);
        dup2(fileno(job->told), STDERR_FILENO);
        run_in_child(job, only, tells, ends[1]);
    }
    close(ends[1]);
    job->outcome_fd = ends[0];
}

/* ---- its end ---- */

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

void job_remove_books(struct job *job)
{
    nftw(job->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

bool job_end(struct job *job, struct outcome *outcome)
{
    int status = 0;
    bool has_outcome = read(job->outcome_fd, outcome, sizeof *outcome) == sizeof *outcome;
    while (waitpid(job->process, &status, 0) < 0 && errno == EINTR)
        ;
    close(job->outcome_fd);
    if (!has_outcome || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return false;
    job_remove_books(job);
    return true;
}

void job_close(struct job *job) { fclose(job->told); }

/* ---- what it told ---- */

void job_rewind(struct job *job) { rewind(job->told); }

bool job_read(struct job *job, char line[JOB_LINE_BYTES])
{
    if (!fgets(line, JOB_LINE_BYTES, job->told))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* What is the same whichever order or number it is about. */
static bool read_rule(const char *line, char rule[JOB_LINE_BYTES])
{
    if (strstr(line, "fsync failed: what is on disk"))
        return false; /* that is how a process ends whose disk was made to fail */
    static const char *const begins[] = { "VIOLATED ", "panic: ", "baton: deadlock", "==" };
    static const char *const ends[] = { " (seed", "", " with", "" };
    for (int i = 0; i < 4; i++) {
        if (strncmp(line, begins[i], strlen(begins[i])) != 0)
            continue;
        const char *end = *ends[i] ? strstr(line, ends[i]) : NULL;
        snprintf(rule, JOB_LINE_BYTES, "%.*s", end ? (int)(end - line) : JOB_LINE_BYTES, line);
        if (i == 3) /* of a sanitizer, with the number of the process */
            snprintf(rule, JOB_LINE_BYTES, "a sanitizer");
        return true;
    }
    return false;
}

bool job_verdict(struct job *job, char line[JOB_LINE_BYTES], char rule[JOB_LINE_BYTES])
{
    job_rewind(job);
    while (job_read(job, line))
        if (read_rule(line, rule))
            return true;
    return false;
}
