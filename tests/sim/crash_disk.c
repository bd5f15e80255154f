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

/* Written and not synced, and what it wrote over: so a sync has nothing to do but to forget. */
struct written {
    int64_t at, length;
    bool is_length; /* the file has a new length: `at` */
    int64_t length_before;
    unsigned char *old; /* from `at` on, as far as there was a file; NULL: it was no longer */
    int64_t old_length;
};

/* What is known of a file, by its path, whoever has it open. */
struct kept {
    char path[PATH_BYTES];
    int64_t length;
    bool is_there;   /* its name is on disk */
    bool is_removed; /* and is not any more as soon as the folder is synced */
    bool keeps_all;
    int crashes;         /* so far */
    unsigned char *gone; /* its bytes when it was removed */
    struct written *written;
    int written_count, written_room;
    struct kept *next;
};

struct file {
    sqlite3_file base;
    struct kept *kept; /* NULL: a temporary file */
    int crashes;       /* of it, when it was opened */
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

static void forget_written(struct kept *kept)
{
    for (int i = 0; i < kept->written_count; i++)
        free(kept->written[i].old);
    kept->written_count = 0;
}

/* A copy of a file, as the machine shows it. */
struct image {
    unsigned char *bytes;
    int64_t length, room;
};

static void make_room(struct image *image, int64_t length)
{
    if (length <= image->room)
        return;
    image->room = length > 2 * image->room ? length : 2 * image->room;
    image->bytes = memory(image->bytes, (size_t)image->room);
}

static void grow(struct image *image, int64_t length)
{
    if (length <= image->length)
        return;
    make_room(image, length);
    memset(image->bytes + image->length, 0, (size_t)(length - image->length));
    image->length = length;
}

/* The whole file as the machine shows it, which is replaced or removed next; false where there is
 * none. */
static bool take_shown(const char *path, struct image *image)
{
    *image = (struct image){ 0 };
    if (disk.in_memory) {
        image->bytes = memory_disk_take(path, &image->length, &image->room);
        return image->bytes;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    int64_t length = lseek(fd, 0, SEEK_END);
    ASSERT(length >= 0);
    make_room(image, length);
    image->length = length;
    ssize_t got = length > 0 ? pread(fd, image->bytes, (size_t)length, 0) : 0;
    ASSERT(got == length);
    close(fd);
    return true;
}

static bool is_shown(const char *path)
{
    int64_t length;
    return (disk.in_memory && memory_disk_bytes(path, &length)) || access(path, F_OK) == 0;
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
    const char *name = strrchr(path, '/');
    kept->keeps_all = name && strncmp(name, "/payments-simulator", 19) == 0;
    kept->is_there = is_shown(path);
    disk.files = kept;
    return kept;
}

/* NULL where nothing is lost: a temporary file, the bank's, one that the dead have open. */
static struct kept *may_lose(const struct file *file)
{
    struct kept *kept = file->kept;
    return kept && !kept->keeps_all && file->crashes == kept->crashes ? kept : NULL;
}

/* Before it is done. */
static void note(struct file *file, struct written written)
{
    struct kept *kept = may_lose(file);
    if (!kept)
        return;
    int64_t end = written.is_length ? kept->length : written.at + written.length;
    int64_t old_end = end < kept->length ? end : kept->length;
    written.length_before = kept->length;
    if (old_end > written.at) {
        written.old_length = old_end - written.at;
        written.old = memory(NULL, (size_t)written.old_length);
        int code = file->real->pMethods->xRead(file->real, written.old, (int)written.old_length,
                                               written.at);
        ASSERT(code == SQLITE_OK);
    }
    if (written.is_length)
        kept->length = written.at;
    else if (end > kept->length)
        kept->length = end;
    if (kept->written_count == kept->written_room) {
        kept->written_room = 2 * kept->written_room + 16;
        kept->written = memory(kept->written, sizeof(struct written) * (size_t)kept->written_room);
    }
    kept->written[kept->written_count++] = written;
}

/* The machine did not do it. */
static void take_back(struct file *file)
{
    struct kept *kept = may_lose(file);
    if (!kept)
        return;
    struct written *written = &kept->written[--kept->written_count];
    kept->length = written->length_before;
    free(written->old);
}

/* A file of that name that nothing is on disk of. */
static void make_new(struct kept *kept)
{
    forget_written(kept);
    free(kept->gone);
    kept->gone = NULL;
    kept->is_there = kept->is_removed = false;
}

/* The library syncs the folder with the first sync of a file that it has made. */
static void sync_folder(void)
{
    for (struct kept *kept = disk.files; kept; kept = kept->next)
        if (kept->is_removed)
            make_new(kept);
}

static void keep_all_written(struct kept *kept)
{
    forget_written(kept);
    if (!kept->is_there)
        sync_folder();
    kept->is_there = true;
}

/* ---- a power cut ---- */

/* From the last to the first: what each had written comes to light, and then what it wrote over. */
static void undo_all(const struct kept *kept, struct image *image, unsigned char **news)
{
    for (int i = kept->written_count; i-- > 0;) {
        const struct written *written = &kept->written[i];
        if (!written->is_length) {
            ASSERT(image->length >= written->at + written->length);
            news[i] = memory(NULL, (size_t)written->length);
            memcpy(news[i], image->bytes + written->at, (size_t)written->length);
        }
        grow(image, written->length_before);
        if (written->old)
            memcpy(image->bytes + written->at, written->old, (size_t)written->old_length);
        image->length = written->length_before;
    }
}

/* Each sector by itself reached the disk, or did not: `of_eight` times in eight it did. */
static int64_t redo_some_of(struct image *image, const struct written *written,
                            const unsigned char *bytes, int of_eight)
{
    int64_t lost = 0, end = written->at + written->length;
    if (written->is_length) {
        if (dice(8) >= of_eight)
            return 1;
        if (written->at < image->length)
            image->length = written->at;
        return 0;
    }
    for (int64_t from = written->at, to; from < end; from = to) {
        to = (from / SECTOR + 1) * SECTOR;
        to = to < end ? to : end;
        if (dice(8) >= of_eight) {
            lost++;
            continue;
        }
        grow(image, to);
        memcpy(image->bytes + from, bytes + (from - written->at), (size_t)(to - from));
    }
    return lost;
}

/* In any order: of two writes to one sector either may be the last that reached it. */
static int64_t redo_some(struct kept *kept, struct image *image, int of_eight)
{
    int count = kept->written_count;
    int *left = memory(NULL, sizeof(int) * (size_t)count);
    unsigned char **news = memory(NULL, sizeof *news * (size_t)count);
    memset(news, 0, sizeof *news * (size_t)count);
    undo_all(kept, image, news);
    int64_t lost = 0;
    for (int i = 0; i < count; i++)
        left[i] = i;
    for (int left_count = count; left_count > 0; left_count--) {
        int chosen = dice(left_count), which = left[chosen];
        lost += redo_some_of(image, &kept->written[which], news[which], of_eight);
        left[chosen] = left[left_count - 1];
    }
    for (int i = 0; i < count; i++)
        free(news[i]);
    free(news);
    free(left);
    if (lost < count && of_eight > 0)
        kept->is_there = true;
    return lost;
}

static void lay_into_memory(const struct kept *kept, struct image *image)
{
    if (kept->is_there) {
        memory_disk_replace(kept->path, image->bytes, image->length, image->room);
        return;
    }
    memory_disk_remove(kept->path);
    free(image->bytes);
}

static void lay_onto_machine(const struct kept *kept, struct image *image)
{
    char path[PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s-shm", kept->path);
    unlink(path);
    if (!kept->is_there) {
        unlink(kept->path);
        free(image->bytes);
        return;
    }
    snprintf(path, sizeof path, "%s.new", kept->path);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    ssize_t written = write(fd, image->bytes, (size_t)image->length);
    ASSERT(written == image->length);
    close(fd);
    int code = rename(path, kept->path);
    ASSERT(code == 0);
    free(image->bytes);
}

/* A new file under the old name: whoever still has the old one open holds no locks on this one. The
 * image goes with it. */
static void lay_down(const struct kept *kept, struct image *image)
{
    if (disk.in_memory)
        lay_into_memory(kept, image);
    else
        lay_onto_machine(kept, image);
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

static int64_t leave(struct kept *kept, bool is_power_cut, int of_eight)
{
    int64_t lost = 0;
    struct image image;
    bool comes_back = kept->is_removed && !dice_one_in(2);
    bool is_there = take_shown(kept->path, &image);
    if (kept->is_removed && !comes_back)
        make_new(kept);
    if (is_power_cut && !kept->keeps_all) {
        if (comes_back) {
            free(image.bytes);
            image = (struct image){ kept->gone, kept->length, kept->length };
            kept->gone = NULL;
        }
        lost = redo_some(kept, &image, of_eight);
    } else
        kept->is_there = is_there;
    forget_written(kept);
    kept->is_removed = false;
    kept->crashes++;
    lay_down(kept, &image);
    return lost;
}

int64_t crash_disk_crash(bool is_power_cut, const char *const *names, int names_count)
{
    static const int chances[] = { 0, 1, 4, 7, 8 };
    int of_eight = chances[dice(5)];
    int64_t lost = 0;
    for (struct kept *kept = disk.files; kept; kept = kept->next) {
        if (!is_of(kept, names, names_count))
            continue;
        lost += leave(kept, is_power_cut, of_eight);
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
    note(file, (struct written){ .at = at, .length = count });
    int code = file->real->pMethods->xWrite(file->real, bytes, count, at);
    if (code != SQLITE_OK)
        take_back(file);
    return code;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 length)
{
    struct file *file = of(base);
    if (ask(file, DISK_TRUNCATE) != DISK_WORKS)
        return SQLITE_IOERR_TRUNCATE;
    note(file, (struct written){ .at = length, .is_length = true });
    int code = file->real->pMethods->xTruncate(file->real, length);
    if (code != SQLITE_OK)
        take_back(file);
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
    struct kept *kept = may_lose(file);
    if (kept && !disk.lies)
        keep_all_written(kept);
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
    if (code != SQLITE_OK)
        return code;
    file->base.pMethods = &methods;
    sqlite3_int64 length = 0;
    if (file->kept)
        code = file->real->pMethods->xFileSize(file->real, &length);
    ASSERT(code == SQLITE_OK);
    if (file->kept) {
        file->kept->length = length;
        file->crashes = file->kept->crashes;
    }
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
    struct image image;
    bool was_there = take_shown(path, &image);
    int code = disk.real->xDelete(disk.real, path, syncs_folder);
    if (code != SQLITE_OK || !was_there) {
        free(image.bytes);
        return code;
    }
    free(kept->gone);
    kept->gone = image.bytes;
    kept->length = image.length;
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
        forget_written(disk.files);
        free(disk.files->written);
        free(disk.files->gone);
        free(disk.files);
    }
}

void crash_disk_plant_lies(bool lies) { disk.lies = lies; }

void crash_disk_cuts(int one_in) { disk.cut_one_in = one_in; }

bool crash_disk_has_failed_sync(void) { return sync_failed; }

int64_t crash_disk_ops(enum disk_op op) { return disk.ops[op]; }
