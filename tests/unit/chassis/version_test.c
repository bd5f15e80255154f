#include "base/json.h"
#include "chassis/version.h"
#include "tests/lib/test.h"

TEST(version_line_begins_with_the_number)
{
    str line = version_line(t->arena);
    CHECK(line.ptr[0] >= '0' && line.ptr[0] <= '9');
    CHECK(str_find(line, STR("commit ")) > 0);
    CHECK(str_find(line, STR("SQLite 3.")) > 0);
    CHECK(str_find_byte(line, '\n') < 0);
}

TEST(version_json_tells_four_things)
{
    const struct json *version;
    CHECK_OK(json_read(t->arena, version_json(t->arena), &version));
    CHECK_INT(json_count(version), 4);
    const char *const names[] = { "version", "commit", "sqlite", "compiler" };
    for (int i = 0; i < 4; i++) {
        const struct json *value = json_member(version, str_of_z(names[i]));
        CHECK(value && json_string(value).len > 0);
        CHECK(str_find(json_string(value), STR("@")) < 0);
    }
    CHECK(str_starts(version_line(t->arena), json_string(json_member(version, STR("version")))));
}
