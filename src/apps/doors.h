/* The doors of a shop: the gateway, the addresses of services where they are set, and the
 * operators'. They open together, drain together, and close one after the other, the operators'
 * last. All on the loop's thread, or before it runs. */
#pragma once
#include "apps/front.h"
#include "apps/shop.h"
#include "os/loop.h"

struct doors;

/* What follows makes it; nothing is open yet. `front` is NULL where the gateway is elsewhere. */
struct doors *doors_new(const struct conf *conf, struct loop *loop, struct shop *shop,
                        const struct front *front);

/* Opens all of them. Fails with ADDRESS_TAKEN or SETTING_INVALID; what is open by then stays so
 * until they are closed. */
err doors_open(struct doors *doors, struct arena *arena);

/* The shop is started: it counts as ready, and the log says where it is open. */
void doors_ready(struct doors *doors);

/* Reads the gateway's routes and the files of TLS again; the log tells what came of it. What was
 * refused leaves what was there. */
void doors_reload(struct doors *doors);

/* Not ready any more: every answer ends its connection, and new ones are still taken. */
void doors_drain(struct doors *doors);

/* Closes the public ones. `closed` is told when the last request has been answered, or after
 * `grace_ms`; or at once where none was open. */
void doors_close_public(struct doors *doors, uint32_t grace_ms, void (*closed)(void *subject),
                        void *subject);

/* Closes the operators' one, in the same way. */
void doors_close_ops(struct doors *doors, uint32_t grace_ms, void (*closed)(void *subject),
                     void *subject);

/* Frees all; both were closed before. Accepts NULL. */
void doors_free(struct doors *doors);
