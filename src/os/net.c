#include "os/net.h"

#include "base/arena.h"
#include "os/net_inside.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ADDRESS_BYTES_MAX = 256,
    UNIX_MODE_MASK = 0177,
    UNSENT_BYTES_MAX = 128 * 1024,
    RECORD_BYTES = 16 * 1024, /* of TLS, at most */
    SAY_BYTES_MAX = 64 * 1024 /* of one go under TLS: what a slow peer makes us keep encrypted */
};

_Static_assert((int)LOOP_READ_BYTES <= (int)TLS_FEED_BYTES_MAX, "a read is more than TLS takes");

struct net_listener {
    union stream uv;
    struct loop *loop;
    net_accepted *accepted;
    void *subject;
    size_t room_bytes;
    bool is_unix;
    int port;
    int left;        /* how many are still accepted; NET_UNLIMITED */
    int backlog;     /* how many the kernel keeps for us */
    int from_before; /* waited when it was limited, and are taken first: or they grow old */
    bool one_waits;  /* libuv has accepted it, and goes on when we take it */
    int this_turn;   /* of the loop were accepted */
    struct loop_task turn_end;
    struct tls_context *tls; /* NULL: none */
};

static void on_listener_closed(uv_handle_t *handle)
{
    struct net_listener *listener = handle->data;
    tls_close(listener->tls);
    free(listener);
}

static void on_closed(uv_handle_t *handle)
{
    struct net_connection *connection = handle->data;
    tls_end(connection->tls);
    free(connection->encrypted);
    free(connection);
}

static void stream_init(union stream *uv, struct loop *loop, bool is_unix, void *owner)
{
    int rc = is_unix ? uv_pipe_init(&loop->uv, &uv->pipe, 0) : uv_tcp_init(&loop->uv, &uv->tcp);
    ASSERT(rc == 0);
    uv->handle.data = owner;
}

struct net_connection *net_connection_new(struct loop *loop, bool is_unix, size_t room_bytes)
{
    struct net_connection *connection = calloc(1, sizeof(*connection) + room_bytes);
    ASSERT(connection);
    connection->loop = loop;
    connection->is_unix = is_unix;
    stream_init(&connection->uv, loop, is_unix, connection);
    return connection;
}

/* ---- Accepting ---- */

/* The text of the peer's address; "unknown" where it has gone meanwhile. */
static void peer_write(struct net_connection *connection)
{
    struct sockaddr_storage address;
    int len = (int)sizeof(address);
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

    (void)snprintf(connection->peer, sizeof(connection->peer), "unknown");
    if (uv_tcp_getpeername(&connection->uv.tcp, (struct sockaddr *)&address, &len) != 0)
        return;

    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
        (void)uv_inet_ntop(AF_INET, &v4->sin_addr, connection->peer, sizeof(connection->peer));
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
        const unsigned char *bytes = v6->sin6_addr.s6_addr;
        bool is_mapped = memcmp(bytes, mapped, sizeof(mapped)) == 0;
        (void)uv_inet_ntop(is_mapped ? AF_INET : AF_INET6, is_mapped ? bytes + 12 : bytes,
                           connection->peer, sizeof(connection->peer));
    }
}

static void accept_one(struct net_listener *listener)
{
    struct net_connection *connection =
        net_connection_new(listener->loop, listener->is_unix, listener->room_bytes);
    if (uv_accept(&listener->uv.stream, &connection->uv.stream) != 0) {
        uv_close(&connection->uv.handle, &on_closed);
        return;
    }

    if (connection->is_unix) {
        (void)snprintf(connection->peer, sizeof(connection->peer), "unix");
    } else {
        (void)uv_tcp_nodelay(&connection->uv.tcp, 1);
        peer_write(connection);
    }
    if (listener->tls)
        connection->tls = tls_accept(listener->tls);
    listener->accepted(listener->subject, connection);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct net_listener *listener = stream->data;
    if (status < 0)
        return; /* out of descriptors: libuv has turned it away */

    bool is_allowed = listener->left != 0 || listener->from_before > 0;
    if (!is_allowed || listener->this_turn == NET_ACCEPTED_A_TURN) {
        listener->one_waits = true;
        return;
    }
    if (listener->from_before > 0)
        listener->from_before--;
    else if (listener->left > 0)
        listener->left--;
    if (listener->this_turn++ == 0)
        loop_later(listener->loop, &listener->turn_end);
    accept_one(listener);
}

/* It is freed later than this runs: handles are closed behind the ends of turns. */
static void on_turn_end(struct loop_task *task)
{
    struct net_listener *listener =
        (struct net_listener *)((char *)task - offsetof(struct net_listener, turn_end));

    listener->this_turn = 0;
    if (!listener->one_waits || uv_is_closing(&listener->uv.handle))
        return;
    listener->one_waits = false;
    on_connection(&listener->uv.stream, 0);
}

/* How many the kernel has connected that nobody has accepted. */
static int waiting_at(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;
    bool is_known = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0;
    return is_known ? (int)info.tcpi_unacked : 0; /* of a listener it is that */
}

/* Of those that are soon accepted, and a few: whoever stands at the end of a line of which few are
 * taken waits for all before. What comes beyond is dropped, most of it before its peer takes it for
 * connected; with room for fewer than come in, the kernel has more peers believe it, who then send
 * their requests again after 0.2 and 0.6 s. */
static int backlog_for(int count)
{
    if (count == NET_UNLIMITED)
        return NET_BACKLOG;
    int soon = 2 * count;
    if (soon < NET_BACKLOG_LEAST)
        return NET_BACKLOG_LEAST;
    return soon < NET_BACKLOG_MOST ? soon : NET_BACKLOG_MOST;
}

void net_listener_limit(struct net_listener *listener, int count)
{
    ASSERT(listener && count >= NET_UNLIMITED);

    uv_os_fd_t fd;
    bool begins = listener->left == NET_UNLIMITED && count != NET_UNLIMITED;
    int backlog = backlog_for(count);
    if (backlog != listener->backlog && uv_fileno(&listener->uv.handle, &fd) == 0) {
        listener->backlog = backlog;
        (void)listen(fd, backlog);
        if (begins)
            listener->from_before = waiting_at(fd);
        else if (count == NET_UNLIMITED)
            listener->from_before = 0;
    }
    listener->left = count;
    if (listener->one_waits) {
        listener->one_waits = false;
        on_connection(&listener->uv.stream, 0);
    }
}

/* ---- Listening ---- */

static err listen_failed(struct arena *arena, int rc, str address, const char *setting)
{
    if (rc == UV_EADDRINUSE)
        return fail(arena, ADDRESS_TAKEN,
                    "%" STR_F " is taken by another process; choose another with %s",
                    STR_A(address), setting);
    return fail(arena, OS_FAILED, "Listening on %" STR_F " (%s): %s", STR_A(address), setting,
                uv_strerror(rc));
}

/* Reads "host:port". */
static bool tcp_address_read(str address, struct sockaddr_storage *out)
{
    char host[ADDRESS_BYTES_MAX];
    size_t colon = address.len;
    int64_t port;

    while (colon > 0 && address.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0 || address.len >= sizeof(host) ||
        !str_to_int64(str_slice(address, colon, address.len), 0, UINT16_MAX, &port))
        return false;

    str name = str_slice(address, 0, colon - 1);
    bool is_v6 = name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']';
    if (is_v6)
        name = str_slice(name, 1, name.len - 2);
    if (name.len == 0)
        name = STR("0.0.0.0");
    else if (str_equal(name, STR("localhost")))
        name = STR("127.0.0.1");
    (void)snprintf(host, sizeof(host), "%" STR_F, STR_A(name));
    return is_v6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)out) == 0
                 : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)out) == 0;
}

/* Of what a peer does not read the kernel takes no more than this beyond what is on its way: else
 * it copies megabytes for each that never reads, and all others wait meanwhile. Whom it accepts has
 * it from the listener. */
static void bound_unsent(struct net_listener *listener)
{
    uv_os_fd_t fd;
    int bytes_max = UNSENT_BYTES_MAX;
    if (uv_fileno(&listener->uv.handle, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes_max, sizeof bytes_max);
}

static int tcp_listen(struct net_listener *listener, const struct sockaddr_storage *address)
{
    int rc = uv_tcp_bind(&listener->uv.tcp, (const struct sockaddr *)address, 0);
    if (rc == 0)
        rc = uv_listen(&listener->uv.stream, NET_BACKLOG, &on_connection);
    if (rc != 0)
        return rc;

    bound_unsent(listener);
    (void)uv_tcp_simultaneous_accepts(&listener->uv.tcp, 1); /* take all that wait at once */
    struct sockaddr_storage own;
    int len = (int)sizeof(own);
    rc = uv_tcp_getsockname(&listener->uv.tcp, (struct sockaddr *)&own, &len);
    if (rc == 0)
        listener->port =
            ntohs(own.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&own)->sin6_port
                                            : ((const struct sockaddr_in *)&own)->sin_port);
    return rc;
}

/* Removes a socket that nobody answers at; what is not a socket stays. */
static void unix_remove_dead(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat stat;

    if (lstat(path, &stat) != 0 || !S_ISSOCK(stat.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 &&
        errno == ECONNREFUSED)
        (void)unlink(path);
    (void)close(fd);
}

static int unix_listen(struct net_listener *listener, const char *path)
{
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return UV_ENAMETOOLONG; /* libuv would cut it */

    unix_remove_dead(path);
    mode_t before = umask(UNIX_MODE_MASK); /* from the start: a later chmod leaves a gap */
    int rc = uv_pipe_bind(&listener->uv.pipe, path);
    (void)umask(before);
    if (rc == 0)
        rc = uv_listen(&listener->uv.stream, NET_BACKLOG, &on_connection);
    return rc;
}

err net_listen(struct arena *arena, struct loop *loop, str address, const char *setting,
               size_t room_bytes, net_accepted *accepted, void *subject, struct net_listener **out)
{
    ASSERT(arena && loop && accepted && out);
    ASSERT(setting);

    bool is_unix = str_starts(address, STR("unix:"));
    struct sockaddr_storage tcp = { 0 };
    if (!is_unix && !tcp_address_read(address, &tcp))
        return fail(arena, SETTING_INVALID,
                    "%s: \"%" STR_F "\" is no address: give IP:PORT, [IPv6]:PORT or unix:/path",
                    setting, STR_A(address));

    const char *path = is_unix ? str_z(arena, str_slice(address, 5, address.len)) : NULL;
    struct net_listener *listener = calloc(1, sizeof(*listener));
    ASSERT(listener);
    listener->loop = loop;
    listener->is_unix = is_unix;
    listener->room_bytes = room_bytes;
    listener->accepted = accepted;
    listener->subject = subject;
    listener->left = NET_UNLIMITED;
    listener->backlog = NET_BACKLOG;
    listener->turn_end.run = &on_turn_end;
    stream_init(&listener->uv, loop, is_unix, listener);

    int rc = is_unix ? unix_listen(listener, path) : tcp_listen(listener, &tcp);
    if (rc != 0) {
        net_listener_close(listener);
        return listen_failed(arena, rc, address, setting);
    }
    *out = listener;
    return OK;
}

int net_listener_port(const struct net_listener *listener)
{
    ASSERT(listener);
    return listener->port;
}

void net_listener_close(struct net_listener *listener)
{
    if (listener)
        uv_close(&listener->uv.handle, &on_listener_closed);
}

void net_listener_use_tls(struct net_listener *listener, struct tls_context *context)
{
    ASSERT(listener);
    tls_close(listener->tls);
    listener->tls = context;
}

/* ---- TLS ---- */

static void on_written(uv_write_t *write, int status);

/* Hands what is encrypted to the kernel; what that does not take is copied for libuv, for OpenSSL
 * may move its own. */
enum net_written net_connection_say(struct net_connection *connection)
{
    str out = tls_outgoing(connection->tls);
    if (out.len == 0)
        return NET_WRITTEN;

    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)out.ptr, (unsigned)out.len);
    int rc = uv_try_write(&connection->uv.stream, &buffer, 1);
    if (rc < 0 && rc != UV_EAGAIN)
        return NET_BROKEN;
    size_t done = rc < 0 ? 0 : (size_t)rc, left = out.len - done;
    if (left > 0) {
        connection->encrypted = malloc(left);
        ASSERT(connection->encrypted);
        memcpy(connection->encrypted, out.ptr + done, left);
    }
    tls_sent(connection->tls, out.len);
    if (left == 0)
        return NET_WRITTEN;

    buffer = uv_buf_init(connection->encrypted, (unsigned)left);
    if (uv_write(&connection->write, &connection->uv.stream, &buffer, 1, &on_written) != 0)
        return NET_BROKEN;
    connection->writing = true;
    return NET_WAITING;
}

/* Encrypts and writes as far as it goes: first what TLS itself has to say, then the owner's. */
static enum net_written say_on(struct net_connection *connection)
{
    for (;;) {
        enum net_written written = net_connection_say(connection);
        if (written != NET_WRITTEN)
            return written;
        str *part = connection->unsaid[0].len > 0 ? &connection->unsaid[0] : &connection->unsaid[1];
        if (part->len == 0)
            return NET_WRITTEN;
        str piece = str_slice(*part, 0, SAY_BYTES_MAX);
        tls_say(connection->tls, piece);
        *part = str_slice(*part, piece.len, part->len);
    }
}

static void end_reading(struct net_connection *connection, bool broken)
{
    (void)uv_read_stop(&connection->uv.stream);
    connection->reading = false;
    connection->ended = true;
    connection->events->ended(connection->subject, broken);
}

static void read_encrypted(struct net_connection *connection, str bytes)
{
    struct loop *loop = connection->loop;
    size_t plain_len;
    bool was_open = tls_is_open(connection->tls);

    if (!loop->plain_buffer) {
        loop->plain_buffer = malloc(TLS_ROOM_BYTES);
        ASSERT(loop->plain_buffer);
    }
    enum tls_state state = tls_feed(connection->tls, bytes, loop->plain_buffer, &plain_len);
    if (!connection->writing && net_connection_say(connection) == NET_BROKEN)
        state = TLS_BROKEN;
    if (!was_open && tls_is_open(connection->tls) && connection->events->opened)
        connection->events->opened(connection->subject);
    if (connection->events && plain_len > 0)
        connection->events->bytes(connection->subject, loop->plain_buffer, plain_len);
    if (connection->events && (state == TLS_FINISHED || state == TLS_BROKEN))
        end_reading(connection, state == TLS_BROKEN);
}

/* ---- Reading ---- */

void *net_room(struct net_connection *connection)
{
    ASSERT(connection);
    return connection->room;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct net_connection *connection = handle->data;
    const struct net_events *events = connection->events;
    (void)suggested;
    bool reads = !events || !events->may_read || events->may_read(connection->subject);
    *out = uv_buf_init(connection->loop->read_buffer, reads ? LOOP_READ_BYTES : 0);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct net_connection *connection = stream->data;

    if (!connection->events || count == 0)
        return;
    connection->loop->heard++;
    if (count == UV_ENOBUFS) /* it was not to be read */
        net_pause(connection);
    else if (count < 0)
        end_reading(connection,
                    count != UV_EOF || (connection->tls && !tls_is_open(connection->tls)));
    else if (connection->tls)
        read_encrypted(connection, str_of(buffer->base, (size_t)count));
    else
        connection->events->bytes(connection->subject, buffer->base, (size_t)count);
}

void net_own(struct net_connection *connection, const struct net_events *events, void *subject)
{
    ASSERT(connection && !connection->events);
    ASSERT(events && events->bytes && events->ended && events->written);

    connection->events = events;
    connection->subject = subject;
    net_resume(connection);
}

void net_pause(struct net_connection *connection)
{
    ASSERT(connection && connection->events);

    if (connection->reading)
        (void)uv_read_stop(&connection->uv.stream);
    connection->reading = false;
}

void net_resume(struct net_connection *connection)
{
    ASSERT(connection && connection->events);

    if (connection->reading || connection->ended)
        return;
    int rc = uv_read_start(&connection->uv.stream, &on_room, &on_read);
    ASSERT(rc == 0);
    connection->reading = true;
}

/* ---- Writing and closing ---- */

static void on_written(uv_write_t *write, int status)
{
    struct net_connection *connection = write->handle->data;
    enum net_written written = status == 0 ? NET_WRITTEN : NET_BROKEN;

    connection->writing = false;
    free(connection->encrypted);
    connection->encrypted = NULL;
    if (!connection->events)
        return; /* closed */
    if (connection->tls && written == NET_WRITTEN)
        written = say_on(connection);
    if (written == NET_WAITING || !connection->waiting)
        return;
    connection->waiting = false;
    connection->events->written(connection->subject, written == NET_WRITTEN);
}

static uv_buf_t buffer_of(str bytes)
{
    return uv_buf_init((char *)(uintptr_t)bytes.ptr, (unsigned)bytes.len);
}

static enum net_written write_encrypted(struct net_connection *connection, str head, str body)
{
    ASSERT(tls_is_open(connection->tls));

    if (body.len > 0 && head.len + body.len <= RECORD_BYTES) {
        char record[RECORD_BYTES]; /* small ones go as one */
        memcpy(record, head.ptr, head.len);
        memcpy(record + head.len, body.ptr, body.len);
        tls_say(connection->tls, str_of(record, head.len + body.len));
        head = body = STR_NONE;
    }
    connection->unsaid[0] = head;
    connection->unsaid[1] = body;
    enum net_written written = connection->writing ? NET_WAITING : say_on(connection);
    connection->waiting = written == NET_WAITING;
    return written;
}

enum net_written net_write(struct net_connection *connection, str head, str body)
{
    ASSERT(connection && !connection->waiting);
    ASSERT(head.len > 0 && head.len + body.len <= UINT32_MAX);
    if (connection->tls)
        return write_encrypted(connection, head, body);

    uv_stream_t *stream = &connection->uv.stream;
    uv_buf_t parts[2] = { buffer_of(head), buffer_of(body) };
    unsigned count = body.len > 0 ? 2 : 1;
    int rc = uv_try_write(stream, parts, count);
    if (rc < 0 && rc != UV_EAGAIN)
        return NET_BROKEN;

    size_t done = rc < 0 ? 0 : (size_t)rc;
    if (done == head.len + body.len)
        return NET_WRITTEN;

    uv_buf_t *rest = parts;
    if (done >= head.len) {
        rest = &parts[1];
        count = 1;
        done -= head.len;
    }
    rest[0].base += done;
    rest[0].len -= done;
    if (uv_write(&connection->write, stream, rest, count, &on_written) != 0)
        return NET_BROKEN;
    connection->waiting = connection->writing = true;
    return NET_WAITING;
}

/* Tells the peer under TLS that this is the end, if there is room to. */
static void say_end(struct net_connection *connection)
{
    if (!connection->tls || connection->writing)
        return;
    tls_say_end(connection->tls);
    str out = tls_outgoing(connection->tls);
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)out.ptr, (unsigned)out.len);
    if (out.len > 0)
        (void)uv_try_write(&connection->uv.stream, &buffer, 1);
}

bool net_is_left(const struct net_connection *connection)
{
    ASSERT(connection);

    struct pollfd look = { .events = POLLRDHUP };
    return uv_fileno(&connection->uv.handle, &look.fd) != 0 || poll(&look, 1, 0) > 0;
}

void net_shutdown(struct net_connection *connection)
{
    ASSERT(connection && !connection->waiting);

    say_end(connection);
    uv_os_fd_t fd;
    if (uv_fileno(&connection->uv.handle, &fd) == 0)
        (void)shutdown(fd, SHUT_WR);
}

void net_close(struct net_connection *connection)
{
    ASSERT(connection);
    connection->events = NULL; /* the owner may be gone before libuv is done */
    say_end(connection);
    uv_close(&connection->uv.handle, &on_closed);
}

str net_peer(const struct net_connection *connection)
{
    ASSERT(connection);
    return str_of_z(connection->peer);
}

bool net_is_unix(const struct net_connection *connection)
{
    ASSERT(connection);
    return connection->is_unix;
}

bool net_is_tls(const struct net_connection *connection)
{
    ASSERT(connection);
    return connection->tls != NULL;
}

str net_protocol(const struct net_connection *connection)
{
    ASSERT(connection);
    return connection->tls ? tls_protocol(connection->tls) : STR_NONE;
}

const char *net_failure(const struct net_connection *connection)
{
    ASSERT(connection);
    const char *words = connection->tls ? tls_failure(connection->tls) : "";
    return words[0] ? words : connection->failure ? connection->failure : "";
}
