/* The files of TLS that the settings name, read into a context: TLS_CERT_FILE, TLS_KEY_FILE,
 * TLS_CLIENT_CA_FILE, TLS_CLIENT_NAMES. */
#pragma once
#include "chassis/conf.h"
#include "os/tls.h"

/* Reads them: at the start, and again whenever they may have changed. `*out` is the caller's; NULL
 * where no certificate is set. Fails with SETTING_INVALID: the setting, the file, what is wrong. */
err tls_files_open(struct arena *arena, const struct conf *conf, struct tls_context **out);

/* The same for connections that we make to services at https://: UPSTREAM_TLS_CA_FILE, …_CERT_FILE
 * and …_KEY_FILE (or the server's own), …_NAMES. Never NULL. */
err tls_files_open_client(struct arena *arena, const struct conf *conf, struct tls_context **out);
