/* What a door that speaks gRPC answers itself: grpc.health.v1.Health (Check, Watch) and server
 * reflection (v1, v1alpha). Nobody has to say who they are for it.
 *
 * Watch and reflection are streams: a talk (request.h) each, at most GRPC_TALKS_MAX a door; one of
 * reflection that is silent for GRPC_TALK_IDLE_MS is ended. grpc-timeout ends them all. On the
 * loop's thread. */
#pragma once
#include "chassis/grpc_health.h"
#include "chassis/request.h"
#include "os/loop.h"

enum {
    GRPC_TALKS_MAX = 256,
    GRPC_TALK_BYTES_MAX = 16 * 1024, /* of a message */
    GRPC_TALK_IDLE_MS = 5 * 60 * 1000,
    GRPC_TALK_TICK_MS = 250 /* how late Watch may be */
};

struct grpc_door;

/* Opens it over the services of a door, which are copied. `reflects`: reflection is answered. */
struct grpc_door *grpc_door_open(struct loop *loop, const struct grpc_served *served,
                                 int served_count, bool reflects);

/* Whether the request is for this. */
bool grpc_door_is_for(const struct grpc_door *door, const struct request *request);

/* The head of such a request is there: one that is a stream becomes a talk, and its answer begins.
 */
void grpc_door_begin(struct grpc_door *door, struct request *request);

/* Answers such a request that is complete. */
void grpc_door_handle(struct grpc_door *door, struct request *request);

/* Nothing is serving from here on, and who watches hears so. */
void grpc_door_drain(struct grpc_door *door);

/* Ends all talks, so that their connections can end, and begins none any more. */
void grpc_door_stop(struct grpc_door *door);

/* Frees it, once the last talk has left. Accepts NULL. */
void grpc_door_close(struct grpc_door *door);
