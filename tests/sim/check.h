/* The invariants of the shop, read straight from its books: those that hold at every moment, those
 * that hold when an answer is given, and those that hold when all has come to rest. */
#pragma once
#include "tests/sim/books.h"
#include "tests/sim/model.h"
#include "tests/sim/world.h"

struct check;

/* Makes it; it reads nothing before check_open. */
struct check *check_make(struct arena *arena, struct model *model, const struct world *world);

/* Opens and closes its connection to the books; while the shop is open, or after it was killed. May
 * be closed twice. */
void check_open(struct check *check);
void check_close(struct check *check);

/* What holds at every moment; over any connection, too. */
void check_now(struct check *check);
void check_moments(sqlite3 *db);

/* What holds the moment an answer is given: what it tells is on disk. */
void check_answer(struct check *check, const struct ask *ask, const struct reply *reply);

/* What the bank's books say of a payment: a `enum payment_known`; -1 where there is none, or no
 * books are open. */
int check_bank_knows(struct check *check, const char *id);

/* For the test of this test: from now on answers are looked for where they are not. */
void check_plant_early(struct check *check);

/* Whether something is still on its way: events, jobs, callbacks, orders that have not settled.
 * Tells what in `why`, which has room for `room` bytes. */
bool check_is_moving(struct check *check, char *why, size_t room);

/* Prints the orders that have not settled, with their last step, and the events under way. */
void check_tell_moving(struct check *check, int fd);

/* What holds when all has come to rest and the shop is closed. `folder` holds the books. */
void check_rest(struct arena *arena, const struct model *model, const struct world *world,
                str folder);
