#include "chassis/protobuf.h"

#include "base/err.h"

enum { TYPE_FIXED64 = 1, TYPE_FIXED32 = 5, TYPE_BITS = 3, VARINT_BYTES_MAX = 10 };

static bool take_varint(str *rest, uint64_t *out)
{
    uint64_t number = 0;

    for (size_t i = 0; i < rest->len && i < VARINT_BYTES_MAX; i++) {
        unsigned char byte = (unsigned char)rest->ptr[i];
        number |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *rest = str_of(rest->ptr + i + 1, rest->len - i - 1);
        *out = number;
        return true;
    }
    return false;
}

static bool take_bytes(str *rest, uint64_t len, str *out)
{
    if (len > rest->len)
        return false;
    *out = str_of(rest->ptr, (size_t)len);
    *rest = str_of(rest->ptr + len, rest->len - (size_t)len);
    return true;
}

enum protobuf_read protobuf_next(str *rest, struct protobuf_field *out)
{
    ASSERT(rest && out);
    uint64_t key, len;
    str passed;

    while (rest->len > 0) {
        if (!take_varint(rest, &key) || key >> TYPE_BITS == 0 || key > UINT32_MAX)
            return PROTOBUF_BROKEN;
        *out = (struct protobuf_field){ .number = (uint32_t)(key >> TYPE_BITS) };
        switch (key & ((1U << TYPE_BITS) - 1)) {
        case PROTOBUF_NUMBER:
            return take_varint(rest, &out->value) ? PROTOBUF_FIELD : PROTOBUF_BROKEN;
        case PROTOBUF_BYTES:
            out->type = PROTOBUF_BYTES;
            return take_varint(rest, &len) && take_bytes(rest, len, &out->bytes) ? PROTOBUF_FIELD
                                                                                 : PROTOBUF_BROKEN;
        case TYPE_FIXED64:
            if (!take_bytes(rest, sizeof(uint64_t), &passed))
                return PROTOBUF_BROKEN;
            break;
        case TYPE_FIXED32:
            if (!take_bytes(rest, sizeof(uint32_t), &passed))
                return PROTOBUF_BROKEN;
            break;
        default: return PROTOBUF_BROKEN;
        }
    }
    return PROTOBUF_END;
}

bool protobuf_find(str message, uint32_t number, str *out)
{
    ASSERT(out);
    struct protobuf_field field;
    enum protobuf_read read;

    *out = STR("");
    while ((read = protobuf_next(&message, &field)) == PROTOBUF_FIELD)
        if (field.number == number && field.type == PROTOBUF_BYTES)
            *out = field.bytes;
    return read == PROTOBUF_END;
}

/* ---- Writing ---- */

static inline void varint_add(struct text *out, uint64_t number)
{
    text_reserve(out, VARINT_BYTES_MAX);
    char *at = out->ptr + out->len;
    for (; number >= 0x80; number >>= 7)
        *at++ = (char)(number | 0x80);
    *at++ = (char)number;
    out->len = (size_t)(at - out->ptr);
}

void protobuf_add_number(struct text *out, uint32_t field, uint64_t number)
{
    ASSERT(out && field > 0);
    varint_add(out, (uint64_t)field << TYPE_BITS | PROTOBUF_NUMBER);
    varint_add(out, number);
}

void protobuf_add_bytes(struct text *out, uint32_t field, str bytes)
{
    ASSERT(out && field > 0);
    varint_add(out, (uint64_t)field << TYPE_BITS | PROTOBUF_BYTES);
    varint_add(out, bytes.len);
    text_add(out, bytes);
}

/* Little-endian, whatever the machine is. */
static void fixed_add(struct text *out, uint64_t number, int bytes)
{
    text_reserve(out, (size_t)bytes);
    for (int i = 0; i < bytes; i++)
        out->ptr[out->len + (size_t)i] = (char)(number >> (8 * i));
    out->len += (size_t)bytes;
}

void protobuf_add_fixed64(struct text *out, uint32_t field, uint64_t number)
{
    ASSERT(out && field > 0);
    varint_add(out, (uint64_t)field << TYPE_BITS | TYPE_FIXED64);
    fixed_add(out, number, 8);
}

void protobuf_add_fixed32(struct text *out, uint32_t field, uint32_t number)
{
    ASSERT(out && field > 0);
    varint_add(out, (uint64_t)field << TYPE_BITS | TYPE_FIXED32);
    fixed_add(out, number, 4);
}

enum { LENGTH_BYTES = 4, LENGTH_BITS = 7 };

size_t protobuf_begin(struct text *out, uint32_t field)
{
    ASSERT(out && field > 0);
    varint_add(out, (uint64_t)field << TYPE_BITS | PROTOBUF_BYTES);
    text_reserve(out, LENGTH_BYTES);
    out->len += LENGTH_BYTES;
    return out->len;
}

void protobuf_end(struct text *out, size_t mark)
{
    ASSERT(out && mark >= LENGTH_BYTES && mark <= out->len);
    size_t len = out->len - mark;
    ASSERT(len >> (LENGTH_BYTES * LENGTH_BITS) == 0);
    for (int i = 0; i < LENGTH_BYTES; i++)
        out->ptr[mark - LENGTH_BYTES + (size_t)i] =
            (char)((len >> (LENGTH_BITS * i) & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
}
