/* Settings: the file in YAML, flags and environment.
 *
 * What is shown of them (dukactl config) is a file of settings itself, and says the same.
 *
 * Input: lines of the environment up to an empty one; lines with flags up to an empty one; the
 * file.
 */
#include "chassis/conf.h"
#include "chassis/setting.h"
#include "os/disk.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS_MAX = 40 };

static int file;
static char path[64];

void fuzz_begin(void)
{
    file = memfd_create("settings", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0);
    (void)snprintf(path, sizeof path, "--config=/proc/self/fd/%d", file);
}

static void write_file(str bytes)
{
    FUZZ_CHECK(ftruncate(file, 0) == 0);
    FUZZ_CHECK(pwrite(file, bytes.ptr, bytes.len, 0) == (ssize_t)bytes.len);
}

/* A word for a command line: it ends at its first NUL. */
static char *word_of(struct arena *arena, str line)
{
    return (char *)(uintptr_t)str_z(arena, str_slice(line, 0, strnlen(line.ptr, line.len)));
}

static int read_words(struct arena *arena, str *input, char **out, int count)
{
    for (str line; input->ptr && (line = str_cut(input, '\n')).len > 0;)
        if (count < WORDS_MAX - 1 && !str_starts(line, STR("--config")) &&
            str_find(line, STR("_FILE")) < 0 && str_find(line, STR("-file")) < 0 &&
            str_find(line, STR("DUKA_CONFIG")) < 0)
            out[count++] = word_of(arena, line);
    out[count] = NULL;
    return count;
}

static void check_shown(struct arena *arena, const struct conf *conf)
{
    char *flags[] = { (char *)(uintptr_t) "duka", path, NULL }, *environment[] = { NULL };
    const struct conf *again;

    write_file(conf_show(arena, conf));
    FUZZ_CHECK(conf_load(arena, 2, flags, environment, &again, NULL) == OK);
    for (enum setting i = 0; i < SETTINGS_COUNT; i++) {
        enum setting_type type = setting_spec(i)->type;
        if (type == SETTING_TEXT)
            FUZZ_SAME(conf_text(again, i), conf_text(conf, i));
        else if (type != SETTING_SECRET)
            FUZZ_CHECK(conf_int(again, i) == conf_int(conf, i));
    }
}

void fuzz_run(struct arena *arena, str input)
{
    char *environment[WORDS_MAX], *flags[WORDS_MAX] = { (char *)(uintptr_t) "duka", path };
    const struct conf *conf;
    int operands;

    fuzz_plant_overread(input, STR("bug:"));
    (void)read_words(arena, &input, environment, 0);
    int count = read_words(arena, &input, flags, 2);
    write_file(input.ptr ? input : STR(""));
    err error = conf_load(arena, count, flags, environment, &conf, &operands);
    if (error != OK) {
        FUZZ_CHECK(error->code == SETTING_INVALID || error->code == SETTING_UNKNOWN ||
                   error->code == OS_FAILED);
        calls_check_error(arena, error);
        return;
    }
    FUZZ_CHECK(operands > 0 && operands <= count);
    check_shown(arena, conf);
}
