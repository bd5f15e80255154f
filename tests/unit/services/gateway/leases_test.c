#include "services/gateway/leases.h"

#include "tests/lib/test.h"

#include <string.h>

enum { QUOTA = 160, SLICE = 10, CREDIT = 20, US_IN_MS = 1000, START_US = 1000000 };

static const struct limit LIMIT = { .quota = QUOTA, .window_us = 60 * 1000000 };

/* The shared bucket as the script in Redis keeps it, without the time that refills it. */
struct bucket {
    int64_t left; /* below 0: a debt */
};

static struct lease_told answer_of(struct bucket *bucket, const struct lease_ask *ask)
{
    struct lease_told told = { .known = true };
    memcpy(told.key, ask->key, sizeof(told.key));
    bucket->left -= ask->owed;
    int64_t most = bucket->left / 2 > 1 ? bucket->left / 2 : 1;
    if (bucket->left > 0)
        told.granted = ask->wants < most ? ask->wants : most;
    bucket->left -= told.granted;
    told.remaining = bucket->left > 0 ? bucket->left : 0;
    told.wait_us = bucket->left <= 0 ? 375 * US_IN_MS : 0;
    return told;
}

static struct limit_client client_of(uint8_t number)
{
    return (struct limit_client){ .kind = LIMIT_CLIENT_USER, .bytes = { number } };
}

static bool take(struct leases *leases, int64_t now_us, struct lease_ask *ask, bool *asks)
{
    struct limit_client client = client_of(1);
    struct lease_verdict verdict = leases_take(leases, 0, &LIMIT, &client, now_us, ask);
    *asks = verdict.asks;
    return verdict.allowed;
}

TEST(slices_and_credits_are_parts_but_some_requests_at_least_and_never_more_than_all)
{
    CHECK_INT(lease_slice(160), 10);
    CHECK_INT(lease_slice(6000), 375);
    CHECK_INT(lease_slice(20), 4);
    CHECK_INT(lease_slice(3), 3);
    CHECK_INT(lease_slice(1), 1);
    CHECK_INT(lease_credit(160), 20);
    CHECK_INT(lease_credit(20), 4);
    CHECK_INT(lease_credit(1), 1);
}

TEST(a_new_client_is_let_in_on_credit_up_to_an_eighth)
{
    struct leases *leases = leases_new(t->arena, 100, 7);
    struct lease_ask ask, ignored;
    bool asks;

    CHECK(take(leases, START_US, &ask, &asks));
    CHECK(asks);
    CHECK_INT(ask.owed, 1);
    CHECK_INT(ask.wants, SLICE);
    for (int i = 1; i < CREDIT; i++) {
        CHECK(take(leases, START_US, &ignored, &asks));
        CHECK(!asks); /* one asking at a time */
    }
    CHECK(!take(leases, START_US, &ignored, &asks));
}

TEST(what_was_granted_pays_first_for_what_was_owed)
{
    struct leases *leases = leases_new(t->arena, 100, 7);
    struct bucket bucket = { QUOTA };
    struct lease_ask ask, again;
    bool asks;

    take(leases, START_US, &ask, &asks);
    take(leases, START_US, &again, &asks); /* owed, and not told */
    take(leases, START_US, &again, &asks);
    struct lease_told told = answer_of(&bucket, &ask);
    leases_tell(leases, &told, START_US);
    CHECK_INT(bucket.left, QUOTA - 1 - SLICE);
    int allowed = 0;
    for (asks = false; !asks; allowed++)
        CHECK(take(leases, START_US, &again, &asks));
    CHECK_INT(allowed, 3); /* 10 - 2 paid = 8; asked again at half a slice */
    CHECK_INT(again.owed, 0);
    CHECK_INT(again.wants, SLICE - 5);
}

/* So many gateways share a bucket; each hears its answers after so many of its own requests. Gives
 * how many requests all of them allow. */
static int64_t allowed_by(struct test *t, int gateways, int late, int64_t *left)
{
    enum { GATEWAYS_MAX = 8, ROUNDS = 20000 };
    struct leases *leases[GATEWAYS_MAX];
    struct lease_told told[GATEWAYS_MAX];
    int due[GATEWAYS_MAX] = { 0 };
    struct bucket bucket = { QUOTA };
    int64_t allowed = 0;

    for (int i = 0; i < gateways; i++)
        leases[i] = leases_new(t->arena, 100, 7);
    for (int round = 1; round <= ROUNDS; round++)
        for (int i = 0; i < gateways; i++) {
            struct lease_ask ask;
            bool asks;
            allowed += take(leases[i], START_US, &ask, &asks);
            if (asks) {
                told[i] = answer_of(&bucket, &ask);
                due[i] = round + late;
            }
            if (due[i] == round || (asks && late == 0))
                leases_tell(leases[i], &told[i], START_US);
        }
    *left = bucket.left;
    return allowed;
}

TEST(gateways_allow_the_quota_together_and_at_most_an_eighth_more_each)
{
    static const int lates[] = { 0, 1, 3, 20, 500 };
    for (int gateways = 1; gateways <= 8; gateways++)
        for (size_t i = 0; i < sizeof lates / sizeof lates[0]; i++) {
            int64_t left, allowed = allowed_by(t, gateways, lates[i], &left);
            CHECK(allowed >= QUOTA);
            CHECK(allowed <= QUOTA + gateways * CREDIT);
            CHECK(left <= 0);
        }
}

TEST(where_nothing_is_left_requests_wait_until_something_came_back)
{
    struct leases *leases = leases_new(t->arena, 100, 7);
    struct limit_client client = client_of(1);
    struct bucket bucket = { 0 };
    struct lease_ask ask;
    bool asks;

    take(leases, START_US, &ask, &asks);
    struct lease_told told = answer_of(&bucket, &ask);
    leases_tell(leases, &told, START_US);
    struct lease_verdict verdict = leases_take(leases, 0, &LIMIT, &client, START_US + 1, &ask);
    CHECK(!verdict.allowed && !verdict.asks);
    CHECK_INT(verdict.retry_after_s, 1);
    int64_t later_us = START_US + 375 * US_IN_MS;
    CHECK(take(leases, later_us, &ask, &asks));
    CHECK(asks && ask.owed == 1);
    CHECK(!take(leases, later_us, &ask, &asks)); /* one on credit, not a slice */
}

TEST(an_asking_that_nobody_answers_is_asked_again_with_what_was_owed)
{
    struct leases *leases = leases_new(t->arena, 100, 7);
    struct lease_ask ask, again;
    bool asks;

    take(leases, START_US, &ask, &asks);
    struct lease_told told = { .known = false };
    memcpy(told.key, ask.key, sizeof(told.key));
    leases_tell(leases, &told, START_US);
    take(leases, START_US, &again, &asks);
    CHECK(asks && again.owed == 2);
    leases_forget_ask(leases, &again);
    take(leases, START_US, &again, &asks);
    CHECK(asks && again.owed == 3);
    take(leases, START_US + LEASE_LOST_MS * US_IN_MS, &again, &asks);
    CHECK(asks && again.owed == 4);
}

TEST(a_slice_ends_with_its_window)
{
    struct leases *leases = leases_new(t->arena, 100, 7);
    struct bucket bucket = { QUOTA };
    struct lease_ask ask;
    bool asks;

    take(leases, START_US, &ask, &asks);
    struct lease_told told = answer_of(&bucket, &ask);
    leases_tell(leases, &told, START_US);
    take(leases, START_US + LIMIT.window_us - 1, &ask, &asks);
    CHECK(!asks);
    take(leases, START_US + LIMIT.window_us, &ask, &asks);
    CHECK(asks);
    CHECK_INT(ask.wants, SLICE);
}

TEST(clients_and_classes_have_slices_of_their_own)
{
    struct leases *leases = leases_new(t->arena, 1000, 7);
    struct lease_ask ask;

    for (uint8_t i = 0; i < 100; i++)
        for (uint8_t class = 0; class < 2; class ++) {
            struct limit_client client = client_of(i);
            CHECK(leases_take(leases, class, &LIMIT, &client, START_US, &ask).asks);
        }
}

TEST(too_many_clients_push_out_who_was_not_seen_for_long)
{
    struct leases *leases = leases_new(t->arena, 8, 7);
    struct lease_ask ask, first;
    bool asks;

    take(leases, START_US, &first, &asks);
    for (uint8_t i = 2; i < 12; i++) {
        struct limit_client client = client_of(i);
        CHECK(leases_take(leases, 0, &LIMIT, &client, START_US + i, &ask).allowed);
    }
    struct lease_told told = { .known = true, .granted = 5 };
    memcpy(told.key, first.key, sizeof(told.key));
    leases_tell(leases, &told, START_US + 20); /* nobody's any more */
    take(leases, START_US + 21, &ask, &asks);
    CHECK(asks && ask.owed == 1 && ask.wants == SLICE);
}
