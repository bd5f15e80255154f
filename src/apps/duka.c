/* duka: the whole shop in one process. */
#include "apps/program.h"

int main(int argc, char **argv)
{
    static const struct program duka = {
        .name = "duka",
        .about = "a shop without a face: the whole back end in one process.",
        .members = SHOP_ALL,
        .members_count = SHOP_MEMBERS_MAX,
        .front = &front_gateway,
    };
    return program_main(&duka, argc, argv);
}
