#include "chassis/client.h"

#include "chassis/client_inside.h"
#include "chassis/service.h"

/* One of the two. */
struct client {
    struct arena *arena;
    struct service *neighbour;
    struct remote *remote;
};

static struct client_faults faults_now;

void client_use_faults(const struct client_faults *faults)
{
    faults_now = faults ? *faults : (struct client_faults){ 0 };
}

static struct client *client_new(struct service *neighbour, struct remote *remote)
{
    struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
    struct client *client = arena_new(arena, struct client);
    *client = (struct client){ .arena = arena, .neighbour = neighbour, .remote = remote };
    return client;
}

struct client *client_open_inline(struct service *neighbour)
{
    ASSERT(neighbour);
    return client_new(neighbour, NULL);
}

struct client *client_open_remote(const struct client_remote *remote)
{
    ASSERT(remote && remote->upstream && remote->calls_max > 0);
    return client_new(NULL, remote_open(remote));
}

void client_close(struct client *client)
{
    if (!client)
        return;
    remote_close(client->remote);
    arena_close(client->arena);
}

err client_call(struct client *client, struct call *caller, const struct call_spec *spec,
                const void *in, const void **out)
{
    ASSERT(client && caller && spec && in && out);
    if (client->remote)
        return remote_call(client->remote, caller, spec, in, out);

    enum client_fate fate = faults_now.fate ? faults_now.fate(faults_now.self, spec) : CLIENT_GOES;
    if (fate == CLIENT_AWAY)
        return fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s is away", spec->short_name);
    TRY(service_call_inline(client->neighbour, caller, spec, in, out));
    return fate == CLIENT_ANSWER_LOST
               ? fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s did not answer", spec->short_name)
               : OK;
}
