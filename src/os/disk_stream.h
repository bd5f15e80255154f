/* Files that are read or written piece by piece: backups, imports and exports of the operator's
 * tool. What fails is OS_FAILED, naming the step, the path and the reason. */
#pragma once
#include "base/err.h"

struct disk_stream;

/* Opens a file for reading. */
err disk_stream_read(struct arena *arena, str path, struct disk_stream **out);

/* Makes a file (mode 0600); one that is there is refused unless `replaces`. */
err disk_stream_write(struct arena *arena, str path, bool replaces, struct disk_stream **out);

/* How long the file is now. */
int64_t disk_stream_bytes(const struct disk_stream *stream);

/* The next bytes, as many as there is room for while the file lasts; *len 0 at its end. */
err disk_stream_take(struct disk_stream *stream, char *bytes, size_t room, size_t *len);

/* Writes all of it. */
err disk_stream_put(struct disk_stream *stream, str bytes);

/* What was put is on disk after this. */
err disk_stream_sync(struct disk_stream *stream);

/* Accepts NULL. */
void disk_stream_close(struct disk_stream *stream);

/* Renames for good (the directory is synced); what was there is replaced. */
err disk_rename(struct arena *arena, str from, str to);

/* How long a file is; 0 where it is not there. */
int64_t disk_bytes(struct arena *arena, str path);
