#include "os/net.h"

#include "os/sync.h"
#include "tests/lib/certificates.h"
#include "tests/lib/client.h"

#include <stdio.h>

/* A listener that sends back what it hears, and a connection to it, on one loop that the test's
 * thread runs. */
struct ends {
    struct loop *loop;
    struct net_listener *listener;
    struct net_connection *there, *here;
    struct tls_context *tls;
    char heard[64], failure[200], peer[NET_PEER_BYTES];
    size_t heard_len;
    int opened, ended, broken;
    char *room;
};

static void there_bytes(void *subject, const char *bytes, size_t len)
{
    struct ends *ends = subject;
    CHECK_INT(net_write(ends->there, str_of(bytes, len), STR_NONE), NET_WRITTEN);
}
static void nothing_ended(void *subject, bool broken) { (void)subject, (void)broken; }
static void nothing_written(void *subject, bool whole) { (void)subject, (void)whole; }

static void accepted(void *subject, struct net_connection *connection)
{
    static const struct net_events events = { .bytes = there_bytes,
                                              .ended = nothing_ended,
                                              .written = nothing_written };
    struct ends *ends = subject;
    ends->there = connection;
    net_own(connection, &events, ends);
}

static void here_opened(void *subject)
{
    struct ends *ends = subject;
    ends->opened++;
    ends->room = net_room(ends->here);
    snprintf(ends->peer, sizeof(ends->peer), "%" STR_F, STR_A(net_peer(ends->here)));
    CHECK_INT(net_write(ends->here, STR("hello "), STR("there")), NET_WRITTEN);
}

static void here_bytes(void *subject, const char *bytes, size_t len)
{
    struct ends *ends = subject;
    memcpy(ends->heard + ends->heard_len, bytes, len);
    ends->heard_len += len;
    if (ends->heard_len == 11)
        loop_stop(ends->loop);
}

static void here_ended(void *subject, bool broken)
{
    struct ends *ends = subject;
    ends->ended++;
    ends->broken += broken;
    snprintf(ends->failure, sizeof(ends->failure), "%s", net_failure(ends->here));
    loop_stop(ends->loop);
}

static const struct net_events HERE = { .bytes = here_bytes,
                                        .ended = here_ended,
                                        .written = nothing_written,
                                        .opened = here_opened };

static void give_up(void *subject) { loop_stop(((struct ends *)subject)->loop); }

/* Connects and runs the loop until both have talked, or it came to nothing. */
static void run(struct ends *ends, const struct net_address *address, const char *name)
{
    const char *why = "";
    struct loop_timer *timer = loop_timer_open(ends->loop, give_up, ends);

    loop_timer_start(timer, 20000, 0);
    ends->here = net_connect(ends->loop, address, ends->tls, str_of_z(name), 16, &HERE, ends, &why);
    CHECK(ends->here);
    loop_run(ends->loop);
    net_close(ends->here);
    loop_timer_close(timer);
}

static void close_all(struct ends *ends)
{
    if (ends->there)
        net_close(ends->there);
    net_listener_close(ends->listener);
    tls_close(ends->tls);
    loop_close(ends->loop);
}

static struct ends *ends_on(struct test *t, const char *address)
{
    struct ends *ends = arena_new(t->arena, struct ends);
    ends->loop = loop_open();
    CHECK_OK(net_listen(t->arena, ends->loop, str_of_z(address), "ADDR", 16, accepted, ends,
                        &ends->listener));
    return ends;
}

static struct net_address tcp_address(const struct ends *ends)
{
    struct net_address address;
    CHECK(
        net_address_read(STR("127.0.0.1"), (uint16_t)net_listener_port(ends->listener), &address));
    return address;
}

TEST(a_connection_that_was_asked_for_is_opened_and_talks)
{
    struct ends *ends = ends_on(t, "127.0.0.1:0");
    struct net_address address = tcp_address(ends);

    run(ends, &address, "");
    CHECK_INT(ends->opened, 1);
    CHECK_STR(str_of(ends->heard, ends->heard_len), "hello there");
    CHECK_STR((const char *)ends->peer, "127.0.0.1");
    CHECK(ends->room);
    close_all(ends);
}

TEST(a_unix_socket_is_a_place_too)
{
    str path = str_format(t->arena, "%s/s", test_folder(t));
    struct ends *ends =
        ends_on(t, str_z(t->arena, str_format(t->arena, "unix:%" STR_F, STR_A(path))));
    struct net_address address = { 0 };

    snprintf(address.text, sizeof(address.text), "%" STR_F, STR_A(path));
    run(ends, &address, "");
    CHECK_STR(str_of(ends->heard, ends->heard_len), "hello there");
    CHECK_STR((const char *)ends->peer, "unix");
    close_all(ends);
}

TEST(where_nobody_listens_the_end_says_why)
{
    struct ends *ends = ends_on(t, "127.0.0.1:0");
    struct net_address address = tcp_address(ends);

    net_listener_close(ends->listener);
    ends->listener = NULL;
    loop_stop(ends->loop);
    loop_run(ends->loop); /* the listener is gone after a turn */
    run(ends, &address, "");
    CHECK_INT(ends->opened, 0);
    CHECK_INT(ends->broken, 1);
    CHECK_STR((const char *)ends->failure, "connection refused");
    close_all(ends);
}

TEST(a_connection_may_be_closed_before_it_stands)
{
    struct ends *ends = ends_on(t, "127.0.0.1:0");
    struct net_address address = tcp_address(ends);
    const char *why;

    net_close(net_connect(ends->loop, &address, NULL, STR(""), 16, &HERE, ends, &why));
    loop_stop(ends->loop);
    loop_run(ends->loop);
    CHECK_INT(ends->opened + ends->ended, 0);
    close_all(ends);
}

static void use_tls(struct test *t, struct ends *ends, const char *dns)
{
    struct certificate root =
        certificate_make(t, (struct certificate_wish){ .name = "root", .is_authority = true });
    struct certificate own = certificate_make(
        t, (struct certificate_wish){ .name = "there", .dns = dns, .issuer = &root });
    struct tls_config config = { .certificate = own.pem,
                                 .key = own.key,
                                 .certificate_name = "CERT",
                                 .key_name = "KEY",
                                 .authorities_name = "CA" };
    struct tls_context *server;
    CHECK_OK(tls_open(t->arena, &config, &server));
    net_listener_use_tls(ends->listener, server);
    config = (struct tls_config){ .authorities = root.pem, .authorities_name = "CA" };
    config.certificate_name = config.key_name = "";
    CHECK_OK(tls_open_client(t->arena, &config, &ends->tls));
}

TEST(under_tls_it_is_opened_when_hands_are_shaken)
{
    struct ends *ends = ends_on(t, "127.0.0.1:0");
    struct net_address address = tcp_address(ends);

    use_tls(t, ends, "orders.shop");
    run(ends, &address, "orders.shop");
    CHECK_INT(ends->opened, 1);
    CHECK_STR(str_of(ends->heard, ends->heard_len), "hello there");
    close_all(ends);
}

TEST(under_tls_another_than_who_was_meant_is_not_talked_to)
{
    struct ends *ends = ends_on(t, "127.0.0.1:0");
    struct net_address address = tcp_address(ends);

    use_tls(t, ends, "products.shop");
    run(ends, &address, "orders.shop");
    CHECK_INT(ends->opened, 0);
    CHECK_INT(ends->broken, 1);
    CHECK(str_find(str_of_z(ends->failure), STR("hostname mismatch")) >= 0);
    close_all(ends);
}

TEST(addresses_are_read_compared_and_written)
{
    struct net_address a, b, v6;

    CHECK(net_address_read(STR("10.0.0.1"), 80, &a));
    CHECK(net_address_read(STR("10.0.0.1"), 81, &b));
    CHECK(net_address_read(STR("2001:db8::1"), 80, &v6));
    CHECK(net_address_equal(&a, &a) && !net_address_equal(&a, &b) && !net_address_equal(&a, &v6));
    CHECK_STR(net_address_text(t->arena, &a), "10.0.0.1:80");
    CHECK_STR(net_address_text(t->arena, &v6), "[2001:db8::1]:80");
    CHECK_STR(net_address_text(t->arena, &(struct net_address){ .text = "/run/s" }), "unix:/run/s");
    CHECK(!net_address_read(STR("orders"), 80, &a));
    CHECK(!net_address_read(STR(""), 80, &a));
    CHECK(!net_address_read(STR("10.0.0.256"), 80, &a));
}
