/* A run of the whole shop in a process of its own, for a seed may end badly. */
#pragma once
#include "tests/sim/run.h"
#include <stdio.h>
#include <sys/types.h>

enum { JOB_PATH_BYTES = 200, JOB_LINE_BYTES = 1024, JOB_SECONDS_MAX = 300 /* of the processor */ };

struct job {
    uint64_t seed;
    pid_t process;
    int outcome_fd;
    FILE *told;
    char folder[JOB_PATH_BYTES];
};

/* What it tells, for job_read: the last lines where it ends badly, or all of them. Its books are
 * told in its outcome, but not where it only counts. */
enum job_tells { JOB_COUNTS, JOB_TELLS_LAST, JOB_TELLS_ALL };

/* Begins the run of a seed; `only`: these faults alone (faults.h), NULL: all. */
void job_start(struct job *job, uint64_t seed, const char *only, enum job_tells tells);

/* Waits for its end; true with the outcome where it went well. Its books are gone then; else they
 * are left. */
bool job_end(struct job *job, struct outcome *outcome);

/* Takes its books away. */
void job_remove_books(struct job *job);

/* Forgets what it told; to be called once, behind job_end. */
void job_close(struct job *job);

/* The next line of what it told, without its end; false: there is none. From the beginning after
 * job_rewind. */
void job_rewind(struct job *job);
bool job_read(struct job *job, char line[JOB_LINE_BYTES]);

/* The line that says how it ended badly, and the rule in it; false where none does. */
bool job_verdict(struct job *job, char line[JOB_LINE_BYTES], char rule[JOB_LINE_BYTES]);
