/* One run of the whole shop under a seed: from an empty folder to books at rest. */
#pragma once
#include "base/crypto.h"
#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/deeds.h"
#include "tests/sim/faults.h"

/* Faults of the test itself, planted to see that they are found. */
enum planted {
    PLANTED_NOTHING,
    PLANTED_EVENT_LOST,   /* an event that never arrives */
    PLANTED_ANSWER_EARLY, /* an answer that is not on disk */
    PLANTED_ANSWER_OTHER, /* a repeat that hears something else */
    PLANTED_REPEAT_UNMARKED,
    PLANTED_LYING_SYNC,  /* a disk that promises and forgets */
    PLANTED_REAL_CLOCK,  /* what is done depends on the machine's clock */
    PLANTED_MEMORY_KEPT, /* memory that nobody gives back */
};

/* What a run came to. Sent from the process of the run to that of the test. */
struct outcome {
    uint64_t trace_hash, steps;
    struct sha256 books;
    int asked, orders, events, restarts, crashes, faults;
    int struck[FAULT_KINDS_COUNT]; /* the faults by their kind */
    int deeds[DEEDS_COUNT];        /* what else happened, by its kind */
    int64_t virtual_us;
};

/* Something that one client does, alone, while the shop is killed at a point of it. */
struct scene {
    void (*before)(struct client_of_shop *shopper, struct client_of_shop *staff); /* may be NULL */
    void (*act)(struct client_of_shop *shopper, struct client_of_shop *staff);
    bool (*at_io)(void *subject); /* asked at each I/O of the act and of what follows: true kills
                                     the shop there; NULL: it is never killed */
    void *subject;
    bool is_power_cut;     /* what a kill is */
    enum disk_op fault_op; /* the nth such operation of the act fails */
    enum disk_fault fault;
    int64_t fault_at;                 /* 0: none */
    bool fails_allocations;           /* each of the requests of the act in turn */
    int64_t ios, faults, allocations; /* the outcome: I/Os of the act until it came to rest */
};

/* A run, kept for whoever looks at its books afterwards. */
struct run {
    struct arena *arena;
    struct plan plan;
    str folder;
    struct world *world;
    struct model *model;
    struct scene *scene; /* NULL: people do as they like */
    struct check *check;
    bool is_calm; /* all have gone home: what is opened now is not killed again */
    struct outcome outcome;
};

/* Runs; a broken rule ends the process (story.h). `folder` is empty and stays as it is left. */
void run_seed(struct run *run, struct arena *arena, struct plan plan, str folder,
              enum planted planted);

/* Runs a scene in a shop with a client and one of its staff; then all the books are checked. */
void run_scene(struct run *run, struct arena *arena, struct plan plan, str folder,
               struct scene *scene);
