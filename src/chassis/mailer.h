/* What carries mail: SMTP by libcurl (its only room), files in a folder, or nothing.
 *
 * Sending waits for the server: on a lane, never on a worker. Whether a mail is tried again is the
 * caller's, who keeps it in a table. */
#pragma once
#include "chassis/conf.h"
#include "chassis/mail.h"

struct mailer;

enum mailer_verdict {
    MAILER_SENT,
    MAILER_LATER,   /* the server is away, busy, or set up wrongly */
    MAILER_REFUSED, /* the server will not take this mail */
};

/* Reads MAIL_URL, MAIL_FROM and the settings beside them: "smtp://HOST:PORT" (STARTTLS as MAIL_TLS
 * says), "smtps://HOST:PORT", "file:FOLDER" (one .eml a mail; no folder: DATA_DIR/mail), "none".
 * Fails with SETTING_INVALID. The caller closes. */
err mailer_open(struct arena *arena, const struct conf *conf, struct mailer **out);
void mailer_close(struct mailer *mailer); /* accepts NULL */

/* Tells whether mail goes anywhere: with "none" there is no use in making any. */
bool mailer_is_on(const struct mailer *mailer);

/* The sender, as the settings say; and the domain of its address, for ids of messages. */
str mailer_from(const struct mailer *mailer);
str mailer_domain(const struct mailer *mailer);

/* The source of a template, NAME.KIND of MAIL_TEMPLATES_DIR, or `builtin` where there is no such
 * file. Fails with OS_FAILED. */
err mailer_template(struct arena *arena, const struct conf *conf, const char *name,
                    const char *kind, str builtin, str *out);

/* Sends. `why` is what went wrong, without anything personal, in the arena. Any thread. */
enum mailer_verdict mailer_send(struct mailer *mailer, struct arena *arena, const struct mail *mail,
                                str *why);
