/* Which service a request goes to, who may send it, and how often: a table that is read from YAML.
 * Pure.
 *
 * The file is a list, tried from the top; the first route that fits is taken:
 *
 *     - path: /users/login       # this path and all below it, by whole segments; "/" is all
 *       exact: true              # this path only (default: false)
 *       host: shop.example.org   # default: any
 *       methods: [POST]          # default: all
 *       upstream: service:users  # or service:products, service:orders, or a URL
 *       timeout: 5s              # of a URL's; a service has its contract's deadlines
 *       rewrite: /login          # takes the place of `path` (default: as it is)
 *       access: anyone           # or customer, staff, admin; the service checks each call besides
 *       rate: sign_in            # or default, none
 *
 * Where a service is, is not said here: in this process, or where USERS_URL and its kin say. A URL
 * (upstream_url.h) leads to what is not of this shop's services. Traffic is divided by a list:
 *
 *       upstream:
 *         - to: service:orders
 *           weight: 95
 *         - to: http://orders-next:3000    # another version of the same service
 *           weight: 5
 *
 * A caller (user, else address) always goes the same way, at every gateway. What is not known is
 * refused. */
#pragma once
#include "chassis/spec.h"

enum {
    ROUTES_MAX = 256,
    ROUTES_BYTES_MAX = 256 * 1024,
    ROUTE_WAYS_MAX = 8,
    ROUTE_WEIGHT_MAX = 1000,
    ROUTE_FOREIGN = -1
};

enum rate_class { RATE_DEFAULT, RATE_SIGN_IN, RATE_NONE, RATE_CLASSES_COUNT };

/* One of the ways that a route's traffic is divided over. */
struct upstream;
struct route_way {
    str url;                   /* none: the service, where it is */
    int weight;                /* 0 to ROUTE_WEIGHT_MAX; not all of a route's are 0 */
    struct upstream *upstream; /* of the URL, set by whoever opens it (ways.h) */
};

struct route {
    str host; /* lower case, no port; none: any */
    str path;
    bool exact;
    unsigned methods; /* bits by enum http_method */
    bool rewrites;
    str rewrite;
    int upstream;           /* index of the service, or ROUTE_FOREIGN: what it leads to is none */
    struct route_way *ways; /* none: all to the service */
    int ways_count;
    int64_t timeout_ms; /* of a foreign one; 0: UPSTREAM_TIMEOUT */
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

/* The way of a caller, by a number that is always the same for it; NULL where there is one only, to
 * the service. */
const struct route_way *route_way_of(const struct route *route, uint32_t caller);

/* The path that the upstream sees. */
str route_path(struct arena *arena, const struct route *route, str path);
