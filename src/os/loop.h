/* The event loop of a thread that owns sockets, timers and signals. libuv lives in os/loop and
 * os/net only.
 *
 * One thread runs a loop; all functions are for that thread (or for before it runs and after it has
 * stopped), except loop_post, loop_stop and loop_is_here. Nothing here waits but loop_run. This is
 * not a pool: work that takes longer than a few microseconds goes to os/workers. */
#pragma once
#include "base/err.h"

struct loop;

/* Makes a loop. Never NULL: a process that cannot have its loop ends. A write to a peer that has
 * gone is an error from here on, not a signal (SIGPIPE is ignored). */
struct loop *loop_open(void);

/* Runs it on this thread until loop_stop. */
void loop_run(struct loop *loop);

/* From now on it rests for a moment after turns in which several connections talked, so that what
 * comes meanwhile is done at once. For a loop that does all the work of its process: where other
 * threads compute, it would have to wait for its turn behind them. */
void loop_let_rest(struct loop *loop);

/* Makes loop_run return after what was posted before. Any thread. */
void loop_stop(struct loop *loop);

/* Runs what was posted and not run yet, and what that posts, then frees the loop. Timers, listeners
 * and connections were closed before. Accepts NULL. */
void loop_close(struct loop *loop);

/* Tells whether this thread is running the loop. */
bool loop_is_here(const struct loop *loop);

/* How long it did not wait since it was opened, in microseconds. Any thread. */
int64_t loop_busy_us(struct loop *loop);

/* Monotonic milliseconds, read once for each turn of the loop: for time-outs, not for measuring. */
int64_t loop_now_ms(const struct loop *loop);

/* What is to run on the loop; embedded by its owner, who may free it or post it again in `run`. */
struct loop_task {
    struct loop_task *next;
    void (*run)(struct loop_task *task);
};

/* Queues a task; tasks of one thread run in order. Any thread. Wakes the loop once for all that is
 * posted before it looks. */
void loop_post(struct loop *loop, struct loop_task *task);

/* Runs a task at the end of this turn of the loop, after all that was ready has been read: so what
 * gathered is written at once. On the loop's thread (or before it runs). Costs no system call. */
void loop_later(struct loop *loop, struct loop_task *task);

struct loop_timer;

/* A timer that does not run yet. The caller closes it. */
struct loop_timer *loop_timer_open(struct loop *loop, void (*run)(void *subject), void *subject);

/* Runs it once after `delay_ms`, and then every `repeat_ms` unless that is 0. What was set before
 * is forgotten. */
void loop_timer_start(struct loop_timer *timer, uint32_t delay_ms, uint32_t repeat_ms);

/* Takes back what was set. */
void loop_timer_stop(struct loop_timer *timer);

/* Stops and frees it; may be called in its own `run`. Accepts NULL. */
void loop_timer_close(struct loop_timer *timer);

enum { LOOP_SIGNALS_MAX = 8 };

/* Calls `run(subject)` on the loop at each of the signal (SIGTERM, SIGINT, SIGHUP, …), which then
 * does nothing else. For as long as the loop is open; at most LOOP_SIGNALS_MAX. */
void loop_on_signal(struct loop *loop, int signal, void (*run)(void *subject), void *subject);
