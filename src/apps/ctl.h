/* dukactl's inside: a table of commands, from which calling, --help, the man page and the shells'
 * completions are made. */
#pragma once
#include "base/arena.h"
#include "base/json.h"
#include "chassis/ask_stream.h"
#include "chassis/conf.h"

enum { CTL_OPTIONS_MAX = 8, CTL_OPERANDS_MAX = 4 };

/* What dukactl ends with; documented in the man page. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_REFUSED = 1, /* the shop, a file or the system refused */
    CTL_USAGE = 2,   /* the command line cannot be read */
    CTL_FAULTS = 3,  /* check or restore found the books not to agree */
    CTL_NO_SHOP = 4, /* no shop runs there; or one runs, where none may */
};

struct tool;

struct ctl_option {
    const char *name;     /* "email", without dashes */
    const char *argument; /* "EMAIL", or NULL for a flag */
    const char *words;
};

struct ctl_command {
    const char *name;     /* "users create" */
    const char *operands; /* "ORDER", "[FILE]", or "" */
    int operands_min, operands_max;
    const char *summary; /* one line, without a full stop */
    const char *details; /* sentences, or NULL */
    struct ctl_option options[CTL_OPTIONS_MAX];
    int (*run)(struct tool *tool);
};

extern const struct ctl_command CTL_COMMANDS[];
extern const int CTL_COMMANDS_COUNT;

struct tool {
    struct arena *arena;
    const struct conf *conf;
    str socket;
    const struct ctl_command *command;
    const char *values[CTL_OPTIONS_MAX]; /* of the command's options; "" for a flag that is given */
    const char *operands[CTL_OPERANDS_MAX];
    int operands_count;
};

/* ---- ctl.c ---- */

/* Says what is wrong on standard error, and gives the code to end with. */
__attribute__((format(printf, 2, 3))) int ctl_complain(int code, const char *format, ...);

/* The same of an error: CTL_NO_SHOP where nobody listens, or where a shop has the lock. */
int ctl_complain_error(const struct tool *tool, err error);

/* The value of an option: NULL where it was not given. */
const char *ctl_value(const struct tool *tool, const char *name);

/* An option that is a number; `standard` where it was not given. False (and complained of) where it
 * is none between min and max. */
bool ctl_number(const struct tool *tool, const char *name, int64_t min, int64_t max,
                int64_t standard, int64_t *out);

/* Asks, and tells what was refused: 0, or the code to exit with. */
int ctl_ask(const struct tool *tool, const char *method, const char *path, str json,
            const struct json **answer);

/* The same for an answer that was asked for already. */
int ctl_asked(const struct tool *tool, err error, const struct asked *asked,
              const struct json **answer);

/* A text or number member as text; "?" where there is none. */
str ctl_text(const struct json *object, const char *name);

/* {"name":"value"…} made member by member. */
void ctl_add(struct text *out, bool *first, const char *name, str value);

/* A bar on standard error, only where that is a terminal: how much of `total` is done. */
void ctl_progress(const char *what, int64_t done, int64_t total);

/* Ends the line of a bar that is shown. */
void ctl_progress_end(void);

/* ---- ctl_help.c ---- */

/* All commands, a line each, and the exit codes. */
str ctl_help(struct arena *arena);

/* One command, with its options. */
str ctl_help_of(struct arena *arena, const struct ctl_command *command);

/* The man page, in troff. */
str ctl_man(struct arena *arena);

/* dukactl help [COMMAND]. */
int ctl_run_help(struct tool *tool);

/* dukactl man. */
int ctl_run_man(struct tool *tool);

/* dukactl completion SHELL. */
int ctl_run_completion(struct tool *tool);

/* ---- the commands ---- */

/* Makes an account. */
int ctl_users_create(struct tool *tool);

/* Sets a password. */
int ctl_users_password(struct tool *tool);

/* Makes an API key and shows its secret. */
int ctl_api_keys_create(struct tool *tool);

/* Lists API keys. */
int ctl_api_keys_list(struct tool *tool);

/* Revokes an API key. */
int ctl_api_keys_revoke(struct tool *tool);

/* Waits until the shop is ready. */
int ctl_ready(struct tool *tool);

/* Shows the settings. */
int ctl_config(struct tool *tool);

/* Sends a product CSV and follows its job. */
int ctl_import(struct tool *tool);

/* Fetches the catalog as a CSV. */
int ctl_export(struct tool *tool);

/* Makes a CSV of demo products and imports it. */
int ctl_seed(struct tool *tool);

/* Tells the life of an order. */
int ctl_explain(struct tool *tool);

/* Lists dead letters. */
int ctl_letters_list(struct tool *tool);

/* Has the letters of a key tried again. */
int ctl_letters_requeue(struct tool *tool);

/* Gives a letter up. */
int ctl_letters_skip(struct tool *tool);

/* Has the shop make a new signing key. */
int ctl_rotate_keys(struct tool *tool);

/* Has the shop write a backup. */
int ctl_backup(struct tool *tool);

/* Makes DATA_DIR from a backup. */
int ctl_restore(struct tool *tool);

/* Checks the books. */
int ctl_check(struct tool *tool);

/* Carries a service's data from SQLite to PostgreSQL. */
int ctl_move(struct tool *tool);

/* Brings the databases to this version. */
int ctl_migrate(struct tool *tool);

/* Makes topics and queues at the broker. */
int ctl_bus_setup(struct tool *tool);
