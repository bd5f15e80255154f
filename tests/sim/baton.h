/* The simulator's scheduler: one thread runs at a time, and a seed says which.
 *
 * baton_start() puts itself behind os/sync, os/clock and os/random. From then on a thread is a
 * stack of its own (fiber.h) on the machine's one thread, and needs the baton to run. Every
 * lock_take, lock_drop, wait, wake, thread_start, thread_join, sleep and yield is a step: there the
 * baton may go to another thread, picked by a seeded generator. When nobody can run, virtual time
 * jumps to the earliest deadline; besides, each step and each look at a clock costs 1 us, so that a
 * loop which polls ends. So the same seed gives the same run, however busy the machine is:
 * baton_trace_hash() shows it.
 *
 * It is harsh within what os/sync promises: any waiter may get a lock or a wake-up, and a wait may
 * end for no reason. A deadlock (nobody can run, nobody waits for a time) is reported with what
 * each thread waits for, and ends the process. So does a misused lock. Whatever aborts the process
 * while the baton is out, the seed and the last steps are printed.
 *
 * What it cannot steer: threads of libraries (they must not call os/sync), and waits that bypass
 * os/sync; a run that has those is not repeatable. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    BATON_THREADS_MAX = 256, /* at one time */
    BATON_TRACE_MAX = 4096,  /* steps that are kept for baton_trace_last */
    BATON_OUTSIDE = 0        /* the test's own part, which nobody kills */
};

/* Takes over; the caller becomes the thread "main" and has the baton. Before any lock, condition or
 * thread is made. A run that was left without baton_stop (by a failed check) is given up: its
 * threads wait for ever. */
void baton_start(uint64_t seed);

/* Gives back to the machine and frees; the steps and the hash can still be read. All threads but
 * the caller must have been joined. */
void baton_stop(void);

/* Moves the wall clock, which else follows virtual time from 2026-01-01 on, by so much: a jump that
 * the monotonic clock does not see. Jumps add up. */
void baton_wall_jump(int64_t us);

/* From now on the wall clock of each thread inside a process that may be killed is wrong by a
 * time of its own, below `us_max`, behind or ahead: as if they lay on machines whose clocks drift
 * apart. */
void baton_wall_drift(int64_t us_max);

/* Processes of the run (any number but BATON_OUTSIDE) may be killed: each has the threads that are
 * started inside it. Runs `run` inside; false if that process was killed meanwhile: then `run` was
 * left in the middle, for ever, as what it held. A thread of one process may visit another: where
 * its own is killed meanwhile, it ends when it comes home. */
bool baton_inside(int process, void (*run)(void *subject), void *subject);

/* Runs `run` as the test's own part, on a thread of a process: there a killed thread still goes on,
 * and ends behind it. */
void baton_outside(void (*run)(void *subject), void *subject);

/* The process that the caller is inside now; BATON_OUTSIDE where no run goes on. */
int baton_process(void);

/* Kills a process: its threads never run again, and drop nothing. Called inside, it returns only
 * within baton_outside. What is started inside afterwards is another process of that number. */
void baton_kill(int process);

/* Whether any process of this run was killed: then threads are left that never end, and that of the
 * machine must not wait for them. */
bool baton_has_killed(void);

/* A number for the test's own decisions, from a stream that scheduling does not draw from. */
uint64_t baton_random(void);

/* A hash over every step so far: which thread, what it did, at what virtual time. */
uint64_t baton_trace_hash(void);

/* How many steps there were so far. */
uint64_t baton_steps(void);

/* From now on a run that takes more steps, or more virtual time since its start, is given up:
 * `exceeded` is called once, by the thread that has the baton then, and does not return. */
void baton_bound(uint64_t steps_max, int64_t virtual_us_max, void (*exceeded)(void *subject),
                 void *subject);

/* Prints what each thread waits for, since when, and where in the code, to a file. Safe in a
 * signal handler. */
void baton_tell_waits(int fd);

/* Prints the seed and the last `n` steps with the names of their threads to stderr. */
void baton_trace_last(int n);
