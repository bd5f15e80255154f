/* What people read of the settings: the text of --help, and the settings as they stand. */
#include "base/arena.h"
#include "base/json.h"
#include "chassis/setting.h"

enum { HELP_COLUMNS = 96, HELP_WORDS_AT = 31, SHOW_ORIGIN_AT = 44 };

/* Settings as the table has them, parted by what they are about: each group begins at one. */
static const struct group {
    enum setting first;
    const char *title;
} groups[] = {
    { CONF_DATA_DIR, "Data and addresses" },  { CONF_DATABASE_URL_USERS, "Databases" },
    { CONF_KEYS_DIR, "Accounts and tokens" }, { CONF_PASSWORD_LANES, "Threads" },
    { CONF_SHOP_CURRENCY, "The shop" },       { CONF_PAYMENT_LANES, "Payment" },
    { CONF_ROUTES_FILE, "The gateway" },      { CONF_HEAD_BYTES_MAX, "Limits of the HTTP servers" },
    { CONF_DRAIN_TIME, "Running" },
};
enum { GROUPS_COUNT = sizeof(groups) / sizeof(groups[0]) };

static const char *title_at(enum setting setting)
{
    for (int i = 0; i < GROUPS_COUNT; i++)
        if (groups[i].first == setting)
            return groups[i].title;
    return NULL;
}

static void pad_to(struct text *out, size_t line_start, size_t column)
{
    do
        text_add_byte(out, ' ');
    while (out->len - line_start < column);
}

/* Adds words from the column in hand on; what does not fit goes on in the next line, at `column`.
 */
static void wrap(struct text *out, size_t line_start, size_t column, str words)
{
    for (str rest = words, word; rest.ptr && (word = str_cut(&rest, ' '), true);) {
        size_t at = out->len - line_start;
        if (at > column && at + 1 + word.len > HELP_COLUMNS) {
            text_add_byte(out, '\n');
            line_start = out->len;
            at = 0;
        }
        if (at < column && column > 0)
            pad_to(out, line_start, column);
        else if (at > column)
            text_add_byte(out, ' ');
        text_add(out, word);
    }
    text_add_byte(out, '\n');
}

/* "(1 to 64, default 4)", behind a space; nothing where there is nothing to tell. */
static str bounds_text(struct arena *arena, const struct setting_spec *spec)
{
    const char *standard = spec->standard;
    str min = STR_NONE, max = STR_NONE;

    switch (spec->type) {
    case SETTING_TEXT: return *standard ? str_format(arena, " (default %s)", standard) : STR("");
    case SETTING_SECRET:
        return *standard ? STR(" (secret, has a default for trying out)") : STR(" (secret)");
    case SETTING_BOOL: return str_format(arena, " (true or false, default %s)", standard);
    case SETTING_INT:
        min = str_format(arena, "%lld", (long long)spec->min);
        max = str_format(arena, "%lld", (long long)spec->max);
        break;
    case SETTING_DURATION_MS:
        min = duration_text(arena, spec->min);
        max = duration_text(arena, spec->max);
        break;
    case SETTING_BYTES:
        min = bytes_text(arena, spec->min);
        max = bytes_text(arena, spec->max);
        break;
    }
    return str_format(arena, " (%" STR_F " to %" STR_F ", default %s)", STR_A(min), STR_A(max),
                      standard);
}

static void help_setting(struct text *out, struct arena *arena, enum setting setting)
{
    const struct setting_spec *spec = setting_spec(setting);
    size_t line_start = out->len;
    str flag = setting_flag(arena, setting), bounds = bounds_text(arena, spec);

    text_add(out, STR("  --"));
    text_add(out, flag);
    pad_to(out, line_start, HELP_WORDS_AT);
    wrap(out, line_start, HELP_WORDS_AT,
         str_format(arena, "%s%" STR_F, spec->words, STR_A(bounds)));
}

static const char help_general[] =
    "Every setting can be given in three places; the first of them that has it wins:\n"
    "  as a flag:               --data-dir /srv/shop   or --data-dir=/srv/shop\n"
    "  in the environment:      DATA_DIR=/srv/shop     (an empty variable counts as not set)\n"
    "  in a file of settings:   data_dir: /srv/shop    (YAML; --config PATH or DUKA_CONFIG=PATH)\n"
    "A secret can also be read from a file: NAME_FILE is its path (OPS_TOKEN_FILE, "
    "--ops-token-file).\n"
    "Durations have a unit: 250ms, 10s, 15m, 24h, 30d. Sizes may have one: 500, 64KiB, 16MiB.\n";

str conf_help(struct arena *arena, str program, str what)
{
    ASSERT(arena && program.len > 0);

    struct text out = text_init(arena, 16 * 1024);
    text_add_format(&out, "%" STR_F ": %" STR_F "\n\n", STR_A(program), STR_A(what));
    text_add(&out, str_of_z(help_general));
    text_add(&out, STR("\n  --help                       Tells this, and ends.\n"
                       "  --version                    Tells the version, and ends.\n"
                       "  --config PATH                A file of settings.\n"));
    for (int i = 0; i < SETTINGS_COUNT; i++) {
        const char *title = title_at((enum setting)i);
        if (title)
            text_add_format(&out, "\n%s\n", title);
        help_setting(&out, arena, (enum setting)i);
    }
    return text_str(&out);
}

/* Texts in quotes, as YAML reads them like JSON; a secret is a comment, for it is not told. */
static void show_setting(struct text *out, struct arena *arena, const struct conf *conf,
                         enum setting setting)
{
    const struct setting_spec *spec = setting_spec(setting);
    size_t line_start = out->len;

    if (spec->type == SETTING_SECRET)
        text_add(out, STR("# "));
    text_add(out, setting_key(arena, setting));
    text_add(out, STR(": "));
    if (spec->type == SETTING_SECRET)
        text_add(out, conf_text(conf, setting).len > 0 ? STR("(hidden)") : STR("(not set)"));
    else if (spec->type == SETTING_TEXT)
        json_add_string(out, conf_text(conf, setting));
    else
        text_add(out, str_trim(conf_text(conf, setting)));
    pad_to(out, line_start, SHOW_ORIGIN_AT);
    text_add(out, STR("# "));
    text_add(out, conf_origin(conf, setting));
    text_add_byte(out, '\n');
}

str conf_show(struct arena *arena, const struct conf *conf)
{
    ASSERT(arena && conf);

    struct text out = text_init(arena, 8 * 1024);
    for (int i = 0; i < SETTINGS_COUNT; i++)
        show_setting(&out, arena, conf, (enum setting)i);
    return text_str(&out);
}
