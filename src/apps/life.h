/* One order's life, as far as this program knows it: the order and its timeline, the call to its
 * provider that is due and what the provider says, what is held for it, its events on their way.
 * For dukactl explain and for the page of an order; nobody's name, address or words are in it. */
#pragma once
#include "apps/shop.h"

/* Gathers it as JSON: {"order", "timeline", "trace_id", "job", "payment", "reservation", "holds",
 * "events"}, those that are here. Reads databases: not on the loop. Fails with NOT_FOUND where
 * nothing is known of it. */
err life_gather(struct shop *shop, struct arena *arena, struct uuid order, str *json);
