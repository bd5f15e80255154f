/* A machine's file system for SQLite, in memory: what lies below the crash disk in most runs, for
 * a file of the machine's costs a call of its kernel at each page, lock and length.
 *
 * A VFS named "memory" with files, names, locks and shared memory (of the log's index) as the
 * library's own has them. Files of the machine are seen, too: one that is opened and is not here is
 * read in, and changed here alone. Under the baton only: no locks of its own.
 *
 * A file that is replaced or removed stays for whoever has it open. */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* Registers it with the library; once more is nothing. */
sqlite3_vfs *memory_disk_install(void);

/* The bytes of a file, until it is changed; NULL where it is not here. */
const unsigned char *memory_disk_bytes(const char *path, int64_t *length);

/* Takes the bytes out of a file that is replaced or removed next, a block of `room` from malloc: it
 * is empty then for whoever has it open. NULL where it is not here. */
unsigned char *memory_disk_take(const char *path, int64_t *length, int64_t *room);

/* A new file under that name, which takes the bytes over, a block of `room` from malloc. */
void memory_disk_replace(const char *path, unsigned char *bytes, int64_t length, int64_t room);

/* Takes a name away, here and on the machine. */
void memory_disk_remove(const char *path);

/* Writes all files to the machine: for whoever looks at them afterwards. Allocates nothing. */
void memory_disk_save(void);
