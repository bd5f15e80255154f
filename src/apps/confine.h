/* Which files and ports a program with these settings needs, for Landlock to shut the others
 * (os/landlock.h). Whatever is added to Duka that opens a file or connects is added here. */
#pragma once
#include "apps/members.h"
#include "os/landlock.h"

enum { CONFINE_PLACES_MAX = 128 };

struct confine {
    struct landlock_place places[CONFINE_PLACES_MAX];
    struct landlock_rules rules; /* points to the places */
};

/* Plans it for a program that has those parts (bits by enum shop_part):
 *
 * - writes: DATA_DIR, the folders of its own SQLite databases and Unix sockets, KEYS_DIR and the
 *   folder of mails where it has Users;
 * - reads: the folder of each file that a setting names, and the one where a link there leads, so
 *   that a file which is replaced can be read again; libraries, /etc, /proc, /sys; what libpq and
 *   OpenSSL are told by the environment;
 * - listens on the ports of its addresses; connects to those of its URLs and routes, to DNS, and to
 *   SANDBOX_PORTS. With Kafka to all, unless that is set: brokers name their own.
 *
 * Folders that are to be written are made. Fails with SETTING_INVALID where SANDBOX_PORTS is no
 * list of ports. Everything lies in the arena. */
err confine_plan(struct arena *arena, const struct conf *conf, unsigned parts,
                 char *const *environment, struct confine **out);

/* The first port of the routes as the file has them now that the plan does not have; 0: none. */
int confine_port_missing(struct arena *arena, const struct conf *conf,
                         const struct confine *confine);

/* The ports as a list for the log: "53, 5432", "any". */
str confine_ports_text(struct arena *arena, const struct landlock_ports *ports);
