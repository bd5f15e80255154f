#include "chassis/client.h"

#include "chassis/client_inside.h"
#include "chassis/service_inside.h"
#include "os/clock.h"

#include <string.h>

/* One of the three. */
struct client {
    struct arena *arena;
    struct service *neighbour;
    struct remote *remote;
    struct client_way way;
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

struct client *client_open_way(const struct client_way *way)
{
    ASSERT(way && way->call);
    struct client *client = client_new(NULL, NULL);
    client->way = *way;
    return client;
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
    if (client->way.call)
        return client->way.call(client->way.self, caller, spec, in, out);

    enum client_fate fate = faults_now.fate ? faults_now.fate(faults_now.self, spec) : CLIENT_GOES;
    if (fate == CLIENT_AWAY)
        return fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s is away", spec->short_name);
    TRY(service_call_inline(client->neighbour, caller, spec, in, out));
    return fate == CLIENT_ANSWER_LOST
               ? fail(caller->arena, UPSTREAM_UNAVAILABLE, "%s did not answer", spec->short_name)
               : OK;
}

/* ---- in the same process ---- */

static const struct call_spec *call_named(const struct service *service, const char *name)
{
    for (int i = 0; i < service->spec->calls_count; i++)
        if (strcmp(service->spec->calls[i].name, name) == 0)
            return &service->spec->calls[i];
    return NULL;
}

/* The neighbour's snapshot goes back even where the ceiling of the arena ends the caller. */
static void end_read(void *call) { call_read_end(call); }

err service_call_inline(struct service *service, struct call *caller, const struct call_spec *spec,
                        const void *in, const void **out)
{
    ASSERT(service && caller && spec && in);
    const struct call_spec *own = call_named(service, spec->name);
    ASSERT(own && own->handle);
    struct call *call = arena_new(caller->arena, struct call);
    *call = (struct call){ .arena = caller->arena,
                           .service = service,
                           .spec = own,
                           .who = { .known = true, .neighbour = true },
                           .now = clock_wall_us(),
                           .deadline_us = caller->deadline_us,
                           .cursor_life_us = caller->cursor_life_us,
                           .traceparent = caller->traceparent };
    if (clock_mono_us() > call->deadline_us)
        return fail(caller->arena, CALL_DEADLINE, "no time is left to ask %s", spec->short_name);
    TRY(auth_allow(service->config.house->auth, caller->arena, own->access, own, &call->who));
    TRY(message_validate(caller->arena, own->request, in));
    arena_defer(caller->arena, end_read, call);
    err error = own->handle(service->config.self, call, in);
    call_read_end(call);
    if (error != OK)
        return error;
    ASSERT(!call->write && call->answer);
    *out = call->answer;
    return OK;
}
