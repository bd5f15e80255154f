/* Requests at a rate that does not ask how the server does (an open loop), by people who give up
 * and try again:
 *
 *   open-loop PORT RATE WARM SECONDS PATIENCE_MS TRIES ADDRESSES FILE
 *
 * RATE people come a second, each with one request. Who has no answer after PATIENCE_MS hangs up
 * and tries again, as does who hears 429 or 503, after a pause that doubles (from 100 ms) and up to
 * TRIES times. They come from ADDRESSES addresses of 127.0.0.0/8 in turn. FILE holds the request as
 * it is sent; "@@@@@@@@" in it becomes another number for each person, the same in each try.
 *
 * A person who is not even connected holds a descriptor until the patience is over, and a process
 * may have few; so there are as many processes as are needed for all who may be there at once.
 *
 * What happens in the first WARM seconds is not counted, but for the processor time. Prints one
 * JSON object: how many came, tried, were served (2xx), gave up in the end, and what was heard;
 * latency of what was served, from the moment at which the person came, and of the try alone; and
 * whether it is the load that was asked for: what the processes took of a processor, how late the
 * people came, how many tries could not be made. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PEOPLE_MAX = 60000, /* who are there at once, of a process */
    FILES_MAX = 120000,
    PROCESSES_MAX = 16,
    REQUEST_MAX = 4096,
    HEAD_MAX = 1024,
    HEARD_MAX = 65536,
    KEPT_MAX = 1000000,
    PAUSE_MS = 100,
    TRIES_MAX = 8,
    STATUSES = 600,
    AT_ONCE = 32, /* people come, or have their time up; then answers are looked at */
    NOBODY = -1,
    PARKED = -2
};

#define EPOLL_ENDED (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

/* People in the order in which their time is up: each line is of one length of time. */
enum line { PAUSING, WAITING = PAUSING + TRIES_MAX, FREE, LINES_COUNT };

struct person {
    int fd; /* NOBODY: pausing between two tries */
    uint32_t number;
    int64_t came_us, tried_us, due_us;
    int tries;
    int before, behind; /* in the line */
    enum line line;
    size_t sent, head_len;
    long body_left; /* -1: the head is not whole yet */
    int status;
    bool closes;
};

/* By descriptor. One that has no person is idle, and waits for its next person, of the same
 * address. One that never came to be is parked for the next: to make a socket costs as much as to
 * connect it, and is not what is measured. */
struct connection {
    int person;
    uint32_t turn;
    int before, behind; /* among the idle, or the parked ones, of the address */
    bool stands;
};

struct counts {
    long came, tried, served, gave_up, timeouts, refused_connects, broken, full, statuses[STATUSES];
};

/* Of a process; the first one reads it when that has ended. */
struct told {
    struct counts counts;
    long kept, late_kept;
    uint32_t whole_us[KEPT_MAX], alone_us[KEPT_MAX], late_us[KEPT_MAX];
};

static struct person people[PEOPLE_MAX];
static char heads[PEOPLE_MAX][HEAD_MAX]; /* of answers that come in parts */
static struct {
    int first, last;
} lines[LINES_COUNT];
static struct connection connections[FILES_MAX];
static int *idle_first, *parked_first; /* by address */
static int poller, port, addresses, tries_max;
static int64_t patience_us;
static char request[REQUEST_MAX];
static size_t request_len;
static char *mark;
static struct told *told;

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static uint32_t turn_of(uint32_t number) { return number % (uint32_t)addresses; }

static uint32_t address_of(uint32_t turn)
{
    return addresses == 1 ? INADDR_LOOPBACK : 0x7f010000u + 1 + turn;
}

/* ---- Lines ---- */

static void line_leave(struct person *person)
{
    if (person->before == NOBODY)
        lines[person->line].first = person->behind;
    else
        people[person->before].behind = person->behind;
    if (person->behind == NOBODY)
        lines[person->line].last = person->before;
    else
        people[person->behind].before = person->before;
}

static void line_enter(struct person *person, enum line line)
{
    int at = (int)(person - people);

    person->line = line;
    person->behind = NOBODY;
    person->before = lines[line].last;
    if (person->before == NOBODY)
        lines[line].first = at;
    else
        people[person->before].behind = at;
    lines[line].last = at;
}

static void line_change(struct person *person, enum line line)
{
    line_leave(person);
    line_enter(person, line);
}

/* ---- Connections ---- */

static void idle_put(int fd)
{
    struct connection *connection = &connections[fd];
    int *first = &idle_first[connection->turn];

    connection->person = NOBODY;
    connection->before = NOBODY;
    connection->behind = *first;
    if (*first != NOBODY)
        connections[*first].before = fd;
    *first = fd;
}

static void idle_leave(int fd)
{
    struct connection *connection = &connections[fd];

    if (connection->before == NOBODY)
        idle_first[connection->turn] = connection->behind;
    else
        connections[connection->before].behind = connection->behind;
    if (connection->behind != NOBODY)
        connections[connection->behind].before = connection->before;
}

static void idle_end(int fd)
{
    idle_leave(fd);
    close(fd);
}

/* An open connection from there, or NOBODY. */
static int idle_take(uint32_t turn)
{
    int fd = idle_first[turn];
    if (fd != NOBODY)
        idle_leave(fd);
    return fd;
}

static int socket_of(uint32_t turn)
{
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address_of(turn)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.fd = fd };

    if (fd < 0)
        return NOBODY;
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
    if (fd >= FILES_MAX || bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) {
        close(fd);
        return NOBODY;
    }
    connections[fd].turn = turn;
    return fd;
}

/* Gives up connecting; the socket is as new. */
static void park(int fd)
{
    struct connection *connection = &connections[fd];
    struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

    connection->person = PARKED;
    if (connect(fd, &nowhere, sizeof nowhere) != 0) {
        close(fd);
        return;
    }
    connection->behind = parked_first[connection->turn];
    parked_first[connection->turn] = fd;
}

static int dial(uint32_t turn)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = parked_first[turn];

    if (fd == NOBODY)
        fd = socket_of(turn);
    else
        parked_first[turn] = connections[fd].behind;
    if (fd == NOBODY)
        return NOBODY;
    connections[fd].stands = false;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        close(fd);
        return NOBODY;
    }
    return fd;
}

/* ---- A person ---- */

/* Again after a pause, or not at all. */
static void fail(struct person *person)
{
    if (person->fd != NOBODY && connections[person->fd].stands)
        close(person->fd);
    else if (person->fd != NOBODY)
        park(person->fd);
    person->fd = NOBODY;
    if (++person->tries >= tries_max) {
        told->counts.gave_up++;
        line_change(person, FREE);
        return;
    }
    person->due_us = now_us() + ((int64_t)PAUSE_MS * 1000 << (person->tries - 1));
    line_change(person, PAUSING + person->tries - 1);
}

static void break_off(struct person *person)
{
    told->counts.broken++;
    fail(person);
}

static void push(struct person *person)
{
    char text[REQUEST_MAX];

    memcpy(text, request, request_len);
    if (mark) {
        char number[9];
        snprintf(number, sizeof number, "%08x", person->number);
        memcpy(text + (mark - request), number, 8);
    }
    while (person->sent < request_len) {
        ssize_t put = send(person->fd, text + person->sent, request_len - person->sent,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0) {
            break_off(person);
            return;
        }
        person->sent += (size_t)put;
    }
}

static void try(struct person *person)
{
    uint32_t turn = turn_of(person->number);
    int fd = idle_take(turn);
    bool is_open = fd != NOBODY;

    told->counts.tried++;
    person->tried_us = now_us();
    person->due_us = person->tried_us + patience_us;
    person->sent = person->head_len = 0;
    person->body_left = -1;
    person->status = 0;
    person->closes = false;
    line_change(person, WAITING);
    person->fd = is_open ? fd : dial(turn);
    if (person->fd == NOBODY) {
        if (told->counts.refused_connects++ == 0)
            perror("dial");
        fail(person);
        return;
    }
    connections[person->fd].person = (int)(person - people);
    if (is_open)
        push(person);
}

static void come(uint32_t number, int64_t late_us)
{
    told->counts.came++;
    if (told->late_kept < KEPT_MAX)
        told->late_us[told->late_kept++] = (uint32_t)late_us;
    if (lines[FREE].first == NOBODY) {
        told->counts.full++;
        told->counts.gave_up++;
        return;
    }
    struct person *person = &people[lines[FREE].first];
    person->number = number;
    person->tries = 0;
    person->came_us = now_us();
    try(person);
}

static void keep(const struct person *person)
{
    int64_t now = now_us();

    told->counts.served++;
    if (told->kept == KEPT_MAX)
        return;
    told->whole_us[told->kept] = (uint32_t)(now - person->came_us);
    told->alone_us[told->kept++] = (uint32_t)(now - person->tried_us);
}

static void answered(struct person *person)
{
    if (person->status > 0 && person->status < STATUSES)
        told->counts.statuses[person->status]++;
    if (person->closes)
        close(person->fd);
    else
        idle_put(person->fd);
    person->fd = NOBODY;
    if (person->status == 503 || person->status == 429) {
        fail(person);
        return;
    }
    if (person->status >= 200 && person->status < 300)
        keep(person);
    else
        told->counts.gave_up++;
    line_change(person, FREE);
}

/* Takes the status and the length out of the head once it is whole. False: it is no head. */
static bool read_head(struct person *person, const char *bytes, size_t len, size_t *used)
{
    char *head = heads[person - people];
    size_t room = HEAD_MAX - 1 - person->head_len, take = len < room ? len : room;

    memcpy(head + person->head_len, bytes, take);
    head[person->head_len + take] = '\0';
    char *end = strstr(head, "\r\n\r\n");
    if (!end) {
        person->head_len += take;
        *used = take;
        return person->head_len < HEAD_MAX - 1;
    }
    *used = (size_t)(end + 4 - head) - person->head_len;
    person->status = (int)strtol(head + 9, NULL, 10);
    char *length = strcasestr(head, "\r\ncontent-length:");
    person->body_left = length && length < end ? strtol(length + 17, NULL, 10) : 0;
    person->closes = strcasestr(head, "\r\nconnection: close") != NULL;
    return true;
}

/* False: there is no more for now, or the answer is whole. */
static bool hear(struct person *person)
{
    static char bytes[HEARD_MAX];
    ssize_t got = recv(person->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    size_t at = 0;

    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0 || (person->body_left < 0 && !read_head(person, bytes, (size_t)got, &at))) {
        break_off(person);
        return false;
    }
    if (person->body_left < 0)
        return true;
    person->body_left -= got - (long)at;
    if (person->body_left > 0)
        return true;
    answered(person);
    return false;
}

/* ---- The load ---- */

static void look_at_line(enum line line, int64_t now)
{
    for (int i = 0; i < AT_ONCE && lines[line].first != NOBODY; i++) {
        struct person *person = &people[lines[line].first];
        if (person->due_us > now)
            return;
        if (line != WAITING) {
            try(person);
            continue;
        }
        told->counts.timeouts++;
        fail(person);
    }
}

static void happened(int fd, uint32_t events)
{
    int at = connections[fd].person;

    if (at == PARKED)
        return;
    if (at == NOBODY) {
        if (events & EPOLL_ENDED)
            idle_end(fd);
        return;
    }
    struct person *person = &people[at];
    connections[fd].stands = true;
    if (events & EPOLLOUT && person->sent < request_len)
        push(person);
    if (person->fd == fd && events & (EPOLLIN | EPOLL_ENDED)) {
        while (hear(person))
            continue;
        if (events & EPOLL_ENDED && connections[fd].person == NOBODY)
            idle_end(fd);
    }
}

/* No descriptor is made between the kernel's telling and this, so each event is of who has it. */
static void serve(int wait_ms)
{
    struct epoll_event events[512];
    int count = epoll_wait(poller, events, 512, wait_ms);

    for (int i = 0; i < count; i++)
        happened(events[i].data.fd, events[i].events);
}

static void run(double rate, double warm, double seconds)
{
    int64_t begin = now_us(), counted = begin + (int64_t)(warm * 1e6);
    int64_t end = counted + (int64_t)(seconds * 1e6);
    uint32_t first = (uint32_t)begin + (uint32_t)getpid() * 0x1000193u, arrived = 0;

    for (int64_t now = begin; now < end; now = now_us()) {
        if (counted && now >= counted) {
            told->counts = (struct counts){ 0 };
            told->kept = told->late_kept = 0;
            counted = 0;
        }
        uint32_t due = (uint32_t)((double)(now - begin) * rate / 1e6);
        for (int i = 0; arrived < due && i < AT_ONCE; i++, arrived++)
            come(first + arrived, now - begin - (int64_t)(arrived * 1e6 / rate));
        for (enum line line = PAUSING; line <= WAITING; line++)
            look_at_line(line, now);
        serve(arrived < due ? 0 : 1);
    }
}

static void open_process(void)
{
    poller = epoll_create1(EPOLL_CLOEXEC);
    idle_first = malloc((size_t)addresses * sizeof *idle_first);
    parked_first = malloc((size_t)addresses * sizeof *parked_first);
    for (int i = 0; i < addresses; i++)
        idle_first[i] = parked_first[i] = NOBODY;
    for (int i = 0; i < LINES_COUNT; i++)
        lines[i].first = lines[i].last = NOBODY;
    for (int i = 0; i < PEOPLE_MAX; i++)
        line_enter(&people[i], FREE);
}

/* ---- Telling ---- */

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

struct all {
    uint32_t *us;
    long count;
};

static void gather(struct all *all, const uint32_t *us, long count)
{
    all->us = realloc(all->us, (size_t)(all->count + count + 1) * sizeof *all->us);
    memcpy(all->us + all->count, us, (size_t)count * sizeof *us);
    all->count += count;
}

static double percentile_ms(struct all *all, int share)
{
    if (all->count == 0)
        return 0;
    qsort(all->us, (size_t)all->count, sizeof *all->us, &by_size);
    return all->us[(all->count - 1) * share / 100] / 1000.0;
}

static double processor_share(double took)
{
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return ((double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
            (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6) /
           took;
}

static void add(struct counts *all, const struct counts *each)
{
    all->came += each->came;
    all->tried += each->tried;
    all->served += each->served;
    all->gave_up += each->gave_up;
    all->timeouts += each->timeouts;
    all->refused_connects += each->refused_connects;
    all->broken += each->broken;
    all->full += each->full;
    for (int i = 0; i < STATUSES; i++)
        all->statuses[i] += each->statuses[i];
}

static void tell(const struct told *each, int processes, double seconds, double took)
{
    struct all whole = { 0 }, alone = { 0 }, late = { 0 };
    struct counts all = { 0 };

    for (int i = 0; i < processes; i++) {
        add(&all, &each[i].counts);
        gather(&whole, each[i].whole_us, each[i].kept);
        gather(&alone, each[i].alone_us, each[i].kept);
        gather(&late, each[i].late_us, each[i].late_kept);
    }
    printf("{\"came\": %ld, \"tried\": %ld, \"served\": %ld, \"gave_up\": %ld, \"timeouts\": %ld, "
           "\"broken\": %ld, \"connects_refused\": %ld, \"too_many_at_once\": %ld, "
           "\"goodput\": %.1f, \"tries_a_second\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
           "\"try_p50_ms\": %.2f, \"try_p99_ms\": %.2f, \"late_p99_ms\": %.2f, "
           "\"processor\": %.2f, \"processes\": %d, \"statuses\": {",
           all.came, all.tried, all.served, all.gave_up, all.timeouts, all.broken,
           all.refused_connects, all.full, (double)all.served / seconds,
           (double)all.tried / seconds, percentile_ms(&whole, 50), percentile_ms(&whole, 99),
           percentile_ms(&alone, 50), percentile_ms(&alone, 99), percentile_ms(&late, 99),
           processor_share(took), processes);
    const char *comma = "";
    for (int i = 0; i < STATUSES; i++)
        if (all.statuses[i]) {
            printf("%s\"%d\": %ld", comma, i, all.statuses[i]);
            comma = ", ";
        }
    printf("}}\n");
}

/* How many processes have room for all who may be there at once: each try lasts as long as the
 * patience, and a parked socket is of one address. */
static int processes_for(double rate, const char *file)
{
    struct rlimit files;
    FILE *in = fopen(file, "rb");

    if (!in)
        exit(2);
    request_len = fread(request, 1, sizeof request - 1, in);
    fclose(in);
    mark = strstr(request, "@@@@@@@@");
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
    setrlimit(RLIMIT_NOFILE, &files);
    double at_once = rate * tries_max * (double)patience_us / 1e6;
    int count = 1 + (int)(1.25 * at_once / (double)files.rlim_cur);
    return count < PROCESSES_MAX ? count : PROCESSES_MAX;
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "open-loop PORT RATE WARM SECONDS PATIENCE_MS TRIES ADDRESSES FILE\n");
        return 2;
    }
    port = (int)strtol(argv[1], NULL, 10);
    double rate = strtod(argv[2], NULL), warm = strtod(argv[3], NULL);
    double seconds = strtod(argv[4], NULL);
    patience_us = strtol(argv[5], NULL, 10) * 1000LL;
    tries_max = (int)strtol(argv[6], NULL, 10);
    addresses = (int)strtol(argv[7], NULL, 10);
    if (tries_max < 1 || tries_max > TRIES_MAX || addresses < 1)
        return 2;

    int processes = processes_for(rate, argv[8]);
    struct told *each = mmap(NULL, (size_t)processes * sizeof *each, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (each == MAP_FAILED)
        return 2;
    int64_t began = now_us();
    for (int i = 0; i < processes; i++) {
        if (fork() != 0)
            continue;
        told = &each[i];
        open_process();
        run(rate / processes, warm, seconds);
        _exit(0);
    }
    int status, failed = 0;
    while (wait(&status) > 0)
        failed += status != 0;
    tell(each, processes, seconds, (double)(now_us() - began) / 1e6);
    return failed ? 1 : 0;
}
