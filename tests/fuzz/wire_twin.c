/* Reads messages of the contracts as the program does and writes them again, for wire_twin.py: a
 * line "orders.v1.Order 0a05…" is answered by the hexadecimal of what is written, or by "-" where
 * the bytes are refused. */
#include "base/crypto.h"
#include "chassis/message.h"
#include "tests/fuzz/calls.h"

#include <stdio.h>

enum { LINE_BYTES_MAX = 256 * 1024 };

static const struct message_spec *find(str name)
{
    const struct calls *calls = calls_all();

    for (int i = 0; i < calls->messages_count; i++)
        if (str_equal(str_of_z(calls->messages[i]->descriptor->name), name))
            return calls->messages[i];
    return NULL;
}

static str answer(struct arena *arena, str line)
{
    const struct message_spec *spec = find(str_cut(&line, ' '));
    str bytes;
    void *message;

    if (!spec || !hex_parse(arena, line.ptr ? line : STR(""), &bytes))
        return STR("?");
    if (message_unpack(arena, bytes, spec, &message) != OK)
        return STR("-");
    return hex(arena, message_pack(arena, message));
}

int main(void)
{
    static char line[LINE_BYTES_MAX];
    struct arena *arena = arena_open(LINE_BYTES_MAX * 16);

    crypto_init();
    while (fgets(line, sizeof line, stdin)) {
        str said = answer(arena, str_trim(str_of_z(line)));
        (void)printf("%" STR_F "\n", STR_A(said));
        arena_reset(arena);
    }
    arena_close(arena);
    arena_close(calls_all()->memory);
    return 0;
}
