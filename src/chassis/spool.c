#include "chassis/spool.h"

#include "chassis/service_inside.h"
#include "gen/chassis.sql.h"
#include "os/random.h"

#include <string.h>

enum { PIECE_ARENA_BYTES_MAX = 1024 * 1024 };

/* A body under way; lies in the arena of its request. */
struct spooling {
    struct body_stream stream; /* first: the request points at it */
    struct service *service;
    struct request *request;
    struct arena *arena; /* of the piece in hand */
    struct spool spool;
    struct sha256_stream hash;
    str rest; /* spool_whole: what was not given yet */
    void (*then)(struct request *request);
};

static struct spooling *spooling_of(const struct request *request)
{
    return (struct spooling *)request->stream;
}

/* ---- writing ---- */

struct piece {
    struct uuid id;
    int64_t number, bytes_after;
    str bytes;
};

static err write_pieces(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct piece *piece = writes[i]->subject;
        struct sql_spool_save spool = { piece->id, piece->bytes_after, false, tx->now };
        struct sql_spool_chunk_add chunk = { piece->id, piece->number, piece->bytes };
        TRY(sql_spool_save(tx, &spool, NULL));
        TRY(sql_spool_chunk_add(tx, &chunk, NULL));
        outcomes[i] = OK;
    }
    return OK;
}

/* On the writer's thread. The request may be gone once it was told. */
static void piece_done(struct write *write, enum write_end end, err outcome)
{
    struct spooling *spooling = write->owner;
    struct request *request = spooling->request;
    struct service *service = spooling->service;

    ASSERT(end == WRITE_DONE);
    request->failure = outcome == OK ? OK : err_copy(request->arena, outcome);
    request->taken(request);
    dispatch_leave(service);
}

static void take(struct request *request)
{
    struct spooling *spooling = spooling_of(request);
    struct service *service = spooling->service;
    struct spool *spool = &spooling->spool;

    ASSERT(request->body.len > 0 && request->body.len <= SPOOL_CHUNK_BYTES);
    ASSERT(spool->bytes % SPOOL_CHUNK_BYTES == 0); /* only the last is shorter */
    if (!dispatch_enter(service)) {
        request->failure = fail(request->arena, CALL_DRAINING, "the service stops");
        request->taken(request);
        return;
    }
    arena_reset(spooling->arena);
    struct piece *piece = arena_new(spooling->arena, struct piece);
    *piece = (struct piece){ .id = spool->id,
                             .number = spool->bytes / SPOOL_CHUNK_BYTES,
                             .bytes_after = spool->bytes + (int64_t)request->body.len,
                             .bytes = request->body };
    sha256_add(&spooling->hash, request->body);
    spool->bytes = piece->bytes_after;
    struct write *write = write_new(spooling->arena, write_pieces, piece);
    write->owner = spooling;
    write->done = piece_done;
    writer_submit(service->writer, write);
}

static void close_arena(void *arena) { arena_close(arena); }

void spool_begin(struct service *service, struct request *request)
{
    ASSERT(service && request && !request->stream);

    struct spooling *spooling = arena_new(request->arena, struct spooling);
    *spooling = (struct spooling){ .stream = { .take = take },
                                   .service = service,
                                   .request = request,
                                   .arena = arena_open(PIECE_ARENA_BYTES_MAX),
                                   .spool = { .id = id_new() },
                                   .hash = sha256_begin() };
    arena_defer(request->arena, close_arena, spooling->arena);
    request->stream = &spooling->stream;
}

/* ---- a body that is there already ---- */

static void give_next(struct request *request)
{
    struct spooling *spooling = spooling_of(request);

    if (request->failure == OK && spooling->rest.len > 0) {
        size_t len =
            spooling->rest.len < SPOOL_CHUNK_BYTES ? spooling->rest.len : SPOOL_CHUNK_BYTES;
        request->body = str_slice(spooling->rest, 0, len);
        spooling->rest = str_slice(spooling->rest, len, spooling->rest.len);
        take(request);
        return;
    }
    request->body = STR_NONE;
    spooling->then(request);
}

void spool_whole(struct request *request, void (*then)(struct request *request))
{
    ASSERT(request && request->stream && then);
    struct spooling *spooling = spooling_of(request);

    spooling->rest = request->body;
    spooling->then = then;
    request->taken = give_next;
    give_next(request);
}

struct spool spool_of(const struct request *request)
{
    ASSERT(request);
    if (!request->stream || spooling_of(request)->spool.bytes == 0)
        return (struct spool){ 0 };
    struct spool spool = spooling_of(request)->spool;
    struct sha256_stream hash = spooling_of(request)->hash; /* a copy: it may be asked twice */
    spool.hash = sha256_end(&hash);
    return spool;
}

/* ---- its life ---- */

err spool_keep(struct tx *tx, struct uuid id)
{
    ASSERT(tx && !uuid_is_nil(id));
    struct sql_spool_mark mark = { id, true, tx->now };
    return sql_spool_mark(tx, &mark, NULL);
}

err spool_release(struct tx *tx, struct uuid id)
{
    ASSERT(tx && !uuid_is_nil(id));
    struct sql_spool_mark mark = { id, false, 0 };
    return sql_spool_mark(tx, &mark, NULL);
}

err spool_read(struct db_reader *reader, struct arena *arena, struct uuid id, int64_t from,
               int64_t bytes, str *out, int64_t *at)
{
    ASSERT(reader && arena && from >= 0 && bytes >= 0 && out && at);

    int64_t first = from / SPOOL_CHUNK_BYTES, last = (from + bytes) / SPOOL_CHUNK_BYTES;
    struct sql_spool_chunks query = { id, first, last + 1 };
    struct sql_spool_chunks_row *rows;
    size_t count, len = 0;
    TRY(sql_spool_chunks(reader, arena, &query, &rows, &count));
    *at = first * SPOOL_CHUNK_BYTES;
    if (count == 1) {
        *out = rows[0].bytes;
        return OK;
    }
    for (size_t i = 0; i < count; i++)
        len += rows[i].bytes.len;
    struct text text = text_init(arena, len + 1);
    for (size_t i = 0; i < count; i++)
        text_add(&text, rows[i].bytes);
    *out = text_str(&text);
    return OK;
}

err spool_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    ASSERT(tx && rows_max > 0 && dropped);

    struct sql_spool_idle_row idle;
    bool found;
    *dropped = 0;
    TRY(sql_tx_spool_idle(tx, &(struct sql_spool_idle){ false, before }, &idle, &found));
    if (!found)
        return OK;
    struct sql_spool_chunks_drop chunks = { idle.id, rows_max };
    TRY(sql_spool_chunks_drop(tx, &chunks, dropped));
    if (*dropped > 0)
        return OK;
    return sql_spool_drop(tx, &(struct sql_spool_drop){ idle.id }, dropped);
}
