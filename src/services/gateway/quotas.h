/* How many requests a client may make, at this gateway and at all of them: the local buckets
 * (limits.h) always; where LIMITS_REDIS_URL is set and Redis answers, also the slices that were
 * leased of the shared quota (leases.h). On the loop's thread; nothing here waits. */
#pragma once
#include "chassis/conf.h"
#include "services/gateway/limits.h"

struct quotas;

/* For about `clients_max` clients. Fails with SETTING_INVALID. The caller closes it before
 * `memory`, which holds it. */
err quotas_open(struct arena *arena, struct arena *memory, const struct conf *conf, int clients_max,
                uint64_t seed, struct quotas **out);
void quotas_close(struct quotas *quotas); /* accepts NULL */

/* Takes one request. `now_us` only grows. */
struct limit_verdict quotas_take(struct quotas *quotas, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us);
