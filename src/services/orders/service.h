/* Orders: placing, paying, shipping, cancelling, history. The one header of this service that apps/
 * may include. */
#pragma once
#include "chassis/service.h"

struct orders;

/* Brings its database up to what this program knows; `*applied` is how many migrations that took.
 */
err orders_migrate(struct arena *arena, const struct conf *conf, int *applied);

/* Opens the database and the payment providers. `users` and `products` are asked for addresses and
 * unknown prices; orders owns them from then on. Fails with what db_open fails with. */
err orders_open(struct arena *arena, const struct house *house, struct client *users,
                struct client *products, struct orders **out);
struct service *orders_service(struct orders *self);
void orders_start(struct orders *self);
void orders_stop(struct orders *self);
void orders_close(struct orders *self); /* accepts NULL */
