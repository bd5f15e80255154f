/* What a seed decides about a run before it begins: who asks how much, how the bus misbehaves, what
 * the settings are. The rest is decided on the way, by the dice and the baton. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    PLAN_SETTINGS_MAX = 16,
    PLAN_SETTING_BYTES = 64,
    PLAN_SKUS_MAX = 12,
    PLAN_SHOPPERS_MAX = 8,
    PLAN_WALL_JUMPS_MAX = 2
};

/* Each chance is one in so many; 0: never. */
struct plan_bus {
    int late_one_in, lost_one_in, repeat_one_in, cut_one_in;
    int64_t late_us, lost_us; /* at most; what is lost comes again that late */
    int64_t cut_us;           /* how long a consumer hears nothing, at most */
};

/* What happens to calls between services. */
struct plan_peers {
    int away_one_in, late_one_in, lost_one_in, cut_one_in;
    int64_t late_us, cut_us;
};

struct plan {
    uint64_t seed;
    const char *only_faults; /* names: nothing else strikes; NULL: all do */
    int shoppers_count, asks_each, staff_count, staff_asks, bank_asks;
    int skus_count;
    int64_t stock_max; /* of a SKU at first */
    int64_t think_us;  /* at most, between two asks of one client */
    int burst_max;     /* orders that a shopper sends at once */
    struct plan_bus bus;
    struct plan_peers peers;
    int restarts, wall_jumps, disk_faults;
    int crashes;           /* the shop is killed, and opened again on what is left */
    int disk_breaks;       /* reads, writes and syncs that fail */
    int cut_one_in;        /* reads and writes that the machine cuts short */
    bool has_digest;       /* the outcome tells what is in the books */
    bool on_files;         /* the databases lie on the machine, though nothing is cut short */
    int refused_one_in;    /* events that a reaction cannot take, until the program is mended */
    int swizzles;          /* how often all links are stopped and released */
    int64_t drift_us;      /* how wrong the wall clock of each thread is, at most */
    bool has_account;      /* one shopper registers and logs in, with an address */
    bool suspends, erases; /* that account */
    bool imports;          /* staff import a file */
    bool captures_at_confirm;
    bool is_apart; /* a program for each service, at a broker: one by one they are killed */
    int64_t hold_us;
    char settings[PLAN_SETTINGS_MAX][PLAN_SETTING_BYTES]; /* NAME=value */
    int settings_count;
};

/* Whether all wall clocks of the run agree, and none jumps. */
bool plan_has_one_clock(const struct plan *plan);

/* By how much answers may be late beyond what they would be else: a worker that waits for a late
 * neighbour answers nobody else meanwhile. */
int64_t plan_slack_us(const struct plan *plan);

/* The plan of a seed. */
struct plan plan_of(uint64_t seed);

/* A smaller one with everything in it, for tests of the tests. */
struct plan plan_small(uint64_t seed);
