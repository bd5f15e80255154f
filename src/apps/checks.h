/* What the probes of a program tell of: its services and their databases, the keys that verify
 * tokens, the bus, the services in other programs. */
#pragma once
#include "apps/shop.h"
#include "chassis/admin.h"

/* Fills in the checks; gives how many. What they look at lives as long as the shop. */
int checks_of_shop(struct shop *shop, struct admin_check checks[ADMIN_CHECKS_MAX]);
