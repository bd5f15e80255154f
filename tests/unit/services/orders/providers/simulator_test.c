#include "base/crypto.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "services/orders/providers/simulator.h"
#include "tests/lib/test.h"

static const struct currency EUR = { "EUR" };
enum { MS = 1000, QUICK_US = 100 * MS };

/* A simulator on a fresh folder, and what it called back. */
struct shop {
    struct test *t;
    str url;
    struct simulator *simulator;
    struct provider provider;
    str payloads[64], signatures[64];
    int called_back;
    time_us next; /* callback */
};

static void shop_close(void *subject) { simulator_close(((struct shop *)subject)->simulator); }

static void shop_open_again(struct shop *shop)
{
    simulator_close(shop->simulator);
    shop->simulator = NULL;
    CHECK_OK(simulator_open(shop->t->arena, shop->url, STR("a secret"), &shop->simulator));
    shop->provider = simulator_provider(shop->simulator);
}

static struct shop *shop_open(struct test *t)
{
    struct shop *shop = arena_new(t->arena, struct shop);
    shop->t = t;
    shop->url = str_format(t->arena, "sqlite:%s/payments.db", test_folder(t));
    arena_defer(t->arena, shop_close, shop);
    shop_open_again(shop);
    return shop;
}

static struct payment payment_of(const char *token)
{
    return (struct payment){ .id = id_new(), .amount = { 1600, EUR }, .token = str_of_z(token) };
}

static enum payment_known authorize(struct shop *shop, const struct payment *payment,
                                    int64_t timeout_us)
{
    return shop->provider.authorize(shop->provider.self, shop->t->arena, payment, timeout_us);
}

static enum payment_known capture(struct shop *shop, const struct payment *payment)
{
    return shop->provider.capture(shop->provider.self, shop->t->arena, payment, QUICK_US);
}

static enum payment_known give_up(struct shop *shop, const struct payment *payment)
{
    return shop->provider.void_(shop->provider.self, shop->t->arena, payment, QUICK_US);
}

static enum payment_known refund(struct shop *shop, const struct payment *payment)
{
    return shop->provider.refund(shop->provider.self, shop->t->arena, payment, QUICK_US);
}

static enum payment_known get(struct shop *shop, const struct payment *payment)
{
    return shop->provider.get(shop->provider.self, shop->t->arena, payment->id, QUICK_US);
}

static void note_callback(void *subject, str payload, str signature)
{
    struct shop *shop = subject;
    shop->payloads[shop->called_back] = str_copy(shop->t->arena, payload);
    shop->signatures[shop->called_back++] = str_copy(shop->t->arena, signature);
}

/* What has to be sent by then. */
static int tick(struct shop *shop, time_us now)
{
    shop->called_back = 0;
    CHECK_OK(shop->provider.tick(shop->provider.self, shop->t->arena, now, note_callback, shop,
                                 &shop->next));
    return shop->called_back;
}

static err read_event(struct shop *shop, str payload, str signature, struct payment_event *event)
{
    return shop->provider.read_event(shop->provider.self, shop->t->arena, payload, signature,
                                     event);
}

/* ---- tokens ---- */

TEST(the_tokens_are_those_that_the_documents_name)
{
    struct shop *shop = shop_open(t);
    static const char *const tokens[] = { "approve",      "decline", "timeout", "timeout-decline",
                                          "late",         "twice",   "webhook", "webhook-decline",
                                          "webhook-late", "early" };
    for (int i = 0; i < 10; i++)
        CHECK(shop->provider.is_token(shop->provider.self, str_of_z(tokens[i])));
    static const char *const others[] = { "", "Approve", "approve ", "tok_visa" };
    for (int i = 0; i < 4; i++)
        CHECK(!shop->provider.is_token(shop->provider.self, str_of_z(others[i])));
    CHECK_STR(shop->provider.name, "simulator");
}

TEST(a_token_chooses_what_becomes_of_a_payment)
{
    static const struct {
        const char *token;
        enum payment_known first, then;
    } cases[] = {
        { "approve", KNOWN_AUTHORIZED, KNOWN_AUTHORIZED },
        { "decline", KNOWN_DECLINED, KNOWN_DECLINED },
        { "timeout", KNOWN_UNKNOWN, KNOWN_AUTHORIZED },
        { "timeout-decline", KNOWN_UNKNOWN, KNOWN_DECLINED },
        { "late", KNOWN_UNKNOWN, KNOWN_AUTHORIZED }, /* later than we wait */
        { "twice", KNOWN_AUTHORIZED, KNOWN_AUTHORIZED },
        { "webhook", KNOWN_PENDING, KNOWN_PENDING },
        { "webhook-decline", KNOWN_PENDING, KNOWN_PENDING },
        { "webhook-late", KNOWN_PENDING, KNOWN_PENDING },
        { "early", KNOWN_UNKNOWN, KNOWN_AUTHORIZED }, /* later than we wait */
        { "nonsense", KNOWN_DECLINED, KNOWN_DECLINED },
    };
    struct shop *shop = shop_open(t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct payment payment = payment_of(cases[i].token);
        CHECK_INT(authorize(shop, &payment, QUICK_US), cases[i].first);
        CHECK_INT(authorize(shop, &payment, QUICK_US), cases[i].then);
        CHECK_INT(authorize(shop, &payment, QUICK_US), cases[i].then);
    }
}

TEST(an_answer_that_never_comes_takes_as_long_as_we_wait)
{
    struct shop *shop = shop_open(t);
    struct payment payment = payment_of("timeout");
    int64_t began_us = clock_mono_us();
    CHECK_INT(authorize(shop, &payment, 150 * MS), KNOWN_UNKNOWN);
    CHECK(clock_mono_us() - began_us >= 150 * MS);
    CHECK_INT(get(shop, &payment), KNOWN_AUTHORIZED); /* although nobody told us */
}

TEST(a_late_answer_comes_after_two_seconds_to_who_waits_so_long)
{
    struct shop *shop = shop_open(t);
    struct payment payment = payment_of("late");
    int64_t began_us = clock_mono_us();
    CHECK_INT(authorize(shop, &payment, 30 * TIME_SECOND), KNOWN_AUTHORIZED);
    int64_t took_us = clock_mono_us() - began_us;
    CHECK(took_us >= 2 * TIME_SECOND && took_us < 20 * TIME_SECOND);
}

TEST(a_payment_is_known_after_a_restart)
{
    struct shop *shop = shop_open(t);
    struct payment payment = payment_of("timeout");
    CHECK_INT(authorize(shop, &payment, MS), KNOWN_UNKNOWN);
    shop_open_again(shop);
    CHECK_INT(authorize(shop, &payment, MS), KNOWN_AUTHORIZED);
    struct payment stranger = payment_of("approve");
    CHECK_INT(get(shop, &stranger), KNOWN_UNKNOWN);
}

/* ---- capture, void, refund ---- */

TEST(money_moves_only_from_the_state_before)
{
    struct shop *shop = shop_open(t);
    struct payment payment = payment_of("approve"), declined = payment_of("decline"),
                   stranger = payment_of("approve");
    CHECK_INT(authorize(shop, &payment, QUICK_US), KNOWN_AUTHORIZED);
    CHECK_INT(refund(shop, &payment), KNOWN_AUTHORIZED);
    CHECK_INT(capture(shop, &payment), KNOWN_CAPTURED);
    CHECK_INT(capture(shop, &payment), KNOWN_CAPTURED);
    CHECK_INT(give_up(shop, &payment), KNOWN_CAPTURED); /* too late */
    CHECK_INT(refund(shop, &payment), KNOWN_REFUNDED);
    CHECK_INT(refund(shop, &payment), KNOWN_REFUNDED);
    CHECK_INT(authorize(shop, &payment, QUICK_US), KNOWN_REFUNDED);

    CHECK_INT(authorize(shop, &declined, QUICK_US), KNOWN_DECLINED);
    CHECK_INT(capture(shop, &declined), KNOWN_DECLINED);
    CHECK_INT(capture(shop, &stranger), KNOWN_UNKNOWN);
}

struct race {
    struct shop *shop;
    struct arena *arena;
    const struct payment *payment;
    enum payment_known known;
};

static void race_capture(void *subject)
{
    struct race *race = subject;
    race->known = race->shop->provider.capture(race->shop->provider.self, race->arena,
                                               race->payment, QUICK_US);
}

static void race_void(void *subject)
{
    struct race *race = subject;
    race->known =
        race->shop->provider.void_(race->shop->provider.self, race->arena, race->payment, QUICK_US);
}

TEST(of_a_capture_and_a_void_at_once_one_wins_and_both_hear_it)
{
    enum { TIMES = 100 };
    struct shop *shop = shop_open(t);
    for (int i = 0; i < TIMES; i++) {
        struct payment payment = payment_of("approve");
        CHECK_INT(authorize(shop, &payment, QUICK_US), KNOWN_AUTHORIZED);
        struct race races[2];
        for (int j = 0; j < 2; j++)
            races[j] = (struct race){ shop, arena_open(ARENA_CHUNK_BYTES), &payment, 0 };
        struct thread *threads[] = { thread_start("capture", race_capture, &races[i % 2]),
                                     thread_start("void", race_void, &races[1 - i % 2]) };
        for (int j = 0; j < 2; j++)
            thread_join(threads[j]);
        for (int j = 0; j < 2; j++)
            arena_close(races[j].arena);
        CHECK_INT(races[0].known, races[1].known);
        CHECK(races[0].known == KNOWN_CAPTURED || races[0].known == KNOWN_VOIDED);
        CHECK_INT(get(shop, &payment), races[0].known);
    }
}

TEST(however_many_ask_at_once_a_payment_is_authorized_once)
{
    enum { MANY = 8 };
    struct shop *shop = shop_open(t);
    struct payment payment = payment_of("twice");
    for (int i = 0; i < MANY; i++)
        CHECK_INT(authorize(shop, &payment, QUICK_US), KNOWN_AUTHORIZED);
    CHECK_INT(tick(shop, clock_wall_us() + 2 * TIME_SECOND), 2); /* not twice for each */
}

/* ---- the list ---- */

TEST(what_holds_money_is_listed_oldest_first)
{
    struct shop *shop = shop_open(t);
    struct payment authorized = payment_of("approve"), captured = payment_of("approve"),
                   declined = payment_of("decline"), voided = payment_of("approve");
    struct payment_listed *listed;
    size_t count;
    authorize(shop, &authorized, QUICK_US);
    authorize(shop, &captured, QUICK_US);
    authorize(shop, &declined, QUICK_US);
    authorize(shop, &voided, QUICK_US);
    CHECK_INT(give_up(shop, &voided), KNOWN_VOIDED);
    sleep_until(clock_mono_us() + 2 * MS);
    CHECK_INT(capture(shop, &captured), KNOWN_CAPTURED);
    CHECK_OK(shop->provider.list(shop->provider.self, t->arena, 0, 10, &listed, &count));
    CHECK_INT(count, 2);
    CHECK(uuid_equal(listed[0].id, authorized.id));
    CHECK_INT(listed[0].known, KNOWN_AUTHORIZED);
    CHECK(uuid_equal(listed[1].id, captured.id));
    CHECK_INT(listed[1].known, KNOWN_CAPTURED);
    CHECK(listed[0].at < listed[1].at);

    CHECK_OK(shop->provider.list(shop->provider.self, t->arena, listed[1].at, 10, &listed, &count));
    CHECK_INT(count, 1); /* from that moment on */
    CHECK_OK(shop->provider.list(shop->provider.self, t->arena, 0, 1, &listed, &count));
    CHECK_INT(count, 1);
    CHECK(uuid_equal(listed[0].id, authorized.id));
}

/* ---- callbacks ---- */

TEST(a_payment_that_is_decided_by_callback_is_decided_when_it_is_sent)
{
    static const char *const tokens[] = { "webhook", "webhook-decline" };
    static const enum payment_known ends[] = { KNOWN_AUTHORIZED, KNOWN_DECLINED };
    struct shop *shop = shop_open(t);
    for (int i = 0; i < 2; i++) {
        struct payment payment = payment_of(tokens[i]);
        struct payment_event event;
        CHECK_INT(authorize(shop, &payment, QUICK_US), KNOWN_PENDING);
        CHECK_INT(tick(shop, clock_wall_us()), 0); /* after a second */
        CHECK(shop->next > clock_wall_us() && shop->next <= clock_wall_us() + TIME_SECOND);
        CHECK_INT(tick(shop, clock_wall_us() + 2 * TIME_SECOND), 1);
        CHECK_INT(get(shop, &payment), ends[i]);
        CHECK_OK(read_event(shop, shop->payloads[0], shop->signatures[0], &event));
        CHECK(uuid_equal(event.payment, payment.id));
        CHECK_INT(event.known, ends[i]);
        CHECK(event.id.len > 0);
        CHECK_INT(tick(shop, clock_wall_us() + 2 * TIME_SECOND), 0); /* once */
        CHECK_INT(shop->next, INT64_MAX);
    }
}

TEST(a_callback_may_come_before_the_answer_or_long_after_it)
{
    struct shop *shop = shop_open(t);
    struct payment early = payment_of("early"), late = payment_of("webhook-late");
    struct payment_event event;
    CHECK_INT(authorize(shop, &late, QUICK_US), KNOWN_PENDING);
    CHECK_INT(authorize(shop, &early, QUICK_US), KNOWN_UNKNOWN);
    CHECK_INT(tick(shop, clock_wall_us()), 1); /* though its answer takes two seconds */
    CHECK_OK(read_event(shop, shop->payloads[0], shop->signatures[0], &event));
    CHECK(uuid_equal(event.payment, early.id));
    CHECK_INT(event.known, KNOWN_AUTHORIZED);
    CHECK_INT(tick(shop, clock_wall_us() + 50 * TIME_SECOND), 0);
    CHECK_INT(get(shop, &late), KNOWN_PENDING);
    CHECK_INT(tick(shop, clock_wall_us() + 61 * TIME_SECOND), 1);
    CHECK_INT(get(shop, &late), KNOWN_AUTHORIZED);
}

TEST(a_callback_that_a_clock_which_went_back_left_far_ahead_is_sent)
{
    struct shop *shop = shop_open(t);
    struct payment payment = payment_of("webhook");
    CHECK_INT(authorize(shop, &payment, QUICK_US), KNOWN_PENDING);
    CHECK_INT(tick(shop, clock_wall_us() - 60 * TIME_SECOND), 0);
    CHECK_INT(tick(shop, clock_wall_us() - 36000 * TIME_SECOND), 1);
    CHECK_INT(get(shop, &payment), KNOWN_AUTHORIZED);
}

TEST(what_is_told_twice_are_two_events)
{
    struct shop *shop = shop_open(t);
    struct payment payment = payment_of("twice");
    struct payment_event events[2];
    CHECK_INT(authorize(shop, &payment, QUICK_US), KNOWN_AUTHORIZED);
    shop_open_again(shop); /* what has to be told is not forgotten */
    CHECK_INT(tick(shop, clock_wall_us() + 2 * TIME_SECOND), 2);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(read_event(shop, shop->payloads[i], shop->signatures[i], &events[i]));
        CHECK_INT(events[i].known, KNOWN_AUTHORIZED);
    }
    CHECK(!str_equal(events[0].id, events[1].id));
}

static str sign(struct test *t, const char *secret, str payload)
{
    struct sha256 mac = hmac_sha256(str_of_z(secret), payload);
    return hex(t->arena, str_of(mac.bytes, sizeof mac.bytes));
}

TEST(a_callback_that_is_not_signed_by_the_provider_is_refused)
{
    struct shop *shop = shop_open(t);
    struct payment_event event;
    str payload = STR("{\"event_id\":\"e1\",\"payment_id\":"
                      "\"01a20591-6d5e-7000-9d15-90167d1593d4\",\"status\":\"captured\"}");
    str right = sign(t, "a secret", payload);
    CHECK_OK(read_event(shop, payload, right, &event));
    CHECK_STR(event.id, "e1");
    CHECK_INT(event.known, KNOWN_CAPTURED);

    CHECK_ERR(read_event(shop, payload, sign(t, "another", payload), &event), PAYMENT_SIGNATURE);
    CHECK_ERR(read_event(shop, payload, STR_NONE, &event), PAYMENT_SIGNATURE);
    CHECK_ERR(read_event(shop, payload, STR(""), &event), PAYMENT_SIGNATURE);
    CHECK_ERR(read_event(shop, payload, str_slice(right, 0, 63), &event), PAYMENT_SIGNATURE);
    str changed = str_copy(t->arena, payload);
    ((char *)(uintptr_t)changed.ptr)[12] = '9';
    CHECK_ERR(read_event(shop, changed, right, &event), PAYMENT_SIGNATURE);
}

TEST(a_signed_callback_that_says_nonsense_names_what_is_wrong)
{
    static const struct {
        const char *payload, *pointer;
    } wrong[] = {
        { "{}", "/event_id" },
        { "[]", "/event_id" },
        { "{\"event_id\":7}", "/event_id" },
        { "{\"event_id\":\"\"}", "/event_id" },
        { "{\"event_id\":\"e\"}", "/payment_id" },
        { "{\"event_id\":\"e\",\"payment_id\":\"7\"}", "/payment_id" },
        { "{\"event_id\":\"e\",\"payment_id\":\"01a20591-6d5e-7000-9d15-90167d1593d4\"}",
          "/status" },
        { "{\"event_id\":\"e\",\"payment_id\":\"01a20591-6d5e-7000-9d15-90167d1593d4\","
          "\"status\":\"unknown\"}",
          "/status" },
    };
    struct shop *shop = shop_open(t);
    struct payment_event event;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        str payload = str_of_z(wrong[i].payload);
        err error = read_event(shop, payload, sign(t, "a secret", payload), &event);
        CHECK_ERR(error, FIELD_INVALID);
        CHECK_STR(error->fields[0].pointer, wrong[i].pointer);
    }
    str payload = STR("{");
    CHECK_ERR(read_event(shop, payload, sign(t, "a secret", payload), &event), JSON_MALFORMED);
    str longest = str_format(t->arena, "{\"event_id\":\"%0101d\"}", 0);
    CHECK_ERR(read_event(shop, longest, sign(t, "a secret", longest), &event), FIELD_INVALID);
}

TEST(closing_no_simulator_is_nothing) { simulator_close(NULL); }

/* ---- asked without waiting ---- */

struct answer_heard {
    struct lock lock;
    struct cond came;
    bool is_there;
    enum payment_known known;
};

static void hear(void *subject, enum payment_known known)
{
    struct answer_heard *heard = subject;
    lock_take(&heard->lock);
    heard->known = known;
    heard->is_there = true;
    cond_wake_one(&heard->came);
    lock_drop(&heard->lock);
}

/* What it answers, or KNOWN_UNKNOWN with *waits where it has to be waited for. */
static enum payment_known ask(struct shop *shop, enum payment_job job,
                              const struct payment *payment, bool *waits)
{
    struct answer_heard heard = { 0 };
    struct payment_question question = {
        .job = job, .payment = *payment, .answered = hear, .subject = &heard
    };
    void *ready = shop->provider.ready(shop->provider.self, shop->t->arena, &question);
    *waits = !ready;
    if (!ready)
        return KNOWN_UNKNOWN;
    lock_init(&heard.lock);
    cond_init(&heard.came);
    shop->provider.send(shop->provider.self, ready);
    lock_take(&heard.lock);
    while (!heard.is_there)
        cond_wait(&heard.came, &heard.lock);
    lock_drop(&heard.lock);
    cond_done(&heard.came);
    lock_done(&heard.lock);
    return heard.known;
}

TEST(who_asks_without_waiting_hears_the_same)
{
    struct shop *shop = shop_open(t);
    static const struct {
        const char *token;
        enum payment_known authorized, captured, refunded;
    } cases[] = { { "approve", KNOWN_AUTHORIZED, KNOWN_CAPTURED, KNOWN_REFUNDED },
                  { "decline", KNOWN_DECLINED, KNOWN_DECLINED, KNOWN_DECLINED },
                  { "lapse", KNOWN_AUTHORIZED, KNOWN_DECLINED, KNOWN_DECLINED },
                  { "webhook", KNOWN_PENDING, KNOWN_PENDING, KNOWN_PENDING } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct payment payment = payment_of(cases[i].token);
        bool waits;
        CHECK_INT(ask(shop, JOB_AUTHORIZE, &payment, &waits), cases[i].authorized);
        CHECK_INT(authorize(shop, &payment, QUICK_US),
                  cases[i].authorized); /* it is the same one */
        CHECK_INT(ask(shop, JOB_CAPTURE, &payment, &waits), cases[i].captured);
        CHECK_INT(ask(shop, JOB_REFUND, &payment, &waits), cases[i].refunded);
    }
    struct payment given_up = payment_of("approve");
    bool waits;
    CHECK_INT(ask(shop, JOB_AUTHORIZE, &given_up, &waits), KNOWN_AUTHORIZED);
    CHECK_INT(ask(shop, JOB_VOID, &given_up, &waits), KNOWN_VOIDED);
}

TEST(what_takes_its_time_has_to_be_waited_for)
{
    struct shop *shop = shop_open(t);
    static const char *const tokens[] = { "timeout", "timeout-decline", "late" };
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct payment payment = payment_of(tokens[i]);
        bool waits;
        CHECK_INT(ask(shop, JOB_AUTHORIZE, &payment, &waits), KNOWN_UNKNOWN);
        CHECK(waits);
        CHECK_INT(shop->provider.get(shop->provider.self, t->arena, payment.id, QUICK_US),
                  KNOWN_UNKNOWN); /* and was not asked */
    }
}
