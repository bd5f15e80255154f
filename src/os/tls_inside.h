/* What os/tls.c (who we are, who may connect), os/tls_client.c (whom we connect to) and
 * os/tls_talk.c (one conversation) share; nobody else includes it. */
#pragma once
#include "os/tls.h"

#include <openssl/ssl.h>

struct tls_context {
    SSL_CTX *ssl;
    int owners; /* who opened it, and each conversation */
    str names[TLS_NAMES_MAX];
    size_t names_count;
    time_us expires_at;
};

/* A context that has nothing yet but what both sides want. */
struct tls_context *tls_context_new(const SSL_METHOD *method);

/* The parts of a config; each fails as tls_open says. */
err tls_use_certificate(struct arena *arena, const struct tls_config *config,
                        struct tls_context *context);
err tls_use_key(struct arena *arena, const struct tls_config *config, struct tls_context *context);
err tls_use_authorities(struct arena *arena, const struct tls_config *config,
                        struct tls_context *context);

/* Takes only peers that have one of the names. */
void tls_use_names(const struct tls_config *config, struct tls_context *context);
