/* duka-gateway: the gateway in a process of its own. */
#include "apps/program.h"

int main(int argc, char **argv)
{
    static const struct program gateway = {
        .name = "duka-gateway",
        .about = "the public door of a shop that runs apart.",
        .front = &front_gateway,
    };
    return program_main(&gateway, argc, argv);
}
