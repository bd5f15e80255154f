/* Writes the heads of answers in HTTP/1.1 (RFC 9112). Pure. */
#pragma once
#include "chassis/request.h"

struct http_write {
    const char *date;     /* of the Date header */
    bool close;           /* the connection ends after this answer */
    bool chunked;         /* the body's length is not known: it comes in chunks */
    bool unmeasured;      /* nor in chunks: it ends with the connection (HTTP/1.0) */
    bool says_keep_alive; /* an HTTP/1.0 client that asked for it must be told */
};

/* Adds status line, headers and the empty line. Content-Length is that of the response's body, also
 * where the body itself is not sent (HEAD). A control character in a header's value becomes a
 * space. */
void http_write_head(struct text *out, const struct request *request, const struct http_write *how);

/* The length that Content-Length tells. */
int64_t http_content_length(const struct response *response);

/* Tells whether a status has a body at all. */
bool http_status_has_body(int status);
