#include "chassis/loopback.h"
#include "os/clock.h"

enum { LOOPBACK_BYTES_MAX = 1024 * 1024 };

static void answered(struct request *request) { arena_close(request->arena); }

void loopback_post(struct service *service, str path, struct header header, str body)
{
    ASSERT(service && path.len > 0);
    struct arena *arena = arena_open(LOOPBACK_BYTES_MAX);
    struct request *request = arena_new(arena, struct request);
    struct header *headers = arena_array(arena, struct header, 2);
    headers[0] = (struct header){ STR("content-type"), STR("application/json") };
    headers[1] = (struct header){ str_copy(arena, header.name), str_copy(arena, header.value) };
    *request = (struct request){ .arena = arena,
                                 .method = HTTP_POST,
                                 .method_text = STR("POST"),
                                 .path = str_copy(arena, path),
                                 .headers = headers,
                                 .headers_count = 2,
                                 .body = str_copy(arena, body),
                                 .peer_address = STR("loopback"),
                                 .received_us = clock_mono_us(),
                                 .respond = answered };
    request_identify(request);
    service_handle(service, request);
}
