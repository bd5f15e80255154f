#include "chassis/bus_url.h"

#include "base/arena.h"
#include "chassis/request.h"

static err unreadable(struct arena *arena, const char *what)
{
    return fail(arena, SETTING_INVALID,
                "BUS_URL: %s; give local:, amqp(s)://host:5672, kafka(s)://host:9092, "
                "sqs://host/?region=name or direct:?NAME=http://host:3000",
                what);
}

static str take_scheme(struct arena *arena, str text, str *rest)
{
    ptrdiff_t colon = str_find_byte(text, ':');
    if (colon <= 0)
        return STR_NONE;
    *rest = str_slice(text, (size_t)colon + 1, SIZE_MAX);
    return str_lower(arena, str_slice(text, 0, (size_t)colon));
}

/* user:password@, where there is one. */
static err take_user(struct arena *arena, str *authority, struct bus_url *out)
{
    ptrdiff_t at = -1;
    for (size_t i = 0; i < authority->len; i++)
        if (authority->ptr[i] == '@')
            at = (ptrdiff_t)i;
    if (at < 0)
        return OK;
    str password = str_slice(*authority, 0, (size_t)at);
    str user = str_cut(&password, ':');
    if (!percent_decode(arena, user, false, &out->user))
        return unreadable(arena, "its user is not well encoded");
    if (password.ptr && !percent_decode(arena, password, false, &out->password))
        return unreadable(arena, "its password is not well encoded");
    *authority = str_slice(*authority, (size_t)at + 1, SIZE_MAX);
    return OK;
}

err bus_url_parse(struct arena *arena, str text, struct bus_url *out)
{
    ASSERT(arena && out);
    struct bus_url url = { .user = STR(""), .password = STR("") };
    str rest = STR_NONE;
    url.scheme = take_scheme(arena, text, &rest);
    if (!url.scheme.ptr)
        return unreadable(arena, "it has no scheme");
    if (str_starts(rest, STR("//")))
        rest = str_slice(rest, 2, SIZE_MAX);
    url.query = rest;
    rest = str_cut(&url.query, '?');
    str path = rest;
    str authority = str_cut(&path, '/');
    TRY(take_user(arena, &authority, &url));
    url.hosts = authority;
    if (path.ptr && !percent_decode(arena, path, false, &url.path))
        return unreadable(arena, "its path is not well encoded");
    *out = url;
    return OK;
}

str bus_url_option(const struct bus_url *url, str name, str standard)
{
    str rest = url->query;
    while (rest.ptr) {
        str value = str_cut(&rest, '&');
        if (str_equal(str_cut(&value, '='), name))
            return value.ptr ? value : STR("");
    }
    return standard;
}

/* Where the port's colon stands behind "[::1]"; -1 where there is none. */
static ptrdiff_t bracket_end(str host)
{
    ptrdiff_t end = str_find(host, STR("]:"));
    return end < 0 ? -1 : end + 1;
}

bool bus_url_host(const struct bus_url *url, int port_standard, str *host, int *port)
{
    str rest = url->hosts;
    str first = str_cut(&rest, ',');
    ptrdiff_t colon = str_starts(first, STR("[")) ? bracket_end(first) : str_find_byte(first, ':');
    int64_t number = port_standard;
    if (colon >= 0 &&
        !str_to_int64(str_slice(first, (size_t)colon + 1, SIZE_MAX), 1, 65535, &number))
        return false;
    *host = colon >= 0 ? str_slice(first, 0, (size_t)colon) : first;
    if (str_starts(*host, STR("[")) && str_ends(*host, STR("]")))
        *host = str_slice(*host, 1, host->len - 2);
    *port = (int)number;
    return host->len > 0;
}
