/* HTTP/2 through the server's own entry, frame by frame as nghttp2 and our session take them,
 * gRPC's health and reflection behind it.
 *
 * Input: '0' preface and SETTINGS are sent first, '1' the bytes are all there is; '0' a peer that
 * reads at once, '1' a slow one; a number for the cut; then frames as they go over the wire. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/http2_frames.h"
#include "tests/fuzz/http_world.h"

static struct loop *loop;

void fuzz_begin(void) { loop = world_begin(); }

static void finish(struct net_connection *connection)
{
    world_end(loop, connection);
    net_fake_pass(loop, 1000); /* talks that watch are told that their peer has gone */
    world_check_empty();
}

static void send_at_once(struct net_connection *connection, str bytes, struct fuzz_dice *dice)
{
    unsigned most = 1 + fuzz_dice(dice, 4000);

    while (bytes.len > 0 && !net_fake_is_closed(connection)) {
        str piece = str_slice(bytes, 0, 1 + fuzz_dice(dice, most));
        (void)net_fake_send(connection, piece);
        bytes = str_slice(bytes, piece.len, SIZE_MAX);
        net_fake_turn(loop);
        if (fuzz_dice(dice, 3) == 0)
            (void)world_answer_held();
    }
}

static void send_slowly(struct net_connection *connection, str bytes, struct fuzz_dice *dice)
{
    net_fake_takes(connection, fuzz_dice(dice, 2) ? fuzz_dice(dice, 600) : SIZE_MAX);
    for (int idle = 0; bytes.len > 0 && !net_fake_is_closed(connection) && idle < 200;) {
        str piece = str_slice(bytes, 0, 1 + fuzz_dice(dice, 300));
        size_t sent = net_fake_send(connection, piece);
        bytes = str_slice(bytes, sent, SIZE_MAX);
        idle = sent == 0 ? idle + 1 : 0;
        switch (fuzz_dice(dice, 8)) {
        case 0:
        case 1: net_fake_turn(loop); break;
        case 2: net_fake_pass(loop, fuzz_dice(dice, 700)); break;
        case 3:
        case 4: net_fake_read(connection, fuzz_dice(dice, 9) > 0); break;
        case 5: (void)world_answer_held(); break;
        case 6:
            if (fuzz_dice(dice, 20) == 0)
                (void)net_fake_end(connection, false);
            break;
        default: break;
        }
    }
}

void fuzz_run(struct arena *arena, str input)
{
    bool is_raw = fuzz_number(&input, 2) == 1, is_slow = fuzz_number(&input, 2) == 1;
    struct fuzz_dice dice = { .state = fuzz_number(&input, 256) };

    (void)arena;
    world_forget();
    struct net_connection *connection = net_fake_accept(loop);
    if (!is_raw)
        (void)net_fake_send(connection, HTTP2_BEGIN);
    net_fake_turn(loop);
    if (is_slow)
        send_slowly(connection, input, &dice);
    else
        send_at_once(connection, input, &dice);
    net_fake_turn(loop);
    if (!is_slow)
        http2_frames_check(net_fake_told(connection));
    fuzz_plant_overread(world_asked(), STR("|x-bug=1|"));
    finish(connection);
}
