/* The database fails at each step of a use case in turn: what was answered with success is there,
 * what was not left nothing. */
#include "chassis/db_faults.h"
#include "tests/api/users_shop.h"

enum { STEPS_MAX = 14 };

static const struct {
    enum db_step step;
    enum db_fault fault;
} FAULTS[] = {
    { DB_STEP_BEGIN, DB_FAULT_FAILED },   { DB_STEP_STATEMENT, DB_FAULT_FAILED },
    { DB_STEP_STATEMENT, DB_FAULT_GONE }, { DB_STEP_STATEMENT, DB_FAULT_FULL },
    { DB_STEP_COMMIT, DB_FAULT_FAILED },  { DB_STEP_COMMIT, DB_FAULT_FULL },
};
enum { FAULTS_COUNT = sizeof FAULTS / sizeof FAULTS[0] };

/* Lets the nth step from now fail, in the manner of fault i; 0 takes it back. */
static void arm(struct users_shop *shop, int i, int nth)
{
    struct db *db = service_db(users_service(shop->users));
    db_fail_at(db, FAULTS[i].step, nth, nth > 0 ? FAULTS[i].fault : DB_FAULT_NONE);
}

static bool is_fault_of_ours(const struct answer_seen *answer)
{
    return answer->status == 500 || answer->status == 503 || answer->status == 507;
}

TEST(a_registration_is_whole_or_not_there_whichever_step_fails)
{
    struct users_shop *shop = users_shop_open_still(t);
    for (int i = 0; i < FAULTS_COUNT; i++)
        for (int nth = 1; nth <= 6; nth++) {
            const char *body = str_z(
                t->arena,
                str_format(t->arena, "{\"email\":\"a%d-%d@b.de\",\"password\":\"" PASSWORD "\"}", i,
                           nth));
            arm(shop, i, nth);
            struct answer_seen answer = inline_post(&shop->anyone, "/users", body);
            arm(shop, i, 0);
            if (answer.status != 201) {
                CHECK(is_fault_of_ours(&answer));
                CHECK_STATUS(inline_post(&shop->anyone, "/users", body), 201);
            } else {
                CHECK_PROBLEM(inline_post(&shop->anyone, "/users", body), 409, "email.taken");
            }
        }
}

TEST(a_refresh_token_is_spent_for_another_or_not_at_all_whichever_step_fails)
{
    struct users_shop *shop = users_shop_open_still(t);
    users_shop_register(shop, "amina@example.com");
    str refresh = users_shop_login(shop, "amina@example.com").refresh;
    for (int i = 0; i < FAULTS_COUNT; i++)
        for (int nth = 1; nth <= STEPS_MAX; nth++) {
            arm(shop, i, nth);
            struct answer_seen answer = users_shop_try_refresh(shop, refresh);
            arm(shop, i, 0);
            if (answer.status == 200)
                refresh = inline_text(t, &answer, "/refresh_token");
            else
                CHECK(is_fault_of_ours(&answer));
            refresh = users_shop_refresh(shop, refresh).refresh;
        }
}

TEST(a_suspension_takes_all_away_or_nothing_whichever_step_fails)
{
    struct users_shop *shop = users_shop_open_still(t);
    users_shop_create(shop, "admin@example.com", "\"admin\"");
    struct uuid id = users_shop_register(shop, "amina@example.com");
    struct inline_client admin = users_shop_client_of(shop, "admin@example.com");
    const char *suspend = users_shop_path(shop, "/users/%s/suspend", id);
    const char *restore = users_shop_path(shop, "/users/%s/restore", id);
    str refresh = users_shop_login(shop, "amina@example.com").refresh;

    for (int i = 0; i < FAULTS_COUNT; i++)
        for (int nth = 1; nth <= 5; nth++) {
            arm(shop, i, nth);
            struct answer_seen answer = inline_post(&admin, suspend, "{}");
            arm(shop, i, 0);
            if (answer.status == 200) {
                CHECK_PROBLEM(users_shop_try_refresh(shop, refresh), 401, "auth.refresh_invalid");
                CHECK_STATUS(inline_post(&admin, restore, NULL), 200);
                refresh = users_shop_login(shop, "amina@example.com").refresh;
            } else {
                CHECK(is_fault_of_ours(&answer));
                refresh = users_shop_refresh(shop, refresh).refresh;
            }
        }
}
