/* Mails to people: what there is to send, when it is tried again, and how a template becomes a
 * text. Pure; sending is jobs.c's. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/money.h"
#include "base/time.h"
#include "base/uuid.h"

enum mail_kind {
    MAIL_VERIFY,
    MAIL_RESET,
    MAIL_ORDER_CONFIRMED,
    MAIL_ORDER_REJECTED,
    MAIL_ORDER_SHIPPED,
    MAIL_ORDER_CANCELLED,
    MAIL_ORDER_REFUNDED,
    MAIL_KINDS_COUNT
};

/* The word of a kind: the name of its template, and in tables. False for a word that is none. */
const char *mail_kind_word(enum mail_kind kind);
bool mail_kind_of(str word, enum mail_kind *out);

/* Tells whether it is about an order: mail_job.about. */
bool mail_is_of_order(enum mail_kind kind);

/* What {{reason}} says for a word of Orders ("hold.expired"): a sentence; none for any other. */
str mail_reason_text(str word);

/* A mail that is to be sent. */
struct mail_job {
    struct uuid id; /* also in its Message-ID: every try is the same mail */
    enum mail_kind kind;
    struct uuid user;   /* nil: whoever has the address */
    str email_key;      /* where the user is nil */
    struct uuid about;  /* an order; nil: no order */
    struct money total; /* of it; no currency: none is told */
    str reason;         /* a word of Orders */
    int32_t tries;
    time_us created_at, due_at;
    str traceparent; /* of what it is sent for, as trace_carry has it; none: without a trace */
};

enum { MAIL_REFUSED_TRIES_MAX = 3 };

/* When a mail that was not taken is tried again: after `pause`, twice as long with each try, at
 * most an hour. */
time_us mail_next_try(int32_t tries, time_us pause, time_us now);

/* Beyond this nobody puts a mail off: what is due later was left by a clock that went back, and is
 * due now. */
time_us mail_due_max(time_us now);

/* Tells whether it is given up: after `keep`, or when it was refused for the third time. */
bool mail_is_hopeless(const struct mail_job *job, bool was_refused, time_us keep, time_us now);

/* ---- templates ---- */

/* What may stand in a template as {{shop}}, {{name}}, … */
enum mail_var {
    VAR_SHOP,
    VAR_NAME,
    VAR_URL,
    VAR_UNTIL,
    VAR_ORDER,
    VAR_TOTAL,
    VAR_REASON,
    VARS_COUNT
};

struct mail_template {
    str subject, text, html;
};

/* Takes a template apart: the text's first line is "Subject: …". Fails with SETTING_INVALID, naming
 * the mail, where that is missing or a {{word}} is none of the above. Borrows both. */
err mail_template_read(struct arena *arena, const char *name, str text, str html,
                       struct mail_template *out);

/* Fills it in: as it stands in subject and text, escaped in HTML. */
struct mail_template mail_template_fill(struct arena *arena, const struct mail_template *template,
                                        const str values[VARS_COUNT]);
