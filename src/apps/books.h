/* The books of a shop whose files are open and at rest: stock, ledger, holds, payments, orders and
 * events agree, per order, not just in sum; and the provider's books with ours.
 *
 * What is under way is no fault: an order with events that wait somewhere is only looked at for
 * itself. */
#pragma once
#include "chassis/db.h"

struct books {
    struct db *users, *products, *orders;
    struct db *payments; /* the simulated provider's own, or NULL */
    /* Told of each fault, in a sentence, and now and then how many orders are done. */
    void (*fault)(void *self, str what);
    void (*progress)(void *self, int64_t orders_done);
    void *self;
};

struct books_found {
    int64_t orders, skus, faults;
    int64_t payments; /* that hold money at the provider */
    int64_t pending;  /* events that wait in outboxes or were kept early */
    int64_t dead;     /* events that were put aside */
};

/* Opens the three databases below `folder`, or where DATABASE_URL_… says; migrates them. */
struct conf;
err books_open(struct arena *arena, const struct conf *conf, str folder, struct books *out);

/* The same of the files that are there below `folder`: a service's that runs apart. What needs two
 * of them is not checked then. */
err books_open_part(struct arena *arena, str folder, struct books *out);

/* Closes what is open of it. */
void books_close(struct books *books);

/* Reads all of it. An error is the database's; what does not agree is a fault. */
err books_check(struct arena *arena, const struct books *books, struct books_found *out);
