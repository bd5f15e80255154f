/* What this process gives up for good, so that foreign code that came to run in it gets less far:
 * no new privileges, and system calls that a shop has no use for. It does not guard files or
 * addresses: that is left to the account, and to systemd (deploy/systemd). */
#pragma once
#include <stdbool.h>

/* Enters the sandbox; there is no way out. Call it before other threads start: they inherit it.
 *
 * From here on the kernel refuses (EPERM) to start programs, to look into other processes, to
 * change user, root, mounts, namespaces, modules, keys, the machine's clock or its swap, to use
 * bpf, io_uring, userfaultfd and perf, sockets other than IP, Unix and netlink, and calls of
 * another architecture. In a build with sanitizers ptrace stays: they look for leaks with it.
 *
 * True when it holds; false, with errno set, where the kernel has no seccomp filters (ENOSYS on an
 * architecture that we do not know). Source: seccomp(2), prctl(2). */
bool sandbox_enter(void);
