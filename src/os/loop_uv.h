/* What os/loop.c and os/net.c share; nobody else includes it. */
#pragma once
#include "os/loop.h"

#include <uv.h>

enum { LOOP_READ_BYTES = 64 * 1024 };

struct loop_signal {
    uv_signal_t uv;
    void (*run)(void *subject);
    void *subject;
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    struct loop_task
        *posted; /* atomic: a stack that any thread pushes on and the loop takes whole */
    struct loop_task *later, *later_last; /* for the end of the turn, oldest first */
    uv_check_t turn_end;
    uv_idle_t no_sleep; /* active while `later` holds something: the loop must not wait then */
    int lookups_count;  /* of names, that are under way */
    struct loop_task stop;
    bool stopping;     /* atomic: `stop` is posted and has not run */
    int64_t since_us;  /* when it began to run; atomic; 0: it has not */
    int heard;         /* connections that had something to read, in this turn */
    int64_t rested_us; /* so that more gathers; atomic */
    bool may_rest;
    bool has_rested;   /* before this turn */
    int rests_in_vain; /* in a row */
    int no_rest_turns; /* still to come */
    struct loop_signal signals[LOOP_SIGNALS_MAX];
    int signals_count;
    char
        *read_buffer; /* LOOP_READ_BYTES, shared by all connections: each read is used up at once */
    char *plain_buffer; /* TLS_ROOM_BYTES for what such a read says under TLS; NULL before the first
                         */
};
