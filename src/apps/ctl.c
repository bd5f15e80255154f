#include "apps/ctl.h"

#include "os/process.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ASK_TIMEOUT_MS = 30000, BAR_WIDTH = 30 };

int ctl_complain(int code, const char *format, ...)
{
    va_list args;
    ctl_progress_end();
    va_start(args, format);
    fputs("dukactl: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    return code;
}

int ctl_complain_error(const struct tool *tool, err error)
{
    str folder = conf_text(tool->conf, CONF_DATA_DIR);
    if (err_is(error, UPSTREAM_UNAVAILABLE))
        return ctl_complain(CTL_NO_SHOP,
                            "no shop runs on %" STR_F " (%" STR_F
                            "): start it with make run, or set DATA_DIR to where one runs",
                            STR_A(folder), STR_A(error->detail));
    if (err_is(error, DB_LOCKED))
        return ctl_complain(CTL_NO_SHOP,
                            "a shop runs on %" STR_F " (%" STR_F "): stop it for this command",
                            STR_A(folder), STR_A(error->detail));
    return ctl_complain(CTL_REFUSED, "%" STR_F " (%" STR_F ")", STR_A(error->detail),
                        STR_A(err_word(error->code)));
}

const char *ctl_value(const struct tool *tool, const char *name)
{
    for (int i = 0; i < CTL_OPTIONS_MAX && tool->command->options[i].name; i++)
        if (strcmp(tool->command->options[i].name, name) == 0)
            return tool->values[i];
    ASSERT(!"an option that the table does not have");
    return NULL;
}

bool ctl_number(const struct tool *tool, const char *name, int64_t min, int64_t max,
                int64_t standard, int64_t *out)
{
    const char *value = ctl_value(tool, name);
    *out = standard;
    if (!value || str_to_int64(str_of_z(value), min, max, out))
        return true;
    ctl_complain(CTL_USAGE, "--%s takes a number from %lld to %lld", name, (long long)min,
                 (long long)max);
    return false;
}

int ctl_asked(const struct tool *tool, err error, const struct asked *asked,
              const struct json **answer)
{
    if (error != OK)
        return ctl_complain_error(tool, error);
    if (asked->status >= 400)
        return ctl_complain(CTL_REFUSED, "%" STR_F, STR_A(asked_refusal(tool->arena, asked)));
    error = json_read(tool->arena, asked->body, answer);
    if (error != OK || json_kind_of(*answer) != JSON_OBJECT)
        return ctl_complain(CTL_REFUSED, "the shop's answer cannot be read");
    return CTL_OK;
}

int ctl_ask(const struct tool *tool, const char *method, const char *path, str json,
            const struct json **answer)
{
    struct asked asked;
    err error = ask_operator(tool->arena, tool->socket, method, path, json, ASK_TIMEOUT_MS, &asked);
    return ctl_asked(tool, error, &asked, answer);
}

str ctl_text(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, str_of_z(name));
    if (!value)
        return STR("?");
    if (json_kind_of(value) == JSON_NUMBER)
        return json_number_text(value);
    return json_kind_of(value) == JSON_STRING ? json_string(value) : STR("?");
}

void ctl_add(struct text *out, bool *first, const char *name, str value)
{
    json_add_name(out, first, str_of_z(name));
    json_add_string(out, value);
}

/* ---- the bar ---- */

static bool bar_is_shown;

void ctl_progress(const char *what, int64_t done, int64_t total)
{
    static int shown = -1;
    int percent = total > 0 ? (int)(done * 100 / total) : 0;
    if (!process_on_terminal(STDERR_FILENO) || (bar_is_shown && percent == shown))
        return;
    int full = percent * BAR_WIDTH / 100;
    fprintf(stderr, "\r%s [", what);
    for (int i = 0; i < BAR_WIDTH; i++)
        fputc(i < full ? '#' : ' ', stderr);
    fprintf(stderr, "] %3d %%", percent);
    shown = percent;
    bar_is_shown = true;
}

void ctl_progress_end(void)
{
    if (bar_is_shown)
        fputs("\n", stderr);
    bar_is_shown = false;
}
