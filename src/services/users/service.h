/* Users: accounts, sign-in, sessions, addresses, roles. The one header of this service that apps/
 * may include. */
#pragma once
#include "chassis/service.h"

struct users;

/* Brings its database up to what this program knows; `*applied` is how many migrations that took.
 */
err users_migrate(struct arena *arena, const struct conf *conf, int *applied);

/* Opens the database, makes signing keys where there are none (KEYS_DIR), hands the verifying keys
 * to house->auth. Fails with what db_open fails with, or with a SETTING_INVALID or OS_FAILED that
 * names the key file. */
err users_open(struct arena *arena, const struct house *house, struct users **out);

/* Makes a new signing key: keys_rotate. It is handed to house->auth at once; `*kid` is its name. */
err users_rotate_keys(struct users *self, struct arena *arena, bool drops_others, time_us now,
                      str *kid);
struct service *users_service(struct users *self);
void users_start(struct users *self);
void users_stop(struct users *self);
void users_close(struct users *self); /* accepts NULL */
