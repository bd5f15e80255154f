/* An order, or a price, in one piece of memory, with its lines and texts: how one is kept in this
 * process between two of its uses (chassis/recent.h). Pure. Not a format: it is read by who wrote
 * it. */
#pragma once
#include "services/orders/order.h"
#include "services/orders/view.h"

/* Writes an order without its steps and events; gives its length, 0 where it is longer than `cap`.
 */
size_t order_flatten(const struct order *order, char *out, size_t cap);

/* The order that lies in `flat` and borrows its lines and texts from there. `flat` is aligned for
 * any type. */
struct order order_unflatten(str flat);

/* The same for a price. */
size_t price_flatten(const struct price *price, char *out, size_t cap);
struct price price_unflatten(str flat);
