#include "base/uuid.h"
#include "base/arena.h"
#include "base/crypto.h"
#include "base/err.h"

static bool is_hyphen_at(size_t at) { return at == 8 || at == 13 || at == 18 || at == 23; }

bool uuid_is_nil(struct uuid id) { return uuid_equal(id, (struct uuid){ 0 }); }

bool uuid_equal(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

int uuid_compare(struct uuid a, struct uuid b) { return memcmp(a.bytes, b.bytes, sizeof a.bytes); }

static int nibble_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool uuid_parse(str text, struct uuid *out)
{
    ASSERT(out);

    if (text.len != UUID_TEXT_LEN)
        return false;

    struct uuid id;
    size_t byte = 0;
    for (size_t i = 0; i < UUID_TEXT_LEN; i++) {
        if (is_hyphen_at(i)) {
            if (text.ptr[i] != '-')
                return false;
            continue;
        }
        int high = nibble_of(text.ptr[i]), low = nibble_of(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        id.bytes[byte++] = (uint8_t)(high << 4 | low);
        i++;
    }
    *out = id;
    return true;
}

void uuid_write(struct uuid id, char out[UUID_TEXT_LEN])
{
    static const char DIGITS[] = "0123456789abcdef";
    static const uint8_t PLACES[] = { 0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34 };
    _Static_assert(sizeof PLACES == sizeof id.bytes, "one for each byte");

    ASSERT(out);
    for (size_t i = 0; i < sizeof PLACES; i++) {
        out[PLACES[i]] = DIGITS[id.bytes[i] >> 4];
        out[PLACES[i] + 1] = DIGITS[id.bytes[i] & 15];
    }
    out[8] = out[13] = out[18] = out[23] = '-';
}

str uuid_text(struct arena *arena, struct uuid id)
{
    char *text = arena_alloc(arena, UUID_TEXT_LEN, 1);

    uuid_write(id, text);
    return str_of(text, UUID_TEXT_LEN);
}

static void set_version(struct uuid *id, uint8_t version)
{
    id->bytes[6] = (uint8_t)(version << 4 | (id->bytes[6] & 0x0f));
    id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3f)); /* the variant of RFC 9562 */
}

struct uuid uuid_v7(int64_t unix_ms, uint16_t sequence, uint64_t random)
{
    ASSERT(unix_ms >= 0 && unix_ms < INT64_C(1) << 48);
    ASSERT(sequence < 1 << 12);

    struct uuid id;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(unix_ms >> (40 - 8 * i));
    id.bytes[6] = (uint8_t)(sequence >> 8);
    id.bytes[7] = (uint8_t)sequence;
    for (int i = 0; i < 8; i++)
        id.bytes[8 + i] = (uint8_t)(random >> (56 - 8 * i));
    set_version(&id, 7);
    return id;
}

int64_t uuid_v7_ms(struct uuid id)
{
    int64_t unix_ms = 0;

    for (size_t i = 0; i < 6; i++)
        unix_ms = unix_ms << 8 | id.bytes[i];
    return unix_ms;
}

struct uuid uuid_of_name(str space, str name)
{
    /* Digests of both, so that no two pairs run together into the same bytes. */
    struct sha256 parts[2] = { sha256_of(space), sha256_of(name) };
    struct sha256 whole = sha256_of(str_of(parts, sizeof parts));
    struct uuid id;

    memcpy(id.bytes, whole.bytes, sizeof id.bytes);
    set_version(&id, 8);
    return id;
}
