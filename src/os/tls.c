#include "os/tls_inside.h"

#include "base/arena.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

enum { CHAIN_MAX = 16, AUTHORITIES_MAX = 64 };

/* With forward secrecy and authenticated encryption only (RFC 9325); TLS 1.3 has no others. */
static const char CIPHERS[] = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL";

/* ---- PEM ---- */

static BIO *bio_of(str bytes)
{
    BIO *bio = BIO_new_mem_buf(bytes.len > 0 ? bytes.ptr : "", (int)bytes.len);
    ASSERT(bio);
    return bio;
}

static int no_password(char *buffer, int size, int writing, void *subject)
{
    (void)buffer, (void)size, (void)writing;
    *(bool *)subject = true;
    return 0;
}

/* The certificates of a PEM text; NULL where one of them cannot be read. */
static STACK_OF(X509) * certificates_read(str pem, int count_max)
{
    STACK_OF(X509) *found = sk_X509_new_null();
    ASSERT(found);
    BIO *bio = bio_of(pem);
    X509 *one;

    while (sk_X509_num(found) <= count_max && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        ASSERT(sk_X509_push(found, one) > 0);
    bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    if (is_end && sk_X509_num(found) > 0 && sk_X509_num(found) <= count_max)
        return found;
    sk_X509_pop_free(found, X509_free);
    return NULL;
}

static time_us time_of(const ASN1_TIME *at)
{
    struct tm tm = { 0 };

    if (ASN1_TIME_to_tm(at, &tm) != 1)
        return 0;
    return (time_us)timegm(&tm) * TIME_SECOND;
}

static const char *time_words(struct arena *arena, const ASN1_TIME *at)
{
    struct tm tm = { 0 };

    if (ASN1_TIME_to_tm(at, &tm) != 1)
        return "a time that cannot be read";
    str words = str_format(arena, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
                           tm.tm_mday, tm.tm_hour, tm.tm_min);
    return str_z(arena, words);
}

/* ---- The server's own certificate ---- */

static err check_dates(struct arena *arena, const char *name, X509 *certificate)
{
    const ASN1_TIME *from = X509_get0_notBefore(certificate),
                    *until = X509_get0_notAfter(certificate);

    if (X509_cmp_current_time(until) < 0)
        return fail(arena, SETTING_INVALID, "%s: the certificate expired at %s", name,
                    time_words(arena, until));
    if (X509_cmp_current_time(from) > 0)
        return fail(arena, SETTING_INVALID, "%s: the certificate is not valid before %s", name,
                    time_words(arena, from));
    return OK;
}

err tls_use_certificate(struct arena *arena, const struct tls_config *config,
                        struct tls_context *context)
{
    STACK_OF(X509) *chain = certificates_read(config->certificate, CHAIN_MAX);
    if (!chain)
        return fail(arena, SETTING_INVALID, "%s: this is no certificate in PEM, or more than %d",
                    config->certificate_name, CHAIN_MAX);

    X509 *own = sk_X509_value(chain, 0);
    err error = check_dates(arena, config->certificate_name, own);
    if (!error && SSL_CTX_use_certificate(context->ssl, own) != 1)
        error = fail(arena, SETTING_INVALID, "%s: the certificate has a key that is too weak",
                     config->certificate_name);
    for (int i = 1; !error && i < sk_X509_num(chain); i++)
        ASSERT(SSL_CTX_add1_chain_cert(context->ssl, sk_X509_value(chain, i)) == 1);
    context->expires_at = time_of(X509_get0_notAfter(own));
    sk_X509_pop_free(chain, X509_free);
    return error;
}

err tls_use_key(struct arena *arena, const struct tls_config *config, struct tls_context *context)
{
    bool is_encrypted = false;
    BIO *bio = bio_of(config->key);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, &no_password, &is_encrypted);
    BIO_free(bio);
    if (!key && is_encrypted)
        return fail(arena, SETTING_INVALID, "%s: the key is encrypted; give it without a password",
                    config->key_name);
    if (!key)
        return fail(arena, SETTING_INVALID, "%s: this is no private key in PEM", config->key_name);

    bool fits = X509_check_private_key(SSL_CTX_get0_certificate(context->ssl), key) == 1 &&
                SSL_CTX_use_PrivateKey(context->ssl, key) == 1;
    EVP_PKEY_free(key);
    if (fits)
        return OK;
    return fail(arena, SETTING_INVALID, "%s: the key is not that of the certificate in %s",
                config->key_name, config->certificate_name);
}

/* ---- Who may connect ---- */

static bool has_uri(X509 *certificate, str wanted)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    for (int i = 0; names && !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI) {
            const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
            str text = str_of(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
            found = str_equal(text, wanted);
        }
    }
    GENERAL_NAMES_free(names);
    return found;
}

static bool is_allowed(const struct tls_context *context, X509 *certificate)
{
    const unsigned exactly = X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

    for (size_t i = 0; i < context->names_count; i++) {
        str name = context->names[i];
        bool is_uri = str_find(name, STR("://")) >= 0;
        if (is_uri ? has_uri(certificate, name)
                   : X509_check_host(certificate, name.ptr, name.len, exactly, NULL) == 1)
            return true;
    }
    return context->names_count == 0;
}

/* OpenSSL's own judgement first: the chain, the dates, what the certificate is for. */
static int judge_peer(X509_STORE_CTX *store, void *subject)
{
    if (X509_verify_cert(store) != 1)
        return 0;
    if (is_allowed(subject, X509_STORE_CTX_get0_cert(store)))
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

static void copy_names(struct tls_context *context, const struct tls_config *config)
{
    ASSERT(config->names_count <= TLS_NAMES_MAX);
    for (size_t i = 0; i < config->names_count; i++) {
        char *copy = malloc(config->names[i].len + 1);
        ASSERT(copy);
        memcpy(copy, config->names[i].ptr, config->names[i].len);
        copy[config->names[i].len] = '\0';
        context->names[context->names_count++] = str_of(copy, config->names[i].len);
    }
}

err tls_use_authorities(struct arena *arena, const struct tls_config *config,
                        struct tls_context *context)
{
    STACK_OF(X509) *authorities = certificates_read(config->authorities, AUTHORITIES_MAX);
    if (!authorities)
        return fail(arena, SETTING_INVALID, "%s: this is no certificate in PEM, or more than %d",
                    config->authorities_name, AUTHORITIES_MAX);

    err error = OK;
    for (int i = 0; !error && i < sk_X509_num(authorities); i++) {
        X509 *one = sk_X509_value(authorities, i);
        error = check_dates(arena, config->authorities_name, one);
        if (!error && X509_check_ca(one) == 0)
            error = fail(arena, SETTING_INVALID, "%s: certificate %d is not that of an authority",
                         config->authorities_name, i + 1);
        if (error)
            break;
        ASSERT(X509_STORE_add_cert(SSL_CTX_get_cert_store(context->ssl), one) == 1);
        ASSERT(SSL_CTX_add_client_CA(context->ssl, one) == 1);
    }
    sk_X509_pop_free(authorities, X509_free);
    return error;
}

void tls_use_names(const struct tls_config *config, struct tls_context *context)
{
    copy_names(context, config);
    SSL_CTX_set_cert_verify_callback(context->ssl, &judge_peer, context);
}

static err ask_for_certificates(struct arena *arena, const struct tls_config *config,
                                struct tls_context *context)
{
    TRY(tls_use_authorities(arena, config, context));
    tls_use_names(config, context);
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return OK;
}

/* ---- Which protocol ---- */

/* The peer's list is one of lengths and names; ours is in the order of our liking. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *subject)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen;
    (void)ssl, (void)subject;

    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- The context ---- */

struct tls_context *tls_context_new(const SSL_METHOD *method)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    ASSERT(context);
    context->owners = 1;
    context->ssl = SSL_CTX_new(method);
    ASSERT(context->ssl);

    SSL_CTX *ssl = context->ssl;
    ASSERT(SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1);
    ASSERT(SSL_CTX_set_cipher_list(ssl, CIPHERS) == 1);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS); /* what is idle holds none */
    return context;
}

static struct tls_context *server_context_new(void)
{
    static const unsigned char name[] = "duka";
    struct tls_context *context = tls_context_new(TLS_server_method());
    SSL_CTX *ssl = context->ssl;

    ASSERT(SSL_CTX_set_session_id_context(ssl, name, sizeof(name) - 1) == 1);
    SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_alpn_select_cb(ssl, &choose_protocol, NULL);
    return context;
}

err tls_open(struct arena *arena, const struct tls_config *config, struct tls_context **out)
{
    ASSERT(arena && config && out);
    ASSERT(config->certificate_name && config->key_name);

    ERR_clear_error();
    struct tls_context *context = server_context_new();
    err error = tls_use_certificate(arena, config, context);
    if (!error)
        error = tls_use_key(arena, config, context);
    if (!error && config->authorities.ptr)
        error = ask_for_certificates(arena, config, context);
    ERR_clear_error();
    if (error) {
        tls_close(context);
        return error;
    }
    *out = context;
    return OK;
}

struct tls_context *tls_share(struct tls_context *context)
{
    if (context)
        context->owners++;
    return context;
}

void tls_close(struct tls_context *context)
{
    if (!context || --context->owners > 0)
        return;
    SSL_CTX_free(context->ssl);
    for (size_t i = 0; i < context->names_count; i++)
        free((void *)(uintptr_t)context->names[i].ptr);
    free(context);
}

time_us tls_expires_at(const struct tls_context *context)
{
    ASSERT(context);
    return context->expires_at;
}
