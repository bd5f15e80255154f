/* As much of tar (POSIX ustar) as a backup needs: plain files, one after the other. */
#pragma once
#include "base/crypto.h"
#include "os/disk_stream.h"

enum { TAR_BLOCK_BYTES = 512, TAR_NAME_BYTES_MAX = 99 };

/* Adds a file of this content. */
err tar_add(struct disk_stream *tar, str name, str content);

/* Adds what lies in the file `path`; `hash` is of its content. */
err tar_add_file(struct arena *arena, struct disk_stream *tar, str name, str path,
                 struct sha256 *hash);

/* Two empty blocks end it. */
err tar_end(struct disk_stream *tar);

/* The head of the next file; *is_end at the end. Fails with BACKUP_INVALID for what is no tar. */
err tar_next(struct arena *arena, struct disk_stream *tar, str *name, int64_t *bytes, bool *is_end);

/* Writes the content of the file whose head was read to the file `path`. */
err tar_extract(struct arena *arena, struct disk_stream *tar, int64_t bytes, str path,
                struct sha256 *hash);
