/* Hears from Users, in another program, which keys verify tokens and what was revoked: asks every
 * second and tells the token checks. While nobody answers, tokens of before go on to be good, and
 * staff calls are refused after a minute (auth.h). */
#pragma once
#include "chassis/auth.h"
#include "chassis/client.h"

struct follower;

/* Over a client of Users, which is the follower's from then on. */
struct follower *follower_open(struct auth *auth, struct client *users);

/* Begins to ask, on a thread of its own. */
void follower_start(struct follower *follower);

/* Whether it has heard the keys, or has waited for them in vain for ten seconds: a program that
 * takes requests before would answer 503 to every token. */
bool follower_settled(struct follower *follower);

/* Ends that. Accepts NULL, and one that was never started. */
void follower_stop(struct follower *follower);

/* After follower_stop. Accepts NULL. */
void follower_close(struct follower *follower);
