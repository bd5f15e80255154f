/* The header fields of an answer as HTTP/2 wants them: a list, names in lower case. Pure. */
#pragma once
#include "chassis/request.h"

enum { HTTP2_FIELDS_MAX = RESPONSE_HEADERS_MAX + 20 };

/* Lists the fields of the answer, ":status" first; they live in the request's arena. What HTTP/2
 * forbids (Connection) is left out. Gives how many there are. */
int http2_fields(const struct request *request, const char *date,
                 struct header fields[HTTP2_FIELDS_MAX]);
