#include "chassis/http_write.h"

#include "base/arena.h"

#include <string.h>

static const char *phrase_of(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 402, "Payment Required" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 422, "Unprocessable Content" },
        { 428, "Precondition Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 499, "Client Closed Request" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
        { 507, "Insufficient Storage" },
    };

    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return ""; /* the phrase may be empty */
}

bool http_status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

int64_t http_content_length(const struct response *response)
{
    ASSERT(response);
    return response->body.len > 0 ? (int64_t)response->body.len : response->head_length;
}

/* A value may repeat what a client said: it must not begin another header. */
static void value_add(struct text *out, str value)
{
    size_t from = out->len;

    text_add(out, value);
    if (!str_has_control(value))
        return;
    for (size_t i = from; i < out->len; i++)
        if ((unsigned char)out->ptr[i] < ' ' || out->ptr[i] == 0x7f)
            out->ptr[i] = ' ';
}

static void header_add(struct text *out, str name, str value)
{
    text_reserve(out, name.len + value.len + 4);
    text_add(out, name);
    text_add_byte(out, ':');
    text_add_byte(out, ' ');
    value_add(out, value);
    text_add_byte(out, '\r');
    text_add_byte(out, '\n');
}

static void ids_add(struct text *out, const struct request *request)
{
    if (request->request_id[0])
        header_add(out, STR("X-Request-Id"), str_of_z(request->request_id));
    if (request->trace_id[0]) {
        text_add(out, STR("traceparent: 00-"));
        text_add(out, str_of(request->trace_id, 32));
        text_add_byte(out, '-');
        text_add(out, str_of(request->span_id, 16));
        text_add(out, request->sampled ? STR("-01\r\n") : STR("-00\r\n"));
    }
}

void http_write_head(struct text *out, const struct request *request, const struct http_write *how)
{
    ASSERT(out && request && how);
    const struct response *response = &request->response;
    ASSERT(response->status >= 200 && response->status <= 599);

    if (response->status == 200) {
        text_add(out, STR("HTTP/1.1 200 OK\r\nDate: "));
    } else {
        text_add(out, STR("HTTP/1.1 "));
        text_add_int(out, response->status);
        text_add_byte(out, ' ');
        text_add(out, str_of_z(phrase_of(response->status)));
        text_add(out, STR("\r\nDate: "));
    }
    text_add(out, str_of_z(how->date));
    text_add(out, STR("\r\n"));

    if (http_status_has_body(response->status)) {
        if (response->content_type.len > 0)
            header_add(out, STR("Content-Type"), response->content_type);
        if (how->chunked) {
            text_add(out, STR("Transfer-Encoding: chunked\r\n"));
        } else if (!how->unmeasured) {
            text_add(out, STR("Content-Length: "));
            text_add_int(out, http_content_length(response));
            text_add(out, STR("\r\n"));
        }
    }
    for (int i = 0; i < response->headers_count; i++)
        header_add(out, response->headers[i].name, response->headers[i].value);
    for (int i = 0; i < request->extra_count; i++)
        header_add(out, request->extra[i].name, request->extra[i].value);
    ids_add(out, request);
    if (how->close)
        text_add(out, STR("Connection: close\r\n"));
    else if (how->says_keep_alive)
        text_add(out, STR("Connection: keep-alive\r\n"));
    text_add(out, STR("\r\n"));
}
