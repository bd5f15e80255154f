#include "chassis/http_parse.h"

#include "chassis/http_head.h"

/* llhttp and our contracts both have an HTTP_GET; in this file llhttp's are called LLHTTP_GET. */
#define HTTP_GET LLHTTP_GET
#define HTTP_HEAD LLHTTP_HEAD
#define HTTP_POST LLHTTP_POST
#define HTTP_PUT LLHTTP_PUT
#define HTTP_PATCH LLHTTP_PATCH
#define HTTP_DELETE LLHTTP_DELETE
#define HTTP_OPTIONS LLHTTP_OPTIONS
#include <llhttp.h>
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_PATCH
#undef HTTP_DELETE
#undef HTTP_OPTIONS

#include <string.h>

enum { HEAD_BLOCK_BYTES = 2048 };

_Static_assert(sizeof(llhttp_t) <= HTTP_PARSE_STATE_BYTES, "llhttp has grown");

static llhttp_t *llhttp_of(struct http_parse *parse) { return (llhttp_t *)(void *)parse->state; }

/* Notes why, and gives what a callback returns to stop llhttp. */
static int refuse(struct http_parse *parse, enum err_code code, const char *reason)
{
    parse->failure = code;
    parse->reason = reason;
    return HPE_USER;
}

static int malformed(struct http_parse *parse, const char *reason)
{
    return refuse(parse, HTTP_MALFORMED, reason);
}

/* ---- The text of the head ---- */

/* Lengthens `*part`, which ends where the room begins; moves it where the room is too small. */
static void part_add(struct http_parse *parse, str *part, const char *bytes, size_t len)
{
    if (len > parse->room_left) {
        size_t block = 2 * (part->len + len);
        if (block < HEAD_BLOCK_BYTES)
            block = HEAD_BLOCK_BYTES;
        char *room = arena_grow(parse->request->arena, NULL, 0, block);
        if (part->len > 0)
            memcpy(room, part->ptr, part->len);
        *part = str_of(room, part->len);
        parse->room = room + part->len;
        parse->room_left = block - part->len;
    }
    if (!part->ptr)
        part->ptr = parse->room;
    memcpy(parse->room, bytes, len);
    parse->room += len;
    parse->room_left -= len;
    part->len += len;
}

static int on_url(llhttp_t *llhttp, const char *bytes, size_t len)
{
    struct http_parse *parse = llhttp->data;

    if (parse->request->path.len + len > parse->limits->target_bytes_max)
        return refuse(parse, HTTP_TARGET_TOO_LONG, "The target is too long.");
    const char *reason = http_target_judge(bytes, len);
    if (reason)
        return malformed(parse, reason);
    part_add(parse, &parse->request->path, bytes, len);
    parse->target_end = parse->head_bytes + (uint32_t)(bytes + len - parse->fed);
    return HPE_OK;
}

/* llhttp lets any number of spaces stand before the version; RFC 9112 lets one. */
static int on_version(llhttp_t *llhttp, const char *bytes, size_t len)
{
    (void)len;
    struct http_parse *parse = llhttp->data;

    uint32_t begin = parse->head_bytes + (uint32_t)(bytes - parse->fed);
    if (!parse->version_begun && begin != parse->target_end + strlen(" HTTP/"))
        return malformed(parse, "One space stands between target and version.");
    parse->version_begun = true;
    return HPE_OK;
}

/* What stands beside the body of a chunked request (extensions, trailers) is read and dropped, but
 * not without end. */
static int aside(struct http_parse *parse, size_t len)
{
    parse->aside_bytes += (uint32_t)len;
    if (parse->aside_bytes > parse->limits->head_bytes_max)
        return refuse(parse, HTTP_HEADERS_TOO_LARGE, "Chunk extensions or trailers are too long.");
    return HPE_OK;
}

static int on_chunk_extension(llhttp_t *llhttp, const char *bytes, size_t len)
{
    (void)bytes;
    return aside(llhttp->data, len);
}

static int on_header_field(llhttp_t *llhttp, const char *bytes, size_t len)
{
    struct http_parse *parse = llhttp->data;
    if (parse->head_done)
        return aside(parse, len);

    size_t before = parse->name.len;
    part_add(parse, &parse->name, bytes, len);
    char *name = (char *)(uintptr_t)parse->name.ptr;
    for (size_t i = before; i < parse->name.len; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] + ('a' - 'A'));
    return HPE_OK;
}

static int on_header_value(llhttp_t *llhttp, const char *bytes, size_t len)
{
    struct http_parse *parse = llhttp->data;
    if (parse->head_done)
        return aside(parse, len);

    part_add(parse, &parse->value, bytes, len);
    return HPE_OK;
}

static int header_check(struct http_parse *parse, str name, str value)
{
    enum http_single which;
    const char *reason = http_header_judge(&parse->seen, name, value, &which);

    if (reason)
        return malformed(parse, reason);
    if (which == HTTP_SINGLE_TRANSFER_ENCODING && !str_equal_fold(value, STR("chunked")))
        return malformed(parse, "The only transfer coding that is read is chunked.");
    if (which == HTTP_SINGLE_EXPECT)
        parse->expects_continue = str_equal_fold(value, STR("100-continue"));
    return HPE_OK;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct http_parse *parse = llhttp->data;
    struct request *request = parse->request;
    if (parse->head_done)
        return HPE_OK;

    if (request->headers_count == HEADERS_MAX)
        return refuse(parse, HTTP_HEADERS_TOO_LARGE, "Too many headers.");
    str value = str_trim(parse->value);
    if (!value.ptr)
        value = STR("");
    request->headers[request->headers_count++] = (struct header){ parse->name, value };
    int rc = header_check(parse, parse->name, value);
    parse->name = STR_NONE;
    parse->value = STR_NONE;
    return rc;
}

/* ---- The request line ---- */

static bool is_token_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* How long the word is that the request begins with. */
static size_t token_len(const struct http_parse *parse)
{
    size_t len = 0;

    while (len < parse->start_len && is_token_byte(parse->start[len]))
        len++;
    return len;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct http_parse *parse = llhttp->data;
    struct request *request = parse->request;

    if (llhttp->http_major != 1)
        return refuse(parse, HTTP_VERSION, "Only HTTP/1.1 and 1.0 are spoken.");
    if (llhttp->method == HTTP_CONNECT)
        return refuse(parse, HTTP_METHOD_UNKNOWN, "This is no proxy.");
    str method = str_of_z(llhttp_method_name((llhttp_method_t)llhttp->method));
    if (!http_method_of(method, &request->method, &request->method_text)) {
        request->method = HTTP_OTHER;
        request->method_text = method;
    }
    if (parse->start[token_len(parse) + 1] == ' ')
        return malformed(parse, "One space stands between method and target.");
    parse->http_1_0 = llhttp->http_minor == 0;
    if (!parse->http_1_0 && !(parse->seen & (1U << HTTP_SINGLE_HOST)))
        return malformed(parse, "Host is missing.");
    parse->chunked = (parse->seen & (1U << HTTP_SINGLE_TRANSFER_ENCODING)) != 0;
    if (parse->chunked && parse->http_1_0)
        return malformed(parse, "HTTP/1.0 has no transfer codings.");

    const char *reason = http_target_split(request, &parse->asterisk);
    if (reason)
        return malformed(parse, reason);
    llhttp->upgrade = 0; /* asked for by some (h2c), and politely not heard */
    parse->head_done = true;
    parse->keep_alive = llhttp_should_keep_alive(llhttp) != 0;
    parse->content_length = parse->chunked ? 0 : llhttp->content_length;
    parse->has_body = parse->chunked || parse->content_length > 0;
    return HPE_PAUSED;
}

/* ---- The body ---- */

static int on_body(llhttp_t *llhttp, const char *bytes, size_t len)
{
    struct http_parse *parse = llhttp->data;

    if (http_body_len(&parse->body, parse->request) + len > parse->body_bytes_max)
        return refuse(parse, HTTP_BODY_TOO_LARGE, "The body is too large.");
    http_body_add(&parse->body, parse->request, parse->content_length, parse->body_bytes_max,
                  str_of(bytes, len));
    return HPE_OK;
}

static int on_message_complete(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

/* ---- Feeding ---- */

static const llhttp_settings_t SETTINGS = {
    .on_url = &on_url,
    .on_version = &on_version,
    .on_header_field = &on_header_field,
    .on_header_value = &on_header_value,
    .on_header_value_complete = &on_header_value_complete,
    .on_headers_complete = &on_headers_complete,
    .on_body = &on_body,
    .on_message_complete = &on_message_complete,
    .on_chunk_extension_name = &on_chunk_extension,
    .on_chunk_extension_value = &on_chunk_extension,
};

void http_parse_init(struct http_parse *parse, const struct http_parse_limits *limits)
{
    ASSERT(parse);
    ASSERT(limits && limits->target_bytes_max < limits->head_bytes_max);

    memset(parse, 0, sizeof(*parse));
    parse->limits = limits;
    llhttp_t *llhttp = llhttp_of(parse);
    llhttp_init(llhttp, HTTP_REQUEST, &SETTINGS);
    llhttp->data = parse;
}

void http_parse_begin(struct http_parse *parse, struct request *request)
{
    ASSERT(parse && parse->limits);
    ASSERT(request && request->arena);

    size_t kept = offsetof(struct http_parse, request);
    memset((char *)parse + kept, 0, sizeof(*parse) - kept);
    parse->request = request;
    request->headers =
        arena_grow(request->arena, NULL, 0, HEADERS_MAX * sizeof(struct header)); /* not zeroed */
    request->headers_count = 0;
    llhttp_resume(llhttp_of(parse));
}

/* Tells whether what llhttp took for no method is a word where a method stands, not noise (TLS). */
static bool is_unknown_method(const struct http_parse *parse)
{
    size_t at = token_len(parse);
    return at > 0 && (at == parse->start_len || parse->start[at] == ' ');
}

/* Translates an error that llhttp found itself. */
static void failed(struct http_parse *parse, llhttp_errno_t error)
{
    const llhttp_t *llhttp = llhttp_of(parse);
    const char *reason = llhttp_get_error_reason(llhttp);
    bool is_spoken = llhttp->http_major == 1 && llhttp->http_minor <= 1; /* what follows is wrong */

    if (error == HPE_INVALID_METHOD && is_unknown_method(parse))
        (void)refuse(parse, HTTP_METHOD_UNKNOWN, "The method is not known.");
    else if ((error == HPE_INVALID_VERSION && !is_spoken) || error == HPE_PAUSED_H2_UPGRADE)
        (void)refuse(parse, HTTP_VERSION, "Only HTTP/1.1 and 1.0 are spoken.");
    else
        (void)malformed(parse, reason && *reason ? reason : "This is not HTTP.");
}

/* Keeps the first bytes, without the empty lines that may stand before a request. */
static void start_keep(struct http_parse *parse, const char *bytes, size_t len)
{
    size_t room = HTTP_START_BYTES - parse->start_len;

    while (parse->start_len == 0 && len > 0 && (*bytes == '\r' || *bytes == '\n')) {
        bytes++;
        len--;
    }
    if (len > room)
        len = room;
    memcpy(parse->start + parse->start_len, bytes, len);
    parse->start_len += len;
}

size_t http_parse_room(const struct http_parse *parse)
{
    ASSERT(parse && parse->request);
    return http_body_room(parse->request);
}

void http_parse_piece_taken(struct http_parse *parse)
{
    ASSERT(parse && parse->request && parse->request->stream);
    http_body_piece_taken(&parse->body, parse->request);
}

enum http_parse_event http_parse_feed(struct http_parse *parse, const char *bytes, size_t len,
                                      size_t *used)
{
    ASSERT(parse && parse->request);
    ASSERT(used && (len > 0 || parse->head_done));
    llhttp_t *llhttp = llhttp_of(parse);

    /* The head gets no more bytes than it may have, so its limit is exact. */
    bool in_head = !parse->head_done;
    if (in_head && parse->head_bytes + len > parse->limits->head_bytes_max)
        len = parse->limits->head_bytes_max - parse->head_bytes;
    if (in_head && parse->start_len < HTTP_START_BYTES)
        start_keep(parse, bytes, len);
    if (!in_head)
        llhttp_resume(llhttp); /* from the pause after the head */

    parse->fed = bytes;
    llhttp_errno_t error = llhttp_execute(llhttp, bytes, len);
    *used = error == HPE_OK ? len : (size_t)(llhttp_get_error_pos(llhttp) - bytes);
    if (in_head)
        parse->head_bytes += (uint32_t)*used;

    if (error == HPE_PAUSED)
        return in_head ? HTTP_PARSE_HEAD : HTTP_PARSE_END;
    if (error == HPE_OK && in_head && parse->head_bytes == parse->limits->head_bytes_max) {
        (void)refuse(parse, HTTP_HEADERS_TOO_LARGE, "The headers are too large.");
        return HTTP_PARSE_FAILED;
    }
    if (error == HPE_OK)
        return HTTP_PARSE_MORE;
    if (!parse->reason)
        failed(parse, error);
    return HTTP_PARSE_FAILED;
}
