/* A postal address that an account keeps. Its form is the contract's (duka.Address); orders copy
 * it. */
#pragma once
#include "base/time.h"
#include "base/uuid.h"

enum { ADDRESSES_MAX = 50 }; /* of one account */

struct address {
    struct uuid id, user;
    str name, company, line1, line2, city, region, postal_code, country, phone;
    time_us created_at, updated_at;
};
