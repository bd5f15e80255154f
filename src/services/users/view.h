/* From accounts to the contract's messages and back. Pure. Texts are borrowed: from what the
 * message is made of, or from the message. */
#pragma once
#include "chassis/auth.h"
#include "gen/users.h"
#include "services/users/address.h"
#include "services/users/api_key.h"
#include "services/users/session.h"
#include "services/users/user.h"

/* An account as it is shown: without its password. */
Users__User *user_view(struct arena *arena, const struct user *user);

/* A page of accounts; `next` is the cursor of the next page, or none. */
Users__UserList *user_list_view(struct arena *arena, const struct user *users, size_t count,
                                str next);

/* All that Users keeps of somebody. */
struct export_parts {
    const struct user *user;
    const struct address *addresses;
    const struct session *sessions;
    const struct account_step *steps;
    size_t addresses_count, sessions_count, steps_count;
    struct uuid session; /* the one that asks */
};
Users__Export *export_view(struct arena *arena, const struct export_parts *parts, time_us now);

/* The tokens of a session. */
Users__Tokens *tokens_view(struct arena *arena, str access_token, str refresh_token,
                           time_us access_ttl);

/* The sessions of an account; `current` is the one that asks. */
Users__SessionList *session_list_view(struct arena *arena, const struct session *sessions,
                                      size_t count, struct uuid current);

/* The keys that verify (RFC 7517, RFC 8037). */
Users__KeySet *key_set_view(struct arena *arena, const struct auth_key *keys, size_t count);
Users__Key **keys_view(struct arena *arena, const struct auth_key *keys, size_t count);

/* Revocations, for neighbours. */
Users__Revocation **revocations_view(struct arena *arena, const struct revocation *revocations,
                                     size_t count);

/* API keys; `secret` of one that was just made, or none. `next` is the cursor of the next page, or
 * none. */
Users__ApiKey *api_key_view(struct arena *arena, const struct api_key *key, str secret);
Users__ApiKeyList *api_key_list_view(struct arena *arena, const struct api_key *keys, size_t count,
                                     str next);

/* The bits of scopes, or FIELD_INVALID. */
err scopes_of(struct arena *arena, const Duka__Scope *scopes, size_t count, unsigned *out);

/* What neighbours are told of API keys. */
Users__KnownApiKey **known_api_keys_view(struct arena *arena, const struct api_key_known *keys,
                                         size_t count);

/* The one event of an account: it is gone. */
Users__UserErased *user_erased_event(struct arena *arena, struct uuid user);

/* Addresses, and back: the fields of the message under this id and account. */
Users__SavedAddress *address_view(struct arena *arena, const struct address *address);
Users__AddressList *address_list_view(struct arena *arena, const struct address *addresses,
                                      size_t count);
struct address address_of(const Duka__Address *message, struct uuid id, struct uuid user,
                          time_us now);

/* The bits of roles, or ROLE_INVALID. */
err roles_of(struct arena *arena, const Users__Role *roles, size_t count, unsigned *out);

/* The bit of one role; 0 for none. */
unsigned role_bit_of(Users__Role role);
