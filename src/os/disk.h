/* Files that are not the database's: settings, keys, routes, locks. Small and rare; read whole.
 *
 * What fails is OS_FAILED, naming the step, the path and the reason. No descriptor is open while
 * the arena is asked for memory, so that an arena over its ceiling (arena_guard) leaks none. */
#pragma once
#include "base/err.h"

/* The whole file; a longer one than `bytes_max` is refused. */
err disk_read(struct arena *arena, str path, size_t bytes_max, str *out);

/* Writes beside and renames over, fsync before and after: the file is whole, old or new, whenever
 * the machine stops. `mode` as of chmod(2). A crash may leave ".NAME.XXXXXXXX.tmp" behind. */
err disk_write(struct arena *arena, str path, str bytes, unsigned mode);

/* Makes the directory and its parents (mode 0700 for what is made). It may be there already. */
err disk_make_dirs(struct arena *arena, str path);

/* Tells whether the path leads to anything. */
bool disk_exists(struct arena *arena, str path);

/* Where the path leads, its links followed; the path itself where it leads nowhere. */
str disk_real(struct arena *arena, str path);

/* Removes a file for good (the directory is synced). It may be gone already. */
err disk_remove(struct arena *arena, str path);

/* Names in a directory, sorted by bytes, without "." and "..". */
err disk_list(struct arena *arena, str path, str **names, size_t *count);

/* A lock that lasts while the process does, whoever dies: it hangs on an open descriptor. */
struct disk_lock;

/* Takes the lock of a file, which is made if it is not there and stays. A second holder, in this
 * process or another, gets DB_LOCKED naming the first one's pid. */
err disk_lock_take(struct arena *arena, str path, struct disk_lock **out);

/* Gives it back and frees it. Accepts NULL. */
void disk_lock_drop(struct disk_lock *lock);

/* When the file was changed last (microseconds, wall), 0 if it is not there: for reloading. A link
 * is followed, so a mounted ConfigMap that was swapped shows. */
int64_t disk_changed_us(struct arena *arena, str path);

/* Writes all bytes to a descriptor (1 or 2: the log). Errors are dropped, there is nobody to tell;
 * a full non-blocking pipe is waited for, but not for long. */
void disk_write_fd(int fd, str bytes);
