#include "chassis/once.h"

#include "base/arena.h"
#include "base/crypto.h"
#include "base/planted.h"
#include "chassis/answer.h"
#include "chassis/call.h"
#include "gen/chassis.sql.h"

#include <stdlib.h>

enum { LOOK_BYTES_MAX = 8 * 1024 * 1024 };

/* ---- claims ---- */

/* The path of the call with what stands in its message, whatever carried that: over gRPC as over
 * HTTP, and however the path was percent-encoded. */
static void add_resource(struct text *out, const struct call_spec *spec, const void *in)
{
    for (int i = 0; i < spec->pieces_count; i++) {
        const struct path_piece *piece = &spec->pieces[i];
        text_add_byte(out, '/');
        if (piece->literal) {
            text_add(out, str_of_z(piece->literal));
            continue;
        }
        ASSERT(spec->request->fields[piece->field].text);
        text_add(out, text_of(*(const ProtobufCBinaryData *)message_field(in, spec->request,
                                                                          piece->field)));
    }
}

/* The scope of a key: who, and which call of which resource. */
struct once_claim once_claim_of(const struct call *call, const void *in)
{
    ASSERT(call && call->idempotency_key.ptr && in);
    struct text scope = text_init(call->arena, 96);
    if (!PLANTED(key_without_caller))
        text_add(&scope, uuid_text(call->arena, call->who.user));
    text_add_byte(&scope, ' ');
    text_add(&scope, str_of_z(call->spec->short_name));
    text_add_byte(&scope, ' ');
    add_resource(&scope, call->spec, in);
    struct sha256_stream body = sha256_begin();
    sha256_add(&body, message_pack(call->arena, in));
    if (call->spool.bytes > 0)
        sha256_add(&body, str_of(call->spool.hash.bytes, sizeof call->spool.hash.bytes));
    struct sha256 hash = sha256_end(&body);
    struct once_claim claim = { .scope = text_str(&scope), .key = call->idempotency_key };
    memcpy(claim.body_hash.bytes, hash.bytes, sizeof(hash.bytes));
    return claim;
}

/* A key holds no NUL, so no two pairs of scope and key run together. */
void once_name(struct once_claim *claim)
{
    ASSERT(claim && claim->scope.len <= ONCE_SCOPE_BYTES_MAX);
    ASSERT(claim->key.len > 0 && claim->key.len <= ONCE_KEY_BYTES_MAX);
    ASSERT(str_find_byte(claim->key, '\0') < 0);
    if (claim->named)
        return;

    char both[ONCE_SCOPE_BYTES_MAX + 1 + ONCE_KEY_BYTES_MAX];
    size_t len = claim->scope.len;
    if (len > 0)
        memcpy(both, claim->scope.ptr, len);
    both[len++] = '\0';
    memcpy(both + len, claim->key.ptr, claim->key.len);
    struct sha256 name = sha256_of(str_of(both, len + claim->key.len));
    memcpy(claim->name.bytes, name.bytes, sizeof claim->name.bytes);
    claim->named = true;
}

static str bytes_of(const struct sha256_bytes *hash)
{
    return str_of(hash->bytes, sizeof hash->bytes);
}

struct place {
    const struct once_claim *claim;
    size_t at; /* in the batch */
};

static int compare_places(const void *a, const void *b)
{
    const struct place *one = a, *other = b;
    int by_name =
        memcmp(one->claim->name.bytes, other->claim->name.bytes, sizeof one->claim->name.bytes);
    return by_name ? by_name : (one->at > other->at) - (one->at < other->at);
}

err once_take(struct tx *tx, const struct once_claim *const *claims, size_t count, bool *taken)
{
    ASSERT(tx && (count == 0 || (claims && taken)));

    struct place *places = arena_array(tx->arena, struct place, count);
    for (size_t i = 0; i < count; i++) {
        ASSERT(claims[i]->named);
        places[i] = (struct place){ .claim = claims[i], .at = i };
    }
    qsort(places, count, sizeof *places, &compare_places);

    struct sql_once_claim *rows = arena_array(tx->arena, struct sql_once_claim, count);
    int64_t *changed = arena_array(tx->arena, int64_t, count);
    for (size_t i = 0; i < count; i++) {
        const struct once_claim *claim = places[i].claim;
        rows[i] = (struct sql_once_claim){
            .name = bytes_of(&claim->name),
            .body_hash = bytes_of(&claim->body_hash),
            .subject = claim->subject,
            .created_at = tx->now,
        };
    }
    TRY(sql_once_claim_many(tx, rows, count, changed));
    for (size_t i = 0; i < count; i++)
        taken[places[i].at] = changed[i] == 1;
    return OK;
}

err once_take_back(struct tx *tx, const struct once_claim *const *claims, size_t count)
{
    ASSERT(tx && (count == 0 || claims));
    struct sql_once_take_back *rows = arena_array(tx->arena, struct sql_once_take_back, count);
    int64_t *changed = arena_array(tx->arena, int64_t, count);
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct sql_once_take_back){ .name = bytes_of(&claims[i]->name) };
    TRY(sql_once_take_back_many(tx, rows, count, changed));
    for (size_t i = 0; i < count; i++)
        ASSERT(changed[i] == 1);
    return OK;
}

/* ---- answers ---- */

err once_keep(struct tx *tx, const struct once_claim *const *claims,
              const struct answer *const *answers, size_t count)
{
    ASSERT(tx && (count == 0 || (claims && answers)));

    struct sql_once_answer *rows = arena_array(tx->arena, struct sql_once_answer, count);
    for (size_t i = 0; i < count; i++) {
        ASSERT(answers[i]->known);
        rows[i] = (struct sql_once_answer){
            .name = bytes_of(&claims[i]->name),
            .status = answers[i]->status,
            .problem = answers[i]->problem,
            .answer = answers[i]->message,
            .answered_at = tx->now,
        };
    }
    return sql_once_answer_many(tx, rows, count, NULL);
}

err once_fix(struct tx *tx, const struct uuid *subjects, const struct answer *const *answers,
             size_t count, bool *won)
{
    ASSERT(tx && (count == 0 || (subjects && answers && won)));

    struct sql_once_answer_subject *rows =
        arena_array(tx->arena, struct sql_once_answer_subject, count);
    int64_t *changed = arena_array(tx->arena, int64_t, count);
    for (size_t i = 0; i < count; i++) {
        ASSERT(answers[i]->known && !uuid_is_nil(subjects[i]));
        rows[i] = (struct sql_once_answer_subject){
            .subject = subjects[i],
            .status = answers[i]->status,
            .problem = answers[i]->problem,
            .answer = answers[i]->message,
            .answered_at = tx->now,
        };
    }
    TRY(sql_once_answer_subject_many(tx, rows, count, changed));
    for (size_t i = 0; i < count; i++)
        won[i] = changed[i] > 0;
    return OK;
}

/* ---- what a repeat finds ---- */

static struct answer answer_of(int32_t status, bool problem, str message, time_us answered_at)
{
    if (answered_at == 0)
        return (struct answer){ .known = false };
    return (
        struct answer){ .known = true, .status = status, .problem = problem, .message = message };
}

err once_find(struct db_reader *reader, struct arena *arena, struct once_claim *claim,
              enum once_found *found, struct answer *answer, struct uuid *subject)
{
    ASSERT(reader && arena && claim && found && answer && subject);

    once_name(claim);
    struct sql_once_by_name params = { .name = bytes_of(&claim->name) };
    struct sql_once_by_name_row row;
    bool is_there;
    db_read_alone(reader); /* the claim decides, not this look */
    TRY(sql_once_by_name(reader, arena, &params, &row, &is_there));

    if (!is_there) {
        *found = ONCE_NEW;
    } else if (!str_equal(row.body_hash, bytes_of(&claim->body_hash))) {
        *found = ONCE_OTHER_BODY;
    } else if (row.answered_at == 0) {
        *found = ONCE_IN_FLIGHT;
        *subject = row.subject;
    } else {
        *found = ONCE_ANSWERED;
        *answer = answer_of(row.status, row.problem, row.answer, row.answered_at);
    }
    return OK;
}

err once_find_subject(struct db_reader *reader, struct arena *arena, struct uuid subject,
                      struct answer *answer)
{
    ASSERT(reader && arena && answer && !uuid_is_nil(subject));

    struct sql_once_by_subject key = { .subject = subject };
    struct sql_once_by_subject_row row;
    bool is_there;
    db_read_alone(reader);
    TRY(sql_once_by_subject(reader, arena, &key, &row, &is_there));
    *answer = is_there ? answer_of(row.status, row.problem, row.answer, row.answered_at)
                       : (struct answer){ .known = false };
    return OK;
}

bool once_is_answered(struct db *db, struct uuid subject)
{
    struct arena *arena = arena_open(LOOK_BYTES_MAX);
    struct db_reader *reader;
    struct answer answer = { 0 };
    if (db_read_begin(db, arena, &reader) == OK) {
        if (once_find_subject(reader, arena, subject, &answer) != OK)
            answer.known = false;
        db_read_end(reader);
    }
    arena_close(arena);
    return answer.known;
}

/* An answer is as large as its order; so many fit into the arena. */
enum { LOOKED_UP_AT_ONCE = 64 };

static err find_answered(struct db_reader *reader, struct arena *arena, const struct uuid *subjects,
                         size_t count, bool *answered)
{
    struct sql_once_by_subject *asked = arena_array(arena, struct sql_once_by_subject, count);
    struct sql_once_by_subject_row *rows =
        arena_array(arena, struct sql_once_by_subject_row, count);
    for (size_t i = 0; i < count; i++)
        asked[i].subject = subjects[i];
    TRY(sql_once_by_subject_each(reader, arena, asked, count, rows, answered));
    for (size_t i = 0; i < count; i++)
        answered[i] = answered[i] && rows[i].answered_at != 0;
    return OK;
}

size_t once_keep_answered(struct db *db, struct uuid *subjects, size_t count)
{
    ASSERT(db && (subjects || count == 0));
    struct arena *arena = arena_open(LOOK_BYTES_MAX);
    size_t kept = 0;
    for (size_t at = 0; at < count; at += LOOKED_UP_AT_ONCE) {
        size_t some = count - at < LOOKED_UP_AT_ONCE ? count - at : LOOKED_UP_AT_ONCE;
        struct db_reader *reader;
        bool answered[LOOKED_UP_AT_ONCE];
        arena_reset(arena);
        if (db_read_begin(db, arena, &reader) != OK)
            break;
        db_read_alone(reader);
        err error = find_answered(reader, arena, subjects + at, some, answered);
        db_read_end(reader);
        for (size_t i = 0; error == OK && i < some; i++)
            if (answered[i])
                subjects[kept++] = subjects[at + i];
    }
    arena_close(arena);
    return kept;
}

err once_sweep(struct tx *tx, time_us before, int32_t rows_max, int64_t *dropped)
{
    ASSERT(tx && rows_max > 0 && dropped);
    struct sql_once_sweep params = { .before = before, .rows_max = rows_max };
    return sql_once_sweep(tx, &params, dropped);
}

/* ---- forgetting ---- */

err once_find_about(struct db_reader *reader, struct arena *arena, str text, int32_t rows_max,
                    struct sha256_bytes **names, size_t *count)
{
    ASSERT(reader && arena && text.len > 0 && names && count);
    struct sql_once_about_row *rows;
    TRY(sql_once_about(reader, arena, &(struct sql_once_about){ text, rows_max }, &rows, count));
    *names = arena_array(arena, struct sha256_bytes, *count);
    for (size_t i = 0; i < *count; i++)
        memcpy((*names)[i].bytes, rows[i].name.ptr, sizeof(*names)[i].bytes);
    return OK;
}

err once_forget(struct tx *tx, const struct sha256_bytes *names, size_t count)
{
    ASSERT(tx && (names || count == 0));
    struct answer gone = answer_of_error(
        tx->arena, fail(tx->arena, NOT_FOUND, "the person that this was about is gone"));
    for (size_t i = 0; i < count; i++) {
        struct sql_once_forget row = { bytes_of(&names[i]), gone.message };
        TRY(sql_once_forget(tx, &row, NULL));
    }
    return OK;
}
