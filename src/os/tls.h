/* TLS 1.3 and 1.2 by OpenSSL, which lives in os/tls* only: certificates, keys, who may connect; and
 * one side of one conversation over bytes that somebody else carries.
 *
 * No socket is known here (os/net has them) and no file (the PEM is given). A context is shared by
 * the conversations that it opened, and lives until the last of them and its owner are gone: so a
 * new certificate disturbs nobody. All on one thread. */
#pragma once
#include "base/err.h"
#include "base/time.h"

enum {
    TLS_NAMES_MAX = 32,             /* that a peer may have */
    TLS_FEED_BYTES_MAX = 64 * 1024, /* that one tls_feed takes at most */
    TLS_ROOM_BYTES = 128 * 1024,    /* for what one tls_feed gives at most */
    TLS_PROTOCOL_BYTES_MAX = 16
};

struct tls_config {
    str certificate; /* PEM: the server's own first, then those between it and the root */
    str key;         /* PEM, not encrypted */
    str authorities; /* PEM: who connects must show a certificate of one of these; none: nobody is
                        asked for one */
    /* Whose certificates are taken: DNS names, or URIs ("spiffe://…"), exactly as the certificate's
     * subjectAltName has them. None: all that the authorities have signed. */
    const str *names;
    size_t names_count;
    /* What the errors call the three: "TLS_CERT_FILE (/etc/duka/tls.crt)". */
    const char *certificate_name, *key_name, *authorities_name;
};

struct tls_context;

/* Makes the server's side. Fails with SETTING_INVALID: what cannot be read, a certificate that has
 * expired or is not valid yet, a key of another certificate, an authority that is none. The caller
 * closes it. */
err tls_open(struct arena *arena, const struct tls_config *config, struct tls_context **out);

/* Makes the client's side, which offers h2 only. `authorities` are who vouches for servers (none:
 * those of the system); certificate and key, where both are given, are shown to those that ask.
 * Where `names` are given a server must have one of them, whatever it is called by; else the name
 * that tls_connect was told. Fails as tls_open does. */
err tls_open_client(struct arena *arena, const struct tls_config *config, struct tls_context **out);

/* One owner more: gives the same context. Accepts NULL. */
struct tls_context *tls_share(struct tls_context *context);

/* One owner less. Accepts NULL. */
void tls_close(struct tls_context *context);

/* When the certificate expires. */
time_us tls_expires_at(const struct tls_context *context);

/* ---- A conversation ---- */

struct tls;

/* The server's side of a new one. The caller ends it. */
struct tls *tls_accept(struct tls_context *context);
void tls_end(struct tls *tls); /* accepts NULL */

/* The client's side of a new one with a server that is called `name` (a DNS name or an IP address);
 * its first words are in tls_outgoing. */
struct tls *tls_connect(struct tls_context *context, str name);

enum tls_state {
    TLS_SHAKING, /* the handshake goes on */
    TLS_TALKING,
    TLS_FINISHED, /* the peer has said that nothing more will come */
    TLS_BROKEN    /* see tls_failure; what tls_outgoing gives tells the peer */
};

/* Takes what came from the peer (at most TLS_FEED_BYTES_MAX); what it said is put into `room` (of
 * TLS_ROOM_BYTES). */
enum tls_state tls_feed(struct tls *tls, str bytes, char *room, size_t *room_len);

/* The handshake has been done: something may be said. */
bool tls_is_open(const struct tls *tls);

/* Makes what is to be sent of what is to be said; only when it is open. */
void tls_say(struct tls *tls, str plain);

/* Says that nothing more will be said. */
void tls_say_end(struct tls *tls);

/* What is to be sent to the peer, borrowed until the next call of this conversation; and how much
 * of it was. */
str tls_outgoing(struct tls *tls);
void tls_sent(struct tls *tls, size_t len);

/* The protocol that both sides chose (ALPN): "h2", "http/1.1"; none where the peer offered none. */
str tls_protocol(const struct tls *tls);

/* Why it broke, for the log: words of OpenSSL's, without data of the peer. */
const char *tls_failure(const struct tls *tls);
