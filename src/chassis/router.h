/* From a method and a path to a call of the contract. Pure. */
#pragma once
#include "chassis/request.h"

enum { PATH_VARIABLES_MAX = 4 };

/* The calls of one contract in the order in which they are tried: literals before variables. */
struct router {
    const struct routed_call {
        const struct call_spec *spec;
        str head; /* what its paths begin with: most are told from others by its end */
    } * calls;
    int calls_count;
    const struct call_spec *const *all; /* those without a path, too, in the contract's order */
    int all_count;
};

/* What a path was matched to. */
struct route_match {
    const struct call_spec *spec; /* NULL: none takes the method */
    unsigned allow; /* bits by enum http_method of the calls at this path; 0: no such path */
    str variables[PATH_VARIABLES_MAX]; /* as they came, percent-encoded, in the order of the
                                          template */
};

/* Sorts the routed calls of a contract so that the more literal template is tried first. */
struct router router_of(struct arena *arena, const struct service_spec *spec);

/* The same from a list of calls ("orders_calls"). It is borrowed. */
struct router router_of_calls(struct arena *arena, const struct call_spec *const *calls, int count);

/* The call of a request: by method and path as router_find does, or by the name of gRPC. */
struct route_match router_match(const struct router *router, const struct request *request);

/* Finds the call. HEAD is routed as GET where there is no HEAD. The most literal template that fits
 * has the path to itself: /products/categories is never the product of that handle, whatever the
 * method. */
struct route_match router_find(const struct router *router, enum http_method method, str path);

/* "GET, HEAD, POST": for the Allow header. */
str router_allow_text(struct arena *arena, unsigned allow);
