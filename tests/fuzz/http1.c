/* HTTP/1.1 through the server's own entry: framing, limits, pipelining, answers to slow readers.
 *
 * The same bytes, cut otherwise, are the same requests: who reads in other pieces than a proxy
 * before it must not see other requests in them. What is answered is a row of answers as RFC 9112
 * has them, and no more of them than there were requests, and one refusal.
 *
 * Input: '0' all at once and by another cut, '1' as it comes to a slow reader, late, or held; then
 * a number for the cut; then the bytes. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/http_world.h"

static struct loop *loop;

void fuzz_begin(void) { loop = world_begin(); }

/* Takes an answer off what was told; gives its status, or 0 where it is no answer. */
static int take_answer(str *told, bool *has_close)
{
    int64_t status, length = 0;
    ptrdiff_t end = str_find(*told, STR("\r\n\r\n"));

    if (!str_starts(*told, STR("HTTP/1.1 ")) || end < 0 ||
        !str_to_int64(str_slice(*told, 9, 3), 100, 599, &status))
        return 0;
    str head = str_slice(*told, 0, (size_t)end + 2);
    *told = str_slice(*told, (size_t)end + 4, SIZE_MAX);
    *has_close = str_find(head, STR("\r\nConnection: close\r\n")) >= 0;
    ptrdiff_t at = str_find(head, STR("\r\nContent-Length: "));
    if (at < 0)
        return (int)status;
    str text = str_slice(head, (size_t)at + 18, SIZE_MAX);
    FUZZ_CHECK(str_to_int64(str_cut(&text, '\r'), 0, INT32_MAX, &length));
    if (str_starts(*told, STR("HTTP/1.1 ")) || told->len < (size_t)length)
        return (int)status; /* to HEAD, or not read to its end */
    *told = str_slice(*told, (size_t)length, SIZE_MAX);
    return (int)status;
}

/* Whole answers, for a peer that reads at once. Those in pieces and echoed bodies that look like
 * answers are not taken apart: from there on nothing is said. */
static void check_told(str told, int asked)
{
    int count = 0;

    while (told.len > 0) {
        bool has_close = false;
        int status = take_answer(&told, &has_close);
        if (status == 0)
            return;
        count += status >= 200;
        FUZZ_CHECK(count <= asked + 1);
        if (has_close)
            return;
    }
}

static void finish(struct net_connection *connection)
{
    world_end(loop, connection);
    world_check_empty();
}

/* Sends all, in pieces of up to `most` bytes, each in a turn of the loop, and lets what the server
 * still waits for run into its time. */
static void send_cut(struct net_connection *connection, str bytes, struct fuzz_dice *dice,
                     unsigned most)
{
    while (bytes.len > 0) {
        str piece = str_slice(bytes, 0, 1 + fuzz_dice(dice, most));
        if (net_fake_send(connection, piece) == 0 && net_fake_is_closed(connection))
            break;
        bytes = str_slice(bytes, piece.len, SIZE_MAX);
        net_fake_turn(loop);
        while (world_answer_held())
            net_fake_turn(loop);
    }
}

static str ask(struct arena *arena, str bytes, struct fuzz_dice *dice, unsigned most)
{
    world_forget();
    struct net_connection *connection = net_fake_accept(loop);
    send_cut(connection, bytes, dice, most);
    check_told(net_fake_told(connection), world_requests());
    finish(connection);
    str asked = str_copy(arena, world_asked());
    fuzz_plant_overread(asked, STR("|x-bug=1|"));
    return asked;
}

/* A peer that reads little, sends late, shuts its side early; held requests are answered then. */
static void ask_slowly(str bytes, struct fuzz_dice *dice)
{
    world_forget();
    struct net_connection *connection = net_fake_accept(loop);
    net_fake_takes(connection, fuzz_dice(dice, 2) ? fuzz_dice(dice, 600) : SIZE_MAX);
    while (bytes.len > 0 && !net_fake_is_closed(connection)) {
        str piece = str_slice(bytes, 0, 1 + fuzz_dice(dice, 200));
        size_t sent = net_fake_send(connection, piece);
        bytes = str_slice(bytes, sent, SIZE_MAX);
        switch (fuzz_dice(dice, 6)) {
        case 0: net_fake_turn(loop); break;
        case 1: net_fake_pass(loop, fuzz_dice(dice, 700)); break;
        case 2: net_fake_read(connection, fuzz_dice(dice, 9) > 0); break;
        case 3: (void)world_answer_held(); break;
        case 4:
            if (fuzz_dice(dice, 20) == 0)
                (void)net_fake_end(connection, false);
            break;
        default: break;
        }
        if (sent == 0) {
            net_fake_turn(loop);
            net_fake_read(connection, true);
            while (world_answer_held())
                net_fake_turn(loop);
            net_fake_pass(loop, 50);
        }
    }
    finish(connection);
}

void fuzz_run(struct arena *arena, str input)
{
    bool is_slow = fuzz_number(&input, 2) == 1;
    struct fuzz_dice dice = { .state = fuzz_number(&input, 256) };

    if (is_slow) {
        ask_slowly(input, &dice);
        return;
    }
    unsigned most = 1 + fuzz_dice(&dice, 40);
    str whole = ask(arena, input, &dice, UINT32_MAX);
    str cut = ask(arena, input, &dice, most);
    FUZZ_SAME(whole, cut);
}
