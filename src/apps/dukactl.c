/* dukactl: the operator's tool. Asks a shop that runs, by its socket DATA_DIR/duka.sock. */
#include "apps/shop.h"
#include "base/arena.h"
#include "base/json.h"
#include "chassis/ask.h"
#include "chassis/conf.h"
#include "chassis/version.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/random.h"
#include "os/sync.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ARENA_BYTES_MAX = 64 << 20,
    PASSWORD_BYTES_MAX = 4096,
    ASK_TIMEOUT_MS = 30000,
    READY_TIMEOUT_S = 60,
    READY_PAUSE_MS = 100,
};

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };

extern char **environ;

struct tool {
    struct arena *arena;
    const struct conf *conf;
    str socket;
    int argc; /* the words behind the command */
    char **argv;
};

static const char HELP[] =
    "dukactl: asks the shop that runs on DATA_DIR (./data unless set), by DATA_DIR/duka.sock.\n"
    "\n"
    "  dukactl users create --email EMAIL [--role ROLE[,ROLE]] [--name NAME] [PASSWORD]\n"
    "      Makes an account; staff unless --role says customer, staff, admin.\n"
    "  dukactl users password EMAIL [PASSWORD]\n"
    "      Sets the password of an account, ends its sessions, lets it in again if suspended.\n"
    "  dukactl ready [--timeout SECONDS]\n"
    "      Waits until the shop is ready, at most 60 seconds.\n"
    "  dukactl migrate\n"
    "      Brings the databases up to this version; needed on PostgreSQL before a shop starts.\n"
    "  dukactl config\n"
    "      Shows each setting, its value and where it came from.\n"
    "  dukactl --help, dukactl --version\n"
    "\n"
    "PASSWORD is --password-file FILE, or --password-stdin (a line of standard input);\n"
    "without it a password is made and shown once.\n"
    "Settings stand in the environment, or first: dukactl --data-dir /srv/duka ready\n";

/* ---- telling ---- */

__attribute__((format(printf, 2, 3))) static int complain(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("dukactl: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    return code;
}

static int complain_usage(const char *why)
{
    return complain(EXIT_USAGE, "%s; dukactl --help lists the commands", why);
}

static int complain_error(const struct tool *tool, err error)
{
    str folder = conf_text(tool->conf, CONF_DATA_DIR);
    if (err_is(error, UPSTREAM_UNAVAILABLE))
        return complain(EXIT_REFUSED,
                        "no shop runs on %" STR_F " (%" STR_F
                        "): start it with make run, or set DATA_DIR to where one runs",
                        STR_A(folder), STR_A(error->detail));
    return complain(EXIT_REFUSED, "%" STR_F " (%" STR_F ")", STR_A(error->detail),
                    STR_A(err_word(error->code)));
}

/* ---- passwords ---- */

struct password {
    const char *file;
    bool from_stdin;
    str text;
    bool made;
};

/* Four groups of five out of 32 letters and digits that are not taken for each other: 100 random
 * bits. */
static str password_make(struct arena *arena)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    _Static_assert(sizeof letters == 32 + 1, "five bits choose one");
    uint8_t bytes[20];
    random_bytes(bytes, sizeof bytes);
    struct text text = text_init(arena, 24);
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i > 0 && i % 5 == 0)
            text_add_byte(&text, '-');
        text_add_byte(&text, letters[bytes[i] % 32]);
    }
    return text_str(&text);
}

/* What comes on standard input until its end. */
static err read_stdin(struct arena *arena, str *out)
{
    struct text text = text_init(arena, PASSWORD_BYTES_MAX);
    char piece[512];
    for (;;) {
        ssize_t got = read(STDIN_FILENO, piece, sizeof piece);
        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(arena, OS_FAILED, "standard input: %s", strerror(errno));
        if (text.len + (size_t)got > PASSWORD_BYTES_MAX)
            return fail(arena, OS_FAILED, "standard input holds more than a password");
        text_add(&text, str_of(piece, (size_t)got));
    }
    *out = text_str(&text);
    return OK;
}

static err password_read(struct arena *arena, struct password *password)
{
    str content;
    password->made = !password->file && !password->from_stdin;
    if (password->made) {
        password->text = password_make(arena);
        return OK;
    }
    if (password->file)
        TRY(disk_read(arena, str_of_z(password->file), PASSWORD_BYTES_MAX, &content));
    else
        TRY(read_stdin(arena, &content));

    /* Its first line: an editor and echo end a file with a line break that is not meant. */
    password->text = str_cut(&content, '\n');
    if (str_ends(password->text, STR("\r")))
        password->text.len--;
    if (password->text.len == 0)
        return fail(arena, OS_FAILED, "%s holds no password",
                    password->file ? password->file : "standard input");
    return OK;
}

static void password_show(const struct password *password)
{
    if (password->made)
        printf("password: %" STR_F "\n", STR_A(password->text));
}

/* ---- asking ---- */

/* Asks, and tells what was refused: 0, or the code to exit with. */
static int ask(const struct tool *tool, const char *method, const char *path, str json,
               const struct json **answer)
{
    struct asked asked;
    err error = ask_operator(tool->arena, tool->socket, method, path, json, ASK_TIMEOUT_MS, &asked);
    if (error != OK)
        return complain_error(tool, error);
    if (asked.status >= 400)
        return complain(EXIT_REFUSED, "%" STR_F, STR_A(asked_refusal(tool->arena, &asked)));
    error = json_read(tool->arena, asked.body, answer);
    if (error != OK || json_kind_of(*answer) != JSON_OBJECT)
        return complain(EXIT_REFUSED, "the shop's answer cannot be read");
    return 0;
}

static str answered(const struct json *answer, str name)
{
    const struct json *value = json_member(answer, name);
    return value && json_kind_of(value) == JSON_STRING ? json_string(value) : STR("?");
}

static void add_member(struct text *out, bool *first, str name, str value)
{
    json_add_name(out, first, name);
    json_add_string(out, value);
}

/* ---- dukactl users create ---- */

struct create {
    const char *email, *name;
    const char *roles;
    struct password password;
};

static str create_json(struct arena *arena, const struct create *create)
{
    struct text out = text_init(arena, 512);
    bool first = true, first_role = true;
    text_add_byte(&out, '{');
    add_member(&out, &first, STR("email"), str_of_z(create->email));
    add_member(&out, &first, STR("password"), create->password.text);
    if (create->name)
        add_member(&out, &first, STR("name"), str_of_z(create->name));
    json_add_name(&out, &first, STR("roles"));
    text_add_byte(&out, '[');
    for (str rest = str_of_z(create->roles); rest.ptr;) {
        if (!first_role)
            text_add_byte(&out, ',');
        first_role = false;
        json_add_string(&out, str_trim(str_cut(&rest, ',')));
    }
    text_add(&out, STR("]}"));
    return text_str(&out);
}

static int users_create(struct tool *tool)
{
    static const struct option options[] = {
        { "email", required_argument, NULL, 'e' },
        { "role", required_argument, NULL, 'r' },
        { "name", required_argument, NULL, 'n' },
        { "password-file", required_argument, NULL, 'f' },
        { "password-stdin", no_argument, NULL, 'i' },
        { NULL, 0, NULL, 0 },
    };
    struct create create = { .roles = "staff" };
    for (int option; (option = getopt_long(tool->argc, tool->argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'e': create.email = optarg; break;
        case 'r': create.roles = optarg; break;
        case 'n': create.name = optarg; break;
        case 'f': create.password.file = optarg; break;
        case 'i': create.password.from_stdin = true; break;
        default: return complain_usage("users create takes no such option");
        }
    if (!create.email || optind < tool->argc)
        return complain_usage("users create needs --email EMAIL");

    const struct json *answer;
    err error = password_read(tool->arena, &create.password);
    if (error != OK)
        return complain_error(tool, error);
    int code = ask(tool, "POST", "/operator/users", create_json(tool->arena, &create), &answer);
    if (code != 0)
        return code;
    printf("created %" STR_F " (%s), id %" STR_F "\n", STR_A(answered(answer, STR("email"))),
           create.roles, STR_A(answered(answer, STR("id"))));
    password_show(&create.password);
    return 0;
}

/* ---- dukactl users password ---- */

static int users_password(struct tool *tool)
{
    static const struct option options[] = {
        { "password-file", required_argument, NULL, 'f' },
        { "password-stdin", no_argument, NULL, 'i' },
        { NULL, 0, NULL, 0 },
    };
    struct password password = { 0 };
    for (int option; (option = getopt_long(tool->argc, tool->argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'f': password.file = optarg; break;
        case 'i': password.from_stdin = true; break;
        default: return complain_usage("users password takes no such option");
        }
    if (optind + 1 != tool->argc)
        return complain_usage("users password needs one EMAIL");

    const struct json *answer;
    err error = password_read(tool->arena, &password);
    if (error != OK)
        return complain_error(tool, error);
    struct text json = text_init(tool->arena, 512);
    bool first = true;
    text_add_byte(&json, '{');
    add_member(&json, &first, STR("email"), str_of_z(tool->argv[optind]));
    add_member(&json, &first, STR("password"), password.text);
    text_add_byte(&json, '}');
    int code = ask(tool, "PUT", "/operator/users/password", text_str(&json), &answer);
    if (code != 0)
        return code;
    printf("set the password of %" STR_F "; its sessions have ended\n",
           STR_A(answered(answer, STR("email"))));
    password_show(&password);
    return 0;
}

static int users(struct tool *tool)
{
    const char *word = tool->argc > 1 ? tool->argv[1] : "";
    tool->argc--;
    tool->argv++;
    if (strcmp(word, "create") == 0)
        return users_create(tool);
    if (strcmp(word, "password") == 0)
        return users_password(tool);
    return complain_usage("users is followed by create or password");
}

/* ---- dukactl ready ---- */

static int ready(struct tool *tool)
{
    static const struct option options[] = {
        { "timeout", required_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    int64_t timeout_s = READY_TIMEOUT_S;
    for (int option; (option = getopt_long(tool->argc, tool->argv, "", options, NULL)) != -1;)
        if (option != 't' || !str_to_int64(str_of_z(optarg), 0, 86400, &timeout_s))
            return complain_usage("ready takes --timeout SECONDS");
    if (optind < tool->argc)
        return complain_usage("ready takes --timeout SECONDS");

    int64_t deadline_us = clock_mono_us() + timeout_s * TIME_SECOND;
    for (;;) {
        struct arena *arena = arena_open(ARENA_BYTES_MAX);
        struct asked asked;
        err error =
            ask_operator(arena, tool->socket, "GET", "/readyz", STR_NONE, ASK_TIMEOUT_MS, &asked);
        bool is_ready = error == OK && asked.status == 200;
        bool is_over = clock_mono_us() >= deadline_us;
        int code = 0;
        if (is_ready)
            puts("ready");
        else if (is_over)
            code = error != OK
                       ? complain_error(tool, error)
                       : complain(EXIT_REFUSED, "the shop is not ready (status %d)", asked.status);
        arena_close(arena);
        if (is_ready || is_over)
            return code;
        sleep_until(clock_mono_us() + READY_PAUSE_MS * TIME_MS);
    }
}

/* ---- the rest ---- */

static int config(struct tool *tool)
{
    if (tool->argc > 1)
        return complain_usage("config takes nothing");
    str shown = conf_show(tool->arena, tool->conf);
    printf("%" STR_F, STR_A(shown));
    return 0;
}

/* ---- dukactl migrate: opens the databases itself ---- */

static int migrate(struct tool *tool)
{
    if (tool->argc > 1)
        return complain_usage("migrate takes nothing");
    struct migrated done = { 0 };
    err error = shop_migrate(tool->arena, tool->conf, &done);
    if (error != OK)
        return complain_error(tool, error);
    printf("users %d, products %d, orders %d migrations applied\n", done.users, done.products,
           done.orders);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct tool *tool);
} COMMANDS[] = { { "users", users },
                 { "ready", ready },
                 { "config", config },
                 { "migrate", migrate } };

static int run(struct tool *tool)
{
    const char *name = tool->argc > 0 ? tool->argv[0] : "";
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++)
        if (strcmp(COMMANDS[i].name, name) == 0)
            return COMMANDS[i].run(tool);
    return tool->argc > 0
               ? complain(EXIT_USAGE, "there is no command %s; dukactl --help lists them", name)
               : complain_usage("a command is missing");
}

static bool asks_for(int argc, char **argv, const char *flag)
{
    return argc > 1 && strcmp(argv[1], flag) == 0;
}

int main(int argc, char **argv)
{
    if (asks_for(argc, argv, "--help") || asks_for(argc, argv, "-h") ||
        asks_for(argc, argv, "help"))
        return fputs(HELP, stdout) < 0;
    struct tool tool = { .arena = arena_open(ARENA_BYTES_MAX) };
    if (asks_for(argc, argv, "--version")) {
        printf("dukactl %" STR_F "\n", STR_A(version_line(tool.arena)));
        arena_close(tool.arena);
        return 0;
    }
    int operands = argc;
    err error = conf_load(tool.arena, argc, argv, environ, &tool.conf, &operands);
    int code;
    if (error != OK) {
        code = complain(EXIT_USAGE, "%" STR_F, STR_A(error->detail));
    } else {
        tool.socket = str_format(tool.arena, "%" STR_F "/duka.sock",
                                 STR_A(conf_text(tool.conf, CONF_DATA_DIR)));
        tool.argc = argc - operands;
        tool.argv = argv + operands;
        opterr = 0;
        code = run(&tool);
    }
    arena_close(tool.arena);
    return code;
}
