/* What os/tls.c (who we are, who may connect) and os/tls_talk.c (one conversation) share; nobody
 * else includes it. */
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
