#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"
#include "tests/lib/test.h"

enum { THREADS = 4, IDS_EACH = 5000 };

static time_us wall_now;

static int64_t mono_zero(void) { return 0; }
static time_us wall_set(void) { return wall_now; }
static const struct clock_ops clock_set = { .mono_us = &mono_zero, .wall_us = &wall_set };

static unsigned char byte_next;

static void bytes_counting(void *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((unsigned char *)out)[i] = byte_next++;
}

static const struct random_ops random_counting = { .bytes = &bytes_counting };

/* Tells whether more than one byte in 16 is `value`: 16 times what chance gives. */
static bool is_mostly(const unsigned char *bytes, size_t len, unsigned char value)
{
    size_t same = 0;
    for (size_t i = 0; i < len; i++)
        same += bytes[i] == value;
    return same > len / 16;
}

TEST(bytes_fill_what_is_asked_for)
{
    static const size_t sizes[] = { 1, 7, 255, 256, 257, 4096, 4097, 100000 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *bytes = arena_array(t->arena, unsigned char, sizes[i] + 1);
        bytes[sizes[i]] = 0x5a;
        random_bytes(bytes, sizes[i]);
        CHECK_INT(bytes[sizes[i]], 0x5a);
        if (sizes[i] > 200)
            CHECK(!is_mostly(bytes, sizes[i], 0));
    }
    random_bytes(NULL, 0);
}

TEST(numbers_do_not_repeat)
{
    enum { COUNT = 3000 }; /* several buffers full */
    uint64_t *numbers = arena_array(t->arena, uint64_t, COUNT);
    for (int i = 0; i < COUNT; i++) {
        numbers[i] = random_u64();
        for (int j = i - 1; j >= 0 && j > i - 600; j--)
            CHECK(numbers[j] != numbers[i]);
    }
}

TEST(every_bit_of_a_number_is_drawn)
{
    uint64_t ones = 0, zeros = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t number = random_u64();
        ones |= number;
        zeros |= ~number;
    }
    CHECK(ones == UINT64_MAX && zeros == UINT64_MAX);
}

TEST(random_use_replaces_the_source)
{
    byte_next = 1;
    random_use(&random_counting);
    unsigned char bytes[4] = { 0 };
    random_bytes(bytes, sizeof bytes);
    random_use(&random_machine);
    CHECK_BYTES(bytes, ((unsigned char[]){ 1, 2, 3, 4 }), 4);
}

TEST(an_id_is_version_7_and_tells_its_time)
{
    int64_t before_ms = clock_wall_us() / TIME_MS;
    random_use(&random_machine); /* forget ids that were ahead of the clock */
    struct uuid made = id_new();
    int64_t after_ms = clock_wall_us() / TIME_MS;
    CHECK_INT(made.bytes[6] >> 4, 7);
    CHECK_INT(made.bytes[8] >> 6, 2);
    CHECK(uuid_v7_ms(made) >= before_ms && uuid_v7_ms(made) <= after_ms);
}

TEST(ids_grow_while_the_clock_stands_still_or_goes_back)
{
    clock_use(&clock_set);
    random_use(&random_machine);
    wall_now = INT64_C(1800000000) * TIME_SECOND;
    struct uuid last = id_new();
    bool grew = true;
    for (int i = 0; i < 10000; i++) { /* more than a millisecond's sequence holds */
        if (i == 5000)
            wall_now -= 3600 * TIME_SECOND;
        struct uuid next = id_new();
        grew = grew && uuid_compare(last, next) < 0;
        last = next;
    }
    int64_t ahead_ms = uuid_v7_ms(last) - INT64_C(1800000000) * 1000;
    wall_now += 7200 * TIME_SECOND;
    int64_t caught_up_ms = uuid_v7_ms(id_new());
    clock_use(&clock_machine);
    random_use(&random_machine);

    CHECK(grew);
    CHECK_INT(ahead_ms, 10000 / 4096);
    CHECK_INT(caught_up_ms, wall_now / TIME_MS);
}

TEST(ids_of_a_seeded_source_repeat)
{
    struct uuid ids[2][3];
    clock_use(&clock_set);
    wall_now = INT64_C(1800000000) * TIME_SECOND;
    for (int run = 0; run < 2; run++) {
        byte_next = 0;
        random_use(&random_counting);
        for (int i = 0; i < 3; i++)
            ids[run][i] = id_new();
    }
    clock_use(&clock_machine);
    random_use(&random_machine);
    CHECK_BYTES(ids[0], ids[1], sizeof ids[0]);
}

static void make_ids(void *subject)
{
    struct uuid *ids = subject;
    for (int i = 0; i < IDS_EACH; i++)
        ids[i] = id_new();
}

static int compare_ids(const void *a, const void *b)
{
    return uuid_compare(*(const struct uuid *)a, *(const struct uuid *)b);
}

TEST(ids_of_many_threads_grow_and_differ)
{
    struct uuid *ids = arena_array(t->arena, struct uuid, THREADS * IDS_EACH);
    struct thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = thread_start("ids", &make_ids, ids + i * IDS_EACH);
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);

    for (int i = 0; i < THREADS * IDS_EACH; i++)
        CHECK(i % IDS_EACH == 0 || uuid_compare(ids[i - 1], ids[i]) < 0);
    qsort(ids, THREADS * IDS_EACH, sizeof *ids, &compare_ids);
    for (int i = 1; i < THREADS * IDS_EACH; i++) {
        /* Not only the ids differ: time and sequence do, the first 8 bytes. */
        CHECK(memcmp(ids[i - 1].bytes, ids[i].bytes, 8) < 0);
    }
}
