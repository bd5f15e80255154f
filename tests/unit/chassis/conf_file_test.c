#include "chassis/conf_file.h"
#include "tests/lib/test.h"

#include "os/disk.h"

static str write_file(struct test *t, const char *text)
{
    str path = str_format(t->arena, "%s/shop.yaml", test_folder(t));
    CHECK_OK(disk_write(t->arena, path, str_of_z(text), 0600));
    return path;
}

static size_t read_text(struct test *t, const char *text, const struct conf_entry **entries)
{
    size_t count = 99;
    CHECK_OK(conf_file_read(t->arena, write_file(t, text), entries, &count));
    return count;
}

static void check_refused(struct test *t, const char *text, const char *words)
{
    const struct conf_entry *entries;
    size_t count;
    err error = conf_file_read(t->arena, write_file(t, text), &entries, &count);
    CHECK_ERR(error, SETTING_INVALID);
    if (str_find(error->detail, str_of_z(words)) < 0)
        FAIL("\"%.*s\" does not say \"%s\"", STR_A(error->detail), words);
}

TEST(conf_file_gives_names_values_and_lines)
{
    const struct conf_entry *entries;
    size_t count = read_text(t,
                             "# my shop\ndata_dir: /srv/shop\n\nworkers: 8\n"
                             "listen_addr: \"[::]:3000\"\nops_token: 'a: b'\nkeys_dir:\n",
                             &entries);
    CHECK_INT(count, 5);
    CHECK_STR(entries[0].key, "data_dir");
    CHECK_STR(entries[0].value, "/srv/shop");
    CHECK_INT(entries[0].line, 2);
    CHECK_STR(entries[1].value, "8");
    CHECK_INT(entries[1].line, 4);
    CHECK_STR(entries[2].value, "[::]:3000");
    CHECK_STR(entries[3].value, "a: b");
    CHECK_STR(entries[4].value, "");
    CHECK(entries[4].value.ptr);
}

TEST(conf_file_may_be_empty)
{
    const struct conf_entry *entries;
    CHECK_INT(read_text(t, "", &entries), 0);
    CHECK_INT(read_text(t, "# nothing yet\n", &entries), 0);
    CHECK_INT(read_text(t, "---\n", &entries), 0);
    CHECK_INT(read_text(t, "{}\n", &entries), 0);
}

TEST(conf_file_refuses_what_is_no_map_of_single_values)
{
    check_refused(t, "- a\n- b\n", "line 1: expected a map");
    check_refused(t, "just words\n", "line 1: expected a map");
    check_refused(t, "workers: 4\ntrusted_proxies: [10.0.0.0/8]\n", "line 2: expected a single");
    check_refused(t, "orders:\n  workers: 4\n", "line 2: expected a single");
    check_refused(t, "a: &x 1\nb: *x\n", "line 2: expected a single");
    check_refused(t, "? [a]\n: 1\n", "expected the name");
    check_refused(t, "a: 1\n---\nb: 2\n", "expected one document");
}

TEST(conf_file_names_file_and_line_of_broken_yaml)
{
    check_refused(t, "workers: 4\nlisten_addr: \"open\n", "shop.yaml line ");
    check_refused(t, "workers: 4\n\tx: 1\n", "line 2: ");
    check_refused(t, "a: \x01\n", "control characters");
    check_refused(t, "a: \xff\xfe\n", "UTF-8");
}

TEST(conf_file_refuses_too_many_settings)
{
    struct text text = text_init(t->arena, 20000);
    for (int i = 0; i < 1000; i++)
        text_add_format(&text, "k%d: 1\n", i);
    const struct conf_entry *entries;
    text_add_byte(&text, '\0');
    CHECK_INT(read_text(t, text.ptr, &entries), 1000);
    text.len--;
    text_add(&text, STR("more: 1\n"));
    text_add_byte(&text, '\0');
    check_refused(t, text.ptr, "line 1001: too many");
}

TEST(conf_file_that_is_not_there_is_told)
{
    const struct conf_entry *entries;
    size_t count;
    str path = str_format(t->arena, "%s/none.yaml", test_folder(t));
    CHECK_ERR(conf_file_read(t->arena, path, &entries, &count), OS_FAILED);
}
