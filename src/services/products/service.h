/* Products: catalog and inventory. The one header of this service that apps/ may include. */
#pragma once
#include "chassis/service.h"

struct products;

/* Brings its database up to what this program knows; `*applied` is how many migrations that took.
 */
err products_migrate(struct arena *arena, const struct conf *conf, int *applied);

/* Opens the database. Fails with what db_open fails with. */
err products_open(struct arena *arena, const struct house *house, struct products **out);
struct service *products_service(struct products *self);
void products_start(struct products *self);
void products_stop(struct products *self);
void products_close(struct products *self); /* accepts NULL */
