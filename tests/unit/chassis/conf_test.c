#include "chassis/conf.h"
#include "tests/lib/test.h"

#include "os/disk.h"

enum { WORDS_MAX = 16 };

/* Loads from words parted by '|'; the first argument is the program's name. */
struct given {
    const char *flags, *environment;
    int operands;
    bool no_operands;
};

static char *const *words_of(struct arena *arena, const char *text, int *count)
{
    char **words = arena_array(arena, char *, WORDS_MAX);
    *count = 0;
    str rest = text ? str_of_z(text) : STR_NONE;
    while (rest.ptr) {
        CHECK(*count < WORDS_MAX - 1);
        words[(*count)++] = (char *)(uintptr_t)str_z(arena, str_cut(&rest, '|'));
    }
    return words;
}

static err load(struct test *t, struct given *given, const struct conf **out)
{
    int argc, count;
    str flags = str_format(t->arena, given->flags && *given->flags ? "duka|%s" : "duka%s",
                           given->flags ? given->flags : "");
    char *const *argv = words_of(t->arena, str_z(t->arena, flags), &argc);
    char *const *environment = words_of(t->arena, given->environment, &count);
    return conf_load(t->arena, argc, argv, environment, out,
                     given->no_operands ? NULL : &given->operands);
}

static const struct conf *load_ok(struct test *t, const char *flags, const char *environment)
{
    const struct conf *conf = NULL;
    CHECK_OK(load(t, &(struct given){ flags, environment, 0, true }, &conf));
    CHECK(conf);
    return conf;
}

static str refused(struct test *t, const char *flags, const char *environment, enum err_code code)
{
    const struct conf *conf = NULL;
    err error = load(t, &(struct given){ flags, environment, 0, true }, &conf);
    CHECK_ERR(error, code);
    CHECK(!conf);
    return error->detail;
}

static const char *file_with(struct test *t, const char *text)
{
    str path = str_format(t->arena, "%s/shop.yaml", test_folder(t));
    CHECK_OK(disk_write(t->arena, path, str_of_z(text), 0600));
    return str_z(t->arena, path);
}

static const char *joined(struct test *t, const char *a, const char *b)
{
    return str_z(t->arena, str_format(t->arena, "%s%s", a, b));
}

TEST(conf_without_anything_has_the_defaults)
{
    const struct conf *conf = load_ok(t, NULL, NULL);
    CHECK_STR(conf_text(conf, CONF_DATA_DIR), "./data");
    CHECK_INT(conf_int(conf, CONF_HOLD_TIME), 15 * 60 * 1000);
    CHECK_INT(conf_int(conf, CONF_HEAD_BYTES_MAX), 16 * 1024);
    CHECK_INT(conf_int(conf, CONF_DATABASE_DURABLE), 1);
    CHECK_STR(conf_origin(conf, CONF_DATA_DIR), "default");
    CHECK(!conf_is_set(conf, CONF_DATA_DIR));
}

TEST(conf_flag_wins_over_environment_over_file)
{
    const char *file = file_with(t, "workers: 8\nqueue_max: 100\ndata-dir: /from/file\n");
    const char *environment = joined(t, "WORKERS=9|QUEUE_MAX=200|DUKA_CONFIG=", file);
    const struct conf *conf = load_ok(t, "--workers|10", environment);

    CHECK_INT(conf_int(conf, CONF_WORKERS), 10);
    CHECK_STR(conf_origin(conf, CONF_WORKERS), "flag");
    CHECK_INT(conf_int(conf, CONF_QUEUE_MAX), 200);
    CHECK_STR(conf_origin(conf, CONF_QUEUE_MAX), "environment");
    CHECK_STR(conf_text(conf, CONF_DATA_DIR), "/from/file");
    CHECK(str_ends(conf_origin(conf, CONF_DATA_DIR), STR("shop.yaml line 3")));
    CHECK_STR(conf_path(conf), file);
    CHECK_INT(conf_path(load_ok(t, NULL, NULL)).len, 0);
    CHECK(conf_is_set(conf, CONF_DATA_DIR));
}

TEST(conf_file_by_flag_wins_over_the_one_of_the_environment)
{
    const char *file = file_with(t, "workers: 8\n");
    const struct conf *conf = load_ok(t, joined(t, "--config|", file), "DUKA_CONFIG=/nowhere");
    CHECK_INT(conf_int(conf, CONF_WORKERS), 8);
    CHECK(str_find(refused(t, NULL, "DUKA_CONFIG=/nowhere", SETTING_INVALID),
                   STR("DUKA_CONFIG: cannot open /nowhere")) == 0);
    CHECK(str_find(refused(t, "--config=/nowhere", NULL, SETTING_INVALID),
                   STR("--config: cannot open /nowhere")) == 0);
}

TEST(conf_flags_come_joined_or_apart_and_switches_alone)
{
    CHECK_STR(conf_text(load_ok(t, "--data-dir=/a=b", NULL), CONF_DATA_DIR), "/a=b");
    CHECK_STR(conf_text(load_ok(t, "--data-dir|/a", NULL), CONF_DATA_DIR), "/a");
    CHECK_STR(conf_text(load_ok(t, "--DATA_DIR|/a", NULL), CONF_DATA_DIR), "/a");
    CHECK_STR(conf_text(load_ok(t, "--users-addr=", "USERS_ADDR=:1"), CONF_USERS_ADDR), "");
    CHECK_INT(conf_int(load_ok(t, "--ops-metrics-open", NULL), CONF_OPS_METRICS_OPEN), 1);
    CHECK_INT(conf_int(load_ok(t, "--ops-metrics-open|--workers|2", NULL), CONF_WORKERS), 2);
    CHECK_INT(conf_int(load_ok(t, "--database-durable|false", NULL), CONF_DATABASE_DURABLE), 0);
    CHECK_INT(conf_int(load_ok(t, "--workers|2|--workers|3", NULL), CONF_WORKERS), 3);
}

TEST(conf_flag_without_its_value_is_refused)
{
    CHECK_STR(refused(t, "--data-dir", NULL, SETTING_INVALID), "flags: --data-dir needs a value");
    CHECK_STR(refused(t, "--data-dir|--workers|2", NULL, SETTING_INVALID),
              "flags: --data-dir needs a value");
    CHECK_STR(refused(t, "--config", NULL, SETTING_INVALID), "flags: --config needs a value");
    CHECK_STR(refused(t, "--config=", NULL, SETTING_INVALID),
              "flags: --config needs the path of a file");
    refused(t, "--database-durable=maybe", NULL, SETTING_INVALID);
}

TEST(conf_operands_follow_the_flags)
{
    const struct conf *conf;
    struct given given = { .flags = "--workers|2|users|create|--role|admin" };
    CHECK_OK(load(t, &given, &conf));
    CHECK_INT(given.operands, 3);

    given = (struct given){ .flags = "--ops-metrics-open|users" };
    CHECK_OK(load(t, &given, &conf));
    CHECK_INT(given.operands, 2);

    given = (struct given){ .flags = "--|--data-dir" };
    CHECK_OK(load(t, &given, &conf));
    CHECK_INT(given.operands, 2);

    given = (struct given){ .flags = "--workers|2" };
    CHECK_OK(load(t, &given, &conf));
    CHECK_INT(given.operands, 3);
    CHECK_STR(refused(t, "--workers|2|users", NULL, SETTING_UNKNOWN),
              "flags: nothing is known of \"users\" (a setting is given as --name value)");
}

TEST(conf_unknown_flag_or_key_is_refused_with_the_nearest_name)
{
    CHECK_STR(refused(t, "--data-dri|x", NULL, SETTING_UNKNOWN),
              "flags: there is no setting --data-dri; did you mean --data-dir?");
    CHECK_STR(refused(t, "--frobnicate", NULL, SETTING_UNKNOWN),
              "flags: there is no setting --frobnicate (--help lists them)");
    CHECK_STR(refused(t, "-w", NULL, SETTING_UNKNOWN), "flags: \"-w\" should begin with --");

    const char *file = file_with(t, "workers: 2\nlisten_adr: x\n");
    str words = refused(t, joined(t, "--config=", file), NULL, SETTING_UNKNOWN);
    CHECK(str_ends(words, STR("shop.yaml line 2: there is no setting listen_adr; did you mean "
                              "listen_addr?")));
}

TEST(conf_ignores_foreign_and_empty_variables)
{
    const struct conf *conf =
        load_ok(t, NULL, "PATH=/bin|DATA_DRI=/x|data_dir=/y|LISTEN_ADDR=|noequals|WORKERS=2");
    CHECK_STR(conf_text(conf, CONF_DATA_DIR), "./data");
    CHECK_STR(conf_text(conf, CONF_LISTEN_ADDR), "0.0.0.0:3000");
    CHECK_INT(conf_int(conf, CONF_WORKERS), 2);
}

TEST(conf_refuses_a_value_with_its_name_and_what_is_allowed)
{
    CHECK_STR(refused(t, "--workers|0", NULL, SETTING_INVALID),
              "WORKERS is \"0\" (flag); allowed is a whole number from 1 to 64");
    CHECK_STR(refused(t, NULL, "HOLD_TIME=15", SETTING_INVALID),
              "HOLD_TIME is \"15\" (environment); allowed is a duration from 1s to 30d (like "
              "250ms, 10s, 15m, 24h, 30d)");
    const char *file = file_with(t, "\nhead_bytes_max: 1KB\n");
    CHECK(str_find(refused(t, joined(t, "--config=", file), NULL, SETTING_INVALID),
                   STR("shop.yaml line 2); allowed is a number of bytes from 1KiB to 1MiB")) > 0);
    refused(t, "--shop-currency|EURO", NULL, SETTING_INVALID);
    load_ok(t, "--workers|64", "HOLD_TIME=15m");
}

TEST(conf_a_value_that_is_overruled_does_not_matter)
{
    CHECK_INT(conf_int(load_ok(t, "--workers|3", "WORKERS=many"), CONF_WORKERS), 3);
    refused(t, NULL, "WORKERS=many", SETTING_INVALID);
}

TEST(conf_file_may_not_set_a_setting_twice)
{
    const char *file = file_with(t, "data_dir: a\ndata-dir: b\n");
    CHECK(str_find(refused(t, joined(t, "--config=", file), NULL, SETTING_INVALID),
                   STR("DATA_DIR is set already")) > 0);
}

TEST(conf_names_the_files_that_it_has_read)
{
    const char *secret = file_with(t, "s3cret\n");
    const str *files;

    CHECK_INT((int)conf_files(t->arena, load_ok(t, NULL, "OPS_TOKEN=s3cret"), &files), 0);
    const struct conf *conf = load_ok(t, NULL, joined(t, "OPS_TOKEN_FILE=", secret));
    CHECK_INT((int)conf_files(t->arena, conf, &files), 1);
    CHECK_STR(files[0], secret);
    const char *file = file_with(t, "workers: 8\n");
    conf = load_ok(t, NULL, joined(t, "DUKA_CONFIG=", file));
    CHECK_INT((int)conf_files(t->arena, conf, &files), 1);
    CHECK_STR(files[0], file);
}

TEST(conf_secret_comes_from_a_file_without_its_end_of_line)
{
    const char *path = file_with(t, "s3cret\n");
    const struct conf *conf = load_ok(t, NULL, joined(t, "OPS_TOKEN_FILE=", path));
    CHECK_STR(conf_text(conf, CONF_OPS_TOKEN), "s3cret");
    CHECK(str_starts(conf_origin(conf, CONF_OPS_TOKEN), STR("environment, read from ")));
    conf = load_ok(t, joined(t, "--ops-token-file|", path), "OPS_TOKEN=other");
    CHECK_STR(conf_text(conf, CONF_OPS_TOKEN), "s3cret");
    conf = load_ok(t, "--ops-token|other", joined(t, "OPS_TOKEN_FILE=", path));
    CHECK_STR(conf_text(conf, CONF_OPS_TOKEN), "other");
}

TEST(conf_secret_given_twice_in_one_place_is_refused)
{
    CHECK_STR(refused(t, NULL, "OPS_TOKEN=s3cret|OPS_TOKEN_FILE=/x", SETTING_INVALID),
              "environment: OPS_TOKEN and OPS_TOKEN_FILE are both set; give one");
    refused(t, "--ops-token-file|/x|--ops-token|s3cret", NULL, SETTING_INVALID);
}

TEST(conf_never_tells_a_secret)
{
    char secret[502] = "OPS_TOKEN=";
    memset(secret + 10, 'S', 491);
    str words = refused(t, NULL, secret, SETTING_INVALID);
    CHECK(str_find(words, STR("SSS")) < 0);
    CHECK(str_find(words, STR("OPS_TOKEN (environment) has a value of 491 bytes")) == 0);

    words = refused(t, NULL, "OPS_TOKEN_FILE=/nowhere/at/all", SETTING_INVALID);
    CHECK_STR(words, "OPS_TOKEN_FILE (environment): cannot open /nowhere/at/all: No such file or "
                     "directory");
    words = refused(t, NULL, joined(t, "OPS_TOKEN_FILE=", file_with(t, secret)), SETTING_INVALID);
    CHECK(str_find(words, STR("SSS")) < 0);
}

TEST(conf_long_values_are_cut_in_the_error)
{
    char value[400] = "WORKERS=";
    memset(value + 8, '9', 300);
    CHECK(refused(t, NULL, value, SETTING_INVALID).len < 250);
}

TEST(conf_choice_knows_the_words_and_names_them)
{
    static const char *const words[] = { "debug", "info", "warn", "error" };
    int level = -1;
    const struct conf *conf = load_ok(t, "--log-level|Warn", NULL);
    CHECK_OK(conf_choice(t->arena, conf, CONF_LOG_LEVEL, words, 4, &level));
    CHECK_INT(level, 2);

    conf = load_ok(t, NULL, "LOG_LEVEL=loud");
    err error = conf_choice(t->arena, conf, CONF_LOG_LEVEL, words, 4, &level);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK_STR(error->detail,
              "LOG_LEVEL is \"loud\" (environment); allowed is debug, info, warn or error");
    CHECK_INT(level, 2);
}

TEST(conf_int_of_a_text_is_a_broken_invariant)
{
    const struct conf *conf = load_ok(t, NULL, NULL);
    CHECK_PANICS((void)conf_int(conf, CONF_DATA_DIR));
}
