"""gen/<unit>_client.[hc]: a typed function for each call, over the one client of the chassis."""
from c_text import HEAD, comment


def prototype(call):
    unit = call.service.unit
    return (f"err {unit}_client_{call.snake}(struct client *client, struct call *call,\n"
            f"    const {call.request.c_type} *in, const {call.response.c_type} **out)")


def make_client_header(service, source):
    out = HEAD.format(source=source) + f'#pragma once\n#include "gen/{service.unit}.h"\n\n'
    out += "struct client; /* chassis/client.h */\n\n"
    for call in service.calls:
        out += comment(call.comment) + prototype(call) + ";\n\n"
    return out.rstrip("\n") + "\n"


def make_client_source(service, source):
    out = HEAD.format(source=source)
    out += f'#include "gen/{service.unit}_client.h"\n#include "chassis/client.h"\n\n'
    for call in service.calls:
        out += (prototype(call) + "\n{\n    const void *answer;\n"
                f"    TRY(client_call(client, call, &{service.unit}_call_{call.snake}, in, "
                "&answer));\n    *out = answer;\n    return OK;\n}\n\n")
    return out.rstrip("\n") + "\n"
