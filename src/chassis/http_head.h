/* What the head of a request may say and means, whichever version of HTTP carried it (RFC 9110).
 * Pure. Functions that judge give NULL, or the reason why the request is malformed. */
#pragma once
#include "chassis/request.h"

/* The headers that may come once, and must, or others would read another request than we do. */
enum http_single {
    HTTP_SINGLE_HOST,
    HTTP_SINGLE_CONTENT_TYPE,
    HTTP_SINGLE_AUTHORIZATION,
    HTTP_SINGLE_IDEMPOTENCY_KEY,
    HTTP_SINGLE_IF_MATCH,
    HTTP_SINGLE_CONTENT_LENGTH,
    HTTP_SINGLE_TRANSFER_ENCODING,
    HTTP_SINGLE_EXPECT,
    HTTP_SINGLES_COUNT
};

/* The method of a word ("PATCH"), with a text of it that lasts; false for others. */
bool http_method_of(str word, enum http_method *method, str *text);

/* A method that is well known and that no call takes: it hears 405 and not 501. */
bool http_method_is_known(str word);

/* Letters, digits and the marks of an authority; so none of the separators of a target. */
bool http_is_authority(str s);

/* Judges a header by its lower-case name. `*seen` has a bit for each http_single that came;
 * `*which` is that of this one, or HTTP_SINGLES_COUNT. */
const char *http_header_judge(unsigned *seen, str name, str value, enum http_single *which);

/* Judges bytes of a target, before it is split. */
const char *http_target_judge(const char *bytes, size_t len);

/* Splits the target in request->path into path and query. "http://host:port/path" is a target too:
 * its host takes the place of the header's (RFC 9112, 3.2.2). `*asterisk`: it is "OPTIONS *". */
const char *http_target_split(struct request *request, bool *asterisk);
