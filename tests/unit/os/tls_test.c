#include "os/tls.h"

#include "os/clock.h"
#include "tests/lib/certificates.h"

#include <openssl/pem.h>

/* What tls_open makes of a certificate and a key. */
static err open_pair(struct test *t, str certificate, str key, struct tls_context **out)
{
    struct tls_config config = { .certificate = certificate,
                                 .key = key,
                                 .certificate_name = "CERT (c.pem)",
                                 .key_name = "KEY (k.pem)" };
    return tls_open(t->arena, &config, out);
}

static void check_refused(struct test *t, str certificate, str key, const char *words)
{
    struct tls_context *context = NULL;
    err error = open_pair(t, certificate, key, &context);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(!context);
    if (str_find(error->detail, str_of_z(words)) < 0)
        FAIL("\"%s\" is not in \"%" STR_F "\"", words, STR_A(error->detail));
}

static struct certificate plain(struct test *t)
{
    return certificate_make(t, (struct certificate_wish){ .name = "shop", .dns = "localhost" });
}

TEST(a_certificate_with_its_key_is_taken_and_tells_when_it_expires)
{
    struct certificate own = plain(t);
    struct tls_context *context;

    CHECK_OK(open_pair(t, own.pem, own.key, &context));
    int64_t left_s = (tls_expires_at(context) - clock_wall_us()) / TIME_SECOND;
    CHECK(left_s > 86400 - 100 && left_s <= 86400);
    tls_close(context);
}

TEST(a_chain_may_stand_behind_the_certificate)
{
    struct certificate root =
        certificate_make(t, (struct certificate_wish){ .name = "root", .is_authority = true });
    struct certificate own = certificate_make(
        t, (struct certificate_wish){ .name = "shop", .dns = "localhost", .issuer = &root });
    struct tls_context *context;

    CHECK_OK(open_pair(t,
                       str_format(t->arena, "%" STR_F "%" STR_F, STR_A(own.pem), STR_A(root.pem)),
                       own.key, &context));
    tls_close(context);
    check_refused(t, str_format(t->arena, "%" STR_F "%" STR_F, STR_A(root.pem), STR_A(own.pem)),
                  own.key, "the key is not that of the certificate in CERT (c.pem)");
}

TEST(what_is_no_certificate_or_no_key_is_named)
{
    struct certificate own = plain(t);

    check_refused(t, STR(""), own.key, "CERT (c.pem): this is no certificate in PEM");
    check_refused(t, STR("hello"), own.key, "CERT (c.pem): this is no certificate in PEM");
    check_refused(t, own.key, own.key, "CERT (c.pem): this is no certificate in PEM");
    check_refused(t, str_slice(own.pem, 0, own.pem.len / 2), own.key, "no certificate in PEM");
    check_refused(t, own.pem, STR(""), "KEY (k.pem): this is no private key in PEM");
    check_refused(t, own.pem, own.pem, "KEY (k.pem): this is no private key in PEM");
}

TEST(the_key_of_another_certificate_is_refused)
{
    struct certificate own = plain(t), other = plain(t);

    check_refused(t, own.pem, other.key,
                  "KEY (k.pem): the key is not that of the certificate in CERT (c.pem)");
}

TEST(an_encrypted_key_is_refused_with_words_that_help)
{
    struct certificate own = plain(t);
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    CHECK(PEM_write_bio_PrivateKey(bio, own.pkey, EVP_aes_128_cbc(), (const unsigned char *)"abcd",
                                   4, NULL, NULL));
    long len = BIO_get_mem_data(bio, &bytes);
    str key = str_copy(t->arena, str_of(bytes, (size_t)len));
    BIO_free(bio);

    check_refused(t, own.pem, key, "KEY (k.pem): the key is encrypted");
}

TEST(an_expired_certificate_is_refused_and_so_is_one_of_tomorrow)
{
    struct certificate old = certificate_make(
        t, (struct certificate_wish){ .name = "old", .from_s = -7200, .until_s = -3600 });
    struct certificate early = certificate_make(
        t, (struct certificate_wish){ .name = "early", .from_s = 3600, .until_s = 7200 });
    struct certificate now = certificate_make(
        t, (struct certificate_wish){ .name = "now", .from_s = -60, .until_s = 60 });
    struct tls_context *context;

    check_refused(t, old.pem, old.key, "CERT (c.pem): the certificate expired at 20");
    check_refused(t, early.pem, early.key, "CERT (c.pem): the certificate is not valid before 20");
    CHECK_OK(open_pair(t, now.pem, now.key, &context));
    tls_close(context);
}

TEST(who_signs_clients_must_be_an_authority)
{
    struct certificate own = plain(t);
    struct certificate root =
        certificate_make(t, (struct certificate_wish){ .name = "root", .is_authority = true });
    struct tls_config config = { .certificate = own.pem,
                                 .key = own.key,
                                 .certificate_name = "CERT",
                                 .key_name = "KEY",
                                 .authorities_name = "CA (ca.pem)" };
    struct tls_context *context;

    config.authorities = root.pem;
    CHECK_OK(tls_open(t->arena, &config, &context));
    tls_close(context);
    config.authorities = own.pem;
    err error = tls_open(t->arena, &config, &context);
    CHECK_ERR(error, SETTING_INVALID);
    CHECK_STR(error->detail, "CA (ca.pem): certificate 1 is not that of an authority");
    config.authorities = STR("");
    CHECK_ERR(tls_open(t->arena, &config, &context), SETTING_INVALID);
}

TEST(a_shared_context_lives_until_its_last_owner_is_gone)
{
    struct certificate own = plain(t);
    struct tls_context *context;

    CHECK_OK(open_pair(t, own.pem, own.key, &context));
    CHECK(tls_share(context) == context);
    struct tls *tls = tls_accept(context);
    tls_close(context);
    tls_close(context);
    CHECK(tls_expires_at(context) > 0);
    tls_end(tls);
    tls_close(NULL);
    CHECK(!tls_share(NULL));
}
