#include "services/users/view.h"
#include "chassis/message.h"

static const struct {
    unsigned bit;
    Users__Role role;
} ROLES[] = {
    { ROLE_BIT_CUSTOMER, USERS__ROLE__ROLE_CUSTOMER },
    { ROLE_BIT_STAFF, USERS__ROLE__ROLE_STAFF },
    { ROLE_BIT_ADMIN, USERS__ROLE__ROLE_ADMIN },
};
enum { ROLES_COUNT = sizeof ROLES / sizeof ROLES[0] };

/* ---- roles ---- */

unsigned role_bit_of(Users__Role role)
{
    for (size_t i = 0; i < ROLES_COUNT; i++)
        if (ROLES[i].role == role)
            return ROLES[i].bit;
    return 0;
}

err roles_of(struct arena *arena, const Users__Role *roles, size_t count, unsigned *out)
{
    unsigned bits = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned bit = role_bit_of(roles[i]);
        if (bit == 0)
            return fail_field(arena, ROLE_INVALID, str_format(arena, "/roles/%zu", i),
                              "it is customer, staff or admin");
        bits |= bit;
    }
    *out = bits;
    return OK;
}

static Users__Role *roles_view(struct arena *arena, unsigned bits, size_t *count)
{
    Users__Role *roles = arena_array(arena, Users__Role, ROLES_COUNT);
    *count = 0;
    for (size_t i = 0; i < ROLES_COUNT; i++)
        if (bits & ROLES[i].bit)
            roles[(*count)++] = ROLES[i].role;
    return roles;
}

/* ---- accounts ---- */

static Users__UserStatus status_view(enum user_status status)
{
    return status == USER_STATUS_ACTIVE ? USERS__USER_STATUS__USER_STATUS_ACTIVE
                                        : USERS__USER_STATUS__USER_STATUS_SUSPENDED;
}

Users__User *user_view(struct arena *arena, const struct user *user)
{
    Users__User *message = message_new(arena, &users_user_spec);
    message->id = field_of_uuid(arena, user->id);
    message->email = field_of(user->email);
    message->name = field_of(user->name);
    message->phone = field_of(user->phone);
    message->roles = roles_view(arena, user->roles, &message->n_roles);
    message->status = status_view(user->status);
    message->version = user->version;
    message->created_at = field_of_time(arena, user->created_at);
    message->updated_at = field_of_time(arena, user->updated_at);
    message->email_verified = user->verified_at != 0;
    return message;
}

Users__UserList *user_list_view(struct arena *arena, const struct user *users, size_t count,
                                str next)
{
    Users__UserList *list = message_new(arena, &users_user_list_spec);
    list->items = arena_array(arena, Users__User *, count);
    for (size_t i = 0; i < count; i++)
        list->items[i] = user_view(arena, &users[i]);
    list->n_items = count;
    list->next = field_of(next);
    return list;
}

Users__Tokens *tokens_view(struct arena *arena, str access_token, str refresh_token,
                           time_us access_ttl)
{
    Users__Tokens *tokens = message_new(arena, &users_tokens_spec);
    tokens->access_token = field_of(access_token);
    tokens->token_type = field_of(STR("Bearer"));
    tokens->expires_in = (int32_t)(access_ttl / TIME_SECOND);
    tokens->refresh_token = field_of(refresh_token);
    return tokens;
}

static Users__Session *session_view(struct arena *arena, const struct session *session,
                                    struct uuid current)
{
    Users__Session *message = message_new(arena, &users_session_spec);
    message->id = field_of_uuid(arena, session->id);
    message->current = uuid_equal(session->id, current);
    message->user_agent = field_of(session->user_agent);
    message->created_at = field_of_time(arena, session->created_at);
    if (session->used_at != 0)
        message->used_at = field_of_time(arena, session->used_at);
    message->expires_at = field_of_time(arena, session->expires_at);
    return message;
}

Users__SessionList *session_list_view(struct arena *arena, const struct session *sessions,
                                      size_t count, struct uuid current)
{
    Users__SessionList *list = message_new(arena, &users_session_list_spec);
    list->items = arena_array(arena, Users__Session *, count);
    for (size_t i = 0; i < count; i++)
        list->items[i] = session_view(arena, &sessions[i], current);
    list->n_items = count;
    return list;
}

/* ---- keys ---- */

static Users__Key *key_view(struct arena *arena, const struct auth_key *key)
{
    Users__Key *message = message_new(arena, &users_key_spec);
    message->kty = field_of(STR("OKP"));
    message->crv = field_of(STR("Ed25519"));
    message->use = field_of(STR("sig"));
    message->alg = field_of(STR("EdDSA"));
    message->kid = field_of(str_copy(arena, str_of_z(key->kid)));
    message->x = field_of(base64url(arena, str_of(key->public, sizeof key->public)));
    return message;
}

Users__Key **keys_view(struct arena *arena, const struct auth_key *keys, size_t count)
{
    Users__Key **messages = arena_array(arena, Users__Key *, count);
    for (size_t i = 0; i < count; i++)
        messages[i] = key_view(arena, &keys[i]);
    return messages;
}

Users__KeySet *key_set_view(struct arena *arena, const struct auth_key *keys, size_t count)
{
    Users__KeySet *set = message_new(arena, &users_key_set_spec);
    set->keys = keys_view(arena, keys, count);
    set->n_keys = count;
    return set;
}

static Users__Revocation *revocation_view(struct arena *arena, const struct revocation *revocation)
{
    Users__Revocation *message = message_new(arena, &users_revocation_spec);
    message->user_id = field_of_uuid(arena, revocation->user);
    if (!uuid_is_nil(revocation->session))
        message->session_id = field_of_uuid(arena, revocation->session);
    message->version_min = revocation->version_min;
    message->at = field_of_time(arena, revocation->at);
    return message;
}

Users__Revocation **revocations_view(struct arena *arena, const struct revocation *revocations,
                                     size_t count)
{
    Users__Revocation **messages = arena_array(arena, Users__Revocation *, count);
    for (size_t i = 0; i < count; i++)
        messages[i] = revocation_view(arena, &revocations[i]);
    return messages;
}

/* ---- API keys ---- */

static Duka__Scope *scopes_view(struct arena *arena, unsigned bits, size_t *count)
{
    Duka__Scope *scopes = arena_array(arena, Duka__Scope, duka_scope_spec.descriptor->n_values);
    *count = 0;
    for (unsigned scope = 1; scope < duka_scope_spec.descriptor->n_values; scope++)
        if (bits & scope_bit(scope))
            scopes[(*count)++] = (Duka__Scope)scope;
    return scopes;
}

err scopes_of(struct arena *arena, const Duka__Scope *scopes, size_t count, unsigned *out)
{
    unsigned bits = 0;
    for (size_t i = 0; i < count; i++) {
        if (scopes[i] <= 0 || (unsigned)scopes[i] >= duka_scope_spec.descriptor->n_values)
            return fail_field(arena, FIELD_INVALID, str_format(arena, "/scopes/%zu", i),
                              "is not a scope");
        bits |= scope_bit((unsigned)scopes[i]);
    }
    *out = bits;
    return OK;
}

Users__ApiKey *api_key_view(struct arena *arena, const struct api_key *key, str secret)
{
    Users__ApiKey *message = message_new(arena, &users_api_key_spec);
    message->id = field_of_uuid(arena, key->id);
    message->name = field_of(key->name);
    message->prefix = field_of(key->prefix);
    message->scopes = scopes_view(arena, key->scopes, &message->n_scopes);
    message->created_at = field_of_time(arena, key->created_at);
    if (!uuid_is_nil(key->created_by))
        message->created_by = field_of_uuid(arena, key->created_by);
    message->expires_at = field_of_time(arena, key->expires_at);
    message->used_at = field_of_time(arena, key->used_at);
    message->revoked_at = field_of_time(arena, key->revoked_at);
    message->secret = field_of(secret);
    return message;
}

Users__ApiKeyList *api_key_list_view(struct arena *arena, const struct api_key *keys, size_t count,
                                     str next)
{
    Users__ApiKeyList *list = message_new(arena, &users_api_key_list_spec);
    list->items = arena_array(arena, Users__ApiKey *, count);
    for (size_t i = 0; i < count; i++)
        list->items[i] = api_key_view(arena, &keys[i], STR(""));
    list->n_items = count;
    list->next = field_of(next);
    return list;
}

Users__KnownApiKey **known_api_keys_view(struct arena *arena, const struct api_key_known *keys,
                                         size_t count)
{
    Users__KnownApiKey **messages = arena_array(arena, Users__KnownApiKey *, count);
    for (size_t i = 0; i < count; i++) {
        Users__KnownApiKey *message = message_new(arena, &users_known_api_key_spec);
        str digest = str_of(keys[i].digest.bytes, sizeof keys[i].digest.bytes);
        message->id = field_of_uuid(arena, keys[i].id);
        message->digest = field_of(base64url(arena, digest));
        message->scopes = scopes_view(arena, keys[i].scopes, &message->n_scopes);
        message->expires_at = field_of_time(arena, keys[i].expires_at);
        messages[i] = message;
    }
    return messages;
}

Users__UserErased *user_erased_event(struct arena *arena, struct uuid user)
{
    Users__UserErased *event = arena_new(arena, Users__UserErased);
    *event = (Users__UserErased)USERS__USER_ERASED__INIT;
    event->user_id = field_of_uuid(arena, user);
    event->number = 1;
    return event;
}

/* ---- addresses ---- */

Users__SavedAddress *address_view(struct arena *arena, const struct address *address)
{
    Duka__Address *fields = message_new(arena, &duka_address_spec);
    fields->name = field_of(address->name);
    fields->company = field_of(address->company);
    fields->line1 = field_of(address->line1);
    fields->line2 = field_of(address->line2);
    fields->city = field_of(address->city);
    fields->region = field_of(address->region);
    fields->postal_code = field_of(address->postal_code);
    fields->country = field_of(address->country);
    fields->phone = field_of(address->phone);

    Users__SavedAddress *message = message_new(arena, &users_saved_address_spec);
    message->id = field_of_uuid(arena, address->id);
    message->address = fields;
    message->created_at = field_of_time(arena, address->created_at);
    message->updated_at = field_of_time(arena, address->updated_at);
    return message;
}

Users__AddressList *address_list_view(struct arena *arena, const struct address *addresses,
                                      size_t count)
{
    Users__AddressList *list = message_new(arena, &users_address_list_spec);
    list->items = arena_array(arena, Users__SavedAddress *, count);
    for (size_t i = 0; i < count; i++)
        list->items[i] = address_view(arena, &addresses[i]);
    list->n_items = count;
    return list;
}

struct address address_of(const Duka__Address *message, struct uuid id, struct uuid user,
                          time_us now)
{
    ASSERT(message);
    return (struct address){ .id = id,
                             .user = user,
                             .name = text_of(message->name),
                             .company = text_of(message->company),
                             .line1 = text_of(message->line1),
                             .line2 = text_of(message->line2),
                             .city = text_of(message->city),
                             .region = text_of(message->region),
                             .postal_code = text_of(message->postal_code),
                             .country = text_of(message->country),
                             .phone = text_of(message->phone),
                             .created_at = now,
                             .updated_at = now };
}

/* ---- all of it ---- */

static Users__AccountStep **steps_view(struct arena *arena, const struct account_step *steps,
                                       size_t count)
{
    Users__AccountStep **messages = arena_array(arena, Users__AccountStep *, count);
    for (size_t i = 0; i < count; i++) {
        messages[i] = message_new(arena, &users_account_step_spec);
        messages[i]->at = field_of_time(arena, steps[i].at);
        messages[i]->what = field_of(steps[i].what);
        messages[i]->reason = field_of(steps[i].reason);
    }
    return messages;
}

Users__Export *export_view(struct arena *arena, const struct export_parts *parts, time_us now)
{
    static const str elsewhere[] = { STR("/orders?limit=100") };
    enum { ELSEWHERE_COUNT = sizeof elsewhere / sizeof elsewhere[0] };
    Users__Export *export = message_new(arena, &users_export_spec);
    Users__AddressList *addresses =
        address_list_view(arena, parts->addresses, parts->addresses_count);
    Users__SessionList *sessions =
        session_list_view(arena, parts->sessions, parts->sessions_count, parts->session);
    export->made_at = field_of_time(arena, now);
    export->user = user_view(arena, parts->user);
    export->addresses = addresses->items;
    export->n_addresses = addresses->n_items;
    export->sessions = sessions->items;
    export->n_sessions = sessions->n_items;
    export->history = steps_view(arena, parts->steps, parts->steps_count);
    export->n_history = parts->steps_count;
    export->elsewhere = arena_array(arena, ProtobufCBinaryData, ELSEWHERE_COUNT);
    export->n_elsewhere = ELSEWHERE_COUNT;
    for (size_t i = 0; i < ELSEWHERE_COUNT; i++)
        export->elsewhere[i] = field_of(elsewhere[i]);
    return export;
}
