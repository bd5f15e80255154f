/* Which service a request goes to, who may send it, and how often: a table that is read from YAML.
 * Pure.
 *
 * The file is a list, tried from the top; the first route that fits is taken:
 *
 *     - path: /users/login       # this path and all below it, by whole segments; "/" is all
 *       exact: true              # this path only (default: false)
 *       host: shop.example.org   # default: any
 *       methods: [POST]          # default: all
 *       upstream: service:users  # or service:products, service:orders
 *       rewrite: /login          # takes the place of `path` (default: as it is)
 *       access: anyone           # or customer, staff, admin; the service checks each call besides
 *       rate: sign_in            # or default, none
 *
 * Where a service is, is not said here: in this process, or where USERS_URL and its kin say. What
 * is not known is refused. */
#pragma once
#include "chassis/spec.h"

enum { ROUTES_MAX = 256, ROUTES_BYTES_MAX = 256 * 1024 };

enum rate_class { RATE_DEFAULT, RATE_SIGN_IN, RATE_NONE, RATE_CLASSES_COUNT };

struct route {
    str host; /* lower case, no port; none: any */
    str path;
    bool exact;
    unsigned methods; /* bits by enum http_method */
    bool rewrites;
    str rewrite;
    int upstream; /* index of the local service */
    enum access access;
    enum rate_class rate;
};

struct routes {
    const struct route *items;
    int count;
};

/* The file that stands for no file: each service by the first segment of its paths. */
extern const str ROUTES_BUILTIN;

/* Reads a file. `upstreams` are the names of the local services. Fails with SETTING_INVALID: file,
 * line, what is wrong and what is allowed. */
err routes_parse(struct arena *arena, str yaml, str file, const str *upstreams, int upstreams_count,
                 struct routes *out);

struct route_found {
    const struct route *route; /* NULL: none */
    unsigned allow; /* then: the methods that routes of this host and path take, as bits */
};

/* Finds the route. `host` as of the Host header. */
struct route_found routes_find(const struct routes *routes, str host, enum http_method method,
                               str path);

/* The path that the upstream sees. */
str route_path(struct arena *arena, const struct route *route, str path);
