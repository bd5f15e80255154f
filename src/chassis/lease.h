/* What only one of several replicas may do at a time: a row of the service's database that names
 * who does it, and until when. On a database of one process it is always ours.
 *
 * Who holds it must stop by itself when its time is over: `lease_hold` says so by the monotonic
 * clock, counted from before the row was written. Belongs to one thread. */
#pragma once
#include "chassis/db.h"
#include "chassis/write.h"

enum {
    LEASE_US = 5000 * 1000,        /* how long the row says that it is ours */
    LEASE_RENEW_US = 1500 * 1000,  /* how often it is written again */
    LEASE_MARGIN_US = 1000 * 1000, /* we stop before its end */
    LEASE_RETRY_US = 1000 * 1000,  /* how often we try while another has it */
};

struct lease {
    struct db *db;
    struct writer *writer;
    const char *name;
    struct uuid holder;
    struct arena *arena;
    int64_t until_us; /* by the monotonic clock; 0: not ours */
    int64_t ask_at_us;
};

/* Nobody has it yet. */
void lease_init(struct lease *lease, struct db *db, const char *name);
void lease_done(struct lease *lease);

/* Takes the lease or renews it where that is due, waiting for the commit; tells whether it is ours
 * now. */
bool lease_hold(struct lease *lease, struct writer *writer);

/* When lease_hold wants to be asked again; INT64_MAX: never. */
int64_t lease_due_us(const struct lease *lease);

/* Gives it up, so that another need not wait for its end. */
void lease_give_up(struct lease *lease, struct writer *writer);
