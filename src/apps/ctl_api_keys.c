/* API keys: made, listed and revoked by the operator. */
#include "apps/ctl.h"

#include <stdio.h>

enum { ASK_TIMEOUT_MS = 30000 };

/* "a,b" as ["a","b"]. */
static void add_list(struct text *out, bool *first, const char *name, str list)
{
    bool first_word = true;
    json_add_name(out, first, str_of_z(name));
    text_add_byte(out, '[');
    for (str rest = list; rest.ptr;) {
        if (!first_word)
            text_add_byte(out, ',');
        first_word = false;
        json_add_string(out, str_trim(str_cut(&rest, ',')));
    }
    text_add_byte(out, ']');
}

int ctl_api_keys_create(struct tool *tool)
{
    const char *name = ctl_value(tool, "name"), *scopes = ctl_value(tool, "scopes");
    const char *expires = ctl_value(tool, "expires");
    const struct json *answer;
    if (!name || !scopes)
        return ctl_complain(CTL_USAGE, "api-keys create needs --name NAME and --scopes SCOPES");
    struct text json = text_init(tool->arena, 512);
    bool first = true;
    text_add_byte(&json, '{');
    ctl_add(&json, &first, "name", str_of_z(name));
    add_list(&json, &first, "scopes", str_of_z(scopes));
    if (expires)
        ctl_add(&json, &first, "expires_at", str_of_z(expires));
    text_add_byte(&json, '}');
    int code = ctl_ask(tool, "POST", "/users/api-keys", text_str(&json), &answer);
    if (code != 0)
        return code;
    printf("created %" STR_F ", id %" STR_F "\nsecret: %" STR_F "\n",
           STR_A(ctl_text(answer, "name")), STR_A(ctl_text(answer, "id")),
           STR_A(ctl_text(answer, "secret")));
    fputs("The secret is not shown again.\n", stderr);
    return CTL_OK;
}

/* "revoked 2026-…", "expires 2026-…", "lasts". */
static str standing_of(struct arena *arena, const struct json *key)
{
    if (json_member(key, STR("revoked_at")))
        return str_format(arena, "revoked %" STR_F, STR_A(ctl_text(key, "revoked_at")));
    if (json_member(key, STR("expires_at")))
        return str_format(arena, "expires %" STR_F, STR_A(ctl_text(key, "expires_at")));
    return STR("lasts");
}

static void print_key(struct arena *arena, const struct json *key)
{
    struct json_walk scope = json_walk_of(json_member(key, STR("scopes")));
    bool is_used = json_member(key, STR("used_at"));
    printf("%" STR_F " %" STR_F "  ", STR_A(ctl_text(key, "id")), STR_A(ctl_text(key, "prefix")));
    for (bool first = true; json_next(&scope); first = false)
        printf("%s%" STR_F, first ? "" : ",", STR_A(json_string(scope.value)));
    printf("  %" STR_F ", used %" STR_F "  %" STR_F "\n", STR_A(standing_of(arena, key)),
           STR_A(is_used ? ctl_text(key, "used_at") : STR("never")), STR_A(ctl_text(key, "name")));
}

int ctl_api_keys_list(struct tool *tool)
{
    const char *path = "/users/api-keys?limit=100";
    for (int count = 0; path;) {
        const struct json *answer;
        int code = ctl_ask(tool, "GET", path, STR_NONE, &answer);
        if (code != 0)
            return code;
        struct json_walk walk = json_walk_of(json_member(answer, STR("items")));
        for (; json_next(&walk); count++)
            print_key(tool->arena, walk.value);
        path = NULL;
        if (json_member(answer, STR("next")))
            path = str_z(tool->arena,
                         str_format(tool->arena, "/users/api-keys?limit=100&after=%" STR_F,
                                    STR_A(ctl_text(answer, "next"))));
        else
            fprintf(stderr, "%d API keys\n", count);
    }
    return CTL_OK;
}

int ctl_api_keys_revoke(struct tool *tool)
{
    struct asked asked;
    str path = str_format(tool->arena, "/users/api-keys/%s", tool->operands[0]);
    err error = ask_operator(tool->arena, tool->socket, "DELETE", str_z(tool->arena, path),
                             STR_NONE, ASK_TIMEOUT_MS, &asked);
    if (error != OK)
        return ctl_complain_error(tool, error);
    if (asked.status >= 400)
        return ctl_complain(CTL_REFUSED, "%" STR_F, STR_A(asked_refusal(tool->arena, &asked)));
    printf("revoked %s: it is refused everywhere within 5 seconds\n", tool->operands[0]);
    return CTL_OK;
}
