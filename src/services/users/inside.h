/* What Users is made of, for the files of this service. */
#pragma once
#include "chassis/keys.h"
#include "chassis/lanes.h"
#include "chassis/mailer.h"
#include "chassis/throttle.h"
#include "services/users/mails.h"
#include "services/users/service.h"
#include "services/users/store.h"
#include "services/users/user.h"

/* The account that is made while the shop has no admin. */
struct first_admin {
    struct email email; /* none: nobody is made */
    str password;       /* in normal form */
    bool is_settled;    /* there is an admin; the timer's own */
    bool was_told;      /* that somebody else has the address */
};

struct users {
    struct arena *arena;
    struct service *service;
    const struct house *house;
    struct keys *keys;
    struct password_policy policy;
    str issuer, audience;
    time_us access_ttl, refresh_ttl;
    struct mailer *mailer;
    struct lanes *mail_lanes;
    struct mail_template templates[MAIL_KINDS_COUNT];
    str shop_name, storefront_url;
    time_us link_ttl[MAIL_KINDS_COUNT]; /* of what has a link; 0: has none */
    bool sends[MAIL_KINDS_COUNT];       /* what the shop wants to be sent */
    time_us mail_pause, mail_keep;
    struct first_admin first_admin;
    struct throttle *throttle;
    struct throttle_rule mails_rule;    /* of one address */
    struct throttle_rule failures_rule; /* wrong passwords of one account */
    struct swept swept[USERS_SWEPT_COUNT];
    int64_t position; /* of the latest revocation that house->auth was told of; the timer's own */
};

/* ---- jobs.c ---- */

/* A mail of a kind, due now. */
struct mail_job *users_new_mail(struct call *call, enum mail_kind kind);

/* Has the mail sent at once, when the write that holds it is on disk. */
void users_send_after(struct users *self, struct call *call, struct write *write,
                      const struct mail_job *job);
