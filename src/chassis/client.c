#include "chassis/client.h"
#include "chassis/service.h"

struct client {
    struct arena *arena;
    struct service *neighbour;
};

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
    return service_call_inline(client->neighbour, caller, spec, in, out);
}
