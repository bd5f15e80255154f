#include "apps/follower.h"

#include "chassis/obs.h"
#include "gen/users_client.h"
#include "os/clock.h"
#include "os/sync.h"

#include <string.h>

enum {
    ASK_EVERY_MS = 1000,
    ASK_FIRST_MS = 100,    /* until Users was reached for the first time */
    ASK_AGAIN_MS = 250,    /* after a question that was not answered */
    ASK_TIMEOUT_MS = 1500, /* two that are lost leave what the contract promises within 5 s */
    PATIENCE_MS = 10000,   /* for the first answer: a program serves without Users, too */
    FOLLOWER_BYTES_MAX = 8 * 1024 * 1024
};

struct follower {
    struct arena *memory; /* holds this struct */
    struct auth *auth;
    struct client *users;
    struct arena *arena; /* of one question */
    int64_t position;
    bool reached; /* the last question was answered; the thread's own, like the position */
    bool ever;
    int64_t patient_until_us; /* 0: does not ask yet */
    bool heard;               /* for others: under the lock */
    struct thread *thread;
    struct lock lock;
    struct cond stopped;
    bool stops; /* under the lock */
};

struct follower *follower_open(struct auth *auth, struct client *users)
{
    ASSERT(auth && users);
    struct arena *memory = arena_open(ARENA_CHUNK_BYTES);
    struct follower *self = arena_new(memory, struct follower);
    *self = (struct follower){ .memory = memory,
                               .auth = auth,
                               .users = users,
                               .arena = arena_open(FOLLOWER_BYTES_MAX),
                               .reached = true };
    lock_init(&self->lock);
    cond_init(&self->stopped);
    return self;
}

/* ---- What was heard ---- */

static bool key_read(struct arena *arena, const Users__Key *key, struct auth_key *out)
{
    str kid = text_of(key->kid), public;
    if (kid.len == 0 || kid.len > JWT_KID_MAX ||
        !base64url_parse(arena, text_of(key->x), &public) || public.len != ED25519_PUBLIC_BYTES)
        return false;
    *out = (struct auth_key){ 0 };
    memcpy(out->kid, kid.ptr, kid.len);
    memcpy(out->public, public.ptr, ED25519_PUBLIC_BYTES);
    return true;
}

static void tell_keys(struct follower *self, const Users__Changes *changes)
{
    struct auth_key keys[AUTH_KEYS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < changes->n_keys && count < AUTH_KEYS_MAX; i++)
        count += key_read(self->arena, changes->keys[i], &keys[count]);
    auth_set_keys(self->auth, keys, count);
}

static void tell_revocations(struct follower *self, const Users__Changes *changes)
{
    for (size_t i = 0; i < changes->n_revocations; i++) {
        const Users__Revocation *revocation = changes->revocations[i];
        auth_revoke(self->auth, uuid_of_field(revocation->user_id),
                    uuid_of_field(revocation->session_id), revocation->version_min,
                    time_of_field(revocation->at));
    }
}

static bool api_key_read(struct arena *arena, const Users__KnownApiKey *key,
                         struct api_key_known *out)
{
    str digest;
    if (!base64url_parse(arena, text_of(key->digest), &digest) || digest.len != SHA256_BYTES)
        return false;
    *out = (struct api_key_known){ .id = uuid_of_field(key->id),
                                   .expires_at = time_of_field(key->expires_at) };
    memcpy(out->digest.bytes, digest.ptr, SHA256_BYTES);
    for (size_t i = 0; i < key->n_scopes;
         i++) /* those that this version does not know, no call has */
        if (key->scopes[i] > 0 && (unsigned)key->scopes[i] < duka_scope_spec.descriptor->n_values)
            out->scopes |= scope_bit((unsigned)key->scopes[i]);
    return true;
}

/* Where they are the ones that are known, they are not told again. */
static void tell_api_keys(struct follower *self, const Users__Changes *changes)
{
    struct api_keys *keys = auth_api_keys(self->auth);
    struct uuid mark = uuid_of_field(changes->api_keys_mark), known_mark;
    if (changes->api_keys_mark.len == 0 || /* a Users of before there were any */
        (api_keys_mark(keys, &known_mark) && uuid_equal(mark, known_mark)))
        return;
    size_t count = 0,
           given = changes->n_api_keys < API_KEYS_MAX ? changes->n_api_keys : API_KEYS_MAX;
    struct api_key_known *known = arena_array(self->arena, struct api_key_known, given);
    for (size_t i = 0; i < given; i++)
        count += api_key_read(self->arena, changes->api_keys[i], &known[count]);
    api_keys_set(keys, known, count, mark);
}

/* ---- Asking ---- */

static void add_uses(struct follower *self, Users__ChangesSinceRequest *question)
{
    struct api_key_use uses[API_KEYS_MAX];
    struct uuid mark;
    struct api_keys *keys = auth_api_keys(self->auth);
    if (api_keys_mark(keys, &mark))
        question->api_keys_mark = field_of_uuid(self->arena, mark);
    question->n_uses = api_keys_take_uses(keys, uses);
    question->uses = arena_array(self->arena, Users__ApiKeyUse *, question->n_uses);
    for (size_t i = 0; i < question->n_uses; i++) {
        question->uses[i] = message_new(self->arena, &users_api_key_use_spec);
        question->uses[i]->id = field_of_uuid(self->arena, uses[i].id);
        question->uses[i]->at = field_of_time(self->arena, uses[i].at);
    }
}

/* One question; `*more` tells that the next one should follow at once. */
static err ask(struct follower *self, bool *more)
{
    const Users__Changes *changes;
    arena_reset(self->arena);
    struct call call = { .arena = self->arena,
                         .now = clock_wall_us(),
                         .deadline_us = clock_mono_us() + ASK_TIMEOUT_MS * TIME_MS };
    Users__ChangesSinceRequest *question =
        message_new(self->arena, &users_changes_since_request_spec);
    question->position = self->position;
    add_uses(self, question);
    TRY(users_client_changes_since(self->users, &call, question, &changes));
    tell_revocations(self, changes); /* before a new key makes more tokens good */
    tell_keys(self, changes);
    tell_api_keys(self, changes);
    *more = changes->n_revocations > 0; /* until an answer has none */
    self->position = changes->position;
    return OK;
}

/* The log hears when Users goes and when it is back, not of each question. */
static void note(struct follower *self, err error)
{
    if (error != OK && self->reached)
        LOG(LOG_WARN, "users.away", LOG_TEXT("error", err_describe(self->arena, error)));
    if (error == OK && (!self->reached || !self->ever))
        LOG(LOG_INFO, "users.reached", LOG_NUMBER("position", self->position));
    self->reached = error == OK;
    self->ever |= self->reached;
}

static bool waits(struct follower *self, int64_t pause_ms)
{
    int64_t until_us = clock_mono_us() + pause_ms * TIME_MS;
    lock_take(&self->lock);
    while (!self->stops && cond_wait_until(&self->stopped, &self->lock, until_us))
        ;
    bool goes_on = !self->stops;
    lock_drop(&self->lock);
    return goes_on;
}

static void run(void *subject)
{
    struct follower *self = subject;
    int64_t pause_ms;
    do {
        bool more = false;
        err error = ask(self, &more);
        note(self, error);
        if (error == OK && !more) {
            auth_reached(self->auth);
            lock_take(&self->lock);
            self->heard = true;
            lock_drop(&self->lock);
        }
        pause_ms = self->ever ? ASK_AGAIN_MS : ASK_FIRST_MS;
        if (error == OK)
            pause_ms = more ? 0 : ASK_EVERY_MS;
    } while (waits(self, pause_ms));
}

void follower_start(struct follower *follower)
{
    ASSERT(follower && !follower->thread);
    follower->patient_until_us = clock_mono_us() + PATIENCE_MS * TIME_MS;
    follower->thread = thread_start("follower", run, follower);
}

bool follower_settled(struct follower *follower)
{
    ASSERT(follower);
    lock_take(&follower->lock);
    bool heard = follower->heard;
    lock_drop(&follower->lock);
    return heard ||
           (follower->patient_until_us > 0 && clock_mono_us() > follower->patient_until_us);
}

void follower_stop(struct follower *follower)
{
    if (!follower || !follower->thread)
        return;
    lock_take(&follower->lock);
    follower->stops = true;
    cond_wake_all(&follower->stopped);
    lock_drop(&follower->lock);
    thread_join(follower->thread);
    follower->thread = NULL;
}

void follower_close(struct follower *follower)
{
    if (!follower)
        return;
    ASSERT(!follower->thread);
    client_close(follower->users);
    cond_done(&follower->stopped);
    lock_done(&follower->lock);
    arena_close(follower->arena);
    arena_close(follower->memory);
}
