/* What the gateway answers itself: /openapi.json (what the contracts give) and /docs (a page that
 * shows it, and needs nothing from elsewhere). Pure. */
#pragma once
#include "chassis/request.h"

enum page { PAGE_NONE, PAGE_OPENAPI, PAGE_DOCS };

struct pages {
    str openapi_etag; /* by its bytes: two builds of the same contracts have the same */
};

/* What is made once; lives in the arena. */
struct pages pages_of(struct arena *arena);

/* The page at a path, if there is one. */
enum page page_of(str path);

/* Fills the response: 200 or 304, or METHOD_NOT_ALLOWED for what is neither GET nor HEAD. */
void page_answer(const struct pages *pages, enum page page, struct request *request);
