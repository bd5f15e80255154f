#include "tests/lib/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ANSWER_BYTES_MAX = 4 * 1024 * 1024 };

/* From `own`, where it is not NULL. */
static int connect_to(int family, const void *own, const void *address, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || (own && bind(fd, own, len) != 0) || connect(fd, address, len) != 0)
        FAIL("no connection: %s", strerror(errno));
    return fd;
}

static struct sockaddr_in address_of(const char *text, int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        FAIL("%s is no address", text);
    return address;
}

int client_connect(int port)
{
    struct sockaddr_in address = address_of("127.0.0.1", port);
    return connect_to(AF_INET, NULL, &address, sizeof(address));
}

int client_connect_from(const char *from, int port)
{
    struct sockaddr_in own = address_of(from, 0), address = address_of("127.0.0.1", port);
    return connect_to(AF_INET, &own, &address, sizeof(address));
}

int client_connect_unix(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return connect_to(AF_UNIX, NULL, &address, sizeof(address));
}

void client_send(int fd, str bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent <= 0)
            FAIL("cannot send: %s", strerror(errno));
        bytes = str_slice(bytes, (size_t)sent, bytes.len);
    }
}

void client_finish(int fd) { shutdown(fd, SHUT_WR); }

bool client_is_quiet(int fd, int wait_ms)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    return poll(&poller, 1, wait_ms) == 0;
}

/* Some bytes, at most `max`; 0 at the end. */
static size_t read_some(int fd, char *to, size_t max, int flags)
{
    if (client_is_quiet(fd, CLIENT_WAIT_MS))
        FAIL("nothing came for %d ms", CLIENT_WAIT_MS);
    ssize_t got = recv(fd, to, max, flags);
    if (got < 0 && errno != ECONNRESET)
        FAIL("cannot read: %s", strerror(errno));
    return got < 0 ? 0 : (size_t)got;
}

str client_read(struct arena *arena, int fd, size_t count)
{
    char *bytes = arena_alloc(arena, count + 1, 1);
    size_t len = 0, got;

    while (len < count && (got = read_some(fd, bytes + len, count - len, 0)) > 0)
        len += got;
    return str_of(bytes, len);
}

str client_read_all(struct arena *arena, int fd)
{
    struct text all = text_init(arena, 4096);
    char bytes[4096];

    for (size_t got; (got = read_some(fd, bytes, sizeof bytes, 0)) > 0;)
        text_add(&all, str_of(bytes, got));
    return text_str(&all);
}

/* The head, read byte by byte so that nothing behind it is taken. */
static str read_head(struct arena *arena, int fd)
{
    struct text head = text_init(arena, 1024);
    char byte;

    while (!str_ends(text_str(&head), STR("\r\n\r\n"))) {
        if (read_some(fd, &byte, 1, 0) == 0)
            break;
        text_add_byte(&head, byte);
        if (head.len > ANSWER_BYTES_MAX)
            FAIL("the head of the answer has no end");
    }
    return text_str(&head);
}

str client_read_answer(struct arena *arena, int fd, bool has_body)
{
    str head = read_head(arena, fd);
    str length = answer_header(head, STR("Content-Length"));
    int64_t count = 0;

    if (!has_body || !length.ptr)
        return head;
    if (!str_to_int64(length, 0, ANSWER_BYTES_MAX, &count))
        FAIL("Content-Length: %" STR_F, STR_A(length));
    str body = client_read(arena, fd, (size_t)count);
    return str_format(arena, "%" STR_F "%" STR_F, STR_A(head), STR_A(body));
}

void client_reset(int fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

int answer_status(str answer)
{
    int64_t status;
    if (!str_starts(answer, STR("HTTP/1.1 ")) ||
        !str_to_int64(str_slice(answer, 9, 3), 100, 599, &status))
        FAIL("this is no answer: \"%" STR_F "\"", STR_A(answer));
    return (int)status;
}

str answer_header(str answer, str name)
{
    ptrdiff_t end = str_find(answer, STR("\r\n\r\n"));
    str head = end < 0 ? answer : str_slice(answer, 0, (size_t)end);

    for (str rest = head, line; rest.ptr && (line = str_cut(&rest, '\n'), true);) {
        ptrdiff_t colon = str_find_byte(line, ':');
        if (colon > 0 && str_equal(str_slice(line, 0, (size_t)colon), name))
            return str_trim(str_slice(line, (size_t)colon + 1, line.len));
    }
    return STR_NONE;
}

str answer_body(str answer)
{
    ptrdiff_t end = str_find(answer, STR("\r\n\r\n"));
    return end < 0 ? STR_NONE : str_slice(answer, (size_t)end + 4, answer.len);
}
