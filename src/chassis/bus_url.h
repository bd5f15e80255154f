/* BUS_URL in its parts: scheme://user:password@host:port,host:port/path?name=value&name=value.
 * Pure.
 */
#pragma once
#include "base/err.h"

struct bus_url {
    str scheme;         /* lower case: "amqps" */
    str user, password; /* decoded; empty where there are none */
    str hosts;          /* as written: "one:9092,two:9092" */
    str path;           /* decoded, without the '/' that begins it; absent where there is no '/' */
    str query;
};

/* Reads one. Fails with SETTING_INVALID, telling what cannot be read but never the password. */
err bus_url_parse(struct arena *arena, str text, struct bus_url *out);

/* The value of an option of its query; `standard` where it is not there. */
str bus_url_option(const struct bus_url *url, str name, str standard);

/* Host and port of the first (or only) of its hosts; false where the port is none. */
bool bus_url_host(const struct bus_url *url, int port_standard, str *host, int *port);
