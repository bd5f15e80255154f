/* What a write costs: orders of two lines with a stock delta, an event and an idempotency key,
 * durable, by batch size.
 *
 *     ninja -C BUILD tests/writer-bench && BUILD/tests/writer-bench [FOLDER [SECONDS
 * [durable|lost]]]
 *
 * CPU is that of the writer's thread: SQLite, the batch and the system calls, but not the waits for
 * the disk. */
#include "chassis/outbox.h"
#include "chassis/write.h"
#include "gen/shelf.sql.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { SKUS = 1000, CUSTOMERS = 5000, ARENA_BYTES_MAX = 256 * 1024 * 1024 };

struct place {
    struct sql_order_insert order;
    struct sql_line_insert lines[2];
    struct sql_stock_reserve stock;
};

static struct {
    struct lock lock;
    struct cond changed;
    size_t told;
    struct cpu {
        int64_t user_us, system_us;
    } writer; /* of the writer's thread, when it was told last */
    int64_t failed;
} state;

static int64_t us_of(struct timeval time) { return time.tv_sec * INT64_C(1000000) + time.tv_usec; }

static struct cpu thread_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (struct cpu){ us_of(usage.ru_utime), us_of(usage.ru_stime) };
}

static void note(struct write *write, enum write_end end, err outcome)
{
    size_t *expected = write->owner;
    lock_take(&state.lock);
    state.failed += end != WRITE_DONE || outcome != OK;
    if (++state.told == *expected) {
        state.writer = thread_cpu();
        cond_wake_one(&state.changed);
    }
    lock_drop(&state.lock);
}

static err place_orders(struct tx *tx, struct write *const *writes, size_t count, err *outcomes)
{
    struct sql_order_insert *orders = arena_array(tx->arena, struct sql_order_insert, count);
    struct sql_line_insert *lines = arena_array(tx->arena, struct sql_line_insert, 2 * count);
    struct sql_stock_reserve *stock = arena_array(tx->arena, struct sql_stock_reserve, count);
    for (size_t i = 0; i < count; i++) {
        const struct place *place = writes[i]->subject;
        orders[i] = place->order;
        lines[2 * i] = place->lines[0];
        lines[2 * i + 1] = place->lines[1];
        stock[i] = place->stock;
        outcomes[i] = OK;
    }
    TRY(sql_order_insert_many(tx, orders, count, NULL));
    TRY(sql_line_insert_many(tx, lines, 2 * count, NULL));
    return sql_stock_reserve_many(tx, stock, count, NULL);
}

static struct uuid customer_of(uint64_t number)
{
    return uuid_v7(1700000000000 + (int64_t)(number % CUSTOMERS), 0, 1);
}

static struct write *order_new(struct arena *arena, int64_t number)
{
    static const struct event_spec spec = { .name = "orders.v1.OrderPlaced", .topic = "orders.v1" };
    struct place *place = arena_new(arena, struct place);
    struct uuid id = id_new(), customer = customer_of(random_u64());
    place->order = (struct sql_order_insert){
        .id = id,
        .customer = customer,
        .status = STR("placed"),
        .total_minor = 1299,
        .currency = { "EUR" },
        .created_at = clock_wall_us(),
    };
    for (int i = 0; i < 2; i++)
        place->lines[i] = (struct sql_line_insert){
            .order_id = id,
            .position = i + 1,
            .quantity = 1,
            .unit_minor = 650,
            .sku = str_format(arena, "sku-%06d", (int)(random_u64() % SKUS)),
        };
    place->stock = (struct sql_stock_reserve){ .sku = place->lines[0].sku, .delta = 1 };

    struct write *write = write_new(arena, place_orders, place);
    write->once = arena_new(arena, struct once_claim);
    write->once->scope =
        str_format(arena, "%" STR_F " POST /orders", STR_A(uuid_text(arena, customer)));
    write->once->key =
        str_format(arena, "key-%d-%016llx", (int)(number % 7), (unsigned long long)random_u64());
    write->once->subject = id;

    static char payload[160];
    struct outbox_event *event = arena_new(arena, struct outbox_event);
    *event = (struct outbox_event){
        .spec = &spec,
        .key = uuid_text(arena, id),
        .number = 1,
        .payload = str_of(payload, sizeof payload),
    };
    *write->events_tail = event;
    write->events_tail = &event->next;
    return write;
}

static void run_one(struct writer *writer, struct arena *arena, size_t batch, int64_t *wall_us)
{
    arena_reset(arena);
    struct write **writes = arena_array(arena, struct write *, batch);
    for (size_t i = 0; i < batch; i++) {
        writes[i] = order_new(arena, (int64_t)i);
        writes[i]->done = note;
        writes[i]->owner = &batch;
    }
    state.told = 0;
    int64_t began_us = clock_mono_us();
    writer_submit_many(writer, writes, batch);
    lock_take(&state.lock);
    while (state.told < batch)
        cond_wait(&state.changed, &state.lock);
    lock_drop(&state.lock);
    *wall_us += clock_mono_us() - began_us;
}

static void measure(struct writer *writer, struct arena *arena, size_t batch, int64_t seconds)
{
    int64_t orders = 0, wall_us = 0, skipped = 0;
    run_one(writer, arena, batch, &skipped);
    struct cpu before = state.writer;
    while (wall_us < seconds * 1000000) {
        run_one(writer, arena, batch, &wall_us);
        orders += (int64_t)batch;
    }
    double each = (double)orders;
    printf(
        "batch %4zu: %7lld orders, %7.0f/s, CPU each %6.1f us user %6.1f us system, %lld failed\n",
        batch, (long long)orders, each * 1e6 / (double)wall_us,
        (double)(state.writer.user_us - before.user_us) / each,
        (double)(state.writer.system_us - before.system_us) / each, (long long)state.failed);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : ".";
    int64_t seconds = 3;
    if (argc > 2 && !str_to_int64(str_of_z(argv[2]), 1, 600, &seconds))
        return 2;
    struct arena *arena = arena_open(ARENA_BYTES_MAX), *life = arena_open(ARENA_BYTES_MAX);
    struct db_config config = { .readers_max = 2, .durable = argc < 4 || argv[3][0] != 'l' };
    config.url =
        str_format(life, "sqlite:%s/bench-%d.db", folder, (int)(clock_wall_us() % 1000000));
    lock_init(&state.lock);
    cond_init(&state.changed);

    struct db *db;
    int64_t began_us = clock_mono_us();
    err error = db_open(life, &config, &shelf_schema, &db);
    if (error != OK) {
        printf("%" STR_F "\n", STR_A(err_describe(life, error)));
        return 1;
    }
    printf("opened in %lld us\n", (long long)(clock_mono_us() - began_us));
    struct writer *writer = writer_open(db, "bench", NULL, NULL);
    const size_t batches[] = { 1, 16, 64, 256, 512 };
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++)
        measure(writer, arena, batches[i], seconds);
    writer_close(writer);
    struct db_stats stats = db_stats_of(db);
    printf("%lld commits, log %lld bytes, file %lld bytes\n", (long long)stats.commits,
           (long long)stats.wal_bytes, (long long)stats.file_bytes);
    db_close(db);
    return 0;
}
