#include "services/orders/providers/simulator.h"
#include "base/crypto.h"
#include "base/json.h"
#include "chassis/write.h"
#include "gen/orders_simulator.sql.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"

enum {
    LATE_US = 2000000,
    CALLBACK_US = 1000000,
    CALLBACK_LATE_US = 60 * 1000000,
    CALLBACK_ASTRAY_US = 2 * CALLBACK_LATE_US,
    CALLBACKS_A_TICK = 100
};

struct simulator {
    struct arena *arena;
    struct db *db;
    struct writer *writer;
    str secret;
};

/* What each token does. */
struct behaviour {
    const char *token;
    enum payment_known decided; /* what the books say once it was asked */
    bool hides_first_answer, late, lapses;
    int callbacks;
    enum payment_known called_back;
    int callback_us; /* after the call */
};

static const struct behaviour behaviours[] = {
    { .token = "approve", .decided = KNOWN_AUTHORIZED },
    { .token = "decline", .decided = KNOWN_DECLINED },
    { .token = "timeout", .decided = KNOWN_AUTHORIZED, .hides_first_answer = true },
    { .token = "timeout-decline", .decided = KNOWN_DECLINED, .hides_first_answer = true },
    { .token = "late", .decided = KNOWN_AUTHORIZED, .late = true },
    { .token = "twice",
      .decided = KNOWN_AUTHORIZED,
      .callbacks = 2,
      .called_back = KNOWN_AUTHORIZED,
      .callback_us = CALLBACK_US },
    { .token = "lapse", .decided = KNOWN_AUTHORIZED, .lapses = true },
    { .token = "webhook",
      .decided = KNOWN_PENDING,
      .callbacks = 1,
      .called_back = KNOWN_AUTHORIZED,
      .callback_us = CALLBACK_US },
    { .token = "webhook-decline",
      .decided = KNOWN_PENDING,
      .callbacks = 1,
      .called_back = KNOWN_DECLINED,
      .callback_us = CALLBACK_US },
    { .token = "webhook-late",
      .decided = KNOWN_PENDING,
      .callbacks = 1,
      .called_back = KNOWN_AUTHORIZED,
      .callback_us = CALLBACK_LATE_US },
    { .token = "early",
      .decided = KNOWN_AUTHORIZED,
      .late = true,
      .callbacks = 1,
      .called_back = KNOWN_AUTHORIZED },
};

static const struct behaviour *behaviour_of(str token)
{
    for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++)
        if (str_equal(str_of_z(behaviours[i].token), token))
            return &behaviours[i];
    return NULL;
}

static bool is_token(void *self, str token)
{
    (void)self;
    return behaviour_of(token) != NULL;
}

/* One change of the books. */
struct change {
    const struct payment *payment;
    const struct behaviour *behaviour; /* of an authorization */
    enum payment_known from, to;
    enum payment_known known; /* as it is afterwards */
    int32_t asked;
};

/* ---- writing ---- */

/* The first call decides what is called back. */
static err insert_callbacks(struct tx *tx, struct write *const *writes, size_t count,
                            const int64_t *inserted)
{
    enum { CALLBACKS_MAX = 2 };
    struct sql_callback_insert *rows =
        arena_array(tx->arena, struct sql_callback_insert, count * CALLBACKS_MAX);
    size_t rows_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct change *change = writes[i]->subject;
        ASSERT(change->behaviour->callbacks <= CALLBACKS_MAX);
        for (int j = 0; inserted[i] == 1 && j < change->behaviour->callbacks; j++)
            rows[rows_count++] =
                (struct sql_callback_insert){ .id = id_new(),
                                              .payment_id = change->payment->id,
                                              .known = (int32_t)change->behaviour->called_back,
                                              .due_at = tx->now + change->behaviour->callback_us };
    }
    return sql_callback_insert_many(tx, rows, rows_count, NULL);
}

/* How the payments stand, of those changes that did not do what they wanted. */
static err read_standing(struct tx *tx, struct write *const *writes, size_t count,
                         const int64_t *done)
{
    struct sql_payment_find *asked = arena_array(tx->arena, struct sql_payment_find, count);
    struct sql_payment_find_row *rows = arena_array(tx->arena, struct sql_payment_find_row, count);
    bool *found = arena_array(tx->arena, bool, count);
    struct change **changes = arena_array(tx->arena, struct change *, count);
    size_t asked_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (done[i] == 1)
            continue;
        changes[asked_count] = writes[i]->subject;
        asked[asked_count] = (struct sql_payment_find){ changes[asked_count]->payment->id };
        asked_count++;
    }
    TRY(sql_tx_payment_find_each(tx, asked, asked_count, rows, found));
    for (size_t i = 0; i < asked_count; i++) {
        changes[i]->known = found[i] ? (enum payment_known)rows[i].known : KNOWN_UNKNOWN;
        changes[i]->asked = found[i] ? rows[i].asked : 0;
    }
    return OK;
}

/* The first call decides; a repeat finds what was decided and counts. */
static err write_authorizations(struct tx *tx, struct write *const *writes, size_t count,
                                err *outcomes)
{
    struct sql_payment_insert *firsts = arena_array(tx->arena, struct sql_payment_insert, count);
    struct sql_payment_count *repeats = arena_array(tx->arena, struct sql_payment_count, count);
    int64_t *inserted = arena_array(tx->arena, int64_t, count);
    size_t repeats_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct change *change = writes[i]->subject;
        firsts[i] = (struct sql_payment_insert){ .id = change->payment->id,
                                                 .token = change->payment->token,
                                                 .amount_minor = change->payment->amount.minor,
                                                 .currency = change->payment->amount.currency,
                                                 .known = (int32_t)change->behaviour->decided,
                                                 .at = tx->now };
        outcomes[i] = OK;
    }
    TRY(sql_payment_insert_many(tx, firsts, count, inserted));
    for (size_t i = 0; i < count; i++) {
        struct change *change = writes[i]->subject;
        change->known = change->behaviour->decided;
        change->asked = 1;
        if (inserted[i] != 1)
            repeats[repeats_count++] = (struct sql_payment_count){ .id = change->payment->id };
    }
    TRY(insert_callbacks(tx, writes, count, inserted));
    TRY(sql_payment_count_many(tx, repeats, repeats_count, NULL));
    return read_standing(tx, writes, count, inserted);
}

static err write_changes(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_payment_change *wanted = arena_array(tx->arena, struct sql_payment_change, count);
    int64_t *changed = arena_array(tx->arena, int64_t, count);
    for (size_t i = 0; i < count; i++) {
        struct change *change = writes[i]->subject;
        wanted[i] = (struct sql_payment_change){ .id = change->payment->id,
                                                 .from_known = (int32_t)change->from,
                                                 .to_known = (int32_t)change->to,
                                                 .at = tx->now };
        change->known = change->to;
        outcomes[i] = OK;
    }
    TRY(sql_payment_change_many(tx, wanted, count, changed));
    return read_standing(tx, writes, count, changed);
}

static enum payment_known write_change(struct simulator *self, struct arena *arena,
                                       write_batch *batch, struct change *change)
{
    err outcome;
    struct write *write = write_new(arena, batch, change);
    writer_submit_and_wait(self->writer, write, &outcome);
    return outcome == OK ? change->known : KNOWN_UNKNOWN;
}

/* ---- the face ---- */

static enum payment_known authorize(void *self, struct arena *arena, const struct payment *payment,
                                    int64_t timeout_us)
{
    const struct behaviour *behaviour = behaviour_of(payment->token);
    if (!behaviour)
        return KNOWN_DECLINED;
    struct change change = { .payment = payment, .behaviour = behaviour };
    enum payment_known known = write_change(self, arena, write_authorizations, &change);
    if (change.asked > 1)
        return known;
    int64_t answers_us = behaviour->hides_first_answer ? INT64_MAX : behaviour->late ? LATE_US : 0;
    if (answers_us > 0)
        sleep_until(clock_mono_us() + (timeout_us < answers_us ? timeout_us : answers_us));
    return answers_us <= timeout_us ? known : KNOWN_UNKNOWN;
}

static enum payment_known change_books(void *self, struct arena *arena,
                                       const struct payment *payment, enum payment_known from,
                                       enum payment_known to)
{
    struct change change = { .payment = payment, .from = from, .to = to };
    return write_change(self, arena, write_changes, &change);
}

static enum payment_known known_after_capture(const struct payment *payment)
{
    const struct behaviour *behaviour = behaviour_of(payment->token);
    return behaviour && behaviour->lapses ? KNOWN_DECLINED : KNOWN_CAPTURED;
}

static enum payment_known capture(void *self, struct arena *arena, const struct payment *payment,
                                  int64_t timeout_us)
{
    (void)timeout_us;
    return change_books(self, arena, payment, KNOWN_AUTHORIZED, known_after_capture(payment));
}

static enum payment_known void_payment(void *self, struct arena *arena,
                                       const struct payment *payment, int64_t timeout_us)
{
    (void)timeout_us;
    return change_books(self, arena, payment, KNOWN_AUTHORIZED, KNOWN_VOIDED);
}

static enum payment_known refund(void *self, struct arena *arena, const struct payment *payment,
                                 int64_t timeout_us)
{
    (void)timeout_us;
    return change_books(self, arena, payment, KNOWN_CAPTURED, KNOWN_REFUNDED);
}

/* ---- asked without waiting ---- */

struct asked {
    struct payment_question question;
    struct change change;
    struct write *write;
};

static void tell_asked(struct write *write, enum write_end end, err outcome)
{
    (void)end;
    const struct asked *asked = write->owner;
    enum payment_known known = outcome == OK ? asked->change.known : KNOWN_UNKNOWN;
    asked->question.answered(asked->question.subject, known);
}

static struct change change_asked_for(const struct payment_question *question)
{
    const struct payment *payment = &question->payment;
    struct change change = { .payment = payment, .from = KNOWN_AUTHORIZED };
    switch (question->job) {
    case JOB_AUTHORIZE: change.behaviour = behaviour_of(payment->token); break;
    case JOB_CAPTURE: change.to = known_after_capture(payment); break;
    case JOB_VOID: change.to = KNOWN_VOIDED; break;
    case JOB_REFUND:
        change.from = KNOWN_CAPTURED;
        change.to = KNOWN_REFUNDED;
        break;
    case JOB_NONE: ASSERT(false);
    }
    return change;
}

/* What takes its time has to be waited for. */
static void *ready(void *self, struct arena *arena, const struct payment_question *question)
{
    (void)self;
    bool is_new = question->job == JOB_AUTHORIZE;
    const struct behaviour *behaviour = behaviour_of(question->payment.token);
    if (is_new && (!behaviour || behaviour->hides_first_answer || behaviour->late))
        return NULL;
    struct asked *asked = arena_new(arena, struct asked);
    asked->question = *question;
    asked->change = change_asked_for(&asked->question);
    asked->write = write_new(arena, is_new ? write_authorizations : write_changes, &asked->change);
    asked->write->owner = asked;
    asked->write->done = tell_asked;
    return asked;
}

static void send_asked(void *self, void *ready)
{
    struct simulator *simulator = self;
    struct asked *asked = ready;
    writer_submit(simulator->writer, asked->write);
}

static enum payment_known get(void *self, struct arena *arena, struct uuid payment,
                              int64_t timeout_us)
{
    (void)timeout_us;
    struct simulator *simulator = self;
    struct db_reader *reader;
    struct sql_payment_find_row row = { 0 };
    bool found = false;
    if (db_read_begin(simulator->db, arena, &reader) != OK)
        return KNOWN_UNKNOWN;
    err error =
        sql_payment_find(reader, arena, &(struct sql_payment_find){ .id = payment }, &row, &found);
    db_read_end(reader);
    return error == OK && found ? (enum payment_known)row.known : KNOWN_UNKNOWN;
}

static err list(void *self, struct arena *arena, time_us since, int count_max,
                struct payment_listed **listed, size_t *count)
{
    struct simulator *simulator = self;
    struct db_reader *reader;
    struct sql_payments_held_row *rows;
    TRY(db_read_begin(simulator->db, arena, &reader));
    err error = sql_payments_held(reader, arena,
                                  &(struct sql_payments_held){ .since = since, .count = count_max },
                                  &rows, count);
    db_read_end(reader);
    TRY(error);
    *listed = arena_array(arena, struct payment_listed, *count);
    for (size_t i = 0; i < *count; i++)
        (*listed)[i] = (struct payment_listed){ .id = rows[i].id,
                                                .known = (enum payment_known)rows[i].known,
                                                .at = rows[i].changed_at };
    return OK;
}

/* ---- callbacks ---- */

static const char *const known_words[] = { "unknown",  "pending", "authorized", "captured",
                                           "declined", "voided",  "refunded" };

static str sign(struct simulator *self, struct arena *arena, str payload)
{
    struct sha256 mac = hmac_sha256(self->secret, payload);
    return hex(arena, str_of(mac.bytes, sizeof(mac.bytes)));
}

static err read_known(struct arena *arena, str word, enum payment_known *out)
{
    for (int i = KNOWN_PENDING; i <= KNOWN_REFUNDED; i++)
        if (str_equal(str_of_z(known_words[i]), word)) {
            *out = (enum payment_known)i;
            return OK;
        }
    return fail_field(arena, FIELD_INVALID, STR("/status"), "unknown payment status");
}

static str member_text(const struct json *object, str name)
{
    const struct json *value =
        json_kind_of(object) == JSON_OBJECT ? json_member(object, name) : NULL;
    return value && json_kind_of(value) == JSON_STRING ? json_string(value) : STR_NONE;
}

static err read_event(void *self, struct arena *arena, str payload, str signature,
                      struct payment_event *event)
{
    if (!secret_equal(sign(self, arena, payload), signature))
        return fail(arena, PAYMENT_SIGNATURE, "Simulator-Signature does not fit the body");
    const struct json *body;
    TRY(json_read(arena, payload, &body));
    event->id = member_text(body, STR("event_id"));
    if (event->id.len == 0 || event->id.len > 100)
        return fail_field(arena, FIELD_INVALID, STR("/event_id"),
                          "must be a text of 1 to 100 bytes");
    if (!uuid_parse(member_text(body, STR("payment_id")), &event->payment))
        return fail_field(arena, FIELD_INVALID, STR("/payment_id"), "must be the id of a payment");
    return read_known(arena, member_text(body, STR("status")), &event->known);
}

/* A pending payment is decided when its callback goes out; then the callback is forgotten. */
static err write_callback_sent(struct tx *tx, struct write *const *writes, size_t count,
                               err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        const struct sql_callbacks_due_row *callback = writes[i]->subject;
        struct sql_payment_change decided = { .id = callback->payment_id,
                                              .from_known = KNOWN_PENDING,
                                              .to_known = callback->known,
                                              .at = tx->now };
        TRY(sql_payment_change(tx, &decided, NULL));
        TRY(sql_callback_drop(tx, &(struct sql_callback_drop){ .id = callback->id }, NULL));
        outcomes[i] = OK;
    }
    return OK;
}

static err tick(void *self, struct arena *arena, time_us now,
                void (*send)(void *subject, str payload, str signature), void *subject,
                time_us *next)
{
    struct simulator *simulator = self;
    struct db_reader *reader;
    struct sql_callbacks_due_row *rows;
    struct sql_callback_due_next_row first;
    size_t count;
    TRY(db_read_begin(simulator->db, arena, &reader));
    struct sql_callbacks_due params = { now, now + CALLBACK_ASTRAY_US, CALLBACKS_A_TICK };
    err error = sql_callbacks_due(reader, arena, &params, &rows, &count);
    if (error == OK)
        error = sql_callback_due_next(reader, arena, &first);
    db_read_end(reader);
    TRY(error);
    *next = first.due_at ? first.due_at : INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        str payload = str_format(
            arena, "{\"event_id\":\"%" STR_F "\",\"payment_id\":\"%" STR_F "\",\"status\":\"%s\"}",
            STR_A(uuid_text(arena, rows[i].id)), STR_A(uuid_text(arena, rows[i].payment_id)),
            known_words[rows[i].known]);
        err outcome;
        writer_submit_and_wait(simulator->writer, write_new(arena, write_callback_sent, &rows[i]),
                               &outcome);
        TRY(outcome);
        send(subject, payload, sign(simulator, arena, payload));
    }
    return OK;
}

/* ---- opening ---- */

err simulator_open(struct arena *arena, str database_url, str secret, struct simulator **out)
{
    ASSERT(arena && out);
    struct arena *own = arena_open(ARENA_CHUNK_BYTES);
    struct simulator *self = arena_new(own, struct simulator);
    self->arena = own;
    self->secret = str_copy(own, secret);
    /* Its books survive kill -9 of this process, as a real provider's would; in a file, not a power
     * cut. A server may crash without us, and must have kept what we were told. */
    struct db_config config = { .url = database_url,
                                .readers_max = 2,
                                .repeatable = true, /* as a call to a provider is */
                                .durable = !str_starts(database_url, STR("sqlite:")) };
    err error = db_open(arena, &config, &orders_simulator_schema, &self->db);
    if (error != OK) {
        arena_close(own);
        return error;
    }
    self->writer = writer_open(self->db, "simulator", NULL, NULL);
    *out = self;
    return OK;
}

err simulator_migrate(struct arena *arena, str database_url, int *applied)
{
    ASSERT(arena && applied);
    struct db_config config = { .url = database_url, .readers_max = 1 };
    return db_migrate(arena, &config, &orders_simulator_schema, applied);
}

struct provider simulator_provider(struct simulator *simulator)
{
    ASSERT(simulator);
    return (struct provider){ .name = "simulator",
                              .self = simulator,
                              .is_token = is_token,
                              .authorize = authorize,
                              .capture = capture,
                              .void_ = void_payment,
                              .refund = refund,
                              .ready = ready,
                              .send = send_asked,
                              .get = get,
                              .list = list,
                              .read_event = read_event,
                              .tick = tick };
}

void simulator_close(struct simulator *simulator)
{
    if (!simulator)
        return;
    writer_close(simulator->writer);
    db_close(simulator->db);
    arena_close(simulator->arena);
}

struct db *simulator_db(struct simulator *simulator) { return simulator->db; }
