/* The list of all services: apart from shop.c, so that a program of one service links that one. */
#include "apps/shop.h"

const struct shop_member *const SHOP_ALL[SHOP_MEMBERS_MAX] = { &users_member, &products_member,
                                                               &orders_member };
