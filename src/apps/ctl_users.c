/* Accounts: made and let in again by the operator. */
#include "apps/ctl.h"

#include "os/disk.h"
#include "os/random.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PASSWORD_BYTES_MAX = 4096 };

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

/* What the two options say. */
static err password_asked(struct tool *tool, struct password *password)
{
    password->file = ctl_value(tool, "password-file");
    password->from_stdin = ctl_value(tool, "password-stdin") != NULL;
    return password_read(tool->arena, password);
}

/* ---- dukactl users create ---- */

static str create_json(struct tool *tool, const char *roles, const struct password *password)
{
    struct text out = text_init(tool->arena, 512);
    const char *name = ctl_value(tool, "name");
    bool first = true, first_role = true;
    text_add_byte(&out, '{');
    ctl_add(&out, &first, "email", str_of_z(ctl_value(tool, "email")));
    ctl_add(&out, &first, "password", password->text);
    if (name)
        ctl_add(&out, &first, "name", str_of_z(name));
    json_add_name(&out, &first, STR("roles"));
    text_add_byte(&out, '[');
    for (str rest = str_of_z(roles); rest.ptr;) {
        if (!first_role)
            text_add_byte(&out, ',');
        first_role = false;
        json_add_string(&out, str_trim(str_cut(&rest, ',')));
    }
    text_add(&out, STR("]}"));
    return text_str(&out);
}

int ctl_users_create(struct tool *tool)
{
    const char *roles = ctl_value(tool, "role") ? ctl_value(tool, "role") : "staff";
    struct password password = { 0 };
    const struct json *answer;
    if (!ctl_value(tool, "email"))
        return ctl_complain(CTL_USAGE, "users create needs --email EMAIL");
    err error = password_asked(tool, &password);
    if (error != OK)
        return ctl_complain_error(tool, error);
    int code =
        ctl_ask(tool, "POST", "/operator/users", create_json(tool, roles, &password), &answer);
    if (code != 0)
        return code;
    printf("created %" STR_F " (%s), id %" STR_F "\n", STR_A(ctl_text(answer, "email")), roles,
           STR_A(ctl_text(answer, "id")));
    password_show(&password);
    return 0;
}

/* ---- dukactl users password ---- */

int ctl_users_password(struct tool *tool)
{
    struct password password = { 0 };
    const struct json *answer;
    err error = password_asked(tool, &password);
    if (error != OK)
        return ctl_complain_error(tool, error);
    struct text json = text_init(tool->arena, 512);
    bool first = true;
    text_add_byte(&json, '{');
    ctl_add(&json, &first, "email", str_of_z(tool->operands[0]));
    ctl_add(&json, &first, "password", password.text);
    text_add_byte(&json, '}');
    int code = ctl_ask(tool, "PUT", "/operator/users/password", text_str(&json), &answer);
    if (code != 0)
        return code;
    printf("set the password of %" STR_F "; its sessions have ended\n",
           STR_A(ctl_text(answer, "email")));
    password_show(&password);
    return 0;
}
