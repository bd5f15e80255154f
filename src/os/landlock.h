/* The files and TCP ports that this process keeps to itself: all others are shut, whatever its
 * account may. Source: landlock(7); the kernel tells by a number (its ABI) how much of it it has.
 */
#pragma once
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LANDLOCK_PORTS_MAX = 128 };

struct landlock_place {
    str path;    /* a file, or a folder and all below it */
    bool writes; /* make, write, rename and remove there, too; never run */
};

struct landlock_ports {
    uint16_t ports[LANDLOCK_PORTS_MAX];
    int count;
    bool any; /* none is shut */
};

struct landlock_rules {
    const struct landlock_place *places;
    size_t places_count;
    struct landlock_ports listens, connects;
    /* An abstract Unix socket of somebody else is spoken to (the service manager's): they stay
     * open. */
    bool speaks_abstract;
};

/* Adds a port where it is not there yet; one too many opens all. */
void landlock_add_port(struct landlock_ports *ports, uint16_t port);

/* Which ABI of Landlock the kernel has; 0, with errno set, where it has none: ENOSYS (built
 * without), EOPNOTSUPP (turned off), EPERM (a container's filter). Files are guarded from 1 on, TCP
 * ports from 4, ioctl of devices from 5, signals and abstract sockets from 6. */
int landlock_abi(void);

/* Shuts everything else for this thread and those that it starts: call it before the first. There
 * is no way out. A place that is not there is passed over. Opening what is shut fails with EACCES,
 * so does connecting; a signal to a process outside fails with EPERM. What is open already stays.
 *
 * True when it holds as far as the kernel's ABI goes; false, with errno set, where it does not. */
bool landlock_enter(const struct landlock_rules *rules);
