/* A program of the shop from its command line to its end: reads the settings, takes the data
 * directory, opens its parts and their doors, and ends them in order: not ready, drained, answered,
 * stopped, closed. duka.c has all parts, users.c and its kin one service each, gateway.c the
 * gateway. */
#pragma once
#include "apps/front.h"
#include "apps/shop.h"

struct program {
    const char *name;  /* "duka-users" */
    const char *about; /* for --help, after the name and a colon */
    const struct shop_member *const *members;
    int members_count;
    const struct front *front; /* &front_gateway, or NULL where it is elsewhere */
};

/* Runs it; gives what main returns. "NAME health [SETTINGS]" asks the one that runs on the same
 * DATA_DIR whether it is ready: 0 where it is, 1 and a line where not. "NAME migrate [SETTINGS]"
 * brings the databases of its services up to this version, as dukactl does. */
int program_main(const struct program *program, int argc, char *const *argv);
