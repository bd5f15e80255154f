#include "os/random.h"

#include "base/err.h"
#include "os/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum {
    RANDOM_BUFFER_BYTES = 1024, /* of each thread, at rest too */
    RANDOM_BUFFERED_MAX = 256,  /* what is larger goes to the kernel directly */
    SEQUENCE_BITS = 12
};

/* The kernel's bytes, fetched 1 KiB at a time: a system call an id would cost more than the id. A
 * byte is wiped when it is handed out, so that a key which was made cannot be read here later. */
static _Thread_local struct {
    unsigned char bytes[RANDOM_BUFFER_BYTES];
    size_t left; /* unused bytes, at the end */
} buffer;

static void kernel_bytes(unsigned char *out, size_t count)
{
    while (count > 0) {
        ssize_t got = getrandom(out, count, 0);
        if (got < 0 && errno == EINTR)
            continue;
        ASSERT(got > 0);
        out += got;
        count -= (size_t)got;
    }
}

static void machine_bytes(void *out, size_t count)
{
    if (count > RANDOM_BUFFERED_MAX) {
        kernel_bytes(out, count);
        return;
    }
    if (buffer.left < count) {
        kernel_bytes(buffer.bytes, sizeof(buffer.bytes));
        buffer.left = sizeof(buffer.bytes);
    }
    unsigned char *from = buffer.bytes + sizeof(buffer.bytes) - buffer.left;
    memcpy(out, from, count);
    explicit_bzero(from, count);
    buffer.left -= count;
}

const struct random_ops random_machine = { .bytes = &machine_bytes };

static const struct random_ops *random_now = &random_machine;

/* The time and sequence of the last id, in one word: Unix milliseconds << 12 | sequence. */
static uint64_t id_last;

void random_use(const struct random_ops *ops)
{
    ASSERT(ops && ops->bytes);
    random_now = ops;
    __atomic_store_n(&id_last, 0, __ATOMIC_RELAXED);
}

void random_bytes(void *out, size_t count)
{
    ASSERT(out || count == 0);
    if (count > 0)
        random_now->bytes(out, count);
}

uint64_t random_u64(void)
{
    uint64_t number;
    random_bytes(&number, sizeof(number));
    return number;
}

struct uuid id_new(void)
{
    time_us wall = clock_wall_us();
    ASSERT(wall >= 0);
    uint64_t now = (uint64_t)(wall / TIME_MS) << SEQUENCE_BITS;

    /* One more than the last, or now if that is later: a full millisecond borrows from the next,
     * and a clock that went back is waited for by counting on. */
    uint64_t last = __atomic_load_n(&id_last, __ATOMIC_RELAXED), next;
    do {
        next = last + 1 > now ? last + 1 : now;
    } while (!__atomic_compare_exchange_n(&id_last, &last, next, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));

    uint16_t sequence = (uint16_t)(next & ((1U << SEQUENCE_BITS) - 1));
    return uuid_v7((int64_t)(next >> SEQUENCE_BITS), sequence, random_u64());
}
