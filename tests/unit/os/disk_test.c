#include "os/clock.h"
#include "os/disk.h"
#include "os/sync.h"
#include "tests/lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static str path_in(struct test *t, const char *folder, const char *name)
{
    return str_format(t->arena, "%s/%s", folder, name);
}

/* Tells whether an error names all three. */
static bool names(err error, str a, str b, str c)
{
    return str_find(error->detail, a) >= 0 && str_find(error->detail, b) >= 0 &&
           str_find(error->detail, c) >= 0;
}

static unsigned mode_of(struct test *t, str path)
{
    struct stat info;
    CHECK(stat(str_z(t->arena, path), &info) == 0);
    return info.st_mode & 07777;
}

TEST(what_is_written_is_read_back)
{
    const char *folder = test_folder(t);
    static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 300000 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *bytes = arena_array(t->arena, char, sizes[i] + 1);
        for (size_t j = 0; j < sizes[i]; j++)
            bytes[j] = (char)(j * 31);
        str path = path_in(t, folder, "file"), back;
        CHECK_OK(disk_write(t->arena, path, str_of(bytes, sizes[i]), 0600));
        CHECK_OK(disk_read(t->arena, path, 300000, &back));
        CHECK_INT(back.len, sizes[i]);
        CHECK_BYTES(back.ptr, bytes, sizes[i]);
    }
}

TEST(a_file_without_a_size_is_read_whole)
{
    str text;
    CHECK_OK(disk_read(t->arena, STR("/proc/self/status"), 1 << 20, &text));
    CHECK(str_starts(text, STR("Name:")));
}

TEST(a_file_that_is_too_long_is_refused)
{
    str path = path_in(t, test_folder(t), "file"), back;
    CHECK_OK(disk_write(t->arena, path, STR("12345"), 0600));
    CHECK_OK(disk_read(t->arena, path, 5, &back));
    err error = disk_read(t->arena, path, 4, &back);
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, path, STR("longer"), STR("4 bytes")));
    CHECK_ERR(disk_read(t->arena, STR("/proc/self/status"), 10, &back), OS_FAILED);
}

TEST(a_failure_names_the_step_the_path_and_the_reason)
{
    const char *folder = test_folder(t);
    str missing = path_in(t, folder, "missing"), back, *list;
    size_t count;

    err error = disk_read(t->arena, missing, 10, &back);
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, STR("open"), missing, STR("No such file or directory")));

    error = disk_read(t->arena, str_of_z(folder), 10, &back);
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, STR("read"), str_of_z(folder), STR("Is a directory")));

    error = disk_list(t->arena, missing, &list, &count);
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, STR("open"), missing, STR("No such file or directory")));

    str below = path_in(t, folder, "missing/file");
    error = disk_write(t->arena, below, STR("x"), 0600);
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, STR("make"), below, STR("No such file or directory")));

    error = disk_remove(t->arena, str_of_z(folder));
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, STR("remove"), str_of_z(folder), STR("directory")));
}

TEST(a_file_has_the_mode_that_was_asked_for)
{
    str path = path_in(t, test_folder(t), "file");
    mode_t mask = umask(077);
    err error = disk_write(t->arena, path, STR("x"), 0644);
    umask(mask);
    CHECK_OK(error);
    CHECK_INT(mode_of(t, path), 0644);
    CHECK_OK(disk_write(t->arena, path, STR("y"), 0400));
    CHECK_INT(mode_of(t, path), 0400);
}

TEST(writing_replaces_the_file_and_leaves_nothing_beside_it)
{
    const char *folder = test_folder(t);
    str path = path_in(t, folder, "file"), back, *list;
    CHECK_OK(disk_write(t->arena, path, STR("old"), 0600));
    int reader = open(str_z(t->arena, path), O_RDONLY | O_CLOEXEC);
    CHECK_OK(disk_write(t->arena, path, STR("new!"), 0600));

    /* Who had it open has the old one still, whole. */
    char seen[8];
    ssize_t got = read(reader, seen, sizeof seen);
    close(reader);
    CHECK_INT(got, 3);
    CHECK_OK(disk_read(t->arena, path, 10, &back));
    CHECK_STR(back, "new!");
    size_t count;
    CHECK_OK(disk_list(t->arena, str_of_z(folder), &list, &count));
    CHECK_INT(count, 1);
}

TEST(a_write_that_fails_leaves_nothing_behind)
{
    const char *folder = test_folder(t);
    str *list;
    size_t count;
    CHECK_OK(disk_make_dirs(t->arena, path_in(t, folder, "taken")));
    err error = disk_write(t->arena, path_in(t, folder, "taken"), STR("x"), 0600);
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, STR("rename"), STR("taken"), STR("directory")));
    CHECK_OK(disk_list(t->arena, str_of_z(folder), &list, &count));
    CHECK_INT(count, 1);
}

TEST(a_log_on_a_full_disk_is_given_up)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        SKIP("no /dev/full");
    disk_write_fd(fd, STR("nobody to tell"));
    close(fd);
}

TEST(a_path_without_a_folder_lies_in_the_working_directory)
{
    const char *folder = test_folder(t);
    char before[4096];
    CHECK(getcwd(before, sizeof before) && chdir(folder) == 0);
    err written = disk_write(t->arena, STR("plain"), STR("x"), 0600);
    err made = disk_make_dirs(t->arena, STR("a/b"));
    bool both = disk_exists(t->arena, path_in(t, folder, "plain")) &&
                disk_exists(t->arena, path_in(t, folder, "a/b"));
    err removed = disk_remove(t->arena, STR("plain"));
    CHECK(chdir(before) == 0);
    CHECK_OK(written);
    CHECK_OK(made);
    CHECK_OK(removed);
    CHECK(both);
}

TEST(directories_are_made_with_their_parents)
{
    const char *folder = test_folder(t);
    CHECK_OK(disk_make_dirs(t->arena, path_in(t, folder, "a//b/c/")));
    CHECK(disk_exists(t->arena, path_in(t, folder, "a/b/c")));
    CHECK_INT(mode_of(t, path_in(t, folder, "a/b")), 0700);
    CHECK_OK(disk_make_dirs(t->arena, path_in(t, folder, "a/b/c")));
    CHECK_OK(disk_make_dirs(t->arena, STR("/")));

    CHECK_OK(disk_write(t->arena, path_in(t, folder, "file"), STR("x"), 0600));
    err error = disk_make_dirs(t->arena, path_in(t, folder, "file/below"));
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, STR("make the directory"), STR("file"), STR("Not a directory")));
}

TEST(removing_twice_is_no_error)
{
    str path = path_in(t, test_folder(t), "file");
    CHECK_OK(disk_write(t->arena, path, STR("x"), 0600));
    CHECK(disk_exists(t->arena, path));
    CHECK_OK(disk_remove(t->arena, path));
    CHECK(!disk_exists(t->arena, path));
    CHECK_OK(disk_remove(t->arena, path));
}

TEST(names_are_sorted_by_bytes)
{
    const char *folder = test_folder(t);
    static const char *const made[] = { "b", "a", "B", ".hidden", "a-long-name.pem", "\xc3\xa4" };
    for (size_t i = 0; i < 6; i++)
        CHECK_OK(disk_write(t->arena, path_in(t, folder, made[i]), STR(""), 0600));
    str *list;
    size_t count;
    CHECK_OK(disk_list(t->arena, str_of_z(folder), &list, &count));
    CHECK_INT(count, 6);
    static const char *const sorted[] = { ".hidden", "B", "a", "a-long-name.pem", "b", "\xc3\xa4" };
    for (size_t i = 0; i < 6; i++)
        CHECK_STR(list[i], sorted[i]);
}

TEST(an_empty_directory_has_no_names)
{
    str *list;
    size_t count = 99;
    CHECK_OK(disk_list(t->arena, str_of_z(test_folder(t)), &list, &count));
    CHECK_INT(count, 0);
}

TEST(a_second_holder_of_a_lock_hears_who_has_it)
{
    str path = path_in(t, test_folder(t), "lock");
    struct disk_lock *lock, *second;
    CHECK_OK(disk_lock_take(t->arena, path, &lock));
    err error = disk_lock_take(t->arena, path, &second);
    CHECK_ERR(error, DB_LOCKED);
    str pid = str_format(t->arena, "process %ld", (long)getpid());
    CHECK(names(error, path, pid, STR("holds")));

    disk_lock_drop(lock);
    CHECK(disk_exists(t->arena, path));
    CHECK_OK(disk_lock_take(t->arena, path, &lock));
    disk_lock_drop(lock);
    disk_lock_drop(NULL);
}

TEST(a_lock_of_another_process_ends_with_it)
{
    str path = path_in(t, test_folder(t), "lock");
    struct disk_lock *lock;
    int ready[2], leave[2];
    char byte = 0;
    CHECK(pipe(ready) == 0 && pipe(leave) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(leave[1]);
        bool taken = disk_lock_take(t->arena, path, &lock) == OK;
        _exit(write(ready[1], &byte, taken) == 1 && read(leave[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ready[1]);
    close(leave[0]);
    CHECK_INT(read(ready[0], &byte, 1), 1);
    err error = disk_lock_take(t->arena, path, &lock);
    close(leave[1]); /* the child leaves without dropping the lock */
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(ready[0]);

    CHECK_ERR(error, DB_LOCKED);
    CHECK(names(error, str_format(t->arena, "process %ld ", (long)child), path, STR("holds")));
    CHECK_OK(disk_lock_take(t->arena, path, &lock));
    disk_lock_drop(lock);
}

TEST(a_holder_that_has_not_signed_yet_is_another_process)
{
    str path = path_in(t, test_folder(t), "lock");
    struct disk_lock *lock, *second;
    CHECK_OK(disk_lock_take(t->arena, path, &lock));
    CHECK(truncate(str_z(t->arena, path), 0) == 0);
    err error = disk_lock_take(t->arena, path, &second);
    disk_lock_drop(lock);
    CHECK_ERR(error, DB_LOCKED);
    CHECK(names(error, path, STR("another process"), STR("holds")));
}

TEST(a_lock_that_cannot_be_made_fails)
{
    struct disk_lock *lock;
    str path = path_in(t, test_folder(t), "missing/lock");
    err error = disk_lock_take(t->arena, path, &lock);
    CHECK_ERR(error, OS_FAILED);
    CHECK(names(error, STR("open"), path, STR("No such file")));
}

TEST(the_time_of_a_change_is_seen_through_a_link)
{
    const char *folder = test_folder(t);
    str path = path_in(t, folder, "file"), link = path_in(t, folder, "link");
    CHECK_INT(disk_changed_us(t->arena, path), 0);
    CHECK_OK(disk_write(t->arena, path, STR("x"), 0600));
    CHECK(symlink("file", str_z(t->arena, link)) == 0);

    int64_t changed = disk_changed_us(t->arena, link);
    CHECK(changed > clock_wall_us() - 60 * TIME_SECOND && changed < clock_wall_us() + TIME_SECOND);
    struct timespec past[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000, .tv_nsec = 5000 } };
    CHECK(utimensat(AT_FDCWD, str_z(t->arena, path), past, 0) == 0);
    CHECK_INT(disk_changed_us(t->arena, link), INT64_C(1000000) * TIME_SECOND + 5);
}

TEST(a_path_leads_where_its_links_lead)
{
    const char *folder = test_folder(t);
    str path = path_in(t, folder, "file"), link = path_in(t, folder, "link");
    CHECK_STR(disk_real(t->arena, link), str_z(t->arena, link)); /* nowhere: as it was given */
    CHECK_OK(disk_write(t->arena, path, STR("x"), 0600));
    CHECK(symlink("file", str_z(t->arena, link)) == 0);
    CHECK(str_equal(disk_real(t->arena, link), disk_real(t->arena, path)));
    CHECK(str_ends(disk_real(t->arena, link), STR("/file")));
}

struct pipe_end {
    int fd;
    size_t got;
};

static void read_slowly(void *subject)
{
    struct pipe_end *end = subject;
    char bytes[4096];
    for (ssize_t got; (got = read(end->fd, bytes, sizeof bytes)) > 0;) {
        end->got += (size_t)got;
        sleep_until(clock_mono_us() + 500);
    }
}

TEST(all_bytes_reach_a_pipe_whose_reader_is_slow)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    struct pipe_end end = { .fd = ends[0] };
    struct thread *reader = thread_start("reads", &read_slowly, &end);
    disk_write_fd(ends[1], str_of(arena_array(t->arena, char, 200000), 200000));
    close(ends[1]);
    thread_join(reader);
    close(ends[0]);
    CHECK_INT(end.got, 200000);
}

TEST(a_pipe_that_stays_full_is_given_up)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    int64_t before = clock_mono_us();
    disk_write_fd(ends[1], str_of(arena_array(t->arena, char, 200000), 200000));
    CHECK(clock_mono_us() - before < 5 * TIME_SECOND);
    close(ends[0]);
    close(ends[1]);
}
