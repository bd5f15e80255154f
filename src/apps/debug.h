/* The operators' pages: /debug, what this program does at this moment; /debug/orders/ID, one
 * order's life. */
#pragma once
#include "apps/front.h"
#include "apps/shop.h"
#include "chassis/admin.h"

struct debug;

/* Over a shop that is open; `memory` outlives it. */
struct debug *debug_new(struct arena *memory, struct shop *shop);

/* What the operators' door shall show. */
void debug_pages(struct debug *debug, struct admin_config *config);

/* The door itself, whose checks the first page tells; NULL: it is closed. */
void debug_look_at(struct debug *debug, struct admin *admin);

/* The gateway of this program; NULL, NULL: it has none, or no longer. */
void debug_look_at_front(struct debug *debug, const struct front *front, struct gateway *gateway);

/* ---- debug_order.c ---- */

/* Shows the order of ?id= or of the path's end. Not on the loop: it reads databases. */
err debug_show_order(struct shop *shop, struct request *request);

/* TRACE_URL with the trace's id in it; empty where it is not set. */
str debug_trace_url(struct arena *arena, const struct conf *conf, str trace_id);
