/* A request inside a service, at work: the inside of dispatch.c (how it begins) and task.c (how it
 * goes on and ends). Nobody else includes this.
 *
 * A task moves by phases; each runs on a worker (or on the loop, for calls that read memory only);
 * between them it is parked with the writer, among the waiters or in a line for a neighbour, never
 * with a thread. */
#pragma once
#include "chassis/places.h"
#include "chassis/service_inside.h"
#include "chassis/trace_call.h"

struct task {
    struct work work;
    struct service *service;
    struct request *request;
    struct call call;
    struct route_match match;
    const void *in;
    struct once_claim once;
    struct waiter waiter;
    struct place_turn turn; /* with a neighbour that is asked by many */
    struct answer settled;  /* what the settling write fixed */
    int64_t cache_mark;     /* of the cache, before the snapshot */
    int64_t cache_until_us; /* how long what it shows may be given again */
    err failure;            /* outcome of the write */
    int runs;
    bool is_on_disk; /* its write, and the answer is not told yet */
    struct trace_place place;
    void (*phase)(struct task *task);
    struct flight flight; /* among those of its service, until its outcome is counted */
};

/* Runs the task's phase: on a worker, or on the loop. Its `work.run`. */
void task_run(struct work *work);

/* The phase that runs the handler. */
void task_run_handler(struct task *task);

/* It has a place with a neighbour: its handler runs again. */
void task_turn_came(struct place_turn *turn);

/* Answers it with an error: it is over. */
void task_fail(struct task *task, err error);

/* Its client has gone; `subject` is the task. On the transport's loop, while a worker may have it.
 */
void task_left(void *subject);
