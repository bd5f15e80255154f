/* Quotas that several processes share, kept in Redis as token buckets. A thread of its own asks for
 * slices of them; whoever asks goes on, and looks for the answers in memory when it next comes by.
 *
 * While Redis does not answer, nothing is taken, the log has said so once, and the metric
 * duka_rate_limits_shared is 0: whoever asks must do without. */
#pragma once
#include "chassis/conf.h"

enum { QUOTA_KEY_BYTES_MAX = 24, QUOTA_ASKS_MAX = 1024 };

struct quota_ask {
    uint8_t key[QUOTA_KEY_BYTES_MAX];
    int key_len;
    int64_t owed; /* was taken already, whether there is something or not */
    int64_t wants;
    int64_t quota, window_us; /* of the whole bucket */
};

struct quota_told {
    struct quota_ask ask;
    bool known; /* false: Redis did not answer; whether it heard is not known */
    int64_t granted, remaining;
    int64_t wait_us; /* until one comes back, where nothing remains */
};

struct quota_share;

/* By the settings LIMITS_REDIS_…; *out is NULL where LIMITS_REDIS_URL is empty. Fails with
 * SETTING_INVALID. A Redis that is away does not keep it from being opened. The caller closes. */
err quota_share_open(struct arena *arena, const struct conf *conf, struct quota_share **out);

/* Whether Redis answers, as far as is known. */
bool quota_share_is_there(const struct quota_share *share);

/* Hands over an asking. False where it is away or there is no room. Never waits. */
bool quota_share_ask(struct quota_share *share, const struct quota_ask *ask);

/* Takes answers that have come, at most `max`; cheap where there are none. */
int quota_share_take(struct quota_share *share, struct quota_told *told, int max);

/* Ends its thread. Accepts NULL. */
void quota_share_close(struct quota_share *share);
