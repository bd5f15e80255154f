#include "counter.h"
#include "os/clock.h"

static const struct call_spec *quote(void) { return &counter_spec.calls[COUNTER_QUOTE]; }

/* A neighbour that asks: with a client, and the call in which it does so. */
struct asker {
    struct counter *counter;
    struct client *client;
    struct call *call;
};

static void close_asker(void *subject)
{
    struct asker *asker = subject;
    service_job_close(asker->call);
    client_close(asker->client);
}

static struct asker *asker_of(struct test *t)
{
    struct asker *asker = arena_new(t->arena, struct asker);
    asker->counter = counter_started(t);
    asker->client = client_open_inline(asker->counter->service);
    asker->call = service_job_open(asker->counter->service, "asker");
    arena_defer(t->arena, close_asker, asker);
    return asker;
}

static err ask(struct asker *asker, const char *sku, const Products__Stock **stock)
{
    Products__GetStockRequest in = PRODUCTS__GET_STOCK_REQUEST__INIT;
    in.sku = field_of(str_of_z(sku));
    const void *out = NULL;
    err error = client_call(asker->client, asker->call, quote(), &in, &out);
    *stock = out;
    return error;
}

TEST(a_neighbour_is_asked_inline_and_answers_in_the_callers_arena)
{
    struct asker *asker = asker_of(t);
    struct inline_client user = counter_user(asker->counter, ROLE_BIT_CUSTOMER);
    CHECK_STATUS(counter_post(&user, "/counters/mug", "k", counter_body(asker->counter, 7, "")),
                 200);
    const Products__Stock *stock;
    CHECK_OK(ask(asker, "mug", &stock));
    CHECK_INT(stock->on_hand, 7);
    CHECK_STR(text_of(stock->sku), "mug");
}

TEST(the_neighbours_error_is_the_callers)
{
    struct asker *asker = asker_of(t);
    const Products__Stock *stock;
    CHECK_ERR(ask(asker, "fail", &stock), STOCK_CONFLICT);
    CHECK(!stock);
}

TEST(a_neighbour_is_asked_only_what_its_contract_takes)
{
    struct asker *asker = asker_of(t);
    const Products__Stock *stock;
    CHECK_ERR(ask(asker, "", &stock), FIELD_INVALID);
    CHECK_INT(counter_handled(asker->counter), 0);
}

TEST(a_call_that_is_not_for_neighbours_is_refused)
{
    struct asker *asker = asker_of(t);
    Products__GetStockRequest in = PRODUCTS__GET_STOCK_REQUEST__INIT;
    in.sku = field_of(STR("mug"));
    const void *out;
    err error =
        client_call(asker->client, asker->call, &counter_spec.calls[COUNTER_DELETE], &in, &out);
    CHECK(error != OK && err_http_status(error) / 100 == 4);
    CHECK_INT(counter_handled(asker->counter), 0);
}

TEST(without_time_left_nobody_is_asked)
{
    struct asker *asker = asker_of(t);
    const Products__Stock *stock;
    asker->call->deadline_us = clock_mono_us() - 1;
    CHECK_ERR(ask(asker, "mug", &stock), CALL_DEADLINE);
    CHECK_INT(counter_handled(asker->counter), 0);
}

static bool ask_for_too_much(struct asker *asker)
{
    const Products__Stock *stock;
    jmp_buf guard;
    if (setjmp(guard))
        return true;
    arena_guard(asker->call->arena, &guard);
    err error = ask(asker, "huge", &stock);
    arena_guard(asker->call->arena, NULL);
    return error == OK && !stock;
}

TEST(a_caller_that_ends_over_its_ceiling_gives_the_neighbours_snapshot_back)
{
    struct asker *asker = asker_of(t);
    for (int i = 0; i < 60; i++) { /* more than there are connections */
        CHECK(ask_for_too_much(asker));
        service_job_reset(asker->call);
    }
    const Products__Stock *stock;
    CHECK_OK(ask(asker, "mug", &stock));
}

TEST(closing_no_client_is_nothing) { client_close(NULL); }

/* ---- what tests do to calls ---- */

struct fates {
    enum client_fate fate;
    int asked;
};

static enum client_fate fate_of(void *self, const struct call_spec *spec)
{
    struct fates *fates = self;
    CHECK(spec == quote());
    fates->asked++;
    return fates->fate;
}

static void take_faults_back(void *subject)
{
    (void)subject;
    client_use_faults(NULL);
}

TEST(a_planned_fault_refuses_a_call_or_loses_its_answer)
{
    struct asker *asker = asker_of(t);
    struct inline_client user = counter_user(asker->counter, ROLE_BIT_CUSTOMER);
    CHECK_STATUS(counter_post(&user, "/counters/mug", "k", counter_body(asker->counter, 7, "")),
                 200);
    const Products__Stock *stock;
    struct fates fates = { .fate = CLIENT_AWAY };
    arena_defer(t->arena, take_faults_back, NULL);
    client_use_faults(&(struct client_faults){ .self = &fates, .fate = fate_of });
    CHECK_ERR(ask(asker, "mug", &stock), UPSTREAM_UNAVAILABLE);
    fates.fate = CLIENT_ANSWER_LOST;
    CHECK_ERR(ask(asker, "mug", &stock), UPSTREAM_UNAVAILABLE);
    fates.fate = CLIENT_GOES;
    CHECK_OK(ask(asker, "mug", &stock));
    CHECK_INT(fates.asked, 3);
    client_use_faults(NULL);
    CHECK_OK(ask(asker, "mug", &stock));
    CHECK_INT(fates.asked, 3);
}
