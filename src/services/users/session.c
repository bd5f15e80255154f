#include "services/users/session.h"
#include "base/text.h"

str session_agent_of(str header)
{
    if (!header.ptr || !utf8_valid(header) || text_has_control(header, false))
        return STR("");
    return utf8_head(header, SESSION_AGENT_BYTES_MAX);
}

struct session session_begin(struct uuid id, struct uuid user, time_us now, time_us ttl)
{
    ASSERT(!uuid_is_nil(id) && !uuid_is_nil(user));
    ASSERT(now > 0 && ttl > 0);
    return (struct session){ .id = id,
                             .user = user,
                             .user_agent = STR(""),
                             .created_at = now,
                             .used_at = now,
                             .expires_at = now + ttl };
}

enum refresh_verdict refresh_judge(const struct refresh *refresh, time_us now)
{
    ASSERT(refresh);

    if (refresh->session_ended_at != 0)
        return REFRESH_GONE; /* has ended, for this or for another reason: there is nothing left to
                                end */
    if (refresh->spent_at != 0)
        return REFRESH_REUSED;
    return refresh->expires_at <= now ? REFRESH_GONE : REFRESH_GOOD;
}

str refresh_token_of(struct arena *arena, const uint8_t bytes[REFRESH_TOKEN_BYTES])
{
    return base64url(arena, str_of(bytes, REFRESH_TOKEN_BYTES));
}

bool refresh_token_hash(struct arena *arena, str token, struct sha256 *out)
{
    str bytes;
    if (!base64url_parse(arena, token, &bytes) || bytes.len != REFRESH_TOKEN_BYTES)
        return false;
    *out = sha256_of(bytes);
    return true;
}
