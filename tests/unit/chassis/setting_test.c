#include "chassis/setting.h"
#include "tests/lib/test.h"

static bool parse(enum setting_type type, const char *text, int64_t min, int64_t max, int64_t *out)
{
    struct setting_spec spec = { "X", type, "", min, max, "" };
    return setting_parse(&spec, str_of_z(text), out);
}

TEST(setting_spec_gives_what_the_table_says)
{
    const struct setting_spec *spec = setting_spec(CONF_HEAD_BYTES_MAX);
    CHECK_STR(spec->name, "HEAD_BYTES_MAX");
    CHECK_INT(spec->type, SETTING_BYTES);
    CHECK_STR(spec->standard, "16KiB");
    CHECK_INT(spec->min, 1024);
}

TEST(setting_every_default_is_allowed_and_every_row_sound)
{
    for (int i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting_spec *spec = setting_spec((enum setting)i);
        int64_t number = 0;
        if (!setting_parse(spec, str_of_z(spec->standard), &number))
            FAIL("the default of %s is not allowed", spec->name);
        CHECK(spec->min <= spec->max);
        CHECK(spec->words[0] != '\0');
    }
}

TEST(setting_find_takes_either_case_and_either_dash)
{
    bool is_file = true;
    CHECK_INT(setting_find(STR("DATA_DIR"), &is_file), CONF_DATA_DIR);
    CHECK(!is_file);
    CHECK_INT(setting_find(STR("data-dir"), &is_file), CONF_DATA_DIR);
    CHECK_INT(setting_find(STR("data_dir"), &is_file), CONF_DATA_DIR);
    CHECK_INT(setting_find(STR("DATA DIR"), &is_file), SETTINGS_COUNT);
    CHECK_INT(setting_find(STR("DATA_DIRS"), &is_file), SETTINGS_COUNT);
    CHECK_INT(setting_find(STR(""), &is_file), SETTINGS_COUNT);
}

TEST(setting_find_takes_a_file_for_a_secret_only)
{
    bool is_file = false;
    CHECK_INT(setting_find(STR("ops-token-file"), &is_file), CONF_OPS_TOKEN);
    CHECK(is_file);
    CHECK_INT(setting_find(STR("OPS_TOKEN"), &is_file), CONF_OPS_TOKEN);
    CHECK(!is_file);
    CHECK_INT(setting_find(STR("DATA_DIR_FILE"), &is_file), SETTINGS_COUNT);
    CHECK_INT(setting_find(STR("ROUTES_FILE"), &is_file), CONF_ROUTES_FILE);
    CHECK(!is_file);
    CHECK_INT(setting_find(STR("_FILE"), &is_file), SETTINGS_COUNT);
}

TEST(setting_nearest_forgives_a_slip_but_does_not_guess)
{
    CHECK_INT(setting_nearest(STR("data-dri")), CONF_DATA_DIR);
    CHECK_INT(setting_nearest(STR("lissten_addr")), CONF_LISTEN_ADDR);
    CHECK_INT(setting_nearest(STR("WORKER")), CONF_WORKERS);
    CHECK_INT(setting_nearest(STR("issuer")), CONF_TOKEN_ISSUER);
    CHECK_INT(setting_nearest(STR("colour-of-the-sea")), SETTINGS_COUNT);
    CHECK_INT(setting_nearest(STR("")), SETTINGS_COUNT);
    char long_name[300];
    memset(long_name, 'a', sizeof long_name);
    CHECK_INT(setting_nearest(str_of(long_name, sizeof long_name)), SETTINGS_COUNT);
}

TEST(setting_names_are_spelled_for_flags_and_files)
{
    CHECK_STR(setting_flag(t->arena, CONF_HEAD_BYTES_MAX), "head-bytes-max");
    CHECK_STR(setting_key(t->arena, CONF_HEAD_BYTES_MAX), "head_bytes_max");
}

TEST(setting_parse_reads_numbers_inside_their_bounds)
{
    int64_t n = 0;
    CHECK(parse(SETTING_INT, "8", 8, 64, &n));
    CHECK_INT(n, 8);
    CHECK(parse(SETTING_INT, " 64 ", 8, 64, &n));
    CHECK_INT(n, 64);
    CHECK(!parse(SETTING_INT, "7", 8, 64, &n));
    CHECK(!parse(SETTING_INT, "65", 8, 64, &n));
    CHECK(!parse(SETTING_INT, "", 0, 64, &n));
    CHECK(!parse(SETTING_INT, "8.5", 0, 64, &n));
    CHECK(!parse(SETTING_INT, "1e1", 0, 64, &n));
    CHECK(!parse(SETTING_INT, "0x10", 0, 64, &n));
    CHECK(!parse(SETTING_INT, "99999999999999999999", 0, INT64_MAX, &n));
}

TEST(setting_parse_reads_durations_with_their_unit)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = { { "250ms", 250 },      { "10s", 10000 }, { "15m", 900000 }, { "24h", 86400000 },
                 { "30d", 2592000000 }, { "0", 0 },       { "0s", 0 },       { "10S", 10000 } };
    int64_t n = 0;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK(parse(SETTING_DURATION_MS, good[i].text, 0, INT64_MAX, &n));
        CHECK_INT(n, good[i].ms);
    }
    static const char *const bad[] = { "10",   "s",     "",      "1.5s", "-1s",
                                       "10 s", "10sec", "1h30m", "10ss", "9223372036854775807d" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parse(SETTING_DURATION_MS, bad[i], 0, INT64_MAX, &n))
            FAIL("\"%s\" was taken for a duration", bad[i]);
    CHECK(!parse(SETTING_DURATION_MS, "99ms", 100, 1000, &n));
    CHECK(!parse(SETTING_DURATION_MS, "2s", 100, 1000, &n));
}

TEST(setting_parse_reads_sizes)
{
    int64_t n = 0;
    CHECK(parse(SETTING_BYTES, "500", 0, INT64_MAX, &n));
    CHECK_INT(n, 500);
    CHECK(parse(SETTING_BYTES, "64KiB", 0, INT64_MAX, &n));
    CHECK_INT(n, 65536);
    CHECK(parse(SETTING_BYTES, "16MiB", 0, INT64_MAX, &n));
    CHECK_INT(n, 16777216);
    CHECK(parse(SETTING_BYTES, "2gib", 0, INT64_MAX, &n));
    CHECK_INT(n, INT64_C(2147483648));
    CHECK(!parse(SETTING_BYTES, "64KB", 0, INT64_MAX, &n));
    CHECK(!parse(SETTING_BYTES, "64k", 0, INT64_MAX, &n));
    CHECK(!parse(SETTING_BYTES, "KiB", 0, INT64_MAX, &n));
    CHECK(!parse(SETTING_BYTES, "9223372036854775807KiB", 0, INT64_MAX, &n));
    CHECK(!parse(SETTING_BYTES, "1023", 1024, 2048, &n));
}

TEST(setting_parse_reads_truth_in_its_usual_words)
{
    int64_t n = 7;
    CHECK(parse(SETTING_BOOL, "true", 0, 1, &n));
    CHECK_INT(n, 1);
    CHECK(parse(SETTING_BOOL, "Off", 0, 1, &n));
    CHECK_INT(n, 0);
    CHECK(!parse(SETTING_BOOL, "2", 0, 1, &n));
    CHECK(!parse(SETTING_BOOL, "", 0, 1, &n));
    CHECK(!parse(SETTING_BOOL, "truely", 0, 1, &n));
}

TEST(setting_parse_takes_texts_of_their_length_on_one_line)
{
    int64_t n = 0;
    CHECK(parse(SETTING_TEXT, "EUR", 3, 3, &n));
    CHECK(!parse(SETTING_TEXT, "EURO", 3, 3, &n));
    CHECK(!parse(SETTING_TEXT, "EU", 3, 3, &n));
    CHECK(!parse(SETTING_TEXT, "a\nb", 0, 10, &n));
    CHECK(parse(SETTING_TEXT, "a\xc3\xbc", 0, 10, &n));
    CHECK(!parse(SETTING_TEXT, "a\xfc", 0, 10, &n));
    CHECK(!parse(SETTING_TEXT, "a\xc2\x9d", 0, 10, &n)); /* a control character beyond ASCII */
    CHECK(parse(SETTING_TEXT, "a\xc3\x9d", 0, 10, &n));
    CHECK(!parse(SETTING_TEXT, "a\xef\xbf\xbf", 0, 10, &n));
    CHECK(parse(SETTING_TEXT, "a\xef\xbf\xbd", 0, 10, &n));
    CHECK(parse(SETTING_SECRET, "a\nb", 0, 10, &n));
    CHECK(!parse(SETTING_SECRET, "a\nb", 0, 2, &n));

    struct setting_spec spec = { "X", SETTING_SECRET, "", 0, 10, "" };
    CHECK(!setting_parse(&spec, str_of("a\0b", 3), &n));
}

TEST(setting_allowed_ends_a_sentence)
{
    CHECK_STR(setting_allowed(t->arena, setting_spec(CONF_PASSWORD_LENGTH_MIN)),
              "a whole number from 8 to 64");
    CHECK_STR(setting_allowed(t->arena, setting_spec(CONF_HEAD_TIMEOUT)),
              "a duration from 100ms to 10m (like 250ms, 10s, 15m, 24h, 30d)");
    CHECK_STR(setting_allowed(t->arena, setting_spec(CONF_HEAD_BYTES_MAX)),
              "a number of bytes from 1KiB to 1MiB (like 500, 64KiB, 16MiB)");
    CHECK_STR(setting_allowed(t->arena, setting_spec(CONF_SHOP_CURRENCY)),
              "a text of 3 bytes, on one line of UTF-8");
    CHECK_STR(setting_allowed(t->arena, setting_spec(CONF_OPS_TOKEN)),
              "a text of at most 400 bytes");
    CHECK_STR(setting_allowed(t->arena, setting_spec(CONF_DATABASE_DURABLE)), "true or false");
}

TEST(setting_durations_and_sizes_are_shown_as_they_are_written)
{
    CHECK_STR(duration_text(t->arena, 90000), "90s");
    CHECK_STR(duration_text(t->arena, 86400000), "1d");
    CHECK_STR(duration_text(t->arena, 250), "250ms");
    CHECK_STR(duration_text(t->arena, 0), "0");
    CHECK_STR(bytes_text(t->arena, 65536), "64KiB");
    CHECK_STR(bytes_text(t->arena, 1000), "1000");
}
