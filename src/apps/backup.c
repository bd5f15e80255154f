#include "apps/backup.h"

#include "apps/tar.h"
#include "chassis/keys.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/sync.h"

enum {
    DATABASES_MAX = 2 * SHOP_MEMBERS_MAX,
    KEY_BYTES_MAX = 64 * 1024,
    FILES_MAX = 64,
    MANIFEST_LINE_MAX = 400
};

/* A database that goes into the backup. */
struct kept {
    const char *name;
    struct db *db;
    struct db_backup *backup;
};

static int list_kept(const struct shop *shop, struct kept out[DATABASES_MAX])
{
    int count = 0;
    for (int i = 0; i < shop->places_count; i++) {
        const struct shop_place *place = &shop->places[i];
        out[count++] = (struct kept){ place->member->name, service_db(place->service), NULL };
        if (place->member->extra)
            out[count++] =
                (struct kept){ place->member->extra_name, place->member->extra(place->self), NULL };
    }
    return count;
}

/* ---- the moment ---- */

/* Writers that stand still, each inside a transaction of its own. */
struct barrier {
    struct lock lock;
    struct cond changed;
    int arrived, left;
    bool is_open;
};

static err stand_still(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)tx;
    for (size_t i = 0; i < count; i++) {
        struct barrier *barrier = writes[i]->subject;
        lock_take(&barrier->lock);
        barrier->arrived++;
        cond_wake_all(&barrier->changed);
        while (!barrier->is_open)
            cond_wait(&barrier->changed, &barrier->lock);
        lock_drop(&barrier->lock);
        outcomes[i] = OK;
    }
    return OK;
}

static void has_left(struct write *write, enum write_end end, err outcome)
{
    struct barrier *barrier = write->owner;
    (void)end;
    (void)outcome;
    lock_take(&barrier->lock);
    barrier->left++;
    cond_wake_all(&barrier->changed);
    lock_drop(&barrier->lock);
}

static void wait_for(struct barrier *barrier, const int *count, int wanted)
{
    lock_take(&barrier->lock);
    while (*count < wanted)
        cond_wait(&barrier->changed, &barrier->lock);
    lock_drop(&barrier->lock);
}

static void stop_writers(struct arena *const *arenas, struct shop *shop, struct barrier *barrier)
{
    for (int i = 0; i < shop->places_count; i++) {
        struct write *write = write_new(arenas[i], stand_still, barrier);
        write->owner = barrier;
        write->done = has_left;
        writer_submit(service_writer(shop->places[i].service), write);
    }
    wait_for(barrier, &barrier->arrived, shop->places_count);
}

/* Begins a snapshot of each database while nobody writes. */
static err begin_all(struct arena *arena, struct shop *shop, struct kept *kept, int kept_count,
                     int64_t *paused_us)
{
    struct barrier barrier = { 0 };
    struct arena *arenas[SHOP_MEMBERS_MAX]; /* each is its writer's while it works */
    err error = OK;
    lock_init(&barrier.lock);
    cond_init(&barrier.changed);
    for (int i = 0; i < shop->places_count; i++)
        arenas[i] = arena_open(ARENA_CHUNK_BYTES);
    int64_t began_us = clock_mono_us();
    stop_writers(arenas, shop, &barrier);
    for (int i = 0; i < kept_count && error == OK; i++)
        error = db_backup_begin(kept[i].db, arena, &kept[i].backup);
    lock_take(&barrier.lock);
    barrier.is_open = true;
    cond_wake_all(&barrier.changed);
    lock_drop(&barrier.lock);
    *paused_us = clock_mono_us() - began_us;
    wait_for(&barrier, &barrier.left, shop->places_count);
    for (int i = 0; i < shop->places_count; i++)
        arena_close(arenas[i]);
    cond_done(&barrier.changed);
    lock_done(&barrier.lock);
    return error;
}

/* ---- the file ---- */

static void add_line(struct arena *arena, struct text *manifest, const struct sha256 *hash,
                     str name)
{
    str digest = hex(arena, str_of(hash->bytes, sizeof hash->bytes));
    text_add_format(manifest, "%" STR_F "  %" STR_F "\n", STR_A(digest), STR_A(name));
}

static err add_database(struct arena *arena, struct disk_stream *tar, struct db_backup *backup,
                        str name, str scratch, struct text *manifest)
{
    struct sha256 hash;
    str file = str_format(arena, "%" STR_F ".db", STR_A(name));
    TRY(disk_remove(arena, scratch)); /* of a backup that was interrupted */
    TRY(db_backup_run(backup, arena, scratch));
    err error = tar_add_file(arena, tar, file, scratch, &hash);
    TRY(disk_remove(arena, scratch));
    TRY(error);
    add_line(arena, manifest, &hash, file);
    return OK;
}

static err add_keys(struct arena *arena, struct disk_stream *tar, str folder, struct text *manifest)
{
    str *names;
    size_t count;
    TRY(disk_list(arena, folder, &names, &count));
    for (size_t i = 0; i < count && i < FILES_MAX; i++) {
        str content, name = str_format(arena, "keys/%" STR_F, STR_A(names[i]));
        if (str_starts(names[i], STR(".")) || name.len > TAR_NAME_BYTES_MAX)
            continue;
        TRY(disk_read(arena,
                      str_format(arena, "%" STR_F "/%" STR_F, STR_A(folder), STR_A(names[i])),
                      KEY_BYTES_MAX, &content));
        TRY(tar_add(tar, name, content));
        struct sha256 hash = sha256_of(content);
        add_line(arena, manifest, &hash, name);
    }
    return OK;
}

static err write_all(struct arena *arena, struct shop *shop, struct disk_stream *tar,
                     const struct kept *kept, int kept_count, str scratch)
{
    struct text manifest = text_init(arena, 1024);
    for (int i = 0; i < kept_count; i++)
        TRY(add_database(arena, tar, kept[i].backup, str_of_z(kept[i].name), scratch, &manifest));
    if (shop->parts & SHOP_USERS) /* whose they are */
        TRY(add_keys(arena, tar, keys_folder(arena, shop->house.conf), &manifest));
    TRY(tar_add(tar, STR("MANIFEST"), text_str(&manifest)));
    TRY(tar_end(tar));
    return disk_stream_sync(tar);
}

err backup_make(struct arena *arena, struct shop *shop, str path, struct backup_made *out)
{
    ASSERT(arena && shop && out);

    struct kept kept[DATABASES_MAX];
    int kept_count = list_kept(shop, kept);
    struct disk_stream *tar;
    str part = str_format(arena, "%" STR_F ".part", STR_A(path));
    str scratch = str_format(arena, "%" STR_F "/backup.tmp",
                             STR_A(conf_text(shop->house.conf, CONF_DATA_DIR)));
    if (disk_exists(arena, path))
        return fail(arena, OS_FAILED, "%" STR_F " is there already: name a new file", STR_A(path));
    TRY(disk_stream_write(arena, part, true, &tar));
    err error = begin_all(arena, shop, kept, kept_count, &out->paused_us);
    if (error == OK)
        error = write_all(arena, shop, tar, kept, kept_count, scratch);
    for (int i = 0; i < kept_count; i++)
        db_backup_end(kept[i].backup);
    out->bytes = disk_stream_bytes(tar);
    disk_stream_close(tar);
    if (error == OK)
        return disk_rename(arena, part, path);
    (void)!disk_remove(arena, part);
    return error;
}

/* ---- taking it apart ---- */

struct unpacked {
    str name;
    struct sha256 hash;
};

static bool is_safe(str name)
{
    if (str_starts(name, STR("keys/")))
        name = str_slice(name, 5, name.len);
    return name.len > 0 && str_find_byte(name, '/') < 0 && name.ptr[0] != '.';
}

static err check_line(struct arena *arena, str line, const struct unpacked *files, size_t count)
{
    str digest = str_slice(line, 0, 2 * SHA256_BYTES);
    str name = str_slice(line, 2 * SHA256_BYTES + 2, line.len);
    for (size_t i = 0; i < count; i++) {
        if (!str_equal(files[i].name, name))
            continue;
        str seen = hex(arena, str_of(files[i].hash.bytes, SHA256_BYTES));
        return str_equal(seen, digest)
                   ? OK
                   : fail(arena, BACKUP_INVALID, "%" STR_F " is damaged", STR_A(name));
    }
    return fail(arena, BACKUP_INVALID, "%" STR_F " is missing", STR_A(name));
}

static err check_manifest(struct arena *arena, str folder, const struct unpacked *files,
                          size_t count)
{
    str manifest;
    size_t lines = 0;
    TRY(disk_read(arena, str_format(arena, "%" STR_F "/MANIFEST", STR_A(folder)),
                  FILES_MAX * MANIFEST_LINE_MAX, &manifest));
    for (str rest = manifest; rest.ptr;) {
        str line = str_cut(&rest, '\n');
        if (line.len == 0)
            continue;
        lines++;
        TRY(check_line(arena, line, files, count));
    }
    if (lines + 1 != count)
        return fail(arena, BACKUP_INVALID, "it holds files that MANIFEST does not name");
    return OK;
}

static err unpack(struct arena *arena, struct disk_stream *tar, str folder)
{
    struct unpacked files[FILES_MAX];
    size_t count = 0;
    for (;;) {
        int64_t bytes;
        bool is_end;
        struct unpacked *file = &files[count];
        TRY(tar_next(arena, tar, &file->name, &bytes, &is_end));
        if (is_end)
            break;
        if (!is_safe(file->name) || ++count == FILES_MAX)
            return fail(arena, BACKUP_INVALID, "it holds what a backup does not");
        TRY(tar_extract(arena, tar, bytes,
                        str_format(arena, "%" STR_F "/%" STR_F, STR_A(folder), STR_A(file->name)),
                        &file->hash));
    }
    return check_manifest(arena, folder, files, count);
}

err backup_unpack(struct arena *arena, str path, str folder)
{
    ASSERT(arena && path.len > 0 && folder.len > 0);

    struct disk_stream *tar;
    TRY(disk_make_dirs(arena, str_format(arena, "%" STR_F "/keys", STR_A(folder))));
    TRY(disk_stream_read(arena, path, &tar));
    err error = unpack(arena, tar, folder);
    disk_stream_close(tar);
    return error;
}
