/* What the world does to the shop, as a list: each fault that strikes has a name, "kill:2": the
 * third time that the run comes to a place where it may be killed.
 *
 * Whether it strikes there, and how, follows from the seed, its kind and its number alone, so a run
 * may be made again with some of its faults only (tests/sim/shrink.h): what is left strikes as it
 * did. Under the baton, or in its test alone; no locks. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_BUS_LATE,
    FAULT_BUS_LOST,  /* comes again much later */
    FAULT_BUS_TWICE, /* is delivered once more */
    FAULT_BUS_CUT,   /* a consumer hears nothing for a while */
    FAULT_PEER_AWAY, /* a call to a neighbour is refused */
    FAULT_PEER_LATE,
    FAULT_PEER_ANSWER_LOST, /* the neighbour did what it was asked, and nobody heard */
    FAULT_PEER_CUT,         /* calls to that neighbour are refused for a while */
    FAULT_KILL,             /* the shop is killed soon */
    FAULT_KILL_AGAIN,       /* and once more while it recovers */
    FAULT_RESTART,
    FAULT_WALL_JUMP,
    FAULT_DRIFT, /* each thread's wall clock goes wrong by so much */
    FAULT_DISK_FULL,
    FAULT_DISK_BREAK,
    FAULT_DISK_CUT, /* reads and writes are cut short */
    FAULT_SWIZZLE,  /* links are stopped one by one, and released in another order */
    FAULT_REFUSED,  /* a reaction cannot take an event, until somebody mends it */
    FAULT_KINDS_COUNT
};

enum { FAULTS_TOLD_MAX = 4000, FAULT_NAME_BYTES = 32 };

struct fault {
    enum fault_kind kind;
    int number;
};

/* Begins anew. `only`: names with a space between, or "none"; nothing else strikes. NULL: all do.
 */
void faults_open(uint64_t seed, const char *only);

/* Comes to a place for such a fault; true, once in `one_in` times, if it strikes here. 0: never,
 * and the place is not counted. */
bool fault_strikes(enum fault_kind kind, int one_in);

/* The nth number of the fault that struck last, below `below`. */
int64_t fault_number(int n, int64_t below);

/* Those that struck so far. */
const struct fault *faults_struck(int *count);

/* Writes their names to a file, with "FAULTS" before them, on a line; safe in a signal handler. */
void faults_tell(int fd);

/* The name of one, and the fault of a name; false where it is none. */
void fault_name(struct fault fault, char out[FAULT_NAME_BYTES]);
bool fault_of_name(const char *name, struct fault *out);
