/* A client of the simulated shop: sends requests to its door, waits for answers, tries again where
 * it is told to, and holds each answer against the model and the books. */
#pragma once
#include "tests/sim/check.h"
#include "tests/sim/model.h"
#include "tests/sim/world.h"

enum { CLIENT_TOKEN_BYTES = 700, CLIENT_NAME_BYTES = 12 };

struct client_of_shop {
    struct world *world;
    struct model *model;
    struct check *check;
    char name[CLIENT_NAME_BYTES];
    struct uuid user;
    unsigned roles;  /* ROLE_BIT_…; 0: nobody */
    int32_t version; /* of the account, as its tokens say */
    char token[CLIENT_TOKEN_BYTES];
    time_us token_until;
    int keys_made;
    bool is_operator;        /* comes by the operator's socket */
    bool fails_allocations;  /* of each request first the 1st, then the 2nd, … */
    int64_t fail_allocation; /* the nth finds no room; 0: none */
    int64_t allocations_failed;
};

/* A request under way, and its answer. */
struct exchange;

/* A client with a token of its own making. */
void client_init(struct client_of_shop *client, struct world *world, struct model *model,
                 struct check *check, const char *name, unsigned roles);

/* A new idempotency key, in the model's memory. */
const char *client_new_key(struct client_of_shop *client);

/* Sends; NULL if nobody listens. `ask` must last until the answer is heard. */
struct exchange *client_send(struct client_of_shop *client, struct ask *ask);

/* Waits for the answer and hears it. */
enum heard client_hear(struct exchange *exchange);

/* The answer, until client_done. */
const struct reply *client_reply(const struct exchange *exchange);
void client_done(struct exchange *exchange); /* accepts NULL */

/* Sends until it is concluded or refused. The caller gives it back with client_done. */
struct exchange *client_ask(struct client_of_shop *client, struct ask *ask);

/* Several at once, each asked again until it is concluded or refused. */
void client_ask_all(struct client_of_shop *client, struct ask *asks, int asks_count);

/* Thinks for a while. */
void client_think(struct client_of_shop *client, int64_t us_max);
