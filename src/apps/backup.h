/* A backup: one file (tar) with the databases of all services as they stood at one moment, the
 * signing keys, and MANIFEST with the SHA-256 of each.
 *
 * All writers stand still while the snapshots begin (a millisecond or so), so no event and no order
 * lies between them; the copies are made afterwards, while the shop sells. */
#pragma once
#include "apps/shop.h"

struct backup_made {
    int64_t bytes;
    int64_t paused_us; /* how long writers stood still */
};

/* Makes the file `path`, which must not be there; until it is whole it is called `path`.part. Fails
 * with OS_FAILED, DB_… */
err backup_make(struct arena *arena, struct shop *shop, str path, struct backup_made *out);

/* Takes a backup apart into `folder`, which is made, and compares each file with MANIFEST. Fails
 * with OS_FAILED, or with BACKUP_INVALID where it is none, or damaged. */
err backup_unpack(struct arena *arena, str path, str folder);
