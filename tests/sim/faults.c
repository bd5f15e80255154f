#include "tests/sim/faults.h"

#include "base/err.h"
#include "tests/sim/story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[FAULT_KINDS_COUNT] = {
    [FAULT_BUS_LATE] = "bus-late",
    [FAULT_BUS_LOST] = "bus-lost",
    [FAULT_BUS_TWICE] = "bus-twice",
    [FAULT_BUS_CUT] = "bus-cut",
    [FAULT_PEER_AWAY] = "peer-away",
    [FAULT_PEER_LATE] = "peer-late",
    [FAULT_PEER_ANSWER_LOST] = "peer-answer-lost",
    [FAULT_PEER_CUT] = "peer-cut",
    [FAULT_KILL] = "kill",
    [FAULT_KILL_AGAIN] = "kill-again",
    [FAULT_RESTART] = "restart",
    [FAULT_WALL_JUMP] = "wall-jump",
    [FAULT_DRIFT] = "drift",
    [FAULT_DISK_FULL] = "disk-full",
    [FAULT_DISK_BREAK] = "disk-break",
    [FAULT_DISK_CUT] = "disk-cut",
    [FAULT_SWIZZLE] = "swizzle",
    [FAULT_REFUSED] = "refused",
};

static struct {
    uint64_t seed;
    int places[FAULT_KINDS_COUNT];
    bool is_chosen; /* only some */
    struct fault only[FAULTS_TOLD_MAX];
    int only_count;
    struct fault struck[FAULTS_TOLD_MAX];
    int struck_count;
    uint64_t last; /* the numbers of the one that struck last begin here */
} faults;

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* ---- names ---- */

void fault_name(struct fault fault, char out[FAULT_NAME_BYTES])
{
    snprintf(out, FAULT_NAME_BYTES, "%s:%d", names[fault.kind], fault.number);
}

bool fault_of_name(const char *name, struct fault *out)
{
    const char *colon = strchr(name, ':');
    char *end = NULL;
    if (!colon)
        return false;
    for (int kind = 0; kind < FAULT_KINDS_COUNT; kind++) {
        size_t len = strlen(names[kind]);
        if ((size_t)(colon - name) != len || strncmp(names[kind], name, len) != 0)
            continue;
        long number = strtol(colon + 1, &end, 10);
        *out = (struct fault){ (enum fault_kind)kind, (int)number };
        return end != colon + 1 && number >= 0;
    }
    return false;
}

/* ---- what strikes ---- */

static void choose_only(const char *only)
{
    char name[FAULT_NAME_BYTES];
    faults.is_chosen = true;
    if (strcmp(only, "none") == 0)
        return;
    for (int len = 0; sscanf(only, " %31s%n", name, &len) == 1; only += len) {
        ASSERT(faults.only_count < FAULTS_TOLD_MAX);
        bool is_name = fault_of_name(name, &faults.only[faults.only_count++]);
        ASSERT(is_name);
    }
}

void faults_open(uint64_t seed, const char *only)
{
    memset(&faults, 0, sizeof faults);
    faults.seed = mix(seed ^ UINT64_C(0x6661756c74));
    if (only)
        choose_only(only);
}

static bool may_strike(enum fault_kind kind, int number)
{
    for (int i = 0; i < faults.only_count; i++)
        if (faults.only[i].kind == kind && faults.only[i].number == number)
            return true;
    return !faults.is_chosen;
}

bool fault_strikes(enum fault_kind kind, int one_in)
{
    if (one_in == 0)
        return false;
    int number = faults.places[kind]++;
    uint64_t chance = mix(faults.seed ^ mix((uint64_t)kind << 32 | (uint64_t)number));
    if (chance % (uint64_t)one_in != 0 || !may_strike(kind, number))
        return false;
    faults.last = mix(chance);
    if (faults.struck_count < FAULTS_TOLD_MAX)
        faults.struck[faults.struck_count++] = (struct fault){ kind, number };
    story_tell("! %s:%d", names[kind], number);
    return true;
}

int64_t fault_number(int n, int64_t below)
{
    return below > 0 ? (int64_t)(mix(faults.last + (uint64_t)n) % (uint64_t)below) : 0;
}

const struct fault *faults_struck(int *count)
{
    *count = faults.struck_count;
    return faults.struck;
}

void faults_tell(int fd)
{
    dprintf(fd, "FAULTS");
    for (int i = 0; i < faults.struck_count; i++)
        dprintf(fd, " %s:%d", names[faults.struck[i].kind], faults.struck[i].number);
    dprintf(fd, "\n");
}
