#include "os/tls.h"

#include "tests/lib/certificates.h"

/* Both sides are ours, in memory. */
struct pair {
    struct test *t;
    struct certificate root, server, user;
    struct tls_context *server_context, *client_context;
    struct tls *there, *here;
    char *room;
    size_t heard_there, heard_here;
    enum tls_state state_there, state_here;
};

static struct pair *pair_of(struct test *t)
{
    struct pair *pair = arena_new(t->arena, struct pair);
    pair->t = t;
    pair->room = arena_alloc(t->arena, TLS_ROOM_BYTES, 1);
    pair->root =
        certificate_make(t, (struct certificate_wish){ .name = "root", .is_authority = true });
    pair->server = certificate_make(t, (struct certificate_wish){ .name = "orders",
                                                                  .dns = "orders.shop",
                                                                  .uri = "spiffe://shop/orders",
                                                                  .issuer = &pair->root });
    pair->user = certificate_make(
        t, (struct certificate_wish){ .name = "gateway", .dns = "gateway", .issuer = &pair->root });
    return pair;
}

static void open_server(struct pair *pair, bool asks)
{
    struct tls_config config = { .certificate = pair->server.pem,
                                 .key = pair->server.key,
                                 .authorities = asks ? pair->root.pem : STR_NONE,
                                 .certificate_name = "CERT",
                                 .key_name = "KEY",
                                 .authorities_name = "CA" };
    CHECK_OK(tls_open(pair->t->arena, &config, &pair->server_context));
}

static struct tls_config client_config(const struct pair *pair)
{
    return (struct tls_config){ .authorities = pair->root.pem,
                                .certificate_name = "CERT",
                                .key_name = "KEY",
                                .authorities_name = "CA" };
}

static void carry(struct pair *pair, struct tls *from, struct tls *to, enum tls_state *state,
                  size_t *heard)
{
    str out = tls_outgoing(from);
    size_t len = 0;

    if (out.len == 0)
        return;
    out = str_copy(pair->t->arena, out);
    tls_sent(from, out.len);
    *state = tls_feed(to, out, pair->room, &len);
    *heard += len;
}

/* Shakes hands; true where both talk. */
static bool meet(struct pair *pair, const struct tls_config *config, const char *name)
{
    CHECK_OK(tls_open_client(pair->t->arena, config, &pair->client_context));
    pair->here = tls_connect(pair->client_context, str_of_z(name));
    pair->there = tls_accept(pair->server_context);
    pair->state_here = pair->state_there = TLS_SHAKING;
    for (int i = 0; i < 5; i++) {
        carry(pair, pair->here, pair->there, &pair->state_there, &pair->heard_there);
        carry(pair, pair->there, pair->here, &pair->state_here, &pair->heard_here);
    }
    return pair->state_here == TLS_TALKING && pair->state_there == TLS_TALKING;
}

static void part(struct pair *pair)
{
    tls_end(pair->here);
    tls_end(pair->there);
    tls_close(pair->client_context);
}

TEST(a_client_and_a_server_of_ours_choose_http_2_and_hear_each_other)
{
    struct pair *pair = pair_of(t);
    struct tls_config config = client_config(pair);

    open_server(pair, false);
    CHECK(meet(pair, &config, "orders.shop"));
    CHECK_STR(tls_protocol(pair->here), "h2");
    CHECK_STR(tls_protocol(pair->there), "h2");
    tls_say(pair->here, STR("hello"));
    carry(pair, pair->here, pair->there, &pair->state_there, &pair->heard_there);
    CHECK_INT(pair->heard_there, 5);
    part(pair);
    tls_close(pair->server_context);
}

TEST(a_server_that_is_called_otherwise_is_refused)
{
    struct pair *pair = pair_of(t);
    struct tls_config config = client_config(pair);

    open_server(pair, false);
    CHECK(!meet(pair, &config, "products.shop"));
    CHECK_INT(pair->state_here, TLS_BROKEN);
    CHECK(str_find(str_of_z(tls_failure(pair->here)), STR("hostname mismatch")) >= 0);
    part(pair);
    CHECK(!meet(pair, &config, "127.0.0.1"));
    part(pair);
    tls_close(pair->server_context);
}

TEST(a_server_of_another_authority_is_refused)
{
    struct pair *pair = pair_of(t);
    struct certificate other =
        certificate_make(t, (struct certificate_wish){ .name = "other", .is_authority = true });
    struct tls_config config = client_config(pair);

    open_server(pair, false);
    config.authorities = other.pem;
    CHECK(!meet(pair, &config, "orders.shop"));
    part(pair);
    config.authorities = STR_NONE; /* those of the system do not know it either */
    CHECK(!meet(pair, &config, "orders.shop"));
    part(pair);
    tls_close(pair->server_context);
}

TEST(where_names_are_given_they_count_and_not_what_it_is_called_by)
{
    struct pair *pair = pair_of(t);
    struct tls_config config = client_config(pair);
    str names[] = { STR("spiffe://shop/orders") }, others[] = { STR("spiffe://shop/users") };

    open_server(pair, false);
    config.names = names;
    config.names_count = 1;
    CHECK(meet(pair, &config, "10.0.0.7"));
    part(pair);
    config.names = others;
    CHECK(!meet(pair, &config, "orders.shop"));
    part(pair);
    tls_close(pair->server_context);
}

TEST(a_server_that_asks_for_a_certificate_is_shown_one)
{
    struct pair *pair = pair_of(t);
    struct tls_config config = client_config(pair);

    open_server(pair, true);
    CHECK(!meet(pair, &config, "orders.shop"));
    CHECK_INT(pair->state_there, TLS_BROKEN);
    part(pair);
    config.certificate = pair->user.pem;
    config.key = pair->user.key;
    CHECK(meet(pair, &config, "orders.shop"));
    part(pair);
    tls_close(pair->server_context);
}

TEST(what_cannot_be_read_is_refused_by_its_name)
{
    struct pair *pair = pair_of(t);
    struct tls_config config = client_config(pair);
    struct tls_context *context;

    config.authorities = STR("nothing");
    err error = tls_open_client(t->arena, &config, &context);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_starts(error->detail, STR("CA: ")));
    config = client_config(pair);
    config.certificate = pair->user.pem;
    config.key = pair->server.key;
    error = tls_open_client(t->arena, &config, &context);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_starts(error->detail, STR("KEY: ")));
}
