/* duka-orders: Orders in a process of its own. */
#include "apps/program.h"

int main(int argc, char **argv)
{
    static const struct shop_member *const members[] = { &orders_member };
    static const struct program orders = {
        .name = "duka-orders",
        .about = "orders and payments. One service of a shop that runs apart.",
        .members = members,
        .members_count = 1,
    };
    return program_main(&orders, argc, argv);
}
