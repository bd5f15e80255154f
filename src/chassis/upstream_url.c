#include "chassis/upstream_url.h"

#include "base/arena.h"

enum { PORT_CLEAR = 80, PORT_TLS = 443, NAME_BYTES_MAX = 253, PATH_BYTES_MAX = 107 };

static err refuse(struct arena *arena, str text, const char *setting, const char *why)
{
    return fail(arena, SETTING_INVALID,
                "%s: \"%" STR_F "\" %s: give http://HOST, https://HOST:PORT, dns:///HOST:PORT or "
                "unix:/path, several hosts with a comma between",
                setting, STR_A(text), why);
}

/* Letters, digits, '-', '.', '_' of a name; ':' too inside the brackets of an IPv6 address. */
static bool is_name(str name, bool is_v6)
{
    if (name.len == 0 || name.len > NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || (is_v6 ? c == ':' : c == '-' || c == '_');
        if (!is_fine)
            return false;
    }
    return true;
}

static bool port_read(str text, uint16_t *port)
{
    int64_t number;

    if (!str_to_int64(text, 1, UINT16_MAX, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

/* "name", "name:port", "[v6]", "[v6]:port" */
static bool host_read(str text, uint16_t port, struct upstream_host *out)
{
    bool is_v6 = text.len > 0 && text.ptr[0] == '[';
    str rest = is_v6 ? str_slice(text, 1, text.len) : text;

    *out = (struct upstream_host){ .name = str_cut(&rest, is_v6 ? ']' : ':'), .port = port };
    if (is_v6 && !rest.ptr)
        return false; /* the bracket is not closed */
    if (is_v6 && rest.len > 0 && rest.ptr[0] != ':')
        return false;
    if (is_v6)
        rest = rest.len > 0 ? str_slice(rest, 1, rest.len) : STR_NONE;
    return is_name(out->name, is_v6) && (!rest.ptr || port_read(rest, &out->port));
}

static err unix_read(struct arena *arena, str text, const char *setting, struct upstream_url *out)
{
    str path = str_slice(text, 5, text.len);

    if (path.len == 0 || path.ptr[0] != '/' || path.len > PATH_BYTES_MAX)
        return refuse(arena, text, setting, "has no path that a socket can have");
    out->authority = STR("localhost");
    out->hosts[0] = (struct upstream_host){ .name = path };
    out->hosts_count = 1;
    return OK;
}

static bool scheme_cut(str text, struct upstream_url *out, str *rest)
{
    static const struct {
        str scheme;
        bool tls;
    } schemes[] = { { STR("http://"), false },
                    { STR("https://"), true },
                    { STR("dns:///"), false } };

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (!str_starts(text, schemes[i].scheme))
            continue;
        *rest = str_slice(text, schemes[i].scheme.len, text.len);
        out->tls = schemes[i].tls;
        return true;
    }
    return false;
}

err upstream_url_read(struct arena *arena, str text, const char *setting, struct upstream_url *out)
{
    ASSERT(arena && setting && out);
    str rest;

    *out = (struct upstream_url){ 0 };
    if (str_starts(text, STR("unix:")))
        return unix_read(arena, text, setting, out);
    if (!scheme_cut(text, out, &rest))
        return refuse(arena, text, setting, "has no scheme that is known");
    if (str_ends(rest, STR("/")))
        rest = str_slice(rest, 0, rest.len - 1);

    uint16_t standard = out->tls ? PORT_TLS : PORT_CLEAR;
    while (rest.ptr) {
        str part = str_trim(str_cut(&rest, ','));
        if (out->hosts_count == UPSTREAM_HOSTS_MAX)
            return refuse(arena, text, setting, "has more than 16 hosts");
        if (!host_read(part, standard, &out->hosts[out->hosts_count++]))
            return refuse(arena, text, setting, "has a host or port that cannot be one");
        if (out->hosts_count == 1)
            out->authority = part;
    }
    return OK;
}
