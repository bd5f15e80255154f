#include "tests/sim/crash_disk.h"
#include "base/err.h"
#include "os/sync.h"
#include "tests/sim/dice.h"
#include "tests/sim/memory_disk.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 300, SECTOR = CRASH_DISK_SECTOR_BYTES };

/* Written and not synced: some bytes, or (bytes is NULL) a new length. */
struct unsynced {
    int64_t at, length;
    unsigned char *bytes;
    struct unsynced *next;
};

/* What is known of a file, by its path, whoever has it open. */
struct kept {
    char path[PATH_BYTES];
    unsigned char *synced;
    int64_t synced_length, room;
    bool is_there;   /* its name is on disk */
    bool is_removed; /* and is not any more as soon as the folder is synced */
    bool keeps_all;
    struct unsynced *first, **tail;
    struct kept *next;
};

struct file {
    sqlite3_file base;
    struct kept *kept; /* NULL: a temporary file */
    sqlite3_file *real;
};

static struct {
    sqlite3_vfs vfs, *real;
    struct disk_watch watch;
    struct kept *files;
    int64_t ops[DISK_OPS_COUNT];
    int cut_one_in;
    bool lies, in_memory;
} disk;

static _Thread_local bool sync_failed;

/* ---- what is kept ---- */

static void *memory(void *old, size_t bytes)
{
    void *block = realloc(old, bytes ? bytes : 1);
    ASSERT(block);
    return block;
}

/* At least twice as much room as before, or files that grow by pages would be copied each time. */
static void make_room(struct kept *kept, int64_t length)
{
    if (length <= kept->room)
        return;
    kept->room = length > 2 * kept->room ? length : 2 * kept->room;
    kept->synced = memory(kept->synced, (size_t)kept->room);
}

static void grow(struct kept *kept, int64_t length)
{
    if (length <= kept->synced_length)
        return;
    make_room(kept, length);
    memset(kept->synced + kept->synced_length, 0, (size_t)(length - kept->synced_length));
    kept->synced_length = length;
}

static void forget_unsynced(struct kept *kept)
{
    for (struct unsynced *next; kept->first; kept->first = next) {
        next = kept->first->next;
        free(kept->first->bytes);
        free(kept->first);
    }
    kept->tail = &kept->first;
}

static bool read_memory(struct kept *kept)
{
    int64_t length;
    const unsigned char *bytes = memory_disk_bytes(kept->path, &length);
    if (!bytes)
        return false;
    make_room(kept, length);
    kept->synced_length = length;
    if (length > 0)
        memcpy(kept->synced, bytes, (size_t)length);
    return true;
}

/* The whole file as the machine shows it; false where there is none. */
static bool read_shown(struct kept *kept)
{
    if (disk.in_memory)
        return read_memory(kept);
    int fd = open(kept->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    int64_t length = lseek(fd, 0, SEEK_END);
    ASSERT(length >= 0);
    make_room(kept, length);
    kept->synced_length = length;
    ssize_t got = pread(fd, kept->synced, (size_t)length, 0);
    ASSERT(got == length);
    close(fd);
    return true;
}

static struct kept *kept_of(const char *path)
{
    struct kept *kept = disk.files;
    while (kept && strcmp(kept->path, path) != 0)
        kept = kept->next;
    if (kept)
        return kept;
    kept = memory(NULL, sizeof *kept);
    *kept = (struct kept){ .next = disk.files };
    snprintf(kept->path, sizeof kept->path, "%s", path);
    kept->tail = &kept->first;
    const char *name = strrchr(path, '/');
    kept->keeps_all = name && strncmp(name, "/payments-simulator", 19) == 0;
    kept->is_there = read_shown(kept);
    disk.files = kept;
    return kept;
}

static void note(struct kept *kept, int64_t at, int64_t length, const void *bytes)
{
    if (!kept || kept->keeps_all)
        return;
    struct unsynced *entry = memory(NULL, sizeof *entry);
    *entry = (struct unsynced){ .at = at, .length = length };
    if (bytes) {
        entry->bytes = memory(NULL, (size_t)length);
        memcpy(entry->bytes, bytes, (size_t)length);
    }
    *kept->tail = entry;
    kept->tail = &entry->next;
}

/* A file of that name that nothing is on disk of. */
static void make_new(struct kept *kept)
{
    forget_unsynced(kept);
    kept->synced_length = 0;
    kept->is_there = kept->is_removed = false;
}

/* The library syncs the folder with the first sync of a file that it has made. */
static void sync_folder(void)
{
    for (struct kept *kept = disk.files; kept; kept = kept->next)
        if (kept->is_removed)
            make_new(kept);
}

static void apply_all(struct kept *kept)
{
    for (const struct unsynced *entry = kept->first; entry; entry = entry->next) {
        if (entry->bytes) {
            grow(kept, entry->at + entry->length);
            memcpy(kept->synced + entry->at, entry->bytes, (size_t)entry->length);
        } else if (entry->length < kept->synced_length)
            kept->synced_length = entry->length;
        else
            grow(kept, entry->length);
    }
    forget_unsynced(kept);
    if (!kept->is_there)
        sync_folder();
    kept->is_there = true;
}

/* ---- a power cut ---- */

/* Each sector by itself reached the disk, or did not: `of_eight` times in eight it did. */
static int64_t apply_some_of(struct kept *kept, const struct unsynced *entry, int of_eight)
{
    int64_t lost = 0, end = entry->at + entry->length;
    if (!entry->bytes) {
        if (dice(8) >= of_eight)
            return 1;
        if (entry->length < kept->synced_length)
            kept->synced_length = entry->length;
        return 0;
    }
    for (int64_t from = entry->at, to; from < end; from = to) {
        to = (from / SECTOR + 1) * SECTOR;
        to = to < end ? to : end;
        if (dice(8) >= of_eight) {
            lost++;
            continue;
        }
        grow(kept, to);
        memcpy(kept->synced + from, entry->bytes + (from - entry->at), (size_t)(to - from));
    }
    return lost;
}

/* In any order: of two writes to one sector either may be the last that reached it. */
static int64_t apply_some(struct kept *kept, int of_eight)
{
    int count = 0;
    for (const struct unsynced *entry = kept->first; entry; entry = entry->next)
        count++;
    struct unsynced **entries = memory(NULL, sizeof(struct unsynced *) * (size_t)count);
    struct unsynced *entry = kept->first;
    for (int i = 0; i < count; i++, entry = entry->next)
        entries[i] = entry;
    int64_t lost = 0;
    for (int left = count; left > 0; left--) {
        int chosen = dice(left);
        lost += apply_some_of(kept, entries[chosen], of_eight);
        entries[chosen] = entries[left - 1];
    }
    free(entries);
    if (lost < count && of_eight > 0)
        kept->is_there = true;
    forget_unsynced(kept);
    return lost;
}

static void lay_into_memory(const struct kept *kept)
{
    if (kept->is_there)
        memory_disk_replace(kept->path, kept->synced, kept->synced_length);
    else
        memory_disk_remove(kept->path);
}

/* A new file under the old name: whoever still has the old one open holds no locks on this one. */
static void lay_down(const struct kept *kept)
{
    if (disk.in_memory) {
        lay_into_memory(kept);
        return;
    }
    char path[PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s-shm", kept->path);
    unlink(path);
    if (!kept->is_there) {
        unlink(kept->path);
        return;
    }
    snprintf(path, sizeof path, "%s.new", kept->path);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    ssize_t written = write(fd, kept->synced, (size_t)kept->synced_length);
    ASSERT(written == kept->synced_length);
    close(fd);
    int code = rename(path, kept->path);
    ASSERT(code == 0);
}

/* Of a database: its file, its log. */
static bool is_of(const struct kept *kept, const char *const *names, int names_count)
{
    const char *name = strrchr(kept->path, '/');
    name = name ? name + 1 : kept->path;
    for (int i = 0; i < names_count; i++) {
        size_t len = strlen(names[i]);
        if (strncmp(name, names[i], len) == 0 && strncmp(name + len, ".db", 3) == 0)
            return true;
    }
    return names_count == 0;
}

int64_t crash_disk_crash(bool is_power_cut, const char *const *names, int names_count)
{
    static const int chances[] = { 0, 1, 4, 7, 8 };
    int of_eight = chances[dice(5)];
    int64_t lost = 0;
    for (struct kept *kept = disk.files; kept; kept = kept->next) {
        if (!is_of(kept, names, names_count))
            continue;
        if (kept->is_removed && dice_one_in(2))
            make_new(kept);
        if (is_power_cut && !kept->keeps_all)
            lost += apply_some(kept, of_eight);
        else {
            forget_unsynced(kept);
            kept->is_there = read_shown(kept);
        }
        lay_down(kept);
    }
    return lost;
}

/* ---- the files' methods ---- */

static struct file *of(sqlite3_file *base) { return (struct file *)(void *)base; }

static enum disk_fault ask(const struct file *file, enum disk_op op)
{
    if (!file->kept || file->kept->keeps_all)
        return DISK_WORKS;
    disk.ops[op]++;
    return disk.watch.op ? disk.watch.op(disk.watch.self, op, file->kept->path) : DISK_WORKS;
}

static int file_close(sqlite3_file *base)
{
    sqlite3_file *real = of(base)->real;
    int code = real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
    base->pMethods = NULL;
    return code;
}

static int file_read(sqlite3_file *base, void *out, int count, sqlite3_int64 at)
{
    struct file *file = of(base);
    if (ask(file, DISK_READ) != DISK_WORKS)
        return SQLITE_IOERR_READ;
    return file->real->pMethods->xRead(file->real, out, count, at);
}

static int file_write(sqlite3_file *base, const void *bytes, int count, sqlite3_int64 at)
{
    struct file *file = of(base);
    enum disk_fault fault = ask(file, DISK_WRITE);
    if (fault != DISK_WORKS)
        return fault == DISK_ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    int code = file->real->pMethods->xWrite(file->real, bytes, count, at);
    if (code == SQLITE_OK)
        note(file->kept, at, count, bytes);
    return code;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 length)
{
    struct file *file = of(base);
    if (ask(file, DISK_TRUNCATE) != DISK_WORKS)
        return SQLITE_IOERR_TRUNCATE;
    int code = file->real->pMethods->xTruncate(file->real, length);
    if (code == SQLITE_OK)
        note(file->kept, 0, length, NULL);
    return code;
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct file *file = of(base);
    (void)flags;
    sync_yield(); /* a sync takes its time: others go on meanwhile */
    sync_failed = ask(file, DISK_SYNC) != DISK_WORKS;
    if (sync_failed)
        return SQLITE_IOERR_FSYNC;
    if (file->kept && !file->kept->keeps_all && !disk.lies)
        apply_all(file->kept);
    (void)ask(file, DISK_SYNCED);
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    sqlite3_file *real = of(base)->real;
    return real->pMethods->xFileSize(real, out);
}

static int file_lock(sqlite3_file *base, int level)
{
    sqlite3_file *real = of(base)->real;
    return real->pMethods->xLock(real, level);
}

static int file_unlock(sqlite3_file *base, int level)
{
    sqlite3_file *real = of(base)->real;
    return real->pMethods->xUnlock(real, level);
}

static int file_check_lock(sqlite3_file *base, int *out)
{
    sqlite3_file *real = of(base)->real;
    return real->pMethods->xCheckReservedLock(real, out);
}

static int file_control(sqlite3_file *base, int op, void *subject)
{
    sqlite3_file *real = of(base)->real;
    return real->pMethods->xFileControl(real, op, subject);
}

static int file_sector(sqlite3_file *base)
{
    (void)base;
    return SECTOR;
}

/* Nothing is promised beyond the letter: no atomic writes, no safe overwriting. */
static int file_device(sqlite3_file *base)
{
    (void)base;
    return 0;
}

static int file_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
    sqlite3_file *real = of(base)->real;
    return real->pMethods->xShmMap(real, region, size, extend, out);
}

static int file_shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    sqlite3_file *real = of(base)->real;
    return real->pMethods->xShmLock(real, offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *base)
{
    sqlite3_file *real = of(base)->real;
    real->pMethods->xShmBarrier(real);
}

static int file_shm_unmap(sqlite3_file *base, int removes)
{
    sqlite3_file *real = of(base)->real;
    return real->pMethods->xShmUnmap(real, removes);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no memory maps */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the VFS ---- */

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                     int *flags_out)
{
    (void)vfs;
    struct file *file = of(base);
    *file = (struct file){ .real = (sqlite3_file *)(void *)(file + 1) };
    file->kept = path ? kept_of(path) : NULL;
    int is_there = 1;
    if (path)
        disk.real->xAccess(disk.real, path, SQLITE_ACCESS_READWRITE, &is_there);
    if (!is_there)
        make_new(file->kept); /* the old one is forgotten with its name */
    int code = disk.real->xOpen(disk.real, path, file->real, flags, flags_out);
    if (code == SQLITE_OK)
        file->base.pMethods = &methods;
    return code;
}

/* Without a sync of the folder a name may come back. */
static int disk_delete(sqlite3_vfs *vfs, const char *path, int syncs_folder)
{
    (void)vfs;
    struct kept *kept = kept_of(path);
    struct file file = { .kept = kept };
    if (ask(&file, DISK_DELETE) != DISK_WORKS)
        return SQLITE_IOERR_DELETE;
    int code = disk.real->xDelete(disk.real, path, syncs_folder);
    if (code != SQLITE_OK)
        return code;
    kept->is_removed = true;
    if (syncs_folder)
        sync_folder();
    return code;
}

static ssize_t cut_pread(int fd, void *out, size_t count, off_t at)
{
    if (count > 1 && dice_one_in(disk.cut_one_in))
        count = 1 + (size_t)dice((int)count - 1);
    return pread(fd, out, count, at);
}

static ssize_t cut_pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    if (count > 1 && dice_one_in(disk.cut_one_in))
        count = 1 + (size_t)dice((int)count - 1);
    return pwrite(fd, bytes, count, at);
}

static void cut_calls(sqlite3_vfs *machine)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {
        { "pread", (sqlite3_syscall_ptr)(void (*)(void))cut_pread },
        { "pread64", (sqlite3_syscall_ptr)(void (*)(void))cut_pread },
        { "pwrite", (sqlite3_syscall_ptr)(void (*)(void))cut_pwrite },
        { "pwrite64", (sqlite3_syscall_ptr)(void (*)(void))cut_pwrite },
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        (void)machine->xSetSystemCall(machine, calls[i].name, calls[i].call);
}

static void make_default(sqlite3_vfs *machine)
{
    cut_calls(machine);
    disk.vfs = *machine;
    disk.vfs.zName = "crash-disk";
    disk.vfs.xOpen = disk_open;
    disk.vfs.xDelete = disk_delete;
    int code = sqlite3_vfs_register(&disk.vfs, 1);
    ASSERT(code == SQLITE_OK);
}

void crash_disk_install(const struct disk_watch *watch, enum disk_below below)
{
    static sqlite3_vfs *machine;
    disk.watch = *watch;
    if (!machine) {
        sqlite3_config(SQLITE_CONFIG_MULTITHREAD); /* as the data room, which is too late now */
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
        machine = sqlite3_vfs_find("unix");
        ASSERT(machine);
        make_default(machine);
    }
    disk.in_memory = below == DISK_IN_MEMORY;
    disk.real = disk.in_memory ? memory_disk_install() : machine;
    disk.vfs.szOsFile = (int)sizeof(struct file) + disk.real->szOsFile;
    disk.vfs.xAccess = disk.real->xAccess;
}

const char *crash_disk_below(void) { return disk.real ? disk.real->zName : "unix"; }

void crash_disk_forget(void)
{
    for (struct kept *next; disk.files; disk.files = next) {
        next = disk.files->next;
        forget_unsynced(disk.files);
        free(disk.files->synced);
        free(disk.files);
    }
}

void crash_disk_plant_lies(bool lies) { disk.lies = lies; }

void crash_disk_cuts(int one_in) { disk.cut_one_in = one_in; }

bool crash_disk_has_failed_sync(void) { return sync_failed; }

int64_t crash_disk_ops(enum disk_op op) { return disk.ops[op]; }
