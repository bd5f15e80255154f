/* The services as the programs of a shop see them: what each has in its service.h, in a table, so
 * that a program links just those that it has. */
#pragma once
#include "chassis/service.h"

/* What a program may be made of. The gateway has no data and is no member: it is a door. */
enum shop_part {
    SHOP_USERS = 1,
    SHOP_PRODUCTS = 2,
    SHOP_ORDERS = 4,
    SHOP_GATEWAY = 8,
    SHOP_SERVICES = SHOP_USERS | SHOP_PRODUCTS | SHOP_ORDERS
};

enum { SHOP_MEMBERS_MAX = 3 };

struct shop_member {
    enum shop_part part;
    const char *name;       /* "orders" */
    enum setting own_door;  /* the address where it answers directly, beside a gateway */
    unsigned calls;         /* the services that it asks: bits by enum shop_part */
    const char *extra_name; /* of a second database, for backups; NULL: it has none */

    err (*migrate)(struct arena *arena, const struct conf *conf, int *applied);
    /* `users` and `products` are clients of those that it calls, and its own then; NULL else. */
    err (*open)(struct arena *arena, const struct house *house, struct client *users,
                struct client *products, void **out);
    struct service *(*service)(void *self);
    struct db *(*extra)(void *self); /* the second database */
    void (*start)(void *self);
    void (*stop)(void *self); /* accepts NULL, like close */
    void (*close)(void *self);

    /* For dukactl; NULL where the service has nothing to say of it. */
    /* Adds the members of a JSON object that it knows of an order, beside what its calls tell. */
    err (*tell_order)(void *self, struct arena *arena, struct uuid order, struct text *out,
                      bool *first);
    /* Makes a key that signs from KEYS_GRACE_S on (`drops_others`: at once, alone). */
    err (*rotate_keys)(void *self, struct arena *arena, bool drops_others, time_us now, str *kid);
};

extern const struct shop_member users_member, products_member, orders_member;
