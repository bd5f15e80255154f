/* An API key of the shop, as Users keeps it. Pure. */
#pragma once
#include "chassis/api_keys.h"

struct api_key {
    struct uuid id;
    struct sha256 digest; /* of its secret; not read back */
    str prefix;           /* how the secret begins */
    str name;
    unsigned scopes;        /* scope_bit of each */
    struct uuid created_by; /* nil: the operator */
    time_us created_at;
    time_us expires_at; /* 0: it does not */
    time_us used_at;    /* 0: not yet */
    time_us revoked_at; /* 0: it was not */
};
