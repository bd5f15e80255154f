#include "chassis/http_head.h"

#include <string.h>

bool http_method_of(str word, enum http_method *method, str *text)
{
    static const struct {
        enum http_method method;
        str text;
    } methods[] = {
        { HTTP_GET, { "GET", 3 } },         { HTTP_POST, { "POST", 4 } },
        { HTTP_PUT, { "PUT", 3 } },         { HTTP_PATCH, { "PATCH", 5 } },
        { HTTP_DELETE, { "DELETE", 6 } },   { HTTP_HEAD, { "HEAD", 4 } },
        { HTTP_OPTIONS, { "OPTIONS", 7 } },
    };

    ASSERT(method && text);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (!str_equal(methods[i].text, word))
            continue;
        *method = methods[i].method;
        *text = methods[i].text;
        return true;
    }
    return false;
}

bool http_method_is_known(str word)
{
    static const char *const words[] = { "TRACE",  "QUERY",  "PROPFIND", "PROPPATCH", "MKCOL",
                                         "COPY",   "MOVE",   "LOCK",     "UNLOCK",    "SEARCH",
                                         "REPORT", "PURGE",  "LINK",     "UNLINK",    "BIND",
                                         "UNBIND", "REBIND", "ACL",      "CHECKOUT",  "MERGE" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (str_equal(word, str_of_z(words[i])))
            return true;
    return false;
}

/* ---- Headers ---- */

bool http_is_authority(str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_plain && (c == '\0' || !strchr("-._~:[]%!$&'()*+,;=", c)))
            return false;
    }
    return true;
}

/* A tab is none here (RFC 9110, 5.5). */
static bool has_control(str s)
{
    if (!str_has_control(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return true;
    return false;
}

static const str SINGLES[HTTP_SINGLES_COUNT] = {
    [HTTP_SINGLE_HOST] = { "host", 4 },
    [HTTP_SINGLE_CONTENT_TYPE] = { "content-type", 12 },
    [HTTP_SINGLE_AUTHORIZATION] = { "authorization", 13 },
    [HTTP_SINGLE_IDEMPOTENCY_KEY] = { "idempotency-key", 15 },
    [HTTP_SINGLE_IF_MATCH] = { "if-match", 8 },
    [HTTP_SINGLE_CONTENT_LENGTH] = { "content-length", 14 },
    [HTTP_SINGLE_TRANSFER_ENCODING] = { "transfer-encoding", 17 },
    [HTTP_SINGLE_EXPECT] = { "expect", 6 },
};

const char *http_header_judge(unsigned *seen, str name, str value, enum http_single *which)
{
    ASSERT(seen && which);

    if (has_control(value))
        return "A header has a control character.";
    int found = 0;
    while (found < HTTP_SINGLES_COUNT &&
           (SINGLES[found].len != name.len || !str_equal(SINGLES[found], name)))
        found++;
    *which = (enum http_single)found;
    if (found == HTTP_SINGLES_COUNT)
        return NULL;

    if (*seen & (1U << found))
        return "A header that may come once came twice.";
    *seen |= 1U << found;
    if (found == HTTP_SINGLE_HOST && !http_is_authority(value))
        return "Host is not a host.";
    return NULL;
}

/* ---- The target ---- */

const char *http_target_judge(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~' || bytes[i] == '#')
            return "The target has a character that must be percent-encoded.";
    return NULL;
}

/* The path counts, and the host instead of the header's. That the header is there was checked. */
static const char *absolute_split(struct request *request, str after_scheme)
{
    size_t end = 0;

    while (end < after_scheme.len && after_scheme.ptr[end] != '/' && after_scheme.ptr[end] != '?')
        end++;
    str authority = str_slice(after_scheme, 0, end);
    if (authority.len == 0 || !http_is_authority(authority))
        return "The target names no host.";
    for (int i = 0; i < request->headers_count; i++)
        if (str_equal(request->headers[i].name, STR("host")))
            request->headers[i].value = authority;
    request->path = str_slice(after_scheme, end, after_scheme.len);
    return NULL;
}

const char *http_target_split(struct request *request, bool *asterisk)
{
    ASSERT(request && asterisk);
    str target = request->path;

    *asterisk = request->method == HTTP_OPTIONS && str_equal(target, STR("*"));
    if (*asterisk)
        return NULL;

    for (int i = 0; i < 2; i++) {
        str scheme = i == 0 ? STR("http://") : STR("https://");
        if (str_equal_fold(str_slice(target, 0, scheme.len), scheme)) {
            const char *reason = absolute_split(request, str_slice(target, scheme.len, target.len));
            if (reason)
                return reason;
            break;
        }
    }

    ptrdiff_t mark = str_find_byte(request->path, '?');
    if (mark >= 0) {
        request->query = str_slice(request->path, (size_t)mark + 1, request->path.len);
        request->path = str_slice(request->path, 0, (size_t)mark);
    }
    if (request->path.len == 0 && request->path.ptr != target.ptr)
        request->path = STR("/"); /* "http://host" and "http://host?query" */
    if (request->path.len == 0 || request->path.ptr[0] != '/')
        return "The target is not a path.";
    return NULL;
}
