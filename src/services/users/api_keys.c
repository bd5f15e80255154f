/* The calls about API keys, and what neighbours follow: revocations, signing keys, API keys. */
#include "chassis/message.h"
#include "gen/users.h"
#include "services/users/inside.h"
#include "services/users/store.h"
#include "services/users/view.h"

enum { PAGE_STANDARD = 20 };

static const struct uuid ID_LAST = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };

static err check_expiry(struct call *call, time_us expires_at)
{
    if (expires_at != 0 && expires_at <= call->now)
        return fail_field(call->arena, FIELD_INVALID, STR("/expires_at"),
                          "lies in the past: leave it out for a key that does not expire");
    return OK;
}

/* A write is run again where it must: then with a secret of its own. */
err users_create_api_key(struct users *self, struct call *call,
                         const Users__CreateApiKeyRequest *in)
{
    (void)self;
    uint8_t bytes[API_KEY_RANDOM_BYTES];
    struct api_key_change *change = arena_new(call->arena, struct api_key_change);
    struct api_key *key = &change->key;
    *key = (struct api_key){ .id = call_new_id(call),
                             .name = text_of(in->name),
                             .created_by = call->who.user,
                             .created_at = call->now,
                             .expires_at = time_of_field(in->expires_at) };
    TRY(scopes_of(call->arena, in->scopes, in->n_scopes, &key->scopes));
    TRY(check_expiry(call, key->expires_at));

    call_random(call, bytes, sizeof bytes);
    str secret = api_key_secret(call->arena, bytes);
    TRY(api_key_digest(call->arena, secret, &key->digest));
    key->prefix = str_slice(secret, 0, API_KEY_PREFIX_BYTES);
    change->mark = call_new_id(call);
    call_write(call, store_add_api_keys, change);
    return call_answer(call, api_key_view(call->arena, key, secret));
}

err users_list_api_keys(struct users *self, struct call *call, const Users__ListApiKeysRequest *in)
{
    (void)self;
    int32_t limit = in->limit > 0 ? in->limit : PAGE_STANDARD;
    struct uuid before = ID_LAST;
    struct api_key *keys;
    size_t count;
    str position, next = STR("");
    if (in->after.len > 0) {
        TRY(cursor_read(call, text_of(in->after), &position));
        if (!uuid_parse(position, &before))
            return fail(call->arena, CURSOR_INVALID, "the cursor holds no place in this list");
    }
    TRY(store_list_api_keys(call, before, limit + 1, &keys, &count));
    if (count > (size_t)limit) {
        count = (size_t)limit;
        next = cursor_write(call, uuid_text(call->arena, keys[count - 1].id));
    }
    return call_answer(call, api_key_list_view(call->arena, keys, count, next));
}

err users_revoke_api_key(struct users *self, struct call *call,
                         const Users__RevokeApiKeyRequest *in)
{
    (void)self;
    struct api_key_change *change = arena_new(call->arena, struct api_key_change);
    *change = (struct api_key_change){ .key.id = uuid_of_field(in->id), .mark = call_new_id(call) };
    TRY(store_check_api_key(call, change->key.id));
    call_write(call, store_revoke_api_keys, change);
    return call_answer(call, message_new(call->arena, &duka_empty_spec));
}

/* ---- neighbours ---- */

/* All of them, where they are not those that are known. */
static err tell_api_keys(struct call *call, const Users__ChangesSinceRequest *in,
                         Users__Changes *changes)
{
    struct uuid mark;
    struct api_key_known *known;
    TRY(store_find_api_keys_mark(call, &mark));
    changes->api_keys_mark = field_of_uuid(call->arena, mark);
    if (str_equal(text_of(changes->api_keys_mark), text_of(in->api_keys_mark)))
        return OK;
    TRY(store_list_known_api_keys(call, &known, &changes->n_api_keys));
    changes->api_keys = known_api_keys_view(call->arena, known, changes->n_api_keys);
    return OK;
}

static void take_uses(struct call *call, const Users__ChangesSinceRequest *in)
{
    if (in->n_uses == 0)
        return;
    struct api_key_uses *uses = arena_new(call->arena, struct api_key_uses);
    struct api_key_use *items = arena_array(call->arena, struct api_key_use, in->n_uses);
    for (size_t i = 0; i < in->n_uses; i++)
        items[i] =
            (struct api_key_use){ uuid_of_field(in->uses[i]->id), time_of_field(in->uses[i]->at) };
    *uses = (struct api_key_uses){ items, in->n_uses };
    call_write(call, store_note_api_key_uses, uses);
}

err users_changes_since(struct users *self, struct call *call, const Users__ChangesSinceRequest *in)
{
    struct revocation *revocations;
    struct auth_key keys[AUTH_KEYS_MAX];
    Users__Changes *changes = message_new(call->arena, &users_changes_spec);
    TRY(store_list_revocations(call, in->position, &revocations, &changes->n_revocations,
                               &changes->position));
    changes->revocations = revocations_view(call->arena, revocations, changes->n_revocations);
    changes->n_keys = keys_verifying(self->keys, keys);
    changes->keys = keys_view(call->arena, keys, changes->n_keys);
    TRY(tell_api_keys(call, in, changes));
    take_uses(call, in);
    return call_answer(call, changes);
}
