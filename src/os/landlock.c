#include "os/landlock.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface as it is today: Debian's headers are older than most kernels that run us.
 */
struct ruleset {
    uint64_t files, ports, scopes;
};

struct port_rule {
    uint64_t allowed, port;
};

enum {
    RULE_PORT = 2,
    ABI_REFER = 2,
    ABI_TRUNCATE = 3,
    ABI_PORTS = 4,
    ABI_IOCTL = 5,
    ABI_SCOPE = 6
};

#define FILE_TRUNCATE (1ULL << 14)
#define FILE_IOCTL (1ULL << 15)
#define PORT_BIND (1ULL << 0)
#define PORT_CONNECT (1ULL << 1)
#define SCOPE_SOCKETS (1ULL << 0)
#define SCOPE_SIGNALS (1ULL << 1)

#define READS_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define READS (READS_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITES_FILE (LANDLOCK_ACCESS_FS_WRITE_FILE | FILE_TRUNCATE)
#define WRITES                                                                                  \
    (WRITES_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |             \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
     LANDLOCK_ACCESS_FS_REFER)
#define KNOWN_AT_FIRST ((1ULL << 13) - 1)

void landlock_add_port(struct landlock_ports *ports, uint16_t port)
{
    ASSERT(ports);
    for (int i = 0; i < ports->count; i++)
        if (ports->ports[i] == port)
            return;
    if (ports->count == LANDLOCK_PORTS_MAX)
        ports->any = true;
    else
        ports->ports[ports->count++] = port;
}

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t files_handled(int abi)
{
    uint64_t handled = KNOWN_AT_FIRST;

    if (abi >= ABI_REFER)
        handled |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= ABI_TRUNCATE)
        handled |= FILE_TRUNCATE;
    if (abi >= ABI_IOCTL)
        handled |= FILE_IOCTL;
    return handled;
}

static bool add_place(int ruleset, const struct landlock_place *place, uint64_t handled)
{
    char path[PATH_MAX];
    struct stat found;

    if (place->path.len >= sizeof path)
        return true; /* nothing lies there */
    memcpy(path, place->path.ptr, place->path.len);
    path[place->path.len] = '\0';
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return true;
    uint64_t allowed = READS | (place->writes ? WRITES : 0);
    bool ok = fstat(fd, &found) == 0;
    if (ok && !S_ISDIR(found.st_mode))
        allowed &= READS_FILE | WRITES_FILE;
    struct landlock_path_beneath_attr rule = { .allowed_access = allowed & handled,
                                               .parent_fd = fd };
    ok = ok && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    int number = errno;
    (void)close(fd);
    errno = number;
    return ok;
}

static bool add_ports(int ruleset, const struct landlock_ports *ports, uint64_t allowed)
{
    for (int i = 0; !ports->any && i < ports->count; i++) {
        struct port_rule rule = { .allowed = allowed, .port = ports->ports[i] };
        if (syscall(SYS_landlock_add_rule, ruleset, RULE_PORT, &rule, 0) != 0)
            return false;
    }
    return true;
}

static bool add_rules(int ruleset, const struct landlock_rules *rules,
                      const struct ruleset *handled)
{
    for (size_t i = 0; i < rules->places_count; i++)
        if (!add_place(ruleset, &rules->places[i], handled->files))
            return false;
    return !handled->ports || (add_ports(ruleset, &rules->listens, PORT_BIND) &&
                               add_ports(ruleset, &rules->connects, PORT_CONNECT));
}

bool landlock_enter(const struct landlock_rules *rules)
{
    ASSERT(rules && (rules->places || rules->places_count == 0));

    int abi = landlock_abi();
    if (abi == 0)
        return false;
    struct ruleset handled = { .files = files_handled(abi) };
    if (abi >= ABI_PORTS && !rules->listens.any)
        handled.ports |= PORT_BIND;
    if (abi >= ABI_PORTS && !rules->connects.any)
        handled.ports |= PORT_CONNECT;
    if (abi >= ABI_SCOPE)
        handled.scopes |= SCOPE_SIGNALS;
    if (abi >= ABI_SCOPE && !rules->speaks_abstract)
        handled.scopes |= SCOPE_SOCKETS;

    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
    if (ruleset < 0)
        return false;
    bool ok = add_rules(ruleset, rules, &handled) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
              syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    int number = errno;
    (void)close(ruleset);
    errno = number;
    return ok;
}
