/* What the replicas of a service tell each other of their commits, so that nobody waits for the
 * next look: that events lie in the outbox (for whose relay sends), that an order has settled (for
 * whose client waits), that a product has changed (for caches). Over db_tell: hints, which may be
 * lost. Relay, waiting calls and caches look by themselves, too; a replica's jobs are woken by its
 * own commits, and others look at them once a second, for they only matter where it has ended. */
#pragma once
#include "chassis/service_inside.h"

/* Begins and ends listening to the others. Without replicas nothing happens. */
void hints_start(struct service *service);
void hints_stop(struct service *service);

/* Looks whether what calls wait for has settled elsewhere, where there are replicas. On a thread
 * that may wait. */
void hints_look(struct service *service);

/* What a word that was heard leads to. Words of a later version are not known, and need not be. */
void hints_hear(struct service *service, str word);

/* Tells the others. Any thread; never waits. */
void hint_outbox(struct service *service);
void hint_settled(struct service *service, struct uuid subject);
void hint_changed(struct service *service, struct uuid subject);
