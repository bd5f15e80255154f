/* The disk of the simulation: what was synced stays, what was not may go. */
#include "tests/lib/test.h"
#include "tests/sim/baton.h"
#include "tests/sim/crash_disk.h"
#include "tests/sim/memory_disk.h"
#include <sqlite3.h>
#include <stdio.h>

enum { ROUNDS = 40, PATH_BYTES = 200 };

struct sight {
    enum disk_op fails;
    enum disk_fault fault;
    int in;
};

static enum disk_fault on_op(void *self, enum disk_op op, const char *path)
{
    struct sight *sight = self;
    (void)path;
    return op == sight->fails && sight->in > 0 && --sight->in == 0 ? sight->fault : DISK_WORKS;
}

static struct sight sight;
static enum disk_below below;

static sqlite3 *open_at(struct test *t, const char *path, const char *synchronous)
{
    sqlite3 *db;
    crash_disk_install(&(struct disk_watch){ .self = &sight, .op = on_op }, below);
    CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, "pragma journal_mode=wal", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, synchronous, NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(
        sqlite3_exec(db, "create table if not exists t (i integer, b blob)", NULL, NULL, NULL),
        SQLITE_OK);
    (void)t;
    return db;
}

static int add(sqlite3 *db)
{
    return sqlite3_exec(db, "insert into t values (1, randomblob(9000))", NULL, NULL, NULL);
}

static int count_rows(sqlite3 *db)
{
    sqlite3_stmt *statement;
    CHECK_INT(sqlite3_prepare_v2(db, "select count(*) from t", -1, &statement, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
    int count = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return count;
}

static const char *path_of(struct test *t)
{
    return str_z(t->arena, str_format(t->arena, "%s/%d.db", test_folder(t), (int)below));
}

/* Commits, crashes, opens again; gives how many of those that were committed are gone. The old
 * connection stays open, as in a process that was killed. */
static int lost_after_crashes(struct test *t, const char *synchronous, bool is_power_cut)
{
    const char *path = path_of(t);
    sqlite3 *killed[ROUNDS];
    int lost = 0;
    baton_start(7);
    crash_disk_forget();
    for (int i = 0, committed = 0; i < ROUNDS; i++) {
        sqlite3 *db = killed[i] = open_at(t, path, synchronous);
        int found = count_rows(db);
        lost += committed - found;
        committed = found;
        for (int j = 0; j < 3; j++) {
            CHECK_INT(add(db), SQLITE_OK);
            committed++;
        }
        CHECK_INT(sqlite3_exec(db, "begin; insert into t values (1, 'x')", NULL, NULL, NULL),
                  SQLITE_OK);
        crash_disk_crash(is_power_cut, NULL, 0);
    }
    for (int i = 0; i < ROUNDS; i++) /* only now, for the sake of the memory */
        sqlite3_close(killed[i]);
    baton_stop();
    return lost;
}

/* Each fact holds on files of the machine, and in memory. */
static void on_both(struct test *t, void (*holds)(struct test *t))
{
    below = DISK_OF_MACHINE;
    holds(t);
    below = DISK_IN_MEMORY;
    holds(t);
}

static void keeps_synced(struct test *t)
{
    CHECK_INT(lost_after_crashes(t, "pragma synchronous=full", true), 0);
}

TEST(a_power_cut_keeps_what_was_synced) { on_both(t, keeps_synced); }

static void loses_unsynced(struct test *t)
{
    CHECK(lost_after_crashes(t, "pragma synchronous=off", true) > 0);
}

TEST(a_power_cut_loses_some_of_what_was_not) { on_both(t, loses_unsynced); }

static void leaves_written(struct test *t)
{
    CHECK_INT(lost_after_crashes(t, "pragma synchronous=off", false), 0);
}

TEST(a_killed_process_leaves_what_it_had_written) { on_both(t, leaves_written); }

static void faults_once(struct test *t)
{
    const char *path = path_of(t);
    baton_start(1);
    crash_disk_forget();
    sqlite3 *db = open_at(t, path, "pragma synchronous=full");
    sight = (struct sight){ .fails = DISK_WRITE, .fault = DISK_ENOSPC, .in = 1 };
    CHECK_INT(add(db), SQLITE_FULL);
    CHECK_INT(add(db), SQLITE_OK);
    sight = (struct sight){ .fails = DISK_SYNC, .fault = DISK_EIO, .in = 1 };
    CHECK_INT(add(db) & 0xff, SQLITE_IOERR);
    CHECK(crash_disk_has_failed_sync());
    CHECK_INT(add(db), SQLITE_OK);
    CHECK(!crash_disk_has_failed_sync());
    CHECK_INT(count_rows(db), 2);
    sqlite3_close(db);
    baton_stop();
}

TEST(a_planned_fault_comes_once) { on_both(t, faults_once); }

TEST(calls_that_are_cut_short_change_nothing)
{
    below = DISK_OF_MACHINE;
    const char *path = path_of(t);
    baton_start(1);
    crash_disk_forget();
    sqlite3 *db = open_at(t, path, "pragma synchronous=full");
    crash_disk_cuts(2);
    for (int i = 0; i < 20; i++)
        CHECK_INT(add(db), SQLITE_OK);
    CHECK_INT(count_rows(db), 20);
    crash_disk_cuts(0);
    sqlite3_close(db);
    baton_stop();
}

/* What is in memory can be looked at with any tool afterwards, and read in again. */
TEST(what_is_in_memory_is_saved_to_files)
{
    below = DISK_IN_MEMORY;
    const char *path = path_of(t);
    baton_start(1);
    crash_disk_forget();
    sqlite3 *db = open_at(t, path, "pragma synchronous=full"), *saved;
    for (int i = 0; i < 5; i++)
        CHECK_INT(add(db), SQLITE_OK);
    memory_disk_save();
    CHECK_INT(sqlite3_open_v2(path, &saved, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    CHECK_INT(count_rows(saved), 5);
    CHECK_INT(add(saved), SQLITE_OK);
    CHECK_INT(count_rows(db), 5);
    sqlite3_close(saved);
    sqlite3_close(db);
    memory_disk_remove(path);
    CHECK_INT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "memory"), SQLITE_CANTOPEN);
    sqlite3_close(db);
    baton_stop();
}

/* Two connections, one that writes and one that reads, keep each other out as on files. */
static void locks(struct test *t)
{
    const char *path = path_of(t);
    baton_start(1);
    crash_disk_forget();
    sqlite3 *one = open_at(t, path, "pragma synchronous=full"), *other;
    CHECK_INT(sqlite3_open(path, &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(one, "begin immediate", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(add(one), SQLITE_OK);
    CHECK_INT(add(other), SQLITE_BUSY);
    CHECK_INT(count_rows(other), 0);
    CHECK_INT(sqlite3_exec(other, "begin; select count(*) from t", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_exec(one, "commit", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(count_rows(other), 0); /* its snapshot */
    CHECK_INT(sqlite3_wal_checkpoint_v2(one, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
              SQLITE_BUSY);
    CHECK_INT(sqlite3_exec(other, "commit", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(count_rows(other), 1);
    CHECK_INT(sqlite3_wal_checkpoint_v2(one, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
              SQLITE_OK);
    CHECK_INT(add(other), SQLITE_OK);
    CHECK_INT(count_rows(one), 2);
    CHECK_INT(sqlite3_exec(one, "pragma journal_mode=delete", NULL, NULL, NULL), SQLITE_BUSY);
    sqlite3_close(other);
    CHECK_INT(sqlite3_exec(one, "pragma journal_mode=delete", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(add(one), SQLITE_OK);
    CHECK_INT(sqlite3_open(path, &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(one, "begin exclusive", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(add(other), SQLITE_BUSY);
    CHECK_INT(sqlite3_exec(one, "commit", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(count_rows(other), 3);
    sqlite3_close(other);
    sqlite3_close(one);
    baton_stop();
}

TEST(connections_keep_each_other_out) { on_both(t, locks); }

/* One that only reads is the last to go: it leaves the log to whoever may write. */
static void reads_last(struct test *t)
{
    const char *path = path_of(t);
    baton_start(1);
    crash_disk_forget();
    sqlite3 *writer = open_at(t, path, "pragma synchronous=full"), *reader;
    int flags = SQLITE_OPEN_READONLY;
    CHECK_INT(sqlite3_open_v2(path, &reader, flags, crash_disk_below()), SQLITE_OK);
    CHECK_INT(count_rows(reader), 0);
    CHECK_INT(add(writer), SQLITE_OK);
    CHECK_INT(sqlite3_close(writer), SQLITE_OK);
    CHECK_INT(sqlite3_close(reader), SQLITE_OK);
    crash_disk_crash(true, NULL, 0);
    writer = open_at(t, path, "pragma synchronous=full");
    CHECK_INT(count_rows(writer), 1);
    sqlite3_close(writer);
    baton_stop();
}

TEST(who_only_reads_leaves_the_log_as_it_is) { on_both(t, reads_last); }
