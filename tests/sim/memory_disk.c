#include "tests/sim/memory_disk.h"
#include "base/err.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 300, REGIONS_MAX = 64 };

/* A file, for as long as it has a name or is open. */
struct node {
    char path[PATH_BYTES]; /* empty: it has no name any more */
    unsigned char *bytes;
    int64_t length, room;
    int opened;
    int level, shared; /* locks: the highest level, and how many have one at all */
    void *regions[REGIONS_MAX];
    int regions_count, mapped;
    int index_locks[SQLITE_SHM_NLOCK]; /* -1: exclusive; else how many share it */
    struct node *next;                 /* of those with a name */
};

struct file {
    sqlite3_file base;
    struct node *node;
    int level;
    bool is_mapped, is_read_only;
    unsigned shared, exclusive; /* its locks on the index, by bit */
};

static struct {
    sqlite3_vfs vfs, *machine;
    struct node *nodes;
} disk;

static struct file *of(sqlite3_file *base) { return (struct file *)(void *)base; }

/* ---- names ---- */

static struct node *node_of(const char *path)
{
    struct node *node = disk.nodes;
    while (node && strcmp(node->path, path) != 0)
        node = node->next;
    return node;
}

static void free_regions(struct node *node)
{
    for (int i = 0; i < node->regions_count; i++)
        free(node->regions[i]);
    node->regions_count = 0;
}

static void free_unused(struct node *node)
{
    if (node->path[0] || node->opened > 0)
        return;
    free_regions(node);
    free(node->bytes);
    free(node);
}

static void unname(const char *path)
{
    struct node **at = &disk.nodes;
    while (*at && strcmp((*at)->path, path) != 0)
        at = &(*at)->next;
    struct node *node = *at;
    if (!node)
        return;
    *at = node->next;
    node->path[0] = '\0';
    free_unused(node);
}

static void make_room(struct node *node, int64_t length)
{
    if (length <= node->room)
        return;
    node->room = length > 2 * node->room ? length : 2 * node->room;
    node->bytes = realloc(node->bytes, (size_t)node->room);
    ASSERT(node->bytes);
}

static void set_length(struct node *node, int64_t length)
{
    make_room(node, length);
    if (length > node->length)
        memset(node->bytes + node->length, 0, (size_t)(length - node->length));
    node->length = length;
}

/* An empty path: a file of nobody else. */
static struct node *node_new(const char *path)
{
    struct node *node = calloc(1, sizeof *node);
    ASSERT(node && strlen(path) < sizeof node->path);
    snprintf(node->path, sizeof node->path, "%s", path);
    if (path[0]) {
        node->next = disk.nodes;
        disk.nodes = node;
    }
    return node;
}

/* One that only the machine has; NULL where it has none. */
static struct node *read_in(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct node *node = node_new(path);
    set_length(node, lseek(fd, 0, SEEK_END));
    ssize_t got = node->length > 0 ? pread(fd, node->bytes, (size_t)node->length, 0) : 0;
    ASSERT(got == node->length);
    close(fd);
    return node;
}

/* ---- a file ---- */

static int file_close(sqlite3_file *base);

static int file_read(sqlite3_file *base, void *out, int count, sqlite3_int64 at)
{
    const struct node *node = of(base)->node;
    int64_t there = node->length > at ? node->length - at : 0;
    if (there >= count) {
        memcpy(out, node->bytes + at, (size_t)count);
        return SQLITE_OK;
    }
    if (there > 0)
        memcpy(out, node->bytes + at, (size_t)there);
    memset((char *)out + there, 0, (size_t)(count - there));
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *bytes, int count, sqlite3_int64 at)
{
    struct node *node = of(base)->node;
    ASSERT(!of(base)->is_read_only);
    if (at > node->length)
        set_length(node, at);
    if (at + count > node->length) {
        make_room(node, at + count);
        node->length = at + count;
    }
    memcpy(node->bytes + at, bytes, (size_t)count);
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 length)
{
    set_length(of(base)->node, length);
    return SQLITE_OK;
}

static int file_sync(sqlite3_file *base, int flags)
{
    (void)base, (void)flags;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    *out = of(base)->node->length;
    return SQLITE_OK;
}

/* As the library's own within one process (os_unix.c). */
static int file_lock(sqlite3_file *base, int level)
{
    struct file *file = of(base);
    struct node *node = file->node;
    if (level <= file->level)
        return SQLITE_OK;
    if (file->level != node->level &&
        (node->level >= SQLITE_LOCK_PENDING || level > SQLITE_LOCK_SHARED))
        return SQLITE_BUSY;
    if (file->is_read_only && level > SQLITE_LOCK_SHARED)
        return SQLITE_IOERR_LOCK; /* the machine locks nothing through what it only reads */
    if (file->level == SQLITE_LOCK_NONE)
        node->shared++;
    if (level == SQLITE_LOCK_SHARED) {
        file->level = level;
        node->level = node->level > level ? node->level : level;
        return SQLITE_OK;
    }
    bool must_wait = level == SQLITE_LOCK_EXCLUSIVE && node->shared > 1;
    file->level = node->level = must_wait ? SQLITE_LOCK_PENDING : level;
    return must_wait ? SQLITE_BUSY : SQLITE_OK;
}

static int file_unlock(sqlite3_file *base, int level)
{
    struct file *file = of(base);
    struct node *node = file->node;
    if (file->level <= level)
        return SQLITE_OK;
    if (file->level > SQLITE_LOCK_SHARED)
        node->level = SQLITE_LOCK_SHARED;
    if (level == SQLITE_LOCK_NONE && --node->shared == 0)
        node->level = SQLITE_LOCK_NONE;
    file->level = level;
    return SQLITE_OK;
}

static int file_check_lock(sqlite3_file *base, int *out)
{
    *out = of(base)->node->level > SQLITE_LOCK_SHARED;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *subject)
{
    (void)base, (void)op, (void)subject;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *base)
{
    (void)base;
    return 512;
}

static int file_device(sqlite3_file *base)
{
    (void)base;
    return 0;
}

/* ---- the index of its log ---- */

static int index_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
    struct file *file = of(base);
    struct node *node = file->node;
    ASSERT(region < REGIONS_MAX);
    node->mapped += !file->is_mapped;
    file->is_mapped = true;
    *out = NULL;
    if (region >= node->regions_count && !extend)
        return SQLITE_OK;
    for (; node->regions_count <= region; node->regions_count++) {
        node->regions[node->regions_count] = calloc(1, (size_t)size);
        ASSERT(node->regions[node->regions_count]);
    }
    *out = node->regions[region];
    return SQLITE_OK;
}

static int index_unlock(struct file *file, unsigned bits)
{
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
        if (file->exclusive & bits & 1u << i)
            file->node->index_locks[i] = 0;
        else if (file->shared & bits & 1u << i)
            file->node->index_locks[i]--;
    }
    file->exclusive &= ~bits;
    file->shared &= ~bits;
    return SQLITE_OK;
}

static int index_share(struct file *file, int place)
{
    if (file->shared & 1u << place)
        return SQLITE_OK;
    if (file->node->index_locks[place] < 0)
        return SQLITE_BUSY;
    file->node->index_locks[place]++;
    file->shared |= 1u << place;
    return SQLITE_OK;
}

static int index_seize(struct file *file, int from, int count)
{
    for (int i = from; i < from + count; i++)
        if (!(file->exclusive & 1u << i) && file->node->index_locks[i] != 0)
            return SQLITE_BUSY;
    for (int i = from; i < from + count; i++) {
        file->node->index_locks[i] = -1;
        file->exclusive |= 1u << i;
    }
    return SQLITE_OK;
}

static int index_lock(sqlite3_file *base, int from, int count, int flags)
{
    struct file *file = of(base);
    if (flags & SQLITE_SHM_UNLOCK)
        return index_unlock(file, ((1u << count) - 1) << from);
    return flags & SQLITE_SHM_SHARED ? index_share(file, from) : index_seize(file, from, count);
}

static void index_barrier(sqlite3_file *base) { (void)base; }

static int index_unmap(sqlite3_file *base, int removes)
{
    struct file *file = of(base);
    (void)removes; /* the last that goes takes it along: the next makes it anew from the log */
    if (file->is_mapped && --file->node->mapped == 0)
        free_regions(file->node);
    file->is_mapped = false;
    return SQLITE_OK;
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
    .xShmMap = index_map,
    .xShmLock = index_lock,
    .xShmBarrier = index_barrier,
    .xShmUnmap = index_unmap,
};

/* ---- the VFS ---- */

static int file_close(sqlite3_file *base)
{
    struct file *file = of(base);
    (void)index_unlock(file, ~0u);
    (void)index_unmap(base, 0);
    (void)file_unlock(base, SQLITE_LOCK_NONE);
    file->node->opened--;
    free_unused(file->node);
    base->pMethods = NULL;
    return SQLITE_OK;
}

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                     int *flags_out)
{
    (void)vfs;
    struct file *file = of(base);
    *file = (struct file){ 0 };
    struct node *node = path ? node_of(path) : NULL;
    if (!node && path)
        node = read_in(path);
    if (!node && path && !(flags & SQLITE_OPEN_CREATE))
        return SQLITE_CANTOPEN;
    if (!node)
        node = node_new(path ? path : "");
    node->opened++;
    if (path && flags & SQLITE_OPEN_DELETEONCLOSE)
        unname(path);
    file->node = node;
    file->is_read_only = !(flags & SQLITE_OPEN_READWRITE);
    file->base.pMethods = &methods;
    if (flags_out)
        *flags_out = flags;
    return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *path, int syncs_folder)
{
    (void)vfs, (void)syncs_folder;
    bool is_here = node_of(path) != NULL;
    unname(path);
    return unlink(path) == 0 || is_here ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

static int disk_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
    const struct node *node = node_of(path);
    if (!node)
        return disk.machine->xAccess(vfs, path, flags, out);
    *out = node->length > 0 || flags != SQLITE_ACCESS_EXISTS; /* an empty one counts as none */
    return SQLITE_OK;
}

sqlite3_vfs *memory_disk_install(void)
{
    if (disk.machine)
        return &disk.vfs;
    disk.machine = sqlite3_vfs_find("unix");
    ASSERT(disk.machine);
    disk.vfs = *disk.machine;
    disk.vfs.zName = "memory";
    disk.vfs.szOsFile = (int)sizeof(struct file);
    disk.vfs.xOpen = disk_open;
    disk.vfs.xDelete = disk_delete;
    disk.vfs.xAccess = disk_access;
    int code = sqlite3_vfs_register(&disk.vfs, 0);
    ASSERT(code == SQLITE_OK);
    return &disk.vfs;
}

/* ---- what the crash disk and tests do ---- */

const unsigned char *memory_disk_bytes(const char *path, int64_t *length)
{
    const struct node *node = node_of(path);
    if (!node)
        node = read_in(path);
    if (!node)
        return NULL;
    *length = node->length;
    return node->bytes ? node->bytes : (const unsigned char *)"";
}

unsigned char *memory_disk_take(const char *path, int64_t *length, int64_t *room)
{
    if (!memory_disk_bytes(path, length))
        return NULL;
    struct node *node = node_of(path);
    make_room(node, 1);
    unsigned char *bytes = node->bytes;
    *room = node->room;
    node->bytes = NULL;
    node->length = node->room = 0;
    return bytes;
}

void memory_disk_replace(const char *path, unsigned char *bytes, int64_t length, int64_t room)
{
    unname(path);
    struct node *node = node_new(path);
    node->bytes = bytes;
    node->length = length;
    node->room = room;
}

void memory_disk_remove(const char *path)
{
    unname(path);
    unlink(path);
}

void memory_disk_save(void)
{
    for (const struct node *node = disk.nodes; node; node = node->next) {
        int fd = open(node->path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
            continue;
        ssize_t written = write(fd, node->bytes, (size_t)node->length);
        close(fd);
        if (written != node->length)
            return; /* what is there has to do */
    }
}
