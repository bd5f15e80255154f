/* Where the routes lead that name a URL: an upstream for each of these URLs, kept over reloads of
 * the routes. One that no route names any more goes on until what is under way there has its
 * answer.
 *
 * All on the loop's thread. */
#pragma once
#include "chassis/service.h"
#include "services/gateway/routes.h"

enum { WAYS_MAX = 16 /* URLs at a time, those that end among them */ };

struct loop;
struct ways;

/* None yet. The caller closes it before `house` and `loop`. */
struct ways *ways_open(const struct house *house, struct loop *loop);
void ways_close(struct ways *ways); /* accepts NULL */

/* Gives each way of the routes that has a URL its upstream; those of a service vouch towards it for
 * who calls, by the name that it has among `services`. Reads the files of TLS again where a URL is
 * https://. Fails with SETTING_INVALID; then all is as it was. */
err ways_load(struct ways *ways, struct arena *arena, const struct routes *routes,
              const str *services);

/* The nth of them, for pages; NULL: there are no more. */
const struct upstream *ways_at(const struct ways *ways, int nth);
