/* The side of TLS that connects: whom it trusts, and what it shows of itself. */
#include "os/tls_inside.h"

#include "base/arena.h"

#include <openssl/err.h>

static err fill(struct arena *arena, const struct tls_config *config, struct tls_context *context)
{
    static const unsigned char protocols[] = "\x02h2";

    if (config->certificate.ptr) {
        TRY(tls_use_certificate(arena, config, context));
        TRY(tls_use_key(arena, config, context));
    }
    if (config->authorities.ptr)
        TRY(tls_use_authorities(arena, config, context));
    else
        ASSERT(SSL_CTX_set_default_verify_paths(context->ssl) == 1);
    if (config->names_count > 0)
        tls_use_names(config, context);
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
    ASSERT(SSL_CTX_set_alpn_protos(context->ssl, protocols, sizeof(protocols) - 1) == 0);
    return OK;
}

err tls_open_client(struct arena *arena, const struct tls_config *config, struct tls_context **out)
{
    ASSERT(arena && config && out);
    ASSERT(!config->certificate.ptr == !config->key.ptr);

    ERR_clear_error();
    struct tls_context *context = tls_context_new(TLS_client_method());
    err error = fill(arena, config, context);
    ERR_clear_error();
    if (error) {
        tls_close(context);
        return error;
    }
    *out = context;
    return OK;
}
