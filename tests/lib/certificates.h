/* Certificates made on the spot, for tests of TLS: an authority, and what it signs. */
#pragma once
#include "tests/lib/test.h"

struct certificate {
    str pem, key; /* both in PEM */
    void *x509, *pkey;
};

/* What a certificate says; names may be NULL. */
struct certificate_wish {
    const char *name; /* its subject */
    const char *dns;  /* "a.example,b.example" */
    const char *uri;
    int from_s, until_s;              /* from now; 0, 0: from an hour ago for a day */
    const struct certificate *issuer; /* NULL: itself */
    bool is_authority;
};

/* Makes one, in the arena of the test; its OpenSSL objects are freed with it. */
struct certificate certificate_make(struct test *t, struct certificate_wish wish);
