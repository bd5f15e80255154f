#include "os/tls.h"

#include "tests/lib/certificates.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

/* OpenSSL's client in memory at the other end. */
struct talk {
    struct test *t;
    struct certificate root, own;
    struct tls_context *context;
    struct tls *tls;
    SSL_CTX *client_context;
    SSL *client;
    BIO *to_client, *from_client;
    enum tls_state state;
    char *room;
    size_t room_len; /* of the latest tls_feed that gave something */
};

static struct talk *talk_of(struct test *t, bool asks_for_certificates, const str *names,
                            size_t names_count)
{
    struct talk *talk = arena_new(t->arena, struct talk);
    talk->t = t;
    talk->room = arena_alloc(t->arena, TLS_ROOM_BYTES, 1);
    talk->root =
        certificate_make(t, (struct certificate_wish){ .name = "root", .is_authority = true });
    talk->own = certificate_make(
        t, (struct certificate_wish){ .name = "shop", .dns = "localhost", .issuer = &talk->root });
    struct tls_config config = { .certificate = talk->own.pem,
                                 .key = talk->own.key,
                                 .authorities = asks_for_certificates ? talk->root.pem : STR_NONE,
                                 .names = names,
                                 .names_count = names_count,
                                 .certificate_name = "CERT",
                                 .key_name = "KEY",
                                 .authorities_name = "CA" };
    CHECK_OK(tls_open(t->arena, &config, &talk->context));
    talk->tls = tls_accept(talk->context);
    talk->client_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(talk->client_context, SSL_VERIFY_PEER, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(talk->client_context), talk->root.x509);
    return talk;
}

static void client_begin(struct talk *talk)
{
    talk->client = SSL_new(talk->client_context);
    talk->to_client = BIO_new(BIO_s_mem());
    talk->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(talk->client, talk->to_client, talk->from_client);
    SSL_set_connect_state(talk->client);
    CHECK(SSL_set1_host(talk->client, "localhost"));
}

/* Carries what both have to say to the other, in pieces of at most `piece` bytes. */
static void carry(struct talk *talk, size_t piece)
{
    char *bytes = arena_alloc(talk->t->arena, piece, 1);
    int got;

    while ((got = BIO_read(talk->from_client, bytes, (int)piece)) > 0) {
        size_t len;
        talk->state = tls_feed(talk->tls, str_of(bytes, (size_t)got), talk->room, &len);
        if (len > 0)
            talk->room_len = len;
    }
    str out = tls_outgoing(talk->tls);
    while (out.len > 0) {
        size_t part = out.len < piece ? out.len : piece;
        CHECK_INT(BIO_write(talk->to_client, out.ptr, (int)part), part);
        tls_sent(talk->tls, part);
        out = tls_outgoing(talk->tls);
    }
}

static bool shake(struct talk *talk, size_t piece)
{
    bool is_done = false;
    for (int i = 0; i < 10 && !is_done && talk->state != TLS_BROKEN; i++) {
        is_done = SSL_do_handshake(talk->client) == 1;
        carry(talk, piece);
    }
    carry(talk, piece);
    return is_done && tls_is_open(talk->tls) && talk->state == TLS_TALKING;
}

static void talk_end(struct talk *talk)
{
    SSL_free(talk->client);
    SSL_CTX_free(talk->client_context);
    tls_end(talk->tls);
    tls_close(talk->context);
    ERR_clear_error();
}

static void check_both_ways(struct talk *talk)
{
    char answer[5];
    CHECK_INT(SSL_write(talk->client, "hello", 5), 5);
    carry(talk, 4096);
    CHECK_STR(str_of(talk->room, talk->room_len), "hello");
    tls_say(talk->tls, STR("world"));
    carry(talk, 4096);
    CHECK_INT(SSL_read(talk->client, answer, 5), 5);
    CHECK_BYTES(answer, "world", 5);
}

TEST(both_sides_talk_after_the_handshake_in_whatever_pieces_it_came)
{
    static const size_t pieces[] = { 1, 7, 100, 65536 };
    for (size_t i = 0; i < 4; i++) {
        struct talk *talk = talk_of(t, false, NULL, 0);
        client_begin(talk);
        CHECK(!tls_is_open(talk->tls));
        CHECK(shake(talk, pieces[i]));
        CHECK_STR(str_of_z(SSL_get_version(talk->client)), "TLSv1.3");
        check_both_ways(talk);
        talk_end(talk);
    }
}

TEST(tls_1_2_is_spoken_and_1_1_is_not)
{
    struct talk *talk = talk_of(t, false, NULL, 0);
    SSL_CTX_set_max_proto_version(talk->client_context, TLS1_2_VERSION);
    client_begin(talk);
    CHECK(shake(talk, 4096));
    check_both_ways(talk);
    talk_end(talk);

    talk = talk_of(t, false, NULL, 0);
    SSL_CTX_set_security_level(talk->client_context, 0);
    SSL_CTX_set_min_proto_version(talk->client_context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(talk->client_context, TLS1_1_VERSION);
    client_begin(talk);
    CHECK(!shake(talk, 4096));
    CHECK_INT(talk->state, TLS_BROKEN);
    CHECK_STR(str_of_z(tls_failure(talk->tls)), "unsupported protocol");
    talk_end(talk);
}

static str protocol_for(struct test *t, const char *offered, size_t len)
{
    struct talk *talk = talk_of(t, false, NULL, 0);
    if (len > 0)
        SSL_CTX_set_alpn_protos(talk->client_context, (const unsigned char *)offered,
                                (unsigned)len);
    client_begin(talk);
    str protocol = shake(talk, 4096) ? str_copy(t->arena, tls_protocol(talk->tls)) : STR("refused");
    talk_end(talk);
    return protocol;
}

TEST(http_2_is_chosen_where_it_is_offered_and_a_list_without_http_is_refused)
{
    CHECK_STR(protocol_for(t, "\x08http/1.1\x02h2", 12), "h2");
    CHECK_STR(protocol_for(t, "\x02h2", 3), "h2");
    CHECK_STR(protocol_for(t, "\x08http/1.1", 9), "http/1.1");
    CHECK_STR(protocol_for(t,
                           "\x03"
                           "ftp\x08http/1.1",
                           13),
              "http/1.1");
    CHECK(!protocol_for(t, NULL, 0).ptr || protocol_for(t, NULL, 0).len == 0);
    CHECK_STR(protocol_for(t,
                           "\x03"
                           "ftp",
                           4),
              "refused");
}

TEST(a_record_may_come_in_two_reads_and_many_in_one)
{
    struct talk *talk = talk_of(t, false, NULL, 0);
    client_begin(talk);
    CHECK(shake(talk, 4096));
    char *bytes = arena_alloc(t->arena, 60000, 1);
    memset(bytes, 'x', 60000);
    CHECK_INT(SSL_write(talk->client, bytes, 60000), 60000);

    size_t sum = 0, len, piece = 1000;
    char part[65536];
    int got;
    while ((got = BIO_read(talk->from_client, part, (int)piece)) > 0) {
        CHECK_INT(tls_feed(talk->tls, str_of(part, (size_t)got), talk->room, &len), TLS_TALKING);
        sum += len;
        piece = sizeof(part);
    }
    CHECK_INT(sum, 60000);
    talk_end(talk);
}

TEST(the_end_of_the_peer_is_told_and_the_own_end_is_said)
{
    struct talk *talk = talk_of(t, false, NULL, 0);
    char byte;
    client_begin(talk);
    CHECK(shake(talk, 4096));

    CHECK_INT(SSL_shutdown(talk->client), 0);
    carry(talk, 4096);
    CHECK_INT(talk->state, TLS_FINISHED);
    tls_say(talk->tls, STR("!")); /* the other half stays */
    tls_say_end(talk->tls);
    carry(talk, 4096);
    CHECK_INT(SSL_read(talk->client, &byte, 1), 1);
    CHECK_INT(SSL_read(talk->client, &byte, 1), 0);
    CHECK_INT(SSL_get_error(talk->client, 0), SSL_ERROR_ZERO_RETURN);
    talk_end(talk);
}

TEST(noise_breaks_the_conversation_with_words_and_an_alert)
{
    struct talk *talk = talk_of(t, false, NULL, 0);
    size_t len;
    CHECK_INT(tls_feed(talk->tls, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), talk->room, &len),
              TLS_BROKEN);
    CHECK_STR(str_of_z(tls_failure(talk->tls)), "http request");
    CHECK_INT(len, 0);
    CHECK_INT(tls_feed(talk->tls, STR("more"), talk->room, &len), TLS_BROKEN);
    talk_end(talk);
}

/* ---- Certificates of clients ---- */

static bool is_taken(struct test *t, const str *names, size_t names_count,
                     struct certificate_wish wish, bool by_root)
{
    struct talk *talk = talk_of(t, true, names, names_count);
    wish.issuer = by_root ? &talk->root : NULL;
    if (wish.name) {
        struct certificate own = certificate_make(t, wish);
        SSL_CTX_use_certificate(talk->client_context, own.x509);
        SSL_CTX_use_PrivateKey(talk->client_context, own.pkey);
    }
    client_begin(talk);
    bool is_taken = shake(talk, 4096);
    if (!is_taken)
        CHECK(*tls_failure(talk->tls));
    talk_end(talk);
    return is_taken;
}

TEST(a_client_must_show_a_certificate_of_the_authority_that_is_still_good)
{
    struct certificate_wish good = { .name = "orders", .dns = "orders.shop" };
    struct certificate_wish old = {
        .name = "orders", .dns = "orders.shop", .from_s = -7200, .until_s = -3600
    };

    CHECK(is_taken(t, NULL, 0, good, true));
    CHECK(!is_taken(t, NULL, 0, good, false));
    CHECK(!is_taken(t, NULL, 0, old, true));
    CHECK(!is_taken(t, NULL, 0, (struct certificate_wish){ 0 }, true));
}

TEST(of_the_names_that_are_allowed_one_must_be_in_the_certificate_exactly)
{
    str names[] = { STR("gateway.shop"), STR("orders.shop"), STR("spiffe://shop/orders") };

    CHECK(is_taken(t, names, 2, (struct certificate_wish){ .name = "o", .dns = "orders.shop" },
                   true));
    CHECK(is_taken(t, names, 2, (struct certificate_wish){ .name = "o", .dns = "x.y,orders.shop" },
                   true));
    CHECK(!is_taken(t, names, 2, (struct certificate_wish){ .name = "o", .dns = "users.shop" },
                    true));
    CHECK(!is_taken(t, names, 2, (struct certificate_wish){ .name = "o", .dns = "*.shop" }, true));
    CHECK(!is_taken(t, names, 2, (struct certificate_wish){ .name = "orders.shop" }, true));
    CHECK(!is_taken(t, names, 2, (struct certificate_wish){ .name = "o", .dns = "orders.shop" },
                    false));
    CHECK(is_taken(t, names, 3,
                   (struct certificate_wish){ .name = "o", .uri = "spiffe://shop/orders" }, true));
    CHECK(!is_taken(t, names, 2,
                    (struct certificate_wish){ .name = "o", .uri = "spiffe://shop/orders" }, true));
    CHECK(!is_taken(t, names, 3,
                    (struct certificate_wish){ .name = "o", .uri = "spiffe://shop/orders/x" },
                    true));
}
