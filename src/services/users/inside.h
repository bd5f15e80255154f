/* What Users is made of, for the files of this service. */
#pragma once
#include "chassis/keys.h"
#include "services/users/service.h"
#include "services/users/user.h"

struct users {
    struct arena *arena;
    struct service *service;
    const struct house *house;
    struct keys *keys;
    struct password_policy policy;
    str issuer, audience;
    time_us access_ttl, refresh_ttl;
    int64_t position; /* of the latest revocation that house->auth was told of; the timer's own */
};
