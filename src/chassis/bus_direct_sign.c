#include "base/crypto.h"
#include "chassis/bus_direct.h"

static str mac_of(struct arena *arena, str key, int64_t seconds, const struct direct_signed *what)
{
    struct text text = text_init(arena, 128 + what->body.len);
    text_add_format(&text, "%lld\n%" STR_F "\n", (long long)seconds, STR_A(what->path));
    text_add(&text, what->body);
    struct sha256 mac = hmac_sha256(key, text_str(&text));
    return hex(arena, str_of(mac.bytes, sizeof(mac.bytes)));
}

str direct_sign(struct arena *arena, str keys, time_us now, const struct direct_signed *what)
{
    ASSERT(arena && what && keys.len > 0);
    int64_t seconds = now / TIME_SECOND;
    str mac = mac_of(arena, str_cut(&keys, ','), seconds, what);
    return str_format(arena, "t=%lld,v1=%" STR_F, (long long)seconds, STR_A(mac));
}

bool direct_verify(struct arena *arena, str keys, time_us now, str signature,
                   const struct direct_signed *what)
{
    ASSERT(arena && what);
    int64_t seconds, now_s = now / TIME_SECOND;
    str mac = signature;
    str time = str_cut(&mac, ',');
    if (!str_starts(time, STR("t=")) || !mac.ptr || !str_starts(mac, STR("v1=")) ||
        !str_to_int64(str_slice(time, 2, SIZE_MAX), 0, INT32_MAX * INT64_C(1000), &seconds))
        return false;
    if (seconds < now_s - DIRECT_SKEW_S || seconds > now_s + DIRECT_SKEW_S)
        return false;
    mac = str_slice(mac, 3, SIZE_MAX);
    bool found = false;
    while (keys.ptr) {
        str key = str_cut(&keys, ',');
        found = (key.len > 0 && secret_equal(mac, mac_of(arena, key, seconds, what))) || found;
    }
    return found;
}
