/* The disk of the simulated shop: a SQLite VFS over the library's own or one in memory, which
 * becomes the default one, so that the data room opens its files on it without knowing.
 *
 * Of each file it keeps apart what was synced and what was only written. A process that is killed
 * leaves all that it wrote; a machine that loses power leaves what was synced, and of the rest some
 * sectors of 512 bytes, in any order. A file whose name begins with "payments-simulator" belongs to
 * the bank, another machine: it keeps all.
 *
 * Under the baton only. Reads and writes are cut short by the machine as it likes, too: the
 * library's own VFS is asked to go on after some bytes of a pread or pwrite. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { CRASH_DISK_SECTOR_BYTES = 512 };

/* What the shop does to its disk; SYNCED is the moment after a sync, before anybody knows. */
enum disk_op {
    DISK_READ,
    DISK_WRITE,
    DISK_SYNC,
    DISK_SYNCED,
    DISK_TRUNCATE,
    DISK_DELETE,
    DISK_OPS_COUNT
};

enum disk_fault {
    DISK_WORKS,
    DISK_EIO,    /* of a read or write; a failed sync */
    DISK_ENOSPC, /* of a write: no room */
};

/* Who is asked before each operation; may not return, where the process is killed there. */
struct disk_watch {
    void *self;
    enum disk_fault (*op)(void *self, enum disk_op op, const char *path);
};

/* Makes it the library's default VFS; before the first database of a run was opened. What lies
 * below makes no difference to a run but its speed, and that only a machine cuts calls short. */
enum disk_below { DISK_OF_MACHINE, DISK_IN_MEMORY };
void crash_disk_install(const struct disk_watch *watch, enum disk_below below);

/* The VFS below, for whoever reads the books past all faults; "unix" where none was installed. */
const char *crash_disk_below(void);

/* Forgets all files of the run before; nobody has them open. */
void crash_disk_forget(void);

/* Syncs that return without having done anything: a planted fault. */
void crash_disk_plant_lies(bool lies);

/* One in so many reads and writes is cut short; 0: none. */
void crash_disk_cuts(int one_in);

/* Whether this thread's last sync failed: its process is about to end. */
bool crash_disk_has_failed_sync(void);

/* What is left of the databases of those names (none: of all) after all threads of their program
 * are gone; nobody has their files open any more. Tells how many sectors were lost. */
int64_t crash_disk_crash(bool is_power_cut, const char *const *names, int names_count);

/* How many such operations there were. */
int64_t crash_disk_ops(enum disk_op op);
