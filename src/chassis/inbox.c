#include "chassis/inbox.h"

#include "base/arena.h"
#include "base/planted.h"
#include "gen/chassis.sql.h"

#include <stdlib.h>

/* ---- judging a batch ---- */

/* Entries in the order of keys, and in the order of the batch under each. */
static int compare_entries(const void *a, const void *b, void *entries_of)
{
    const struct inbox_entry *entries = entries_of;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    const struct inbox_claim *one = entries[i].claim, *other = entries[j].claim;
    int by_topic = str_compare(one->topic, other->topic);
    int by_key = by_topic ? by_topic : str_compare(one->key, other->key);
    return by_key ? by_key : (i > j) - (i < j);
}

/* Where the keys stand, all in one statement. */
static err read_heads(struct tx *tx, struct inbox_batch *batch)
{
    struct sql_inbox_head_lock *params =
        arena_array(tx->arena, struct sql_inbox_head_lock, batch->keys_count);
    struct sql_inbox_head_lock_row *rows =
        arena_array(tx->arena, struct sql_inbox_head_lock_row, batch->keys_count);
    bool *found = arena_array(tx->arena, bool, batch->keys_count);
    for (size_t i = 0; i < batch->keys_count; i++)
        params[i] = (struct sql_inbox_head_lock){ batch->keys[i].topic, batch->keys[i].key };
    TRY(sql_tx_inbox_head_lock_each(tx, params, batch->keys_count, rows, found));
    for (size_t i = 0; i < batch->keys_count; i++) {
        batch->keys[i].head_before = batch->keys[i].head = found[i] ? rows[i].number : 0;
        batch->keys[i].ended = false;
    }
    return OK;
}

/* What the claim may do where its key stands at `head`. */
static enum inbox_verdict judge(const struct inbox_entry *entry, int64_t head)
{
    const struct inbox_claim *claim = entry->claim;
    if (PLANTED(inbox_check_gone))
        return INBOX_APPLY;
    if (claim->number <= head)
        return INBOX_REPEATED;
    if (head == 0 && claim->old && !claim->state && claim->source == INBOX_BUS)
        return INBOX_TOO_OLD;
    if (entry->barred || (!claim->state && claim->number != head + 1))
        return INBOX_EARLY;
    return INBOX_APPLY;
}

/* The numbered entries in the order of their keys, and the keys, each once. */
static size_t sort_keys(struct tx *tx, struct inbox_batch *batch, size_t *order)
{
    size_t ordered = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct inbox_entry *entry = &batch->entries[i];
        ASSERT(entry->claim->number >= 0);
        entry->verdict = INBOX_APPLY;
        entry->applied = false;
        if (entry->claim->number > 0)
            order[ordered++] = i;
    }
    qsort_r(order, ordered, sizeof *order, &compare_entries, batch->entries);

    batch->keys = arena_array(tx->arena, struct inbox_key, ordered);
    batch->keys_count = 0;
    struct inbox_key *key = NULL;
    for (size_t i = 0; i < ordered; i++) {
        struct inbox_entry *entry = &batch->entries[order[i]];
        const struct inbox_claim *claim = entry->claim;
        if (!key || !str_equal(key->topic, claim->topic) || !str_equal(key->key, claim->key)) {
            key = &batch->keys[batch->keys_count++];
            key->topic = claim->topic;
            key->key = claim->key;
        }
        entry->key = (size_t)(key - batch->keys);
    }
    return ordered;
}

err inbox_judge(struct tx *tx, struct inbox_batch *batch)
{
    ASSERT(tx && batch && (batch->count == 0 || batch->entries));

    size_t *order = arena_array(tx->arena, size_t, batch->count);
    size_t ordered = sort_keys(tx, batch, order);
    TRY(read_heads(tx, batch));
    for (size_t i = 0; i < ordered; i++) {
        struct inbox_entry *entry = &batch->entries[order[i]];
        struct inbox_key *key = &batch->keys[entry->key];
        entry->verdict = judge(entry, key->head);
        if (entry->verdict == INBOX_APPLY)
            key->head = entry->claim->number;
    }
    return OK;
}

bool inbox_settle(struct inbox_batch *batch)
{
    ASSERT(batch);
    for (size_t i = 0; i < batch->keys_count; i++)
        batch->keys[i].head = batch->keys[i].head_before;

    bool stands = true;
    for (size_t i = 0; i < batch->count; i++) {
        struct inbox_entry *entry = &batch->entries[i];
        if (!entry->applied || entry->claim->number == 0)
            continue;
        ASSERT(entry->verdict == INBOX_APPLY);
        struct inbox_key *key = &batch->keys[entry->key];
        if (judge(entry, key->head) == INBOX_APPLY) {
            key->head = entry->claim->number;
            key->ended = entry->claim->last;
        } else {
            entry->barred = true;
            stands = false;
        }
    }
    return stands;
}

static err drop_from_table(struct tx *tx, const struct inbox_claim *claim)
{
    if (claim->source == INBOX_HELD) {
        struct sql_inbox_held_drop row = { claim->topic, claim->key, claim->number };
        return sql_inbox_held_drop(tx, &row, NULL);
    }
    struct sql_dead_letter_drop row = { claim->topic, claim->key, claim->number };
    return sql_dead_letter_drop(tx, &row, NULL);
}

/* Heads move on from where they were read. Where another replica has moved one meanwhile, nothing
 * of the batch counts. */
static err save_heads(struct tx *tx, const struct inbox_batch *batch)
{
    struct sql_inbox_head_insert *first =
        arena_array(tx->arena, struct sql_inbox_head_insert, batch->keys_count);
    struct sql_inbox_head_save *next =
        arena_array(tx->arena, struct sql_inbox_head_save, batch->keys_count);
    int64_t *changed = arena_array(tx->arena, int64_t, batch->keys_count);
    size_t first_count = 0, next_count = 0, moved = 0;
    for (size_t i = 0; i < batch->keys_count; i++) {
        const struct inbox_key *key = &batch->keys[i];
        if (key->head == key->head_before)
            continue;
        if (key->head_before == 0)
            first[first_count++] = (struct sql_inbox_head_insert){
                .topic = key->topic,
                .key = key->key,
                .number = key->head,
                .ended = key->ended,
                .at = tx->now,
            };
        else
            next[next_count++] = (struct sql_inbox_head_save){ .topic = key->topic,
                                                               .key = key->key,
                                                               .number_before = key->head_before,
                                                               .number = key->head,
                                                               .ended = key->ended,
                                                               .at = tx->now };
    }
    TRY(sql_inbox_head_insert_many(tx, first, first_count, changed));
    TRY(sql_inbox_head_save_many(tx, next, next_count, changed + first_count));
    for (size_t i = 0; i < first_count + next_count; i++)
        moved += changed[i] == 1;
    return moved == first_count + next_count
               ? OK
               : fail(tx->arena, DB_BUSY, "another replica took an event of the same key");
}

err inbox_save(struct tx *tx, const struct inbox_batch *batch)
{
    ASSERT(tx && batch);

    if (!PLANTED(inbox_head_forgotten))
        TRY(save_heads(tx, batch));
    for (size_t i = 0; i < batch->count; i++) {
        const struct inbox_entry *entry = &batch->entries[i];
        bool is_over = entry->applied || entry->verdict == INBOX_REPEATED;
        if (is_over && entry->claim->source != INBOX_BUS)
            TRY(drop_from_table(tx, entry->claim));
    }
    return OK;
}

/* ---- the consumer's side ---- */

err inbox_hold(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    ASSERT(tx && writes && outcomes);
    struct sql_inbox_held_insert *rows =
        arena_array(tx->arena, struct sql_inbox_held_insert, count);
    for (size_t i = 0; i < count; i++) {
        const struct bus_event *event = writes[i]->subject;
        rows[i] = (struct sql_inbox_held_insert){
            .topic = event->topic,
            .key = event->key,
            .number = event->number,
            .event_id = event->id,
            .type = event->type,
            .payload = event->payload,
            .traceparent = event->traceparent,
            .event_at = event->at,
            .at = tx->now,
        };
        outcomes[i] = OK;
    }
    return sql_inbox_held_insert_many(tx, rows, count, NULL);
}

err inbox_head_of(struct db_reader *reader, struct arena *arena, str topic, str key,
                  int64_t *number)
{
    ASSERT(reader && arena && number);
    struct sql_inbox_head params = { .topic = topic, .key = key };
    struct sql_inbox_head_row row;
    bool found;
    TRY(sql_inbox_head(reader, arena, &params, &row, &found));
    *number = found ? row.number : 0;
    return OK;
}

err inbox_held_ready(struct db_reader *reader, struct arena *arena, int32_t rows_max,
                     struct bus_event **events, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && events && count);

    struct sql_inbox_held_ready params = { .rows_max = rows_max };
    struct sql_inbox_held_ready_row *rows;
    size_t rows_count;
    TRY(sql_inbox_held_ready(reader, arena, &params, &rows, &rows_count));

    *events = arena_array(arena, struct bus_event, rows_count);
    for (size_t i = 0; i < rows_count; i++)
        (*events)[i] = (struct bus_event){
            .id = rows[i].event_id,
            .type = rows[i].type,
            .topic = rows[i].topic,
            .key = rows[i].key,
            .number = rows[i].number,
            .payload = rows[i].payload,
            .traceparent = rows[i].traceparent,
            .at = rows[i].event_at,
        };
    *count = rows_count;
    return OK;
}

err inbox_held_of_key(struct db_reader *reader, struct arena *arena, str topic, str key,
                      int64_t number, int32_t rows_max, struct bus_event **events, size_t *count)
{
    ASSERT(reader && arena && rows_max > 0 && events && count);

    struct sql_inbox_held_of_key params = {
        .topic = topic, .key = key, .number = number, .rows_max = rows_max
    };
    struct sql_inbox_held_of_key_row *rows;
    size_t rows_count;
    TRY(sql_inbox_held_of_key(reader, arena, &params, &rows, &rows_count));

    *events = arena_array(arena, struct bus_event, rows_count);
    for (size_t i = 0; i < rows_count; i++)
        (*events)[i] = (struct bus_event){
            .id = rows[i].event_id,
            .type = rows[i].type,
            .topic = topic,
            .key = key,
            .number = rows[i].number,
            .payload = rows[i].payload,
            .traceparent = rows[i].traceparent,
            .at = rows[i].event_at,
        };
    *count = rows_count;
    return OK;
}

err inbox_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    ASSERT(tx && rows_max > 0 && dropped);
    struct sql_inbox_heads_sweep params = { .before = before, .rows_max = rows_max };
    return sql_inbox_heads_sweep(tx, &params, dropped);
}

err inbox_forget(struct tx *tx, str topic, str key)
{
    ASSERT(tx);
    return sql_inbox_head_forget(tx, &(struct sql_inbox_head_forget){ topic, key }, NULL);
}

err inbox_held_backlog(struct db_reader *reader, struct arena *arena, struct backlog *out)
{
    ASSERT(reader && arena && out);
    struct sql_inbox_held_backlog_row row;
    TRY(sql_inbox_held_backlog(reader, arena, &row));
    *out = (struct backlog){ .rows_count = row.rows_count, .oldest_at = row.oldest_at };
    return OK;
}
