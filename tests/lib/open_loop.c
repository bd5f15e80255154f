/* Requests at a rate that does not ask how the server does (an open loop), by people who give up
 * and try again:
 *
 *   open-loop PORT RATE SECONDS PATIENCE_MS TRIES ADDRESSES FILE
 *
 * RATE people come a second, each with one request. Who has no answer after PATIENCE_MS hangs up
 * and tries again, as does who hears 429 or 503, after a pause that doubles (from 100 ms) and up to
 * TRIES times. They come from ADDRESSES addresses of 127.0.0.0/8 in turn. FILE holds the request as
 * it is sent; "@@@@@@@@" in it becomes another number for each person, the same in each try.
 *
 * Prints one JSON object: how many came, were served (2xx), gave up in the end, and what was heard;
 * latency of what was served, from the moment at which the person came, and of the try alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    PEOPLE_MAX = 60000, /* who are there at once */
    REQUEST_MAX = 4096,
    HEARD_MAX = 65536,
    KEPT_MAX = 4000000,
    PAUSE_MS = 100,
    STATUSES = 600,
    ARRIVALS_AT_ONCE = 64 /* then answers are looked at, however late it is */
};

struct person {
    int fd; /* -1: pausing between two tries */
    uint32_t number;
    int64_t came_us, tried_us, due_us;
    int tries, next; /* of the free ones */
    uint32_t turn;   /* of events that are still on their way for somebody before */
    size_t sent, len;
    long body_left; /* -1: the head is not whole yet */
    int status;
    bool used;
    char head[1024];
    size_t head_len;
    bool closes;
};

/* A connection that is open and waits for its next person, of the same address. */
struct idle {
    int fd, next;
};

static struct person people[PEOPLE_MAX];
static struct idle *idle;
static int *idle_first; /* by address; -1: none */
static int idle_free, free_first, poller, port, addresses, tries_max;
static int64_t patience_us;
static char request[REQUEST_MAX];
static size_t request_len;
static char *mark;
static long came, served, gave_up, timeouts, refused_connects, broken, full, statuses[STATUSES];
static uint32_t *whole_us, *alone_us;
static long kept;

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static uint32_t turn_of(uint32_t number) { return number % (uint32_t)addresses; }

static uint32_t address_of(uint32_t number)
{
    return addresses == 1 ? INADDR_LOOPBACK : 0x7f010000u + 1 + turn_of(number);
}

/* An open connection from there, or -1. */
static int idle_take(uint32_t turn)
{
    int at = idle_first[turn];
    if (at < 0)
        return -1;
    idle_first[turn] = idle[at].next;
    idle[at].next = idle_free;
    idle_free = at;
    return idle[at].fd;
}

static void idle_put(uint32_t turn, int fd)
{
    int at = idle_free;
    if (at < 0) {
        close(fd);
        return;
    }
    idle_free = idle[at].next;
    idle[at] = (struct idle){ fd, idle_first[turn] };
    idle_first[turn] = at;
}

static void watch(struct person *person, uint32_t events, int how)
{
    struct epoll_event event = { .events = events,
                                 .data.u64 =
                                     (uint64_t)person->turn << 32 | (uint64_t)(person - people) };
    epoll_ctl(poller, how, person->fd, &event);
}

static void forget(struct person *person)
{
    person->used = false;
    person->turn++;
    person->next = free_first;
    free_first = (int)(person - people);
}

/* Again after a pause, or not at all. */
static void fail(struct person *person, bool closes)
{
    if (person->fd >= 0 && closes)
        close(person->fd);
    person->fd = -1;
    person->turn++;
    if (++person->tries >= tries_max) {
        gave_up++;
        forget(person);
        return;
    }
    person->due_us = now_us() + ((int64_t)PAUSE_MS * 1000 << (person->tries - 1));
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
        if (put < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS)) {
            watch(person, EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (put < 0) {
            broken++;
            fail(person, true);
            return;
        }
        person->sent += (size_t)put;
    }
    watch(person, EPOLLIN, EPOLL_CTL_MOD);
}

static int dial(uint32_t address)
{
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void try(struct person *person)
{
    person->tried_us = now_us();
    person->due_us = person->tried_us + patience_us;
    person->sent = person->head_len = 0;
    person->body_left = -1;
    person->status = 0;
    person->closes = false;
    int how = EPOLL_CTL_MOD;
    person->fd = idle_take(turn_of(person->number));
    if (person->fd < 0) {
        person->fd = dial(address_of(person->number));
        how = EPOLL_CTL_ADD;
    }
    if (person->fd < 0) {
        if (refused_connects++ == 0)
            perror("dial");
        fail(person, false);
        return;
    }
    watch(person, EPOLLOUT, how);
    push(person);
}

static void arrive(uint32_t number)
{
    came++;
    if (free_first < 0) {
        full++;
        gave_up++;
        return;
    }
    struct person *person = &people[free_first];
    free_first = person->next;
    person->used = true;
    person->number = number;
    person->tries = 0;
    person->came_us = now_us();
    try(person);
}

static void answered(struct person *person)
{
    int64_t now = now_us();

    if (person->status > 0 && person->status < STATUSES)
        statuses[person->status]++;
    bool good = person->status >= 200 && person->status < 300;
    if (good) {
        served++;
        if (kept < KEPT_MAX) {
            whole_us[kept] = (uint32_t)(now - person->came_us);
            alone_us[kept++] = (uint32_t)(now - person->tried_us);
        }
    }
    if (person->closes)
        close(person->fd);
    else {
        watch(person, EPOLLET, EPOLL_CTL_MOD); /* its end is told once, to nobody */
        idle_put(turn_of(person->number), person->fd);
    }
    person->fd = -1;
    if (good)
        forget(person);
    else if (person->status == 503 || person->status == 429)
        fail(person, false);
    else {
        gave_up++;
        forget(person);
    }
}

/* Takes the status and the length out of the head once it is whole. */
static bool read_head(struct person *person, const char *bytes, size_t len, size_t *used)
{
    size_t room = sizeof person->head - 1 - person->head_len, take = len < room ? len : room;

    memcpy(person->head + person->head_len, bytes, take);
    person->head[person->head_len + take] = '\0';
    char *end = strstr(person->head, "\r\n\r\n");
    if (!end) {
        person->head_len += take;
        *used = take;
        return person->head_len < sizeof person->head - 1;
    }
    *used = (size_t)(end + 4 - person->head) - person->head_len;
    person->status = (int)strtol(person->head + 9, NULL, 10);
    char *length = strcasestr(person->head, "\r\ncontent-length:");
    person->body_left = length && length < end ? strtol(length + 17, NULL, 10) : 0;
    person->closes = strcasestr(person->head, "\r\nconnection: close") != NULL;
    return true;
}

static void hear(struct person *person)
{
    static char bytes[HEARD_MAX];
    ssize_t got = recv(person->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        broken++;
        fail(person, true);
        return;
    }
    size_t at = 0;
    if (person->body_left < 0 && !read_head(person, bytes, (size_t)got, &at)) {
        broken++;
        fail(person, true);
        return;
    }
    if (person->body_left < 0)
        return;
    person->body_left -= got - (long)at;
    if (person->body_left <= 0)
        answered(person);
}

static void look_at_clocks(void)
{
    int64_t now = now_us();

    for (int i = 0; i < PEOPLE_MAX; i++) {
        struct person *person = &people[i];
        if (!person->used || person->due_us > now)
            continue;
        if (person->fd < 0)
            try(person);
        else {
            timeouts++;
            fail(person, true);
        }
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile(uint32_t *all, int share)
{
    return kept == 0 ? 0 : all[(kept - 1) * share / 100] / 1000.0;
}

static void tell(double seconds)
{
    qsort(whole_us, (size_t)kept, sizeof *whole_us, by_size);
    qsort(alone_us, (size_t)kept, sizeof *alone_us, by_size);
    printf("{\"came\": %ld, \"served\": %ld, \"gave_up\": %ld, \"timeouts\": %ld, \"broken\": %ld, "
           "\"connects_refused\": %ld, \"too_many_at_once\": %ld, \"goodput\": %.1f, "
           "\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"try_p50_ms\": %.2f, \"try_p99_ms\": %.2f, "
           "\"statuses\": {",
           came, served, gave_up, timeouts, broken, refused_connects, full, served / seconds,
           percentile(whole_us, 50), percentile(whole_us, 99), percentile(alone_us, 50),
           percentile(alone_us, 99));
    const char *comma = "";
    for (int i = 0; i < STATUSES; i++)
        if (statuses[i]) {
            printf("%s\"%d\": %ld", comma, i, statuses[i]);
            comma = ", ";
        }
    printf("}}\n");
}

static void open_all(int argc, char **argv)
{
    struct rlimit files;
    FILE *file = argc == 8 ? fopen(argv[7], "rb") : NULL;

    if (argc != 8 || !file) {
        fprintf(stderr, "open-loop PORT RATE SECONDS PATIENCE_MS TRIES ADDRESSES FILE\n");
        exit(2);
    }
    request_len = fread(request, 1, sizeof request - 1, file);
    fclose(file);
    mark = strstr(request, "@@@@@@@@");
    files.rlim_cur = files.rlim_max = 2 * PEOPLE_MAX;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) { /* not everybody may */
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    idle = calloc(PEOPLE_MAX, sizeof *idle);
    whole_us = calloc(KEPT_MAX, sizeof *whole_us);
    alone_us = calloc(KEPT_MAX, sizeof *alone_us);
    for (int i = 0; i < PEOPLE_MAX; i++) {
        people[i].fd = -1;
        people[i].next = idle[i].next = i + 1 < PEOPLE_MAX ? i + 1 : -1;
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
}

static void serve(int wait_ms)
{
    struct epoll_event events[512];
    int count = epoll_wait(poller, events, 512, wait_ms);

    for (int i = 0; i < count; i++) {
        struct person *person = &people[(uint32_t)events[i].data.u64 % PEOPLE_MAX];
        if (!person->used || person->fd < 0 || person->turn != (uint32_t)(events[i].data.u64 >> 32))
            continue;
        if (person->sent < request_len)
            push(person);
        else
            hear(person);
    }
}

int main(int argc, char **argv)
{
    open_all(argc, argv);
    port = (int)strtol(argv[1], NULL, 10);
    double rate = strtod(argv[2], NULL), seconds = strtod(argv[3], NULL);
    patience_us = strtol(argv[4], NULL, 10) * 1000LL;
    tries_max = (int)strtol(argv[5], NULL, 10);
    addresses = (int)strtol(argv[6], NULL, 10);
    idle_first = malloc((size_t)addresses * sizeof *idle_first);
    memset(idle_first, -1, (size_t)addresses * sizeof *idle_first);

    int64_t begin = now_us(), end = begin + (int64_t)(seconds * 1e6), looked = begin;
    uint32_t first = (uint32_t)begin, arrived = 0;
    for (int64_t now = begin; now < end; now = now_us()) {
        uint32_t due = (uint32_t)((double)(now - begin) * rate / 1e6);
        for (int i = 0; arrived < due && i < ARRIVALS_AT_ONCE; i++)
            arrive(first + arrived++);
        serve(arrived < due ? 0 : 1);
        if (now - looked > 10000) {
            look_at_clocks();
            looked = now;
        }
    }
    tell(seconds);
    return 0;
}
