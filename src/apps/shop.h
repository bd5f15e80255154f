/* A shop without its doors: those of the services that this program has, their bus, workers and
 * token checks. What the programs and the simulator open; sockets and signals are program.c's. */
#pragma once
#include "apps/members.h"

struct loop;

struct shop_config {
    const struct conf *conf; /* must live as long as the shop */
    const struct shop_member *const *members;
    int members_count;
    bool has_gateway;                /* the program is the shop's public door, too */
    str name;                        /* of the program, for what it vouches for */
    struct loop *loop;               /* for calls to other programs; NULL where there are none */
    const struct bus_faults *faults; /* the bus's, for tests; may be NULL */
    /* What a simulator puts in the place of brokers and sockets; NULL in programs. The bus is the
     * shop's then, and a client its own who gets it. */
    struct bus *bus;
    struct client *(*way_to)(void *self, enum shop_part service);
    void *self;
};

/* A service that runs here. */
struct shop_place {
    const struct shop_member *member;
    void *self;
    struct service *service;
};

struct neighbours;
struct follower;

struct shop {
    struct arena *arena;
    unsigned parts; /* bits by enum shop_part */
    struct house house;
    struct neighbours *neighbours; /* programs elsewhere; NULL where there are none */
    struct follower *follower;     /* hears from Users elsewhere; NULL where Users is here */
    struct shop_place places[SHOP_MEMBERS_MAX];
    int places_count;
    bool started;
};

/* The three services, in the order in which they open: what a whole shop has. */
extern const struct shop_member *const SHOP_ALL[SHOP_MEMBERS_MAX];

/* Opens its services, in order; nothing runs yet but workers and writers. Fails with what the
 * services' opens fail with, and with SETTING_INVALID where a setting does not fit the parts. */
err shop_open(struct arena *arena, const struct shop_config *config, struct shop **out);

/* Makes what all services need at the broker that BUS_URL names. Fails with BUS_UNAVAILABLE,
 * BUS_REFUSED, or SETTING_INVALID. */
err shop_bus_setup(struct arena *arena, const struct conf *conf);

/* Starts the bus, relays, timers and lanes. */
void shop_start(struct shop *shop);

/* Answers waiting calls as things stand and stops all that runs by itself. Calls under way still
 * end. */
void shop_stop(struct shop *shop);

/* After shop_stop, and after the last call was answered. Accepts NULL, and a shop that was never
 * started. */
void shop_close(struct shop *shop);

/* The service of that name ("users", "products", "orders"), or NULL where there is none here. */
struct service *shop_service(struct shop *shop, str name);
