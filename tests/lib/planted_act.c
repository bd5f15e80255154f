/* Foreign code in a program of Duka: loaded by LD_PRELOAD, it does on SIGUSR1 what PLANTED_ACTS
 * names, on a thread that it starts then, and writes "ACT ERRNO" for each into PLANTED_ANSWERS,
 * which it has opened before the program's own first line. tests/e2e/test_sandbox.py looks. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *acts;
static int answers = -1;

static int open_at(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd < 0 ? errno : close(fd);
}

static int connect_to(const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((unsigned short)strtol(port, NULL, 10)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int answer = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    (void)close(fd);
    return answer;
}

static int run(const char *path)
{
    char *arguments[] = { "planted", NULL }, *nothing[] = { NULL };

    (void)execve(path, arguments, nothing);
    return errno;
}

static int split(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child < 0 ? errno : waitpid(child, NULL, 0) == child ? 0 : errno;
}

static int act(const char *what, const char *with)
{
    if (strcmp(what, "read") == 0)
        return open_at(with, O_RDONLY);
    if (strcmp(what, "write") == 0)
        return open_at(with, O_WRONLY | O_CREAT);
    if (strcmp(what, "connect") == 0)
        return connect_to(with);
    if (strcmp(what, "exec") == 0)
        return run(with);
    if (strcmp(what, "fork") == 0)
        return split();
    if (strcmp(what, "signal") == 0)
        return kill((pid_t)strtol(with, NULL, 10), 0) == 0 ? 0 : errno;
    return 999;
}

static void *act_all(void *unused)
{
    char *list = strdup(acts), *rest = NULL;

    for (char *word = strtok_r(list, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *with = strchr(word, ':');
        if (with)
            *with++ = '\0';
        dprintf(answers, "%s:%s %d\n", word, with ? with : "", act(word, with));
    }
    free(list);
    dprintf(answers, "end\n");
    return unused;
}

static void on_signal(int number)
{
    pthread_t thread;

    (void)number;
    if (pthread_create(&thread, NULL, act_all, NULL) == 0)
        (void)pthread_join(thread, NULL);
}

__attribute__((constructor)) static void come_in(void)
{
    const char *path = getenv("PLANTED_ANSWERS");

    acts = getenv("PLANTED_ACTS");
    if (!acts || !path)
        return;
    answers = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)signal(SIGUSR1, on_signal);
}
