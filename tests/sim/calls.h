/* Every call of the contract that has no key, once each: what it needs before it, the request, and
 * the answer that it must have. Calls with a key have scenes of their own (sim_every.c). */
#pragma once
#include "tests/sim/client.h"

/* The calls, by the names that logs have ("users.get_me"); NULL ends them. */
const char *calls_name(int index);

/* Chooses the one that calls_before and calls_act are about, in this process. */
void calls_choose(int index);

/* As of a scene (run.h): makes what the call needs; makes the call. */
void calls_before(struct client_of_shop *shopper, struct client_of_shop *staff);
void calls_act(struct client_of_shop *shopper, struct client_of_shop *staff);
