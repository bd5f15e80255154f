/* One conversation: OpenSSL reads from one buffer in memory and writes to another; os/net carries
 * what is in them. */
#include "os/tls_inside.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAILURE_BYTES = 160, NAME_BYTES_MAX = 253 };

struct tls {
    struct tls_context *context;
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    enum tls_state state;
    bool is_open;
    char failure[FAILURE_BYTES];
};

static struct tls *talk_new(struct tls_context *context)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    ASSERT(tls);
    context->owners++;
    tls->context = context;
    tls->ssl = SSL_new(context->ssl);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    ASSERT(tls->ssl && tls->in && tls->out);
    BIO_set_mem_eof_return(tls->in, -1); /* empty means "more must come", not "the end" */
    BIO_set_mem_eof_return(tls->out, -1);
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    return tls;
}

struct tls *tls_accept(struct tls_context *context)
{
    ASSERT(context && context->owners > 0);

    struct tls *tls = talk_new(context);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

/* Whom the certificate must be for, unless the context has its own list; and the name is told, so
 * that a server of many shows the right one. */
static void expect(struct tls *tls, const char *name)
{
    X509_VERIFY_PARAM *wanted = SSL_get0_param(tls->ssl);
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);
    bool counts = tls->context->names_count == 0;

    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (address && counts)
        ASSERT(X509_VERIFY_PARAM_set1_ip_asc(wanted, name) == 1);
    if (!address && counts)
        ASSERT(X509_VERIFY_PARAM_set1_host(wanted, name, 0) == 1);
    if (!address) /* of an address nothing is told (RFC 6066) */
        ASSERT(SSL_set_tlsext_host_name(tls->ssl, name) == 1);
    ASN1_OCTET_STRING_free(address);
}

struct tls *tls_connect(struct tls_context *context, str name)
{
    char text[NAME_BYTES_MAX + 1];
    ASSERT(context && context->owners > 0);
    ASSERT(name.len > 0 && name.len <= NAME_BYTES_MAX);

    struct tls *tls = talk_new(context);
    (void)snprintf(text, sizeof(text), "%" STR_F, STR_A(name));
    ERR_clear_error();
    expect(tls, text);
    SSL_set_connect_state(tls->ssl);
    (void)SSL_do_handshake(tls->ssl);
    ERR_clear_error();
    return tls;
}

void tls_end(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    tls_close(tls->context);
    free(tls);
}

static void note_failure(struct tls *tls)
{
    unsigned long code = ERR_peek_error();
    long verdict = SSL_get_verify_result(tls->ssl);
    const char *words = code ? ERR_reason_error_string(code) : NULL;

    tls->state = TLS_BROKEN;
    if (verdict != X509_V_OK && code)
        (void)snprintf(tls->failure, sizeof(tls->failure), "%s: %s", words ? words : "refused",
                       X509_verify_cert_error_string(verdict));
    else
        (void)snprintf(tls->failure, sizeof(tls->failure), "%s", words ? words : "protocol error");
    ERR_clear_error();
}

/* What an operation of OpenSSL that did not go on says of the conversation. */
static void judge(struct tls *tls, int rc)
{
    switch (SSL_get_error(tls->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: break;
    case SSL_ERROR_ZERO_RETURN: tls->state = TLS_FINISHED; break;
    default: note_failure(tls); break;
    }
}

enum tls_state tls_feed(struct tls *tls, str bytes, char *room, size_t *room_len)
{
    ASSERT(tls && room && room_len);
    ASSERT(bytes.len > 0 && bytes.len <= TLS_FEED_BYTES_MAX);

    *room_len = 0;
    if (tls->state == TLS_BROKEN || tls->state == TLS_FINISHED)
        return tls->state;
    ERR_clear_error();
    int taken = BIO_write(tls->in, bytes.ptr, (int)bytes.len);
    ASSERT(taken == (int)bytes.len);

    if (tls->state == TLS_SHAKING) {
        int rc = SSL_do_handshake(tls->ssl);
        tls->is_open = rc == 1;
        if (rc == 1)
            tls->state = TLS_TALKING;
        else
            judge(tls, rc);
    }
    /* A piece of a record may have waited from before: so the room is more than what came. */
    while (tls->state == TLS_TALKING) {
        ASSERT(*room_len < TLS_ROOM_BYTES);
        int got = SSL_read(tls->ssl, room + *room_len, (int)(TLS_ROOM_BYTES - *room_len));
        if (got <= 0) {
            judge(tls, got);
            break;
        }
        *room_len += (size_t)got;
    }
    return tls->state;
}

bool tls_is_open(const struct tls *tls)
{
    ASSERT(tls);
    return tls->is_open;
}

void tls_say(struct tls *tls, str plain)
{
    ASSERT(tls && plain.len > 0 && plain.len <= INT32_MAX);
    ASSERT(tls->is_open);

    if (tls->state == TLS_BROKEN)
        return; /* the peer would not understand it; its end is told by who reads */
    ERR_clear_error();
    int said = SSL_write(tls->ssl, plain.ptr, (int)plain.len);
    if (said != (int)plain.len) /* into memory: so only where the conversation cannot go on */
        judge(tls, said);
}

void tls_say_end(struct tls *tls)
{
    ASSERT(tls);
    if (!tls->is_open || tls->state == TLS_BROKEN)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

str tls_outgoing(struct tls *tls)
{
    ASSERT(tls);
    char *bytes = NULL;
    long len = BIO_get_mem_data(tls->out, &bytes);
    return len > 0 ? str_of(bytes, (size_t)len) : STR("");
}

void tls_sent(struct tls *tls, size_t len)
{
    ASSERT(tls);
    char sink[4096];

    /* The buffer of a BIO gives its bytes up by being read; the last read makes it empty again. */
    while (len > 0) {
        size_t piece = len < sizeof(sink) ? len : sizeof(sink);
        int got = BIO_read(tls->out, sink, (int)piece);
        ASSERT(got == (int)piece);
        len -= piece;
    }
}

str tls_protocol(const struct tls *tls)
{
    ASSERT(tls);
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(tls->ssl, &name, &len);
    return len > 0 ? str_of(name, len) : STR_NONE;
}

const char *tls_failure(const struct tls *tls)
{
    ASSERT(tls);
    return tls->failure;
}
