/* What each call of contracts/users/v1/users.proto does: read, decide, hand over one write. */
#include "chassis/audit.h"
#include "chassis/hashing.h"
#include "chassis/message.h"
#include "chassis/obs.h"
#include "chassis/request.h"
#include "gen/users.h"
#include "services/users/inside.h"
#include "services/users/store.h"
#include "services/users/view.h"

enum { PAGE_STANDARD = 20, PAGE_MAX = 100 };

/* ---- what several calls do ---- */

/* Answers with an account as it stands, or will once the write is on disk. */
static err answer_user(struct call *call, const struct user *user)
{
    call_etag(call, user->version);
    return call_answer(call, user_view(call->arena, user));
}

static err answer_nothing(struct call *call)
{
    return call_answer(call, message_new(call->arena, &duka_empty_spec));
}

/* Too many: when to come back. */
static err fail_wait(struct call *call, time_us wait)
{
    struct err_value *error = arena_new(call->arena, struct err_value);
    *error =
        (struct err_value){ .code = RATE_LIMIT_EXCEEDED,
                            .detail = STR("too many of these for this account"),
                            .place = ERR_PLACE,
                            .retry_after_s = (int32_t)((wait + TIME_SECOND - 1) / TIME_SECOND) };
    return error;
}

/* The hash of a password that the policy takes. Slow: on a password lane only. */
static err hash_password(struct users *self, struct call *call, ProtobufCBinaryData field,
                         str email_key, unsigned roles, str *out)
{
    str password = password_normal(call->arena, text_of(field));
    TRY(password_check(call->arena, password, email_key, roles, &self->policy));

    uint8_t salt[PASSWORD_SALT_BYTES];
    call_random(call, salt, sizeof salt);
    call_read_end(call); /* nobody else waits for its connection meanwhile */
    return hashing_hash(self->house->spare, call->arena, password, salt, out);
}

struct account_form {
    ProtobufCBinaryData email, password, name, phone;
    unsigned roles;
    bool is_verified;
    str what;
};

/* A mail that verifies the address of an account. */
static const struct mail_job *verification_mail(struct call *call, const struct user *user)
{
    struct mail_job *job = users_new_mail(call, MAIL_VERIFY);
    job->user = user->id;
    return job;
}

static err create_user(struct users *self, struct call *call, const struct account_form *form)
{
    struct email email;
    struct user taken;
    bool found;
    str password_hash;
    TRY(email_parse(call->arena, text_of(form->email), &email));
    TRY(store_find_user_by_email(call, email.key, &taken, &found));
    if (found)
        return fail(call->arena, EMAIL_TAKEN, "another account has this address");
    TRY(hash_password(self, call, form->password, email.key, form->roles, &password_hash));

    struct user *user = arena_new(call->arena, struct user);
    *user = user_make(&(struct user_new){ .id = call_new_id(call),
                                          .email = email,
                                          .name = text_of(form->name),
                                          .phone = text_of(form->phone),
                                          .roles = form->roles,
                                          .password_hash = password_hash,
                                          .is_verified = form->is_verified },
                      call->now);
    struct user_adding *adding = arena_new(call->arena, struct user_adding);
    *adding = (struct user_adding){ .user = user, .what = form->what };
    struct write *write = call_write(call, store_add_users, adding);
    if (!form->is_verified && mailer_is_on(self->mailer)) {
        adding->mail = verification_mail(call, user);
        users_send_after(self, call, write, adding->mail);
    }
    return answer_user(call, user);
}

/* Writes an account over the version that was read. */
static void save_user(struct call *call, const struct user_saving *saving)
{
    call_write(call, store_save_users, arena_copy(call->arena, saving, sizeof *saving));
}

static str access_token(struct users *self, struct call *call, const struct user *user,
                        struct uuid session)
{
    struct signing_key key = keys_newest(self->keys, call->now);
    struct token_claims claims = { .user = user->id,
                                   .session = session,
                                   .version = user->version,
                                   .roles = user->roles,
                                   .email_verified = user->verified_at != 0,
                                   .issued_at = call->now,
                                   .expires_at = call->now + self->access_ttl };
    return token_make(call->arena, str_of_z(key.kid), &key.pair, self->issuer, self->audience,
                      &claims);
}

/* A new refresh token, and what is kept of it. */
static str refresh_token(struct call *call, struct sha256 *hash)
{
    uint8_t bytes[REFRESH_TOKEN_BYTES];
    call_random(call, bytes, sizeof bytes);
    *hash = sha256_of(str_of(bytes, sizeof bytes));
    return refresh_token_of(call->arena, bytes);
}

/* ---- anyone ---- */

err users_register(struct users *self, struct call *call, const Users__RegisterRequest *in)
{
    struct account_form form = { .email = in->email,
                                 .password = in->password,
                                 .name = in->name,
                                 .phone = in->phone,
                                 .roles = ROLE_BIT_CUSTOMER,
                                 .what = STR("registered") };
    return create_user(self, call, &form);
}

/* ---- wrong passwords ----
 *
 * They are counted by account, whether there is one or not. When there were too many, those who
 * come from elsewhere wait; who has logged in from an address before is counted there alone. So
 * nobody can try for long, and nobody can keep the owner out. */

static const struct throttle_rule known_rule = { 1, 30 * 86400 * TIME_SECOND };

struct login_pace {
    struct throttle_key account, place, known; /* place: of this account from this address */
    bool is_known;                             /* somebody who logged in came from there */
};

static struct login_pace login_pace_of(struct users *self, struct call *call, str account)
{
    str address = call->request ? call->request->client_address : STR("");
    struct login_pace pace = {
        .account = throttle_key_of(self->throttle, STR("login"), account, STR("")),
        .place = throttle_key_of(self->throttle, STR("login from"), account, address),
        .known = throttle_key_of(self->throttle, STR("known"), account, address),
    };
    pace.is_known = throttle_wait(self->throttle, pace.known, &known_rule, call->now) > 0;
    return pace;
}

static err check_pace(struct users *self, struct call *call, const struct login_pace *pace)
{
    struct throttle_key key = pace->is_known ? pace->place : pace->account;
    time_us wait = throttle_wait(self->throttle, key, &self->failures_rule, call->now);
    return wait > 0 ? fail_wait(call, wait) : OK;
}

static void count_failure(struct users *self, struct call *call, const struct login_pace *pace)
{
    throttle_count(self->throttle, pace->account, &self->failures_rule, call->now);
    throttle_count(self->throttle, pace->place, &self->failures_rule, call->now);
}

/* Whether there is such an account does not show: the same work, the same words. */
static err check_credentials(struct users *self, struct call *call, const Users__LoginRequest *in,
                             struct user *user)
{
    struct email email;
    bool found = false;
    bool is_address = email_parse(call->arena, text_of(in->email), &email) == OK;
    struct login_pace pace = login_pace_of(self, call, is_address ? email.key : text_of(in->email));
    TRY(check_pace(self, call, &pace));
    if (is_address)
        TRY(store_find_user_by_email(call, email.key, user, &found));
    call_read_end(call);

    str password = password_normal(call->arena, text_of(in->password));
    str hash = found ? user->password_hash : password_hash_of_nobody();
    if (!hashing_verify(self->house->spare, hash, password) || !found) {
        count_failure(self, call, &pace);
        return fail(call->arena, CREDENTIALS_INVALID, "the address or the password is not right");
    }
    throttle_count(self->throttle, pace.known, &known_rule, call->now);
    if (user->status != USER_STATUS_ACTIVE)
        return fail(call->arena, USER_SUSPENDED, "the account is suspended");
    return OK;
}

err users_login(struct users *self, struct call *call, const Users__LoginRequest *in)
{
    struct user user;
    TRY(check_credentials(self, call, in, &user));

    struct session_adding *adding = arena_new(call->arena, struct session_adding);
    adding->session = session_begin(call_new_id(call), user.id, call->now, self->refresh_ttl);
    if (call->request)
        adding->session.user_agent =
            session_agent_of(request_header(call->request, STR("user-agent")));
    adding->user_version = user.version;
    str refresh = refresh_token(call, &adding->refresh);
    str access = access_token(self, call, &user, adding->session.id);

    call_write(call, store_add_sessions, adding);
    return call_answer(call, tokens_view(call->arena, access, refresh, self->access_ttl));
}

/* The token was used twice, by its owner and by a thief: nobody goes on with it. Written at once,
 * for the answer is a refusal, and a refusal writes nothing. */
static err end_reused_session(struct call *call, const struct refresh *refresh)
{
    struct session_ending *ending = arena_new(call->arena, struct session_ending);
    *ending = (struct session_ending){ .session = refresh->session, .user = refresh->user };
    TRY(job_write(call, write_new(call->arena, store_end_sessions, ending)));
    LOG(LOG_WARN, "session.token_reused",
        LOG_TEXT("session", uuid_text(call->arena, refresh->session)));
    return OK;
}

static err find_refresh(struct call *call, const Users__RefreshRequest *in, struct sha256 *hash,
                        struct refresh *refresh)
{
    bool found = false;
    if (refresh_token_hash(call->arena, text_of(in->refresh_token), hash))
        TRY(store_find_refresh(call, hash, refresh, &found));

    enum refresh_verdict verdict = found ? refresh_judge(refresh, call->now) : REFRESH_GONE;
    if (verdict == REFRESH_REUSED)
        TRY(end_reused_session(call, refresh));
    if (verdict != REFRESH_GOOD)
        return fail(call->arena, REFRESH_INVALID, "it is unknown, spent or expired");
    return OK;
}

err users_refresh(struct users *self, struct call *call, const Users__RefreshRequest *in)
{
    struct session_refreshing *refreshing = arena_new(call->arena, struct session_refreshing);
    struct refresh known;
    struct user user;
    TRY(find_refresh(call, in, &refreshing->spent, &known));
    TRY(store_find_user(call, known.user, &user));
    if (user.status != USER_STATUS_ACTIVE)
        return fail(call->arena, REFRESH_INVALID, "the account is suspended");

    refreshing->session = known.session;
    refreshing->user_version = user.version;
    refreshing->expires_at = call->now + self->refresh_ttl;
    str refresh = refresh_token(call, &refreshing->refresh);
    str access = access_token(self, call, &user, known.session);

    call_write(call, store_refresh_sessions, refreshing);
    return call_answer(call, tokens_view(call->arena, access, refresh, self->access_ttl));
}

/* ---- anyone who reads the mail of an address ---- */

/* Whether one more mail may go to this address: asked for by anyone, read by its owner. */
static time_us mail_wait(struct users *self, struct call *call, str kind, str email_key)
{
    struct throttle_key key = throttle_key_of(self->throttle, kind, email_key, STR(""));
    time_us wait = throttle_wait(self->throttle, key, &self->mails_rule, call->now);
    if (wait == 0)
        throttle_count(self->throttle, key, &self->mails_rule, call->now);
    return wait;
}

/* The account is looked up by the lane that sends: here nothing depends on whether there is one. */
err users_forgot_password(struct users *self, struct call *call,
                          const Users__ForgotPasswordRequest *in)
{
    struct email email;
    TRY(email_parse(call->arena, text_of(in->email), &email));
    if (!mailer_is_on(self->mailer) || mail_wait(self, call, STR("reset"), email.key) > 0)
        return answer_nothing(call);

    struct mail_job *job = users_new_mail(call, MAIL_RESET);
    job->email_key = email.key;
    users_send_after(self, call, call_write(call, store_add_mails, job), job);
    return answer_nothing(call);
}

/* The account that a link was sent to. */
static err find_by_link(struct call *call, ProtobufCBinaryData token, enum mail_kind kind,
                        struct user *user)
{
    struct sha256 hash;
    struct uuid id;
    bool found = false;
    if (refresh_token_hash(call->arena, text_of(token), &hash))
        TRY(store_find_mail_token(call, &hash, kind, &id, &found));
    if (found)
        TRY(store_find_user(call, id, user));
    if (!found || (kind == MAIL_RESET && user->status != USER_STATUS_ACTIVE))
        return fail_field(call->arena, LINK_INVALID, STR("/token"),
                          "it is unknown, was used, or has expired");
    return OK;
}

/* Two who use one link at once both find it; the second one's write finds another version. */
err users_reset_password(struct users *self, struct call *call,
                         const Users__ResetPasswordRequest *in)
{
    str password_hash;
    struct user *user = arena_new(call->arena, struct user);
    TRY(find_by_link(call, in->token, MAIL_RESET, user));
    TRY(hash_password(self, call, in->password, user->email_key, user->roles, &password_hash));

    user_reset_password(user, password_hash, call->now);
    save_user(call, &(struct user_saving){ .user = user,
                                           .what = STR("password"),
                                           .reason = STR(""),
                                           .ends_sessions = true,
                                           .revokes = true,
                                           .verifies = true,
                                           .resets = true });
    return answer_nothing(call);
}

err users_verify_email(struct users *self, struct call *call, const Users__VerifyEmailRequest *in)
{
    (void)self;
    struct user *user = arena_new(call->arena, struct user);
    TRY(find_by_link(call, in->token, MAIL_VERIFY, user));
    user_verify(user, call->now);
    save_user(call, &(struct user_saving){ .user = user, .verifies = true });
    return answer_nothing(call);
}

err users_keys(struct users *self, struct call *call, const Users__KeysRequest *in)
{
    (void)in;
    struct auth_key keys[AUTH_KEYS_MAX];
    size_t count = keys_verifying(self->keys, keys);
    return call_answer(call, key_set_view(call->arena, keys, count));
}

/* ---- oneself ---- */

err users_logout(struct users *self, struct call *call, const Users__LogoutRequest *in)
{
    (void)self, (void)in;
    struct session_ending *ending = arena_new(call->arena, struct session_ending);
    *ending = (struct session_ending){ .session = call->who.session, .user = call->who.user };
    call_write(call, store_end_sessions, ending);
    return answer_nothing(call);
}

err users_get_me(struct users *self, struct call *call, const Users__GetMeRequest *in)
{
    (void)self, (void)in;
    struct user user;
    TRY(store_find_user(call, call->who.user, &user));
    return answer_user(call, &user);
}

err users_update_me(struct users *self, struct call *call, const Users__UpdateMeRequest *in)
{
    (void)self;
    struct user *user = arena_new(call->arena, struct user);
    TRY(store_find_user(call, call->who.user, user));
    TRY(call_if_match(call, user->version));

    bool names_name = message_names(in, &users_update_me_request_spec, "name");
    bool names_phone = message_names(in, &users_update_me_request_spec, "phone");
    str name = names_name ? text_of(in->name) : user->name;
    str phone = names_phone ? text_of(in->phone) : user->phone;
    if (str_equal(name, user->name) && str_equal(phone, user->phone))
        return answer_user(call, user);

    user_set_profile(user, name, phone, call->now);
    save_user(call, &(struct user_saving){ .user = user });
    return answer_user(call, user);
}

/* What was deleted leaves the files too. */
static void forget(struct write *write) { db_forget(service_db(write->after_subject)); }

err users_erase_me(struct users *self, struct call *call, const Users__EraseMeRequest *in)
{
    (void)in;
    struct user *user = arena_new(call->arena, struct user);
    TRY(store_find_user(call, call->who.user, user));
    struct user gone = *user;
    gone.status = USER_STATUS_SUSPENDED; /* what it comes to, for those who count admins */
    struct user_saving saving = { .user = user, .takes_admin = user_takes_admin(user, &gone) };

    struct write *write =
        call_write(call, store_erase_users, arena_copy(call->arena, &saving, sizeof saving));
    write_announce(write, &users_event_user_erased, user_erased_event(call->arena, user->id));
    write->after = forget;
    write->after_subject = self->service;
    return answer_nothing(call);
}

/* The call graph goes from Orders to Users and never back, so Orders gives its part itself. */
err users_export_me(struct users *self, struct call *call, const Users__ExportMeRequest *in)
{
    (void)self, (void)in;
    struct user user;
    struct address *addresses;
    struct session *sessions;
    struct account_step *steps;
    struct export_parts parts = { .user = &user, .session = call->who.session };
    TRY(store_find_user(call, call->who.user, &user));
    TRY(store_list_addresses(call, user.id, &addresses, &parts.addresses_count));
    TRY(store_list_sessions(call, user.id, &sessions, &parts.sessions_count));
    TRY(store_list_account_steps(call, user.id, &steps, &parts.steps_count));
    parts.addresses = addresses;
    parts.sessions = sessions;
    parts.steps = steps;
    return call_answer(call, export_view(call->arena, &parts, call->now));
}

err users_change_password(struct users *self, struct call *call,
                          const Users__ChangePasswordRequest *in)
{
    str password_hash;
    struct user *user = arena_new(call->arena, struct user);
    TRY(store_find_user(call, call->who.user, user));
    call_read_end(call);
    if (user->status != USER_STATUS_ACTIVE) /* a token of before lives for some seconds */
        return fail(call->arena, USER_SUSPENDED, "the account is suspended");
    struct throttle_key key = throttle_key_of(self->throttle, STR("old password"),
                                              uuid_text(call->arena, user->id), STR(""));
    time_us wait = throttle_wait(self->throttle, key, &self->failures_rule, call->now);
    if (wait > 0)
        return fail_wait(call, wait);
    if (!hashing_verify(self->house->spare, user->password_hash,
                        password_normal(call->arena, text_of(in->old_password)))) {
        throttle_count(self->throttle, key, &self->failures_rule, call->now);
        return fail_field(call->arena, PASSWORD_WRONG, STR("/old_password"),
                          "it is not the password in use");
    }
    TRY(hash_password(self, call, in->password, user->email_key, user->roles, &password_hash));

    user_set_password(user, password_hash, call->now);
    save_user(call, &(struct user_saving){ .user = user,
                                           .what = STR("password"),
                                           .reason = STR(""),
                                           .ends_sessions = true,
                                           .session_kept = call->who.session });
    return answer_nothing(call);
}

err users_send_verification(struct users *self, struct call *call,
                            const Users__SendVerificationRequest *in)
{
    (void)in;
    struct user user;
    TRY(store_find_user(call, call->who.user, &user));
    if (user.verified_at != 0)
        return fail(call->arena, USER_STATE, "the address is verified already");
    time_us wait = mail_wait(self, call, STR("verify"), user.email_key);
    if (wait > 0)
        return fail_wait(call, wait);
    if (!mailer_is_on(self->mailer))
        return answer_nothing(call);
    const struct mail_job *job = verification_mail(call, &user);
    struct write *write = call_write(call, store_add_mails, (void *)(uintptr_t)job);
    users_send_after(self, call, write, job);
    return answer_nothing(call);
}

err users_list_sessions(struct users *self, struct call *call, const Users__ListSessionsRequest *in)
{
    (void)self, (void)in;
    struct session *sessions;
    size_t count;
    TRY(store_list_sessions(call, call->who.user, &sessions, &count));
    return call_answer(call, session_list_view(call->arena, sessions, count, call->who.session));
}

err users_end_session(struct users *self, struct call *call, const Users__EndSessionRequest *in)
{
    (void)self;
    struct session_ending *ending = arena_new(call->arena, struct session_ending);
    *ending = (struct session_ending){ .session = uuid_of_field(in->id), .user = call->who.user };
    TRY(store_check_session(call, ending->user, ending->session));
    call_write(call, store_end_sessions, ending);
    return answer_nothing(call);
}

err users_list_addresses(struct users *self, struct call *call,
                         const Users__ListAddressesRequest *in)
{
    (void)self, (void)in;
    struct address *addresses;
    size_t count;
    TRY(store_list_addresses(call, call->who.user, &addresses, &count));
    return call_answer(call, address_list_view(call->arena, addresses, count));
}

/* Hands over an address as it shall stand, and answers with it. */
static err write_address(struct call *call, write_batch *batch, struct address address)
{
    struct address *subject = arena_copy(call->arena, &address, sizeof address);
    call_write(call, batch, subject);
    return call_answer(call, address_view(call->arena, subject));
}

err users_create_address(struct users *self, struct call *call,
                         const Users__CreateAddressRequest *in)
{
    (void)self;
    return write_address(call, store_add_addresses,
                         address_of(in->address, call_new_id(call), call->who.user, call->now));
}

err users_get_address(struct users *self, struct call *call, const Users__GetAddressRequest *in)
{
    (void)self;
    struct address address;
    TRY(store_find_address(call, call->who.user, uuid_of_field(in->id), &address));
    return call_answer(call, address_view(call->arena, &address));
}

err users_update_address(struct users *self, struct call *call,
                         const Users__UpdateAddressRequest *in)
{
    (void)self;
    struct address before;
    TRY(store_find_address(call, call->who.user, uuid_of_field(in->id), &before));

    struct address address = address_of(in->address, before.id, before.user, call->now);
    address.created_at = before.created_at;
    return write_address(call, store_save_addresses, address);
}

err users_delete_address(struct users *self, struct call *call,
                         const Users__DeleteAddressRequest *in)
{
    (void)self;
    struct address *address = arena_new(call->arena, struct address);
    *address = (struct address){ .id = uuid_of_field(in->id), .user = call->who.user };
    call_write(call, store_drop_addresses, address);
    return answer_nothing(call);
}

/* ---- staff ---- */

static const struct uuid ID_LAST = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };

/* A cursor's position is "microseconds id". */
static err page_place(struct call *call, str after, struct users_page *page)
{
    str position;
    page->created_at = INT64_MAX;
    page->id = ID_LAST;
    if (after.len == 0)
        return OK;
    TRY(cursor_read(call, after, &position));
    str created_at = str_cut(&position, ' ');
    if (!str_to_int64(created_at, 0, INT64_MAX, &page->created_at) ||
        !uuid_parse(position, &page->id))
        return fail(call->arena, CURSOR_INVALID, "the cursor holds no place in this list");
    return OK;
}

static str page_next(struct call *call, const struct user *last)
{
    return cursor_write(call, str_format(call->arena, "%lld %" STR_F, (long long)last->created_at,
                                         STR_A(uuid_text(call->arena, last->id))));
}

static str status_filter(Users__UserStatus status)
{
    if (status == USERS__USER_STATUS__USER_STATUS_ACTIVE)
        return STR("active");
    return status == USERS__USER_STATUS__USER_STATUS_SUSPENDED ? STR("suspended") : STR("");
}

err users_list_users(struct users *self, struct call *call, const Users__ListUsersRequest *in)
{
    (void)self;
    int32_t limit = in->limit > 0 ? in->limit : PAGE_STANDARD;
    struct users_page page = { .roles = role_bit_of(in->role),
                               .status = status_filter(in->status),
                               .email_key = STR(""),
                               .rows_max =
                                   limit + 1 }; /* one more tells whether there is a next page */
    struct email email;
    struct user *users = NULL;
    size_t count = 0;
    ASSERT(limit <= PAGE_MAX);
    TRY(page_place(call, text_of(in->after), &page));
    if (in->email.len > 0) {
        if (email_parse(call->arena, text_of(in->email), &email) != OK)
            return call_answer(call, user_list_view(call->arena, users, count, STR("")));
        page.email_key = email.key;
    }
    TRY(store_list_users(call, &page, &users, &count));

    str next = STR("");
    if (count > (size_t)limit) {
        count = (size_t)limit;
        next = page_next(call, &users[count - 1]);
    }
    return call_answer(call, user_list_view(call->arena, users, count, next));
}

err users_get_user(struct users *self, struct call *call, const Users__GetUserRequest *in)
{
    (void)self;
    struct user user;
    TRY(store_find_user(call, uuid_of_field(in->id), &user));
    return answer_user(call, &user);
}

/* Suspends or restores: reads, lets the rules decide, and takes away what tokens of before could
 * do. */
static err move_user(struct call *call, struct uuid id, enum user_status to, str what, str reason)
{
    struct user before, *user = arena_new(call->arena, struct user);
    TRY(store_find_user(call, id, &before));
    *user = before;
    TRY(user_move(call->arena, user, to, call->who.roles, call->now));

    save_user(call, &(struct user_saving){ .user = user,
                                           .what = what,
                                           .reason = reason,
                                           .actor = call->who.user,
                                           .takes_admin = user_takes_admin(&before, user),
                                           .ends_sessions = to == USER_STATUS_SUSPENDED,
                                           .revokes = true });
    return answer_user(call, user);
}

err users_suspend_user(struct users *self, struct call *call, const Users__SuspendUserRequest *in)
{
    (void)self;
    return move_user(call, uuid_of_field(in->id), USER_STATUS_SUSPENDED, STR("suspended"),
                     text_of(in->reason));
}

err users_restore_user(struct users *self, struct call *call, const Users__RestoreUserRequest *in)
{
    (void)self;
    return move_user(call, uuid_of_field(in->id), USER_STATUS_ACTIVE, STR("restored"), STR(""));
}

err users_set_roles(struct users *self, struct call *call, const Users__SetRolesRequest *in)
{
    (void)self;
    unsigned roles;
    struct user before, *user = arena_new(call->arena, struct user);
    TRY(roles_of(call->arena, in->roles, in->n_roles, &roles));
    TRY(store_find_user(call, uuid_of_field(in->id), &before));
    *user = before;
    if (roles == before.roles)
        return answer_user(call, user);

    TRY(user_set_roles(call->arena, user, roles, call->now));
    save_user(call, &(struct user_saving){ .user = user,
                                           .what = STR("roles"),
                                           .reason = STR(""),
                                           .actor = call->who.user,
                                           .takes_admin = user_takes_admin(&before, user),
                                           .revokes = true });
    return answer_user(call, user);
}

err users_list_audit(struct users *self, struct call *call, const Duka__ListAuditRequest *in)
{
    (void)self;
    return audit_answer(call, in);
}

/* ---- neighbours ---- */

err users_find_address(struct users *self, struct call *call, const Users__FindAddressRequest *in)
{
    (void)self;
    struct address address;
    TRY(store_find_address(call, uuid_of_field(in->user_id), uuid_of_field(in->address_id),
                           &address));
    return call_answer(call, address_view(call->arena, &address));
}

/* ---- the operator ---- */

err users_operator_create_user(struct users *self, struct call *call,
                               const Users__OperatorCreateUserRequest *in)
{
    struct account_form form = { .email = in->email,
                                 .password = in->password,
                                 .name = in->name,
                                 .roles = ROLE_BIT_STAFF,
                                 .is_verified = true, /* the operator vouches for it */
                                 .what = STR("created") };
    if (in->n_roles > 0)
        TRY(roles_of(call->arena, in->roles, in->n_roles, &form.roles));
    return create_user(self, call, &form);
}

err users_operator_set_password(struct users *self, struct call *call,
                                const Users__OperatorSetPasswordRequest *in)
{
    struct email email;
    bool found;
    str password_hash;
    struct user *user = arena_new(call->arena, struct user);
    TRY(email_parse(call->arena, text_of(in->email), &email));
    TRY(store_find_user_by_email(call, email.key, user, &found));
    if (!found)
        return fail(call->arena, NOT_FOUND, "no account has this address");
    TRY(hash_password(self, call, in->password, email.key, user->roles, &password_hash));

    user_set_password(user, password_hash, call->now);
    save_user(call, &(struct user_saving){ .user = user,
                                           .what = STR("password"),
                                           .reason = STR(""),
                                           .ends_sessions = true,
                                           .revokes = true });
    return answer_user(call, user);
}
