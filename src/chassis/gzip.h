/* gzip (RFC 1952) of messages, by zlib, which lives here only. Its memory is the arena's. Pure. */
#pragma once
#include "base/arena.h"
#include "base/err.h"

/* Unpacks. Fails with PROTOBUF_MALFORMED where it is not one whole member of gzip with nothing
 * behind it, and with HTTP_BODY_TOO_LARGE where it would be more than `bytes_max`: no more than
 * that is ever made of it. */
err gzip_unpack(struct arena *arena, str packed, size_t bytes_max, str *out);

/* Packs for speed, with a window of 4 KiB. */
str gzip_pack(struct arena *arena, str plain);
