#include "os/disk_stream.h"

#include "os/disk.h"
#include "tests/lib/test.h"

static str path_of(struct test *t, const char *name)
{
    return str_format(t->arena, "%s/%s", test_folder(t), name);
}

TEST(a_file_is_written_and_read_piece_by_piece)
{
    str path = path_of(t, "file");
    struct disk_stream *stream;
    CHECK_OK(disk_stream_write(t->arena, path, false, &stream));
    for (int i = 0; i < 100; i++)
        CHECK_OK(disk_stream_put(stream, STR("0123456789")));
    CHECK_OK(disk_stream_sync(stream));
    CHECK_INT(disk_stream_bytes(stream), 1000);
    disk_stream_close(stream);
    CHECK_INT(disk_bytes(t->arena, path), 1000);

    char room[300];
    size_t len, all = 0;
    CHECK_OK(disk_stream_read(t->arena, path, &stream));
    do {
        CHECK_OK(disk_stream_take(stream, room, sizeof room, &len));
        all += len;
    } while (len == sizeof room);
    CHECK_INT(all, 1000);
    CHECK(memcmp(room, "0123456789", 10) == 0);
    disk_stream_close(stream);
}

TEST(a_file_that_is_there_is_replaced_only_where_that_is_meant)
{
    str path = path_of(t, "file");
    struct disk_stream *stream;
    CHECK_OK(disk_write(t->arena, path, STR("old and long"), 0600));
    CHECK_ERR(disk_stream_write(t->arena, path, false, &stream), OS_FAILED);
    CHECK_OK(disk_stream_write(t->arena, path, true, &stream));
    CHECK_OK(disk_stream_put(stream, STR("new")));
    disk_stream_close(stream);
    CHECK_INT(disk_bytes(t->arena, path), 3);

    err error = disk_stream_read(t->arena, path_of(t, "none"), &stream);
    CHECK_ERR(error, OS_FAILED);
    CHECK(str_find(error->detail, STR("none")) >= 0);
    CHECK_INT(disk_bytes(t->arena, path_of(t, "none")), 0);
    disk_stream_close(NULL);
}

TEST(a_renamed_file_takes_the_place_of_the_other)
{
    str from = path_of(t, "from"), to = path_of(t, "to"), content;
    CHECK_OK(disk_write(t->arena, from, STR("new"), 0600));
    CHECK_OK(disk_write(t->arena, to, STR("old"), 0600));
    CHECK_OK(disk_rename(t->arena, from, to));
    CHECK_OK(disk_read(t->arena, to, 100, &content));
    CHECK_STR(content, "new");
    CHECK(!disk_exists(t->arena, from));
    CHECK_ERR(disk_rename(t->arena, from, to), OS_FAILED);
}
