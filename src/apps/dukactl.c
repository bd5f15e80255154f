/* dukactl: the operator's tool. The table of its commands, and what calls them. */
#include "apps/ctl.h"

#include "chassis/version.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { ARENA_BYTES_MAX = 1 << 30 };

extern char **environ;

#define PASSWORD_OPTIONS                                                                \
    { "password-file", "FILE", "The password is the first line of FILE." },             \
    {                                                                                   \
        "password-stdin", NULL,                                                         \
            "It is a line of standard input. With neither, one is made and shown once." \
    }

const struct ctl_command CTL_COMMANDS[] = {
    { "users create",
      "",
      0,
      0,
      "Makes an account",
      NULL,
      { { "email", "EMAIL", "The account's address." },
        { "role", "ROLES", "customer, staff, admin, comma-separated; staff unless given." },
        { "name", "NAME", "What the person is called." },
        PASSWORD_OPTIONS },
      ctl_users_create },
    { "users password",
      "EMAIL",
      1,
      1,
      "Sets the password of an account",
      "Its sessions end, and it is let in again if it was suspended.",
      { PASSWORD_OPTIONS },
      ctl_users_password },
    { "api-keys create",
      "",
      0,
      0,
      "Makes an API key for a server, and shows its secret once",
      "The server sends it as Authorization: Bearer. Scopes: products_read, products_write, "
      "stock_read, stock_write, orders_read, orders_write, orders_fulfil, users_read.",
      { { "name", "NAME", "Whose it is: \"the warehouse\"." },
        { "scopes", "SCOPES", "What it may do, comma-separated." },
        { "expires", "TIME",
          "When it ends by itself: 2030-01-31T00:00:00Z; never unless given." } },
      ctl_api_keys_create },
    { "api-keys list",
      "",
      0,
      0,
      "Lists the API keys",
      "Each line: id, how the secret begins, scopes, until when it works, last use, name.",
      { { NULL } },
      ctl_api_keys_list },
    { "api-keys revoke",
      "ID",
      1,
      1,
      "Revokes an API key",
      "It is refused everywhere within 5 seconds.",
      { { NULL } },
      ctl_api_keys_revoke },
    { "import",
      "FILE",
      1,
      1,
      "Imports a product CSV in Shopify's format",
      "Waits until the job is done; lines that were refused are told on standard error and make "
      "the "
      "exit code 1. The job goes on in the shop when dukactl is stopped.",
      { { "currency", "CODE", "Of the prices; SHOP_CURRENCY unless given." },
        { "no-wait", NULL, "Tell the job's id and go." } },
      ctl_import },
    { "export",
      "[FILE]",
      0,
      1,
      "Exports the catalog as a product CSV in Shopify's format",
      "To standard output, or to FILE, which has its name only once it is whole.",
      { { "replace", NULL, "Take the place of a file that is there." } },
      ctl_export },
    { "seed",
      "",
      0,
      0,
      "Fills the catalog with demo products",
      "Three variants each, with stock. The same number makes the same products; a larger one adds "
      "to them.",
      { { "products", "N", "How many; 100 unless given." } },
      ctl_seed },
    { "explain",
      "ORDER",
      1,
      1,
      "Tells the life of an order",
      "Its states, lines and total, its timeline, the call to its payment provider that is due, "
      "what Products holds for it, and what is known of its events in each service.",
      { { NULL } },
      ctl_explain },
    { "dead-letters list",
      "",
      0,
      0,
      "Lists events that were put aside",
      "Each line: service, topic, key, number, and then type, state, tries and the reason.",
      { { NULL } },
      ctl_letters_list },
    { "dead-letters requeue",
      "SERVICE TOPIC KEY",
      3,
      3,
      "Tries the events of a key again, in order",
      NULL,
      { { NULL } },
      ctl_letters_requeue },
    { "dead-letters skip",
      "SERVICE TOPIC KEY NUMBER",
      4,
      4,
      "Gives one event up for good",
      "Its effect never happens; those behind it under the same key are tried again.",
      { { NULL } },
      ctl_letters_skip },
    { "move",
      "SERVICE",
      1,
      1,
      "Carries a service's data from SQLite to PostgreSQL",
      "SERVICE is users, products or orders, and does not run meanwhile. The target's tables are "
      "made, filled, and compared row by row with the source, which stays as it is. What was "
      "interrupted is begun again and goes on where it was. A password is better given by "
      "PGPASSWORD or ~/.pgpass than in the address.",
      { { "to", "URL", "postgresql://USER@HOST/DATABASE" },
        { "from", "URL", "sqlite:PATH; DATA_DIR/SERVICE.db unless given" },
        { "fresh", NULL, "empty the target's tables first: the source has sold meanwhile" } },
      ctl_move },
    { "rotate keys",
      "",
      0,
      0,
      "Makes a new key that signs access tokens",
      "The running shop takes it up without a restart. It is in the JWKS at once and signs ten "
      "seconds later, so that whoever checks tokens knows it; the keys before it verify until "
      "their last token has expired (an hour), and are removed then. Where KEYS_DIR is a mounted "
      "Secret, put the new key into the Secret instead: the shop sees it by itself.",
      { { "drop-old", NULL,
          "a key was stolen: remove all others now; their access tokens are refused" } },
      ctl_rotate_keys },
    { "backup",
      "FILE",
      1,
      1,
      "Backs a running shop up into one file",
      "A tar with all databases as they stood at one moment, the signing keys, and a MANIFEST. The "
      "shop goes on selling; it writes the file itself, so FILE is on its machine.",
      { { NULL } },
      ctl_backup },
    { "restore",
      "FILE",
      1,
      1,
      "Makes DATA_DIR from a backup",
      "Compares each file with MANIFEST, looks through the databases and checks the books, before "
      "anything takes its place. No shop may run on DATA_DIR.",
      { { "replace", NULL, "A shop's data that is there is moved to DATA_DIR/before-restore." } },
      ctl_restore },
    { "check",
      "",
      0,
      0,
      "Checks the books of a shop that does not run",
      "Per order: stock, holds, ledger, payment and states agree, and no event is lost. Also looks "
      "through the files. Tells each fault in a line; exit code 3 if there is one.",
      { { NULL } },
      ctl_check },
    { "migrate",
      "[SERVICE]",
      0,
      1,
      "Brings the databases to this version's tables",
      "All of them, or the one of users, products or orders. Needed on PostgreSQL before a shop "
      "starts; one on SQLite does so by itself.",
      { { NULL } },
      ctl_migrate },
    { "bus setup",
      "",
      0,
      0,
      "Makes the topics and queues that the services need at the broker",
      "At the one that BUS_URL names; what is there stays. A service does so by itself where its "
      "account may; where it may not, run this first, with one that does.",
      { { NULL } },
      ctl_bus_setup },
    { "config",
      "",
      0,
      0,
      "Shows each setting, its value and where it came from",
      "Secrets are masked.",
      { { NULL } },
      ctl_config },
    { "ready",
      "",
      0,
      0,
      "Waits until the shop is ready",
      NULL,
      { { "timeout", "SECONDS", "At most so long; 60 unless given." } },
      ctl_ready },
    { "help",
      "[COMMAND]",
      0,
      2,
      "Tells of all commands, or of one",
      NULL,
      { { NULL } },
      ctl_run_help },
    { "man", "", 0, 0, "Prints the man page", "dukactl man | man -l -", { { NULL } }, ctl_run_man },
    { "completion",
      "SHELL",
      1,
      1,
      "Prints the completion for a shell",
      "SHELL is bash or zsh: source <(dukactl completion bash)",
      { { NULL } },
      ctl_run_completion },
};
const int CTL_COMMANDS_COUNT = sizeof CTL_COMMANDS / sizeof CTL_COMMANDS[0];

/* ---- finding and reading ---- */

/* The command that the words begin with, and how many of them are its name. */
static const struct ctl_command *find(int argc, char **argv, int *words)
{
    for (int i = 0; i < CTL_COMMANDS_COUNT; i++) {
        str rest = str_of_z(CTL_COMMANDS[i].name);
        int count = 0;
        bool fits = true;
        while (rest.ptr && fits) {
            str word = str_cut(&rest, ' ');
            fits = count < argc && str_equal(word, str_of_z(argv[count]));
            count++;
        }
        if (fits) {
            *words = count;
            return &CTL_COMMANDS[i];
        }
    }
    return NULL;
}

static int complain_unknown(int argc, char **argv)
{
    if (argc == 0)
        return ctl_complain(CTL_USAGE, "a command is missing; dukactl --help lists them");
    size_t len = strlen(argv[0]);
    for (int i = 0; i < CTL_COMMANDS_COUNT; i++)
        if (strncmp(CTL_COMMANDS[i].name, argv[0], len) == 0 && CTL_COMMANDS[i].name[len] == ' ')
            return ctl_complain(CTL_USAGE, "%s is followed by another word; dukactl --help",
                                argv[0]);
    return ctl_complain(CTL_USAGE, "there is no command %s; dukactl --help lists them", argv[0]);
}

/* argv[0] is the last word of the command's name. */
static int read_options(struct tool *tool, int argc, char **argv)
{
    const struct ctl_command *command = tool->command;
    struct option options[CTL_OPTIONS_MAX + 2] = { { NULL } };
    int count = 0;
    for (; count < CTL_OPTIONS_MAX && command->options[count].name; count++)
        options[count] =
            (struct option){ command->options[count].name,
                             command->options[count].argument ? required_argument : no_argument,
                             NULL, count };
    options[count] = (struct option){ "help", no_argument, NULL, 'h' };
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'h') {
            str help = ctl_help_of(tool->arena, command);
            fwrite(help.ptr, 1, help.len, stdout);
            return -1;
        }
        if (option < 0 || option >= count)
            return ctl_complain(CTL_USAGE,
                                "%s takes no such option, or one that lacks its "
                                "argument; dukactl %s --help",
                                command->name, command->name);
        tool->values[option] = optarg ? optarg : "";
    }
    for (; optind < argc && tool->operands_count < CTL_OPERANDS_MAX; optind++) {
        if (!*argv[optind]) /* a variable of a script that was not set */
            return ctl_complain(CTL_USAGE, "%s was given an empty argument; dukactl %s --help",
                                command->name, command->name);
        tool->operands[tool->operands_count++] = argv[optind];
    }
    if (optind < argc || tool->operands_count < command->operands_min ||
        tool->operands_count > command->operands_max)
        return ctl_complain(CTL_USAGE, "%s takes %s; dukactl %s --help", command->name,
                            *command->operands ? command->operands : "nothing", command->name);
    return CTL_OK;
}

static int run(struct tool *tool, int argc, char **argv)
{
    int words = 0;
    tool->command = find(argc, argv, &words);
    if (!tool->command)
        return complain_unknown(argc, argv);
    int code = read_options(tool, argc - words + 1, argv + words - 1);
    if (code < 0)
        return CTL_OK;
    return code != CTL_OK ? code : tool->command->run(tool);
}

static bool asks_for(int argc, char **argv, const char *flag)
{
    return argc > 1 && strcmp(argv[1], flag) == 0;
}

int main(int argc, char **argv)
{
    struct tool tool = { .arena = arena_open(ARENA_BYTES_MAX) };
    int operands = argc, code;
    if (asks_for(argc, argv, "--help") || asks_for(argc, argv, "-h")) {
        str help = ctl_help(tool.arena);
        code = fwrite(help.ptr, 1, help.len, stdout) == help.len ? CTL_OK : CTL_REFUSED;
    } else if (asks_for(argc, argv, "--version")) {
        printf("dukactl %" STR_F "\n", STR_A(version_line(tool.arena)));
        code = CTL_OK;
    } else {
        err error = conf_load(tool.arena, argc, argv, environ, &tool.conf, &operands);
        if (error != OK) {
            code = ctl_complain(CTL_USAGE, "%" STR_F, STR_A(error->detail));
        } else {
            tool.socket = str_format(tool.arena, "%" STR_F "/duka.sock",
                                     STR_A(conf_text(tool.conf, CONF_DATA_DIR)));
            code = run(&tool, argc - operands, argv + operands);
        }
    }
    arena_close(tool.arena);
    return code;
}
