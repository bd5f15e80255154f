#include "services/users/jobs.h"
#include "chassis/obs.h"
#include "chassis/trace_call.h"
#include "services/users/inside.h"
#include "services/users/store.h"

enum { MAILS_A_TICK = 256 };

static err follow_api_keys(struct users *self, struct call *call)
{
    struct api_keys *keys = auth_api_keys(self->house->auth);
    struct uuid mark, known_mark;
    struct api_key_known *known;
    size_t count;
    TRY(store_find_api_keys_mark(call, &mark));
    if (api_keys_mark(keys, &known_mark) && uuid_equal(mark, known_mark))
        return OK;
    TRY(store_list_known_api_keys(call, &known, &count));
    api_keys_set(keys, known, count, mark);
    return OK;
}

err users_note_key_uses(void *subject, struct call *call)
{
    struct users *self = subject;
    struct api_key_use *items = arena_array(call->arena, struct api_key_use, API_KEYS_MAX);
    struct api_key_uses uses = { items,
                                 api_keys_take_uses(auth_api_keys(self->house->auth), items) };
    if (uses.count == 0)
        return OK;
    return job_write(call, write_new(call->arena, store_note_api_key_uses, &uses));
}

err users_follow(void *subject, struct call *call)
{
    struct users *self = subject;
    struct auth *auth = self->house->auth;
    struct revocation *revocations;
    size_t count;
    do {
        service_job_reset(call);
        TRY(store_list_revocations(call, self->position, &revocations, &count, &self->position));
        for (size_t i = 0; i < count; i++)
            auth_revoke(auth, revocations[i].user, revocations[i].session,
                        revocations[i].version_min, revocations[i].at);
    } while (count == REVOCATIONS_PAGE_MAX);
    TRY(follow_api_keys(self, call));
    job_rest(call, INT64_MAX);

    struct auth_key keys[AUTH_KEYS_MAX];
    auth_set_keys(auth, keys, keys_verifying(self->keys, keys));
    auth_reached(auth);
    return OK;
}

err users_reload_keys(void *subject, struct call *call)
{
    struct users *self = subject;
    size_t removed;
    TRY(keys_reload(self->keys, call->arena, call->now));
    err error = keys_retire(self->keys, call->arena, call->now, &removed);
    if (error != OK) /* the folder may not be ours to write to; its owner is told */
        LOG(LOG_WARN, "keys.stay", LOG_TEXT("error", err_describe(call->arena, error)));
    else if (removed > 0)
        LOG(LOG_INFO, "keys.retired", LOG_NUMBER("count", (int64_t)removed));
    return OK;
}

/* ---- the first admin ---- */

static err add_first_admin(const struct first_admin *admin, struct call *call)
{
    uint8_t salt[PASSWORD_SALT_BYTES];
    str hash;
    call_random(call, salt, sizeof salt);
    call_read_end(call); /* nobody else waits for its connection meanwhile */
    TRY(password_hash(call->arena, admin->password, salt, &hash));

    struct user user = user_make(&(struct user_new){ .id = call_new_id(call),
                                                     .email = admin->email,
                                                     .name = STR(""),
                                                     .phone = STR(""),
                                                     .roles = ROLE_BIT_ADMIN,
                                                     .password_hash = hash,
                                                     .is_verified = true },
                                 call->now);
    struct first_admin_adding adding = { .adding = { .user = &user, .what = STR("created") },
                                         .audit = call_new_id(call) };
    TRY(job_write(call, write_new(call->arena, store_add_first_admins, &adding)));
    LOG(LOG_INFO, "admin.made", LOG_TEXT("user", uuid_text(call->arena, user.id)));
    return OK;
}

static void tell_address_is_taken(struct first_admin *admin)
{
    if (!admin->was_told)
        LOG(LOG_WARN, "admin.address_taken", LOG_TEXT("setting", STR("BOOTSTRAP_ADMIN_EMAIL")),
            LOG_TEXT("words", STR("an account that is no admin has this address: name another, or "
                                  "make an admin by dukactl users create --role admin")));
    admin->was_told = true;
}

err users_make_first_admin(void *subject, struct call *call)
{
    struct users *self = subject;
    struct first_admin *admin = &self->first_admin;
    struct user taken;
    bool found = false;
    if (!admin->is_settled)
        TRY(store_has_admin(call, &admin->is_settled));
    if (!admin->is_settled)
        TRY(store_find_user_by_email(call, admin->email.key, &taken, &found));
    if (found)
        tell_address_is_taken(admin);
    if (admin->is_settled || found) {
        job_rest(call, INT64_MAX);
        return OK;
    }
    err error = add_first_admin(admin, call);
    bool was_another = err_is(error, USER_STATE) || err_is(error, EMAIL_TAKEN);
    return was_another ? OK : error; /* a replica's, maybe: the next look tells */
}

/* ---- mails ---- */

struct mail_job *users_new_mail(struct call *call, enum mail_kind kind)
{
    struct mail_job *job = arena_new(call->arena, struct mail_job);
    *job = (struct mail_job){ .id = call_new_id(call),
                              .kind = kind,
                              .created_at = call->now,
                              .due_at = call->now,
                              .traceparent = trace_is_on() ? call->traceparent : STR_NONE };
    return job;
}

/* Which mail to give to which lanes. */
struct mail_given {
    struct users *self;
    struct uuid id;
};

static void give_mail(struct write *write)
{
    const struct mail_given *given = write->after_subject;
    lanes_give(given->self->mail_lanes, given->id);
}

void users_send_after(struct users *self, struct call *call, struct write *write,
                      const struct mail_job *job)
{
    struct mail_given *given = arena_new(call->arena, struct mail_given);
    *given = (struct mail_given){ self, job->id };
    write->after = give_mail;
    write->after_subject = given;
}

static void count_mail(const struct mail_job *job, const char *outcome)
{
    series_add(metric_series(METRIC_MAILS, mail_kind_word(job->kind), outcome, NULL), 1);
}

/* Whom it is for; false where there is nobody, or nothing to say any more. Who is suspended still
 * hears what becomes of goods and money. */
static err find_recipient(struct call *call, const struct mail_job *job, struct user *user,
                          bool *found)
{
    if (uuid_is_nil(job->user)) {
        TRY(store_find_user_by_email(call, job->email_key, user, found));
    } else {
        err error = store_find_user(call, job->user, user);
        *found = error == OK;
        if (error != OK && !err_is(error, NOT_FOUND))
            return error;
    }
    if (*found && job->kind == MAIL_RESET)
        *found = user->status == USER_STATUS_ACTIVE;
    if (*found && job->kind == MAIL_VERIFY)
        *found = user->verified_at == 0;
    return OK;
}

/* A new token for each try: only its digest is kept, so one that was made before cannot be sent
 * again. It works before it leaves. Behind '#', so that no server on the way logs it. */
static err make_link(struct users *self, struct call *call, const struct mail_job *job,
                     struct uuid user, str *url, str *until)
{
    uint8_t bytes[REFRESH_TOKEN_BYTES];
    call_random(call, bytes, sizeof bytes);
    struct mail_token *token = arena_new(call->arena, struct mail_token);
    *token = (struct mail_token){ .hash = sha256_of(str_of(bytes, sizeof bytes)),
                                  .user = user,
                                  .kind = job->kind,
                                  .expires_at = call->now + self->link_ttl[job->kind] };
    TRY(job_write(call, write_new(call->arena, store_add_mail_tokens, token)));
    *url = str_format(call->arena, "%" STR_F "/%s#token=%" STR_F, STR_A(self->storefront_url),
                      job->kind == MAIL_RESET ? "reset-password" : "verify-email",
                      STR_A(refresh_token_of(call->arena, bytes)));
    *until = time_text(call->arena, token->expires_at / TIME_SECOND * TIME_SECOND);
    return OK;
}

/* What a mail about an order says of it. Its page is the storefront's, for whoever is signed in. */
static void tell_order(struct users *self, struct arena *arena, const struct mail_job *job,
                       str values[VARS_COUNT])
{
    str order = uuid_text(arena, job->about);
    values[VAR_ORDER] = order;
    values[VAR_REASON] = mail_reason_text(job->reason);
    values[VAR_URL] =
        str_format(arena, "%" STR_F "/orders/%" STR_F, STR_A(self->storefront_url), STR_A(order));
    if (job->total.currency.letters[0])
        values[VAR_TOTAL] = str_format(arena, "%" STR_F " %s", STR_A(money_text(arena, job->total)),
                                       job->total.currency.letters);
}

static err write_mail(struct users *self, struct call *call, const struct mail_job *job,
                      const struct user *user, struct mail *out)
{
    struct arena *arena = call->arena;
    str values[VARS_COUNT] = {
        [VAR_SHOP] = self->shop_name, [VAR_NAME] = user->name.len > 0 ? user->name : user->email
    };
    if (mail_is_of_order(job->kind))
        tell_order(self, arena, job, values);
    if (self->link_ttl[job->kind] > 0)
        TRY(make_link(self, call, job, user->id, &values[VAR_URL], &values[VAR_UNTIL]));
    struct mail_template text = mail_template_fill(arena, &self->templates[job->kind], values);
    *out = (struct mail){ .message_id = str_format(arena, "%" STR_F "@%" STR_F,
                                                   STR_A(uuid_text(arena, job->id)),
                                                   STR_A(mailer_domain(self->mailer))),
                          .from = mailer_from(self->mailer),
                          .to = user->email,
                          .subject = text.subject,
                          .text = text.text,
                          .html = text.html,
                          .date = job->created_at };
    return OK;
}

/* Writes down how it went: done with, put off, or given up. */
static void settle_mail(struct users *self, struct call *call, struct mail_job *job,
                        enum mailer_verdict verdict, str why)
{
    call->now = call_time(call);
    job->tries++;
    if (verdict == MAILER_SENT) {
        count_mail(job, "sent");
        call_write(call, store_drop_mails, job);
        return;
    }
    bool refused = verdict == MAILER_REFUSED;
    bool hopeless = mail_is_hopeless(job, refused, self->mail_keep, call->now);
    count_mail(job, hopeless ? "dropped" : refused ? "refused" : "later");
    LOG(LOG_WARN, hopeless ? "mail.given_up" : "mail.put_off",
        LOG_TEXT("mail_id", uuid_text(call->arena, job->id)),
        LOG_TEXT("kind", str_of_z(mail_kind_word(job->kind))), LOG_NUMBER("tries", job->tries),
        LOG_TEXT("why", why));
    job->due_at = mail_next_try(job->tries, self->mail_pause, call->now);
    call_write(call, hopeless ? store_drop_mails : store_put_off_mails, job);
}

/* In the trace of what it is sent for. What it says, and to whom, is nobody's business. */
static void tell_mail(const struct trace_place *place, const struct mail_job *job,
                      enum mailer_verdict verdict)
{
    bool failed = verdict != MAILER_SENT;
    if (!span_is_kept(&place->here, place->since_us, failed))
        return;
    struct span span;
    span_begin_late(&span, &place->here, place->parent_id, SPAN_CLIENT, "users", STR("send mail"),
                    place->since_us, failed);
    span_text(&span, "duka.mail.kind", str_of_z(mail_kind_word(job->kind)));
    span_number(&span, "duka.mail.tries", job->tries + 1);
    if (failed)
        span_fail(&span, verdict == MAILER_REFUSED ? STR("refused") : STR("later"));
    span_end(&span);
}

err users_run_mail(void *subject, struct call *call, struct uuid id)
{
    struct users *self = subject;
    struct mail_job *job = arena_new(call->arena, struct mail_job);
    struct user user;
    struct mail mail;
    bool found;
    TRY(store_find_mail(call, id, job, &found));
    if (!found || (job->due_at > call->now && job->due_at <= mail_due_max(call->now)))
        return OK; /* done meanwhile, or another try of it was */
    TRY(find_recipient(call, job, &user, &found));
    call_read_end(call);
    if (!found) {
        call_write(call, store_drop_mails, job);
        return OK;
    }
    str why;
    TRY(write_mail(self, call, job, &user, &mail));
    struct trace_place place;
    (void)trace_begin_part(&place, call->arena, job->traceparent); /* it goes no further */
    lanes_away(call);
    enum mailer_verdict verdict = mailer_send(self->mailer, call->arena, &mail, &why);
    lanes_back(call);
    tell_mail(&place, job, verdict);
    settle_mail(self, call, job, verdict, why);
    return OK;
}

err users_give_due_mails(void *subject, struct call *call)
{
    struct users *self = subject;
    struct uuid *ids;
    size_t count;
    TRY(store_list_due_mails(call, MAILS_A_TICK, &ids, &count));
    for (size_t i = 0; i < count; i++)
        lanes_give(self->mail_lanes, ids[i]);
    if (count > 0)
        return OK;
    time_us next_at;
    TRY(store_next_mail(call, &next_at));
    job_rest(call, next_at);
    return OK;
}
