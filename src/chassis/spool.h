/* The bodies of calls marked `stream`: kept in the service's database in pieces as they come, so
 * that memory stays flat however large they are.
 *
 * The transport gives one piece after the other (request.h: body_stream); each is on disk before
 * the next is read. The handler sees call->spool, and keeps it (spool_keep, in its write) under a
 * row of its own; what nobody kept is forgotten after SPOOL_RETENTION. Jobs read it by spool_read
 * and let it go with spool_release. */
#pragma once
#include "base/crypto.h"
#include "chassis/db.h"
#include "chassis/request.h"

struct service;

enum { SPOOL_CHUNK_BYTES = STREAM_PIECE_BYTES };

/* A body on disk. Zero bytes: there is none, and no row either. */
struct spool {
    struct uuid id;
    int64_t bytes;
    struct sha256 hash; /* of the whole */
};

/* The body of this request is spooled from now on: sets request->stream. Before its first byte. */
void spool_begin(struct service *service, struct request *request);

/* The body that lies whole in request->body, for transports without streams: spools it, and then
 * calls `then`, on any thread; request->failure tells what came to nothing. After spool_begin. */
void spool_whole(struct request *request, void (*then)(struct request *request));

/* What was spooled of a request; zero where nothing was. */
struct spool spool_of(const struct request *request);

/* It belongs to a row from now on, and stays until spool_release. */
err spool_keep(struct tx *tx, struct uuid id);

/* Its row needs it no more: the sweeper takes it away. */
err spool_release(struct tx *tx, struct uuid id);

/* The bytes of the chunks from the one that `from` lies in, to the one that `from + bytes` lies in;
 * *at is where they begin. */
err spool_read(struct db_reader *reader, struct arena *arena, struct uuid id, int64_t from,
               int64_t bytes, str *out, int64_t *at);

/* Takes away chunks of one spool that nobody keeps and that came before `before`: at most
 * `rows_max` of them; *dropped tells how many rows went. */
err spool_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped);
