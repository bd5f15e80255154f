#include "chassis/db_postgresql.h"

#include "os/clock.h"
#include "shelf.h"
#include "tests/lib/postgresql.h"
#include "tests/lib/proxy.h"

enum { WORDS_MAX = 4096, PATIENCE_S = 20 };

/* Somebody who listens, on a connection pool of its own. */
struct ear {
    struct test *t;
    struct db *db;
    struct lock lock;
    struct cond changed;
    char words[WORDS_MAX][DB_WORD_MAX + 1];
    int count, lost;
};

static void hear(void *subject, str word)
{
    struct ear *ear = subject;
    lock_take(&ear->lock);
    if (str_equal(word, STR(DB_HINTS_LOST)))
        ear->lost++;
    else if (ear->count < WORDS_MAX)
        memcpy(ear->words[ear->count++], word.ptr, word.len);
    cond_wake_all(&ear->changed);
    lock_drop(&ear->lock);
}

static void close_ear(void *subject)
{
    struct ear *ear = subject;
    db_unlisten(ear->db);
    db_close(ear->db);
}

static struct ear *ear_open(struct test *t, str url)
{
    struct ear *ear = arena_new(t->arena, struct ear);
    struct db_config config = { .url = url, .readers_max = 2 };
    ear->t = t;
    lock_init(&ear->lock);
    cond_init(&ear->changed);
    CHECK_OK(db_open(t->arena, &config, &shelf_schema, &ear->db));
    db_listen(ear->db, hear, ear);
    arena_defer(t->arena, close_ear, ear);
    return ear;
}

/* How often it has heard the word. With the lock held. */
static int times(const struct ear *ear, const char *word)
{
    int count = 0;
    for (int i = 0; i < ear->count; i++)
        count += strcmp(ear->words[i], word) == 0;
    return count;
}

static bool has_heard(struct ear *ear, const char *word, int64_t until_us)
{
    lock_take(&ear->lock);
    while (times(ear, word) == 0 && clock_mono_us() < until_us)
        cond_wait_until(&ear->changed, &ear->lock, until_us);
    bool heard = times(ear, word) > 0;
    lock_drop(&ear->lock);
    return heard;
}

/* Tells until it is heard: at first they do not know of each other, and a hint may be lost. */
static bool gets_through(struct ear *from, struct ear *to, const char *word)
{
    int64_t deadline_us = clock_mono_us() + PATIENCE_S * TIME_SECOND;
    bool heard = false;
    while (!heard && clock_mono_us() < deadline_us) {
        db_tell(from->db, str_of_z(word));
        heard = has_heard(to, word, clock_mono_us() + 50000);
    }
    return heard;
}

static int lost_of(struct ear *ear)
{
    lock_take(&ear->lock);
    int lost = ear->lost;
    lock_drop(&ear->lock);
    return lost;
}

TEST(what_one_tells_the_other_hears_and_not_itself)
{
    struct shelf *shelf = shelf_open(t);
    struct ear *one = ear_open(t, shelf->url), *other = ear_open(t, shelf->url);
    CHECK(gets_through(one, other, "outbox"));
    CHECK(gets_through(other, one, "settled:0190"));
    lock_take(&one->lock);
    CHECK_INT(times(one, "outbox"), 0);
    lock_drop(&one->lock);
}

TEST(a_thousand_words_come_through_each_once_in_few_notifications)
{
    enum { MANY = 1000 };
    char word[DB_WORD_MAX + 1];
    struct shelf *shelf = shelf_open(t);
    struct ear *one = ear_open(t, shelf->url), *other = ear_open(t, shelf->url);
    CHECK(gets_through(one, other, "first"));
    int64_t before = db_stats_of(one->db).statements;
    for (int i = 0; i < MANY; i++) {
        snprintf(word, sizeof word, "settled:0190aaaa-bbbb-7ccc-8ddd-%012d", i);
        db_tell(one->db, str_of_z(word));
        db_tell(one->db, str_of_z(word)); /* said once, as long as it has not gone out */
    }
    CHECK(gets_through(one, other, "last"));
    lock_take(&other->lock);
    CHECK(other->count >= MANY + 2 && other->count <= 2 * MANY + 100);
    snprintf(word, sizeof word, "settled:0190aaaa-bbbb-7ccc-8ddd-%012d", MANY / 2);
    CHECK(times(other, word) >= 1);
    lock_drop(&other->lock);
    CHECK_INT(db_stats_of(one->db).statements, before); /* none of them on the writer's way */
}

TEST(who_loses_its_connection_says_so_and_hears_again)
{
    struct shelf *shelf = shelf_open(t);
    struct ear *one = ear_open(t, shelf->url), *other = ear_open(t, shelf->url);
    CHECK(gets_through(one, other, "before"));
    int lost = lost_of(other);
    test_postgresql_run(t, shelf->url,
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where application_name = 'duka listens'");
    CHECK(gets_through(one, other, "after"));
    CHECK(lost_of(other) > lost);
}

TEST(a_server_that_is_away_does_not_hold_up_who_tells_or_closes)
{
    struct shelf *shelf = shelf_open(t);
    struct proxy *proxy = proxy_open(t, test_postgresql_port());
    str url = test_postgresql_at(t, shelf->url, proxy_port(proxy));
    struct ear *ear = ear_open(t, url), *other = ear_open(t, shelf->url);
    CHECK(gets_through(other, ear, "before"));
    proxy_refuse(proxy, true);
    test_postgresql_run(t, shelf->url,
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where application_name = 'duka listens'");
    int64_t began_us = clock_mono_us();
    for (int i = 0; i < 10000; i++)
        db_tell(ear->db, STR("outbox"));
    db_unlisten(ear->db);
    CHECK(clock_mono_us() - began_us < 10 * TIME_SECOND);
}
