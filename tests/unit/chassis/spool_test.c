#include "chassis/spool.h"

#include "counter.h"
#include "os/clock.h"

static const char *const CSV[] = { "content-type: text/csv", NULL };

static str body_of(struct test *t, size_t len)
{
    char *bytes = arena_alloc(t->arena, len, 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)('a' + i % 23);
    return str_of(bytes, len);
}

static struct answer_seen send(struct counter *counter, const char *path, str body)
{
    struct inline_client staff = counter_user(counter, ROLE_BIT_STAFF);
    return inline_request(&staff, "POST", path, CSV, body);
}

static struct uuid id_of(struct counter *counter, const struct answer_seen *answer)
{
    struct uuid id = { { 0 } };
    CHECK(uuid_parse(inline_text(counter->t, answer, "/sku"), &id));
    return id;
}

static str read_spool(struct counter *counter, struct uuid id, int64_t from, int64_t bytes,
                      int64_t *at)
{
    struct db_reader *reader;
    str out;
    CHECK_OK(db_read_begin(service_db(counter->service), counter->t->arena, &reader));
    CHECK_OK(spool_read(reader, counter->t->arena, id, from, bytes, &out, at));
    db_read_end(reader);
    return out;
}

TEST(a_streamed_body_lies_in_the_database_piece_by_piece)
{
    struct counter *counter = counter_started(t);
    size_t len = 2 * SPOOL_CHUNK_BYTES + 1000;
    str body = body_of(t, len);
    struct answer_seen answer = send(counter, "/spool/kept", body);
    CHECK_STATUS(answer, 200);
    CHECK_STR(inline_text(t, &answer, "/on_hand"), "525288");
    struct uuid id = id_of(counter, &answer);

    int64_t at;
    CHECK(str_equal(read_spool(counter, id, 0, (int64_t)len, &at), body));
    CHECK_INT(at, 0);
    str middle = read_spool(counter, id, SPOOL_CHUNK_BYTES + 5, 10, &at);
    CHECK_INT(at, SPOOL_CHUNK_BYTES);
    CHECK_INT(middle.len, SPOOL_CHUNK_BYTES);
    CHECK(str_equal(middle, str_slice(body, SPOOL_CHUNK_BYTES, SPOOL_CHUNK_BYTES)));
    CHECK_INT(read_spool(counter, id, (int64_t)len + SPOOL_CHUNK_BYTES, 10, &at).len, 0);
}

TEST(a_streamed_body_is_refused_before_it_is_kept)
{
    struct counter *counter = counter_started(t);
    struct inline_client staff = counter_user(counter, ROLE_BIT_STAFF);
    struct inline_client customer = counter_user(counter, ROLE_BIT_CUSTOMER);
    struct inline_client anyone = counter_anyone(counter);
    str body = body_of(t, 1000);

    CHECK_STATUS(inline_request(&staff, "POST", "/spool/x", CSV, body), 200);
    CHECK_PROBLEM(inline_request(&customer, "POST", "/spool/x", CSV, body), 403,
                  "auth.role_missing");
    CHECK_PROBLEM(inline_request(&anyone, "POST", "/spool/x", CSV, body), 401,
                  "auth.token_missing");
    CHECK_PROBLEM(inline_request(&staff, "POST", "/spool/x", NULL, body), 415, "http.media_type");
    CHECK_STATUS(inline_request(&staff, "POST", "/spool/x", CSV, STR_NONE), 200);
}

struct sweeping {
    time_us before;
    int64_t dropped;
};

static err sweep(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        struct sweeping *sweeping = writes[i]->subject;
        outcomes[i] = OK;
        TRY(spool_sweep(tx, sweeping->before, 1, &sweeping->dropped));
    }
    return OK;
}

static err release(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    for (size_t i = 0; i < count; i++) {
        outcomes[i] = OK;
        TRY(spool_release(tx, *(const struct uuid *)writes[i]->subject));
    }
    return OK;
}

static void run(struct counter *counter, write_batch *batch, void *subject)
{
    err outcome;
    struct write *write = write_new(counter->t->arena, batch, subject);
    writer_submit_and_wait(service_writer(counter->service), write, &outcome);
    CHECK_OK(outcome);
}

static int64_t sweep_all(struct counter *counter, time_us before)
{
    struct sweeping sweeping = { .before = before };
    int64_t rows = 0;
    do {
        run(counter, sweep, &sweeping);
        CHECK(sweeping.dropped <= 1);
        rows += sweeping.dropped;
    } while (sweeping.dropped > 0);
    return rows;
}

TEST(what_nobody_keeps_is_swept_after_its_time_and_the_kept_when_it_is_let_go)
{
    struct counter *counter = counter_started(t);
    str body = body_of(t, SPOOL_CHUNK_BYTES + 1);
    struct answer_seen kept = send(counter, "/spool/kept", body);
    struct answer_seen dropped = send(counter, "/spool/dropped", body);
    struct uuid kept_id = id_of(counter, &kept), dropped_id = id_of(counter, &dropped);
    int64_t at;

    CHECK_INT(sweep_all(counter, clock_wall_us() - TIME_SECOND * 3600), 0);
    CHECK_INT(read_spool(counter, dropped_id, 0, 2, &at).len, SPOOL_CHUNK_BYTES);
    CHECK_INT(sweep_all(counter, clock_wall_us() + TIME_SECOND), 3); /* two chunks and their row */
    CHECK_INT(read_spool(counter, dropped_id, 0, 2, &at).len, 0);
    CHECK_INT(read_spool(counter, kept_id, 0, 2, &at).len, SPOOL_CHUNK_BYTES);

    run(counter, release, &kept_id);
    CHECK_INT(sweep_all(counter, clock_wall_us() - TIME_SECOND * 3600), 3);
    CHECK_INT(read_spool(counter, kept_id, 0, 2, &at).len, 0);
}

TEST(a_request_without_a_body_has_no_spool)
{
    struct request request = { .arena = t->arena };
    struct spool spool = spool_of(&request);

    CHECK_INT(spool.bytes, 0);
    CHECK(uuid_is_nil(spool.id));
}
