#include "os/sandbox.h"

#include "base/err.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined __x86_64__
enum { FOREIGN_CALL_MIN = 0x40000000 }; /* the x32 calls: other numbers for the same */
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
enum { FOREIGN_CALL_MIN = 0x40000000 };
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

/* A list of what is refused, not of what is allowed: libraries and the kernel's own fallbacks
 * change what they call between versions, and a shop that starts must not fail at that. */
static const unsigned refused[] = {
    /* other programs and processes */
    SYS_execve,
    SYS_execveat,
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    SYS_ptrace,
#endif
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_pidfd_getfd,
    /* who and where we are */
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setgroups,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_capset,
    SYS_chroot,
    SYS_pivot_root,
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_open_by_handle_at,
    /* the machine */
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_syslog,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    /* parts of the kernel that attacks love */
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_fanotify_init,
    SYS_vhangup,
};

static const unsigned families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

enum {
    REFUSED_COUNT = sizeof refused / sizeof refused[0],
    FAMILIES_COUNT = sizeof families / sizeof families[0],
    STEPS_MAX = 2 * (REFUSED_COUNT + FAMILIES_COUNT) + 16
};

/* The filter as it grows: classic BPF, run by the kernel from the first step at each call. */
struct filter {
    struct sock_filter steps[STEPS_MAX];
    unsigned short count;
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

/* The family of socket(2) is an int: the lower half of its argument, first on these machines. */
static void add_families(struct filter *filter)
{
    enum { STEPS = 2 * FAMILIES_COUNT + 2 };

    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, STEPS));
    add_load(filter, offsetof(struct seccomp_data, args));
    for (int i = 0; i < FAMILIES_COUNT; i++)
        add_rule(filter, BPF_JEQ, families[i], true, SECCOMP_RET_ALLOW);
    add_answer(filter, SECCOMP_RET_ERRNO | EPERM);
}

static void build(struct filter *filter)
{
    const unsigned refuse = SECCOMP_RET_ERRNO | EPERM;

    add_load(filter, offsetof(struct seccomp_data, arch));
    add_rule(filter, BPF_JEQ, ARCHITECTURE, false, refuse);
    add_load(filter, offsetof(struct seccomp_data, nr));
    add_rule(filter, BPF_JGE, FOREIGN_CALL_MIN, true, refuse);
    for (int i = 0; i < REFUSED_COUNT; i++)
        add_rule(filter, BPF_JEQ, refused[i], true, refuse);
    add_families(filter);
    add_answer(filter, SECCOMP_RET_ALLOW);
}

bool sandbox_enter(void)
{
    struct filter filter = { .count = 0 };

    build(&filter);
    struct sock_fprog program = { .len = filter.count, .filter = filter.steps };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#else

bool sandbox_enter(void)
{
    errno = ENOSYS;
    return false;
}

#endif
