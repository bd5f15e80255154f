#include "services/users/jobs.h"
#include "services/users/inside.h"
#include "services/users/store.h"

enum { SWEEP_ROUNDS_MAX = 50 }; /* at a tick: the timers' thread has other work */

err users_follow(void *subject, struct call *call)
{
    struct users *self = subject;
    struct auth *auth = self->house->auth;
    struct revocation *revocations;
    size_t count;
    do {
        service_job_reset(call);
        TRY(store_list_revocations(call, self->position, &revocations, &count, &self->position));
        for (size_t i = 0; i < count; i++)
            auth_revoke(auth, revocations[i].user, revocations[i].session,
                        revocations[i].version_min, revocations[i].at);
    } while (count == REVOCATIONS_PAGE_MAX);
    job_rest(call, INT64_MAX);

    struct auth_key keys[AUTH_KEYS_MAX];
    auth_set_keys(auth, keys, keys_verifying(self->keys, keys));
    auth_reached(auth);
    return OK;
}

err users_reload_keys(void *subject, struct call *call)
{
    struct users *self = subject;
    return keys_reload(self->keys, call->arena, call->now);
}

err users_sweep(void *subject, struct call *call)
{
    (void)subject;
    struct sweep sweep = { .expired_before = call->now,
                           .revoked_before = call->now - TOKEN_LIFE_MAX_S * TIME_SECOND -
                                             2 * AUTH_LEEWAY_S * TIME_SECOND };
    TRY(store_sweep_due(call, &sweep, &sweep.left));
    for (int round = 0; sweep.left && round < SWEEP_ROUNDS_MAX; round++)
        TRY(job_write(call, write_new(call->arena, store_sweep_sessions, &sweep)));
    return OK;
}
