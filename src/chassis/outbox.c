#include "chassis/outbox.h"

#include "base/arena.h"
#include "gen/chassis.sql.h"
#include "os/random.h"

enum { SEQUENCE_BITS = 12 };

int64_t outbox_position(struct uuid id)
{
    int64_t sequence = (id.bytes[6] & 0x0f) << 8 | id.bytes[7];
    return (int64_t)((uint64_t)uuid_v7_ms(id) << SEQUENCE_BITS) | sequence;
}

/* A new id behind the last one, also where the clock has gone back since a former run left events
 * here. */
static struct uuid next_id(int64_t *position_last)
{
    struct uuid id = id_new();
    int64_t position = outbox_position(id);
    if (position <= *position_last) {
        position = *position_last + 1;
        id =
            uuid_v7(position >> SEQUENCE_BITS, position & ((1 << SEQUENCE_BITS) - 1), random_u64());
    }
    *position_last = position;
    return id;
}

static size_t events_count(struct write *const *writes, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        for (const struct outbox_event *event = writes[i]->events; event; event = event->next)
            total++;
    return total;
}

err outbox_put(struct tx *tx, struct write *const *writes, size_t count, int64_t *position_last,
               size_t *written)
{
    ASSERT(tx && position_last && written);

    size_t total = events_count(writes, count), at = 0;
    struct sql_outbox_insert *rows = arena_array(tx->arena, struct sql_outbox_insert, total);
    for (size_t i = 0; i < count; i++) {
        for (const struct outbox_event *event = writes[i]->events; event; event = event->next) {
            struct uuid id = next_id(position_last);
            rows[at++] = (struct sql_outbox_insert){
                .position = *position_last,
                .id = id,
                .type = str_of_z(event->spec->name),
                .topic = str_of_z(event->spec->topic),
                .key = event->key,
                .number = event->number,
                .payload = event->payload,
                .traceparent = writes[i]->traceparent,
                .at = tx->now,
            };
        }
    }
    *written = total;
    return sql_outbox_insert_many(tx, rows, total, NULL);
}

err outbox_newest(struct tx *tx, int64_t *position)
{
    ASSERT(tx && position);
    struct sql_outbox_newest_row row;
    TRY(sql_tx_outbox_newest(tx, &row));
    *position = row.position;
    return OK;
}

err outbox_after(struct db_reader *reader, struct arena *arena, int64_t position, int32_t rows_max,
                 struct bus_event **events, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && events && count);

    struct sql_outbox_after params = { .position = position, .rows_max = rows_max };
    struct sql_outbox_after_row *rows;
    size_t rows_count;
    TRY(sql_outbox_after(reader, arena, &params, &rows, &rows_count));

    *events = arena_array(arena, struct bus_event, rows_count);
    for (size_t i = 0; i < rows_count; i++)
        (*events)[i] = (struct bus_event){
            .id = rows[i].id,
            .type = rows[i].type,
            .topic = rows[i].topic,
            .key = rows[i].key,
            .number = rows[i].number,
            .payload = rows[i].payload,
            .traceparent = rows[i].traceparent,
            .at = rows[i].at,
        };
    *count = rows_count;
    return OK;
}

err outbox_drop(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    ASSERT(tx && writes && outcomes);
    for (size_t i = 0; i < count; i++) {
        const struct outbox_acked *acked = writes[i]->subject;
        struct sql_outbox_drop *rows = arena_array(tx->arena, struct sql_outbox_drop, acked->count);
        for (size_t j = 0; j < acked->count; j++)
            rows[j] = (struct sql_outbox_drop){ .position = outbox_position(acked->ids[j]),
                                                .id = acked->ids[j] };
        TRY(sql_outbox_drop_many(tx, rows, acked->count, NULL));
        outcomes[i] = OK;
    }
    return OK;
}

err outbox_backlog(struct db_reader *reader, struct arena *arena, struct backlog *out)
{
    ASSERT(reader && arena && out);
    struct sql_outbox_backlog_row row;
    TRY(sql_outbox_backlog(reader, arena, &row));
    *out = (struct backlog){ .rows_count = row.rows_count, .oldest_at = row.oldest_at };
    return OK;
}
