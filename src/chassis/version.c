#include "chassis/version.h"

#include "base/json.h"
#include "chassis/version_tag.h"

#ifndef DUKA_VERSION
#error "The build tells DUKA_VERSION and DUKA_SQLITE_VERSION"
#endif

#ifdef __clang__
static const char compiler[] = "clang " __clang_version__;
#else
static const char compiler[] = "gcc " __VERSION__;
#endif

str version_line(struct arena *arena)
{
    return str_format(arena, "%s (commit %s, SQLite %s, %s)", DUKA_VERSION, DUKA_COMMIT,
                      DUKA_SQLITE_VERSION, compiler);
}

str version_number(void) { return STR(DUKA_VERSION); }

static void member(struct text *out, bool *first, str name, const char *value)
{
    json_add_name(out, first, name);
    json_add_string(out, str_of_z(value));
}

str version_json(struct arena *arena)
{
    struct text out = text_init(arena, 256);
    bool first = true;

    text_add_byte(&out, '{');
    member(&out, &first, STR("version"), DUKA_VERSION);
    member(&out, &first, STR("commit"), DUKA_COMMIT);
    member(&out, &first, STR("sqlite"), DUKA_SQLITE_VERSION);
    member(&out, &first, STR("compiler"), compiler);
    text_add_byte(&out, '}');
    return text_str(&out);
}
