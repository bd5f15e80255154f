/* Signatures of requests to AWS (Signature Version 4), for POST and GET without a query. Pure. */
#pragma once
#include "base/arena.h"
#include "base/time.h"

enum { SIGV4_HEADERS_MAX = 16 };

struct sigv4_header {
    str name; /* lower case; in the order of their bytes */
    str value;
};

struct sigv4_request {
    str method, path;                   /* "/": as it goes over the wire */
    const struct sigv4_header *headers; /* host and x-amz-date among them */
    int headers_count;
    str body;
};

struct sigv4_key {
    str id, secret, region, service; /* "us-east-1", "sqs" */
};

/* "20150830T123600Z": the value of x-amz-date. */
str sigv4_date(struct arena *arena, time_us at);

/* The value of Authorization. `date` is that of x-amz-date. */
str sigv4_sign(struct arena *arena, const struct sigv4_key *key,
               const struct sigv4_request *request, str date);
