/* The gateway of a program under the baton: its routes, judgement of tokens and limits, without a
 * socket. */
#pragma once
#include "apps/shop.h"
#include "services/gateway/service.h"

/* Opens it before all services of the shop, inside its program; gateway_handle takes requests. The
 * caller closes it before the shop. */
struct gateway *door_open(struct arena *arena, struct shop *shop);
