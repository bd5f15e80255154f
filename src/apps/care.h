/* What the operator may ask of a running shop by its socket: dead letters, events of a key,
 * backups. Each runs on a thread of its own, one at a time. */
#pragma once
#include "apps/shop.h"
#include "chassis/admin.h"

struct care;

/* Over a shop that is open. */
struct care *care_open(struct shop *shop);

/* What the operators' door shall run, and where. */
void care_actions(struct care *care, struct admin_config *config);

/* Waits for what is under way. Before the shop is closed. Accepts NULL. */
void care_close(struct care *care);
