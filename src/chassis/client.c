#include "chassis/client.h"
#include "chassis/service.h"

struct client {
    struct arena *arena;
    struct service *neighbour;
};

static struct client_faults faults_now;

void client_use_faults(const struct client_faults *faults)
{
    faults_now = faults ? *faults : (struct client_faults){ 0 };
}

struct client *client_open_inline(struct service *neighbour)
{
    ASSERT(neighbour);
    struct arena *arena = arena_open(ARENA_CHUNK_BYTES);
    struct client *client = arena_new(arena, struct client);
    *client = (struct client){ .arena = arena, .neighbour = neighbour };
    return client;
}

void client_close(struct client *client)
{
    if (client)
        arena_close(client->arena);
}

err client_call(struct client *client, struct call *caller, const struct call_spec *spec,
                const void *in, const void **out)
{
    ASSERT(client && caller && spec && in && out);
    enum client_fate fate = faults_now.fate ? faults_now.fate(faults_now.self, spec) : CLIENT_GOES;
    if (fate == CLIENT_AWAY)
        return fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s is away", spec->short_name);
    TRY(service_call_inline(client->neighbour, caller, spec, in, out));
    return fate == CLIENT_ANSWER_LOST
               ? fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s did not answer", spec->short_name)
               : OK;
}
