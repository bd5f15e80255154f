#include "services/gateway/quotas.h"

#include "chassis/quota_share.h"
#include "services/gateway/leases.h"

enum { TOLD_AT_ONCE = 64 };

struct quotas {
    struct limits *limits;
    struct quota_share *share; /* NULL: limits are not shared */
    struct leases *leases;
};

err quotas_open(struct arena *arena, struct arena *memory, const struct conf *conf, int clients_max,
                uint64_t seed, struct quotas **out)
{
    ASSERT(arena && memory && conf && out);
    struct quotas *quotas = arena_new(memory, struct quotas);

    TRY(quota_share_open(arena, conf, &quotas->share));
    quotas->limits = limits_new(memory, clients_max, seed);
    if (quotas->share)
        quotas->leases = leases_new(memory, clients_max, seed);
    *out = quotas;
    return OK;
}

void quotas_close(struct quotas *quotas)
{
    if (quotas)
        quota_share_close(quotas->share);
}

static void hear(struct quotas *quotas, int64_t now_us)
{
    struct quota_told told[TOLD_AT_ONCE];

    int count = quota_share_take(quotas->share, told, TOLD_AT_ONCE);
    for (int i = 0; i < count; i++) {
        struct lease_told lease = { .known = told[i].known,
                                    .granted = told[i].granted,
                                    .remaining = told[i].remaining,
                                    .wait_us = told[i].wait_us };
        memcpy(lease.key, told[i].ask.key, sizeof(lease.key));
        leases_tell(quotas->leases, &lease, now_us);
    }
}

static void ask(struct quotas *quotas, const struct limit *limit, const struct lease_ask *lease)
{
    struct quota_ask asked = { .key_len = LEASE_KEY_BYTES,
                               .owed = lease->owed,
                               .wants = lease->wants,
                               .quota = limit->quota,
                               .window_us = limit->window_us };

    memcpy(asked.key, lease->key, sizeof(lease->key));
    if (!quota_share_ask(quotas->share, &asked))
        leases_forget_ask(quotas->leases, lease);
}

struct limit_verdict quotas_take(struct quotas *quotas, uint8_t class, const struct limit *limit,
                                 const struct limit_client *client, int64_t now_us)
{
    ASSERT(quotas && limit && client);
    struct lease_ask asked;

    if (limit->quota <= 0 || !quota_share_is_there(quotas->share))
        return limits_take(quotas->limits, class, limit, client, now_us);

    hear(quotas, now_us);
    struct limit_verdict verdict = limits_peek(quotas->limits, class, limit, client, now_us);
    if (!verdict.allowed)
        return verdict;
    struct lease_verdict lease = leases_take(quotas->leases, class, limit, client, now_us, &asked);
    if (lease.asks)
        ask(quotas, limit, &asked);
    if (lease.allowed)
        verdict = limits_take(quotas->limits, class, limit, client, now_us);
    if (lease.remaining < verdict.remaining)
        verdict.remaining = lease.remaining;
    verdict.allowed = lease.allowed;
    verdict.retry_after_s = lease.retry_after_s;
    return verdict;
}
