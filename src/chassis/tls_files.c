#include "chassis/tls_files.h"

#include "base/arena.h"
#include "chassis/obs.h"
#include "chassis/setting.h"
#include "os/disk.h"

enum { FILE_BYTES_MAX = 1024 * 1024 };

/* What errors call the file of a setting: "TLS_KEY_FILE (/etc/duka/tls.key)". */
static const char *name_of(struct arena *arena, const struct conf *conf, enum setting setting)
{
    return str_z(arena, str_format(arena, "%s (%" STR_F ")", setting_spec(setting)->name,
                                   STR_A(conf_text(conf, setting))));
}

static err read_file(struct arena *arena, const struct conf *conf, enum setting setting, str *out)
{
    err error = disk_read(arena, conf_text(conf, setting), FILE_BYTES_MAX, out);
    if (error)
        return fail_over(arena, SETTING_INVALID, error, "%s: %" STR_F, setting_spec(setting)->name,
                         STR_A(error->detail));
    return OK;
}

/* What stands between commas. */
static err read_names(struct arena *arena, const struct conf *conf, enum setting setting,
                      struct tls_config *config)
{
    str text = conf_text(conf, setting);
    str *names = arena_array(arena, str, TLS_NAMES_MAX);

    config->names = names;
    for (str rest = text; rest.ptr && text.len > 0;) {
        str name = str_trim(str_cut(&rest, ','));
        if (name.len == 0)
            continue;
        if (config->names_count == TLS_NAMES_MAX)
            return fail(arena, SETTING_INVALID, "%s: at most %d names", setting_spec(setting)->name,
                        TLS_NAMES_MAX);
        names[config->names_count++] = name;
    }
    return OK;
}

/* A setting that means nothing without another one is a mistake, not a wish. */
static err check_together(struct arena *arena, const struct conf *conf, enum setting given,
                          enum setting wanted)
{
    if (conf_text(conf, given).len == 0 || conf_text(conf, wanted).len > 0)
        return OK;
    return fail(arena, SETTING_INVALID, "%s is set and %s is not: give both",
                setting_spec(given)->name, setting_spec(wanted)->name);
}

err tls_files_open(struct arena *arena, const struct conf *conf, struct tls_context **out)
{
    ASSERT(arena && conf && out);

    TRY(check_together(arena, conf, CONF_TLS_CERT_FILE, CONF_TLS_KEY_FILE));
    TRY(check_together(arena, conf, CONF_TLS_KEY_FILE, CONF_TLS_CERT_FILE));
    TRY(check_together(arena, conf, CONF_TLS_CLIENT_CA_FILE, CONF_TLS_CERT_FILE));
    TRY(check_together(arena, conf, CONF_TLS_CLIENT_NAMES, CONF_TLS_CLIENT_CA_FILE));
    struct series *expires = metric_series(METRIC_TLS_EXPIRES, NULL, NULL, NULL);
    if (conf_text(conf, CONF_TLS_CERT_FILE).len == 0) {
        *out = NULL;
        series_set(expires, 0);
        return OK;
    }

    struct tls_config config = {
        .certificate_name = name_of(arena, conf, CONF_TLS_CERT_FILE),
        .key_name = name_of(arena, conf, CONF_TLS_KEY_FILE),
        .authorities_name = name_of(arena, conf, CONF_TLS_CLIENT_CA_FILE),
    };
    TRY(read_file(arena, conf, CONF_TLS_CERT_FILE, &config.certificate));
    TRY(read_file(arena, conf, CONF_TLS_KEY_FILE, &config.key));
    if (conf_text(conf, CONF_TLS_CLIENT_CA_FILE).len > 0)
        TRY(read_file(arena, conf, CONF_TLS_CLIENT_CA_FILE, &config.authorities));
    TRY(read_names(arena, conf, CONF_TLS_CLIENT_NAMES, &config));
    TRY(tls_open(arena, &config, out));
    series_set(expires, tls_expires_at(*out) / TIME_SECOND);
    return OK;
}

err tls_files_open_client(struct arena *arena, const struct conf *conf, struct tls_context **out)
{
    ASSERT(arena && conf && out);

    TRY(check_together(arena, conf, CONF_UPSTREAM_TLS_CERT_FILE, CONF_UPSTREAM_TLS_KEY_FILE));
    TRY(check_together(arena, conf, CONF_UPSTREAM_TLS_KEY_FILE, CONF_UPSTREAM_TLS_CERT_FILE));
    bool has_own = conf_text(conf, CONF_UPSTREAM_TLS_CERT_FILE).len > 0;
    enum setting certificate = has_own ? CONF_UPSTREAM_TLS_CERT_FILE : CONF_TLS_CERT_FILE;
    enum setting key = has_own ? CONF_UPSTREAM_TLS_KEY_FILE : CONF_TLS_KEY_FILE;
    struct tls_config config = {
        .certificate_name = name_of(arena, conf, certificate),
        .key_name = name_of(arena, conf, key),
        .authorities_name = name_of(arena, conf, CONF_UPSTREAM_TLS_CA_FILE),
    };
    if (conf_text(conf, certificate).len > 0 && conf_text(conf, key).len > 0) {
        TRY(read_file(arena, conf, certificate, &config.certificate));
        TRY(read_file(arena, conf, key, &config.key));
    }
    if (conf_text(conf, CONF_UPSTREAM_TLS_CA_FILE).len > 0)
        TRY(read_file(arena, conf, CONF_UPSTREAM_TLS_CA_FILE, &config.authorities));
    TRY(read_names(arena, conf, CONF_UPSTREAM_TLS_NAMES, &config));
    return tls_open_client(arena, &config, out);
}
