#include "chassis/conf.h"
#include "chassis/setting.h"
#include "tests/lib/test.h"

#include "os/disk.h"

static const struct conf *load(struct test *t, char *const *argv, int argc)
{
    char *environment[] = { NULL };
    const struct conf *conf = NULL;
    CHECK_OK(conf_load(t->arena, argc, argv, environment, &conf, NULL));
    return conf;
}

static bool has(str text, const char *part) { return str_find(text, str_of_z(part)) >= 0; }

TEST(help_names_every_setting_with_its_words)
{
    str help = conf_help(t->arena, STR("duka"), STR("the whole shop in one process"));
    CHECK(str_starts(help, STR("duka: the whole shop in one process\n")));
    for (int i = 0; i < SETTINGS_COUNT; i++) {
        str flag =
            str_format(t->arena, "\n  --%.*s ", STR_A(setting_flag(t->arena, (enum setting)i)));
        if (str_find(help, flag) < 0)
            FAIL("%.*s is not in the help", STR_A(flag));
    }
    CHECK(has(help, "How long an unpaid order keeps its stock. (1s to 30d, default\n"));
    CHECK(has(help, "Threads that run requests. (1 to 64, default 4)\n"));
    CHECK(has(help, "\nPayment\n"));
}

TEST(help_lines_fit_and_hold_no_control_characters)
{
    str rest = conf_help(t->arena, STR("duka"), STR("the whole shop in one process"));
    for (str line; rest.ptr && (line = str_cut(&rest, '\n'), true);) {
        if (line.len > 100)
            FAIL("%zu columns: %.*s", line.len, STR_A(line));
        CHECK(line.len == 0 || line.ptr[line.len - 1] != ' ');
        for (size_t i = 0; i < line.len; i++)
            CHECK(line.ptr[i] >= 0x20);
    }
}

TEST(help_tells_no_default_of_a_secret)
{
    str help = conf_help(t->arena, STR("duka"), STR("x"));
    CHECK(has(help, "--payment-simulator-secret"));
    CHECK(has(help, "provider. (secret,"));
    CHECK(!has(help,
               str_z(t->arena, str_format(t->arena, "default %s",
                                          setting_spec(CONF_PAYMENT_SIMULATOR_SECRET)->standard))));
}

TEST(show_tells_values_and_origins_and_hides_secrets)
{
    char *argv[] = { "duka", "--ops-token", "s3cret", "--workers", "2", "--data-dir", "/a \"b\"" };
    str shown = conf_show(t->arena, load(t, argv, 7));
    CHECK(!has(shown, "s3cret"));
    CHECK(has(shown, "# ops_token: (hidden) "));
    CHECK(has(shown, "\nworkers: 2 "));
    CHECK(has(shown, " # flag\n"));
    CHECK(has(shown, "\nhold_time: 15m "));
    CHECK(has(shown, "# default\n"));
    CHECK(has(shown, "data_dir: \"/a \\\"b\\\"\" "));
    char *plain[] = { "duka" };
    CHECK(has(conf_show(t->arena, load(t, plain, 1)), "# ops_token: (not set) "));
}

TEST(show_is_a_file_of_settings_itself)
{
    char *argv[] = { "duka", "--workers", "2", "--data-dir", "/a \"b\"" };
    str path = str_format(t->arena, "%s/shop.yaml", test_folder(t));
    CHECK_OK(disk_write(t->arena, path, conf_show(t->arena, load(t, argv, 5)), 0600));

    char *again[] = { "duka", "--config", (char *)(uintptr_t)str_z(t->arena, path) };
    const struct conf *conf = load(t, again, 3);
    CHECK_INT(conf_int(conf, CONF_WORKERS), 2);
    CHECK_STR(conf_text(conf, CONF_DATA_DIR), "/a \"b\"");
    CHECK_STR(conf_text(conf, CONF_KEYS_DIR), "");
    CHECK_INT(conf_int(conf, CONF_HOLD_TIME), 900000);
}
