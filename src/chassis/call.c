#include "chassis/call.h"
#include "base/crypto.h"
#include "chassis/answer.h"
#include "chassis/binding.h"
#include "chassis/service.h"
#include "os/clock.h"
#include "os/random.h"

err call_reader(struct call *call, struct db_reader **out)
{
    ASSERT(call && call->service);
    if (!call->reader_)
        TRY(db_read_begin(service_db(call->service), call->arena, &call->reader_));
    *out = call->reader_;
    return OK;
}

void call_read_end(struct call *call)
{
    db_read_end(call->reader_);
    call->reader_ = NULL;
}

time_us call_time(const struct call *call)
{
    ASSERT(call);
    return clock_wall_us();
}

struct uuid call_new_id(struct call *call)
{
    ASSERT(call);
    return id_new();
}

void call_random(struct call *call, void *out, size_t count)
{
    ASSERT(call && out);
    random_bytes(out, count);
}

struct write *call_write(struct call *call, write_batch *batch, void *subject)
{
    ASSERT(call && !call->write);
    call->write = write_new(call->arena, batch, subject);
    call->write->traceparent = call->traceparent;
    return call->write;
}

void call_audit(struct call *call)
{
    ASSERT(call);
    call->is_audited = true;
}

err call_answer(struct call *call, const void *message)
{
    ASSERT(call && message && !call->answer);
    call->answer = message;
    return OK;
}

err call_answer_with(struct call *call,
                     const void *(*view)(struct arena *arena, const void *subject),
                     const void *subject)
{
    ASSERT(call && call->write && view);
    call->answer_view = view;
    call->answer_subject = subject;
    return OK;
}

err call_answer_when_settled(struct call *call, struct uuid subject, const void *message)
{
    ASSERT(call && call->write && call->spec && !uuid_is_nil(subject));
    ASSERT(call->spec->settles && call->spec->once); /* its key is what the answer is fixed under */
    call->settles = subject;
    call->answer = message;
    call->answer_status = 202;
    return OK;
}

err call_answer_stream(struct call *call, const char *file,
                       err (*make)(void *self, struct call *job, void *state, struct text *out,
                                   bool *more),
                       void *state)
{
    ASSERT(call && call->spec && call->spec->answer_type && !call->write && make);
    call->make_piece = make;
    call->piece_state = state;
    call->piece_file = file;
    return OK;
}

void call_etag(struct call *call, int64_t version)
{
    call->etag = str_format(call->arena, "\"v%lld\"", (long long)version);
}

err call_if_match(struct call *call, int64_t version)
{
    str given = call->request ? request_header(call->request, STR("if-match")) : STR_NONE;
    if (!given.ptr)
        return OK;
    str wanted = str_format(call->arena, "\"v%lld\"", (long long)version);
    for (str rest = given; rest.ptr;) {
        str one = str_trim(str_cut(&rest, ','));
        if (str_equal(one, STR("*")) || str_equal(one, wanted))
            return OK;
    }
    return fail(call->arena, VERSION_STALE, "its ETag is %" STR_F " now", STR_A(wanted));
}

void write_answer_subject(struct write *write, struct uuid subject, const struct message_spec *spec,
                          const void *message, int status)
{
    ASSERT(write && !uuid_is_nil(subject) && message);
    (void)spec;
    write->answers_subject = subject;
    write->subject_answer = (struct answer){ .known = true,
                                             .status = status,
                                             .message = message_pack(write->arena, message) };
}

void write_answer_subject_error(struct write *write, struct uuid subject, err error)
{
    ASSERT(write && !uuid_is_nil(subject) && error);
    write->answers_subject = subject;
    write->subject_answer = answer_of_error(write->arena, error);
}

void call_cacheable(struct call *call, struct uuid subject)
{
    ASSERT(call && call->spec && call->spec->access == ACCESS_ANYONE);
    call->shows = subject;
}

/* ---- paging ---- */

enum { CURSOR_SEAL_BYTES = 8, CURSOR_TIME_BYTES = 8 };

/* The seal finds cursors that were changed or belong to another question. It keeps no secret: a
 * position only tells where the caller's own list goes on. `position` begins with the time at which
 * the cursor was made. */
static str cursor_seal(struct call *call, str position)
{
    str asked = call->request ? binding_asked(call->arena, call->request) : STR("");
    struct text sealed = text_init(call->arena, 256);
    text_add(&sealed, asked);
    text_add_byte(&sealed, '\n');
    text_add(&sealed, position);
    struct sha256 seal = hmac_sha256(STR("duka cursor 1"), text_str(&sealed));
    return str_copy(call->arena, str_of(seal.bytes, CURSOR_SEAL_BYTES));
}

/* The time is rounded up to an eighth of a cursor's life: a list that has not changed is the same
 * to the byte meanwhile, and so is its ETag. */
static str with_time(struct call *call, str position)
{
    struct text both = text_init(call->arena, CURSOR_TIME_BYTES + position.len);
    int64_t step_us = call->cursor_life_us / 8 + 1;
    uint64_t at = (uint64_t)((call->now / step_us + 1) * step_us);
    for (int shift = 56; shift >= 0; shift -= 8)
        text_add_byte(&both, (char)(at >> shift));
    text_add(&both, position);
    return text_str(&both);
}

static time_us made_at(str position)
{
    uint64_t at = 0;
    for (int i = 0; i < CURSOR_TIME_BYTES; i++)
        at = at << 8 | (unsigned char)position.ptr[i];
    return (time_us)at;
}

str cursor_write(struct call *call, str position)
{
    struct text cursor = text_init(call->arena, 128);
    str sealed = with_time(call, position);
    text_add(&cursor, cursor_seal(call, sealed));
    text_add(&cursor, sealed);
    return base64url(call->arena, text_str(&cursor));
}

err cursor_read(struct call *call, str cursor, str *position)
{
    str bytes, sealed;
    bool fits = base64url_parse(call->arena, cursor, &bytes) &&
                bytes.len >= CURSOR_SEAL_BYTES + CURSOR_TIME_BYTES;
    if (fits) {
        sealed = str_slice(bytes, CURSOR_SEAL_BYTES, bytes.len);
        fits = secret_equal(cursor_seal(call, sealed), str_slice(bytes, 0, CURSOR_SEAL_BYTES));
    }
    if (!fits)
        return fail(call->arena, CURSOR_INVALID, "the cursor does not belong to this list");
    time_us at = made_at(sealed); /* anybody can write one: the seal is no secret */
    if (at < 0 || call->now - at > call->cursor_life_us)
        return fail(call->arena, CURSOR_INVALID, "the cursor has expired");
    *position = str_slice(sealed, CURSOR_TIME_BYTES, sealed.len);
    return OK;
}
