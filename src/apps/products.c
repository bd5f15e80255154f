/* duka-products: Products in a process of its own. */
#include "apps/program.h"

int main(int argc, char **argv)
{
    static const struct shop_member *const members[] = { &products_member };
    static const struct program products = {
        .name = "duka-products",
        .about = "the catalog and the stock. One service of a shop that runs apart.",
        .members = members,
        .members_count = 1,
    };
    return program_main(&products, argc, argv);
}
