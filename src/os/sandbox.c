#include "os/sandbox.h"

#include "base/err.h"
#include "os/sync.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
enum { FOREIGN_CALL_MIN = 0x40000000 }; /* the x32 calls: other numbers for the same */
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
enum { FOREIGN_CALL_MIN = 0x40000000 };
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

/* Those of us and of our libraries; the first ones first, for an old kernel goes through the list.
 * What is missing here shows in the log by its name. */
static const unsigned allowed[] = {
    SYS_read,
    SYS_write,
    SYS_writev,
    SYS_futex,
    SYS_epoll_pwait,
    SYS_epoll_ctl,
    SYS_recvfrom,
    SYS_pwrite64,
    SYS_pread64,
    SYS_fdatasync,
#ifdef __x86_64__
    /* calls that newer architectures have under one newer name only */
    SYS_epoll_wait,
    SYS_poll,
    SYS_select,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_getdents,
    SYS_readlink,
    SYS_rename,
    SYS_unlink,
    SYS_mkdir,
    SYS_rmdir,
    SYS_chmod,
    SYS_pipe,
    SYS_dup2,
    SYS_eventfd,
    SYS_epoll_create,
    SYS_getpgrp,
    SYS_time,
    SYS_arch_prctl,
#endif
    /* files: which ones is Landlock's business */
    SYS_readv,
    SYS_preadv,
    SYS_preadv2,
    SYS_pwritev,
    SYS_pwritev2,
    SYS_openat,
    SYS_openat2,
    SYS_close,
    SYS_close_range,
    SYS_newfstatat,
    SYS_fstat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_getdents64,
    SYS_readlinkat,
    SYS_lseek,
    SYS_fcntl,
    SYS_flock,
    SYS_dup,
    SYS_dup3,
    SYS_ioctl,
    SYS_fsync,
    SYS_sync_file_range,
    SYS_truncate,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fadvise64,
    SYS_sendfile,
    SYS_copy_file_range,
    SYS_renameat,
    SYS_renameat2,
    SYS_unlinkat,
    SYS_mkdirat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown, /* SQLite's, as root: its log belongs to whom the file belongs to */
    SYS_utimensat,
    SYS_umask,
    SYS_getcwd,
    SYS_pipe2,
    /* sockets; socket, sendto and sendmsg have rules of their own below */
    SYS_socketpair,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_connect,
    SYS_getsockname,
    SYS_getpeername,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_shutdown,
    /* waiting and time */
    SYS_ppoll,
    SYS_pselect6,
    SYS_epoll_create1,
    SYS_epoll_pwait2,
    SYS_eventfd2,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_times,
    SYS_restart_syscall,
    /* memory */
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_mlock,
    SYS_mlock2,
    SYS_munlock,
    SYS_mincore,
    SYS_msync,
    SYS_membarrier,
    /* threads and signals; clone has a rule of its own below */
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_rseq,
    SYS_set_tid_address,
    SYS_gettid,
    SYS_exit,
    SYS_exit_group,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_sched_getparam,
    SYS_sched_setparam,
    SYS_sched_getscheduler,
    SYS_sched_setscheduler,
    SYS_sched_get_priority_max,
    SYS_sched_get_priority_min,
    SYS_getpriority,
    SYS_setpriority,
    SYS_prctl,
    SYS_getcpu,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigtimedwait,
    SYS_rt_sigsuspend,
    SYS_sigaltstack,
    SYS_tgkill,
    /* who and where we are, and how much we may have */
    SYS_getpid,
    SYS_getppid,
    SYS_getpgid,
    SYS_getsid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getresuid,
    SYS_getresgid,
    SYS_getgroups,
    SYS_uname,
    SYS_sysinfo,
    SYS_getrlimit,
    SYS_prlimit64,
    SYS_getrusage,
    SYS_getrandom,
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    /* they look for leaks from a process of their own */
    SYS_ptrace,
    SYS_wait4,
    SYS_waitid,
    SYS_kill,
    SYS_personality,
    SYS_clone,
#endif
};

/* What is tried first and done without, and so refused in silence. */
static const unsigned done_without[] = { SYS_clone3, SYS_io_uring_setup, SYS_io_uring_enter,
                                         SYS_io_uring_register };

enum {
    ALLOWED_COUNT = sizeof allowed / sizeof allowed[0],
    DONE_WITHOUT_COUNT = sizeof done_without / sizeof done_without[0],
    STEPS_MAX = 2 * (ALLOWED_COUNT + DONE_WITHOUT_COUNT) + 64,
    NOTICE_BYTES_MAX = 512, /* far more than seccomp_notif has, which may grow */
    NUMBERS_MAX = 4096
};

/* The filter as it grows: classic BPF, run by the kernel from the first step at each call. (A
 * kernel from 5.11 on does so once for each number that is decided by the number alone.) */
struct filter {
    struct sock_filter steps[STEPS_MAX];
    unsigned short count;
    unsigned refuse; /* the answer to what is on no list */
};

static void add(struct filter *filter, struct sock_filter step)
{
    ASSERT(filter->count < STEPS_MAX);
    filter->steps[filter->count++] = step;
}

static void add_load(struct filter *filter, size_t offset)
{
    add(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

/* The lower half of an argument, which is first on these machines. */
static void add_load_argument(struct filter *filter, int number)
{
    add_load(filter, offsetof(struct seccomp_data, args) + 8 * (size_t)number);
}

static void add_answer(struct filter *filter, unsigned answer)
{
    add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answer));
}

/* Ends with the answer where the comparison of what is loaded with `value` gives `truth`. */
static void add_rule(struct filter *filter, unsigned short compare, unsigned value, bool truth,
                     unsigned answer)
{
    unsigned char past = 1, on = 0;

    add(filter, (struct sock_filter)BPF_JUMP((unsigned short)(BPF_JMP | compare | BPF_K), value,
                                             truth ? on : past, truth ? past : on));
    add_answer(filter, answer);
}

/* Begins rules for one call; add_end_of lets the others pass by them. */
static unsigned short add_begin_of(struct filter *filter, unsigned call)
{
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 0));
    return filter->count;
}

static void add_end_of(struct filter *filter, unsigned short begin)
{
    ASSERT(filter->count - begin <= UINT8_MAX);
    filter->steps[begin - 1].jf = (unsigned char)(filter->count - begin);
}

/* TCP and UDP, whose ports Landlock sees (of MPTCP it sees none), and what stays on this machine.
 */
static void add_socket(struct filter *filter)
{
    unsigned short begin = add_begin_of(filter, SYS_socket);

    add_load_argument(filter, 0);
    add_rule(filter, BPF_JEQ, AF_UNIX, true, SECCOMP_RET_ALLOW);
    add_rule(filter, BPF_JEQ, AF_NETLINK, true, SECCOMP_RET_ALLOW);
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0));
    add_rule(filter, BPF_JEQ, AF_INET6, false, filter->refuse);
    add_load_argument(filter, 1);
    add(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf));
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_STREAM, 2, 0));
    add_rule(filter, BPF_JEQ, SOCK_DGRAM, false, filter->refuse);
    add_load_argument(filter, 2);
    add_rule(filter, BPF_JEQ, 0, true, SECCOMP_RET_ALLOW);
    add_rule(filter, BPF_JEQ, IPPROTO_TCP, true, SECCOMP_RET_ALLOW);
    add_rule(filter, BPF_JEQ, IPPROTO_UDP, true, SECCOMP_RET_ALLOW);
    add_answer(filter, filter->refuse);
    add_end_of(filter, begin);
}

/* TCP Fast Open connects without connect(2), and so past Landlock on some kernels. */
static void add_send(struct filter *filter, unsigned call, int flags_at)
{
    unsigned short begin = add_begin_of(filter, call);

    add_load_argument(filter, flags_at);
    add_rule(filter, BPF_JSET, MSG_FASTOPEN, true, filter->refuse);
    add_answer(filter, SECCOMP_RET_ALLOW);
    add_end_of(filter, begin);
}

static void add_clone(struct filter *filter)
{
    unsigned short begin = add_begin_of(filter, SYS_clone);

    add_load_argument(filter, 0);
    add_rule(filter, BPF_JSET, CLONE_THREAD, true, SECCOMP_RET_ALLOW);
    add_answer(filter, filter->refuse);
    add_end_of(filter, begin);
}

static void build(struct filter *filter)
{
    const unsigned silent = SECCOMP_RET_ERRNO | EPERM;

    add_load(filter, offsetof(struct seccomp_data, arch));
    add_rule(filter, BPF_JEQ, ARCHITECTURE, false, silent);
    add_load(filter, offsetof(struct seccomp_data, nr));
    add_rule(filter, BPF_JGE, FOREIGN_CALL_MIN, true, silent);
    add_send(filter, SYS_sendto, 3);
    add_send(filter, SYS_sendmsg, 2);
    add_send(filter, SYS_sendmmsg, 3);
    for (int i = 0; i < ALLOWED_COUNT; i++)
        add_rule(filter, BPF_JEQ, allowed[i], true, SECCOMP_RET_ALLOW);
    add_socket(filter);
    add_clone(filter);
    for (int i = 0; i < DONE_WITHOUT_COUNT; i++)
        add_rule(filter, BPF_JEQ, done_without[i], true, SECCOMP_RET_ERRNO | ENOSYS);
    add_answer(filter, filter->refuse);
}

/* ---- Telling what was refused ---- */

static const char *const names[NUMBERS_MAX] = {
#define CALL(name) [SYS_##name] = #name,
#include "syscalls.tbl"
#undef CALL
};

struct teller {
    int notices; /* the kernel's: it asks here what to do, and we say no */
    sandbox_told *told;
    bool known[NUMBERS_MAX];
    struct thread *thread;
};

static struct teller teller;

static void tell(const struct seccomp_notif *notice)
{
    int number = notice->data.nr;
    bool is_named = number >= 0 && number < NUMBERS_MAX;

    if (is_named && teller.known[number])
        return;
    if (is_named)
        teller.known[number] = true;
    teller.told(is_named && names[number] ? names[number] : "?", number, notice->pid);
}

/* Whoever was refused goes on before it is told: what it holds may be needed for telling. */
static void run_teller(void *unused)
{
    union {
        struct seccomp_notif notice;
        char room[NOTICE_BYTES_MAX];
    } asked;

    (void)unused;
    for (;;) {
        memset(&asked, 0, sizeof asked);
        if (ioctl(teller.notices, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) {
            if (errno == EINTR || errno == ENOENT) /* whoever asked has gone */
                continue;
            return;
        }
        struct seccomp_notif_resp answer = { .id = asked.notice.id, .error = -EPERM };
        (void)ioctl(teller.notices, SECCOMP_IOCTL_NOTIF_SEND, &answer);
        tell(&asked.notice);
    }
}

static bool enter(unsigned flags, unsigned refuse, int *out)
{
    struct filter filter = { .count = 0, .refuse = refuse };

    build(&filter);
    struct sock_fprog program = { .len = filter.count, .filter = filter.steps };
    *out = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    return *out >= 0;
}

bool sandbox_enter(sandbox_told *told)
{
    int listener;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return false;
    if (!told || !enter(SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_RET_USER_NOTIF, &listener))
        return enter(0, SECCOMP_RET_ERRNO | EPERM, &listener);
    teller.notices = listener;
    teller.told = told;
    teller.thread = thread_start("sandbox", run_teller, NULL); /* for as long as the process */
    return true;
}

#else

bool sandbox_enter(sandbox_told *told)
{
    (void)told;
    errno = ENOSYS;
    return false;
}

#endif
