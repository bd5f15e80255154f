/* The services of the shop that are in other programs: where they are (USERS_URL and so on), and
 * the word of this program that goes with what is asked of them. */
#pragma once
#include "apps/members.h"
#include "chassis/upstream.h"

struct neighbours;

/* Opens the ways to those services (bits of SHOP_SERVICES); nobody is asked yet. `auth` vouches. */
err neighbours_open(struct arena *arena, const struct conf *conf, struct loop *loop,
                    struct auth *auth, unsigned services, struct neighbours **out);

/* The way to a service, for requests; NULL where it was not asked for. A request whose `call` is
 * set has a struct identity there: who makes it; one without is this program's own. */
struct upstream *neighbours_upstream(struct neighbours *neighbours, enum shop_part service);

/* A client of a service. The caller closes it, before the neighbours. */
struct client *neighbours_client(struct neighbours *neighbours, enum shop_part service);

/* Certificates and keys of TLS are read again for new connections. On the loop. */
err neighbours_reload(struct neighbours *neighbours, struct arena *arena);

/* On the loop, or when that runs no more. Accepts NULL. */
void neighbours_close(struct neighbours *neighbours);
