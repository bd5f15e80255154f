/* What this process gives up for good, so that foreign code that came to run in it gets less far:
 * no new privileges, and every system call that a shop has no use for. Files and ports are guarded
 * by os/landlock.h. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Hears of a call that was refused: its name ("execve"; "?" where the headers of this build know
 * none), its number, and the thread that made it. On a thread of its own, once for each call in the
 * life of the process, so that a program which tries again and again floods no log. */
typedef void sandbox_told(const char *call, int number, int64_t thread);

/* Enters the sandbox; there is no way out. Call it before other threads start: they inherit it.
 *
 * From here on the kernel runs the calls of a list (sandbox.c); what is on none hears EPERM, and
 * `told` of it (NULL: nobody). New threads are allowed, new processes are not; sockets are those
 * of TCP, UDP, Unix and netlink. What a library tries first and does without hears ENOSYS and is
 * not told: clone3, whose flags cannot be seen, and io_uring. In a build with sanitizers they may
 * look for leaks: ptrace, and the process that does it.
 *
 * True when it holds; false, with errno set, where the kernel has no seccomp filters (ENOSYS on an
 * architecture that we do not know). A kernel before 5.0, or one that a tracer of seccomp watches,
 * refuses without telling. Source: seccomp(2), seccomp_unotify(2), prctl(2). */
bool sandbox_enter(sandbox_told *told);
