#include "apps/tar.h"

#include "base/arena.h"

#include <stdio.h>
#include <string.h>

enum { PIECE_BYTES = 64 * 1024, CHECKSUM_AT = 148, CHECKSUM_BYTES = 8 };

struct head {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
        magic[6], version[2], rest[247];
};
_Static_assert(sizeof(struct head) == TAR_BLOCK_BYTES, "a head is a block");

/* The sum of all bytes, those of the checksum itself counted as spaces. */
static unsigned checksum_of(const struct head *head)
{
    const unsigned char *bytes = (const unsigned char *)head;
    unsigned sum = 0;
    for (int i = 0; i < TAR_BLOCK_BYTES; i++)
        sum += i >= CHECKSUM_AT && i < CHECKSUM_AT + CHECKSUM_BYTES ? ' ' : bytes[i];
    return sum;
}

static err put_head(struct disk_stream *tar, str name, int64_t bytes)
{
    struct head head = { .type = '0', .magic = "ustar", .version = { '0', '0' } };
    ASSERT(name.len <= TAR_NAME_BYTES_MAX);
    memcpy(head.name, name.ptr, name.len);
    memcpy(head.mode, "0000600", 8);
    memcpy(head.uid, "0000000", 8);
    memcpy(head.gid, "0000000", 8);
    memcpy(head.mtime, "00000000000", 12);
    if (bytes < (INT64_C(1) << 33)) {
        snprintf(head.size, sizeof head.size, "%011llo", (unsigned long long)bytes);
    } else { /* more than eight octal gigabytes: as GNU and star have it */
        head.size[0] = (char)0x80;
        for (int i = 11; i > 3; i--, bytes >>= 8)
            head.size[i] = (char)(bytes & 0xff);
    }
    snprintf(head.checksum, sizeof head.checksum, "%06o", checksum_of(&head));
    head.checksum[7] = ' ';
    return disk_stream_put(tar, str_of((const char *)&head, sizeof head));
}

static err put_padding(struct disk_stream *tar, int64_t bytes)
{
    static const char zeros[TAR_BLOCK_BYTES];
    size_t beyond = (size_t)(bytes % TAR_BLOCK_BYTES);
    return beyond ? disk_stream_put(tar, str_of(zeros, TAR_BLOCK_BYTES - beyond)) : OK;
}

err tar_add(struct disk_stream *tar, str name, str content)
{
    TRY(put_head(tar, name, (int64_t)content.len));
    TRY(disk_stream_put(tar, content));
    return put_padding(tar, (int64_t)content.len);
}

static err copy(struct disk_stream *from, struct disk_stream *to, int64_t bytes, char *room,
                struct sha256 *hash, bool *is_short)
{
    struct sha256_stream stream = sha256_begin();
    *is_short = false;
    while (bytes > 0) {
        size_t len, wanted = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;
        TRY(disk_stream_take(from, room, wanted, &len));
        sha256_add(&stream, str_of(room, len));
        TRY(disk_stream_put(to, str_of(room, len)));
        bytes -= (int64_t)len;
        *is_short = len < wanted;
        if (*is_short)
            return OK;
    }
    *hash = sha256_end(&stream);
    return OK;
}

err tar_add_file(struct arena *arena, struct disk_stream *tar, str name, str path,
                 struct sha256 *hash)
{
    char *room = arena_alloc(arena, PIECE_BYTES, 1);
    struct disk_stream *from;
    bool is_short = false;
    TRY(disk_stream_read(arena, path, &from));
    int64_t bytes = disk_stream_bytes(from);
    err error = put_head(tar, name, bytes);
    if (error == OK)
        error = copy(from, tar, bytes, room, hash, &is_short);
    disk_stream_close(from);
    TRY(error);
    if (is_short)
        return fail(arena, OS_FAILED, "%" STR_F " became shorter meanwhile", STR_A(path));
    return put_padding(tar, bytes);
}

err tar_end(struct disk_stream *tar)
{
    static const char zeros[2 * TAR_BLOCK_BYTES];
    return disk_stream_put(tar, str_of(zeros, sizeof zeros));
}

static bool read_size(const struct head *head, int64_t *out)
{
    int64_t size = 0;
    if ((unsigned char)head->size[0] == 0x80) {
        for (int i = 4; i < 12; i++)
            size = size << 8 | (unsigned char)head->size[i];
        *out = size;
        return size >= 0;
    }
    for (int i = 0; i < 11; i++) {
        if (head->size[i] < '0' || head->size[i] > '7')
            return false;
        size = size * 8 + (head->size[i] - '0');
    }
    *out = size;
    return true;
}

err tar_next(struct arena *arena, struct disk_stream *tar, str *name, int64_t *bytes, bool *is_end)
{
    struct head head;
    size_t len;
    TRY(disk_stream_take(tar, (char *)&head, sizeof head, &len));
    *is_end = len == sizeof head && head.name[0] == '\0';
    if (*is_end)
        return OK;
    char wanted[CHECKSUM_BYTES];
    snprintf(wanted, sizeof wanted, "%06o", checksum_of(&head));
    if (len != sizeof head || memcmp(head.magic, "ustar", 5) != 0 || head.type != '0' ||
        memcmp(wanted, head.checksum, 6) != 0 || !read_size(&head, bytes))
        return fail(arena, BACKUP_INVALID, "it is no tar that dukactl has made, or it is cut off");
    *name = str_copy(arena, str_of(head.name, strnlen(head.name, sizeof head.name)));
    return OK;
}

err tar_extract(struct arena *arena, struct disk_stream *tar, int64_t bytes, str path,
                struct sha256 *hash)
{
    char *room = arena_alloc(arena, PIECE_BYTES, 1);
    struct disk_stream *to;
    bool is_short = false;
    size_t beyond = (size_t)(bytes % TAR_BLOCK_BYTES), len;
    TRY(disk_stream_write(arena, path, false, &to));
    err error = copy(tar, to, bytes, room, hash, &is_short);
    if (error == OK)
        error = disk_stream_sync(to);
    disk_stream_close(to);
    TRY(error);
    if (is_short)
        return fail(arena, BACKUP_INVALID, "it is cut off");
    return beyond ? disk_stream_take(tar, room, TAR_BLOCK_BYTES - beyond, &len) : OK;
}
