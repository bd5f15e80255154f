/* Help, man page and completions, all from the table of commands. */
#include "apps/ctl.h"

#include "chassis/version.h"

#include <stdio.h>
#include <string.h>

enum { OPTION_COLUMN = 26, WIDTH = 79 };

static const struct {
    int code;
    const char *words;
} CODES[] = {
    { CTL_OK, "It is done." },
    { CTL_REFUSED, "The shop, a file or the system refused; standard error says why." },
    { CTL_USAGE, "The command line or a setting cannot be read." },
    { CTL_FAULTS, "check, restore or move found that the books do not agree." },
    { CTL_NO_SHOP, "No shop runs there; or one runs, where the command needs it stopped." },
};
enum { CODES_COUNT = sizeof CODES / sizeof CODES[0] };

static const char ABOUT[] =
    "Asks the shop that runs on DATA_DIR (./data unless set) by its socket DATA_DIR/duka.sock. "
    "Only migrate, move, restore and check open databases themselves, and only while no shop runs "
    "on them. Settings stand in the environment, in the file that DUKA_CONFIG names, or first: "
    "dukactl --data-dir /srv/duka ready.";

/* Words in lines of a terminal's width; lines after the first begin with so many spaces. The first
 * one has that many columns already. */
static void add_lines(struct text *out, const char *words, int indent)
{
    int column = indent;
    while (*words) {
        int len = (int)strcspn(words, " ");
        if (column > indent && column + 1 + len > WIDTH) {
            text_add_format(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            text_add_byte(out, ' ');
            column++;
        }
        text_add(out, str_of(words, (size_t)len));
        column += len;
        words += len;
        words += *words == ' ';
    }
    text_add_byte(out, '\n');
}

static int tell(str text)
{
    return fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0 ? CTL_OK
                                                                                    : CTL_REFUSED;
}

static void add_usage(struct text *out, const struct ctl_command *command)
{
    text_add_format(out, "dukactl %s", command->name);
    for (int i = 0; i < CTL_OPTIONS_MAX && command->options[i].name; i++) {
        const struct ctl_option *option = &command->options[i];
        text_add_format(out, " [--%s%s%s]", option->name, option->argument ? " " : "",
                        option->argument ? option->argument : "");
    }
    if (*command->operands)
        text_add_format(out, " %s", command->operands);
}

str ctl_help(struct arena *arena)
{
    struct text out = text_init(arena, 4096);
    text_add(&out, STR("dukactl: the operator's tool.\n\n"));
    add_lines(&out, ABOUT, 0);
    text_add(&out, STR("\nCommands:\n"));
    for (int i = 0; i < CTL_COMMANDS_COUNT; i++)
        text_add_format(&out, "  %-24s%s\n", CTL_COMMANDS[i].name, CTL_COMMANDS[i].summary);
    text_add(&out,
             STR("\ndukactl COMMAND --help tells more of one; dukactl man makes the man page; "
                 "dukactl --version.\n\nExit codes:\n"));
    for (int i = 0; i < CODES_COUNT; i++)
        text_add_format(&out, "  %d  %s\n", CODES[i].code, CODES[i].words);
    return text_str(&out);
}

str ctl_help_of(struct arena *arena, const struct ctl_command *command)
{
    struct text out = text_init(arena, 1024);
    add_usage(&out, command);
    text_add_format(&out, "\n\n%s.\n", command->summary);
    if (command->details)
        add_lines(&out, command->details, 0);
    for (int i = 0; i < CTL_OPTIONS_MAX && command->options[i].name; i++) {
        const struct ctl_option *option = &command->options[i];
        str name = str_format(arena, "--%s%s%s", option->name, option->argument ? " " : "",
                              option->argument ? option->argument : "");
        text_add_format(&out, "%s  %-*s", i == 0 ? "\n" : "", OPTION_COLUMN, str_z(arena, name));
        add_lines(&out, option->words, OPTION_COLUMN + 2);
    }
    text_add(&out,
             STR("\nSettings, as duka has them (--data-dir, or DATA_DIR, and the others of duka "
                 "--help),\nstand before the command. Exit codes: dukactl --help.\n"));
    return text_str(&out);
}

/* ---- the man page: troff(7) with the macros of man(7) ---- */

/* A hyphen that is typed, and no macro at the beginning of a line. */
static void add_troff(struct text *out, const char *words)
{
    for (const char *c = words; *c; c++) {
        bool at_start = c == words || c[-1] == '\n';
        if (at_start && (*c == '.' || *c == '\''))
            text_add(out, STR("\\&"));
        if (*c == '-')
            text_add(out, STR("\\-"));
        else if (*c == '\\')
            text_add(out, STR("\\e"));
        else
            text_add_byte(out, *c);
    }
}

static void add_man_command(struct text *out, const struct ctl_command *command)
{
    struct text usage = text_init(out->arena, 256);
    add_usage(&usage, command);
    text_add(out, STR(".SS "));
    add_troff(out, str_z(out->arena, text_str(&usage)));
    text_add(out, STR("\n"));
    add_troff(out, command->summary);
    text_add(out, STR(".\n"));
    if (command->details) {
        add_troff(out, command->details);
        text_add(out, STR("\n"));
    }
    for (int i = 0; i < CTL_OPTIONS_MAX && command->options[i].name; i++) {
        const struct ctl_option *option = &command->options[i];
        text_add_format(out, ".TP\n.B \\-\\-");
        add_troff(out, option->name);
        if (option->argument)
            text_add_format(out, " %s", option->argument);
        text_add(out, STR("\n"));
        add_troff(out, option->words);
        text_add(out, STR("\n"));
    }
}

str ctl_man(struct arena *arena)
{
    struct text out = text_init(arena, 16384);
    text_add(&out, STR(".TH DUKACTL 1 \"\" \"Duka\" \"Duka\"\n.SH NAME\ndukactl \\- the operator's "
                       "tool of a Duka shop\n.SH SYNOPSIS\n.B dukactl\n[SETTINGS] COMMAND "
                       "[OPTIONS] [OPERANDS]\n.SH DESCRIPTION\n"));
    add_troff(&out, ABOUT);
    text_add(&out, STR("\n.SH COMMANDS\n"));
    for (int i = 0; i < CTL_COMMANDS_COUNT; i++)
        add_man_command(&out, &CTL_COMMANDS[i]);
    text_add(&out, STR(".SH EXIT STATUS\n"));
    for (int i = 0; i < CODES_COUNT; i++) {
        text_add_format(&out, ".TP\n.B %d\n", CODES[i].code);
        add_troff(&out, CODES[i].words);
        text_add(&out, STR("\n"));
    }
    text_add(&out,
             STR(".SH FILES\n.TP\n.B DATA_DIR/duka.sock\nThe operator's socket of a shop that "
                 "runs (mode 0600).\n.TP\n.B DATA_DIR/duka.lock\nHeld by the shop, or by a "
                 "command that opens its files.\n.SH SEE ALSO\n.B duka \\-\\-help\nlists "
                 "every setting.\n"));
    return text_str(&out);
}

/* ---- completions ---- */

static void add_words(struct text *out, const char *before)
{
    size_t len = strlen(before);
    bool first = true;
    for (int i = 0; i < CTL_COMMANDS_COUNT; i++) {
        const char *name = CTL_COMMANDS[i].name;
        if (strncmp(name, before, len) != 0)
            continue;
        str word = str_of_z(name + len);
        bool has_more = str_find_byte(word, ' ') >= 0;
        str rest = word;
        word = str_cut(&rest, ' ');
        if (has_more && i > 0 && strncmp(CTL_COMMANDS[i - 1].name, name, len + word.len + 1) == 0)
            continue; /* the group was told */
        text_add_format(out, "%s%" STR_F, first ? "" : " ", STR_A(word));
        first = false;
    }
}

/* One case for each command: its options. */
static void add_cases(struct text *out)
{
    for (int i = 0; i < CTL_COMMANDS_COUNT; i++) {
        const struct ctl_command *command = &CTL_COMMANDS[i];
        text_add_format(out, "    '%s') words='--help", command->name);
        for (int j = 0; j < CTL_OPTIONS_MAX && command->options[j].name; j++)
            text_add_format(out, " --%s", command->options[j].name);
        text_add(out, STR("' ;;\n"));
    }
}

static str completion_bash(struct arena *arena)
{
    struct text out = text_init(arena, 4096);
    text_add(&out, STR("# bash completion of dukactl; made by: dukactl completion bash\n"
                       "_dukactl() {\n"
                       "    local current=${COMP_WORDS[COMP_CWORD]} words='' said\n"
                       "    said=${COMP_WORDS[*]:1:COMP_CWORD-1}\n"
                       "    case $said in\n"
                       "    '') words='"));
    add_words(&out, "");
    text_add(&out, STR("' ;;\n"));
    text_add(&out, STR("    users) words='"));
    add_words(&out, "users ");
    text_add(&out, STR("' ;;\n    dead-letters) words='"));
    add_words(&out, "dead-letters ");
    text_add(&out, STR("' ;;\n    completion) words='bash zsh' ;;\n    esac\n"
                       "    case ${said%% --*} in\n"));
    add_cases(&out);
    text_add(&out, STR("    esac\n"
                       "    if [ -n \"$words\" ] && [[ $current == -* || $words != --* ]]; then\n"
                       "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
                       "    else\n"
                       "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
                       "    fi\n"
                       "}\n"
                       "complete -o filenames -F _dukactl dukactl\n"));
    return text_str(&out);
}

/* zsh runs the one for bash. */
static str completion_zsh(struct arena *arena)
{
    struct text out = text_init(arena, 4096);
    text_add(&out, STR("#compdef dukactl\n"
                       "autoload -U +X bashcompinit && bashcompinit\n"
                       "mapfile() { shift; local IFS=$'\\n'; "
                       "COMPREPLY=($(cat)); }\n"));
    text_add(&out, completion_bash(arena));
    return text_str(&out);
}

/* ---- commands ---- */

int ctl_run_help(struct tool *tool)
{
    struct text name = text_init(tool->arena, 32);
    for (int i = 0; i < tool->operands_count; i++)
        text_add_format(&name, "%s%s", i > 0 ? " " : "", tool->operands[i]);
    if (name.len == 0)
        return tell(ctl_help(tool->arena));
    for (int i = 0; i < CTL_COMMANDS_COUNT; i++)
        if (str_equal(text_str(&name), str_of_z(CTL_COMMANDS[i].name)))
            return tell(ctl_help_of(tool->arena, &CTL_COMMANDS[i]));
    return ctl_complain(CTL_USAGE, "there is no command %" STR_F, STR_A(text_str(&name)));
}

int ctl_run_man(struct tool *tool) { return tell(ctl_man(tool->arena)); }

int ctl_run_completion(struct tool *tool)
{
    if (strcmp(tool->operands[0], "bash") == 0)
        return tell(completion_bash(tool->arena));
    if (strcmp(tool->operands[0], "zsh") == 0)
        return tell(completion_zsh(tool->arena));
    return ctl_complain(CTL_USAGE, "completion is made for bash and zsh");
}
