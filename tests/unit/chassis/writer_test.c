#include "chassis/writer_batch.h"

#include "os/clock.h"
#include "os/random.h"
#include "shelf.h"
#include "tests/lib/postgresql.h"

#include <poll.h>
#include <signal.h>

enum { THREADS = 8, WRITES_EACH = 2000, IN_FLIGHT = 100 };

static const struct sql_counter_add ONE_CUP = { STR("cup"), 1 };

TEST(writes_handed_over_together_are_one_transaction)
{
    struct shelf *shelf = shelf_open(t);
    struct told told[100];
    struct write *writes[100];
    shelf_start(shelf);
    for (int i = 0; i < 100; i++)
        writes[i] = shelf_write(shelf, shelf_add, &ONE_CUP, &told[i]);
    int64_t before = db_stats_of(shelf->db).commits;
    shelf_submit_all(shelf, writes, 100);
    CHECK_INT(db_stats_of(shelf->db).commits - before, 1);
    for (int i = 0; i < 100; i++) {
        CHECK_OK(told[i].outcome);
        CHECK_INT(told[i].order, i + 1);
    }
    CHECK_INT(shelf_counter(shelf, "cup"), 100);
}

TEST(a_batch_has_its_most_and_the_rest_follows_in_order)
{
    enum { MANY = WRITES_BATCH_MAX + 10 };
    struct shelf *shelf = shelf_open(t);
    struct told *told = arena_array(t->arena, struct told, MANY);
    struct write **writes = arena_array(t->arena, struct write *, MANY);
    shelf_start(shelf);
    for (int i = 0; i < MANY; i++)
        writes[i] = shelf_write(shelf, shelf_add, &ONE_CUP, &told[i]);
    int64_t before = db_stats_of(shelf->db).commits;
    shelf_submit_all(shelf, writes, MANY);
    CHECK_INT(db_stats_of(shelf->db).commits - before, 2);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(told[i].order, i + 1);
}

TEST(a_writer_with_a_limit_takes_no_more_at_once)
{
    struct shelf *shelf = shelf_open(t);
    struct told told[10];
    struct write *writes[10];
    shelf_start(shelf);
    writer_limit(shelf->writer, 4);
    for (int i = 0; i < 10; i++)
        writes[i] = shelf_write(shelf, shelf_add, &ONE_CUP, &told[i]);
    int64_t before = db_stats_of(shelf->db).commits;
    shelf_submit_all(shelf, writes, 10);
    CHECK_INT(db_stats_of(shelf->db).commits - before, 3);
    CHECK_INT(shelf_counter(shelf, "cup"), 10);
}

static void count_changed(void *subject, struct uuid what)
{
    CHECK(uuid_equal(what, shelf_id(3)));
    ++*(int *)subject;
}

static err change(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    tx_note_change(tx, shelf_id(3));
    return shelf_add(tx, writes, count, outcomes);
}

TEST(who_asked_is_told_what_changed)
{
    struct shelf *shelf = shelf_open(t);
    struct told told;
    struct write *write = shelf_write(shelf, change, &ONE_CUP, &told);
    int changes = 0;
    shelf_start(shelf);
    writer_on_changed(shelf->writer, count_changed, &changes);
    shelf_submit_all(shelf, &write, 1);
    shelf_stop(shelf);
    CHECK_INT(changes, 1);
}

TEST(who_hands_over_and_waits_hears_the_outcome)
{
    struct shelf *shelf = shelf_open(t);
    struct sql_counter_set negative = { STR("cup"), -1 };
    shelf_start(shelf);
    err outcome;
    struct write *write = write_new(t->arena, shelf_add, (void *)(uintptr_t)&ONE_CUP);
    CHECK_INT(writer_submit_and_wait(shelf->writer, write, &outcome), WRITE_DONE);
    CHECK_OK(outcome);
    write = write_new(t->arena, shelf_set, &negative);
    CHECK_INT(writer_submit_and_wait(shelf->writer, write, &outcome), WRITE_DONE);
    CHECK_ERR(outcome, DB_FAILED);
    CHECK_INT(shelf_counter(shelf, "cup"), 1);
}

TEST(on_committed_is_told_only_when_there_is_something_to_send)
{
    struct shelf *shelf = shelf_open(t);
    struct told told;
    shelf_start(shelf);
    struct write *quiet = shelf_write(shelf, shelf_add, &ONE_CUP, &told);
    shelf_submit_all(shelf, &quiet, 1);
    shelf_stop(shelf);
    CHECK_INT(shelf->committed, 0);

    shelf_start(shelf);
    struct write *loud = shelf_write(shelf, shelf_add, &ONE_CUP, &told);
    shelf_announce(loud, "7", 1);
    shelf_submit_all(shelf, &loud, 1);
    shelf_stop(shelf);
    CHECK_INT(shelf->committed, 1);
}

static int after_told;
static void note_after(struct write *write)
{
    struct told *told = write->after_subject;
    CHECK_INT(told->order, 0); /* before done */
    after_told++;
}

TEST(after_is_told_of_what_was_committed_and_before_done)
{
    struct shelf *shelf = shelf_open(t);
    struct told told[2];
    struct sql_counter_set negative = { STR("cup"), -1 };
    struct write *writes[2] = { shelf_write(shelf, shelf_add, &ONE_CUP, &told[0]),
                                shelf_write(shelf, shelf_set, &negative, &told[1]) };
    after_told = 0;
    for (int i = 0; i < 2; i++) {
        writes[i]->after = note_after;
        writes[i]->after_subject = &told[i];
    }
    shelf_start(shelf);
    shelf_submit_all(shelf, writes, 2);
    shelf_stop(shelf);
    CHECK_INT(after_told, 1);
}

TEST(closing_runs_what_was_handed_over)
{
    struct shelf *shelf = shelf_open(t);
    struct told told[300];
    struct write *writes[300];
    shelf_start(shelf);
    for (int i = 0; i < 300; i++) {
        writes[i] = shelf_write(shelf, shelf_add, &ONE_CUP, &told[i]);
        writer_submit(shelf->writer, writes[i]);
    }
    shelf_stop(shelf);
    for (int i = 0; i < 300; i++)
        CHECK_INT(told[i].order, i + 1);
    CHECK_INT(shelf_counter(shelf, "cup"), 300);
    writer_close(NULL);
}

struct handing {
    struct shelf *shelf;
    struct write *write;
};

static void hand_over(void *subject)
{
    struct handing *handing = subject;
    writer_submit(handing->shelf->writer, handing->write);
}

TEST(a_writer_is_closed_only_when_nobody_wakes_it_any_more)
{
    struct shelf *shelf = shelf_open(t);
    for (int i = 1; i <= 100; i++) {
        struct told told;
        shelf_start(shelf);
        struct handing handing = { shelf, shelf_write(shelf, shelf_add, &ONE_CUP, &told) };
        struct thread *thread = thread_start("client", hand_over, &handing);
        shelf_wait_told(shelf, i);
        shelf_stop(shelf);
        thread_join(thread);
    }
    CHECK_INT(shelf_counter(shelf, "cup"), 100);
}

TEST(statistics_count_batches_and_writes)
{
    struct shelf *shelf = shelf_open(t);
    struct told told[3];
    struct write *writes[3];
    for (int i = 0; i < 3; i++)
        writes[i] = shelf_write(shelf, shelf_add, &ONE_CUP, &told[i]);
    shelf_start(shelf);
    shelf_submit_all(shelf, writes, 3);
    /* The numbers are told after the writes; another one sees those of the batch before. */
    struct write *last = shelf_write(shelf, shelf_add, &ONE_CUP, &told[0]);
    shelf_submit_all(shelf, &last, 1);
    struct writer_stats stats = writer_stats_of(shelf->writer);
    CHECK(stats.batches >= 1 && stats.batches <= 2);
    CHECK(stats.writes >= 3 && stats.writes <= 4);
    CHECK(stats.commit_us >= 0);
    CHECK_INT(stats.queue, 0);
}

TEST(a_full_disk_is_told_and_the_writer_goes_on)
{
    if (test_on_postgresql())
        SKIP("the disk is the server's");
    struct shelf *shelf = shelf_open(t);
    struct told told[20];
    struct write *writes[20];
    static char name[60000];
    memset(name, 'x', sizeof name);
    db_limit_bytes(shelf->db, db_stats_of(shelf->db).file_bytes + 300 * 1024);
    shelf_start(shelf);
    int full = 0;
    for (int i = 0; i < 20; i++) {
        struct sql_counter_add *row = arena_new(t->arena, struct sql_counter_add);
        row->name = str_format(t->arena, "%d%.*s", i, 50000, name);
        row->delta = 1;
        writes[i] = shelf_write(shelf, shelf_add, row, &told[i]);
    }
    shelf_submit_all(shelf, writes, 20);
    for (int i = 0; i < 20; i++) {
        if (told[i].outcome)
            CHECK_ERR(told[i].outcome, DB_FULL);
        full += told[i].outcome != OK;
    }
    CHECK(full > 0 && full < 20); /* what fits is written all the same */
    CHECK_INT(shelf_sum(shelf), 20 - full);

    shelf_stop(shelf);
    db_limit_bytes(shelf->db, 0);
    shelf_start(shelf);
    struct write *write = shelf_write(shelf, shelf_add, &ONE_CUP, &told[0]);
    shelf_submit_all(shelf, &write, 1);
    CHECK_OK(told[0].outcome);
}

/* ---- many threads ---- */

struct client {
    struct shelf *shelf;
    int number;
    struct arena *arena;
    struct lock lock;
    struct cond changed;
    int told, repeated, failed;
};

static void count_told(struct write *write, enum write_end end, err outcome)
{
    struct client *client = write->owner;
    lock_take(&client->lock);
    client->told++;
    client->repeated += end == WRITE_REPEATED;
    client->failed += outcome != OK;
    cond_wake_one(&client->changed);
    lock_drop(&client->lock);
}

/* Every tenth write has a key that all clients use: one of them wins it. */
static struct write *client_write(struct client *client, int i)
{
    struct sql_counter_add *row = arena_new(client->arena, struct sql_counter_add);
    *row = (struct sql_counter_add){ str_format(client->arena, "client %d", client->number), 1 };
    struct write *write = write_new(client->arena, shelf_add, row);
    write->owner = client;
    write->done = count_told;
    shelf_announce(write, "7", i + 1);
    if (i % 10 == 0) {
        write->once = arena_new(client->arena, struct once_claim);
        write->once->scope = STR("all");
        write->once->key = str_format(client->arena, "key %d", i);
        write->answer = shelf_answer("ok");
    }
    return write;
}

static void run_client(void *subject)
{
    struct client *client = subject;
    for (int i = 0; i < WRITES_EACH; i++) {
        writer_submit(client->shelf->writer, client_write(client, i));
        lock_take(&client->lock);
        while (i + 1 - client->told >= IN_FLIGHT)
            cond_wait(&client->changed, &client->lock);
        lock_drop(&client->lock);
    }
    lock_take(&client->lock);
    while (client->told < WRITES_EACH)
        cond_wait(&client->changed, &client->lock);
    lock_drop(&client->lock);
}

TEST(of_8_threads_with_2000_writes_each_is_told_each_once)
{
    struct shelf *shelf = shelf_open(t);
    struct client clients[THREADS];
    struct thread *threads[THREADS];
    shelf_start(shelf);
    for (int i = 0; i < THREADS; i++) {
        clients[i] = (struct client){ .shelf = shelf, .number = i, .arena = arena_open(16 << 20) };
        lock_init(&clients[i].lock);
        cond_init(&clients[i].changed);
        threads[i] = thread_start("client", run_client, &clients[i]);
    }
    int repeated = 0;
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
        CHECK_INT(clients[i].told, WRITES_EACH);
        CHECK_INT(clients[i].failed, 0);
        repeated += clients[i].repeated;
    }
    shelf_stop(shelf); /* only now is nobody in the middle of telling */
    CHECK_INT(repeated, (THREADS - 1) * WRITES_EACH / 10);
    CHECK_INT(shelf_sum(shelf), THREADS * WRITES_EACH - repeated);
    CHECK_INT(shelf_outbox_count(shelf), THREADS * WRITES_EACH - repeated);
    for (int i = 0; i < THREADS; i++) {
        arena_close(clients[i].arena);
        cond_done(&clients[i].changed);
        lock_done(&clients[i].lock);
    }
}

/* ---- kill -9 ---- */

#if defined(__SANITIZE_THREAD__)
enum { UNDER_TSAN = true };
#else
enum { UNDER_TSAN = false };
#endif

static int acks_fd;

/* Says on the pipe that this one is on disk. */
static void ack(struct write *write_, enum write_end end, err outcome)
{
    int64_t number = (int64_t)(intptr_t)write_->owner;
    bool on_disk = end == WRITE_DONE && outcome == OK;
    if (on_disk && write(acks_fd, &number, sizeof number) != sizeof number)
        _exit(1);
}

/* The child: opens the database and writes until it is killed. */
_Noreturn static void write_for_ever(struct shelf *shelf, int64_t number)
{
    struct db_config config = { .url = shelf->url, .readers_max = 1, .durable = true };
    struct db *db;
    if (db_open(shelf->t->arena, &config, &shelf_schema, &db) != OK)
        _exit(2);
    struct writer *writer = writer_open(db, "victim", NULL, NULL);
    for (;; number++) {
        struct arena *arena = arena_open(64 * 1024); /* never closed: killed before */
        struct sql_counter_add *row = arena_new(arena, struct sql_counter_add);
        *row = (struct sql_counter_add){ str_format(arena, "%lld", (long long)number), 1 };
        struct write *write = write_new(arena, shelf_add, row);
        write->owner = (void *)(intptr_t)number;
        write->done = ack;
        shelf_announce(write, "7", number);
        writer_submit(writer, write);
        if (number % 50 == 0)
            sleep_until(clock_mono_us() + 1000);
    }
}

/* Lets a child write for a while, kills it, and gives what it was told to be on disk, in order. */
static size_t write_and_kill(struct shelf *shelf, int64_t first, int64_t *acked, size_t acked_max)
{
    int pipes[2];
    CHECK_INT(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        acks_fd = pipes[1];
        close(pipes[0]);
        write_for_ever(shelf, first);
    }
    close(pipes[1]);
    size_t count = 0;
    int64_t until_us = clock_mono_us() + 20 * TIME_SECOND; /* for the first; then not for long */
    bool killed = false;
    while (count < acked_max) {
        struct pollfd waiting = { .fd = pipes[0], .events = POLLIN };
        int64_t left_us = until_us - clock_mono_us();
        if (!killed && left_us <= 0) {
            kill(child, SIGKILL);
            killed = true;
        }
        if (poll(&waiting, 1, killed ? -1 : (int)(left_us / 1000) + 1) <= 0)
            continue;
        if (read(pipes[0], &acked[count], sizeof *acked) != sizeof *acked)
            break; /* closed: it is dead, and all it said was read */
        if (count++ == 0)
            until_us = clock_mono_us() + 20000 + (int64_t)(random_u64() % 60000);
    }
    kill(child, SIGKILL);
    close(pipes[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    return count;
}

TEST(what_was_told_to_be_on_disk_is_there_after_kill_9)
{
    if (UNDER_TSAN)
        SKIP("threads after a fork are not for ThreadSanitizer");
    enum { ROUNDS = 6, ACKS_MAX = 100000 };
    struct shelf *shelf = shelf_open(t);
    int64_t *acked = arena_array(t->arena, int64_t, ACKS_MAX);
    size_t all = 0;
    for (int round = 0; round < ROUNDS; round++) {
        db_close(shelf->db);
        shelf->db = NULL;
        int64_t first = round * 1000000 + 1;
        size_t count = write_and_kill(shelf, first, acked, ACKS_MAX);
        shelf_reopen(shelf, true);
        for (size_t i = 0; i < count; i++) {
            CHECK_INT(acked[i], first + (int64_t)i);
            CHECK_INT(shelf_counter(shelf, str_z(t->arena, str_format(t->arena, "%lld",
                                                                      (long long)acked[i]))),
                      1);
        }
        CHECK_INT(shelf_sum(shelf), shelf_outbox_count(shelf)); /* row and event: both or none */
        all += count;
    }
    CHECK(all > 0);
}
