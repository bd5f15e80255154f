/* duka-users: Users in a process of its own. */
#include "apps/program.h"

int main(int argc, char **argv)
{
    static const struct shop_member *const members[] = { &users_member };
    static const struct program users = {
        .name = "duka-users",
        .about =
            "who may come in: accounts, sessions, keys. One service of a shop that runs apart.",
        .members = members,
        .members_count = 1,
    };
    return program_main(&users, argc, argv);
}
