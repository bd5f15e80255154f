/* HPACK (RFC 7541) through our session: blocks of headers whose frames are right and whose bytes
 * are the fuzzer's. A block that cannot be read ends the connection; those before it are requests.
 * The same blocks in other frames (CONTINUATION) and other cuts are the same requests.
 *
 * Input: a number for the cut; then blocks, each of a number of bytes and the bytes. */
#include "chassis/http2.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/http2_frames.h"
#include "tests/fuzz/http_world.h"

enum { END_STREAM = 1, END_HEADERS = 4, BLOCK_BYTES_MAX = 1024, PARTS_MAX = 6 };

static struct loop *loop;

void fuzz_begin(void) { loop = world_begin(); }

/* A block in one frame, or in some. */
static void add_block(struct text *out, uint32_t stream, str block, struct fuzz_dice *dice)
{
    enum http2_frame_type type = HTTP2_FRAME_HEADERS;
    unsigned flags = END_STREAM;

    for (int part = 1;; part++) {
        bool is_cut = dice && part < PARTS_MAX; /* nghttp2 takes more for a flood */
        size_t len = is_cut ? fuzz_dice(dice, (unsigned)block.len + 1) : block.len;
        bool is_last = len == block.len;
        http2_frame_add(out, type, flags | (is_last ? END_HEADERS : 0U), stream,
                        str_slice(block, 0, len));
        if (is_last)
            return;
        block = str_slice(block, len, SIZE_MAX);
        type = HTTP2_FRAME_CONTINUATION;
        flags = 0;
    }
}

static str frames_of(struct arena *arena, str input, struct fuzz_dice *dice)
{
    struct text out = text_init(arena, 4096);
    text_add(&out, HTTP2_BEGIN);
    /* Of more that come in one piece the rest is refused. */
    for (uint32_t stream = 1; input.len > 0 && stream < 2 * HTTP2_STREAMS_MAX; stream += 2) {
        size_t len = fuzz_number(&input, BLOCK_BYTES_MAX);
        add_block(&out, stream, fuzz_take(&input, len), dice);
    }
    return text_str(&out);
}

/* What was asked for; `ended` where the server ended the connection for what came. */
static str ask(struct arena *arena, str frames, struct fuzz_dice *dice, bool *ended)
{
    world_forget();
    struct net_connection *connection = net_fake_accept(loop);
    while (frames.len > 0 && !net_fake_is_closed(connection)) {
        str piece = str_slice(frames, 0, dice ? 1 + fuzz_dice(dice, 500) : SIZE_MAX);
        (void)net_fake_send(connection, piece);
        frames = str_slice(frames, piece.len, SIZE_MAX);
        net_fake_turn(loop);
    }
    http2_frames_check(net_fake_told(connection));
    *ended = http2_frames_count(net_fake_told(connection), HTTP2_FRAME_GOAWAY) > 0;
    (void)net_fake_end(connection, true);
    while (world_answer_held())
        net_fake_turn(loop);
    net_fake_turn(loop);
    FUZZ_CHECK(net_fake_is_closed(connection));
    net_fake_drop(connection);
    net_fake_pass(loop, 1000);
    world_check_empty();
    return str_copy(arena, world_asked());
}

void fuzz_run(struct arena *arena, str input)
{
    struct fuzz_dice dice = { .state = fuzz_number(&input, 256) };

    bool whole_ended, cut_ended;
    str whole = ask(arena, frames_of(arena, input, NULL), NULL, &whole_ended);
    str cut = ask(arena, frames_of(arena, input, &dice), &dice, &cut_ended);
    fuzz_plant_overread(whole, STR("|x-bug=1|"));
    FUZZ_CHECK(whole_ended == cut_ended);
    /* What came in one piece with a mistake may be dropped with it, though it was whole before. */
    if (whole_ended && str_starts(cut, whole))
        return;
    FUZZ_SAME(whole, cut);
}
