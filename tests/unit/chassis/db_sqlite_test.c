#include "chassis/db_sqlite.h"
#include "gen/chassis.sql.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/sync.h"
#include "shelf.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum { THING_BYTES = 60000 };

static err put_cup(struct tx *tx, void *subject)
{
    struct sql_counter_add row = { STR("cup"), *(int64_t *)subject };
    return sql_counter_add(tx, &row, NULL);
}

static void add_cups(struct shelf *shelf, int64_t cups) { shelf_do(shelf, put_cup, &cups); }

static str path_of(struct shelf *shelf, const char *end)
{
    return str_format(shelf->t->arena, "%s/shelf.db%s", shelf->folder, end);
}

static err open_again(struct shelf *shelf, struct db **db)
{
    struct db_config config = { .url = shelf->url, .readers_max = 1 };
    return db_open(shelf->t->arena, &config, &shelf_schema, db);
}

TEST(what_was_committed_is_there_after_a_reopening)
{
    struct shelf *shelf = shelf_open(t);
    add_cups(shelf, 5);
    shelf_reopen(shelf, true);
    CHECK_INT(shelf_counter(shelf, "cup"), 5);
    add_cups(shelf, 2);
    shelf_reopen(shelf, true);
    CHECK_INT(shelf_counter(shelf, "cup"), 7);
}

static err add_title(struct tx *tx, void *subject)
{
    struct sql_title_add row = { *(str *)subject };
    return sql_title_add(tx, &row, NULL);
}

TEST(a_search_index_closes_with_its_database)
{
    struct shelf *shelf = shelf_open(t);
    str titles[] = { STR("a red cup"), STR("a green cup"), STR("tea") };
    for (int i = 0; i < 3; i++)
        shelf_do(shelf, add_title, &titles[i]);
    shelf_reopen(shelf, false);

    struct sql_titles_matching words = { STR("cup NOT green") };
    struct sql_titles_matching_row *rows;
    size_t count;
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(sql_titles_matching(reader, t->arena, &words, &rows, &count));
    db_read_end(reader);
    CHECK_INT(count, 1);
    CHECK_STR(rows[0].title, "a red cup");
    shelf_reopen(shelf, false);
}

/* The planner would look at the value of a bound limit, each time anew. */
TEST(a_statement_with_a_bound_limit_is_compiled_once)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    for (int i = 1; i <= 3; i++) {
        struct sql_outbox_after after = { .position = i, .rows_max = 10 * i };
        struct sql_outbox_after_row *rows;
        size_t count;
        CHECK_OK(sql_outbox_after(reader, t->arena, &after, &rows, &count));
    }
    sqlite3 *handle = reader->connection->handle;
    int statements = 0;
    for (sqlite3_stmt *at = sqlite3_next_stmt(handle, NULL); at;
         at = sqlite3_next_stmt(handle, at)) {
        CHECK_INT(sqlite3_stmt_status(at, SQLITE_STMTSTATUS_REPREPARE, 0), 0);
        statements++;
    }
    db_read_end(reader);
    CHECK(statements >= 4); /* begin, commit, rollback, and ours */
}

TEST(the_files_are_their_owners_only)
{
    struct shelf *shelf = shelf_open(t);
    add_cups(shelf, 1);
    const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct stat stat_of;
        CHECK_INT(stat(str_z(t->arena, path_of(shelf, ends[i])), &stat_of), 0);
        CHECK_INT(stat_of.st_mode & 0777, 0600);
    }
}

TEST(the_folder_is_made)
{
    const char *folder = test_folder(t);
    struct db_config config = { .readers_max = 1 };
    config.url = str_format(t->arena, "sqlite:%s/deep/er/shelf.db", folder);
    struct db *db;
    CHECK_OK(db_open(t->arena, &config, &shelf_schema, &db));
    db_close(db);
}

TEST(a_second_opening_is_refused_in_this_process_and_in_another)
{
    struct shelf *shelf = shelf_open(t);
    struct db *db = NULL;
    CHECK_ERR(open_again(shelf, &db), DB_LOCKED);

    pid_t child = fork();
    if (child == 0)
        _exit(err_is(open_again(shelf, &db), DB_LOCKED) ? 0 : 1);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    add_cups(shelf, 1);
}

static void overwrite(str path, off_t at, const char *bytes)
{
    char name[4096];
    CHECK(path.len < sizeof name);
    memcpy(name, path.ptr, path.len);
    name[path.len] = '\0';
    int fd = open(name, O_WRONLY);
    CHECK(fd >= 0);
    CHECK_INT(pwrite(fd, bytes, strlen(bytes), at), (ssize_t)strlen(bytes));
    close(fd);
}

TEST(a_file_that_is_no_database_is_refused_as_damaged)
{
    struct shelf *shelf = shelf_open(t);
    struct db *db = NULL;
    db_close(shelf->db);
    shelf->db = NULL;
    overwrite(path_of(shelf, ""), 0, "this is a letter to my aunt");
    CHECK_ERR(open_again(shelf, &db), DB_CORRUPT);
    CHECK(db == NULL);
}

static void note_fatal(const char *what)
{
    _exit(str_find(str_of_z(what), STR("damaged")) >= 0 ? 7 : 8);
}

static err put_counters(struct tx *tx, void *subject)
{
    (void)subject;
    for (int i = 0; i < 1000; i++) {
        struct sql_counter_add row = { str_format(tx->arena, "counter %d", i), 1 };
        TRY(sql_counter_add(tx, &row, NULL));
    }
    return OK;
}

static err read_all(struct tx *tx)
{
    struct sql_counters_all_row *rows;
    size_t count;
    return sql_tx_counters_all(tx, &rows, &count);
}

TEST(damage_that_the_writer_finds_ends_the_process)
{
    struct shelf *shelf = shelf_open(t);
    shelf_do(shelf, put_counters, NULL);
    db_close(shelf->db);
    shelf->db = NULL;
    struct stat stat_of;
    CHECK_INT(stat(str_z(t->arena, path_of(shelf, "")), &stat_of), 0);
    for (int page = 1; page <= 3; page++) /* the youngest pages: counters */
        overwrite(path_of(shelf, ""), stat_of.st_size - page * 4096, "damaged, but not the schema");

    pid_t child = fork();
    if (child == 0) {
        struct db_config config = { .url = shelf->url, .readers_max = 1, .on_fatal = note_fatal };
        struct db *db;
        struct tx tx;
        if (db_open(t->arena, &config, &shelf_schema, &db) != OK)
            _exit(1);
        if (tx_begin(db, t->arena, 1, &tx) != OK || read_all(&tx) != OK)
            _exit(2);
        _exit(3);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(WEXITSTATUS(status), 7);
}

/* ---- readers ---- */

TEST(who_finds_no_reader_within_100_ms_hears_unavailable)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *readers[4], *none = NULL;
    for (int i = 0; i < 4; i++)
        CHECK_OK(db_read_begin(shelf->db, t->arena, &readers[i]));
    int64_t began_us = clock_mono_us();
    CHECK_ERR(db_read_begin(shelf->db, t->arena, &none), DB_UNAVAILABLE);
    CHECK(clock_mono_us() - began_us >= 100000);
    db_read_end(readers[0]);
    CHECK_OK(db_read_begin(shelf->db, t->arena, &readers[0]));
    for (int i = 0; i < 4; i++)
        db_read_end(readers[i]);
}

static void end_later(void *subject)
{
    sleep_until(clock_mono_us() + 20000);
    db_read_end(subject);
}

TEST(who_waits_for_a_reader_gets_the_one_that_is_given_back)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *readers[4], *late = NULL;
    for (int i = 0; i < 4; i++)
        CHECK_OK(db_read_begin(shelf->db, t->arena, &readers[i]));
    struct thread *thread = thread_start("end-later", end_later, readers[2]);
    CHECK_OK(db_read_begin(shelf->db, t->arena, &late));
    thread_join(thread);
    CHECK(late == readers[2]);
    for (int i = 0; i < 4; i++)
        db_read_end(readers[i]);
}

/* SQLite's own disk, but a sync of the database takes as long as `hold` is set: `reached` once it
 * waits. */
static struct {
    sqlite3_vfs vfs, *real;
    sqlite3_io_methods methods;
    int (*sync)(sqlite3_file *, int);
    bool hold, reached;
} slow_disk;

static int slow_sync(sqlite3_file *file, int flags)
{
    while (__atomic_load_n(&slow_disk.hold, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&slow_disk.reached, true, __ATOMIC_RELEASE);
        sleep_until(clock_mono_us() + 1000);
    }
    return slow_disk.sync(file, flags);
}

static int slow_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *given)
{
    (void)vfs;
    int code = slow_disk.real->xOpen(slow_disk.real, name, file, flags, given);
    if (code != SQLITE_OK || !(flags & SQLITE_OPEN_MAIN_DB))
        return code;
    if (!slow_disk.sync) {
        slow_disk.methods = *file->pMethods;
        slow_disk.sync = file->pMethods->xSync;
        slow_disk.methods.xSync = slow_sync;
    }
    file->pMethods = &slow_disk.methods;
    return code;
}

static void slow_disk_begin(void)
{
    slow_disk.real = sqlite3_vfs_find(NULL);
    slow_disk.vfs = *slow_disk.real;
    slow_disk.vfs.zName = "slow";
    slow_disk.vfs.xOpen = slow_open;
    sqlite3_vfs_register(&slow_disk.vfs, 1);
}

static void slow_disk_end(void)
{
    sqlite3_vfs_register(slow_disk.real, 1);
    sqlite3_vfs_unregister(&slow_disk.vfs);
}

static void maintain(void *subject) { db_maintain(subject); }

static void let_go_later(void *subject)
{
    (void)subject;
    sleep_until(clock_mono_us() + 3 * SQLITE_READER_WAIT_US);
    __atomic_store_n(&slow_disk.hold, false, __ATOMIC_RELEASE);
}

TEST(who_comes_while_the_log_is_folded_in_waits_for_as_long_as_the_disk_takes)
{
    struct db_reader *reader = NULL;
    slow_disk_begin();
    struct shelf *shelf = shelf_open(t);
    shelf_reopen(shelf, true);
    add_cups(shelf, 1);
    db_maintain(shelf->db); /* the first, in whose way no reader is */
    add_cups(shelf, 1);
    db_forget(shelf->db);
    __atomic_store_n(&slow_disk.hold, true, __ATOMIC_RELEASE);
    struct thread *writer = thread_start("maintain", maintain, shelf->db);
    while (!__atomic_load_n(&slow_disk.reached, __ATOMIC_ACQUIRE))
        sleep_until(clock_mono_us() + 1000);
    struct thread *timer = thread_start("let-go", let_go_later, NULL);
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK(!__atomic_load_n(&slow_disk.hold, __ATOMIC_ACQUIRE));
    db_read_end(reader);
    thread_join(timer);
    thread_join(writer);
    slow_disk_end();
}

static err put_thing(struct tx *tx, void *subject)
{
    int number = *(int *)subject;
    char *bytes = arena_alloc(tx->arena, THING_BYTES, 1);
    struct sql_thing_insert row = { .id = shelf_id(number),
                                    .title = STR("big"),
                                    .body = str_of(bytes, THING_BYTES),
                                    .currency = { "EUR" } };
    return sql_thing_insert(tx, &row, NULL);
}

TEST(a_reader_is_fit_for_use_after_an_arena_has_jumped_out_of_a_read)
{
    struct shelf *shelf = shelf_open(t);
    int number = 1;
    shelf_do(shelf, put_thing, &number);
    add_cups(shelf, 3);

    struct arena *small = arena_open(8 * 1024);
    struct db_reader *reader;
    jmp_buf guard;
    bool volatile jumped = false;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    if (setjmp(guard) == 0) {
        arena_guard(small, &guard);
        struct sql_thing_by_id id = { shelf_id(1) };
        struct sql_thing_by_id_row row;
        CHECK_OK(sql_thing_by_id(reader, small, &id, &row));
    } else {
        jumped = true;
    }
    CHECK(jumped);
    db_read_end(reader);
    arena_close(small);
    add_cups(shelf, 1);
    CHECK_INT(shelf_counter(shelf, "cup"), 4); /* the same reader, on a new snapshot */
}

/* ---- the log ---- */

/* Commits until so many bytes went through the log, and keeps house after each. */
static int64_t write_through(struct shelf *shelf, int *number, int64_t bytes)
{
    int64_t most = 0;
    for (int64_t sum = 0; sum < bytes; sum += THING_BYTES) {
        struct arena *arena = arena_open(1024 * 1024);
        struct tx tx;
        ++*number;
        CHECK_OK(tx_begin(shelf->db, arena, clock_wall_us(), &tx));
        CHECK_OK(put_thing(&tx, number));
        CHECK_OK(tx_commit(&tx));
        db_maintain(shelf->db);
        arena_close(arena);
        int64_t now = db_stats_of(shelf->db).wal_bytes;
        most = now > most ? now : most;
    }
    return most;
}

TEST(the_log_stays_small_while_nobody_reads)
{
    struct shelf *shelf = shelf_open(t);
    int number = 0;
    CHECK(write_through(shelf, &number, 30 * 1024 * 1024) < 5 * 1024 * 1024);
}

TEST(the_log_begins_anew_once_the_readers_have_ended)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    struct sql_counters_sum_row sum;
    int number = 0;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK_OK(sql_counters_sum(reader, t->arena, &sum));
    CHECK(write_through(shelf, &number, 70 * 1024 * 1024) > 64 * 1024 * 1024);
    db_read_end(reader);
    write_through(shelf, &number, 6 * 1024 * 1024);
    CHECK(db_stats_of(shelf->db).wal_bytes < 16 * 1024 * 1024);
}

struct overlap {
    struct shelf *shelf;
    bool stop;
    int reads, refused;
};

/* Reads without a gap, two snapshots that overlap at all times. */
static void read_overlapping(void *subject)
{
    struct overlap *overlap = subject;
    struct arena *arena = arena_open(1024 * 1024);
    struct db_reader *readers[2] = { NULL };
    for (int i = 0; !__atomic_load_n(&overlap->stop, __ATOMIC_RELAXED); i ^= 1) {
        struct sql_counters_sum_row sum;
        struct db_reader *next = NULL;
        arena_reset(arena);
        if (db_read_begin(overlap->shelf->db, arena, &next) == OK) {
            overlap->reads += sql_counters_sum(next, arena, &sum) == OK;
            db_read_end(readers[i]);
            readers[i] = next;
        } else {
            overlap->refused++;
            db_read_end(readers[i]);
            readers[i] = NULL;
        }
    }
    db_read_end(readers[0]);
    db_read_end(readers[1]);
    arena_close(arena);
}

TEST(readers_that_overlap_for_ever_cannot_let_the_log_grow_for_ever)
{
    struct shelf *shelf = shelf_open(t);
    struct overlap overlap = { .shelf = shelf };
    struct thread *thread = thread_start("overlap", read_overlapping, &overlap);
    int number = 0;
    write_through(shelf, &number, 90 * 1024 * 1024);
    __atomic_store_n(&overlap.stop, true, __ATOMIC_RELAXED);
    thread_join(thread);
    CHECK(overlap.reads > 0);
    CHECK(db_stats_of(shelf->db).wal_bytes < 80 * 1024 * 1024);
}

/* Reads one snapshot after the other. */
static void read_on(void *subject)
{
    struct overlap *overlap = subject;
    struct arena *arena = arena_open(1024 * 1024);
    while (!__atomic_load_n(&overlap->stop, __ATOMIC_RELAXED)) {
        struct sql_counters_sum_row sum;
        struct db_reader *reader;
        arena_reset(arena);
        if (db_read_begin(overlap->shelf->db, arena, &reader) != OK) {
            overlap->refused++;
            continue;
        }
        overlap->reads += sql_counters_sum(reader, arena, &sum) == OK;
        db_read_end(reader);
    }
    arena_close(arena);
}

/* Writes what makes the log begin anew while a snapshot is held and others read; gives how many of
 * those were refused. */
static int refused_beside(struct shelf *shelf, struct db_reader *reader)
{
    struct overlap overlap = { .shelf = shelf };
    struct sql_counters_sum_row sum;
    int number = 0;
    CHECK_OK(sql_counters_sum(reader, shelf->t->arena, &sum));
    struct thread *thread = thread_start("reads", read_on, &overlap);
    write_through(shelf, &number, 70 * 1024 * 1024);
    __atomic_store_n(&overlap.stop, true, __ATOMIC_RELAXED);
    thread_join(thread);
    CHECK(overlap.reads > 0);
    db_read_end(reader);
    return overlap.refused;
}

TEST(nobody_waits_for_what_is_read_aside)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    CHECK_OK(db_read_begin(shelf->db, t->arena, &reader));
    CHECK(refused_beside(shelf, reader) > 0); /* one of the pool is waited for */

    struct shelf *other = shelf_open(t);
    CHECK_OK(db_read_aside(other->db, t->arena, &reader));
    CHECK_INT(refused_beside(other, reader), 0);
    CHECK_OK(db_read_aside(other->db, t->arena, &reader));
    db_read_end(reader);
}

static void end_aside_later(void *subject)
{
    sleep_until(clock_mono_us() + 50000);
    db_end_aside(subject);
}

TEST(what_is_read_aside_ends_with_the_service)
{
    struct shelf *shelf = shelf_open(t);
    struct db_reader *reader;
    struct sql_counted_to last = { INT64_MAX };
    struct sql_counted_to_row row;
    CHECK_OK(db_read_aside(shelf->db, t->arena, &reader));
    struct thread *thread = thread_start("ends", end_aside_later, shelf->db);
    CHECK_ERR(sql_counted_to(reader, t->arena, &last, &row), DB_FAILED);
    db_read_end(reader);
    thread_join(thread);
    CHECK_ERR(db_read_aside(shelf->db, t->arena, &reader), DB_UNAVAILABLE);
    add_cups(shelf, 1);
    CHECK_INT(shelf_counter(shelf, "cup"), 1); /* everybody else goes on */
}

/* Holds the write lock as a reader does that reads the index of the log again, but for longer. */
struct holder {
    sqlite3 *handle;
    int64_t until_us;
};

static void hold(void *subject)
{
    struct holder *holder = subject;
    sleep_until(holder->until_us);
    sqlite3_exec(holder->handle, "rollback", NULL, NULL, NULL);
}

TEST(a_begin_waits_for_who_holds_the_write_lock_for_a_moment_but_not_for_ever)
{
    struct shelf *shelf = shelf_open(t);
    struct holder holder;
    struct tx tx;
    CHECK(sqlite3_open(str_z(t->arena, path_of(shelf, "")), &holder.handle) == SQLITE_OK);

    CHECK(sqlite3_exec(holder.handle, "begin immediate", NULL, NULL, NULL) == SQLITE_OK);
    holder.until_us = clock_mono_us() + 20 * 1000;
    struct thread *thread = thread_start("hold", hold, &holder);
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK(clock_mono_us() >= holder.until_us);
    thread_join(thread);
    tx_rollback(&tx);

    CHECK(sqlite3_exec(holder.handle, "begin immediate", NULL, NULL, NULL) == SQLITE_OK);
    CHECK_ERR(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx), DB_UNAVAILABLE);
    CHECK(sqlite3_close(holder.handle) == SQLITE_OK);
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    tx_rollback(&tx);
}

/* ---- copies ---- */

TEST(a_backup_is_a_database_with_what_was_committed)
{
    struct shelf *shelf = shelf_open(t);
    add_cups(shelf, 9);
    str path = str_format(t->arena, "%s/copy.db", shelf->folder);
    struct tx tx;
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(put_cup(&tx, &(int64_t){ 1 }));
    CHECK_OK(db_backup(shelf->db, t->arena, path)); /* without what is not committed */
    CHECK_OK(tx_commit(&tx));
    CHECK_ERR(db_backup(shelf->db, t->arena, path), OS_FAILED);

    shelf->url = str_format(t->arena, "sqlite:%" STR_F, STR_A(path));
    shelf_reopen(shelf, true);
    CHECK_INT(shelf_counter(shelf, "cup"), 9);
}

/* ---- what a statement that fails leaves ---- */

static err put_two(struct tx *tx, void *subject)
{
    (void)subject;
    const struct sql_counter_add rows[] = { { STR("cup"), 3 }, { STR("tea"), 4 } };
    return sql_counter_add_many(tx, rows, 2, NULL);
}

TEST(a_statement_that_the_engine_refuses_leaves_the_rest_of_the_transaction)
{
    struct shelf *shelf = shelf_open(t);
    struct tx tx;
    struct sql_counter_set negative = { STR("cup"), -1 };
    CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
    CHECK_OK(put_two(&tx, NULL));
    err error = sql_counter_set(&tx, &negative, NULL);
    CHECK_ERR(error, DB_FAILED);
    CHECK(str_find(error->detail, STR("counter_set")) >= 0);
    CHECK(!tx_is_gone(&tx));
    CHECK_OK(tx_commit(&tx));
    CHECK_INT(shelf_sum(shelf), 7);
}

TEST(a_file_that_may_not_grow_is_full_and_goes_on_when_it_may)
{
    struct shelf *shelf = shelf_open(t);
    shelf_do(shelf, put_two, NULL);
    db_limit_bytes(shelf->db, db_stats_of(shelf->db).file_bytes + 256 * 1024);

    err error = OK;
    struct tx tx;
    char *bytes = arena_alloc(t->arena, 20000, 1);
    for (int i = 0; i < 100 && error == OK; i++) {
        struct sql_thing_insert row = { .id = shelf_id(i),
                                        .title = STR("a"),
                                        .body = str_of(bytes, 20000),
                                        .currency = { "EUR" } };
        CHECK_OK(tx_begin(shelf->db, t->arena, clock_wall_us(), &tx));
        error = sql_thing_insert(&tx, &row, NULL);
        if (error == OK)
            error = tx_commit(&tx);
        if (error != OK)
            tx_rollback(&tx);
    }
    CHECK_ERR(error, DB_FULL);
    CHECK_INT(shelf_sum(shelf), 7);
    db_limit_bytes(shelf->db, 0);
    shelf_do(shelf, put_two, NULL);
    CHECK_INT(shelf_sum(shelf), 14);
}

TEST(a_backup_is_the_moment_it_began_at_however_late_it_is_copied)
{
    struct shelf *shelf = shelf_open(t);
    struct db_backup *backup;
    add_cups(shelf, 9);
    str path = str_format(t->arena, "%s/copy.db", shelf->folder);
    CHECK_OK(db_backup_begin(shelf->db, t->arena, &backup));
    for (int i = 0; i < 50; i++)
        add_cups(shelf, 1);
    CHECK_OK(db_backup_run(backup, t->arena, path));
    db_backup_end(backup);
    db_backup_end(NULL);
    CHECK_INT(shelf_counter(shelf, "cup"), 59);

    shelf->url = str_format(t->arena, "sqlite:%" STR_F, STR_A(path));
    shelf_reopen(shelf, true);
    CHECK_INT(shelf_counter(shelf, "cup"), 9);
    CHECK_OK(db_check(shelf->db, t->arena));
}

TEST(a_database_with_a_page_of_noise_is_found_by_a_check)
{
    struct shelf *shelf = shelf_open(t);
    for (int i = 0; i < 20; i++)
        add_cups(shelf, i);
    CHECK_OK(db_check(shelf->db, t->arena));
    str whole;
    shelf_reopen(shelf, true);
    CHECK_OK(db_check(shelf->db, t->arena));
    CHECK_OK(disk_read(t->arena, path_of(shelf, ""), 64 << 20, &whole));
    CHECK(whole.len > 4 * 4096);
    char *noisy = arena_copy(t->arena, whole.ptr, whole.len);
    memset(noisy + 4096, 0x55, 2 * 4096); /* behind the schema */
    int fd = open(str_z(t->arena, path_of(shelf, "")), O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, noisy, whole.len, 0) == (ssize_t)whole.len);
    close(fd);
    CHECK_ERR(db_check(shelf->db, t->arena), DB_CORRUPT);
}
