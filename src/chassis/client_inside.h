/* What client.c (which way) and client_remote.c (by gRPC) share; nobody else includes it. */
#pragma once
#include "chassis/client.h"

struct remote;

/* See client_open_remote. The caller closes it. */
struct remote *remote_open(const struct client_remote *config);
void remote_close(struct remote *remote); /* accepts NULL */

/* See client_call. */
err remote_call(struct remote *remote, struct call *caller, const struct call_spec *spec,
                const void *in, const void **out);
