#include "chassis/mailer.h"
#include "base/err.h"
#include "os/disk.h"
#include <curl/curl.h>

enum mailer_kind { MAILER_NONE, MAILER_FILES, MAILER_SMTP };
enum {
    FILES_MAX = 500, /* of the folder: what is older goes */
    TEMPLATE_BYTES_MAX = 256 * 1024,
};

struct mailer {
    struct arena *arena;
    enum mailer_kind kind;
    str from, address; /* the sender, and its bare address */
    str folder;
    const char *url, *user, *password, *ca_file;
    long use_tls; /* CURLUSESSL_… */
    long timeout_ms;
};

/* ---- opening ---- */

static err read_url(struct arena *arena, struct mailer *self, const struct conf *conf)
{
    str url = conf_text(conf, CONF_MAIL_URL);
    str data = conf_text(conf, CONF_DATA_DIR);
    if (str_equal(url, STR("none")))
        self->kind = MAILER_NONE;
    else if (str_starts(url, STR("file:"))) {
        self->kind = MAILER_FILES;
        str folder = str_slice(url, 5, url.len);
        self->folder =
            folder.len > 0 ? folder : str_format(self->arena, "%" STR_F "/mail", STR_A(data));
    } else if (str_starts(url, STR("smtp://")) || str_starts(url, STR("smtps://"))) {
        self->kind = MAILER_SMTP;
        self->url = str_z(self->arena, url);
    } else
        return fail(arena, SETTING_INVALID,
                    "MAIL_URL is \"%" STR_F
                    "\": smtp://HOST:PORT, smtps://HOST:PORT, file:FOLDER or none",
                    STR_A(url));
    return OK;
}

static err read_sender(struct arena *arena, struct mailer *self, const struct conf *conf)
{
    self->from = conf_text(conf, CONF_MAIL_FROM);
    if (!mail_address(self->from, &self->address))
        return fail(arena, SETTING_INVALID,
                    "MAIL_FROM is \"%" STR_F "\": ADDRESS or NAME <ADDRESS>", STR_A(self->from));
    return OK;
}

static const char *text_or_null(struct arena *arena, const struct conf *conf, enum setting setting)
{
    str text = conf_text(conf, setting);
    return text.len > 0 ? str_z(arena, text) : NULL;
}

static err read_settings(struct arena *arena, struct mailer *self, const struct conf *conf)
{
    static const char *const words[] = { "require", "try", "off" };
    static const long levels[] = { CURLUSESSL_ALL, CURLUSESSL_TRY, CURLUSESSL_NONE };
    int choice;
    TRY(read_url(arena, self, conf));
    TRY(read_sender(arena, self, conf));
    TRY(conf_choice(arena, conf, CONF_MAIL_TLS, words, 3, &choice));
    self->use_tls = levels[choice];
    self->user = text_or_null(self->arena, conf, CONF_MAIL_USER);
    self->password = text_or_null(self->arena, conf, CONF_MAIL_PASSWORD);
    self->ca_file = text_or_null(self->arena, conf, CONF_MAIL_CA_FILE);
    self->timeout_ms = (long)conf_int(conf, CONF_MAIL_TIMEOUT);
    if (self->kind == MAILER_FILES)
        TRY(disk_make_dirs(arena, self->folder));
    if (self->kind == MAILER_SMTP && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(arena, OS_FAILED, "libcurl cannot be started");
    return OK;
}

err mailer_open(struct arena *arena, const struct conf *conf, struct mailer **out)
{
    ASSERT(arena && conf && out);
    struct arena *own = arena_open(SIZE_MAX);
    struct mailer *self = arena_new(own, struct mailer);
    self->arena = own;
    err error = read_settings(arena, self, conf);
    if (error != OK) {
        arena_close(own);
        return error;
    }
    *out = self;
    return OK;
}

void mailer_close(struct mailer *mailer)
{
    if (!mailer)
        return;
    if (mailer->kind == MAILER_SMTP)
        curl_global_cleanup();
    arena_close(mailer->arena);
}

bool mailer_is_on(const struct mailer *mailer) { return mailer->kind != MAILER_NONE; }

str mailer_from(const struct mailer *mailer) { return mailer->from; }

str mailer_domain(const struct mailer *mailer) { return mail_domain(mailer->address); }

err mailer_template(struct arena *arena, const struct conf *conf, const char *name,
                    const char *kind, str builtin, str *out)
{
    str folder = conf_text(conf, CONF_MAIL_TEMPLATES_DIR);
    str path = str_format(arena, "%" STR_F "/%s.%s", STR_A(folder), name, kind);
    *out = builtin;
    if (folder.len == 0 || !disk_exists(arena, path))
        return OK;
    return disk_read(arena, path, TEMPLATE_BYTES_MAX, out);
}

/* ---- files ---- */

/* Names begin with the time, so the oldest come first. */
static void drop_oldest(struct arena *arena, str folder)
{
    str *names;
    size_t count;
    if (disk_list(arena, folder, &names, &count) != OK)
        return;
    for (size_t i = 0; i + FILES_MAX < count; i++) {
        str path = str_format(arena, "%" STR_F "/%" STR_F, STR_A(folder), STR_A(names[i]));
        if (str_ends(path, STR(".eml")) && disk_remove(arena, path) != OK)
            return;
    }
}

/* A mail that is tried again takes the place of its file. */
static enum mailer_verdict write_file(struct mailer *self, struct arena *arena,
                                      const struct mail *mail, str *why)
{
    str rest = mail->message_id, id = str_cut(&rest, '@');
    str path = str_format(arena, "%" STR_F "/%016lld-%" STR_F ".eml", STR_A(self->folder),
                          (long long)mail->date, STR_A(id));
    drop_oldest(arena, self->folder);
    err error = disk_write(arena, path, mail_message(arena, mail), 0600);
    if (error == OK)
        return MAILER_SENT;
    *why = err_describe(arena, error);
    return MAILER_LATER;
}

/* ---- SMTP ---- */

static size_t give_bytes(char *out, size_t size, size_t count, void *subject)
{
    str *rest = subject;
    str now = str_slice(*rest, 0, size * count);
    memcpy(out, now.ptr, now.len);
    *rest = str_slice(*rest, now.len, rest->len);
    return now.len;
}

/* No proxy of the environment, no .netrc, no signals: what the settings say and nothing else. */
static void set_connection(CURL *curl, const struct mailer *self)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(curl, CURLOPT_URL, self->url);
    curl_easy_setopt(curl, CURLOPT_USE_SSL, self->use_tls);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, self->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, self->timeout_ms);
    if (self->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, self->ca_file);
    if (self->user) {
        curl_easy_setopt(curl, CURLOPT_USERNAME, self->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, self->password ? self->password : "");
    }
}

/* 5xx is for this mail, unless it is the server that wants another key or TLS. */
static enum mailer_verdict judge(struct arena *arena, CURLcode code, long answer, str *why)
{
    if (code == CURLE_OK)
        return MAILER_SENT;
    *why = str_format(arena, "%s (the server answered %ld)", curl_easy_strerror(code), answer);
    bool refuses_us = code == CURLE_LOGIN_DENIED || code == CURLE_USE_SSL_FAILED || answer == 530 ||
                      answer == 535 || answer == 538;
    return answer >= 500 && answer < 600 && !refuses_us ? MAILER_REFUSED : MAILER_LATER;
}

static enum mailer_verdict send_by_smtp(struct mailer *self, struct arena *arena,
                                        const struct mail *mail, str *why)
{
    /* All of the arena's first: over its ceiling it jumps, and would leave the handle behind. */
    str rest = mail_message(arena, mail);
    const char *from = str_z(arena, str_format(arena, "<%" STR_F ">", STR_A(self->address)));
    const char *to = str_z(arena, str_format(arena, "<%" STR_F ">", STR_A(mail->to)));

    CURL *curl = curl_easy_init();
    struct curl_slist *recipients = curl_slist_append(NULL, to);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    long answer = 0;
    if (curl && recipients) {
        set_connection(curl, self);
        curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from);
        curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients);
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_bytes);
        curl_easy_setopt(curl, CURLOPT_READDATA, &rest);
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    }
    curl_slist_free_all(recipients);
    curl_easy_cleanup(curl);
    return judge(arena, code, answer, why);
}

enum mailer_verdict mailer_send(struct mailer *mailer, struct arena *arena, const struct mail *mail,
                                str *why)
{
    ASSERT(mailer && arena && mail && why);
    *why = STR("");
    switch (mailer->kind) {
    case MAILER_FILES: return write_file(mailer, arena, mail, why);
    case MAILER_SMTP: return send_by_smtp(mailer, arena, mail, why);
    case MAILER_NONE: break;
    }
    return MAILER_SENT;
}
