#include "chassis/dead_letters.h"

#include "base/arena.h"
#include "gen/chassis.sql.h"

/* ---- writing ---- */

static err put(struct tx *tx, const struct dead_letter *letter)
{
    const struct bus_event *event = &letter->event;
    struct sql_dead_letter_save row = {
        .topic = event->topic,
        .key = event->key,
        .number = event->number,
        .event_id = event->id,
        .type = event->type,
        .payload = event->payload,
        .traceparent = event->traceparent,
        .event_at = event->at,
        .error = letter->error,
        .tries = letter->tries,
        .at = tx->now,
    };
    TRY(sql_dead_letter_save(tx, &row, NULL));

    struct sql_inbox_held_drop held = { event->topic, event->key, event->number };
    return sql_inbox_held_drop(tx, &held, NULL);
}

err dead_letter_put(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    ASSERT(tx && writes && outcomes);
    for (size_t i = 0; i < count; i++) {
        TRY(put(tx, writes[i]->subject));
        outcomes[i] = OK;
    }
    return OK;
}

static err requeue(struct tx *tx, str topic, str key, int64_t *changed)
{
    struct sql_dead_letters_requeue params = { .topic = topic, .key = key };
    return sql_dead_letters_requeue(tx, &params, changed);
}

err dead_letters_requeue(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    ASSERT(tx && writes && outcomes);
    for (size_t i = 0; i < count; i++) {
        const struct dead_letter_place *place = writes[i]->subject;
        int64_t changed;
        TRY(requeue(tx, place->topic, place->key, &changed));
        outcomes[i] = changed > 0
                          ? OK
                          : fail(tx->arena, NOT_FOUND, "no dead letter under %" STR_F " %" STR_F,
                                 STR_A(place->topic), STR_A(place->key));
    }
    return OK;
}

/* Its claim has moved the head behind the letter already. */
static err skip(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct dead_letter_place *place = writes[i]->subject;
        struct sql_dead_letter_skip params = {
            .topic = place->topic, .key = place->key, .number = place->number, .at = tx->now
        };
        int64_t changed;
        TRY(sql_dead_letter_skip(tx, &params, &changed));
        outcomes[i] = OK;
        if (changed > 0)
            TRY(requeue(tx, place->topic, place->key, NULL));
        else
            outcomes[i] =
                fail(tx->arena, NOT_FOUND, "no letter %lld waits under %" STR_F " %" STR_F,
                     (long long)place->number, STR_A(place->topic), STR_A(place->key));
    }
    return OK;
}

struct write *dead_letter_skip(struct arena *arena, struct dead_letter_place place, bool state)
{
    ASSERT(arena && place.number >= 0);
    struct dead_letter_place *subject = arena_new(arena, struct dead_letter_place);
    *subject = place;
    struct write *write = write_new(arena, &skip, subject);
    if (place.number == 0) /* it could not be read: it has a key of its own, and no head to move */
        return write;
    write->inbox = arena_new(arena, struct inbox_claim);
    *write->inbox = (struct inbox_claim){
        .topic = place.topic, .key = place.key, .number = place.number, .state = state
    };
    return write;
}

err events_forget(struct tx *tx, str text)
{
    ASSERT(tx && text.len > 0);
    TRY(sql_dead_letters_forget(tx, &(struct sql_dead_letters_forget){ text }, NULL));
    return sql_inbox_held_forget(tx, &(struct sql_inbox_held_forget){ text }, NULL);
}

err dead_letters_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    ASSERT(tx && rows_max > 0 && dropped);
    struct sql_dead_letters_sweep params = { .before = before, .rows_max = rows_max };
    return sql_dead_letters_sweep(tx, &params, dropped);
}

/* ---- reading ---- */

err dead_letters_list(struct db_reader *reader, struct arena *arena,
                      const struct dead_letter_place *after, int32_t rows_max,
                      struct dead_letter **letters, size_t *count)
{
    ASSERT(reader && arena && after && rows_max > 0 && letters && count);

    struct sql_dead_letters_list params = {
        .topic = after->topic, .key = after->key, .number = after->number, .rows_max = rows_max
    };
    struct sql_dead_letters_list_row *rows;
    size_t rows_count;
    TRY(sql_dead_letters_list(reader, arena, &params, &rows, &rows_count));

    *letters = arena_array(arena, struct dead_letter, rows_count);
    for (size_t i = 0; i < rows_count; i++)
        (*letters)[i] = (struct dead_letter){
            .event = { .id = rows[i].event_id,
                       .type = rows[i].type,
                       .topic = rows[i].topic,
                       .key = rows[i].key,
                       .number = rows[i].number,
                       .payload = rows[i].payload,
                       .traceparent = rows[i].traceparent,
                       .at = rows[i].event_at },
            .error = rows[i].error,
            .tries = rows[i].tries,
            .state = rows[i].state,
            .at = rows[i].at,
        };
    *count = rows_count;
    return OK;
}

err dead_letters_requeued(struct db_reader *reader, struct arena *arena, int32_t rows_max,
                          struct dead_letter **letters, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && letters && count);

    struct sql_dead_letters_requeued params = { .rows_max = rows_max };
    struct sql_dead_letters_requeued_row *rows;
    size_t rows_count;
    TRY(sql_dead_letters_requeued(reader, arena, &params, &rows, &rows_count));

    *letters = arena_array(arena, struct dead_letter, rows_count);
    for (size_t i = 0; i < rows_count; i++)
        (*letters)[i] = (struct dead_letter){
            .event = { .id = rows[i].event_id,
                       .type = rows[i].type,
                       .topic = rows[i].topic,
                       .key = rows[i].key,
                       .number = rows[i].number,
                       .payload = rows[i].payload,
                       .traceparent = rows[i].traceparent,
                       .at = rows[i].event_at },
            .tries = rows[i].tries,
            .state = STR("requeued"),
        };
    *count = rows_count;
    return OK;
}

err dead_letters_parked(struct db_reader *reader, struct arena *arena,
                        const struct dead_letter_place *after, int32_t rows_max,
                        struct dead_letter_place **keys, size_t *count)
{
    ASSERT(reader && arena && after && rows_max > 0 && keys && count);

    struct sql_dead_letters_parked params = { .topic = after->topic,
                                              .key = after->key,
                                              .rows_max = rows_max };
    struct sql_dead_letters_parked_row *rows;
    size_t rows_count;
    TRY(sql_dead_letters_parked(reader, arena, &params, &rows, &rows_count));

    *keys = arena_array(arena, struct dead_letter_place, rows_count);
    for (size_t i = 0; i < rows_count; i++)
        (*keys)[i] = (struct dead_letter_place){ .topic = rows[i].topic, .key = rows[i].key };
    *count = rows_count;
    return OK;
}

err dead_letters_park(struct db_reader *reader, struct arena *arena, str topic, str key,
                      bool *parked)
{
    ASSERT(reader && arena && parked);
    struct sql_dead_letter_parks params = { .topic = topic, .key = key };
    struct sql_dead_letter_parks_row row;
    return sql_dead_letter_parks(reader, arena, &params, &row, parked);
}

err dead_letters_backlog(struct db_reader *reader, struct arena *arena, struct backlog *out)
{
    ASSERT(reader && arena && out);
    struct sql_dead_letters_backlog_row row;
    TRY(sql_dead_letters_backlog(reader, arena, &row));
    *out = (struct backlog){ .rows_count = row.rows_count, .oldest_at = row.oldest_at };
    return OK;
}

err events_of_key(struct db_reader *reader, struct arena *arena, str key, int32_t rows_max,
                  struct event_known **events, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && events && count);
    struct sql_events_of_key params = { .key = key, .rows_max = rows_max };
    struct sql_events_of_key_row *rows;
    TRY(sql_events_of_key(reader, arena, &params, &rows, count));
    *events = arena_array(arena, struct event_known, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*events)[i] = (struct event_known){ .place = rows[i].place,
                                             .topic = rows[i].topic,
                                             .type = rows[i].type,
                                             .number = rows[i].number,
                                             .at = rows[i].at };
    return OK;
}
