/* Numbers that a seed decides: xoshiro256**, seeded by splitmix64. */
#pragma once
#include <stdint.h>

struct stream {
    uint64_t words[4];
};

static inline uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline struct stream stream_of(uint64_t seed)
{
    struct stream stream;
    for (int i = 0; i < 4; i++)
        stream.words[i] = mix(seed += UINT64_C(0x9e3779b97f4a7c15));
    return stream;
}

static inline uint64_t rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline uint64_t stream_next(struct stream *stream)
{
    uint64_t *s = stream->words;
    uint64_t result = rotated(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotated(s[3], 45);
    return result;
}
