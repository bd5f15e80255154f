/* Looks at the files that a running program reads again (on SIGHUP) for a change, every
 * RELOAD_INTERVAL: nobody sends a signal where a mounted ConfigMap or Secret has changed. */
#pragma once
#include "chassis/conf.h"
#include "os/loop.h"

struct watch;

/* Tells `changed(subject)` on the loop once the files have changed and then stood still for an
 * interval. NULL where RELOAD_INTERVAL is 0. */
struct watch *watch_start(struct loop *loop, const struct conf *conf,
                          void (*changed)(void *subject), void *subject);

/* Stops and frees it. Accepts NULL. */
void watch_end(struct watch *watch);
