#include "chassis/once.h"

#include "os/clock.h"
#include "shelf.h"

struct job {
    struct shelf *shelf;
    struct once_claim *claims[4];
    size_t count;
    bool taken[4];
    time_us before;
    int64_t dropped;
};

static const struct once_claim *const *claims_of(struct job *job)
{
    return (const struct once_claim *const *)job->claims;
}

static err take(struct tx *tx, void *subject)
{
    struct job *job = subject;
    return once_take(tx, claims_of(job), job->count, job->taken);
}

static err take_and_give_back(struct tx *tx, void *subject)
{
    struct job *job = subject;
    TRY(once_take(tx, claims_of(job), job->count, job->taken));
    return once_take_back(tx, claims_of(job), job->count);
}

static err keep(struct tx *tx, void *subject)
{
    struct job *job = subject;
    struct answer answer = shelf_answer("kept");
    const struct answer *answers[] = { &answer };
    return once_keep(tx, claims_of(job), answers, 1);
}

TEST(a_new_key_is_taken_and_an_old_one_is_not)
{
    struct shelf *shelf = shelf_open(t);
    struct job job = { .shelf = shelf, .count = 2 };
    job.claims[0] = shelf_claim(shelf, "b", "body", 1);
    job.claims[1] = shelf_claim(shelf, "a", "body", 2);
    shelf_do(shelf, take, &job);
    CHECK(job.taken[0] && job.taken[1]);

    job.claims[0] = shelf_claim(shelf, "c", "body", 3);
    shelf_do(shelf, take, &job);
    CHECK(job.taken[0] && !job.taken[1]);
}

TEST(keys_of_different_scopes_do_not_meet)
{
    struct shelf *shelf = shelf_open(t);
    struct once_claim *other = shelf_claim(shelf, "a", "body", 2);
    other->scope = STR("customer 2 POST /orders");
    other->named = false;
    once_name(other);
    struct job job = { .shelf = shelf, .count = 2 };
    job.claims[0] = shelf_claim(shelf, "a", "body", 1);
    job.claims[1] = other;
    shelf_do(shelf, take, &job);
    CHECK(job.taken[0] && job.taken[1]);
}

TEST(what_stands_between_scope_and_key_counts)
{
    struct shelf *shelf = shelf_open(t);
    struct once_claim one = { .scope = STR("ab"), .key = STR("c"), .subject = shelf_id(1) };
    struct once_claim other = { .scope = STR("a"), .key = STR("bc"), .subject = shelf_id(2) };
    struct job job = { .shelf = shelf, .claims = { &one, &other }, .count = 2 };
    once_name(&one);
    once_name(&other);
    shelf_do(shelf, take, &job);
    CHECK(job.taken[0] && job.taken[1]);
}

TEST(a_claim_that_was_taken_back_was_never_there)
{
    struct shelf *shelf = shelf_open(t);
    struct job job = { .shelf = shelf, .count = 1 };
    job.claims[0] = shelf_claim(shelf, "a", "body", 1);
    shelf_do(shelf, take_and_give_back, &job);
    CHECK_INT(shelf_find(shelf, job.claims[0], NULL), ONCE_NEW);
}

TEST(a_repeat_finds_each_stage_of_a_key)
{
    struct shelf *shelf = shelf_open(t);
    struct job job = { .shelf = shelf, .count = 1 };
    job.claims[0] = shelf_claim(shelf, "a", "body", 1);
    CHECK_INT(shelf_find(shelf, job.claims[0], NULL), ONCE_NEW);
    shelf_do(shelf, take, &job);
    CHECK_INT(shelf_find(shelf, job.claims[0], NULL), ONCE_IN_FLIGHT);
    CHECK_INT(shelf_find(shelf, shelf_claim(shelf, "a", "other body", 1), NULL), ONCE_OTHER_BODY);
    shelf_do(shelf, keep, &job);
    str answer;
    CHECK_INT(shelf_find(shelf, job.claims[0], &answer), ONCE_ANSWERED);
    CHECK_STR(answer, "kept");
    CHECK_INT(shelf_find(shelf, shelf_claim(shelf, "a", "other body", 1), NULL), ONCE_OTHER_BODY);
}

static struct answer answer_of_subject(struct shelf *shelf, int subject)
{
    struct db_reader *reader;
    struct answer answer;
    CHECK_OK(db_read_begin(shelf->db, shelf->t->arena, &reader));
    CHECK_OK(once_find_subject(reader, shelf->t->arena, shelf_id(subject), &answer));
    db_read_end(reader);
    return answer;
}

static err fix_two(struct tx *tx, void *subject)
{
    struct job *job = subject;
    struct answer message = { .known = true, .status = 409, .message = STR(""), .problem = true };
    struct answer late = shelf_answer("late");
    const struct answer *answers[] = { &message, &late };
    struct uuid subjects[] = { shelf_id(1), shelf_id(1) };
    return once_fix(tx, subjects, answers, 2, job->taken);
}

TEST(the_answer_of_a_subject_is_fixed_once_and_may_be_empty)
{
    struct shelf *shelf = shelf_open(t);
    struct job job = { .shelf = shelf, .count = 1 };
    job.claims[0] = shelf_claim(shelf, "a", "body", 1);
    shelf_do(shelf, take, &job);
    CHECK(!answer_of_subject(shelf, 1).known);
    shelf_do(shelf, fix_two, &job);
    CHECK(job.taken[0]);
    CHECK(!job.taken[1]);
    struct answer answer = answer_of_subject(shelf, 1);
    CHECK(answer.known && answer.problem);
    CHECK_INT(answer.status, 409);
    CHECK_STR(answer.message, "");
    CHECK(!answer_of_subject(shelf, 2).known);
}

static err sweep(struct tx *tx, void *subject)
{
    struct job *job = subject;
    int64_t dropped;
    TRY(once_sweep(tx, job->before, 1, &dropped));
    job->dropped += dropped;
    return OK;
}

TEST(the_sweeper_drops_the_oldest_first_and_no_young_one)
{
    struct shelf *shelf = shelf_open(t);
    struct job job = { .shelf = shelf, .count = 1, .before = clock_wall_us() + 3600 * TIME_SECOND };
    struct once_claim *first = shelf_claim(shelf, "z", "body", 1);
    struct once_claim *second = shelf_claim(shelf, "a", "body", 2);
    job.claims[0] = first;
    shelf_do(shelf, take, &job);
    job.claims[0] = second;
    shelf_do(shelf, take, &job);

    shelf_do(shelf, sweep, &job);
    CHECK_INT(shelf_find(shelf, first, NULL), ONCE_NEW);
    CHECK_INT(shelf_find(shelf, second, NULL), ONCE_IN_FLIGHT);
    CHECK_INT(job.dropped, 1);
    job.before = clock_wall_us() - 3600 * TIME_SECOND;
    shelf_do(shelf, sweep, &job);
    CHECK_INT(job.dropped, 1);
    CHECK_INT(shelf_find(shelf, second, NULL), ONCE_IN_FLIGHT);
}

TEST(a_name_is_made_once_and_a_key_too_long_or_empty_is_a_broken_invariant)
{
    static char longest[ONCE_SCOPE_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest);
    struct once_claim claim = { .scope = str_of(longest, ONCE_SCOPE_BYTES_MAX),
                                .key = str_of(longest, ONCE_KEY_BYTES_MAX) };
    once_name(&claim);
    struct sha256_bytes name = claim.name;
    claim.scope = STR("other");
    once_name(&claim);
    CHECK_BYTES(claim.name.bytes, name.bytes, sizeof name.bytes);

    struct once_claim wrong = { .scope = STR("s"), .key = str_of(longest, ONCE_KEY_BYTES_MAX + 1) };
    CHECK_PANICS(once_name(&wrong));
    wrong.key = STR("");
    CHECK_PANICS(once_name(&wrong));
}
