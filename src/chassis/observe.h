/* What this program exports by its settings: traces, logs and metrics (OTEL_…). */
#pragma once
#include "chassis/conf.h"

struct observe;

/* Opens the exporters that are set, and begins to record for them; *out is NULL where there are
 * none. `program` is whose log it is ("orders", or "shop"), of static storage. Before other threads
 * run. Fails with SETTING_INVALID naming the setting. */
err observe_open(struct arena *arena, const struct conf *conf, const char *program,
                 struct observe **out);

/* Ends recording and sends what is left, for two seconds at most. After other threads have ended.
 * Accepts NULL. */
void observe_close(struct observe *observe);
