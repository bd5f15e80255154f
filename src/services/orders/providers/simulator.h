/* The simulated provider: a bank of its own, with its own books on disk, whose payment token
 * chooses what happens.
 *
 *   approve         authorized at once
 *   decline         declined at once
 *   timeout         authorized, but the first answer never comes
 *   timeout-decline declined, but the first answer never comes
 *   late            authorized after two seconds
 *   twice           authorized at once, and told by callback as well, twice
 *   lapse           authorized at once, but its capture is declined
 *   webhook         pending; authorized by callback only, after a second
 *   webhook-decline pending; declined by callback only, after a second
 *   webhook-late    pending; authorized by callback only, after a minute
 *   early           authorized after two seconds, and told by callback before that
 *
 * For development, demos and tests: no money moves. */
#pragma once
#include "services/orders/providers/provider.h"

struct simulator;

/* Opens its books. `secret` signs callbacks: HMAC-SHA-256 of the body in hex, in the header
 * Simulator-Signature. Fails with what db_open fails with. */
err simulator_open(struct arena *arena, str database_url, str secret, struct simulator **out);

/* Brings its tables up to what this program knows: db_migrate. */
err simulator_migrate(struct arena *arena, str database_url, int *applied);
struct db *simulator_db(struct simulator *simulator); /* for backups */
struct provider simulator_provider(struct simulator *simulator);
void simulator_close(struct simulator *simulator); /* accepts NULL */
