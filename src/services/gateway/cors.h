/* Which pages of other origins may call from a browser (CORS, as the Fetch standard has it). Pure.
 *
 * A page may read what we answer if its origin stands in CORS_ORIGINS; every other page is kept
 * from it by its browser, and its preflight is refused. That is no lock: who may call what is
 * judged by token and role, whatever the origin. Tokens travel in Authorization, never in a cookie,
 * so a page cannot borrow what its reader is signed in to, and credentials are off unless
 * CORS_CREDENTIALS. */
#pragma once
#include "chassis/request.h"

enum { CORS_ORIGINS_MAX = 64 };

struct cors {
    const str *origins; /* as browsers write them: "https://shop.example:8443" */
    int origins_count;
    bool any;         /* "*": every page, never with credentials */
    bool credentials; /* pages may send cookies and HTTP authentication along (of a proxy before us)
                       */
    str max_age_s;    /* how long a browser may remember a preflight */
};

/* Reads the list of origins: empty, "*", or "https://a.example, http://localhost:5173". Fails with
 * SETTING_INVALID naming what is wrong; so does "*" together with credentials. */
err cors_parse(struct arena *arena, str origins, bool credentials, int64_t max_age_ms,
               struct cors *out);

/* The request is a preflight: a browser asks whether a page may make a call. */
bool cors_is_preflight(const struct request *request);

/* Adds to whatever answer comes what a browser needs to show it to the page; for a page that may
 * not read it only that the answer depends on the origin. Doing it twice changes nothing. */
void cors_apply(const struct cors *cors, struct request *request);

/* Answers a preflight: 204 with what a page may send. Fails with CORS_ORIGIN for an origin that is
 * not in the list. */
err cors_preflight(const struct cors *cors, struct request *request);
