#include "os/landlock.h"
#include "tests/lib/test.h"

#include "os/disk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two folders with a file each, of which one is ours; two listeners, of which one is named. */
struct scene {
    str ours, theirs, file;
    int named, other; /* listening sockets */
    uint16_t named_port, other_port;
    struct landlock_rules rules;
    struct landlock_place places[2];
    const char *path; /* what the job opens */
    uint16_t port;    /* what it connects or binds to */
};

static uint16_t listen_somewhere(int *fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;

    *fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(*fd >= 0 && bind(*fd, (struct sockaddr *)&address, len) == 0 && listen(*fd, 5) == 0);
    CHECK(getsockname(*fd, (struct sockaddr *)&address, &len) == 0);
    return ntohs(address.sin_port);
}

static struct scene *scene_open(struct test *t)
{
    struct scene *scene = arena_new(t->arena, struct scene);
    const char *folder = test_folder(t);

    scene->ours = str_format(t->arena, "%s/ours", folder);
    scene->theirs = str_format(t->arena, "%s/theirs", folder);
    CHECK_OK(disk_make_dirs(t->arena, scene->ours));
    CHECK_OK(disk_make_dirs(t->arena, scene->theirs));
    CHECK_OK(disk_write(t->arena, str_format(t->arena, "%s/ours/file", folder), STR("x"), 0600));
    CHECK_OK(disk_write(t->arena, str_format(t->arena, "%s/theirs/file", folder), STR("x"), 0600));
    scene->named_port = listen_somewhere(&scene->named);
    scene->other_port = listen_somewhere(&scene->other);
    scene->places[0] = (struct landlock_place){ scene->ours, true };
    scene->places[1] = (struct landlock_place){ STR("/nothing/is/here"), false };
    scene->rules.places = scene->places;
    scene->rules.places_count = 2;
    landlock_add_port(&scene->rules.connects, scene->named_port);
    landlock_add_port(&scene->rules.listens, 0);
    return scene;
}

static void scene_close(struct scene *scene)
{
    (void)close(scene->named);
    (void)close(scene->other);
}

/* What a process of its own answers, inside or outside: there is no way out. */
static int answer_of(int (*job)(const struct scene *), const struct scene *scene, bool inside)
{
    enum { NOT_ENTERED = 200 };

    pid_t child = fork();
    if (child == 0)
        _exit(inside && !landlock_enter(&scene->rules) ? NOT_ENTERED : job(scene));
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) != NOT_ENTERED);
    return WEXITSTATUS(status);
}

#define NEEDS(abi)                                        \
    do {                                                  \
        if (landlock_abi() < (abi))                       \
            SKIP("this kernel has no such Landlock yet"); \
    } while (0)

static int open_to_read(const struct scene *scene)
{
    int fd = open(scene->path, O_RDONLY);
    return fd < 0 ? errno : close(fd);
}

static int make_a_file(const struct scene *scene)
{
    int fd = open(scene->path, O_CREAT | O_WRONLY, 0600);
    return fd < 0 ? errno : close(fd);
}

static int connect_to(const struct scene *scene)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(scene->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? close(fd) : errno;
}

static int bind_to(const struct scene *scene)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(scene->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? close(fd) : errno;
}

static int signal_the_parent(const struct scene *scene)
{
    (void)scene;
    return kill(getppid(), 0) == 0 ? 0 : errno;
}

static int signal_ourselves(const struct scene *scene)
{
    (void)scene;
    return kill(getpid(), 0) == 0 ? 0 : errno;
}

static const char *below(struct test *t, str folder, const char *name)
{
    return str_z(t->arena, str_format(t->arena, "%" STR_F "/%s", STR_A(folder), name));
}

TEST(landlock_shuts_the_files_of_others)
{
    NEEDS(1);
    struct scene *scene = scene_open(t);

    scene->path = below(t, scene->theirs, "file");
    CHECK_INT(answer_of(open_to_read, scene, false), 0);
    CHECK_INT(answer_of(open_to_read, scene, true), EACCES);
    scene->path = below(t, scene->ours, "file");
    CHECK_INT(answer_of(open_to_read, scene, true), 0);
    scene_close(scene);
}

TEST(landlock_lets_files_be_made_where_they_may_be_written)
{
    NEEDS(1);
    struct scene *scene = scene_open(t);

    scene->path = below(t, scene->theirs, "new");
    CHECK_INT(answer_of(make_a_file, scene, true), EACCES);
    scene->path = below(t, scene->ours, "new");
    CHECK_INT(answer_of(make_a_file, scene, true), 0);
    scene->places[0].writes = false;
    scene->path = below(t, scene->ours, "newer");
    CHECK_INT(answer_of(make_a_file, scene, true), EACCES);
    CHECK_INT(answer_of(make_a_file, scene, false), 0);
    CHECK_INT(answer_of(open_to_read, scene, true), 0);
    scene_close(scene);
}

TEST(landlock_shuts_ports_that_are_not_named)
{
    NEEDS(4);
    struct scene *scene = scene_open(t);

    scene->port = scene->other_port;
    CHECK_INT(answer_of(connect_to, scene, false), 0);
    CHECK_INT(answer_of(connect_to, scene, true), EACCES);
    scene->port = scene->named_port;
    CHECK_INT(answer_of(connect_to, scene, true), 0);
    scene->rules.connects.any = true;
    scene->port = scene->other_port;
    CHECK_INT(answer_of(connect_to, scene, true), 0);
    scene_close(scene);
}

TEST(landlock_shuts_ports_to_listen_on)
{
    NEEDS(4);
    struct scene *scene = scene_open(t);

    scene->port = 0; /* named: whichever the kernel chooses */
    CHECK_INT(answer_of(bind_to, scene, true), 0);
    (void)close(scene->other); /* free now */
    scene->port = scene->other_port;
    CHECK_INT(answer_of(bind_to, scene, false), 0);
    CHECK_INT(answer_of(bind_to, scene, true), EACCES);
    (void)close(scene->named);
}

TEST(landlock_keeps_signals_inside)
{
    NEEDS(6);
    struct scene *scene = scene_open(t);

    CHECK_INT(answer_of(signal_the_parent, scene, false), 0);
    CHECK_INT(answer_of(signal_the_parent, scene, true), EPERM);
    CHECK_INT(answer_of(signal_ourselves, scene, true), 0);
    scene_close(scene);
}

TEST(landlock_ports_are_kept_once_and_too_many_open_all)
{
    struct landlock_ports ports = { .count = 0 };

    (void)t;
    landlock_add_port(&ports, 80);
    landlock_add_port(&ports, 80);
    CHECK_INT(ports.count, 1);
    for (int port = 1000; port < 1000 + LANDLOCK_PORTS_MAX - 1; port++)
        landlock_add_port(&ports, (uint16_t)port);
    CHECK(!ports.any);
    landlock_add_port(&ports, 9);
    CHECK(ports.any);
}
