#include "chassis/sigv4.h"

#include "base/crypto.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { DAY_LEN = 8 };

str sigv4_date(struct arena *arena, time_us at)
{
    str text = time_text(arena, at); /* 2015-08-30T12:36:00… */
    return str_format(arena, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", text.ptr, text.ptr + 5, text.ptr + 8,
                      text.ptr + 11, text.ptr + 14, text.ptr + 17);
}

static str hex_of(struct arena *arena, struct sha256 digest)
{
    return hex(arena, str_of(digest.bytes, sizeof(digest.bytes)));
}

static str signed_names(struct arena *arena, const struct sigv4_request *request)
{
    struct text names = text_init(arena, 128);
    for (int i = 0; i < request->headers_count; i++) {
        ASSERT(i == 0 || str_compare(request->headers[i - 1].name, request->headers[i].name) < 0);
        if (i > 0)
            text_add_byte(&names, ';');
        text_add(&names, request->headers[i].name);
    }
    return text_str(&names);
}

static str canonical(struct arena *arena, const struct sigv4_request *request, str names)
{
    struct text text = text_init(arena, 512);
    text_add_format(&text, "%" STR_F "\n%" STR_F "\n\n", STR_A(request->method),
                    STR_A(request->path));
    for (int i = 0; i < request->headers_count; i++)
        text_add_format(&text, "%" STR_F ":%" STR_F "\n", STR_A(request->headers[i].name),
                        STR_A(str_trim(request->headers[i].value)));
    text_add_format(&text, "\n%" STR_F "\n%" STR_F, STR_A(names),
                    STR_A(hex_of(arena, sha256_of(request->body))));
    return text_str(&text);
}

static str str_of_digest(struct arena *arena, struct sha256 digest)
{
    return str_copy(arena, str_of(digest.bytes, sizeof(digest.bytes)));
}

static str signing_key(struct arena *arena, const struct sigv4_key *key, str day)
{
    str step = str_format(arena, "AWS4%" STR_F, STR_A(key->secret));
    step = str_of_digest(arena, hmac_sha256(step, day));
    step = str_of_digest(arena, hmac_sha256(step, key->region));
    step = str_of_digest(arena, hmac_sha256(step, key->service));
    return str_of_digest(arena, hmac_sha256(step, STR("aws4_request")));
}

str sigv4_sign(struct arena *arena, const struct sigv4_key *key,
               const struct sigv4_request *request, str date)
{
    ASSERT(arena && key && request && date.len > DAY_LEN);
    ASSERT(request->headers_count <= SIGV4_HEADERS_MAX);
    str day = str_slice(date, 0, DAY_LEN), names = signed_names(arena, request);
    str scope = str_format(arena, "%" STR_F "/%" STR_F "/%" STR_F "/aws4_request", STR_A(day),
                           STR_A(key->region), STR_A(key->service));
    str what = canonical(arena, request, names);
    str to_sign = str_format(arena, ALGORITHM "\n%" STR_F "\n%" STR_F "\n%" STR_F, STR_A(date),
                             STR_A(scope), STR_A(hex_of(arena, sha256_of(what))));
    struct sha256 signature = hmac_sha256(signing_key(arena, key, day), to_sign);
    return str_format(arena,
                      ALGORITHM " Credential=%" STR_F "/%" STR_F ", SignedHeaders=%" STR_F
                                ", Signature=%" STR_F,
                      STR_A(key->id), STR_A(scope), STR_A(names), STR_A(hex_of(arena, signature)));
}
