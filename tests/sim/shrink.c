#include "tests/sim/shrink.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

struct shrinking {
    struct fault *faults, *part;
    int count, tries_left;
    shrink_breaks *breaks;
    void *subject;
};

/* All but those from `from` up to `to`; true if that still breaks: then it is what there is. */
static bool leave_out(struct shrinking *shrinking, int from, int to)
{
    int left = 0;
    for (int i = 0; i < shrinking->count; i++)
        if (i < from || i >= to)
            shrinking->part[left++] = shrinking->faults[i];
    if (shrinking->tries_left-- <= 0 ||
        !shrinking->breaks(shrinking->subject, shrinking->part, left))
        return false;
    memcpy(shrinking->faults, shrinking->part, sizeof(struct fault) * (size_t)left);
    shrinking->count = left;
    return true;
}

/* Tries to leave out each of `parts` parts in turn; true if any could be. */
static bool leave_out_any(struct shrinking *shrinking, int parts)
{
    bool any = false;
    int size = (shrinking->count + parts - 1) / parts;
    for (int from = 0; from < shrinking->count && shrinking->tries_left > 0;) {
        int to = from + size < shrinking->count ? from + size : shrinking->count;
        if (leave_out(shrinking, from, to))
            any = true; /* what followed is at `from` now */
        else
            from = to;
    }
    return any;
}

int shrink(struct fault *faults, int count, int tries_max, shrink_breaks *breaks, void *subject)
{
    struct shrinking shrinking = { .faults = faults,
                                   .count = count,
                                   .tries_left = tries_max,
                                   .breaks = breaks,
                                   .subject = subject };
    shrinking.part = malloc(sizeof(struct fault) * (size_t)(count + 1));
    ASSERT(shrinking.part);
    int parts = 1; /* first: are any needed at all? */
    while (shrinking.count > 0 && shrinking.tries_left > 0) {
        bool any = leave_out_any(&shrinking, parts < shrinking.count ? parts : shrinking.count);
        if (!any && parts >= shrinking.count)
            break;
        parts = any && parts > 2 ? parts - 1 : parts * 2;
    }
    free(shrinking.part);
    return shrinking.count;
}
