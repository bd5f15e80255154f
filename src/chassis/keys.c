#include "chassis/keys.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/random.h"
#include "os/sync.h"

enum { KEY_FILE_BYTES_MAX = 200 };

/* A key and since when it is told to others; 0: it was there at the start. */
struct held_key {
    struct signing_key key;
    time_us known_since;
};

struct keyring {
    struct held_key held[AUTH_KEYS_MAX]; /* by name */
    size_t count;
};

struct keys {
    struct lock lock; /* over the ring */
    struct arena *arena;
    str folder;
    struct keyring ring;
};

static bool is_kid(str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (!is_letter && !(byte >= '0' && byte <= '9') && byte != '.' && byte != '-' &&
            byte != '_')
            return false;
    }
    return name.len > 0 && name.len <= JWT_KID_MAX;
}

static err key_read(struct arena *arena, str folder, str name, struct signing_key *out)
{
    str path = str_format(arena, "%" STR_F "/%" STR_F, STR_A(folder), STR_A(name));
    if (!is_kid(name))
        return fail(arena, SETTING_INVALID,
                    "%" STR_F ": the name of a key has at most %d of A-Z a-z 0-9 . _ -",
                    STR_A(path), JWT_KID_MAX);

    str content, seed;
    TRY(disk_read(arena, path, KEY_FILE_BYTES_MAX, &content));
    if (!base64url_parse(arena, str_trim(content), &seed) || seed.len != ED25519_SEED_BYTES)
        return fail(arena, SETTING_INVALID,
                    "%" STR_F ": a key is a seed of %d bytes in base64url (43 characters)",
                    STR_A(path), ED25519_SEED_BYTES);

    *out = (struct signing_key){ .pair = ed25519_of_seed((const uint8_t *)seed.ptr) };
    memcpy(out->kid, name.ptr, name.len);
    return OK;
}

static err ring_read(struct arena *arena, str folder, struct keyring *out)
{
    str *names;
    size_t names_count;
    TRY(disk_list(arena, folder, &names, &names_count));

    struct keyring ring = { .count = 0 };
    for (size_t i = 0; i < names_count; i++) {
        if (str_starts(names[i], STR(".")))
            continue;
        if (ring.count == AUTH_KEYS_MAX)
            return fail(arena, SETTING_INVALID, "%" STR_F ": at most %d keys; remove the oldest",
                        STR_A(folder), AUTH_KEYS_MAX);
        TRY(key_read(arena, folder, names[i], &ring.held[ring.count].key));
        ring.count++;
    }
    *out = ring;
    return OK;
}

/* Named by the time, so that the next one is greater: "20260131T093000Z-1f0c9a2b". */
static str name_new(struct arena *arena, time_us now)
{
    uint32_t tail;
    random_bytes(&tail, sizeof tail);
    str at = time_text(arena, now / TIME_SECOND * TIME_SECOND);
    struct text name = text_init(arena, 32);
    for (size_t i = 0; i < at.len; i++)
        if (at.ptr[i] != '-' && at.ptr[i] != ':')
            text_add_byte(&name, at.ptr[i]);
    text_add_format(&name, "-%08x", tail);
    return text_str(&name);
}

/* When a key with such a name was made; false where somebody else has named it. */
static bool made_at(struct arena *arena, const char *kid, time_us *out)
{
    enum { DATE = 8, TIME = 6, WHOLE = 25 };
    str name = str_of_z(kid);
    if (name.len != WHOLE || name.ptr[DATE] != 'T' || name.ptr[DATE + 1 + TIME] != 'Z' ||
        name.ptr[DATE + 2 + TIME] != '-')
        return false;
    const char *n = name.ptr;
    return time_parse(
        str_format(arena, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", n, n + 4, n + 6, n + 9, n + 11, n + 13),
        out);
}

static err key_make(struct arena *arena, str folder, str name)
{
    uint8_t seed[ED25519_SEED_BYTES];
    random_bytes(seed, sizeof seed);
    str path = str_format(arena, "%" STR_F "/%" STR_F, STR_A(folder), STR_A(name));
    str content =
        str_format(arena, "%" STR_F "\n", STR_A(base64url(arena, str_of(seed, sizeof seed))));
    TRY(disk_make_dirs(arena, folder));
    return disk_write(arena, path, content, 0600);
}

static err ring_read_first(struct arena *arena, str folder, bool makes_first, struct keyring *out)
{
    bool exists = disk_exists(arena, folder);
    out->count = 0;
    if (exists)
        TRY(ring_read(arena, folder, out));
    if (out->count == 0 && !makes_first)
        return fail(arena, SETTING_INVALID,
                    "KEYS_DIR=%" STR_F " %s: put a file there that holds 32 random bytes in "
                    "base64url, or, on SQLite, unset KEYS_DIR to have a key made",
                    STR_A(folder), exists ? "holds no key" : "does not exist");
    if (out->count == 0) {
        TRY(key_make(arena, folder, name_new(arena, clock_wall_us())));
        TRY(ring_read(arena, folder, out));
    }
    return OK;
}

str keys_folder(struct arena *arena, const struct conf *conf)
{
    ASSERT(arena && conf);
    str folder = conf_text(conf, CONF_KEYS_DIR);
    return folder.len > 0
               ? folder
               : str_format(arena, "%" STR_F "/keys", STR_A(conf_text(conf, CONF_DATA_DIR)));
}

err keys_open(struct arena *arena, str folder, bool makes_first, struct keys **out)
{
    ASSERT(arena && out && folder.len > 0);

    struct keyring ring;
    TRY(ring_read_first(arena, folder, makes_first, &ring));

    struct arena *own = arena_open(sizeof(struct keys) + folder.len + 4096);
    struct keys *keys = arena_new(own, struct keys);
    lock_init(&keys->lock);
    keys->arena = own;
    keys->folder = str_copy(own, folder);
    keys->ring = ring;
    *out = keys;
    return OK;
}

void keys_close(struct keys *keys)
{
    if (!keys)
        return;
    lock_done(&keys->lock);
    arena_close(keys->arena);
}

/* Since when the key has been known: from before, if it is the same one. */
static time_us known_since(const struct keyring *before, const struct signing_key *key, time_us now)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct held_key *held = &before->held[i];
        if (strcmp(held->key.kid, key->kid) == 0 &&
            memcmp(held->key.pair.public, key->pair.public, ED25519_PUBLIC_BYTES) == 0)
            return held->known_since;
    }
    return now;
}

err keys_reload(struct keys *keys, struct arena *arena, time_us now)
{
    ASSERT(keys && arena);

    struct keyring ring;
    TRY(ring_read(arena, keys->folder, &ring));
    if (ring.count == 0)
        return fail(arena, SETTING_INVALID,
                    "%" STR_F " holds no key any more; those from before stay",
                    STR_A(keys->folder));

    lock_take(&keys->lock);
    for (size_t i = 0; i < ring.count; i++)
        ring.held[i].known_since = known_since(&keys->ring, &ring.held[i].key, now);
    keys->ring = ring;
    lock_drop(&keys->lock);
    return OK;
}

/* ---- rotation ---- */

static err key_remove(struct arena *arena, str folder, const char *kid)
{
    return disk_remove(arena, str_format(arena, "%" STR_F "/%s", STR_A(folder), kid));
}

/* A name that is greater than the greatest: of the next second where that is of this one. */
static err name_after(struct arena *arena, const struct keyring *ring, str folder, time_us now,
                      str *out)
{
    str greatest = str_of_z(ring->held[ring->count - 1].key.kid);
    *out = name_new(arena, now);
    if (str_compare(*out, greatest) <= 0)
        *out = name_new(arena, now + TIME_SECOND);
    if (str_compare(*out, greatest) > 0)
        return OK;
    return fail(arena, SETTING_INVALID,
                "%" STR_F "/%" STR_F " has the name of a later time: a new key would not sign",
                STR_A(folder), STR_A(greatest));
}

err keys_rotate(struct keys *keys, struct arena *arena, bool drops_others, time_us now,
                struct signing_key *made)
{
    ASSERT(keys && arena && made);

    struct keyring ring;
    str name;
    TRY(ring_read(arena, keys->folder, &ring));
    if (ring.count == 0 || (ring.count == AUTH_KEYS_MAX && !drops_others))
        return fail(arena, SETTING_INVALID, "%" STR_F " holds %zu keys, of at most %d",
                    STR_A(keys->folder), ring.count, AUTH_KEYS_MAX);
    TRY(name_after(arena, &ring, keys->folder, now, &name));
    TRY(key_make(arena, keys->folder, name));
    for (size_t i = 0; drops_others && i < ring.count; i++)
        TRY(key_remove(arena, keys->folder, ring.held[i].key.kid));
    TRY(key_read(arena, keys->folder, name, made));
    return keys_reload(keys, arena, now);
}

err keys_retire(struct keys *keys, struct arena *arena, time_us now, size_t *removed)
{
    ASSERT(keys && arena && removed);

    lock_take(&keys->lock);
    struct keyring ring = keys->ring;
    lock_drop(&keys->lock);
    *removed = 0;
    for (size_t i = 0; i + 1 < ring.count; i++) {
        time_us own, next;
        if (!made_at(arena, ring.held[i].key.kid, &own) ||
            !made_at(arena, ring.held[i + 1].key.kid, &next) ||
            now - next < KEYS_RETIRED_S * TIME_SECOND)
            continue;
        TRY(key_remove(arena, keys->folder, ring.held[i].key.kid));
        ++*removed;
    }
    return *removed > 0 ? keys_reload(keys, arena, now) : OK;
}

/* ---- asking ---- */

struct signing_key keys_newest(struct keys *keys, time_us now)
{
    ASSERT(keys);

    lock_take(&keys->lock);
    size_t at = keys->ring.count - 1;
    while (at > 0 && keys->ring.held[at].known_since + KEYS_GRACE_S * TIME_SECOND > now)
        at--;
    struct signing_key key = keys->ring.held[at].key;
    lock_drop(&keys->lock);
    return key;
}

size_t keys_verifying(struct keys *keys, struct auth_key out[AUTH_KEYS_MAX])
{
    ASSERT(keys && out);

    lock_take(&keys->lock);
    size_t count = keys->ring.count;
    for (size_t i = 0; i < count; i++) {
        const struct signing_key *key = &keys->ring.held[i].key;
        memcpy(out[i].kid, key->kid, sizeof out[i].kid);
        memcpy(out[i].public, key->pair.public, sizeof out[i].public);
    }
    lock_drop(&keys->lock);
    return count;
}
