/* What is long, asked of a shop that runs over the operator's socket: a file sent up, a file that
 * comes down. Blocking: for dukactl. */
#pragma once
#include "chassis/ask.h"

/* Told now and then how far it is; `total` 0: not known. */
typedef void ask_progress(void *self, int64_t done, int64_t total);

/* Posts the file at `file` as `content_type`. Fails as ask_operator does, and with OS_FAILED for
 * the file. */
err ask_upload(struct arena *arena, str socket_path, const char *path, const char *content_type,
               str file, ask_progress *progress, void *self, struct asked *out);

/* Gets `path`; each piece of a body with status 200 is given to `take`, any other body is kept in
 * `out`. Fails with UPSTREAM_FAILED where the body breaks off. */
err ask_download(struct arena *arena, str socket_path, const char *path,
                 err (*take)(void *self, str piece), void *self, struct asked *out);

/* Asks as ask_operator does, however long it takes; `waiting` is called about five times a second
 * until the answer comes. */
err ask_patiently(struct arena *arena, str socket_path, const char *method, const char *path,
                  str json, void (*waiting)(void *self), void *self, struct asked *out);
