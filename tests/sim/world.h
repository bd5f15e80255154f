/* The whole shop on a folder, under the baton, as one program or as one for each service: opened,
 * stopped and opened again, or killed at a point that was set before; its doors for requests; the
 * bus and the disk with the faults of the plan. */
#pragma once
#include "apps/shop.h"
#include "base/crypto.h"
#include "tests/sim/announced.h"
#include "tests/sim/crash_disk.h"
#include "tests/sim/plan.h"

enum {
    REFUSALS_MAX = 16384,
    BANK_SECRET_BYTES = 20,
    WORLD_CONSUMERS_MAX = 8,
    WORLD_PROGRAMS_MAX = SHOP_MEMBERS_MAX
};

/* What a swizzle stops: what the bus brings to each service, and the calls between them. */
enum world_link { LINK_USERS, LINK_PRODUCTS, LINK_ORDERS, LINK_PEERS, WORLD_LINKS_COUNT };

/* Where the shop may be killed. */
enum crash_point {
    CRASH_AT_IO,      /* before a write, a sync, a new length, a removal; and right after a sync */
    CRASH_AT_COMMIT,  /* right after the sync of a log */
    CRASH_AT_MESSAGE, /* when an event comes to a consumer */
    CRASH_AT_ANSWER,  /* when an answer is about to leave */
    CRASH_POINTS_COUNT
};

/* A program of the shop: a process that may be killed. */
struct program {
    struct world *world;
    const struct shop_member *only; /* its service; NULL: it has all */
    int process;                    /* of the baton */
    struct shop *shop;
    struct arena *opening; /* of shop_open */
    struct bus *bus;       /* at the broker; NULL: one in the program */
    struct gateway *door;  /* NULL: it has one service, and is asked itself */
    struct care *care;     /* what the operator may ask, and his door */
    struct admin *admin;
    bool is_open;    /* somebody listens */
    bool is_crashed; /* not opened again since */
    int under_way, crashes;
    int visitors; /* calls of other programs that are inside */
};

struct world {
    const struct plan *plan;
    struct arena *arena; /* as long as the run */
    str folder;
    const struct conf *conf;
    struct program programs[WORLD_PROGRAMS_MAX];
    int programs_count;
    struct broker *broker; /* between programs; NULL: there is one */

    struct lock lock;
    struct cond changed;
    int stops, crashes;           /* of any of them */
    const struct program *victim; /* who is to be killed at a point; NULL: whoever comes to it */
    int64_t points[CRASH_POINTS_COUNT];   /* that were passed */
    int64_t crash_in[CRASH_POINTS_COUNT]; /* 1: at the next; 0: not */
    bool (*at_io)(void *subject);         /* instead, at each I/O: true kills there; may be NULL */
    void *at_io_subject;
    int64_t fault_in[DISK_OPS_COUNT]; /* the same for faults of the disk */
    enum disk_fault fault;
    int faults_of_disk; /* that struck */
    int64_t bus_cut_until_us[WORLD_CONSUMERS_MAX], peer_cut_until_us;
    const char *bus_cut_of[WORLD_CONSUMERS_MAX]; /* consumers by name */

    bool faults_on;
    bool is_mended;     /* no event is refused any more */
    int events_refused; /* how often one was */
    uint8_t *refusals;  /* of REFUSALS_MAX: by consumer and event, 1: it takes it; 2: it does not */
    bool stopped[WORLD_LINKS_COUNT];
    bool loses_for_ever; /* a planted fault */
    int lost_for_ever;
    struct announced announced;

    struct ed25519_key key; /* signs the tokens of clients */
};

/* The key that signs tokens: its file in the folder of keys has this name. */
extern const char *const world_kid;

/* Makes the folder's keys; nothing runs yet. */
void world_init(struct world *world, struct arena *arena, const struct plan *plan, str folder);
void world_done(struct world *world);

/* Opens and starts a program of the shop on the folder; false if it was killed meanwhile. */
bool world_open(struct program *program);

/* Stops it cleanly: who waits is answered, nobody listens afterwards; then closes it. False if it
 * was killed meanwhile. */
bool world_stop(struct program *program);
bool world_close(struct program *program);

/* Stops a link, or releases it: what went over it waits meanwhile, or is refused. */
void world_stop_link(struct world *world, enum world_link link, bool is_stopped);

/* The program that refused events is mended. */
void world_mend_reactions(struct world *world);

/* What must hold at any time of a shop that is open: its queues and caches are no longer than they
 * are said to be. */
void world_check_bounds(struct world *world);

/* The disk of a service is full for one step, soon. */
void world_fill_disk(struct world *world);

/* One operation fails soon: a read, a write, or a sync, which ends the process. */
void world_break_disk(struct world *world);

/* The nth such operation from now on fails so; 0 takes it back. */
void world_fail_disk(struct world *world, enum disk_op op, enum disk_fault fault, int64_t nth);

/* The victim, or whoever comes to it, is killed at the nth such point from now on; 0 takes it back.
 * Nobody is told but who waits for it. */
void world_crash_at(struct world *world, enum crash_point point, int64_t nth);

/* None of them was killed and is not buried yet. */
bool world_is_whole(const struct world *world);

/* The power of the machine on which all programs are is cut: none of them goes on. */
void world_crash_all(struct world *world);

/* Waits until one was killed, or until the time; gives it, or NULL. */
struct program *world_await_crash(struct world *world, int64_t until_us);

/* Takes all crashes and faults of the disk back that have not come yet. */
void world_mend(struct world *world);

/* What is left of a program that was killed: its disk after a power cut, or as it had written. */
void world_bury(struct program *program, bool is_power_cut);

/* The program that a path leads to: that of the service that it begins with; that of Orders where
 * it is the operator's ("/operator"). */
struct program *world_program(struct world *world, str path);

/* Gives a request to the service that its path begins with, or to the operator's door; false if
 * nobody listens. Whoever answers it calls world_answering before, and world_answered afterwards
 * with the number of crashes of the program that there had been when it was given. A program that
 * was killed since answers none. */
bool world_hand(struct program *program, struct request *request);
void world_answering(struct world *world);
void world_answered(struct program *program, int crashes_before);

/* Events that are on their way between programs. */
int world_backlog(const struct world *world);
