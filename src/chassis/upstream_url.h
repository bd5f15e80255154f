/* Where a service behind us is: the text of a setting, read. Pure. */
#pragma once
#include "base/err.h"

enum { UPSTREAM_HOSTS_MAX = 16, UPSTREAM_URL_BYTES_MAX = 2000 };

struct upstream_host {
    str name; /* a DNS name or an IP address (IPv6 without brackets); of a Unix socket its path */
    uint16_t port; /* 0: a Unix socket */
};

struct upstream_url {
    bool tls;
    str authority; /* what :authority says: the first host, with its port unless it is the usual */
    struct upstream_host hosts[UPSTREAM_HOSTS_MAX];
    int hosts_count;
};

/* Reads "http://orders-service", "https://orders:8443", "dns:///orders.shop.svc:80" (in clear),
 * "unix:/path", and several hosts behind one scheme ("http://10.0.0.1:3000,10.0.0.2:3000"): all of
 * them, and all addresses of each, are the same service. No path, no user. Fails with
 * SETTING_INVALID naming the setting. The strings are borrowed from `text` or lie in the arena. */
err upstream_url_read(struct arena *arena, str text, const char *setting, struct upstream_url *out);
