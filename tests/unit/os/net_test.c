#include "os/net.h"

#include "os/clock.h"
#include "os/sync.h"
#include "tests/lib/certificates.h"
#include "tests/lib/client.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* A listener on a loop in a thread of its own, and what its connections told. The test's thread is
 * the peer. */
struct house {
    struct loop *loop;
    struct net_listener *listener;
    struct net_connection *connection; /* the latest, until it is closed */
    struct thread *thread;
    struct loop_task task;
    void (*act)(struct house *house);
    int acted; /* atomic */
    bool echoes;
    enum net_written written;
    str head, body; /* what `act_write` writes */
    char peer[NET_PEER_BYTES];
    bool is_unix;
    /* Atomic: */
    int accepted, bytes, ended, broken, wrote, wrote_whole, opened;
    int asked_to_read, reads_later;
    struct tls_context *tls; /* for act_use_tls */
    int limit;               /* for act_limit */
    bool is_left;
};

static void add(int *counter, int n) { __atomic_fetch_add(counter, n, __ATOMIC_SEQ_CST); }

static int read_of(int *counter) { return __atomic_load_n(counter, __ATOMIC_SEQ_CST); }

/* Waits until a counter has come to `least`. */
static void wait_for(int *counter, int least)
{
    int64_t deadline_us = clock_mono_us() + CLIENT_WAIT_MS * TIME_MS;
    while (read_of(counter) < least) {
        if (clock_mono_us() > deadline_us)
            FAIL("waited in vain: %d of %d", read_of(counter), least);
        sleep_until(clock_mono_us() + 200);
    }
}

static void on_bytes(void *subject, const char *bytes, size_t len)
{
    struct house *house = subject;
    if (house->echoes)
        house->written = net_write(house->connection, str_of(bytes, len), STR_NONE);
    add(&house->bytes, (int)len);
}

static void on_ended(void *subject, bool broken)
{
    struct house *house = subject;
    add(&house->broken, broken);
    add(&house->ended, 1);
}

static void on_written(void *subject, bool whole)
{
    struct house *house = subject;
    add(&house->wrote_whole, whole);
    add(&house->wrote, 1);
}

static void on_opened(void *subject) { add(&((struct house *)subject)->opened, 1); }

static bool on_may_read(void *subject)
{
    struct house *house = subject;
    add(&house->asked_to_read, 1);
    return !read_of(&house->reads_later);
}

static const struct net_events EVENTS = { on_bytes, on_ended, on_written, on_opened, on_may_read };

static void on_accepted(void *subject, struct net_connection *connection)
{
    struct house *house = subject;
    if (house->connection)
        net_close(house->connection);
    house->connection = connection;
    snprintf(house->peer, sizeof(house->peer), "%" STR_F, STR_A(net_peer(connection)));
    house->is_unix = net_is_unix(connection);
    char *room = net_room(connection);
    ASSERT(room[0] == 0 && room[15] == 0);
    memset(room, 1, 16);
    net_own(connection, &EVENTS, house);
    add(&house->accepted, 1);
}

static void run_loop(void *subject) { loop_run(subject); }

static struct house *house_open(struct test *t, const char *address)
{
    struct house *house = arena_new(t->arena, struct house);
    house->loop = loop_open();
    CHECK_OK(net_listen(t->arena, house->loop, str_of_z(address), "TEST_ADDR", 16, on_accepted,
                        house, &house->listener));
    house->thread = thread_start("net-test", run_loop, house->loop);
    return house;
}

static void run_act(struct loop_task *task)
{
    struct house *house = (struct house *)((char *)task - offsetof(struct house, task));
    house->act(house);
    add(&house->acted, 1);
}

/* Runs something on the loop's thread, and waits for it. */
static void do_there(struct house *house, void (*act)(struct house *house))
{
    int before = read_of(&house->acted);
    house->act = act;
    house->task.run = run_act;
    loop_post(house->loop, &house->task);
    wait_for(&house->acted, before + 1);
}

static void act_close(struct house *house)
{
    if (house->connection)
        net_close(house->connection);
    house->connection = NULL;
}

static void act_pause(struct house *house) { net_pause(house->connection); }
static void act_resume(struct house *house) { net_resume(house->connection); }
static void act_limit(struct house *house) { net_listener_limit(house->listener, house->limit); }
static void act_look(struct house *house) { house->is_left = net_is_left(house->connection); }
static void act_shutdown(struct house *house) { net_shutdown(house->connection); }
static void act_write(struct house *house)
{
    house->written = net_write(house->connection, house->head, house->body);
}

static void act_end(struct house *house)
{
    act_close(house);
    net_listener_close(house->listener);
    house->listener = NULL;
}

static void house_close(struct house *house)
{
    do_there(house, act_end);
    loop_stop(house->loop);
    thread_join(house->thread);
    loop_close(house->loop);
}

/* ---- Addresses ---- */

static err listen_at(struct test *t, struct loop *loop, str address, struct net_listener **out)
{
    return net_listen(t->arena, loop, address, "TEST_ADDR", 0, on_accepted, NULL, out);
}

TEST(what_is_no_address_is_refused_and_the_setting_is_named)
{
    static const char *const wrong[] = { "",         "here",      "1.2.3.4",   "1.2.3.4:",
                                         "1.2.3:80", "1.2.3.4:x", "[::1:80",   "::1:80",
                                         "[]:80",    ":65536",    "1.2.3.4:-1" };
    struct loop *loop = loop_open();
    struct net_listener *listener;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err error = listen_at(t, loop, str_of_z(wrong[i]), &listener);
        CHECK_ERR(error, SETTING_INVALID);
        CHECK(str_find(error->detail, STR("TEST_ADDR")) >= 0);
    }
    loop_close(loop);
}

TEST(addresses_of_each_form_are_taken)
{
    static const char *const right[] = { ":0", "127.0.0.1:0", "localhost:0", "0.0.0.0:0" };
    struct loop *loop = loop_open();
    struct net_listener *listener;

    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        CHECK_OK(listen_at(t, loop, str_of_z(right[i]), &listener));
        CHECK(net_listener_port(listener) > 0);
        net_listener_close(listener);
    }
    net_listener_close(NULL);
    loop_close(loop);
}

TEST(a_taken_address_is_named_with_the_setting_that_changes_it)
{
    struct loop *loop = loop_open();
    struct net_listener *first, *second;

    CHECK_OK(listen_at(t, loop, STR("127.0.0.1:0"), &first));
    str address = str_format(t->arena, "127.0.0.1:%d", net_listener_port(first));
    err error = listen_at(t, loop, address, &second);
    CHECK_ERR(error, ADDRESS_TAKEN);
    CHECK(str_find(error->detail, address) >= 0);
    CHECK(str_find(error->detail, STR("TEST_ADDR")) >= 0);
    net_listener_close(first);
    loop_close(loop);
}

TEST(an_address_of_another_machine_fails_by_the_system)
{
    struct loop *loop = loop_open();
    struct net_listener *listener;

    CHECK_ERR(listen_at(t, loop, STR("192.0.2.1:0"), &listener), OS_FAILED);
    loop_close(loop);
}

TEST(a_unix_socket_is_the_owners_alone_and_its_name_goes_with_it)
{
    const char *path = str_z(t->arena, str_format(t->arena, "%s/s", test_folder(t)));
    struct house *house = house_open(t, str_z(t->arena, str_format(t->arena, "unix:%s", path)));
    struct stat stat;

    CHECK_INT(lstat(path, &stat), 0);
    CHECK(S_ISSOCK(stat.st_mode));
    CHECK_INT(stat.st_mode & 0777, 0600);
    CHECK_INT(net_listener_port(house->listener), 0);

    int fd = client_connect_unix(path);
    wait_for(&house->accepted, 1);
    CHECK_STR((const char *)house->peer, "unix");
    CHECK(house->is_unix);
    close(fd);
    house_close(house);
    CHECK(lstat(path, &stat) != 0);
}

TEST(a_unix_socket_is_replaced_when_dead_and_respected_when_alive)
{
    const char *path = str_z(t->arena, str_format(t->arena, "%s/s", test_folder(t)));
    str address = str_format(t->arena, "unix:%s", path);
    struct sockaddr_un_like {
        sa_family_t family;
        char path[108];
    } dead = { .family = AF_UNIX };
    struct loop *loop = loop_open();
    struct net_listener *first, *second;

    /* A process that died: its socket is bound to the name, and nobody listens. */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(dead.path, sizeof dead.path, "%s", path);
    CHECK_INT(bind(fd, (const struct sockaddr *)&dead, sizeof dead), 0);
    close(fd);

    CHECK_OK(listen_at(t, loop, address, &first));
    CHECK_ERR(listen_at(t, loop, address, &second), ADDRESS_TAKEN);
    net_listener_close(first);
    loop_close(loop);
}

TEST(a_file_that_is_not_a_socket_is_not_replaced)
{
    const char *path = str_z(t->arena, str_format(t->arena, "%s/s", test_folder(t)));
    struct loop *loop = loop_open();
    struct net_listener *listener;
    struct stat stat;

    fclose(fopen(path, "w"));
    CHECK_ERR(listen_at(t, loop, str_format(t->arena, "unix:%s", path), &listener), ADDRESS_TAKEN);
    CHECK_INT(lstat(path, &stat), 0);

    char name[200];
    memset(name, 'x', sizeof name);
    str tail = str_of(name, sizeof name);
    CHECK_ERR(listen_at(t, loop, str_format(t->arena, "unix:/tmp/%" STR_F, STR_A(tail)), &listener),
              OS_FAILED);
    loop_close(loop);
}

static int connect_v6(int port)
{
    struct sockaddr_in6 address = { .sin6_family = AF_INET6,
                                    .sin6_port = htons((uint16_t)port),
                                    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        SKIP("this machine has no IPv6");
    return fd;
}

TEST(the_peer_shows_as_ipv6_and_a_mapped_one_as_ipv4)
{
    struct loop *loop = loop_open();
    struct net_listener *probe;
    if (listen_at(t, loop, STR("[::1]:0"), &probe) != OK) {
        loop_close(loop);
        SKIP("this machine has no IPv6");
    }
    net_listener_close(probe);
    loop_close(loop);

    struct house *house = house_open(t, "[::]:0");
    int port = net_listener_port(house->listener);
    int v6 = connect_v6(port);
    wait_for(&house->accepted, 1);
    CHECK_STR((const char *)house->peer, "::1");
    int v4 = client_connect(port);
    wait_for(&house->accepted, 2);
    CHECK_STR((const char *)house->peer, "127.0.0.1");
    close(v6);
    close(v4);
    house_close(house);
}

/* ---- Connections ---- */

/* A house with one connection of ours. */
static struct house *house_with_guest(struct test *t, int *fd)
{
    struct house *house = house_open(t, "127.0.0.1:0");
    *fd = client_connect(net_listener_port(house->listener));
    wait_for(&house->accepted, 1);
    return house;
}

TEST(bytes_come_and_go)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);

    house->echoes = true;
    client_send(fd, STR("hello"));
    CHECK_STR(client_read(t->arena, fd, 5), "hello");
    wait_for(&house->bytes, 5);
    CHECK_INT(house->written, NET_WRITTEN);
    CHECK_STR((const char *)house->peer, "127.0.0.1");
    CHECK(!house->is_unix);
    close(fd);
    wait_for(&house->ended, 1);
    CHECK_INT(read_of(&house->broken), 0);
    house_close(house);
}

TEST(head_and_body_are_written_as_one)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);

    house->head = STR("head,");
    house->body = STR("body");
    do_there(house, act_write);
    CHECK_INT(house->written, NET_WRITTEN);
    CHECK_STR(client_read(t->arena, fd, 9), "head,body");
    CHECK_INT(read_of(&house->wrote), 0);
    close(fd);
    house_close(house);
}

/* Bytes that tell their place. */
static str pattern(struct arena *arena, size_t len)
{
    char *bytes = arena_alloc(arena, len, 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)('a' + i * 7 % 23);
    return str_of(bytes, len);
}

TEST(what_a_slow_peer_does_not_take_at_once_is_written_when_it_reads)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);
    size_t half = 8 * 1024 * 1024;
    str all = pattern(t->arena, 2 * half);

    house->head = str_slice(all, 0, half);
    house->body = str_slice(all, half, half);
    do_there(house, act_write);
    CHECK_INT(house->written, NET_WAITING);
    CHECK_INT(read_of(&house->wrote), 0);

    str got = client_read(t->arena, fd, 2 * half);
    CHECK_INT(got.len, 2 * half);
    CHECK_BYTES(got.ptr, all.ptr, all.len);
    wait_for(&house->wrote, 1);
    CHECK_INT(read_of(&house->wrote_whole), 1);
    close(fd);
    house_close(house);
}

TEST(of_what_a_peer_does_not_read_the_kernel_takes_little)
{
    enum { BODY_BYTES = 32 * 1024 * 1024, WINDOW_BYTES = 16 * 1024, TAKEN_MAX = 512 * 1024 };
    struct house *house = house_open(t, "127.0.0.1:0");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), window = WINDOW_BYTES;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)net_listener_port(house->listener)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window), 0);
    CHECK_INT(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    wait_for(&house->accepted, 1);

    house->head = STR("head");
    house->body = str_of(arena_alloc(t->arena, BODY_BYTES, 1), BODY_BYTES);
    do_there(house, act_write);
    CHECK_INT(house->written, NET_WAITING);
    sleep_until(clock_mono_us() + 50000);
    do_there(house, act_close);
    CHECK(client_read_all(t->arena, fd).len <= TAKEN_MAX);
    close(fd);
    house_close(house);
}

TEST(a_peer_that_goes_while_a_write_waits_is_told)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);

    house->head = pattern(t->arena, 16 * 1024 * 1024);
    do_there(house, act_write);
    CHECK_INT(house->written, NET_WAITING);
    client_reset(fd);
    wait_for(&house->wrote, 1);
    CHECK_INT(read_of(&house->wrote_whole), 0);
    house_close(house);
}

TEST(a_connection_can_be_closed_while_a_write_waits)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);

    house->head = pattern(t->arena, 16 * 1024 * 1024);
    do_there(house, act_write);
    CHECK_INT(house->written, NET_WAITING);
    do_there(house, act_close);
    client_read_all(t->arena, fd);
    CHECK_INT(read_of(&house->wrote), 0);
    close(fd);
    house_close(house);
}

TEST(a_write_to_a_peer_that_has_gone_is_broken_and_no_signal)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);

    client_reset(fd);
    wait_for(&house->ended, 1);
    CHECK_INT(read_of(&house->broken), 1);
    house->head = STR("x");
    do_there(house, act_write);
    CHECK_INT(house->written, NET_BROKEN);
    house_close(house);
}

TEST(a_paused_connection_tells_nothing_until_it_is_resumed)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);

    do_there(house, act_pause);
    do_there(house, act_pause);
    client_send(fd, STR("abc"));
    sleep_until(clock_mono_us() + 20 * TIME_MS);
    CHECK_INT(read_of(&house->bytes), 0);
    do_there(house, act_resume);
    do_there(house, act_resume);
    wait_for(&house->bytes, 3);
    close(fd);
    house_close(house);
}

TEST(what_is_not_to_be_read_yet_waits_until_the_connection_is_resumed)
{
    struct house *house = house_open(t, "127.0.0.1:0");
    int fd = client_connect(net_listener_port(house->listener));

    add(&house->reads_later, 1);
    client_send(fd, STR("later"));
    wait_for(&house->asked_to_read, 1);
    client_send(fd, STR(", and more"));
    sleep_until(clock_mono_us() + 20000);
    CHECK_INT(read_of(&house->bytes), 0);
    CHECK_INT(read_of(&house->asked_to_read), 1); /* it is paused, and nothing turns round */

    add(&house->reads_later, -1);
    do_there(house, act_resume);
    wait_for(&house->bytes, 15);
    close(fd);
    wait_for(&house->ended, 1);
    house_close(house);
}

TEST(a_peer_that_has_left_shows_though_what_it_sent_is_not_read)
{
    struct house *house = house_open(t, "127.0.0.1:0");
    int fd = client_connect(net_listener_port(house->listener));

    wait_for(&house->accepted, 1);
    do_there(house, act_pause);
    client_send(fd, STR("still there"));
    do_there(house, act_look);
    CHECK(!house->is_left);
    close(fd);
    for (int i = 0; i < 1000 && !house->is_left; i++) {
        sleep_until(clock_mono_us() + 1000);
        do_there(house, act_look);
    }
    CHECK(house->is_left);
    CHECK_INT(read_of(&house->bytes), 0);
    house_close(house);
}

TEST(a_listener_takes_as_many_as_it_is_allowed_and_the_others_later)
{
    struct house *house = house_open(t, "127.0.0.1:0");
    int port = net_listener_port(house->listener), fds[5];

    house->limit = 0;
    do_there(house, act_limit);
    for (int i = 0; i < 5; i++)
        fds[i] = client_connect(port);
    sleep_until(clock_mono_us() + 20000);
    CHECK_INT(read_of(&house->accepted), 0);

    house->limit = 2;
    do_there(house, act_limit);
    wait_for(&house->accepted, 2);
    sleep_until(clock_mono_us() + 20000);
    CHECK_INT(read_of(&house->accepted), 2);

    house->limit = NET_UNLIMITED;
    do_there(house, act_limit);
    wait_for(&house->accepted, 5);
    int more = client_connect(port);
    wait_for(&house->accepted, 6);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    close(more);
    house_close(house);
}

TEST(a_listener_closes_with_a_connection_that_it_has_not_taken)
{
    struct house *house = house_open(t, "127.0.0.1:0");

    house->limit = 0;
    do_there(house, act_limit);
    int fd = client_connect(net_listener_port(house->listener));
    sleep_until(clock_mono_us() + 10000);
    house_close(house);
    CHECK_INT(client_read_all(t->arena, fd).len, 0);
    close(fd);
}

TEST(a_peer_that_closes_its_half_still_hears_us)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);

    client_finish(fd);
    wait_for(&house->ended, 1);
    CHECK_INT(read_of(&house->broken), 0);
    house->head = STR("still here");
    do_there(house, act_write);
    CHECK_STR(client_read(t->arena, fd, 10), "still here");
    close(fd);
    house_close(house);
}

TEST(we_can_close_our_half_and_still_hear_the_peer)
{
    int fd;
    struct house *house = house_with_guest(t, &fd);

    do_there(house, act_shutdown);
    CHECK_STR(client_read_all(t->arena, fd), "");
    client_send(fd, STR("more"));
    wait_for(&house->bytes, 4);
    close(fd);
    house_close(house);
}

TEST(many_connections_that_wait_are_taken_at_once)
{
    struct house *house = house_open(t, "127.0.0.1:0");
    enum { MANY = 200 };
    int fds[MANY];

    for (int i = 0; i < MANY; i++)
        fds[i] = client_connect(net_listener_port(house->listener));
    wait_for(&house->accepted, MANY);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    house_close(house);
}

/* ---- TLS ---- */

static void act_use_tls(struct house *house) { net_listener_use_tls(house->listener, house->tls); }

static struct house *house_open_tls(struct test *t)
{
    struct house *house = house_open(t, "127.0.0.1:0");
    struct certificate own = certificate_make(t, (struct certificate_wish){ .name = "shop" });
    struct tls_config config = {
        .certificate = own.pem, .key = own.key, .certificate_name = "CERT", .key_name = "KEY"
    };
    CHECK_OK(tls_open(t->arena, &config, &house->tls));
    do_there(house, act_use_tls);
    return house;
}

/* OpenSSL's client over a blocking socket. */
struct peer {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};

static struct peer peer_of(struct house *house)
{
    struct peer peer = { .context = SSL_CTX_new(TLS_client_method()) };
    peer.fd = client_connect(net_listener_port(house->listener));
    peer.ssl = SSL_new(peer.context);
    CHECK(SSL_set_fd(peer.ssl, peer.fd));
    CHECK_INT(SSL_connect(peer.ssl), 1);
    return peer;
}

static void peer_end(struct peer *peer)
{
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    close(peer->fd);
}

TEST(bytes_come_and_go_under_tls_and_the_owner_hears_when_it_is_open)
{
    struct house *house = house_open_tls(t);
    char answer[5];
    house->echoes = true;
    struct peer peer = peer_of(house);
    wait_for(&house->opened, 1);
    CHECK(net_is_tls(house->connection));
    CHECK_INT(SSL_write(peer.ssl, "hello", 5), 5);
    CHECK_INT(SSL_read(peer.ssl, answer, 5), 5);
    CHECK_BYTES(answer, "hello", 5);
    wait_for(&house->bytes, 5);

    SSL_shutdown(peer.ssl);
    wait_for(&house->ended, 1);
    CHECK_INT(read_of(&house->broken), 0);
    peer_end(&peer);
    house_close(house);
}

TEST(what_a_slow_peer_does_not_take_at_once_is_encrypted_as_it_reads)
{
    enum { BYTES = 20 * 1024 * 1024 };
    struct house *house = house_open_tls(t);
    struct peer peer = peer_of(house);
    wait_for(&house->opened, 1);
    char *bytes = arena_alloc(t->arena, BYTES, 1);
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (char)(i / 251);
    house->head = STR("head");
    house->body = str_of(bytes, BYTES);
    do_there(house, act_write);
    CHECK_INT(house->written, NET_WAITING);
    CHECK_INT(SSL_write(peer.ssl, "meanwhile", 9), 9);
    wait_for(&house->bytes, 9);
    CHECK_INT(read_of(&house->wrote), 0);

    char *came = arena_alloc(t->arena, BYTES + 4, 1);
    int sum = 0, got;
    while (sum < BYTES + 4 && (got = SSL_read(peer.ssl, came + sum, BYTES + 4 - sum)) > 0)
        sum += got;
    CHECK_INT(sum, BYTES + 4);
    CHECK_BYTES(came + 4, bytes, BYTES);
    wait_for(&house->wrote, 1);
    CHECK_INT(read_of(&house->wrote_whole), 1);
    peer_end(&peer);
    house_close(house);
}

TEST(a_connection_under_tls_can_be_closed_while_a_write_waits)
{
    struct house *house = house_open_tls(t);
    struct peer peer = peer_of(house);
    wait_for(&house->opened, 1);
    house->head = str_of(arena_alloc(t->arena, 16 * 1024 * 1024, 1), 16 * 1024 * 1024);
    do_there(house, act_write);
    CHECK_INT(house->written, NET_WAITING);
    do_there(house, act_close);
    peer_end(&peer);
    house_close(house);
}

TEST(what_is_not_tls_is_told_as_broken_and_why)
{
    struct house *house = house_open_tls(t);
    int fd = client_connect(net_listener_port(house->listener));
    client_send(fd, STR("GET / HTTP/1.1\r\n\r\n"));
    wait_for(&house->broken, 1);
    CHECK_STR(net_failure(house->connection), "http request");
    CHECK_INT(read_of(&house->opened), 0);
    CHECK_INT(read_of(&house->bytes), 0);
    close(fd);
    house_close(house);
}

TEST(a_new_certificate_leaves_open_connections_as_they_are)
{
    struct house *house = house_open_tls(t);
    char answer[2];
    house->echoes = true;
    struct peer peer = peer_of(house);
    wait_for(&house->opened, 1);
    struct certificate next = certificate_make(t, (struct certificate_wish){ .name = "next" });
    struct tls_config config = {
        .certificate = next.pem, .key = next.key, .certificate_name = "CERT", .key_name = "KEY"
    };
    CHECK_OK(tls_open(t->arena, &config, &house->tls));
    do_there(house, act_use_tls);
    CHECK_INT(SSL_write(peer.ssl, "ab", 2), 2);
    CHECK_INT(SSL_read(peer.ssl, answer, 2), 2);
    wait_for(&house->bytes, 2);

    struct peer second = peer_of(house);
    X509 *shown = SSL_get1_peer_certificate(second.ssl);
    CHECK_INT(X509_cmp(shown, next.x509), 0);
    X509_free(shown);
    peer_end(&second);
    peer_end(&peer);
    house_close(house);
}
