#include "chassis/proxies.h"

#include <arpa/inet.h>
#include <string.h>

enum {
    V4_PREFIX_BYTES = 12,
    V4_PREFIX_BITS = 96,
    V4_BITS = 32,
    V6_BITS = 128,
    V6_CUSTOMER_BYTES = 8
};

static const uint8_t V4_PREFIX[V4_PREFIX_BYTES] = { [10] = 0xff, [11] = 0xff };

/* ---- Addresses ---- */

bool address_parse(str text, struct address *out)
{
    char z[INET6_ADDRSTRLEN];
    struct address address;

    if (text.len == 0 || text.len >= sizeof(z))
        return false;
    memcpy(z, text.ptr, text.len);
    z[text.len] = '\0';
    if (strlen(z) != text.len)
        return false;

    if (inet_pton(AF_INET, z, address.bytes + V4_PREFIX_BYTES) == 1)
        memcpy(address.bytes, V4_PREFIX, sizeof(V4_PREFIX));
    else if (inet_pton(AF_INET6, z, address.bytes) != 1)
        return false;
    *out = address;
    return true;
}

bool address_is_v4(const struct address *address)
{
    ASSERT(address);
    return memcmp(address->bytes, V4_PREFIX, sizeof(V4_PREFIX)) == 0;
}

bool address_of_customer(str text, struct address *out)
{
    if (!address_parse(text, out))
        return false;
    if (!address_is_v4(out))
        memset(out->bytes + V6_CUSTOMER_BYTES, 0, ADDRESS_BYTES - V6_CUSTOMER_BYTES);
    return true;
}

/* A multiply and fold of 64 bits (as in wyhash). */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t address_hash(const uint8_t bytes[ADDRESS_BYTES], uint64_t seed, uint64_t salt)
{
    uint64_t parts[2];
    memcpy(parts, bytes, sizeof parts);
    uint64_t hash = fold(parts[0] ^ seed, parts[1] ^ UINT64_C(0x9e3779b97f4a7c15));
    return fold(hash ^ seed ^ salt, UINT64_C(0xd6e8feb86659fd93));
}

/* ---- Trusted proxies ---- */

static bool has_bits_below(const struct address *address, int bits)
{
    for (int i = bits; i < V6_BITS; i++)
        if (address->bytes[i / 8] & (0x80 >> i % 8))
            return true;
    return false;
}

static err range_parse(struct arena *arena, str text, struct proxy_range *out)
{
    str rest = text, part = str_cut(&rest, '/');
    int64_t bits;

    if (!address_parse(part, &out->first))
        return fail(arena, SETTING_INVALID,
                    "TRUSTED_PROXIES: \"%" STR_F "\" is no address; give CIDRs such as 10.0.0.0/8",
                    STR_A(text));
    int bits_max = address_is_v4(&out->first) && str_find_byte(part, '.') >= 0 ? V4_BITS : V6_BITS;
    bits = bits_max;
    if (rest.ptr && !str_to_int64(rest, 0, bits_max, &bits))
        return fail(arena, SETTING_INVALID,
                    "TRUSTED_PROXIES: \"%" STR_F "\" needs a length from 0 to %d behind the slash",
                    STR_A(text), bits_max);
    out->bits = (int)bits + (V6_BITS - bits_max);
    if (has_bits_below(&out->first, out->bits))
        return fail(arena, SETTING_INVALID,
                    "TRUSTED_PROXIES: \"%" STR_F "\" has bits set behind its length", STR_A(text));
    return OK;
}

err proxies_parse(struct arena *arena, str text, struct proxies *out)
{
    ASSERT(arena && out);

    struct proxy_range *ranges = arena_array(arena, struct proxy_range, PROXIES_MAX);
    int count = 0;
    for (str rest = text, part; rest.ptr && (part = str_trim(str_cut(&rest, ',')), true);) {
        if (part.len == 0)
            continue;
        if (count == PROXIES_MAX)
            return fail(arena, SETTING_INVALID, "TRUSTED_PROXIES holds at most %d", PROXIES_MAX);
        TRY(range_parse(arena, part, &ranges[count]));
        count++;
    }
    *out = (struct proxies){ .ranges = ranges, .count = count };
    return OK;
}

static bool range_has(const struct proxy_range *range, const struct address *address)
{
    size_t whole = (size_t)range->bits / 8;
    int left = range->bits % 8;

    if (memcmp(range->first.bytes, address->bytes, whole) != 0)
        return false;
    return left == 0 || ((range->first.bytes[whole] ^ address->bytes[whole]) >> (8 - left)) == 0;
}

bool proxies_have(const struct proxies *proxies, const struct address *address)
{
    ASSERT(proxies && address);

    for (int i = 0; i < proxies->count; i++)
        if (range_has(&proxies->ranges[i], address))
            return true;
    return false;
}

bool proxies_have_text(const struct proxies *proxies, str text)
{
    struct address address;
    ASSERT(proxies);
    return proxies->count > 0 && address_parse(text, &address) && proxies_have(proxies, &address);
}

/* ---- The client ---- */

/* "192.0.2.1:4711" and "[2001:db8::1]:4711" without the port and the brackets. */
static str without_port(str text)
{
    if (text.len > 0 && text.ptr[0] == '[') {
        ptrdiff_t end = str_find_byte(text, ']');
        return end < 0 ? text : str_slice(text, 1, (size_t)end - 1);
    }
    ptrdiff_t colon = str_find_byte(text, ':');
    bool is_one = colon > 0 && str_find_byte(str_slice(text, (size_t)colon + 1, text.len), ':') < 0;
    return is_one ? str_slice(text, 0, (size_t)colon) : text;
}

/* Takes the last element of a list; false where there is none left. */
static bool cut_last(str *list, str *out)
{
    if (!list->ptr)
        return false;

    size_t at = list->len;
    while (at > 0 && list->ptr[at - 1] != ',')
        at--;
    *out = str_trim(str_slice(*list, at, list->len));
    *list = at > 0 ? str_slice(*list, 0, at - 1) : STR_NONE;
    return true;
}

str client_address_of(const struct proxies *proxies, const struct request *request)
{
    ASSERT(proxies && request);

    str client = request->peer_address, part;
    struct address address;
    if (!proxies_have_text(proxies, client))
        return client;

    /* Several headers are one list; the last header is the right end. */
    for (int i = request->headers_count - 1; i >= 0; i--) {
        if (!str_equal(request->headers[i].name, STR("x-forwarded-for")))
            continue;
        for (str list = request->headers[i].value; cut_last(&list, &part);) {
            part = without_port(part);
            if (!address_parse(part, &address))
                return client; /* who wrote this cannot be believed: the last known one */
            client = part;
            if (!proxies_have(proxies, &address))
                return client;
        }
    }
    return client;
}

/* "/users", "/shop/v1": whole segments of plain characters. */
static bool is_prefix(str text)
{
    if (text.len < 2 || text.len > PREFIX_MAX || text.ptr[0] != '/')
        return false;
    for (size_t i = 1; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!is_plain && (c != '/' || text.ptr[i - 1] == '/' || i + 1 == text.len))
            return false;
    }
    return true;
}

void forwarded_prefix_restore(const struct proxies *proxies, struct request *request)
{
    ASSERT(proxies && request);

    static const str name = { "x-forwarded-prefix", 18 };
    str prefix = request_header(request, name);

    if (!prefix.ptr)
        return;
    if (is_prefix(prefix) && proxies_have_text(proxies, request->peer_address))
        request->path = str_equal(request->path, STR("/"))
                            ? prefix
                            : str_format(request->arena, "%" STR_F "%" STR_F, STR_A(prefix),
                                         STR_A(request->path));
    request_header_drop(request, name);
}

void internal_headers_drop(struct request *request)
{
    ASSERT(request);

    int kept = 0;
    for (int i = 0; i < request->headers_count; i++)
        if (!str_starts(request->headers[i].name, STR("x-duka-")))
            request->headers[kept++] = request->headers[i];
    request->headers_count = kept;
}
