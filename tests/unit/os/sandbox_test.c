#include "os/sandbox.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <sys/wait.h>
#include <unistd.h>

/* What a process of its own answers, 0 to 99, within the sandbox or without: there is no way out of
 * it, so that this process must not enter. */
static int answer_of(int (*job)(void), bool inside)
{
    enum { NO_SANDBOX = 100 };

    pid_t child = fork();
    if (child == 0)
        _exit(inside && !sandbox_enter(NULL) ? NO_SANDBOX : job());
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_SANDBOX)
        SKIP("no seccomp filters in this kernel");
    return WEXITSTATUS(status);
}

/* Refused inside, and made outside, where it gives `outside`. */
static void check_refused(int (*job)(void), int outside)
{
    int answer = answer_of(job, false);

    if (answer == EPERM)
        SKIP("refused already by the sandbox around this test");
    CHECK_INT(answer, outside);
    CHECK_INT(answer_of(job, true), EPERM);
}

static int start_a_program(void)
{
    char *arguments[] = { "true", NULL }, *nothing[] = { NULL };

    (void)execve("/bin/true", arguments, nothing);
    return errno; /* of true itself: 0 */
}

TEST(sandbox_refuses_to_start_a_program) { check_refused(start_a_program, 0); }

static void *start_in_thread(void *answer)
{
    *(int *)answer = start_a_program();
    return NULL;
}

static int start_from_a_thread(void)
{
    pthread_t thread;
    int answer = 0;

    if (pthread_create(&thread, NULL, start_in_thread, &answer) != 0 ||
        pthread_join(thread, NULL) != 0)
        return 99;
    return answer;
}

TEST(sandbox_holds_in_a_thread_that_starts_later)
{
    CHECK_INT(answer_of(start_from_a_thread, true), EPERM);
}

static int read_memory(void)
{
    char byte = 0;
    struct iovec here = { &byte, 1 }, there = { (void *)(uintptr_t)1, 1 };

    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) < 0 ? errno : 0;
}

/* An address where nothing is: without the sandbox the call itself is made, and says so. */
TEST(sandbox_refuses_to_read_memory_of_processes) { check_refused(read_memory, EFAULT); }

/* The call alone: setuid(3) asks all threads, and aborts where one that a sanitizer has started
 * before the sandbox answers otherwise. */
static int become_ourselves(void) { return syscall(SYS_setuid, getuid()) < 0 ? errno : 0; }

TEST(sandbox_refuses_to_change_the_user) { check_refused(become_ourselves, 0); }

static int leave_nothing(void) { return unshare(0) < 0 ? errno : 0; }

static int ask_for_a_timer(void)
{
    struct itimerval timer;
    return getitimer(ITIMER_REAL, &timer) < 0 ? errno : 0;
}

/* It hurts nobody: what is refused is what nobody has put on the list. */
TEST(sandbox_refuses_what_is_on_no_list) { check_refused(ask_for_a_timer, 0); }

TEST(sandbox_refuses_other_namespaces) { check_refused(leave_nothing, 0); }

static int open_another_socket(void)
{
    int fd = socket(AF_MAX - 1, SOCK_DGRAM, 0);
    return fd < 0 ? errno : 0;
}

/* A family that the kernel lacks: it says so itself without the sandbox. */
TEST(sandbox_refuses_sockets_of_other_families)
{
    check_refused(open_another_socket, EAFNOSUPPORT);
}

/* Landlock sees the ports of TCP, and none of these. */
static int open_a_socket_of_mptcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
    return fd < 0 && errno == EPERM ? EPERM : 0;
}

TEST(sandbox_refuses_tcp_by_another_name) { check_refused(open_a_socket_of_mptcp, 0); }

static int open_a_raw_socket(void)
{
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
    return fd < 0 && errno == EPERM ? EPERM : 0;
}

TEST(sandbox_refuses_raw_sockets)
{
    if (getuid() != 0)
        SKIP("only root may have them at all");
    check_refused(open_a_raw_socket, 0);
}

static int connect_by_sending(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(9),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (sendto(fd, "x", 1, MSG_NOSIGNAL, NULL, 0) >= 0 ||
        errno == EPERM) /* allowed: nobody is connected */
        return 99;
    ssize_t sent = sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address);
    return sent < 0 && errno == EPERM ? EPERM : 0;
}

TEST(sandbox_refuses_to_connect_by_sending) { check_refused(connect_by_sending, 0); }

static int told_by[2];

static void tell_by_pipe(const char *call, int number, int64_t thread)
{
    bool right = strcmp(call, "getitimer") == 0 && number == SYS_getitimer && thread > 0;
    (void)!write(told_by[1], right ? "y" : "n", 1);
}

/* By a thread that hears no signals, as those of libraries: no signal must be needed to be told. */
static void *ask_in_silence(void *unused)
{
    sigset_t all;

    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    return (void *)(intptr_t)ask_for_a_timer();
}

static int be_told(void)
{
    pthread_t thread;
    void *answer;
    char said;

    if (pipe(told_by) != 0 || !sandbox_enter(tell_by_pipe) ||
        pthread_create(&thread, NULL, ask_in_silence, NULL) != 0 ||
        pthread_join(thread, &answer) != 0)
        return 99;
    if ((int)(intptr_t)answer != EPERM)
        return 98;
    return read(told_by[0], &said, 1) == 1 && said == 'y' ? 0 : 97;
}

TEST(sandbox_tells_the_name_of_what_it_refused)
{
    if (answer_of(ask_for_a_timer, false) == EPERM)
        SKIP("refused already by the sandbox around this test");
    CHECK_INT(answer_of(be_told, false), 0);
}

#ifdef __x86_64__
static int call_by_another_number(void) { return syscall(0x40000000 + SYS_getpid) < 0 ? errno : 0; }

TEST(sandbox_refuses_calls_by_the_numbers_of_another_architecture)
{
    check_refused(call_by_another_number, ENOSYS);
}
#endif

static bool opens(int family, int type)
{
    int fd = socket(family, type, 0);

    return (fd >= 0 || errno == EAFNOSUPPORT) && (fd < 0 || close(fd) == 0);
}

/* 0, or the number of what failed. */
static int do_what_a_shop_does(void)
{
    struct addrinfo *found = NULL;

    if (!opens(AF_INET, SOCK_STREAM) || !opens(AF_INET6, SOCK_STREAM) ||
        !opens(AF_UNIX, SOCK_DGRAM) || !opens(AF_NETLINK, SOCK_RAW))
        return 1;
    if (getaddrinfo("localhost", "80", NULL, &found) != 0)
        return 2;
    freeaddrinfo(found);
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    if (fd >= 0 && (write(fd, "x", 1) != 1 || fdatasync(fd) != 0 || close(fd) != 0))
        return 3;
    void *room = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED || munmap(room, 4096) != 0)
        return 4;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 5;
}

TEST(sandbox_leaves_sockets_names_files_and_memory)
{
    CHECK_INT(answer_of(do_what_a_shop_does, true), 0);
}
