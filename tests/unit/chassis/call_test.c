#include "base/crypto.h"
#include "chassis/call.h"
#include "chassis/request.h"
#include "gen/orders.h"
#include "tests/lib/test.h"

static const time_us NOW = INT64_C(1790000000) * TIME_SECOND, LIFE = 60 * TIME_SECOND;

/* A call that asks a question, without a service. */
static struct call *call_of(struct test *t, const char *path, const char *query)
{
    struct request *request = arena_new(t->arena, struct request);
    struct call *call = arena_new(t->arena, struct call);
    *request = (struct request){ .arena = t->arena,
                                 .path = str_of_z(path),
                                 .query = query ? str_of_z(query) : STR_NONE,
                                 .headers = arena_array(t->arena, struct header, 4) };
    *call =
        (struct call){ .arena = t->arena, .request = request, .now = NOW, .cursor_life_us = LIFE };
    return call;
}

static err look(struct call *call, str cursor, const char *position)
{
    str found = STR_NONE;
    err error = cursor_read(call, cursor, &found);
    if (error == OK)
        CHECK_STR(found, position);
    else
        CHECK(!found.ptr); /* written on success only */
    return error;
}

/* ---- cursors ---- */

TEST(a_cursor_gives_its_position_back_to_the_same_question)
{
    struct call *call = call_of(t, "/orders", "status=placed&limit=5");
    static const char *const positions[] = { "", "7", "1690000000000000 0190", "a\nb\xc3\xa9" };
    for (int i = 0; i < 4; i++) {
        str cursor = cursor_write(call, str_of_z(positions[i]));
        CHECK_OK(look(call, cursor, positions[i]));
        struct call *next =
            call_of(t, "/orders",
                    str_z(t->arena, str_format(t->arena, "status=placed&limit=9&after=%" STR_F,
                                               STR_A(cursor))));
        CHECK_OK(look(next, cursor, positions[i]));
    }
}

TEST(a_cursor_is_made_of_characters_that_a_query_carries_as_they_are)
{
    struct call *call = call_of(t, "/orders", NULL);
    for (int i = 0; i < 100; i++) {
        str cursor = cursor_write(call, str_format(t->arena, "%d\xff\xfe", i));
        for (size_t j = 0; j < cursor.len; j++)
            CHECK(strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
                         cursor.ptr[j]));
    }
}

TEST(a_cursor_expires)
{
    struct call *call = call_of(t, "/orders", NULL);
    str cursor = cursor_write(call, STR("7"));

    call->now = NOW + LIFE;
    CHECK_OK(look(call, cursor, "7"));
    call->now = NOW + LIFE + LIFE / 8 + 2;
    CHECK_ERR(look(call, cursor, "7"), CURSOR_INVALID);
    call->now = NOW - TIME_SECOND; /* another machine's clock is a little behind */
    CHECK_OK(look(call, cursor, "7"));
}

TEST(the_same_place_has_the_same_cursor_for_a_while)
{
    struct call *call = call_of(t, "/orders", NULL);
    int changes = 0;
    str cursor = cursor_write(call, STR("7"));

    for (; call->now < NOW + LIFE; call->now += TIME_MS) {
        str later = cursor_write(call, STR("7"));
        changes += !str_equal(later, cursor);
        cursor = later;
    }
    CHECK_INT(changes, 8);
}

TEST(a_cursor_of_another_question_is_refused)
{
    str cursor = cursor_write(call_of(t, "/orders", "status=placed"), STR("7"));
    CHECK_ERR(look(call_of(t, "/orders", NULL), cursor, "7"), CURSOR_INVALID);
    CHECK_ERR(look(call_of(t, "/orders", "status=reserved"), cursor, "7"), CURSOR_INVALID);
    CHECK_ERR(look(call_of(t, "/products", "status=placed"), cursor, "7"), CURSOR_INVALID);
    CHECK_ERR(look(call_of(t, "/orders", "status=placed&scope=all"), cursor, "7"), CURSOR_INVALID);
    CHECK_OK(look(call_of(t, "/orders", "status=placed"), cursor, "7"));
}

TEST(a_cursor_that_was_changed_anywhere_is_refused)
{
    struct call *call = call_of(t, "/orders", NULL);
    str cursor = cursor_write(call, STR("1690000000000000 0190"));
    for (size_t i = 0; i < cursor.len; i++) {
        char *changed = arena_copy(t->arena, cursor.ptr, cursor.len);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        err error = look(call, str_of(changed, cursor.len), "1690000000000000 0190");
        CHECK_ERR(error, CURSOR_INVALID);
    }
    for (size_t len = 0; len < cursor.len; len++)
        CHECK_ERR(look(call, str_of(cursor.ptr, len), ""), CURSOR_INVALID);
}

TEST(what_is_no_cursor_is_refused)
{
    struct call *call = call_of(t, "/orders", NULL);
    static const char *const wrong[] = {
        "", "a", "....", "AAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA", "\xc3\xa9"
    };
    for (int i = 0; i < 6; i++)
        CHECK_ERR(look(call, str_of_z(wrong[i]), ""), CURSOR_INVALID);
}

/* ---- versions ---- */

static err if_match(struct test *t, const char *header, int64_t version)
{
    struct call *call = call_of(t, "/orders", NULL);
    struct request *request = (struct request *)(uintptr_t)call->request;
    if (header)
        request->headers[request->headers_count++] =
            (struct header){ STR("if-match"), str_of_z(header) };
    return call_if_match(call, version);
}

TEST(an_etag_names_the_version)
{
    struct call *call = call_of(t, "/orders", NULL);
    call_etag(call, 12);
    CHECK_STR(call->etag, "\"v12\"");
}

TEST(if_match_compares_strongly_with_each_of_its_list)
{
    CHECK_OK(if_match(t, NULL, 3));
    CHECK_OK(if_match(t, "\"v3\"", 3));
    CHECK_OK(if_match(t, "*", 3));
    CHECK_OK(if_match(t, "\"v1\" , \"v3\"", 3));
    static const char *const stale[] = { "\"v2\"", "\"v33\"", "v3", "W/\"v3\"",
                                         "\"V3\"", "",        ",",  "\"v1\", \"v2\"" };
    for (int i = 0; i < 8; i++)
        CHECK_ERR(if_match(t, stale[i], 3), VERSION_STALE);
}

/* ---- writes and answers ---- */

static err nothing(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    (void)tx, (void)writes, (void)count, (void)outcomes;
    return OK;
}

TEST(a_call_has_one_write_and_one_answer)
{
    struct call *call = call_of(t, "/orders", NULL);
    call->traceparent = STR("00-1-2-01");
    struct write *write = call_write(call, nothing, call);
    CHECK(call->write == write && write->subject == call && write->batch == nothing);
    CHECK_STR(write->traceparent, "00-1-2-01");
    CHECK_PANICS(call_write(call, nothing, call));
    CHECK_OK(call_answer(call, "message"));
    CHECK_PANICS((void)!call_answer(call, "message"));
}

TEST(an_answer_that_waits_needs_a_contract_that_says_so_with_a_key)
{
    struct call *call = call_of(t, "/orders", NULL);
    struct uuid id = call_new_id(call);
    struct call_spec waits = { .settles = true, .once = true }, keyless = { .settles = true },
                     once = { .once = true };
    call_write(call, nothing, NULL);
    call->spec = &keyless;
    CHECK_PANICS((void)!call_answer_when_settled(call, id, "m"));
    call->spec = &once;
    CHECK_PANICS((void)!call_answer_when_settled(call, id, "m"));
    call->spec = &waits;
    CHECK_OK(call_answer_when_settled(call, id, "m"));
    CHECK_INT(call->answer_status, 202);
    CHECK(uuid_equal(call->settles, id));
}

TEST(the_answer_of_a_subject_is_a_message_or_an_error)
{
    struct call *call = call_of(t, "/orders", NULL);
    struct uuid id = call_new_id(call);
    Orders__Order order = ORDERS__ORDER__INIT;
    order.reason = field_of(STR("because"));
    struct write *write = call_write(call, nothing, NULL);
    write_answer_subject(write, id, &orders_order_spec, &order, 201);
    CHECK(uuid_equal(write->answers_subject, id));
    CHECK_INT(write->subject_answer.status, 201);
    CHECK(write->subject_answer.known && !write->subject_answer.problem);
    void *message;
    CHECK_OK(message_unpack(t->arena, write->subject_answer.message, &orders_order_spec, &message));
    CHECK_STR(text_of(((Orders__Order *)message)->reason), "because");

    write_answer_subject_error(write, id, fail(t->arena, PAYMENT_DECLINED, "no"));
    CHECK(write->subject_answer.known && write->subject_answer.problem);
}

TEST(random_bytes_and_ids_differ)
{
    struct call *call = call_of(t, "/orders", NULL);
    uint8_t one[32], other[32];
    call_random(call, one, sizeof one);
    call_random(call, other, sizeof other);
    CHECK(memcmp(one, other, sizeof one) != 0);
    CHECK(!uuid_equal(call_new_id(call), call_new_id(call)));
}
